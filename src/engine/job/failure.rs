//! What comes after a failure: another try after a while, the end of a task that takes workers down, the end of a job of which too much has
//! failed.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::entry::JobEntry;
use crate::domain::{Attempt, IndexSet, Instant, Outcome, ResultRef, TaskEnd, TaskNo};
use crate::engine::fault::Fault;
use crate::engine::now::Now;
use crate::engine::record::Losses;
use crate::engine::spread::spread;
use crate::limits;

use super::event::JobEffect;
use super::machine::{AfterDurable, JobMachine, Out};

/// Tasks that wait for their next try. After a restart of the head they do not wait any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Delayed {
    by_time: BTreeSet<(Instant, TaskNo)>,
    of: BTreeMap<TaskNo, Instant>,
}

impl Delayed {
    fn put(&mut self, no: TaskNo, until: Instant) {
        self.remove(no);
        self.by_time.insert((until, no));
        self.of.insert(no, until);
    }

    fn remove(&mut self, no: TaskNo) {
        if let Some(until) = self.of.remove(&no) {
            self.by_time.remove(&(until, no));
        }
    }

    fn pop_due(&mut self, now: Instant) -> Option<TaskNo> {
        let (until, no) = *self.by_time.first().filter(|(until, _)| *until <= now)?;
        self.by_time.remove(&(until, no));
        self.of.remove(&no);
        Some(no)
    }

    fn next(&self) -> Option<Instant> {
        self.by_time.first().map(|(until, _)| *until)
    }

    pub fn until(&self, no: TaskNo) -> Option<Instant> {
        self.of.get(&no).copied()
    }

    pub fn len(&self) -> u32 {
        self.of.len() as u32
    }
}

impl JobMachine {
    /// The task is out, or final, or about to be: it waits for nothing.
    pub(super) fn take_up(&mut self, no: TaskNo) {
        self.waiting.remove(no);
        self.limbo.remove(no);
        self.delayed.remove(no);
        self.condemned.remove(&no);
        self.freeing.remove(no);
    }

    /// An attempt failed, and the task has tries left.
    pub(super) fn try_later(&mut self, no: TaskNo, attempt: Attempt, now: Now, fx: &mut Vec<JobEffect>) {
        let failures = self.record.failures.get(&no).map_or(1, |failures| failures.count);
        let seed = self.record.id.0 << 40 ^ u64::from(no.0) << 8 ^ u64::from(attempt.0);
        let delay = self.record.spec.policy.delay(failures, spread(seed));
        if delay.is_zero() {
            return self.wait_again(no);
        }
        let together = limits::RETRY_TOGETHER.as_millis() as u64;
        self.delayed.put(no, Instant(now.mono.after(delay).0.next_multiple_of(together)));
        self.wake_for_tries(now, fx);
    }

    /// Asks to be woken when the next try is due.
    fn wake_for_tries(&mut self, now: Now, fx: &mut Vec<JobEffect>) {
        if let Some(next) = self.delayed.next() {
            fx.extend(self.next_try.set(next, now.mono).map(JobEffect::Wake));
        }
    }

    /// An attempt that was adrift is given up: if it had started it went down with its worker.
    pub(super) fn gone(&mut self, no: TaskNo, fx: &mut Vec<JobEffect>) {
        match self.take_back(no) {
            Some(out) if out.phase.has_started() => self.lost(no, &out, fx),
            _ => self.wait_again(no),
        }
    }

    /// An attempt went down with its worker: it costs no try, but a task that takes down worker after worker ends. One whose line broke only
    /// comes back, and may be lost again: it counts once.
    fn lost(&mut self, no: TaskNo, out: &Out, fx: &mut Vec<JobEffect>) {
        let Out { attempt, worker, began, .. } = *out;
        let counted = self.record.losses.get(&no).is_some_and(|losses| attempt <= losses.last);
        if self.record.stopping().is_none() && !counted {
            fx.push(JobEffect::NoteLost { no, attempt, worker, began });
            self.persist(JobEntry::AttemptLost { no, attempt, worker }, None, fx);
        }
        self.wait_again(no);
    }

    /// The task waits for a slot, unless it has taken down too many workers.
    pub(super) fn queue(&mut self, no: TaskNo) {
        if self.record.losses.get(&no).is_some_and(Losses::are_too_many) {
            self.condemned.entry(no).or_insert(false);
        } else {
            self.waiting.insert(no);
        }
    }

    /// The same for many.
    pub(super) fn queue_all(&mut self, tasks: &IndexSet) {
        self.waiting.extend(tasks);
        let poisonous = self.record.losses.iter().filter(|(_, losses)| losses.are_too_many()).map(|(no, _)| *no);
        for no in poisonous.filter(|no| tasks.contains(*no)) {
            self.waiting.remove(no);
            self.condemned.entry(no).or_insert(false);
        }
    }

    /// Asks for the records of tasks that are to end so.
    pub(super) fn condemn(&mut self, fx: &mut Vec<JobEffect>) {
        for (no, asked) in self.condemned.iter_mut().filter(|(_, asked)| !**asked) {
            *asked = true;
            let losses = self.record.losses.get(no).copied().unwrap_or_default();
            fx.push(JobEffect::Poison { no: *no, attempt: losses.last, worker: losses.last_worker, workers: losses.count });
        }
    }

    /// The record is stored; unless the task is in a worker's hands again, or done, it ends now.
    pub(super) fn poisoned(&mut self, no: TaskNo, result: ResultRef, now: Now, fx: &mut Vec<JobEffect>) {
        if self.condemned.remove(&no).is_none() || self.record.is_final(no) {
            return;
        }
        let losses = self.record.losses.get(&no).copied().unwrap_or_default();
        fx.push(JobEffect::TaskFailed(no, Outcome::Poison { workers: losses.count }));
        let end = TaskEnd { no, attempt: losses.last, worker: losses.last_worker, success: false, result };
        self.end_task(end, None, now, fx);
    }

    /// A task has its end. If too many have failed by now the job ends as well.
    pub(super) fn end_task(&mut self, end: TaskEnd, after: Option<AfterDurable>, now: Now, fx: &mut Vec<JobEffect>) {
        self.take_up(end.no);
        let handed = self.handed.remove(&end.no).unwrap_or(Attempt(0)).max(Attempt(self.attempt_floor()));
        if !end.success && handed > end.attempt {
            self.note_attempts(handed, fx);
        }
        let stopping = self.record.stopping().is_some();
        self.persist(JobEntry::TaskEnded(end), after, fx);
        if !stopping && self.record.gives_up() {
            self.waiting = IndexSet::default();
            self.delayed = Delayed::default();
            self.condemned.clear();
            self.stop_started(fx);
            self.fence_all(now, fx);
        }
    }

    /// The job ends before its last task, by itself: a later round numbers attempts from above all that were out, and, as far as they left a
    /// trace, from above those of before a restart of the head.
    pub(super) fn note_all_attempts(&mut self, fx: &mut Vec<JobEffect>) {
        let failed = self.record.failures.values().map(|failures| failures.last);
        let lost = self.record.losses.values().map(|losses| losses.last);
        let highest = self.handed.values().copied().chain(failed).chain(lost).max().unwrap_or(Attempt(0));
        if self.fault != Some(Fault::GivenUpForgotten) {
            self.note_attempts(highest, fx);
        }
    }

    /// Attempts up to this one were out.
    fn note_attempts(&mut self, highest: Attempt, fx: &mut Vec<JobEffect>) {
        let up_to = highest.max(Attempt(self.attempt_floor()));
        if up_to > self.record.rounds.last_failed {
            self.persist(JobEntry::AttemptsUsed { up_to }, None, fx);
        }
    }

    /// Time has passed.
    pub(super) fn failures_tick(&mut self, now: Now, fx: &mut Vec<JobEffect>) {
        while let Some(no) = self.delayed.pop_due(now.mono) {
            self.wait_again(no);
        }
        self.wake_for_tries(now, fx);
    }
}
