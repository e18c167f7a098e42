//! The way of a job's tasks, as spans: made of what its machine hears and does, where somebody wants to follow it.
//!
//! ```text
//! task     ├───────────────────────────────────────────────┤  from the submission, or the retry, to the durable end
//! waiting    ├──────┤            ├───┤
//! attempt           ├──────────┤     ├─────────────────────┤  failed, tried again
//! sent              ├──┤             ├───┤
//! running              ├─────┤           ├──────────────┤
//! result                     ├─┤                        ├──┤
//! ```
//! It watches, and the machine knows nothing of it. Points in time are the head's; how long a process ran is the worker's measure, which is laid
//! where the head heard of it, so that two clocks are never compared. A stretch of which an end is not known is left out: an attempt that a head
//! finds at a worker after its start was sent nobody knows when. What waits is in no list: only tasks that are out, or have come back, are
//! remembered. A task that is dropped before it was out has no trace.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::entry::JobEntry;
use crate::domain::verb::Verb;
use crate::domain::wire::{Lease, Verdict};
use crate::domain::{Attempt, JobId, JobSpec, Outcome, SessionId, TaskNo, WallTime, WorkerId};
use crate::limits;

use super::job::{JobEffect, JobEvent, JobMachine, Whereabouts};
use super::now::Now;
use super::record::JobRecord;

mod origin;
mod span;

pub use origin::{Share, SpanId, TraceId};
pub use span::{Span, Step};

use origin::{Ids, Origin};

/// See the module.
#[derive(Debug)]
pub struct Trail {
    share: Share,
    origin: Origin,
    job: JobId,
    name: Arc<str>,
    spec: Arc<JobSpec>,
    created: WallTime,
    /// The journal has the split under this number; and from when the tasks of the first round could go.
    splitting: Option<u64>,
    ready: Option<WallTime>,
    /// When rounds began, by the attempt above which they number: those since this was made, the last ones.
    rounds: BTreeMap<Attempt, WallTime>,
    /// From when tasks can go that were out before, the first ones that came.
    due: BTreeMap<TaskNo, WallTime>,
    out: BTreeMap<TaskNo, Leg>,
    /// What is on its way to the disk, by its number in the journal.
    ending: BTreeMap<(u64, TaskNo), Ending>,
    /// Of the event that is being taken in.
    granted: WorkerId,
    finished: Option<Finished>,
    spans: Vec<Span>,
}

/// An attempt in a worker's hands.
#[derive(Clone, Debug)]
struct Leg {
    ids: Ids,
    floor: Attempt,
    attempt: Attempt,
    worker: WorkerId,
    session: SessionId,
    /// From when it could go.
    due: Option<WallTime>,
    sent: Option<WallTime>,
    /// When the head heard of it first: by sending it, mostly.
    seen: WallTime,
    /// When the head heard of its start, at once.
    started: Option<WallTime>,
    /// It ended while its worker was out of reach: when, is not known here.
    was_late: bool,
}

/// How long a process ran, in microseconds by its worker, and when the head heard that it had ended.
type Ran = (i64, WallTime);

/// An attempt has ended, and what comes of it is not known yet.
#[derive(Debug)]
struct Finished {
    session: SessionId,
    lease: Lease,
    outcome: Outcome,
    ran: Option<Ran>,
}

/// The end of an attempt, of a task, or of both.
#[derive(Debug)]
struct Ending {
    no: TaskNo,
    ids: Ids,
    floor: Attempt,
    leg: Option<Leg>,
    outcome: Option<Outcome>,
    ran: Option<Ran>,
    /// It is the task's end too.
    is_last: bool,
}

impl Trail {
    /// Of a job as its machine begins.
    pub fn new(record: &JobRecord, share: Share) -> Self {
        Self {
            share,
            origin: Origin::new(record),
            job: record.id,
            name: record.spec.name.as_str().into(),
            spec: record.spec.clone(),
            created: record.created,
            splitting: None,
            ready: None,
            rounds: BTreeMap::new(),
            due: BTreeMap::new(),
            out: BTreeMap::new(),
            ending: BTreeMap::new(),
            granted: WorkerId::default(),
            finished: None,
            spans: Vec::new(),
        }
    }

    /// What the machine is about to hear.
    pub fn hears(&mut self, event: &JobEvent, now: Now) {
        match event {
            JobEvent::Granted { worker, .. } => self.granted = *worker,
            JobEvent::Started(session, leases) => self.started(*session, leases, now),
            JobEvent::Returned(session, leases) => self.returned(*session, leases),
            JobEvent::Fenced { session, started, dropped, .. } => {
                self.started(*session, started, now);
                self.returned(*session, dropped);
            }
            JobEvent::Finished { session, lease, outcome, timing, .. } => {
                let is_followed = || self.share.takes(self.origin.ids(lease.no, Attempt(0)).trace);
                if self.out.contains_key(&lease.no) || is_followed() {
                    // Of one that its worker could not run nobody knows whether it ran.
                    let ran = (*outcome != Outcome::Lost).then_some((timing.ended.0.saturating_sub(timing.started.0), now.wall));
                    self.finished = Some(Finished { session: *session, lease: *lease, outcome: outcome.clone(), ran });
                }
            }
            JobEvent::Durable(seq) => self.durable(*seq, now),
            JobEvent::SplitDone(_)
            | JobEvent::SplitFailed(_)
            | JobEvent::Poisoned { .. }
            | JobEvent::SessionLost(..)
            | JobEvent::Claimed { .. }
            | JobEvent::Kept { .. }
            | JobEvent::WorkerReported(..)
            | JobEvent::RecoveryOver
            | JobEvent::Verb { .. }
            | JobEvent::Tick => {}
        }
    }

    /// What came of it, and the machine as it is now.
    pub fn sees(&mut self, effects: &[JobEffect], machine: &JobMachine, now: Now) {
        let mut failure = None;
        for effect in effects {
            match effect {
                JobEffect::Deliver { session, runs, .. } => {
                    runs.iter().for_each(|(no, attempt)| self.sent(*no, *attempt, *session, machine, now));
                }
                JobEffect::Verdict(session, lease, Verdict::Adopt | Verdict::AdoptFrozen) => {
                    self.claimed(*session, lease, false, machine, now);
                }
                JobEffect::Verdict(session, lease, Verdict::Send) => self.claimed(*session, lease, true, machine, now),
                JobEffect::TaskFailed(_, outcome) => failure = Some(outcome),
                JobEffect::Persist(seq, entry) => self.noted(*seq, entry, failure, machine, now),
                JobEffect::Ended(_) => self.ended(machine, now),
                JobEffect::Verdict(_, _, Verdict::Stop)
                | JobEffect::Fence(..)
                | JobEffect::Stop(..)
                | JobEffect::Freeze(..)
                | JobEffect::Poison { .. }
                | JobEffect::NoteLost { .. }
                | JobEffect::Ack(..)
                | JobEffect::Reply(..)
                | JobEffect::Wake(_) => {}
            }
        }
        if let Some(finished) = self.finished.take() {
            self.uncounted(finished, machine, now);
        }
    }

    /// The stretches that are over; those of a task that were over together lie together.
    pub fn take(&mut self) -> Vec<Span> {
        std::mem::take(&mut self.spans)
    }

    fn sent(&mut self, no: TaskNo, attempt: Attempt, session: SessionId, machine: &JobMachine, now: Now) {
        let floor = machine.record().rounds.floor(no);
        let ids = self.origin.ids(no, floor);
        if !self.share.takes(ids.trace) {
            return;
        }
        // One that came back without a word waited on.
        let before = self.out.remove(&no).and_then(|leg| leg.due);
        let first = if floor == Attempt(0) { self.ready } else { self.rounds.get(&floor).copied() };
        // An attempt behind others of its round that are not remembered could go since nobody knows when.
        let is_first = attempt.0 == floor.0 + 1;
        let due = self.due.remove(&no).or(before).or(first.filter(|_| is_first));
        let sent = Some(now.wall);
        let worker = self.granted;
        self.out.insert(no, Leg { ids, floor, attempt, worker, session, due, sent, seen: now.wall, started: None, was_late: false });
    }

    fn leg_of(&mut self, session: SessionId, lease: &Lease) -> Option<&mut Leg> {
        self.out.get_mut(&lease.no).filter(|leg| leg.attempt == lease.attempt && leg.session == session)
    }

    fn started(&mut self, session: SessionId, leases: &[Lease], now: Now) {
        for lease in leases {
            if let Some(leg) = self.leg_of(session, lease) {
                leg.started.get_or_insert(now.wall);
            }
        }
    }

    /// It costs no try, and the task has waited all the time.
    fn returned(&mut self, session: SessionId, leases: &[Lease]) {
        for lease in leases {
            if self.leg_of(session, lease).is_some()
                && let Some(due) = self.out.remove(&lease.no).and_then(|leg| leg.due)
            {
                self.wait(lease.no, due);
            }
        }
    }

    fn wait(&mut self, no: TaskNo, from: WallTime) {
        if self.due.len() < limits::TRAIL_WAITING_MAX {
            self.due.insert(no, from);
        }
    }

    /// A worker came back with it.
    fn claimed(&mut self, session: SessionId, lease: &Lease, has_ended: bool, machine: &JobMachine, now: Now) {
        let (no, attempt) = (lease.no, lease.attempt);
        if let Some(leg) = self.out.get_mut(&no).filter(|leg| leg.attempt == attempt) {
            leg.session = session;
            leg.was_late |= has_ended;
            return;
        }
        let floor = machine.record().rounds.floor(no);
        let ids = self.origin.ids(no, floor);
        let Some((_, worker, _)) = machine.out(no).filter(|out| out.0 == attempt && self.share.takes(ids.trace)) else { return };
        let leg = Leg { ids, floor, attempt, worker, session, due: None, sent: None, seen: now.wall, started: None, was_late: has_ended };
        self.out.insert(no, leg);
    }

    fn noted(&mut self, seq: u64, entry: &JobEntry, failure: Option<&Outcome>, machine: &JobMachine, now: Now) {
        match entry {
            JobEntry::Split { .. } => self.splitting = Some(seq),
            JobEntry::Controlled { verb: Verb::Retry { .. }, at, .. } | JobEntry::RetriedWith { at, .. } => {
                self.rounds.insert(machine.record().rounds.last_failed, *at);
                if self.rounds.len() > limits::TRAIL_ROUNDS_MAX {
                    self.rounds.pop_first();
                }
            }
            JobEntry::AttemptFailed { no, attempt } => {
                let wait = match machine.whereabouts(*no, now) {
                    Whereabouts::Delayed { left, .. } => left,
                    _ => std::time::Duration::ZERO,
                };
                if let Some(ending) = self.finishes(*no, *attempt, false, machine, now) {
                    self.wait(*no, now.wall.after(wait));
                    self.ending.insert((seq, *no), ending);
                }
            }
            JobEntry::TaskEnded(end) => {
                self.due.remove(&end.no);
                let ending = self.finishes(end.no, end.attempt, true, machine, now);
                // None has finished: it was given up.
                let ending = ending.or_else(|| Some(Ending { outcome: failure.cloned(), ..self.ending_of(end.no, machine)? }));
                self.ending.extend(ending.map(|ending| ((seq, end.no), ending)));
            }
            JobEntry::AttemptLost { no, attempt, .. } => {
                if let Some(leg) = self.out.get(no).filter(|leg| leg.attempt == *attempt).cloned() {
                    self.out.remove(no);
                    self.give_up(*no, leg, Outcome::Lost, now);
                    self.wait(*no, now.wall);
                }
            }
            JobEntry::Controlled { .. }
            | JobEntry::Marked { .. }
            | JobEntry::AttemptsUsed { .. }
            | JobEntry::Doomed
            | JobEntry::EtaScored(_)
            | JobEntry::SaidBy { .. }
            | JobEntry::Began { .. }
            | JobEntry::Ended { .. } => {}
        }
    }

    /// The end of a task of which nothing else is known; none if it is not followed.
    fn ending_of(&self, no: TaskNo, machine: &JobMachine) -> Option<Ending> {
        let floor = machine.record().rounds.floor(no);
        let ids = self.origin.ids(no, floor);
        let ending = Ending { no, ids, floor, leg: None, outcome: None, ran: None, is_last: true };
        self.share.takes(ids.trace).then_some(ending)
    }

    /// The attempt that has just finished, if it is this one and counts.
    fn finishes(&mut self, no: TaskNo, attempt: Attempt, is_last: bool, machine: &JobMachine, now: Now) -> Option<Ending> {
        let is_it = |finished: &mut Finished| finished.lease.no == no && finished.lease.attempt == attempt;
        let Finished { session, lease, outcome, ran } = self.finished.take_if(is_it)?;
        let leg = self.out.remove(&no);
        let is_present = |leg: &Leg| leg.attempt == lease.attempt && leg.session == session;
        let leg = match leg {
            Some(leg) if !is_present(&leg) => {
                // One that was given up for lost was first after all: the present attempt is stopped.
                self.give_up(no, leg, Outcome::Revoked, now);
                None
            }
            leg => leg,
        };
        Some(Ending { leg, outcome: Some(outcome), ran, is_last, ..self.ending_of(no, machine)? })
    }

    /// An attempt has ended that decides nothing: its worker could not run it, or its job is stopped.
    fn uncounted(&mut self, finished: Finished, machine: &JobMachine, now: Now) {
        let Finished { session, lease, outcome, ran } = finished;
        if self.leg_of(session, &lease).is_none() {
            return;
        }
        let Some(leg) = self.out.remove(&lease.no) else { return };
        let is_stopped = machine.record().stopping().is_some();
        let is_last = is_stopped && !machine.record().is_final(lease.no);
        let (ids, floor, no) = (leg.ids, leg.floor, lease.no);
        self.close(Ending { no, ids, floor, leg: Some(leg), outcome: Some(outcome), ran, is_last }, now.wall);
        if !is_stopped {
            self.wait(no, now.wall);
        }
    }

    /// Nobody waits for it any more.
    fn give_up(&mut self, no: TaskNo, leg: Leg, outcome: Outcome, now: Now) {
        let (ids, floor) = (leg.ids, leg.floor);
        self.close(Ending { no, ids, floor, leg: Some(leg), outcome: Some(outcome), ran: None, is_last: false }, now.wall);
    }

    fn durable(&mut self, seq: u64, now: Now) {
        if self.splitting.take_if(|splitting| *splitting <= seq).is_some() {
            self.ready = Some(now.wall);
        }
        while let Some(first) = self.ending.first_entry().filter(|first| first.key().0 <= seq) {
            let ending = first.remove();
            self.close(ending, now.wall);
        }
    }

    /// The job has ended: what a killed one had with workers that are gone will not be heard of, and what came back does not go out again.
    fn ended(&mut self, machine: &JobMachine, now: Now) {
        let mut open: Vec<TaskNo> = std::mem::take(&mut self.due).into_keys().collect();
        for (no, leg) in std::mem::take(&mut self.out) {
            if leg.started.or(leg.due).is_some() {
                open.push(no);
            }
            if leg.started.is_some() {
                self.give_up(no, leg, Outcome::Lost, now);
            }
        }
        for no in open.into_iter().filter(|no| !machine.record().is_final(*no)) {
            if let Some(ending) = self.ending_of(no, machine) {
                self.close(Ending { outcome: Some(Outcome::Revoked), ..ending }, now.wall);
            }
        }
    }

    /// Writes down what is known of it.
    fn close(&mut self, ending: Ending, until: WallTime) {
        let Ending { no, ids, floor, leg, outcome, ran, is_last } = ending;
        let mut began = until;
        if let Some(leg) = leg {
            began = self.close_attempt(no, ids, &leg, ran, outcome.as_ref(), until);
        }
        if is_last {
            let since = if floor == Attempt(0) { Some(self.created) } else { self.rounds.get(&floor).copied() };
            let from = since.map_or(began, |since| since.min(began));
            let task = self.span(no, ids, Step::Task, from, until);
            self.spans.push(Span { outcome, ..task });
        }
    }

    /// When it began, or began to wait.
    fn close_attempt(&mut self, no: TaskNo, ids: Ids, leg: &Leg, ran: Option<Ran>, outcome: Option<&Outcome>, until: WallTime) -> WallTime {
        let id = |step: Step| ids.of_attempt(step, leg.attempt, leg.sent.is_none());
        let (parent, tried) = (Some(id(Step::Attempt)), Some((leg.attempt, leg.worker)));
        let ran = ran.and_then(|(micros, heard)| leg.ran(micros, heard));
        let start = ran.map_or(leg.started, |(start, _)| Some(start));
        let from = ran.map_or(leg.seen, |(start, _)| leg.seen.min(start));
        let task = Some(ids.task());
        let span = |step: Step, from: WallTime, to: WallTime| Span { id: id(step), parent, tried, ..self.span(no, ids, step, from, to) };
        let mut spans = Vec::with_capacity(6);
        if let (Some(due), Some(sent)) = (leg.due, leg.sent) {
            spans.push(Span { parent: task, tried: None, ..span(Step::Waiting, due.min(sent), sent) });
        }
        if let (Some(sent), Some(start)) = (leg.sent, start) {
            spans.push(span(Step::Sent, sent, start));
        }
        if let Some((start, end)) = ran {
            spans.push(Span { outcome: outcome.cloned(), ..span(Step::Running, start, end) });
            spans.push(span(Step::Result, end, until));
        }
        spans.push(Span { parent: task, outcome: outcome.cloned(), ..span(Step::Attempt, from, until) });
        self.spans.extend(spans);
        leg.due.map_or(from, |due| due.min(from))
    }

    fn span(&self, no: TaskNo, ids: Ids, step: Step, from: WallTime, to: WallTime) -> Span {
        Span {
            trace: ids.trace,
            id: ids.task(),
            parent: None,
            step,
            from,
            to: to.max(from),
            job: self.job,
            job_name: self.name.clone(),
            index: self.spec.index_of(no),
            tried: None,
            outcome: None,
        }
    }
}

impl Leg {
    /// From when to when its process ran, by the head's clock: it lasted as long as its worker says, from when the head heard of its start, or,
    /// where that word came late, up to when it heard of its end.
    fn ran(&self, micros: i64, heard: WallTime) -> Option<(WallTime, WallTime)> {
        // Without a length, and without a start, there was no process.
        if self.was_late || self.started.is_none() && micros <= 0 {
            return None;
        }
        let last = WallTime(heard.0.saturating_sub(micros.max(0)));
        match self.sent {
            // Its worker's clock was set meanwhile: what the head heard is left.
            Some(sent) if last < sent => self.started.map(|started| (started, heard)),
            Some(_) => {
                let start = self.started.unwrap_or(last).min(last);
                Some((start, WallTime(start.0.saturating_add(micros.max(0)))))
            }
            None => Some((last, heard)),
        }
    }
}

#[cfg(test)]
mod tests;
