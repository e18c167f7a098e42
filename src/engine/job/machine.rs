//! The state of a job's machine, its hand-outs, and its view for others.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::domain::entry::JobEntry;
use crate::domain::verb::Counts;
use crate::domain::{Attempt, Epoch, GrantId, IndexSet, Instant, JobState, SessionId, TaskNo, WallTime, WorkerId};
use crate::engine::alarm::Alarm;
use crate::engine::eta::{Hands, Times};
use crate::engine::fault::Fault;
use crate::engine::now::Now;
use crate::engine::record::{FIRST_MARK, JobRecord};
use crate::engine::view::JobView;

use super::control::PendingVerb;
use super::event::{JobEffect, JobEvent};
use super::failure::Delayed;
use super::strays::Strays;

/// No task is handed out so often between two failures of its job's actor.
const ATTEMPTS_BETWEEN_FAILURES: u32 = 1 << 16;
/// The longest reservation of a dispatch mark, in tasks.
const MARK_RESERVE_MAX: u32 = 1 << 20;

/// An attempt in a worker's hands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Out {
    pub attempt: Attempt,
    pub worker: WorkerId,
    pub session: SessionId,
    pub phase: Phase,
    /// When it came there, by the time that does not stand still with it.
    pub handed: Instant,
    /// When it was sent, and started; none if that was before this machine.
    pub sent: Option<WallTime>,
    pub began: Option<WallTime>,
}

/// How much is known of an attempt that is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// On its way, or waiting for its input; not started.
    Sent,
    /// Sent, and the worker did not answer a fence in time: counts as running.
    Doubtful,
    /// The session is lost, last heard at that time. The worker may run it on if it had started, and may start it for the length of its lease.
    Adrift { heard: Instant, started: bool },
    /// Its process was started.
    Started,
}

/// What waits for the journal.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum AfterDurable {
    Do(JobEffect),
    Verb(u64),
    Mark(u32),
    Split,
    End,
}

/// The machine of one job. See the module's picture.
#[derive(Clone, Debug)]
pub struct JobMachine {
    pub(super) record: JobRecord,
    pub(super) epoch: Epoch,
    /// Not started, and in nobody's hands.
    pub(super) waiting: IndexSet,
    /// Below the mark after a restart: perhaps running at a worker that has not reported.
    pub(super) limbo: IndexSet,
    /// Failed tasks that wait for their next try.
    pub(super) delayed: Delayed,
    /// For the next of them.
    pub(super) next_try: Alarm,
    /// Tasks that took down too many workers and are about to be failed, and whether their records were asked for.
    pub(super) condemned: BTreeMap<TaskNo, bool>,
    /// Failed tasks that run again as soon as the wish is durable.
    pub(super) freeing: IndexSet,
    /// Tasks from here on were never handed out before the restart.
    pub(super) limbo_bound: u32,
    /// Workers that were attached before the restart and have not reported.
    pub(super) unreported: BTreeSet<WorkerId>,
    pub(super) out: BTreeMap<TaskNo, Out>,
    pub(super) strays: Strays,
    /// How many are out and started, or Doubtful: kept, not counted.
    pub(super) running: u32,
    /// How many are out and Adrift, and had not started: kept, not counted.
    pub(super) adrift: u32,
    /// Tasks of a killed job that had started, and were stopped: they are killed, but were not dropped.
    pub(super) stopped: u32,
    /// The highest attempt handed out of each task that is not final.
    pub(super) handed: BTreeMap<TaskNo, Attempt>,
    /// Attempts are numbered from above this.
    attempt_floor: u32,
    /// Tasks below it may go out: this much of the mark is durable.
    pub(super) mark_durable: u32,
    /// The mark asked for last, and when.
    mark_asked: (u32, Instant),
    mark_reserve: u32,
    pub(super) pending: Vec<PendingVerb>,
    after_durable: VecDeque<(u64, AfterDurable)>,
    last_seq: u64,
    durable_seq: u64,
    pub(super) last_fence: u64,
    /// To look for the end of a pause.
    pub(super) end_of_hold: Alarm,
    last_grant: GrantId,
    /// The split was asked of the journal.
    splitting: bool,
    /// The split is durable: the number of tasks is known.
    pub(super) split: bool,
    /// The end was asked of the journal.
    pub(super) ending: bool,
    /// The end on its way to the disk.
    pub(super) end_entry: Option<JobEntry>,
    pub(super) times: Times,
    /// Since when what is out is there: kept.
    pub(super) hands: Hands,
    /// From when its running tasks stand still.
    pub(super) frozen: Option<Instant>,
    /// State, and whether it is paused; and from when that is so.
    pub(super) was: (JobState, bool),
    pub(super) since: Option<WallTime>,
    pub(super) fault: Option<Fault>,
}

impl JobMachine {
    /// A job as the journal has it. After a restart `known` are the workers that may still run its tasks; for a new job there are none.
    pub fn new(record: JobRecord, epoch: Epoch, known: BTreeSet<WorkerId>) -> Self {
        let mut machine = Self {
            epoch,
            waiting: IndexSet::default(),
            limbo: IndexSet::default(),
            delayed: Delayed::default(),
            next_try: Alarm::default(),
            condemned: BTreeMap::new(),
            freeing: IndexSet::default(),
            limbo_bound: record.total.map_or(0, |_| record.mark),
            unreported: known,
            out: BTreeMap::new(),
            strays: Strays::default(),
            running: 0,
            adrift: 0,
            stopped: 0,
            handed: BTreeMap::new(),
            attempt_floor: 0,
            mark_durable: record.mark,
            mark_asked: (record.mark, Instant(0)),
            mark_reserve: FIRST_MARK,
            pending: Vec::new(),
            after_durable: VecDeque::new(),
            last_seq: 0,
            durable_seq: 0,
            last_fence: 0,
            end_of_hold: Alarm::default(),
            last_grant: GrantId(0),
            splitting: false,
            split: record.total.is_some(),
            ending: false,
            end_entry: None,
            times: Times::default(),
            hands: Hands::default(),
            frozen: None,
            was: (JobState::Ingesting, record.held),
            since: None,
            fault: None,
            record,
        };
        if machine.record.ended.is_none() {
            machine.fill();
        }
        machine.begin_times();
        machine
    }

    /// A machine that takes the place of one that failed while the head lived on, and numbered its attempts from above `floor`: it knows
    /// nothing of those that left no trace, so it numbers its own from where none of them can be.
    pub fn after_failure(mut self, floor: u32) -> Self {
        let lost = self.record.losses.values().map(|losses| losses.last.0);
        let failed = self.record.failures.values().map(|failures| failures.last.0).chain(lost).max().unwrap_or(0);
        self.attempt_floor = floor.max(failed).saturating_add(ATTEMPTS_BETWEEN_FAILURES);
        self
    }

    /// Attempts that nobody waits for, and that may yet start: kept of a job that has ended, for what a later verb can promise.
    pub fn strays_of_the_end(&self, now: Instant) -> Strays {
        let mut strays = self.strays.clone();
        strays.leave_sessions(now);
        strays
    }

    /// The machine of a job that had ended, with what may yet start of it.
    pub fn with_strays(mut self, strays: Strays) -> Self {
        self.strays = strays;
        self
    }

    /// From above what its attempts are numbered.
    pub fn attempt_floor(&self) -> u32 {
        self.attempt_floor
    }

    /// Plants a mistake, for tests.
    pub fn plant(&mut self, fault: Option<Fault>) {
        self.fault = fault;
        if fault == Some(Fault::MarkIgnored) {
            let limbo = std::mem::take(&mut self.limbo);
            self.waiting.extend(&limbo);
        }
    }

    /// Sorts all tasks that are not final into `waiting` and `limbo`.
    fn fill(&mut self) {
        let mut open = IndexSet::range(0, self.record.total.unwrap_or(0));
        open.subtract(&self.record.succeeded);
        open.subtract(&self.record.failed);
        let untouched = open.split_off(self.limbo_bound);
        if self.unreported.is_empty() {
            self.queue_all(&open)
        } else {
            self.limbo = open
        }
        if self.record.stopping().is_none() {
            self.queue_all(&untouched);
        } else {
            self.waiting = IndexSet::default();
        }
    }

    /// Takes one event in, and says what is to be done, in order.
    pub fn on_event(&mut self, event: JobEvent, now: Now) -> Vec<JobEffect> {
        let mut effects = Vec::new();
        let fx = &mut effects;
        match event {
            JobEvent::SplitDone(total) => self.split_done(total, fx),
            JobEvent::SplitFailed(reason) if self.record.total.is_none() => self.end(JobState::Failed, reason, now, fx),
            JobEvent::SplitFailed(_) => {}
            JobEvent::Granted { grant, session, worker, slots } => self.hand_out(grant, session, worker, slots, now, fx),
            JobEvent::Started(session, leases) => self.started(session, &leases, now, fx),
            JobEvent::Returned(session, leases) => leases.iter().for_each(|lease| self.give_back(session, lease)),
            JobEvent::Fenced { fence, session, started, dropped } => {
                self.started(session, &started, now, fx);
                dropped.iter().for_each(|lease| self.give_back(session, lease));
                self.strays.fenced(session, fence);
                self.fence_answered(fence, fx);
            }
            JobEvent::Finished { session, worker, lease, outcome, timing, result } => {
                self.finished(session, worker, lease, &outcome, timing, result, now, fx);
            }
            JobEvent::Poisoned { no, result } => self.poisoned(no, result, now, fx),
            JobEvent::SessionLost(session, heard) => self.session_lost(session, heard, now, fx),
            JobEvent::Claimed { session, worker, lease, finished } => self.claimed(session, worker, lease, finished, now, fx),
            JobEvent::Kept { session, worker, lease } => self.kept(session, worker, lease, now, fx),
            JobEvent::WorkerReported(worker, session) => self.worker_reported(worker, session, fx),
            JobEvent::RecoveryOver => {
                self.unreported.clear();
                self.settle_limbo();
            }
            JobEvent::Durable(seq) => self.durable(seq, fx),
            JobEvent::Verb { ticket, wish } => self.verb(ticket, wish, now, fx),
            JobEvent::Tick => self.tick(now, fx),
        }
        self.condemn(fx);
        self.maybe_end(now, fx);
        self.renew_mark(now, fx);
        self.note_times(now);
        effects
    }

    /// Asks the journal for an entry, takes it in, and remembers what follows once it is durable.
    pub(super) fn persist(&mut self, entry: JobEntry, after: Option<AfterDurable>, fx: &mut Vec<JobEffect>) {
        self.last_seq += 1;
        // The end shows only once it is durable; everything else may be seen a moment earlier.
        if !matches!(entry, JobEntry::Ended { .. }) {
            self.record.apply(&entry);
        }
        if let Some(after) = after {
            self.after_durable.push_back((self.last_seq, after));
        }
        fx.push(JobEffect::Persist(self.last_seq, entry));
    }

    /// Does something once all that was asked of the journal so far is durable: now, if it is.
    pub(super) fn once_durable(&mut self, after: AfterDurable, fx: &mut Vec<JobEffect>) {
        self.after_durable.push_back((self.last_seq, after));
        self.durable(self.durable_seq, fx);
    }

    fn durable(&mut self, seq: u64, fx: &mut Vec<JobEffect>) {
        self.durable_seq = self.durable_seq.max(seq);
        while self.after_durable.front().is_some_and(|(wanted, _)| *wanted <= self.durable_seq) {
            let Some((_, after)) = self.after_durable.pop_front() else { return };
            match after {
                AfterDurable::Do(effect) => fx.push(effect),
                AfterDurable::Verb(ticket) => self.verb_durable(ticket, fx),
                AfterDurable::Mark(mark) => self.mark_durable = self.mark_durable.max(mark),
                AfterDurable::Split => {
                    self.split = true;
                    self.mark_durable = self.record.mark;
                    self.fill();
                }
                AfterDurable::End => self.ended(fx),
            }
        }
    }

    fn split_done(&mut self, total: u32, fx: &mut Vec<JobEffect>) {
        if self.record.total.is_none() && !self.splitting && self.record.ended.is_none() && !self.ending {
            self.splitting = true;
            self.persist(JobEntry::Split { total }, Some(AfterDurable::Split), fx);
        }
    }

    /// Whether tasks may be handed out.
    fn open(&self) -> bool {
        let stopped = self.record.held || self.record.stopping().is_some();
        !(self.record.ended.is_some() || self.ending) && (!stopped || self.fault == Some(Fault::HoldNotChecked))
    }

    /// How many tasks could go out now.
    pub fn wanted(&self) -> u32 {
        let Some(first) = self.waiting.first().filter(|_| self.open()) else { return 0 };
        let limit = self.record.max_running.filter(|_| self.fault != Some(Fault::LimitIgnored));
        let room = limit.unwrap_or(u32::MAX).saturating_sub(self.out.len() as u32);
        self.waiting.len().min(self.mark_durable.saturating_sub(first.0)).min(room)
    }

    fn hand_out(&mut self, grant: GrantId, session: SessionId, worker: WorkerId, slots: u32, now: Now, fx: &mut Vec<JobEffect>) {
        self.last_grant = self.last_grant.max(grant);
        let mut runs = Vec::new();
        while (runs.len() as u32) < slots && self.wanted() > 0 {
            let Some(no) = self.waiting.pop_first_below(self.mark_durable) else { break };
            let attempt = self.next_attempt(no);
            self.handed.insert(no, attempt);
            let out = Out { attempt, worker, session, phase: Phase::Sent, handed: now.mono, sent: Some(now.wall), began: None };
            self.put_out(no, out);
            runs.push((no, attempt));
        }
        fx.push(JobEffect::Deliver { grant, session, runs });
    }

    fn next_attempt(&self, no: TaskNo) -> Attempt {
        let failed = self.record.failures.get(&no).map_or(Attempt(0), |failures| failures.last);
        let failed = self.record.losses.get(&no).map_or(Attempt(0), |losses| losses.last).max(failed);
        let handed = self.handed.get(&no).copied().unwrap_or(Attempt(0));
        let step = u32::from(self.fault != Some(Fault::AttemptReused) || handed == Attempt(0));
        Attempt(failed.max(handed).max(self.record.rounds.floor(no)).0.max(self.attempt_floor).saturating_add(step))
    }

    /// Reserves task numbers ahead of the hand-out, so that it need not wait for the disk: more when the last reservation went within a
    /// second, less when it lasted long. Asked after every event, since after a restart nothing below the mark may be left to hand out.
    fn renew_mark(&mut self, now: Now, fx: &mut Vec<JobEffect>) {
        let total = self.record.total.unwrap_or(0);
        let (asked, at) = self.mark_asked;
        let asked = asked.max(self.record.mark);
        let Some(next) = self.waiting.first().map(|no| no.0).filter(|_| self.split) else { return };
        if asked >= total || next.saturating_add(self.mark_reserve / 2) < asked {
            return;
        }
        let quick = now.mono.since(at) < Duration::from_secs(1);
        self.mark_reserve = if quick { (self.mark_reserve * 4).min(MARK_RESERVE_MAX) } else { (self.mark_reserve / 2).max(FIRST_MARK) };
        let mark = asked.saturating_add(self.mark_reserve).min(total);
        self.mark_asked = (mark, now.mono);
        self.persist(JobEntry::Marked { mark }, Some(AfterDurable::Mark(mark)), fx);
    }

    /// The tasks by where they are; they add up to the total.
    pub fn counts(&self) -> Counts {
        let total = self.record.total.unwrap_or(0);
        let (succeeded, failed) = (self.record.succeeded.len(), self.record.failed.len());
        // What a worker out of reach may yet start is not started, as long as that does not matter; after a pause or kill it must not be
        // called so.
        let stopped = self.record.held || self.record.stopping().is_some();
        let unsure = if stopped { self.limbo.len() + self.adrift } else { 0 };
        let running = self.running + unsure;
        let not_started = self.out.len() as u32 - self.running - if stopped { self.adrift } else { 0 };
        let rest = total - succeeded - failed - running;
        if self.record.stopping().is_some() {
            Counts { total, undispatched: not_started, running, succeeded, failed, killed: rest - not_started }
        } else {
            Counts { total, undispatched: rest, running, succeeded, failed, killed: 0 }
        }
    }

    /// Where the job is in its life.
    pub fn state(&self) -> JobState {
        match &self.record.ended {
            Some(ended) => ended.state,
            None if self.ending || self.record.stopping().is_some() => JobState::Finishing,
            None if !self.split => JobState::Ingesting,
            None if self.running > 0 => JobState::Running,
            None => JobState::Waiting,
        }
    }

    /// Whether its end is on its way to the disk.
    pub fn is_ending(&self) -> bool {
        self.ending
    }

    /// The durable part.
    pub fn record(&self) -> &JobRecord {
        &self.record
    }

    /// The task's attempt in a worker's hands, with the worker, and whether its process has started.
    pub fn out(&self, no: TaskNo) -> Option<(Attempt, WorkerId, bool)> {
        self.out.get(&no).map(|out| (out.attempt, out.worker, out.phase.has_started()))
    }

    /// All tasks in workers' hands.
    pub fn all_out(&self) -> impl Iterator<Item = (TaskNo, Attempt, WorkerId, bool)> + '_ {
        self.out.iter().map(|(no, out)| (*no, out.attempt, out.worker, out.phase.has_started()))
    }

    /// The job as others see it.
    pub fn view(&self) -> JobView {
        let record = &self.record;
        let ended = record.ended.as_ref();
        JobView {
            id: record.id,
            spec: record.spec.clone(),
            first_spec: record.as_submitted().clone(),
            state: self.state(),
            held: record.held,
            killed: record.killing.is_some(),
            note: ended.map(|ended| &ended.reason).filter(|reason| !reason.is_empty()).unwrap_or(&record.control_reason).clone(),
            priority: record.priority,
            max_running: record.max_running,
            counts: self.counts(),
            wanted: self.wanted(),
            out: self.out.len() as u32,
            limbo: self.limbo.len(),
            hold: record.hold,
            delayed: self.delayed.len(),
            round: record.rounds.retried + 1,
            last_grant: self.last_grant,
            times: self.times,
            in_hands: self.hands.in_short(),
            since: self.since,
            eta_score: record.eta_score,
            said: record.said.clone(),
            created: record.created,
            began: record.began,
            ended: ended.map(|ended| ended.at),
        }
    }

    /// Checks what must always hold; a test's view of the inside.
    pub fn check(&self) -> Result<(), String> {
        let ensure = |holds: bool, what: &str| if holds { Ok(()) } else { Err(format!("{}: {what}: {self:?}", self.record.id)) };
        ensure(self.counts().add_up(), "the counts add up to the total")?;
        let started = self.out.values().filter(|out| out.phase.counts_as_running()).count();
        ensure(started as u32 == self.running, "the number of running tasks is right")?;
        let there = (self.out.len() as u32, self.hands.in_short().count);
        ensure(there.0 == there.1, "it is known since when what is out is there")?;
        let adrift = self.out.values().filter(|out| out.phase.is_unsure_adrift()).count();
        ensure(adrift as u32 == self.adrift, "the number of tasks adrift is right")?;
        ensure(self.out.keys().all(|no| !self.waiting.contains(*no) && !self.limbo.contains(*no)), "out is not waiting")?;
        ensure(self.out.keys().all(|no| !self.record.is_final(*no)), "out is not final")?;
        ensure(self.waiting.iter().take(1000).all(|no| !self.record.is_final(no)), "waiting is not final")?;
        let idle = self.waiting.is_empty() && self.delayed.len() == 0 && self.condemned.is_empty();
        ensure(self.record.stopping().is_none() || idle, "a job that is to end has nothing waiting")?;
        let held = self.waiting.len()
            + self.limbo.len()
            + self.freeing.len()
            + self.delayed.len()
            + self.condemned.len() as u32
            + self.out.len() as u32
            + self.record.succeeded.len()
            + self.record.failed.len();
        let all = self.record.stopping().is_some() || self.record.ended.is_some() || held == self.record.total.unwrap_or(0);
        ensure(!self.split || all, "every task is somewhere")
    }
}
