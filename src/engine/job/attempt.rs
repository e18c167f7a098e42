//! What becomes of attempts: started, given back, finished, lost, claimed.

use crate::domain::entry::JobEntry;
use crate::domain::verb::KillMode;
use crate::domain::wire::{Lease, Verdict};
use crate::domain::{FenceId, Instant, JobState, Outcome, ResultRef, SessionId, TaskEnd, TaskNo, Timing, WorkerId};
use crate::engine::fault::Fault;
use crate::engine::now::Now;
use crate::limits;

use super::event::JobEffect;
use super::machine::{AfterDurable, JobMachine, Out, Phase};

impl Phase {
    /// Started, or to be treated as if it were.
    pub(super) fn counts_as_running(self) -> bool {
        matches!(self, Self::Doubtful) || self.has_started()
    }

    pub(super) fn has_started(self) -> bool {
        matches!(self, Self::Started | Self::Adrift { started: true, .. })
    }

    /// May start out of our sight.
    pub(super) fn is_unsure_adrift(self) -> bool {
        matches!(self, Self::Adrift { started: false, .. })
    }
}

impl JobMachine {
    /// The entry of `out` that this lease is, if it is the present attempt in this session.
    fn present(&mut self, session: SessionId, lease: &Lease) -> Option<&mut Out> {
        let lax = self.fault == Some(Fault::AttemptNotCompared);
        self.out.get_mut(&lease.no).filter(|out| lax || out.attempt == lease.attempt && out.session == session)
    }

    pub(super) fn set_phase(&mut self, no: TaskNo, phase: Phase) {
        if let Some(out) = self.out.get_mut(&no) {
            self.running -= u32::from(out.phase.counts_as_running());
            self.adrift -= u32::from(out.phase.is_unsure_adrift());
            self.running += u32::from(phase.counts_as_running());
            self.adrift += u32::from(phase.is_unsure_adrift());
            out.phase = phase;
        }
    }

    /// Puts one into a worker's hands.
    pub(super) fn put_out(&mut self, no: TaskNo, out: Out) {
        self.hands.put(no, out.handed);
        self.out.insert(no, out);
    }

    /// Takes an attempt out of the workers' hands.
    pub(super) fn take_back(&mut self, no: TaskNo) -> Option<Out> {
        let out = self.out.remove(&no)?;
        self.hands.take(no, out.handed);
        self.running -= u32::from(out.phase.counts_as_running());
        self.adrift -= u32::from(out.phase.is_unsure_adrift());
        Some(out)
    }

    /// A task that is in nobody's hands and not final: it waits, or was killed. As long as some worker has not reported since the restart,
    /// a task from before it may be in that worker's hands, even though another has just given it back.
    pub(super) fn wait_again(&mut self, no: TaskNo) {
        if self.record.is_final(no) {
            return;
        }
        if no.0 < self.limbo_bound && !self.unreported.is_empty() {
            self.limbo.insert(no);
        } else if self.record.stopping().is_none() {
            self.queue(no);
        }
    }

    pub(super) fn started(&mut self, session: SessionId, leases: &[Lease], now: Now, fx: &mut Vec<JobEffect>) {
        for lease in leases {
            self.strays.settled(session, lease);
            let phase = match self.present(session, lease).map(|out| out.phase) {
                None => continue,
                // The news crossed the loss of the session.
                Some(Phase::Adrift { heard, .. }) => Phase::Adrift { heard, started: true },
                Some(Phase::Sent | Phase::Doubtful | Phase::Started) => Phase::Started,
            };
            self.set_phase(lease.no, phase);
            // What came from before this machine began there, nobody knows when.
            if let Some(out) = self.out.get_mut(&lease.no).filter(|out| out.sent.is_some()) {
                out.began.get_or_insert(now.wall);
            }
            if self.record.stopping() == Some(KillMode::Stop) {
                fx.push(JobEffect::Stop(session, *lease, self.record.spec.grace));
            }
            if self.record.hold.freeze {
                fx.push(JobEffect::Freeze(session, *lease, true));
            }
            if self.record.began.is_none() {
                self.persist(JobEntry::Began { at: now.wall }, None, fx);
            }
        }
    }

    /// The attempt will not start: the task waits again, at no cost.
    pub(super) fn give_back(&mut self, session: SessionId, lease: &Lease) {
        self.strays.settled(session, lease);
        if self.present(session, lease).is_none() || self.fault == Some(Fault::DeclineLost) {
            return;
        }
        self.take_back(lease.no);
        self.wait_again(lease.no);
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one event")]
    pub(super) fn finished(
        &mut self,
        session: SessionId,
        worker: WorkerId,
        lease: Lease,
        outcome: &Outcome,
        timing: Timing,
        result: ResultRef,
        now: Now,
        fx: &mut Vec<JobEffect>,
    ) {
        let no = lease.no;
        self.strays.settled(session, &lease);
        let current = self.present(session, &lease).is_some();
        // The first valid completion wins, even of an attempt that was given up for lost: its work is done and right. A failure counts
        // only for the attempt that holds the task.
        let late = outcome.is_success() && lease.epoch <= self.epoch && !self.record.is_outdated(no, lease.attempt);
        let counts = self.can_count(no) && (current || late);
        if !counts {
            // What made this one superfluous may not be durable yet: until then the worker keeps it.
            self.once_durable(AfterDurable::Do(JobEffect::Ack(session, lease)), fx);
            return;
        }
        let lost_or_stopped = matches!(outcome, Outcome::Lost | Outcome::Revoked);
        let out = self.take_back(no);
        let seconds = out.as_ref().filter(|_| current).map(|out| self.seconds_of(out, timing, now.mono));
        let superseded = out.filter(|_| !current);
        if let Some(out) = superseded {
            self.strays.add(no, &out, FenceId(self.last_fence));
            let other = Lease { attempt: out.attempt, epoch: self.epoch, ..lease };
            fx.push(JobEffect::Stop(out.session, other, self.record.spec.grace));
        }
        if lost_or_stopped {
            self.stopped += u32::from(self.record.stopping().is_some());
            self.wait_again(no);
            fx.push(JobEffect::Ack(session, lease));
            return;
        }
        let failures = self.record.failures.get(&no).map_or(0, |failures| failures.count);
        let spec = &self.record.spec;
        let worth = !outcome.is_success() && spec.policy.is_worth_a_retry(outcome);
        let again = worth && failures < spec.retries && self.record.stopping().is_none();
        if again {
            self.times.waste(seconds.unwrap_or(0.0));
            self.persist(
                JobEntry::AttemptFailed { no, attempt: lease.attempt },
                Some(AfterDurable::Do(JobEffect::Ack(session, lease))),
                fx,
            );
            self.try_later(no, lease.attempt, now, fx);
            return;
        }
        let success = outcome.is_success();
        let end = TaskEnd { no, attempt: lease.attempt, worker, success, result };
        seconds.into_iter().for_each(|seconds| self.times.add(seconds));
        if !success {
            fx.push(JobEffect::TaskFailed(no, outcome.clone()));
        }
        self.end_task(end, Some(AfterDurable::Do(JobEffect::Ack(session, lease))), now, fx);
        if self.fault == Some(Fault::AckBeforeDurable) {
            fx.push(JobEffect::Ack(session, lease));
        }
    }

    /// A session ended without a goodbye. For a while what had started there may run on, and be claimed when the worker comes back; what was
    /// only sent may yet start.
    pub(super) fn session_lost(&mut self, session: SessionId, heard: Instant, now: Now, fx: &mut Vec<JobEffect>) {
        let here = |out: &Out| out.session == session && !matches!(out.phase, Phase::Adrift { .. });
        let lost: Vec<(TaskNo, Phase)> = self.out.iter().filter(|(_, out)| here(out)).map(|(no, out)| (*no, out.phase)).collect();
        self.strays.session_lost(session, heard);
        if !lost.is_empty() {
            let ends = [limits::STARTED_GONE_AFTER, limits::SENT_GONE_AFTER, limits::WORKER_SILENT_AFTER];
            fx.extend(ends.map(|span| heard.after(span)).into_iter().filter(|end| *end > now.mono).map(JobEffect::Wake));
        }
        for (no, phase) in lost {
            if self.fault == Some(Fault::LostTakenForDropped) {
                self.take_back(no);
                self.wait_again(no);
                continue;
            }
            self.set_phase(no, Phase::Adrift { heard, started: phase.has_started() });
        }
        self.give_up_adrift(now.mono, fx);
        self.session_fences_lost(session, fx);
    }

    /// Gives back what its worker can't start any more, or has run on without a word for long enough. A job that was killed runs nothing
    /// again, so it waits longer for what may yet come in.
    pub(super) fn give_up_adrift(&mut self, mono: Instant, fx: &mut Vec<JobEffect>) {
        self.strays.expire(mono);
        let killed = self.record.stopping().is_some();
        let span = |started: bool| match started {
            true if killed => limits::WORKER_SILENT_AFTER,
            true => limits::STARTED_GONE_AFTER,
            false => limits::SENT_GONE_AFTER,
        };
        let over: Vec<TaskNo> = self
            .out
            .iter()
            .filter(|(_, out)| matches!(out.phase, Phase::Adrift { heard, started } if heard.after(span(started)) <= mono))
            .map(|(no, _)| *no)
            .collect();
        over.into_iter().for_each(|no| self.gone(no, fx));
    }

    pub(super) fn claimed(
        &mut self,
        session: SessionId,
        worker: WorkerId,
        lease: Lease,
        finished: bool,
        now: Now,
        fx: &mut Vec<JobEffect>,
    ) {
        let open = self.can_count(lease.no);
        // Its failure is counted, or that of a later attempt, or it is of an earlier round: it is not held again, so that nothing is counted
        // twice.
        let failures = self.record.failures.get(&lease.no);
        let counted =
            lease.attempt <= self.record.rounds.floor(lease.no) || failures.is_some_and(|failures| lease.attempt <= failures.last);
        if finished {
            // A result is always asked for while it can count: the first valid completion wins.
            if open && !self.record.is_outdated(lease.no, lease.attempt) {
                fx.push(JobEffect::Verdict(session, lease, Verdict::Send));
                if !counted && self.hold_for(session, worker, lease, now) {
                    self.started(session, &[lease], now, fx);
                }
            } else {
                self.once_durable(AfterDurable::Do(JobEffect::Verdict(session, lease, Verdict::Stop)), fx);
            }
            return;
        }
        // One that is to be stopped is adopted, too: the job ends only once it has ended.
        if open && !counted && self.hold_for(session, worker, lease, now) {
            let verdict = if self.record.hold.freeze { Verdict::AdoptFrozen } else { Verdict::Adopt };
            fx.push(JobEffect::Verdict(session, lease, verdict));
            self.started(session, &[lease], now, fx);
        } else {
            fx.push(JobEffect::Verdict(session, lease, Verdict::Stop));
        }
    }

    /// Takes over what a live session has sent, after this machine was built anew.
    pub(super) fn kept(&mut self, session: SessionId, worker: WorkerId, lease: Lease, now: Now, fx: &mut Vec<JobEffect>) {
        if !self.can_count(lease.no) || !self.hold_for(session, worker, lease, now) {
            let out = Out { attempt: lease.attempt, worker, session, phase: Phase::Sent, handed: now.mono, sent: None, began: None };
            self.strays.add(lease.no, &out, FenceId(self.last_fence));
            fx.push(JobEffect::Stop(session, lease, self.record.spec.grace));
        }
        self.fence_late(session, now, fx);
    }

    /// Whether there is such a task, and its end can still count.
    fn can_count(&self, no: TaskNo) -> bool {
        let known = self.record.total.is_some_and(|total| no.0 < total);
        let open = !self.record.is_final(no) || self.fault == Some(Fault::CountsTwice);
        self.split && known && open && self.record.ended.is_none() && !self.ending
    }

    /// Puts a claimed attempt into its worker's hands again, if nobody else holds the task.
    fn hold_for(&mut self, session: SessionId, worker: WorkerId, lease: Lease, now: Now) -> bool {
        let no = lease.no;
        // Even if refused: its worker may still be stopping it when the task's next attempt comes along.
        let handed = self.handed.entry(no).or_default();
        *handed = lease.attempt.max(*handed);
        let same = |out: &Out| out.worker == worker && out.attempt == lease.attempt;
        if self.out.get(&no).is_some_and(|out| !same(out)) {
            return false;
        }
        let before = self.take_back(no);
        self.take_up(no);
        let unknown = Out { attempt: lease.attempt, worker, session, phase: Phase::Sent, handed: now.mono, sent: None, began: None };
        let out = before.map_or(unknown, |out| Out { session, phase: Phase::Sent, ..out });
        self.put_out(no, out);
        true
    }

    /// A worker has told all that it holds: what it was sent before and does not hold will never start there. What it has just claimed it
    /// holds, even if the news that this session is lost overtook the end of its report.
    pub(super) fn worker_reported(&mut self, worker: WorkerId, session: SessionId, fx: &mut Vec<JobEffect>) {
        self.strays.reported(worker, session);
        let gone: Vec<TaskNo> = self
            .out
            .iter()
            .filter(|(_, out)| out.worker == worker && out.session != session && matches!(out.phase, Phase::Adrift { .. }))
            .map(|(no, _)| *no)
            .collect();
        gone.into_iter().for_each(|no| self.gone(no, fx));
        if self.unreported.remove(&worker) {
            self.settle_limbo();
        }
    }

    /// When every known worker has reported, what nobody claimed is free.
    pub(super) fn settle_limbo(&mut self) {
        if self.unreported.is_empty() && self.fault != Some(Fault::LimboKept) {
            let limbo = std::mem::take(&mut self.limbo);
            if self.record.stopping().is_none() {
                self.queue_all(&limbo);
            }
        }
    }

    /// Ends the job when all its tasks are final, or when a killed one has nothing out any more.
    pub(super) fn maybe_end(&mut self, now: Now, fx: &mut Vec<JobEffect>) {
        if !self.split && self.record.killing.is_none() || self.ending || self.record.ended.is_some() {
            return;
        }
        let total = self.record.total.unwrap_or(0);
        let (succeeded, failed) = (self.record.succeeded.len(), self.record.failed.len());
        let all_final = succeeded + failed == total;
        let none_out = self.out.is_empty() && self.limbo.is_empty() || self.fault == Some(Fault::EndsTooSoon);
        // Nor before the fence has said what became of attempts whose task has ended elsewhere: then the reply can promise more.
        let stopped_out = self.record.stopping().is_some() && none_out && !self.awaits_fences();
        if !all_final && !stopped_out {
            return;
        }
        let state = match (self.record.killing, failed) {
            (Some(_), _) => JobState::Killed,
            (None, 0) => JobState::Succeeded,
            (None, _) => JobState::Failed,
        };
        let gives_up = self.record.spec.policy.max_failed.filter(|_| !all_final && self.record.killing.is_none());
        let reason = gives_up.map(|max| format!("it gave up: more than {max} of its tasks failed")).unwrap_or_default();
        if gives_up.is_some() {
            self.note_all_attempts(fx);
        }
        self.end(state, reason, now, fx);
    }

    pub(super) fn end(&mut self, state: JobState, reason: String, now: Now, fx: &mut Vec<JobEffect>) {
        if self.ending || self.record.ended.is_some() {
            return;
        }
        self.ending = true;
        let entry = JobEntry::Ended { state, reason, at: now.wall };
        self.end_entry = Some(entry.clone());
        self.persist(entry, Some(AfterDurable::End), fx);
    }

    pub(super) fn ended(&mut self, fx: &mut Vec<JobEffect>) {
        if let Some(entry) = self.end_entry.take() {
            self.record.apply(&entry);
            self.ending = false;
            self.handed.clear();
            self.condemned.clear();
            self.answer_all(fx);
            fx.push(JobEffect::Ended(self.state()));
        }
    }
}
