//! One connected worker, seen from the head: its leases, and how much room it has.
//!
//! The room is what the worker announced, less the runs it had not seen then. The announcement is absolute and says which run was
//! the last it took in, so that neither a delayed nor a repeated one can make room that is not there.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::wire::{FromWorker, Lease, Run, Standing, ToWorker, Verdict};
use crate::domain::{
    Attempt, Chunk, Epoch, FenceId, GrantId, Instant, JobId, Resources, Room, SessionId, Tally, TaskNo, WallTime, WorkerId,
};
use crate::limits;

use super::fault::Fault;
use super::now::Now;
use super::suspicion::{Suspicion, Trust};

use phase::Seen;

mod phase;

/// A run as the job delivers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The right to run it.
    pub lease: Lease,
    /// Its input.
    pub chunk: Option<Chunk>,
}

/// Something that happened in, or to, the session.
#[derive(Clone, Debug)]
pub enum SessionEvent {
    /// A job answers a grant; with no runs it returns all its slots.
    Deliver {
        /// The grant that is settled by it.
        grant: GrantId,
        /// The job.
        job: JobId,
        /// What each run takes.
        needs: Resources,
        /// At most as many as slots were granted.
        runs: Vec<Delivery>,
    },
    /// A job asks what of it has started.
    Fence(FenceId, JobId),
    /// The worker holds this running attempt, and it takes so much. To be told for every claim of its Hello, before the first room goes to the
    /// supervisor, so that nothing is promised twice; a verdict of Stop takes it back.
    Adopted(Lease, Resources),
    /// A job has ended.
    JobGone(JobId),
    /// What the worker has no slot for yet is to come back.
    Recall,
    /// To be passed on to the worker as it is: Stop, Ack, Verdict.
    Pass(ToWorker),
    /// The worker said something; not Hello.
    Said(FromWorker),
    /// Take no more tasks, or, false, take tasks again.
    Drain(bool),
    /// Time has passed.
    Tick,
}

/// What the worker's proxy must do.
#[derive(Clone, Debug, PartialEq)]
pub enum SessionEffect {
    /// Send this to the worker.
    Send(ToWorker),
    /// Send what the worker must know of the job, before its first run.
    Introduce(JobId),
    /// Tell a job that these will not start.
    Returned(JobId, Vec<Lease>),
    /// Tell a job that these have started.
    Started(JobId, Vec<Lease>),
    /// Tell a job the answer to its fence.
    Fenced {
        /// Whose fence.
        job: JobId,
        /// Which.
        fence: FenceId,
        /// Had started.
        started: Vec<Lease>,
        /// Will never start.
        dropped: Vec<Lease>,
    },
    /// Tell the supervisor the room.
    Room {
        /// What may be granted.
        room: Room,
        /// Resources that are free.
        free: Resources,
        /// Grants that this report includes.
        settled: Vec<GrantId>,
        /// How the worker may be used.
        trust: Trust,
    },
    /// The worker fell under suspicion, and why; or, none, out of it.
    Suspicion(Option<String>),
    /// The worker has been silent too long, or has said goodbye: the session is over.
    Over {
        /// It left in order, with nothing in its hands.
        goodbye: bool,
    },
}

#[derive(Clone, Debug)]
struct Held {
    lease: Lease,
    needs: Resources,
    /// The run's number while it is only sent.
    sent: Option<u64>,
    /// When it was sent, or started; none if that was in an earlier session.
    since: Option<WallTime>,
}

/// A lease as shown to people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseStatus {
    /// Which.
    pub lease: Lease,
    /// Whether its process has started.
    pub started: bool,
    /// When it was started, or, before that, sent; none if that was in an earlier session.
    pub since: Option<WallTime>,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Session {
    id: SessionId,
    worker: WorkerId,
    slots: u32,
    total: Resources,
    /// None before the first announcement.
    announced: Option<Room>,
    standing: Standing,
    last_run_seen: u64,
    last_run: u64,
    /// By attempt: a worker may run a task's second attempt and still have the result of its first.
    held: BTreeMap<Key, Held>,
    /// What those take: kept.
    taken: Tally,
    /// Results that came and are not acknowledged.
    unacknowledged: BTreeMap<Key, Lease>,
    /// Jobs the worker knows.
    introduced: BTreeSet<JobId>,
    fences: BTreeMap<FenceId, (JobId, FenceId)>,
    last_fence: u64,
    draining: bool,
    /// When the last message came; the worker's lease began no later.
    heard: Instant,
    suspicion: Suspicion,
    seen: Seen,
    fault: Option<Fault>,
}

impl Session {
    /// A worker has just connected. Until it announces room it has none.
    pub fn new(id: SessionId, worker: WorkerId, slots: u32, total: Resources, now: Now) -> Self {
        Self {
            id,
            worker,
            slots,
            total,
            announced: None,
            standing: Standing::default(),
            last_run_seen: 0,
            last_run: 0,
            held: BTreeMap::new(),
            taken: Tally::default(),
            unacknowledged: BTreeMap::new(),
            introduced: BTreeSet::new(),
            fences: BTreeMap::new(),
            last_fence: 0,
            draining: false,
            heard: now.mono,
            suspicion: Suspicion::default(),
            seen: Seen::new(now),
            fault: None,
        }
    }

    /// Plants a mistake, for tests.
    pub fn plant(&mut self, fault: Option<Fault>) {
        self.fault = fault;
    }

    /// Takes one event in, and says what is to be done, in order.
    pub fn on_event(&mut self, event: SessionEvent, now: Now) -> Vec<SessionEffect> {
        let mut effects = Vec::new();
        match event {
            SessionEvent::Deliver { grant, job, needs, runs } => self.deliver(grant, job, &needs, runs, now, &mut effects),
            SessionEvent::Fence(fence, job) => {
                self.last_fence += 1;
                self.fences.insert(FenceId(self.last_fence), (job, fence));
                effects.push(SessionEffect::Send(ToWorker::Fence(FenceId(self.last_fence), job)));
            }
            SessionEvent::Adopted(lease, needs) => {
                // What is known of it stays: a job that is begun again takes a result that waits, or has just come, for a task that runs.
                if !self.unacknowledged.contains_key(&key(&lease)) {
                    match self.held.get_mut(&key(&lease)) {
                        Some(held) => (held.lease, held.sent) = (lease, None),
                        None => self.hold(Held { lease, needs, sent: None, since: None }),
                    }
                }
                effects.push(self.room_report(Vec::new(), now));
            }
            SessionEvent::JobGone(job) => {
                self.introduced.remove(&job);
                // Nothing of it is wanted any more; who would have said so may have failed shortly before the end.
                let kept: Vec<Lease> = self.unacknowledged.values().filter(|lease| lease.job == job).copied().collect();
                if !kept.is_empty() {
                    self.pass(ToWorker::Ack(kept), now, &mut effects);
                }
                effects.push(SessionEffect::Send(ToWorker::JobGone(job)));
            }
            SessionEvent::Recall => effects.push(SessionEffect::Send(ToWorker::Recall)),
            SessionEvent::Pass(message) => self.pass(message, now, &mut effects),
            SessionEvent::Said(message) => self.said(message, now, &mut effects),
            SessionEvent::Drain(drain) => {
                self.draining = drain;
                if !drain && self.suspicion.pardon() {
                    effects.push(SessionEffect::Suspicion(None));
                }
                effects.push(SessionEffect::Send(ToWorker::Drain(drain)));
                effects.push(self.room_report(Vec::new(), now));
            }
            SessionEvent::Tick => {
                if now.mono.since(self.heard) >= limits::WORKER_SILENT_AFTER {
                    effects.push(SessionEffect::Over { goodbye: false });
                } else if self.trust(now) == Trust::Probe {
                    effects.push(self.room_report(Vec::new(), now));
                }
            }
        }
        self.note_phase(now);
        effects
    }

    fn pass(&mut self, message: ToWorker, now: Now, effects: &mut Vec<SessionEffect>) {
        match &message {
            ToWorker::Ack(leases) => leases.iter().for_each(|lease| self.acknowledge(lease)),
            ToWorker::Verdict(lease, Verdict::Stop) => {
                self.acknowledge(lease);
                self.drop_lease(lease);
                effects.push(self.room_report(Vec::new(), now));
            }
            _ => {}
        }
        effects.push(SessionEffect::Send(message));
    }

    fn acknowledge(&mut self, lease: &Lease) {
        self.unacknowledged.remove(&key(lease));
    }

    fn deliver(
        &mut self,
        grant: GrantId,
        job: JobId,
        needs: &Resources,
        mut runs: Vec<Delivery>,
        now: Now,
        effects: &mut Vec<SessionEffect>,
    ) {
        // The room may have shrunk since the grant, or have been granted twice, when a job's actor failed: what does not fit goes back.
        let surplus = runs.split_off(self.fitting(needs, runs.len()));
        if !surplus.is_empty() {
            effects.push(SessionEffect::Returned(job, surplus.iter().map(|run| run.lease).collect()));
        }
        if !runs.is_empty() {
            self.introduce(job, effects);
        }
        for batch in runs.chunks(limits::LEASES_PER_MESSAGE_MAX) {
            let batch = batch.iter().map(|run| self.send(run, needs, now)).collect();
            effects.push(SessionEffect::Send(ToWorker::Runs(batch)));
        }
        effects.push(self.room_report(vec![grant], now));
    }

    fn introduce(&mut self, job: JobId, effects: &mut Vec<SessionEffect>) {
        if self.introduced.len() >= limits::INTRODUCED_JOBS_MAX {
            let jobs = self.jobs();
            self.introduced.retain(|known| jobs.contains(known));
        }
        if self.introduced.insert(job) {
            effects.push(SessionEffect::Introduce(job));
        }
    }

    fn send(&mut self, run: &Delivery, needs: &Resources, now: Now) -> Run {
        self.last_run += 1;
        let held = Held { lease: run.lease, needs: needs.clone(), sent: Some(self.last_run), since: Some(now.wall) };
        self.hold(held);
        Run { seq: self.last_run, lease: run.lease, chunk: run.chunk }
    }

    fn said(&mut self, message: FromWorker, now: Now, effects: &mut Vec<SessionEffect>) {
        let by_wall = self.fault == Some(Fault::WallClockTrusted);
        self.heard = if by_wall { Instant(u64::try_from(now.wall.0 / 1000).unwrap_or(0)) } else { now.mono };
        match message {
            FromWorker::Room { room, last_run_seen } => {
                self.announced = Some(Room { free: room.free.min(self.slots), ahead: room.ahead.min(limits::AHEAD_MAX) });
                // Never beyond what was sent, whatever the worker says.
                self.last_run_seen = last_run_seen.min(self.last_run);
                effects.push(self.room_report(Vec::new(), now));
            }
            FromWorker::Standing(standing) => self.standing = standing,
            FromWorker::Started(leases) => {
                for (job, leases) in by_job(leases) {
                    leases.iter().for_each(|lease| self.start(lease, now));
                    effects.push(SessionEffect::Started(job, leases));
                }
            }
            FromWorker::Declined(lease) => {
                self.drop_lease(&lease);
                effects.push(SessionEffect::Returned(lease.job, vec![lease]));
                effects.push(self.room_report(Vec::new(), now));
            }
            FromWorker::Fenced { fence, started, dropped } => {
                started.iter().for_each(|lease| self.start(lease, now));
                dropped.iter().for_each(|lease| {
                    self.drop_lease(lease);
                });
                match self.fences.remove(&fence) {
                    Some((job, fence)) => effects.push(SessionEffect::Fenced { job, fence, started, dropped }),
                    // Not our question, but what it says of its tasks still holds.
                    None => {
                        effects.extend(by_job(started).into_iter().map(|(job, leases)| SessionEffect::Started(job, leases)));
                        effects.extend(by_job(dropped).into_iter().map(|(job, leases)| SessionEffect::Returned(job, leases)));
                    }
                }
                effects.push(self.room_report(Vec::new(), now));
            }
            FromWorker::Finished(finished) => {
                let lease = finished.lease;
                // Only what we gave out or asked for, so that a worker can't make the head remember without end.
                if self.drop_lease(&lease) {
                    self.unacknowledged.insert(key(&lease), lease);
                    if self.suspicion.ended(lease.job, &finished.outcome, now.mono) {
                        effects.push(SessionEffect::Suspicion(self.suspicion.describe(now.mono)));
                    }
                }
                effects.push(self.room_report(Vec::new(), now));
            }
            FromWorker::Goodbye => effects.push(SessionEffect::Over { goodbye: self.held.is_empty() }),
            FromWorker::Heartbeat(stamp) => effects.push(SessionEffect::Send(ToWorker::Heartbeat(stamp))),
            FromWorker::Hello(_) => {}
        }
    }

    fn start(&mut self, lease: &Lease, now: Now) {
        if let Some(held) = self.held.get_mut(&key(lease)).filter(|held| held.sent.is_some()) {
            (held.sent, held.since) = (None, Some(now.wall));
        }
    }

    /// Whether it was held.
    fn drop_lease(&mut self, lease: &Lease) -> bool {
        let kept = self.fault == Some(Fault::LeaseKept);
        if kept {
            return self.held.contains_key(&key(lease));
        }
        let dropped = self.held.remove(&key(lease));
        dropped.iter().for_each(|held| self.taken.remove(&held.needs));
        dropped.is_some()
    }

    fn hold(&mut self, held: Held) {
        self.taken.add(&held.needs);
        let before = self.held.insert(key(&held.lease), held);
        before.iter().for_each(|held| self.taken.remove(&held.needs));
    }

    /// What may be granted: as announced, less the runs that the announcement does not know of.
    pub fn room(&self) -> Room {
        let unseen = (self.last_run - self.last_run_seen) as u32;
        let unseen = if self.fault == Some(Fault::UnseenRunsForgotten) { 0 } else { unseen };
        if self.draining { Room::default() } else { self.announced.unwrap_or_default().less(unseen) }
    }

    fn trust(&self, now: Now) -> Trust {
        self.suspicion.trust(self.held.is_empty(), now.mono)
    }

    fn room_report(&self, settled: Vec<GrantId>, now: Now) -> SessionEffect {
        SessionEffect::Room { room: self.room(), free: self.free(), settled, trust: self.trust(now) }
    }

    /// What its leases leave of the worker.
    fn free(&self) -> Resources {
        let forgets = self.fault == Some(Fault::NeedsForgotten);
        if forgets { self.total.clone() } else { self.total.beside(&self.taken) }
    }

    /// For how many of so many tasks of these needs the worker has room.
    fn fitting(&self, needs: &Resources, wanted: usize) -> usize {
        let most = self.room().all().min(u32::try_from(wanted).unwrap_or(u32::MAX));
        if *needs == Resources::default() {
            return most as usize;
        }
        let free = self.free();
        (0..most).find(|more| !needs.fits(&free.less(needs, *more))).unwrap_or(most) as usize
    }

    /// What its leases take of the worker, all together.
    pub fn used(&self) -> Resources {
        self.taken.sum()
    }

    /// When the worker was last heard.
    pub fn heard(&self) -> Instant {
        self.heard
    }

    /// Its number.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// Whose it is.
    pub fn worker(&self) -> WorkerId {
        self.worker
    }

    /// The leases the worker holds, and whether each has started.
    pub fn leases(&self) -> impl Iterator<Item = (Lease, bool)> + '_ {
        self.held.values().map(|held| (held.lease, held.sent.is_none()))
    }

    /// The same, for people.
    pub fn lease_statuses(&self) -> impl Iterator<Item = LeaseStatus> + '_ {
        self.held.values().map(|held| LeaseStatus { lease: held.lease, started: held.sent.is_none(), since: held.since })
    }

    /// Results that the worker has sent and keeps: what a job whose machine is built anew must ask for again.
    pub fn unacknowledged(&self) -> impl Iterator<Item = Lease> + '_ {
        self.unacknowledged.values().copied()
    }

    /// The jobs that have leases here.
    pub fn jobs(&self) -> BTreeSet<JobId> {
        self.held.keys().map(|(job, ..)| *job).collect()
    }

    /// Announced free slots, as last heard; none before the first announcement.
    pub fn free_announced(&self) -> Option<u32> {
        self.announced.map(|room| room.free)
    }

    /// Whether the worker takes tasks, by what it says and what it was told.
    pub fn standing(&self) -> Standing {
        if self.draining { Standing::Leaving } else { self.standing }
    }

    /// Why the worker is under suspicion; none if it is not.
    pub fn suspicion(&self, now: Now) -> Option<String> {
        self.suspicion.describe(now.mono)
    }

    /// Checks what must always hold.
    pub fn check(&self, epoch: Epoch) -> Result<(), String> {
        let unseen = self.held.values().filter(|held| held.sent.is_some_and(|seq| seq > self.last_run_seen)).count();
        if unseen > (self.last_run - self.last_run_seen) as usize {
            return Err(format!("{}: more leases unseen than runs sent: {self:?}", self.id));
        }
        let taken: Tally = self.held.values().map(|held| &held.needs).collect();
        if taken != self.taken {
            return Err(format!("{}: its leases take {taken:?}: {self:?}", self.id));
        }
        if self.held.values().any(|held| held.lease.epoch > epoch) {
            return Err(format!("{}: a lease of a later epoch: {self:?}", self.id));
        }
        Ok(())
    }

    /// Checks that the worker is not over-committed: holds as long as the roster grants, and the worker claims, no more than there is.
    pub fn check_used(&self) -> Result<(), String> {
        let (used, total) = (self.used(), &self.total);
        if used.fits(total) { Ok(()) } else { Err(format!("{}: its tasks take {used:?}, and it has {total:?}", self.id)) }
    }
}

#[cfg(test)]
mod tests;

/// An attempt, whatever epoch it is held under.
type Key = (JobId, TaskNo, Attempt);

fn key(lease: &Lease) -> Key {
    (lease.job, lease.no, lease.attempt)
}

/// Leases by job, in order.
fn by_job(leases: Vec<Lease>) -> BTreeMap<JobId, Vec<Lease>> {
    let mut jobs: BTreeMap<JobId, Vec<Lease>> = BTreeMap::new();
    leases.into_iter().for_each(|lease| jobs.entry(lease.job).or_default().push(lease));
    jobs
}
