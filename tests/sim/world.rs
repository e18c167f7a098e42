//! Time, mail, the network, the disk, and the faults.
//!
//! All talk is mail between addresses: in order between any two, delayed at will, reordered across pairs. A connection between a proxy and
//! a worker can be cut anywhere; the two ends learn of it at different times.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use millpond::domain::entry::{Entry, Submitted};
use millpond::domain::verb::{Hold, KillMode, Verb};
use millpond::domain::wire::{FromWorker, Lease, ToWorker};
use millpond::domain::{Epoch, Instant, JobId, Outcome, Resources, SessionId, TaskNo, WallTime};
use millpond::engine::slot_table::{Equipment, Preparation};
use millpond::engine::{Fault, JobMachine, Ledger, Now, SlotEvent};

use crate::disk::Disk;
use crate::faults::FaultKind;
use crate::head::{Head, HeadMail};
use crate::oracle::Oracle;
use crate::rng::Rng;
use crate::story::Story;
use crate::worker::Worker;

/// How often all of a large cluster is looked at, in events.
const LOOK_EVERY: u64 = 200_000;

const HOUR_MS: i64 = 3_600_000;

/// Who can get mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Addr {
    Supervisor,
    Job(JobId),
    Proxy(SessionId),
    Journal,
    Worker(usize),
    /// The world itself: clocks and faults.
    World,
}

/// What happens at a moment.
#[derive(Clone, Debug)]
pub enum Mail {
    /// Inside the head of this epoch.
    Head(Epoch, HeadMail),
    /// Over a connection, to the head.
    ToHead(Conn, FromWorker),
    /// Over a connection, to the worker.
    ToWorker(Conn, ToWorker),
    /// The head's end learns that a connection is gone.
    HeadLearnsCut(Conn),
    /// The worker's end learns it.
    WorkerLearnsCut(Conn),
    /// A worker tries to connect; the number is its incarnation.
    Connect(usize, u64),
    Prepared(usize, u64, usize, Lease, Preparation),
    Ended(usize, u64, usize, Lease, Outcome),
    Deliver(usize, u64, Lease),
    /// A worker's table has asked for a tick.
    SlotTick(usize, u64),
    Beat,
    Fault(FaultKind),
    HeadStarts,
    WorkerStarts(usize),
    /// A worker that stood still goes on.
    WorkerWakes(usize),
    Person(JobId, Verb),
    /// A client asks for a job.
    Wish(usize),
    /// A person wants a job deleted.
    Delete(JobId),
    /// As soon as it has ended.
    Doom(JobId),
    /// A worker leaves, with nothing in its hands.
    WorkerLeaves(usize, u64),
}

/// One connection of a worker's incarnation to a head's epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Conn {
    pub session: SessionId,
    pub epoch: Epoch,
    pub worker: usize,
    pub incarnation: u64,
}

pub struct World {
    pub rng: Rng,
    pub now: u64,
    /// The wall clock is ahead of the monotonic one by so many ms.
    pub wall_ahead: i64,
    pub fault: Option<Fault>,
    pub story: Story,
    pub oracle: Oracle,
    pub disk: Disk,
    pub head: Option<Head>,
    pub workers: Vec<Worker>,
    /// Jobs that clients ask for, and whether each has its answer.
    pub wishes: Vec<(Submitted, bool)>,
    /// Connections that are not cut.
    pub alive: BTreeMap<Conn, ()>,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    pub mail: BTreeMap<u64, (Addr, Mail)>,
    last_mail: u64,
    /// When the last mail between two addresses arrives; per epoch or connection, so that a new stream is not held up by an old one.
    pub lanes: BTreeMap<(Addr, Addr, u64), u64>,
    /// A task that takes every worker down.
    pub deadly: Option<(JobId, TaskNo)>,
    /// Nearly all tasks are so short that some are sent ahead.
    pub quick: bool,
    pub quiet_from: u64,
    over_since: Option<u64>,
    /// Every event is looked at; where there are too many, all of the head every so often and at the end.
    pub looks: bool,
    events_max: u64,
    pub last_session: u64,
    /// Print every step: `MILLPOND_TRACE=1`.
    trace: bool,
}

impl World {
    pub fn new(seed: u64, fault: Option<Fault>) -> Self {
        let mut rng = Rng::new(seed);
        let workers = rng.between(1, 4);
        let mut world = Self {
            now: 1000,
            wall_ahead: 0,
            fault,
            story: Story::default(),
            oracle: Oracle::default(),
            disk: Disk::default(),
            head: None,
            workers: Vec::new(),
            wishes: Vec::new(),
            alive: BTreeMap::new(),
            queue: BinaryHeap::new(),
            mail: BTreeMap::new(),
            last_mail: 0,
            lanes: BTreeMap::new(),
            deadly: None,
            quick: false,
            quiet_from: 0,
            over_since: None,
            looks: true,
            events_max: 400_000,
            last_session: 0,
            trace: std::env::var_os("MILLPOND_TRACE").is_some(),
            rng,
        };
        // Now and then a larger cluster, and jobs that outgrow their first dispatch mark.
        let large = world.rng.percent(3);
        world.quick = world.rng.percent(25);
        for at in 0..workers {
            let slots = if large { world.rng.between(8, 24) } else { world.rng.between(1, 4) } as u32;
            // The first one can run every task.
            let cpus = world.rng.between(if at == 0 { 3 } else { 0 }, u64::from(slots) * 2 + 1) as u32;
            let gpus = world.rng.between(if at == 0 { 2 } else { 0 }, 4) as u32;
            let mem_bytes = world.rng.between(if at == 0 { 4 } else { 0 }, 8);
            let total = Resources { cpus, mem_bytes, ..Resources::default() };
            let equipment = Equipment::new(total, (0..gpus).collect());
            let ahead = world.rng.below(1_000_000_000);
            let broken = at > 0 && world.rng.percent(8);
            let unfit = at > 0 && world.rng.percent(4);
            world.workers.push(Worker { broken, unfit, ..Worker::new(slots, equipment, ahead, fault) });
        }
        world.plan(large);
        world.plan_wall_jumps(seed);
        let jobs = (world.disk.ledger.jobs.len() + world.wishes.len()) as u64;
        world.plan_deletions(seed, jobs);
        world.plan_ends(seed, jobs);
        world
    }

    /// The same world with a wall clock that never jumps.
    pub fn with_a_steady_wall_clock(seed: u64) -> Self {
        let mut world = Self::new(seed, None);
        world.mail.retain(|_, (_, mail)| !matches!(mail, Mail::Fault(FaultKind::WallJump(_))));
        world
    }

    /// So many workers with four slots each, one job with so many tasks; on the way some connections break, and the head dies once.
    pub fn large(workers: usize, tasks: u32) -> Self {
        let mut world = Self::new(1, None);
        world.queue.clear();
        world.mail.clear();
        world.wishes.clear();
        world.workers = (0..workers).map(|at| Worker::new(4, Equipment::default(), at as u64, None)).collect();
        world.disk.ledger = Ledger::default();
        let mut submitted = crate::head::a_job(1, tasks, &mut world.rng);
        submitted.spec.needs = Resources::default();
        (submitted.max_running, submitted.held) = (None, false);
        // What could not be prepared is tried again: every task starts.
        submitted.spec.retries = 3;
        submitted.spec.policy.max_failed = None;
        world.quick = false;
        world.disk.ledger.apply(&Entry::accepted(submitted));
        (world.looks, world.events_max, world.quiet_from) = (false, u64::from(tasks) * 100, 0);
        world.at(1000, Addr::World, Mail::HeadStarts);
        for at in 0..workers {
            world.at(1000, Addr::World, Mail::WorkerStarts(at));
            if at % 100 == 0 {
                let time = world.rng.between(3_000, 10_000);
                world.at(time, Addr::World, Mail::Fault(FaultKind::Cut(at)));
            }
        }
        world.at(8_000, Addr::World, Mail::Fault(FaultKind::CrashHead));
        world.at(1000, Addr::World, Mail::Beat);
        world
    }

    /// Looks at all of the head.
    fn look(&self) -> Result<(), String> {
        let Some(head) = &self.head else { return Ok(()) };
        head.roster.check()?;
        head.jobs.values().try_for_each(JobMachine::check)?;
        head.sessions.values().try_for_each(|(session, conn)| session.check(conn.epoch))
    }

    /// Lays out jobs, verbs and faults.
    fn plan(&mut self, large: bool) {
        let jobs = self.rng.between(1, 4);
        for number in 1..=jobs {
            let most = if self.quick { 400 } else { 40 };
            let count = if large && number == 1 { self.rng.between(300, 700) } else { self.rng.between(1, most) };
            let submitted = crate::head::a_job(number, count as u32, &mut self.rng);
            self.disk.ledger.apply(&Entry::accepted(submitted));
        }
        for wish in 0..self.rng.below(4) {
            let count = self.rng.between(1, 20) as u32;
            let submitted = crate::head::a_job(0, count, &mut self.rng);
            self.wishes.push((Submitted { request_id: format!("request {wish}"), ..submitted }, false));
            let at = self.rng.between(1_000, 20_000);
            self.at(at, Addr::World, Mail::Wish(wish as usize));
        }
        let jobs = jobs + self.wishes.len() as u64;
        if self.rng.percent(6) {
            self.deadly = Some((JobId(self.rng.between(1, jobs)), TaskNo(self.rng.below(4) as u32)));
        }
        self.at(1000, Addr::World, Mail::HeadStarts);
        for worker in 0..self.workers.len() {
            self.at(1000, Addr::World, Mail::WorkerStarts(worker));
        }
        self.quiet_from = self.rng.between(5_000, 60_000);
        let timed = self.rng.percent(30);
        for _ in 0..self.rng.between(2, 12) {
            let (job, at) = (JobId(self.rng.between(1, jobs)), self.rng.between(1_000, self.quiet_from));
            let verb = match self.rng.below(7) {
                0 => Verb::Kill(KillMode::Finish),
                1 => Verb::Kill(KillMode::Stop),
                2 | 3 => {
                    let until = WallTime(((at + self.rng.between(100, 10_000)) * 1_000) as i64);
                    let until = Some(until).filter(|_| timed && self.rng.percent(50));
                    self.story.timed_pauses += u64::from(until.is_some());
                    Verb::pause(Hold { freeze: self.rng.percent(40), until })
                }
                4 => Verb::SetPriority(self.rng.below(5) as i32),
                _ => Verb::Resume,
            };
            self.at(at, Addr::World, Mail::Person(job, verb));
        }
        for _ in 0..self.rng.between(3, 14) {
            let at = self.rng.between(1_000, self.quiet_from);
            let worker = self.rng.below(self.workers.len() as u64) as usize;
            let fault = match self.rng.below(16) {
                0 | 1 => FaultKind::CrashHead,
                2 => FaultKind::CrashWorker(worker),
                3 => FaultKind::Stall(worker, self.rng.between(100, 20_000)),
                4 | 5 => FaultKind::CrashJob(JobId(self.rng.between(1, jobs))),
                6 => FaultKind::Drain(worker, true),
                7..=9 => FaultKind::Clog(worker, self.rng.percent(50), self.rng.between(50, 9_000)),
                10 => FaultKind::Partition(self.rng.next(), self.rng.between(100, 20_000)),
                11 => FaultKind::DiskFull(self.rng.between(100, 20_000)),
                _ => FaultKind::Cut(worker),
            };
            self.at(at, Addr::World, Mail::Fault(fault));
            if let FaultKind::Stall(..) | FaultKind::Clog(..) = fault
                && self.rng.percent(60)
            {
                // While a worker can't answer is when a promise is hard to keep.
                let (job, later) = (JobId(self.rng.between(1, jobs)), self.rng.between(10, 1_500));
                let verb = if self.rng.percent(30) { Verb::Kill(KillMode::Finish) } else { Verb::Pause };
                self.at(at + later, Addr::World, Mail::Person(job, verb));
                self.at(at + later + 9_000, Addr::World, Mail::Person(job, Verb::Resume));
            }
            if let FaultKind::Drain(worker, true) = fault
                && self.rng.percent(50)
            {
                let later = self.rng.between(1, 5_000);
                self.at(at + later, Addr::World, Mail::Fault(FaultKind::Drain(worker, false)));
            }
        }
        // Failed tasks run again, once while everything else goes wrong, and once after.
        for number in 1..=jobs {
            for at in [self.rng.between(1_000, self.quiet_from), self.quiet_from + self.rng.between(0, 20_000)] {
                let request = u128::from(self.rng.next());
                self.at(at, Addr::World, Mail::Person(JobId(number), Verb::Retry { request }));
            }
        }
        // With the faults over, everything paused goes on.
        for number in 1..=jobs {
            self.at(self.quiet_from + 25_000, Addr::World, Mail::Person(JobId(number), Verb::Resume));
        }
        self.at(1000, Addr::World, Mail::Beat);
    }

    /// The wall clock jumps by an hour, to and fro. From random numbers of its own, so that everything else is as without.
    fn plan_wall_jumps(&mut self, seed: u64) {
        let mut rng = Rng::new(!seed);
        for _ in 0..rng.below(4) {
            let at = rng.between(1_000, self.quiet_from);
            let by = if rng.percent(50) { HOUR_MS } else { -HOUR_MS };
            self.at(at, Addr::World, Mail::Fault(FaultKind::WallJump(by)));
        }
    }

    pub fn clock(&self) -> Now {
        Now { mono: Instant(self.now), wall: WallTime((self.now as i64 + self.wall_ahead) * 1000) }
    }

    pub fn at(&mut self, time: u64, to: Addr, mail: Mail) {
        self.last_mail += 1;
        self.queue.push(Reverse((time, self.last_mail)));
        self.mail.insert(self.last_mail, (to, mail));
    }

    /// Sends in order between two addresses, with a delay of up to `slow` ms; `lane` tells one stream from the next.
    pub fn send(&mut self, from: Addr, to: Addr, lane: u64, slow: u64, mail: Mail) {
        let earliest = self.now + self.rng.below(slow + 1);
        let last = self.lanes.entry((from, to, lane)).or_default();
        *last = earliest.max(*last);
        let time = *last;
        self.at(time, to, mail);
    }

    /// How long, in ms, a message over the network takes at most.
    pub fn slowest_message(&mut self) -> u64 {
        match (self.quick, self.rng.percent(5)) {
            (false, false) => 20,
            (false, true) => 400,
            (true, false) => 1,
            (true, true) => 20,
        }
    }

    /// Tells both ends, each in its own time, that a connection is gone. What is under way arrives, or does not.
    pub fn cut(&mut self, conn: Conn) {
        if self.alive.remove(&conn).is_none() {
            return;
        }
        let lose = self.rng.percent(60);
        if lose {
            let lost = |mail: &Mail| matches!(mail, Mail::ToHead(of, _) | Mail::ToWorker(of, _) if *of == conn);
            self.mail.retain(|_, (_, mail)| !lost(mail));
        }
        let slow = if self.rng.percent(30) { 11_000 } else { 300 };
        self.send(Addr::Worker(conn.worker), Addr::Proxy(conn.session), conn.epoch.0, slow, Mail::HeadLearnsCut(conn));
        let slow = if self.rng.percent(30) { 7_000 } else { 300 };
        let lane = conn.session.0;
        self.send(Addr::Proxy(conn.session), Addr::Worker(conn.worker), lane, slow, Mail::WorkerLearnsCut(conn));
    }

    pub fn run(mut self) -> Result<Story, String> {
        while let Some(Reverse((time, number))) = self.queue.pop() {
            let Some((to, mail)) = self.mail.remove(&number) else { continue };
            self.now = self.now.max(time);
            self.story.events += 1;
            if self.trace {
                println!("{:>7} {to:?}: {mail:?}", self.now);
            }
            if !self.looks && self.story.events.is_multiple_of(LOOK_EVERY) {
                self.look()?;
            }
            if self.story.events > self.events_max {
                return Err(format!("no end in sight at {} ms: {}; last: {mail:?}", self.now, self.unfinished().join(", ")));
            }
            self.step(to, mail)?;
            match (self.over(), self.over_since) {
                (false, _) => self.over_since = None,
                (true, None) => self.over_since = Some(self.now),
                // Whatever was under way has come in.
                (true, Some(since)) if self.now > since + 1_000 => break,
                (true, Some(_)) => {}
            }
        }
        self.look()?;
        self.check_end()?;
        Ok(self.story)
    }

    fn step(&mut self, to: Addr, mail: Mail) -> Result<(), String> {
        // A worker that stands still takes nothing in until it wakes, and then all of it in order.
        if let Addr::Worker(at) = to
            && self.workers[at].stalled_until > self.now
        {
            self.workers[at].unread.push_back(mail);
            return Ok(());
        }
        self.deliver(to, mail)
    }

    pub fn deliver(&mut self, to: Addr, mail: Mail) -> Result<(), String> {
        match mail {
            Mail::Beat => self.beat()?,
            Mail::Fault(kind) => self.strike(kind)?,
            Mail::WorkerWakes(at) => self.wake(at)?,
            Mail::HeadStarts => self.start_head()?,
            Mail::WorkerStarts(at) => self.start_worker(at),
            Mail::Person(job, verb) => self.person(job, verb),
            Mail::Wish(wish) => self.wish(wish),
            Mail::Delete(job) => self.delete(job),
            Mail::Doom(job) => self.doom(job),
            Mail::WorkerLeaves(at, incarnation) => self.worker_leaves(at, incarnation),
            Mail::Head(epoch, mail) => self.head_mail(epoch, to, mail)?,
            Mail::ToHead(conn, message) => self.head_hears(conn, message)?,
            Mail::HeadLearnsCut(conn) => self.head_loses(conn)?,
            Mail::Connect(at, incarnation) => self.connect(at, incarnation)?,
            Mail::ToWorker(conn, message) => self.worker_hears(conn, message)?,
            Mail::WorkerLearnsCut(conn) => self.worker_loses(conn)?,
            Mail::Prepared(at, incarnation, slot, lease, how) => self.worker_prepared(at, incarnation, slot, lease, how)?,
            Mail::Ended(at, incarnation, slot, lease, outcome) => self.worker_ended(at, incarnation, slot, lease, outcome)?,
            Mail::Deliver(at, incarnation, lease) => self.worker_delivers(at, incarnation, lease),
            Mail::SlotTick(at, incarnation) => {
                if self.workers[at].up && self.workers[at].incarnation == incarnation {
                    self.table_event(at, SlotEvent::Tick)?;
                }
            }
        }
        Ok(())
    }

    fn over(&self) -> bool {
        self.now > self.quiet_from + 60_000 && self.head.is_some() && self.unfinished().is_empty()
    }

    /// What is not as it is at the end.
    fn unfinished(&self) -> Vec<String> {
        let jobs = self.disk.ledger.jobs.values().filter(|job| job.ended.is_none()).map(|job| format!("{} has not ended", job.id));
        let asked = self.wishes.iter().filter(|(_, answered)| !answered).map(|(wish, _)| format!("no answer to {}", wish.request_id));
        let busy = self.workers.iter().enumerate();
        let busy = busy.filter(|(_, worker)| !(worker.up && worker.conn.is_some() && worker.table.is_empty()));
        jobs.chain(asked).chain(busy.map(|(at, _)| format!("worker {at} is not idle"))).collect()
    }

    fn check_end(&mut self) -> Result<(), String> {
        let Some(head) = &self.head else { return Err("the head is down at the end".into()) };
        if let Some(job) = self.disk.ledger.jobs.values().find(|job| job.ended.is_none()) {
            let machine = head.jobs.get(&job.id);
            return Err(format!("{} has no end at {} ms, with faults off since {}: {machine:?}", job.id, self.now, self.quiet_from));
        }
        let slots: u32 = self.workers.iter().map(|worker| worker.slots).sum();
        let usable = head.roster.suspected().next().is_none() && !self.workers.iter().any(|worker| worker.table.is_resting());
        if usable && head.roster.slots() == slots && head.roster.free_slots() != slots {
            return Err(format!("a slot leaked: {} of {slots} are free: {:?}", head.roster.free_slots(), head.roster));
        }
        self.story.ended_jobs = self.disk.ledger.jobs.len() as u64;
        self.oracle.check_end(&self.disk.ledger, self.clock().wall)
    }
}
