//! The verbs: a queue stops at once; then, side by side, the verb becomes durable and a fence goes to every session with Sent leases; the
//! reply follows both, or names who did not answer.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::domain::entry::JobEntry;
use crate::domain::verb::{Hold, KillMode, Verb, VerbReply, Wish};
use crate::domain::wire::Lease;
use crate::domain::{FenceId, IndexSet, Instant, SessionId, TaskNo, WorkerId};
use crate::engine::fault::Fault;
use crate::engine::now::Now;
use crate::engine::view::JobView;
use crate::limits;

use super::event::{JobEffect, JobEvent, VerbError};
use super::failure::Delayed;
use super::machine::{AfterDurable, JobMachine, Phase};

/// So often the wall clock is looked at for the end of a pause.
const LOOK_AT_WALL_EVERY: Duration = Duration::from_secs(30);

/// A verb whose reply waits.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PendingVerb {
    ticket: u64,
    verb: Verb,
    changed: bool,
    durable: bool,
    fences: BTreeMap<FenceId, SessionId>,
    deadline: Instant,
    superseded_by: Option<&'static str>,
}

/// Verbs that stop or start the queue; a later one supersedes an earlier one. The others are settled by themselves.
fn stops_or_starts(verb: Verb) -> bool {
    verb.stops() || matches!(verb, Verb::Resume)
}

impl JobMachine {
    pub(super) fn verb(&mut self, ticket: u64, wish: Wish, now: Now, fx: &mut Vec<JobEffect>) {
        let Wish { verb, reason, by, change } = wish;
        self.strays.expire(now.mono);
        let verb = self.in_effect(verb);
        let state = self.state();
        let over = state.is_final() || self.ending;
        let killed = self.record.killing.is_some();
        let ends = self.record.stopping().is_some();
        let changes = self.changes(verb);
        // A second kill is as welcome as the first, whenever it comes, and a retry begins a job that has ended anew; every other verb needs a
        // job that can still be steered.
        let (refused, changed) = match verb {
            Verb::Kill(_) => (over && !killed, !over && changes),
            Verb::Retry { .. } => (changes && (killed || ends && !over || self.ending || self.record.failed.is_empty()), changes),
            _ => (over || ends, changes),
        };
        let too_early = changed && change.is_some() && self.record.ended.is_none();
        if refused || too_early {
            fx.push(JobEffect::Reply(ticket, Err(VerbError { state, verb: verb.name(), too_early: too_early && !killed })));
            return;
        }
        if stops_or_starts(verb) {
            self.supersede(verb, fx);
        }
        let fences = self.send_fences(verb, now, fx);
        let deadline = now.mono.after(limits::FENCE_TIMEOUT);
        if !fences.is_empty() {
            fx.push(JobEffect::Wake(deadline));
        }
        let durable = self.fault == Some(Fault::ReplyBeforeDurable);
        self.pending.push(PendingVerb { ticket, verb, changed, durable, fences, deadline, superseded_by: None });
        if changed {
            if matches!(verb, Verb::Retry { .. }) {
                let freed = self.record.to_be_freed();
                self.freeing.extend(&freed);
            }
            let (version, at) = (self.record.control_version + 1, now.wall);
            let entry = match (verb, change) {
                (Verb::Retry { request }, Some(change)) => JobEntry::RetriedWith { version, request, change, reason, at },
                _ => JobEntry::Controlled { version, verb, reason, at },
            };
            let was_frozen = self.record.hold.freeze;
            if by.is_empty() {
                self.persist(entry, Some(AfterDurable::Verb(ticket)), fx);
            } else {
                self.persist(entry, None, fx);
                self.persist(JobEntry::SaidBy { version, by }, Some(AfterDurable::Verb(ticket)), fx);
            }
            self.after_control(verb, was_frozen, now, fx);
        } else {
            self.once_durable(AfterDurable::Verb(ticket), fx);
        }
        self.settle(fx);
    }

    /// What a verb would come to now, if every worker answered at once, and the job as it would be then; what would be refused is refused.
    /// Changes nothing.
    pub fn preview(&self, wish: Wish, now: Now) -> Result<(VerbReply, JobView), VerbError> {
        const TICKET: u64 = u64::MAX;
        let mut copy = self.clone();
        // A retry waits for the end that is under way, and then acts.
        if let (Verb::Retry { .. }, Some(end)) = (wish.verb, copy.end_entry.take()) {
            copy.record.apply(&end);
            copy.ending = false;
        }
        let verb = wish.verb.name();
        let mut fx = copy.on_event(JobEvent::Verb { ticket: TICKET, wish }, now);
        for fence in fx.clone() {
            if let JobEffect::Fence(session, fence) = fence {
                let (started, dropped) = (Vec::new(), copy.sent_to(session));
                fx.extend(copy.on_event(JobEvent::Fenced { fence, session, started, dropped }, now));
            }
        }
        copy.verb_durable(TICKET, &mut fx);
        copy.answer_all(&mut fx);
        let reply = fx.into_iter().find_map(|effect| match effect {
            JobEffect::Reply(TICKET, reply) => Some(reply),
            _ => None,
        });
        let reply = reply.unwrap_or(Err(VerbError { state: self.state(), verb, too_early: false }))?;
        Ok((reply, copy.view()))
    }

    fn sent_to(&self, session: SessionId) -> Vec<Lease> {
        let (job, epoch) = (self.record.id, self.epoch);
        let sent = self.out.iter().filter(|(_, out)| out.session == session && matches!(out.phase, Phase::Sent));
        sent.map(|(no, out)| Lease { job, no: *no, attempt: out.attempt, epoch }).collect()
    }

    fn changes(&self, verb: Verb) -> bool {
        let record = &self.record;
        match verb {
            Verb::Pause | Verb::PauseWith(_) => !record.held || verb.hold() != Some(record.hold),
            Verb::Resume => record.held,
            Verb::Kill(KillMode::Finish) => record.killing.is_none(),
            Verb::Kill(KillMode::Stop) => record.killing != Some(KillMode::Stop),
            Verb::SetPriority(priority) => record.priority != priority,
            Verb::SetLimit(max_running) => record.max_running != max_running,
            Verb::Retry { request } => record.rounds.retried == 0 || record.rounds.request != request,
        }
    }

    /// Sends a fence to every session with Sent leases, for a verb that stops the queue. Also for one that repeats an earlier verb: its
    /// reply makes the same promise.
    fn send_fences(&mut self, verb: Verb, now: Now, fx: &mut Vec<JobEffect>) -> BTreeMap<FenceId, SessionId> {
        if !verb.stops() || self.fault == Some(Fault::FenceForgotten) {
            return BTreeMap::new();
        }
        self.fence_all(now, fx)
    }

    /// Asks every session that may yet start a task of this job.
    pub(super) fn fence_all(&mut self, now: Now, fx: &mut Vec<JobEffect>) -> BTreeMap<FenceId, SessionId> {
        let sent = |phase: Phase| matches!(phase, Phase::Sent | Phase::Doubtful);
        let out = self.out.values().filter(|out| sent(out.phase)).map(|out| out.session);
        let sessions: BTreeSet<SessionId> = out.chain(self.strays.sessions()).collect();
        sessions.into_iter().map(|session| (self.send_fence(session, now, fx), session)).collect()
    }

    fn send_fence(&mut self, session: SessionId, now: Now, fx: &mut Vec<JobEffect>) -> FenceId {
        // Numbers grow with time, so that an answer to a machine that this one replaces is never taken for an answer to this one.
        self.last_fence = self.last_fence.max(now.mono.0.saturating_mul(1 << 16)).saturating_add(1);
        let fence = FenceId(self.last_fence);
        fx.push(JobEffect::Fence(session, fence));
        fence
    }

    /// A session tells only now what it has sent, of a job that was stopped meanwhile: verbs whose reply waits wait for this one, too.
    pub(super) fn fence_late(&mut self, session: SessionId, now: Now, fx: &mut Vec<JobEffect>) {
        if self.record.held || self.record.stopping().is_some() {
            let fence = self.send_fence(session, now, fx);
            let stopping = |pending: &&mut PendingVerb| pending.verb.stops() && pending.superseded_by.is_none();
            for pending in self.pending.iter_mut().filter(stopping) {
                pending.fences.insert(fence, session);
            }
        }
    }

    /// What a verb changes at once, beside the record.
    fn after_control(&mut self, verb: Verb, was_frozen: bool, now: Now, fx: &mut Vec<JobEffect>) {
        match verb {
            Verb::Kill(mode) => {
                if self.fault != Some(Fault::HoldNotChecked) {
                    self.waiting = IndexSet::default();
                }
                self.delayed = Delayed::default();
                self.condemned.clear();
                if mode == KillMode::Stop {
                    self.stop_started(fx);
                }
            }
            Verb::Pause | Verb::PauseWith(_) => self.look_for_end_of_hold(now, fx),
            Verb::Resume | Verb::SetPriority(_) | Verb::SetLimit(_) | Verb::Retry { .. } => {}
        }
        let frozen = self.record.hold.freeze;
        if frozen != was_frozen && self.fault != Some(Fault::FreezeKept) {
            fx.extend(self.started_leases().map(|(session, lease)| JobEffect::Freeze(session, lease, frozen)));
        }
    }

    pub(super) fn stop_started(&self, fx: &mut Vec<JobEffect>) {
        let grace = self.record.spec.grace;
        fx.extend(self.started_leases().map(|(session, lease)| JobEffect::Stop(session, lease, grace)));
    }

    /// What is known to run, and can be told something.
    fn started_leases(&self) -> impl Iterator<Item = (SessionId, Lease)> + '_ {
        let (job, epoch) = (self.record.id, self.epoch);
        let started = self.out.iter().filter(|(_, out)| matches!(out.phase, Phase::Started));
        started.map(move |(no, out)| (out.session, Lease { job, no: *no, attempt: out.attempt, epoch }))
    }

    /// The verb as it acts on this job: what is frozen stays so for as long as the job is paused. How long that is the last pause says.
    fn in_effect(&self, verb: Verb) -> Verb {
        verb.hold().map_or(verb, |hold| Verb::pause(Hold { freeze: hold.freeze || self.record.hold.freeze, ..hold }))
    }

    /// Ends a pause whose time is over, by the wall clock: that may jump, so it is looked at every now and then.
    fn look_for_end_of_hold(&mut self, now: Now, fx: &mut Vec<JobEffect>) {
        let Some(until) = self.record.hold.until.filter(|_| !self.ending && self.record.ended.is_none()) else { return };
        if until > now.wall {
            let left = Duration::from_micros(until.0.saturating_sub(now.wall.0).max(0).unsigned_abs());
            let at = now.mono.after(left.min(LOOK_AT_WALL_EVERY));
            fx.extend(self.end_of_hold.set(at, now.mono).map(JobEffect::Wake));
            return;
        }
        self.supersede(Verb::Resume, fx);
        let was_frozen = self.record.hold.freeze;
        let version = self.record.control_version + 1;
        let reason = "the pause was over".to_owned();
        self.persist(JobEntry::Controlled { version, verb: Verb::Resume, reason, at: now.wall }, None, fx);
        self.after_control(Verb::Resume, was_frozen, now, fx);
    }

    fn supersede(&mut self, by: Verb, fx: &mut Vec<JobEffect>) {
        for pending in self.pending.iter_mut().filter(|pending| stops_or_starts(pending.verb)) {
            pending.superseded_by = Some(by.name());
            pending.fences.clear();
        }
        self.settle(fx);
    }

    pub(super) fn verb_durable(&mut self, ticket: u64, fx: &mut Vec<JobEffect>) {
        if let Some(pending) = self.pending.iter_mut().find(|pending| pending.ticket == ticket) {
            pending.durable = true;
            if matches!(pending.verb, Verb::Retry { .. }) {
                let freed = std::mem::take(&mut self.freeing);
                freed.iter().for_each(|no| self.wait_again(no));
            }
        }
        self.settle(fx);
    }

    pub(super) fn fence_answered(&mut self, fence: FenceId, fx: &mut Vec<JobEffect>) {
        for pending in &mut self.pending {
            pending.fences.remove(&fence);
        }
        self.settle(fx);
    }

    /// The session is gone, so its fences will not be answered; what was Sent there is adrift, and its worker is named.
    pub(super) fn session_fences_lost(&mut self, session: SessionId, fx: &mut Vec<JobEffect>) {
        for pending in &mut self.pending {
            pending.fences.retain(|_, of| *of != session);
        }
        self.settle(fx);
    }

    pub(super) fn awaits_fences(&self) -> bool {
        self.pending.iter().any(|pending| !pending.fences.is_empty())
    }

    /// The job has ended, and waits for nobody: what may yet start is named.
    pub(super) fn answer_all(&mut self, fx: &mut Vec<JobEffect>) {
        self.pending.iter_mut().for_each(|pending| pending.fences.clear());
        self.settle(fx);
    }

    pub(super) fn tick(&mut self, now: Now, fx: &mut Vec<JobEffect>) {
        self.give_up_adrift(now.mono, fx);
        self.failures_tick(now, fx);
        self.look_for_end_of_hold(now, fx);
        let mut silent = BTreeSet::new();
        for pending in self.pending.iter_mut().filter(|pending| pending.deadline <= now.mono) {
            silent.extend(std::mem::take(&mut pending.fences).into_values());
        }
        let doubtful: Vec<TaskNo> = self
            .out
            .iter()
            .filter(|(_, out)| silent.contains(&out.session) && matches!(out.phase, Phase::Sent))
            .map(|(no, _)| *no)
            .collect();
        for no in doubtful {
            if self.fault == Some(Fault::SilenceTakenForDropped) {
                self.take_back(no);
                self.wait_again(no);
            } else {
                self.set_phase(no, Phase::Doubtful);
            }
        }
        self.settle(fx);
    }

    /// Answers every verb for which nothing is awaited any more.
    fn settle(&mut self, fx: &mut Vec<JobEffect>) {
        let (ready, waiting) =
            std::mem::take(&mut self.pending).into_iter().partition(|pending| pending.durable && pending.fences.is_empty());
        self.pending = waiting;
        for pending in ready {
            fx.push(JobEffect::Reply(pending.ticket, Ok(self.reply(&pending))));
        }
    }

    fn reply(&self, pending: &PendingVerb) -> VerbReply {
        let unsure = |phase: Phase| matches!(phase, Phase::Doubtful) || phase.is_unsure_adrift();
        let mut unconfirmed: BTreeSet<WorkerId> = self.out.values().filter(|out| unsure(out.phase)).map(|out| out.worker).collect();
        unconfirmed.extend(self.strays.workers());
        // Whoever has not reported may hold any task that ever went out.
        if self.limbo_bound > 0 {
            unconfirmed.extend(&self.unreported);
        }
        let stops = pending.verb.stops();
        let counts = self.counts();
        VerbReply {
            state: self.state(),
            held: self.record.held,
            changed: pending.changed,
            dropped: counts.killed.saturating_sub(self.stopped),
            counts,
            unconfirmed: if stops { unconfirmed.into_iter().collect() } else { Vec::new() },
            retried: if matches!(pending.verb, Verb::Retry { .. }) { self.record.rounds.last_freed } else { 0 },
            superseded_by: pending.superseded_by,
        }
    }
}
