//! The head: the real `Roster`, `JobMachine`s and `Session`s, joined as the actors join them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use millpond::domain::entry::{Entry, JobEntry, Submitted};
use millpond::domain::verb::{Verb, Wish};
use millpond::domain::wire::{Finished, FromWorker, Hello, Lease, ResultBytes, ToWorker, Verdict};
use millpond::domain::{
    ArrayRange, Epoch, Input, Instant, JobId, JobSpec, JobState, Keep, MaxFailed, Merge, Outcome, Packed, Policy, Resources, ResultRef,
    SessionId, Timing, WallTime, WorkerId,
};
use millpond::engine::session::Delivery;
use millpond::engine::{
    Admission, Arrivals, JobEffect, JobEvent, JobMachine, JobView, Retention, Roster, RosterEffect, RosterEvent, Session, SessionEvent,
    SlotEvent,
};
use millpond::limits;

use crate::client::change_of;
use crate::order::Order;
use crate::rng::Rng;
use crate::world::{Addr, Conn, Mail, World};

/// Mail inside the head.
#[derive(Clone, Debug)]
pub enum HeadMail {
    Job(JobEvent),
    Roster(Box<RosterEvent>),
    Session(Box<SessionEvent>),
    Synced,
    /// A client asks for a job, by the number of its wish.
    Submit(usize),
    /// A proxy's last word: when its worker was last heard.
    Closed(SessionId, Instant),
    /// Begin a job anew from the journal.
    Rebuild(JobId),
    /// A proxy tells a rebuilt job what its worker holds of it.
    Reclaim(JobId),
    /// A worker's attachment is durable: let it in.
    Attach(Conn, Box<Hello>, WorkerId),
}

pub struct Head {
    pub epoch: Epoch,
    pub roster: Roster,
    pub jobs: BTreeMap<JobId, JobMachine>,
    /// Of these, those that have ended: their actors have retired, and the supervisor answers for them.
    pub ended: BTreeSet<JobId>,
    pub sessions: BTreeMap<SessionId, (Session, Conn)>,
    /// Attachments that wait for the disk.
    pub attaching: BTreeMap<u64, (Conn, Box<Hello>, WorkerId)>,
    pub last_attach: u64,
    pub arrivals: Arrivals,
    /// Wishes that wait for an answer, by ticket.
    pub wishes: BTreeMap<u64, usize>,
    pub admission: Admission,
    pub retention: Retention,
    /// Jobs whose deletion is on its way to the disk.
    pub deleting: BTreeSet<JobId>,
    pub attempt_floors: BTreeMap<JobId, u32>,
    /// When it started.
    pub began: u64,
    pub syncing: bool,
    pub tickets: BTreeMap<u64, (JobId, Verb)>,
    pub last_ticket: u64,
    /// The view of each job that the supervisor has, or will have.
    pub told: BTreeMap<JobId, JobView>,
    order: Order,
    /// Since when a task waits beside a slot that it fits, and how many deliveries there had been.
    idle: Option<(u64, u64)>,
}

pub fn a_job(number: u64, count: u32, rng: &mut Rng) -> Submitted {
    let cpus = if rng.percent(30) { rng.between(1, 3) as u32 } else { 0 };
    let max_failed = rng.percent(12).then(|| MaxFailed::Count(rng.below(4) as u32));
    let (gpus, mem_bytes) = if rng.percent(20) { (rng.below(3) as u32, rng.below(5)) } else { (0, 0) };
    let needs = Resources { cpus, gpus, mem_bytes, ..Resources::default() };
    let spec = JobSpec {
        name: format!("job {number}"),
        owner: format!("owner {}", rng.below(2)),
        input: Input::Array(ArrayRange { first: 0, last: count - 1, step: 1 }),
        command: vec!["true".into()],
        env: Vec::new(),
        with: Vec::new(),
        needs,
        timeout: None,
        grace: limits::DEFAULT_GRACE,
        retries: rng.below(3) as u32,
        merge: Merge::None,
        policy: Policy { retry_delay: Duration::from_millis(rng.below(3) * 700), max_failed, ..Policy::default() },
        image: None,
    };
    let max_running = rng.percent(20).then(|| rng.between(1, 3) as u32);
    Submitted { job: JobId(number), spec, request_id: String::new(), priority: 0, max_running, held: rng.percent(10), at: WallTime(0) }
}

pub fn a_result(lease: Lease, outcome: Outcome, ended: WallTime) -> FromWorker {
    FromWorker::Finished(Box::new(Finished {
        lease,
        outcome,
        timing: Timing { started: WallTime(0), ended },
        packed: Packed::default(),
        bytes: ResultBytes::Inline(Vec::new()),
    }))
}

impl World {
    pub fn start_head(&mut self) -> Result<(), String> {
        if self.head.is_some() {
            return Ok(());
        }
        self.disk.epoch += 1;
        let epoch = Epoch(self.disk.epoch);
        let known: BTreeSet<WorkerId> = self.disk.ledger.attached.clone();
        let mut jobs = BTreeMap::new();
        for record in self.disk.ledger.jobs.values() {
            let known = if record.ended.is_some() { BTreeSet::new() } else { known.clone() };
            let mut machine = JobMachine::new(record.clone(), epoch, known);
            machine.plant(self.fault);
            jobs.insert(record.id, machine);
        }
        let mut admission = Admission::new(&self.disk.ledger);
        admission.plant(self.fault);
        let mut arrivals = Arrivals::default();
        arrivals.plant(self.fault);
        let mut roster = Roster::default();
        roster.plant(self.fault);
        let mut retention = Retention::new(Keep::default(), &self.disk.ledger);
        retention.plant(self.fault);
        let ids: Vec<JobId> = jobs.keys().copied().collect();
        self.head = Some(Head {
            epoch,
            roster,
            ended: jobs.values().filter(|job: &&JobMachine| job.record().ended.is_some()).map(|job| job.record().id).collect(),
            jobs,
            sessions: BTreeMap::new(),
            attaching: BTreeMap::new(),
            last_attach: 0,
            arrivals,
            wishes: BTreeMap::new(),
            retention,
            deleting: BTreeSet::new(),
            admission,
            attempt_floors: BTreeMap::new(),
            began: self.now,
            syncing: false,
            tickets: BTreeMap::new(),
            last_ticket: 0,
            told: BTreeMap::new(),
            order: Order::default(),
            idle: None,
        });
        self.look_at_disk()?;
        for id in ids {
            self.tell_tasks(id);
            self.open_window(id, epoch);
        }
        self.retain_all();
        Ok(())
    }

    /// A job that was begun again waits so long for the workers that may hold its tasks.
    pub fn open_window(&mut self, id: JobId, epoch: Epoch) {
        let over = self.now + limits::REATTACH_WINDOW.as_millis() as u64;
        self.at(over, Addr::Job(id), Mail::Head(epoch, HeadMail::Job(JobEvent::RecoveryOver)));
    }

    /// A job's actor gets its tasks when it starts.
    pub fn tell_tasks(&mut self, id: JobId) {
        let count = match &self.disk.ledger.jobs[&id].spec.input {
            Input::Array(array) => array.count() as u32,
            Input::Dataset { .. } => 1,
        };
        self.inside(Addr::Supervisor, Addr::Job(id), HeadMail::Job(JobEvent::SplitDone(count)));
    }

    /// Mail between actors of the head.
    pub fn inside(&mut self, from: Addr, to: Addr, mail: HeadMail) {
        if let Some(epoch) = self.head.as_ref().map(|head| head.epoch) {
            self.send(from, to, epoch.0, 2, Mail::Head(epoch, mail));
        }
    }

    pub fn beat(&mut self) -> Result<(), String> {
        self.at(self.now + 1_000, Addr::World, Mail::Beat);
        if let Some(head) = &self.head {
            let jobs: Vec<JobId> = head.jobs.keys().copied().collect();
            let sessions: Vec<SessionId> = head.sessions.keys().copied().collect();
            for id in jobs {
                self.inside(Addr::World, Addr::Job(id), HeadMail::Job(JobEvent::Tick));
            }
            for id in sessions {
                self.inside(Addr::World, Addr::Proxy(id), HeadMail::Session(Box::new(SessionEvent::Tick)));
            }
        }
        for at in 0..self.workers.len() {
            let worker = &self.workers[at];
            if let Some(conn) = worker.conn.filter(|_| worker.up && worker.stalled_until <= self.now) {
                let stamp = worker.clock(self.now);
                self.say(conn, FromWorker::Heartbeat(stamp));
            }
            if self.workers[at].up && self.workers[at].stalled_until <= self.now {
                self.table_event(at, SlotEvent::Tick)?;
            }
        }
        self.inside(Addr::World, Addr::Supervisor, HeadMail::Roster(Box::new(RosterEvent::Tick(Instant(self.now)))));
        self.check_idle()
    }

    /// A slot is not free for long while a task waits that fits it.
    fn check_idle(&mut self) -> Result<(), String> {
        if !self.looks {
            return Ok(());
        }
        let (now, deliveries) = (self.now, self.story.deliveries);
        let Some(head) = &mut self.head else { return Ok(()) };
        let wanting = head.jobs.values().filter(|job| job.wanted() > 0).map(|job| job.record());
        let fits = |needs: &Resources| {
            let room = head.sessions.iter().filter(|(_, (session, _))| session.room().free > 0);
            room.filter_map(|(id, _)| head.order.free_at(*id)).any(|free| needs.fits(&free))
        };
        let waits = wanting.map(|record| (record.id, &record.spec.needs)).find(|(_, needs)| fits(needs)).map(|(id, _)| id);
        // Unless a worker is kept free for a large task, or nothing is granted at all.
        let kept_free = head.order.reserves(now) || head.order.disk_is_full();
        head.idle = match (waits.filter(|_| !kept_free), head.idle) {
            (None, _) => None,
            (Some(_), Some((since, before))) if before == deliveries => Some((since, before)),
            (Some(_), _) => Some((now, deliveries)),
        };
        match (waits, head.idle) {
            (Some(job), Some((since, _))) if now >= since + 3_000 => {
                Err(format!("{job} waits since {since} ms beside a free slot, and nothing was sent until {now} ms"))
            }
            _ => Ok(()),
        }
    }

    pub fn tell(&mut self, conn: Conn, message: ToWorker) {
        if self.alive.contains_key(&conn) {
            let slow = self.slowest_message();
            self.send(Addr::Proxy(conn.session), Addr::Worker(conn.worker), conn.session.0, slow, Mail::ToWorker(conn, message));
        }
    }

    pub fn head_mail(&mut self, epoch: Epoch, to: Addr, mail: HeadMail) -> Result<(), String> {
        if self.head.as_ref().is_none_or(|head| head.epoch != epoch) {
            return Ok(());
        }
        match (to, mail) {
            (Addr::Job(id), HeadMail::Job(event)) => self.job_event(id, event),
            (Addr::Supervisor, HeadMail::Roster(event)) => {
                if matches!(*event, RosterEvent::Tick(_)) {
                    self.look_at_disk()?;
                    self.remove_expired()?;
                }
                self.roster_event(*event)
            }
            (Addr::Proxy(id), HeadMail::Session(event)) => self.session_event(id, *event),
            (Addr::Journal, HeadMail::Synced) => self.synced(),
            (Addr::Supervisor, HeadMail::Submit(wish)) => self.submit(wish),
            (Addr::Supervisor, HeadMail::Attach(conn, hello, worker)) => self.attach(conn, *hello, worker),
            (Addr::Supervisor, HeadMail::Closed(session, heard)) => self.closed(session, heard),
            (Addr::Supervisor, HeadMail::Rebuild(job)) => self.rebuild(job),
            (Addr::Proxy(id), HeadMail::Reclaim(job)) => {
                self.reclaim(id, job);
                Ok(())
            }
            (to, mail) => Err(format!("mail that nobody takes: {to:?} {mail:?}")),
        }
    }

    pub fn each_job(&mut self, event: impl Fn(JobId) -> JobEvent) {
        let jobs: Vec<JobId> = self.head.iter().flat_map(|head| head.jobs.keys().copied()).collect();
        for id in jobs {
            self.inside(Addr::Supervisor, Addr::Job(id), HeadMail::Job(event(id)));
        }
    }

    pub fn roster_event(&mut self, event: RosterEvent) -> Result<(), String> {
        let Some(head) = &mut self.head else { return Ok(()) };
        let effects = if self.looks {
            let effects = head.roster.on_event(event.clone());
            head.roster.check()?;
            head.order.check(event, &effects, self.now)?;
            effects
        } else {
            head.roster.on_event(event)
        };
        for effect in effects {
            match effect {
                RosterEffect::Grant { job, grant, session, worker, slots } => {
                    self.send_job(job, JobEvent::Granted { grant, session, worker, slots });
                }
                RosterEffect::Recall(session) => {
                    self.story.recalls += 1;
                    self.tell_session(Addr::Supervisor, session, SessionEvent::Recall);
                }
            }
        }
        Ok(())
    }

    fn send_job(&mut self, job: JobId, event: JobEvent) {
        self.inside(Addr::Supervisor, Addr::Job(job), HeadMail::Job(event));
    }

    fn job_event(&mut self, id: JobId, event: JobEvent) -> Result<(), String> {
        let now = self.clock();
        if self.head.as_ref().is_some_and(|head| head.ended.contains(&id)) {
            return self.event_of_ended(id, event);
        }
        let success_of = match &event {
            JobEvent::Finished { outcome, .. } => Some(outcome.is_success()),
            _ => None,
        };
        if !self.disk.ledger.jobs.contains_key(&id) {
            self.news_of_deleted(id, &event);
        }
        let Some(head) = self.head.as_mut() else { return Ok(()) };
        let being_deleted = matches!(event, JobEvent::Verb { .. }) && head.deleting.contains(&id);
        let Some(machine) = head.jobs.get_mut(&id).filter(|_| !being_deleted) else { return Ok(()) };
        if let JobEvent::Verb { wish: Wish { verb: Verb::Resume, .. }, .. } = event {
            self.oracle.resumed(id);
        }
        let effects = machine.on_event(event, now);
        if self.looks {
            machine.check()?;
        }
        let view = machine.view();
        for effect in effects {
            self.job_effect(id, effect, success_of)?;
        }
        // Only changes are told, as the actor does.
        let Some(head) = &mut self.head else { return Ok(()) };
        if head.told.get(&id) != Some(&view) {
            head.told.insert(id, view.clone());
            self.inside(Addr::Job(id), Addr::Supervisor, HeadMail::Roster(Box::new(RosterEvent::Job(Box::new(view)))));
        }
        Ok(())
    }

    pub fn job_effect(&mut self, id: JobId, effect: JobEffect, success: Option<bool>) -> Result<(), String> {
        let (me, epoch) = (Addr::Job(id), Epoch(self.disk.epoch));
        match effect {
            JobEffect::Deliver { grant, session, runs } => {
                let lease = |(no, attempt)| Lease { job: id, no, attempt, epoch };
                self.story.deliveries += u64::from(!runs.is_empty());
                let machine = self.head.as_ref().and_then(|head| head.jobs.get(&id));
                let most = machine.and_then(|machine| machine.record().max_running);
                if let (Some(machine), Some(most)) = (machine.filter(|_| !runs.is_empty()), most) {
                    let out = machine.all_out().count();
                    if out > most as usize {
                        return Err(format!("{id} has {out} tasks out, and may have {most}"));
                    }
                }
                let runs = runs.into_iter().map(|run| Delivery { lease: lease(run), chunk: None }).collect();
                self.tell_session(me, session, SessionEvent::Deliver { grant, job: id, needs: self.needs_of(id), runs });
            }
            JobEffect::Fence(session, fence) => self.tell_session(me, session, SessionEvent::Fence(fence, id)),
            JobEffect::Stop(session, lease, grace) => self.tell_session(me, session, SessionEvent::Pass(ToWorker::Stop(lease, grace))),
            JobEffect::Freeze(session, lease, frozen) => {
                self.tell_session(me, session, SessionEvent::Pass(ToWorker::Freeze(lease, frozen)));
            }
            JobEffect::Poison { no, .. } => {
                self.story.poisoned += 1;
                let event = JobEvent::Poisoned { no, result: ResultRef { offset: 0, len: 0 } };
                self.inside(me, me, HeadMail::Job(event));
            }
            JobEffect::Verdict(session, lease, verdict) => {
                match verdict {
                    Verdict::Adopt | Verdict::AdoptFrozen => {
                        self.tell_session(me, session, SessionEvent::Adopted(Lease { epoch, ..lease }, self.needs_of(id)))
                    }
                    Verdict::Send => self.tell_session(me, session, SessionEvent::Adopted(Lease { epoch, ..lease }, Resources::default())),
                    Verdict::Stop => {}
                }
                self.tell_session(me, session, SessionEvent::Pass(ToWorker::Verdict(lease, verdict)));
            }
            JobEffect::Ack(session, lease) => {
                if let Some(success) = success {
                    self.oracle.acknowledged(lease, success, &self.disk.ledger)?;
                }
                self.tell_session(me, session, SessionEvent::Pass(ToWorker::Ack(vec![lease])));
            }
            JobEffect::Persist(seq, entry) => {
                if let JobEntry::Controlled { verb: Verb::Resume, .. } = &entry {
                    // Also one that comes by itself.
                    self.oracle.resumed(id);
                }
                self.story.gave_up +=
                    u64::from(matches!(&entry, JobEntry::Ended { state: JobState::Failed, reason, .. } if !reason.is_empty()));
                self.write(Entry::Job(id, entry), me, seq);
            }
            JobEffect::Reply(ticket, reply) => {
                let asked = self.head.as_mut().and_then(|head| head.tickets.remove(&ticket));
                if let (Some((job, verb)), Ok(reply)) = (asked, reply) {
                    self.story.kills += u64::from(matches!(verb, Verb::Kill(_)));
                    self.story.pauses += u64::from(verb.hold().is_some());
                    self.story.retries += u64::from(matches!(verb, Verb::Retry { .. }) && reply.changed);
                    self.story.unconfirmed += reply.unconfirmed.len() as u64;
                    self.oracle.replied(&self.disk.ledger.jobs[&job], verb, &reply)?;
                    self.story.changed += u64::from(change_of(verb).is_some() && reply.changed);
                }
            }
            JobEffect::Wake(at) => {
                let epoch = Epoch(self.disk.epoch);
                self.at(at.0, me, Mail::Head(epoch, HeadMail::Job(JobEvent::Tick)));
            }
            JobEffect::Ended(_) => self.retire(id)?,
            JobEffect::TaskFailed(..) | JobEffect::NoteLost { .. } => {}
        }
        Ok(())
    }

    pub fn needs_of(&self, job: JobId) -> Resources {
        self.disk.ledger.jobs.get(&job).map(|job| job.spec.needs.clone()).unwrap_or_default()
    }
}
