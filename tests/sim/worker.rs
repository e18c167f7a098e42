//! A worker: the real `SlotTable`, with imagined processes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use millpond::domain::wire::{Dial, FromWorker, Hello, JobInfo, Lease, ToWorker};
use millpond::domain::{Epoch, Instant, JobId, Outcome, Resources, SessionId, Tally};
use millpond::engine::slot_table::{Allowance, Equipment, Health, Preparation};
use millpond::engine::{Fault, Now, SlotEffect, SlotEvent, SlotTable};

use crate::faults::FaultKind;
use crate::world::{Addr, Conn, Mail, World};

pub struct Worker {
    pub slots: u32,
    /// Its monotonic clock is ahead of the head's by so many ms.
    pub ahead: u64,
    pub equipment: Equipment,
    pub table: SlotTable,
    /// On its disk.
    pub epoch: Epoch,
    pub up: bool,
    /// Every task fails on it.
    pub broken: bool,
    /// It gives every task back, since its machine fails.
    pub unfit: bool,
    pub incarnation: u64,
    pub stalled_until: u64,
    /// What came while it stood still.
    pub unread: VecDeque<Mail>,
    pub unreachable_until: u64,
    /// It has said goodbye.
    pub leaving: bool,
    pub conn: Option<Conn>,
    /// A connection that is not welcomed yet.
    pub dialing: Option<Conn>,
    /// Kept results: how each attempt ended.
    pub results: BTreeMap<Lease, Outcome>,
    /// Jobs, as it was told of them.
    pub known: BTreeMap<JobId, Arc<JobInfo>>,
    /// What each process that runs was said to need.
    pub needs: BTreeMap<Lease, Resources>,
    /// Processes that stand still, and how they end once they go on.
    pub frozen: BTreeMap<Lease, Option<(usize, Outcome)>>,
}

impl Worker {
    pub fn new(slots: u32, equipment: Equipment, ahead: u64, fault: Option<Fault>) -> Self {
        let mut table = SlotTable::new(slots, equipment.clone(), Allowance::default(), Epoch(0));
        table.plant(fault);
        Self {
            slots,
            ahead,
            equipment,
            table,
            epoch: Epoch(0),
            up: false,
            broken: false,
            unfit: false,
            incarnation: 0,
            stalled_until: 0,
            unread: VecDeque::new(),
            unreachable_until: 0,
            leaving: false,
            conn: None,
            dialing: None,
            results: BTreeMap::new(),
            known: BTreeMap::new(),
            needs: BTreeMap::new(),
            frozen: BTreeMap::new(),
        }
    }

    /// What its clock shows.
    pub fn clock(&self, now: u64) -> Instant {
        Instant(now + self.ahead)
    }

    pub fn crash(&mut self) {
        self.up = false;
        self.leaving = false;
        self.incarnation += 1;
        self.stalled_until = 0;
        self.unread.clear();
        self.conn = None;
        self.dialing = None;
        self.results.clear();
        self.known.clear();
        self.needs.clear();
        self.frozen.clear();
    }
}

/// The attempt, whatever epoch it is held under.
fn bare(lease: Lease) -> Lease {
    Lease { epoch: Epoch(0), ..lease }
}

impl World {
    pub fn start_worker(&mut self, at: usize) {
        let fault = self.fault;
        let worker = &mut self.workers[at];
        if worker.up {
            return;
        }
        worker.table = SlotTable::new(worker.slots, worker.equipment.clone(), Allowance::default(), worker.epoch);
        worker.table.plant(fault);
        worker.up = true;
        let incarnation = worker.incarnation;
        self.at(self.now, Addr::World, Mail::Connect(at, incarnation));
    }

    pub fn worker_leaves(&mut self, at: usize, incarnation: u64) {
        if self.workers[at].incarnation != incarnation || !self.workers[at].up {
            return;
        }
        self.story.drains += 1;
        self.workers[at].crash();
        let pause = self.rng.between(10, 10_000);
        self.at(self.now + pause, Addr::World, Mail::WorkerStarts(at));
        self.cut_worker(at);
    }

    /// What runs at a worker never takes more than it has.
    fn check_resources(&self, at: usize) -> Result<(), String> {
        let worker = &self.workers[at];
        let running = worker.table.running().filter_map(|lease| worker.needs.get(&lease));
        let (used, total) = (running.collect::<Tally>().sum(), worker.equipment.total());
        if !used.fits(total) {
            return Err(format!("worker {at} has {total:?} and runs tasks for {used:?}"));
        }
        worker.table.equipment().check()
    }

    /// What starts is what the job runs in this round, with what that needs.
    fn check_command(&mut self, at: usize, lease: Lease) -> Result<(), String> {
        let worker = &mut self.workers[at];
        let Some(info) = worker.known.get(&lease.job) else {
            return Err(format!("worker {at} starts {lease:?} of a job that it does not know"));
        };
        worker.needs.retain(|lease, _| worker.table.running().any(|running| running == *lease));
        worker.needs.insert(lease, info.spec.needs.clone());
        match self.disk.ledger.jobs.get(&lease.job) {
            Some(job)
                if lease.attempt > job.rounds.floor(lease.no)
                    && (&job.spec.command, &job.spec.needs) != (&info.spec.command, &info.spec.needs) =>
            {
                Err(format!(
                    "worker {at} starts {lease:?} as {:?} with {:?}, and it is {:?} with {:?}",
                    info.spec.command, info.spec.needs, job.spec.command, job.spec.needs
                ))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn redial(&mut self, at: usize) {
        let wait = self.rng.between(50, 1000);
        let incarnation = self.workers[at].incarnation;
        self.at(self.now + wait, Addr::Worker(at), Mail::Connect(at, incarnation));
    }

    /// A worker dials; its Hello goes off at once.
    pub fn connect(&mut self, at: usize, incarnation: u64) -> Result<(), String> {
        let worker = &self.workers[at];
        if !worker.up || worker.incarnation != incarnation || worker.conn.is_some() || worker.dialing.is_some() {
            return Ok(());
        }
        let reached = self.head.as_ref().filter(|_| worker.unreachable_until <= self.now);
        let Some(epoch) = reached.map(|head| head.epoch) else {
            self.redial(at);
            return Ok(());
        };
        self.last_session += 1;
        let conn = Conn { session: SessionId(self.last_session), epoch, worker: at, incarnation };
        self.alive.insert(conn, ());
        let worker = &mut self.workers[at];
        worker.dialing = Some(conn);
        let hello = FromWorker::Hello(Hello {
            key: format!("worker-{at}"),
            host: String::new(),
            slots: worker.slots,
            total: worker.equipment.total().clone(),
            confines: None,
            follows: true,
            epoch_seen: worker.epoch,
            dial: Dial { start: incarnation + 1, number: conn.session.0 },
            stamp: worker.clock(self.now),
            held: worker.table.held(),
        });
        if self.rng.percent(3) {
            self.dies_on_its_way(conn, hello);
        } else {
            self.say(conn, hello);
        }
        Ok(())
    }

    /// A connection breaks as soon as it stands; its Hello arrives all the same, perhaps after that of the next one.
    fn dies_on_its_way(&mut self, conn: Conn, hello: FromWorker) {
        let (worker, proxy) = (Addr::Worker(conn.worker), Addr::Proxy(conn.session));
        self.story.late_hellos += 1;
        self.oracle.cut(conn.worker, self.now);
        self.alive.remove(&conn);
        self.send(worker, proxy, conn.epoch.0, 1_500, Mail::ToHead(conn, hello));
        self.send(worker, proxy, conn.epoch.0, 300, Mail::HeadLearnsCut(conn));
        self.send(proxy, worker, conn.session.0, 100, Mail::WorkerLearnsCut(conn));
    }

    pub fn say(&mut self, conn: Conn, message: FromWorker) {
        if self.alive.contains_key(&conn) {
            let slow = self.slowest_message();
            self.send(Addr::Worker(conn.worker), Addr::Proxy(conn.session), conn.epoch.0, slow, Mail::ToHead(conn, message));
        }
    }

    pub fn worker_hears(&mut self, conn: Conn, message: ToWorker) -> Result<(), String> {
        let worker = &mut self.workers[conn.worker];
        if worker.incarnation != conn.incarnation {
            return Ok(());
        }
        if let ToWorker::Welcome { worker: id, .. } = &message {
            if worker.dialing != Some(conn) {
                return Ok(());
            }
            worker.dialing = None;
            worker.conn = Some(conn);
            self.oracle.welcomed(conn.worker, *id, self.now);
        }
        if matches!(message, ToWorker::Verdict(_, millpond::domain::wire::Verdict::Adopt)) {
            self.story.adopted += 1;
        }
        if let ToWorker::Runs(runs) = &message
            && self.workers[conn.worker].conn == Some(conn)
        {
            let table = &self.workers[conn.worker].table;
            let stays = !self.workers[conn.worker].leaving && !table.is_resting();
            if stays && runs.last().is_some_and(|run| run.seq > table.credit()) && table.session_is(conn.session) {
                self.oracle.declined(conn.worker, runs[0].lease)?;
            }
        }
        self.table_event(conn.worker, SlotEvent::Said(conn.session, message))
    }

    pub fn worker_loses(&mut self, conn: Conn) -> Result<(), String> {
        let worker = &mut self.workers[conn.worker];
        if worker.incarnation != conn.incarnation {
            return Ok(());
        }
        if worker.dialing == Some(conn) {
            worker.dialing = None;
            self.redial(conn.worker);
        }
        if self.workers[conn.worker].conn == Some(conn) {
            self.workers[conn.worker].conn = None;
            self.redial(conn.worker);
        }
        self.table_event(conn.worker, SlotEvent::Disconnected(conn.session))
    }

    pub fn worker_prepared(&mut self, at: usize, incarnation: u64, slot: usize, lease: Lease, how: Preparation) -> Result<(), String> {
        if self.workers[at].incarnation != incarnation {
            return Ok(());
        }
        self.table_event(at, SlotEvent::Prepared { slot, lease, how })
    }

    pub fn worker_ended(&mut self, at: usize, incarnation: u64, slot: usize, lease: Lease, outcome: Outcome) -> Result<(), String> {
        let worker = &mut self.workers[at];
        let runs = worker.table.running().any(|running| running.same_attempt(&lease));
        if worker.incarnation != incarnation || !runs {
            return Ok(());
        }
        if let Some(end) = worker.frozen.get_mut(&bare(lease)) {
            *end = Some((slot, outcome));
            return Ok(());
        }
        self.oracle.stops(at, lease, outcome.is_success());
        let health = if outcome == Outcome::Lost { Health::Failed } else { Health::Sound };
        if health == Health::Failed {
            self.story.given_back += 1;
            self.oracle.given_back(lease);
        }
        worker.results.insert(bare(lease), outcome);
        self.table_event(at, SlotEvent::Machine(health))?;
        // Where the next one's input is at hand it starts before the worker's actor has heard of anything.
        let now = Now { mono: self.workers[at].clock(self.now), ..self.clock() };
        let offered = self.workers[at].table.offers(now).next().map(|offer| offer.lease);
        let next = offered.filter(|_| health == Health::Sound && self.rng.percent(50));
        self.table_event(at, SlotEvent::Ended { slot, lease, bytes: 1, next })?;
        self.story.passed_on += u64::from(next.is_some());
        next.map_or(Ok(()), |next| self.process_starts(at, slot, next))
    }

    fn process_starts(&mut self, at: usize, slot: usize, lease: Lease) -> Result<(), String> {
        let incarnation = self.workers[at].incarnation;
        self.oracle.starts(at, lease, self.now)?;
        self.check_command(at, lease)?;
        self.check_resources(at)?;
        self.story.started += 1;
        // Where tasks are short one is long now and then.
        let longest = if self.quick && !self.rng.percent(2) { 3 } else { 4_000 };
        let time = self.now + self.rng.between(1, longest);
        let fails = self.rng.percent(10) || self.workers[at].broken;
        let unfit = self.workers[at].unfit || self.rng.percent(1);
        let outcome = if unfit { Outcome::Lost } else { Outcome::Exited { code: i32::from(fails) } };
        self.at(time, Addr::Worker(at), Mail::Ended(at, incarnation, slot, lease, outcome));
        if self.deadly == Some((lease.job, lease.no)) {
            let soon = self.now + self.rng.below(2);
            self.at(soon, Addr::World, Mail::Fault(FaultKind::CrashWorker(at)));
        }
        Ok(())
    }

    /// A kept result reaches the stream.
    pub fn worker_delivers(&mut self, at: usize, incarnation: u64, lease: Lease) {
        let worker = &self.workers[at];
        let Some(outcome) = worker.results.get(&bare(lease)).cloned() else { return };
        if worker.incarnation == incarnation
            && let Some(conn) = worker.conn
        {
            let ended = self.clock().wall;
            self.say(conn, crate::head::a_result(lease, outcome, ended));
        }
    }

    pub fn table_event(&mut self, at: usize, event: SlotEvent) -> Result<(), String> {
        let now = Now { mono: self.workers[at].clock(self.now), ..self.clock() };
        let effects = self.workers[at].table.on_event(event, now);
        let ahead = u64::from(self.workers[at].table.ahead());
        self.story.most_ahead = self.story.most_ahead.max(ahead);
        effects.into_iter().try_for_each(|effect| self.slot_effect(at, effect))
    }

    fn slot_effect(&mut self, at: usize, effect: SlotEffect) -> Result<(), String> {
        let incarnation = self.workers[at].incarnation;
        match effect {
            SlotEffect::Say(message) => {
                if let Some(conn) = self.workers[at].conn {
                    self.say(conn, message);
                }
            }
            SlotEffect::Prepare { slot, lease, .. } => {
                let slow = if self.quick {
                    2
                } else if self.rng.percent(15) {
                    10_000
                } else {
                    30
                };
                let time = self.now + self.rng.below(slow);
                let how = match self.rng.below(100) {
                    0..=3 => Preparation::Declined,
                    4 => Preparation::Failed,
                    _ => Preparation::Ready,
                };
                self.at(time, Addr::Worker(at), Mail::Prepared(at, incarnation, slot, lease, how));
            }
            SlotEffect::Start { slot, lease, gpus: _ } => self.process_starts(at, slot, lease)?,
            SlotEffect::Freeze { lease, frozen: true, .. } => {
                self.workers[at].frozen.insert(bare(lease), None);
            }
            SlotEffect::Freeze { lease, frozen: false, .. } => {
                if let Some((slot, outcome)) = self.workers[at].frozen.remove(&bare(lease)).flatten() {
                    let time = self.now + self.rng.between(1, 1_000);
                    self.at(time, Addr::Worker(at), Mail::Ended(at, incarnation, slot, lease, outcome));
                }
            }
            SlotEffect::Stop { slot, lease, .. } => {
                self.workers[at].frozen.remove(&bare(lease));
                let time = self.now + self.rng.between(1, 100);
                let outcome = if self.rng.percent(50) { Outcome::Revoked } else { Outcome::Exited { code: 1 } };
                self.at(time, Addr::Worker(at), Mail::Ended(at, incarnation, slot, lease, outcome));
            }
            SlotEffect::Fail { lease } => {
                self.oracle.not_started(lease);
                self.workers[at].results.insert(bare(lease), Outcome::Exited { code: 1 });
            }
            SlotEffect::Deliver(lease) => {
                let time = self.now + self.rng.below(50);
                self.at(time, Addr::Worker(at), Mail::Deliver(at, incarnation, lease));
                if self.rng.percent(5) {
                    self.at(time + 1, Addr::Worker(at), Mail::Deliver(at, incarnation, lease));
                }
            }
            SlotEffect::Forget(lease) => {
                self.workers[at].results.remove(&bare(lease));
            }
            // The head of the simulator has nobody who follows.
            SlotEffect::Follow(_) => {}
            SlotEffect::KeepEpoch(epoch) => self.workers[at].epoch = epoch,
            SlotEffect::EndSession(session) => {
                if let Some(conn) = self.workers[at].conn.filter(|conn| conn.session == session) {
                    self.oracle.disturbed(at, self.now);
                    self.workers[at].conn = None;
                    self.cut(conn);
                    self.redial(at);
                }
            }
            SlotEffect::Leave => {
                self.workers[at].leaving = true;
                // Its goodbye goes out first.
                self.at(self.now + 50, Addr::World, Mail::WorkerLeaves(at, incarnation));
            }
            SlotEffect::WakeAt(time) => {
                let time = time.0 - self.workers[at].ahead;
                self.at(time, Addr::Worker(at), Mail::SlotTick(at, incarnation));
            }
            SlotEffect::Learn(info) => {
                self.workers[at].known.insert(info.job, info);
            }
            SlotEffect::Unlearn(job) => {
                self.workers[at].known.remove(&job);
            }
            SlotEffect::CancelPrepare { .. } | SlotEffect::Rest(_) => {}
        }
        Ok(())
    }
}
