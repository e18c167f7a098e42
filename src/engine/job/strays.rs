//! Attempts that nobody waits for any more, and that may yet start: they were sent, and before their worker said what came of them their task
//! ended elsewhere. A reply to a kill or pause must not promise more than is known of them.

use std::collections::BTreeSet;

use crate::domain::wire::Lease;
use crate::domain::{Attempt, FenceId, Instant, SessionId, TaskNo, WorkerId};
use crate::limits;

use super::machine::{Out, Phase};

#[derive(Clone, Debug, PartialEq, Eq)]
struct Stray {
    no: TaskNo,
    attempt: Attempt,
    worker: WorkerId,
    session: SessionId,
    /// The answer to any later fence settles it.
    sent_before: FenceId,
    /// Its session is lost: it can't start after this.
    gone: Option<Instant>,
}

/// All strays of a job. Nearly always none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strays(Vec<Stray>);

impl Strays {
    /// An attempt is given up by its job; `last_fence` is the last one that was sent. One that had started is none.
    pub(super) fn add(&mut self, no: TaskNo, out: &Out, last_fence: FenceId) {
        let gone = match out.phase {
            Phase::Sent | Phase::Doubtful => None,
            Phase::Adrift { heard, started: false } => Some(heard.after(limits::SENT_GONE_AFTER)),
            Phase::Started | Phase::Adrift { started: true, .. } => return,
        };
        let Out { attempt, worker, session, .. } = *out;
        self.0.push(Stray { no, attempt, worker, session, sent_before: last_fence, gone });
    }

    /// The worker has said what came of an attempt.
    pub(super) fn settled(&mut self, session: SessionId, lease: &Lease) {
        self.0.retain(|stray| !(stray.session == session && stray.no == lease.no && stray.attempt == lease.attempt));
    }

    /// The worker has answered a fence: what was sent before it has started, or never will.
    pub(super) fn fenced(&mut self, session: SessionId, fence: FenceId) {
        self.0.retain(|stray| stray.session != session || stray.sent_before >= fence);
    }

    /// The worker has told, in a new session, all that it holds: nothing else of earlier ones will start there.
    pub(super) fn reported(&mut self, worker: WorkerId, session: SessionId) {
        self.0.retain(|stray| stray.worker != worker || stray.session == session);
    }

    /// A session ended without a goodbye.
    pub(super) fn session_lost(&mut self, session: SessionId, heard: Instant) {
        let lost = self.0.iter_mut().filter(|stray| stray.session == session && stray.gone.is_none());
        lost.for_each(|stray| stray.gone = Some(heard.after(limits::SENT_GONE_AFTER)));
    }

    /// Time goes on.
    pub(super) fn expire(&mut self, now: Instant) {
        self.0.retain(|stray| stray.gone.is_none_or(|gone| gone > now));
    }

    /// The job has ended, and hears of no session any more: each was told to stop what it had, and a worker obeys that within its lease.
    pub(super) fn leave_sessions(&mut self, now: Instant) {
        self.0.iter_mut().for_each(|stray| stray.gone = stray.gone.or(Some(now.after(limits::SENT_GONE_AFTER))));
    }

    /// The sessions that live and may start one: a fence settles them.
    pub(super) fn sessions(&self) -> impl Iterator<Item = SessionId> + '_ {
        self.0.iter().filter(|stray| stray.gone.is_none()).map(|stray| stray.session)
    }

    /// The workers that may start one.
    pub(super) fn workers(&self) -> BTreeSet<WorkerId> {
        self.0.iter().map(|stray| stray.worker).collect()
    }
}
