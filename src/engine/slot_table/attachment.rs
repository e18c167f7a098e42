//! What ties a worker to a head: one session at a time, and how long it counts.

use std::time::Duration;

use crate::domain::{Instant, SessionId};
use crate::limits;

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Attachment {
    session: Option<SessionId>,
    /// Since when there is no head.
    alone_since: Instant,
    /// The stamp of our last heartbeat that the head has heard.
    lease_from: Instant,
}

impl Attachment {
    /// The present session.
    pub fn session(&self) -> Option<SessionId> {
        self.session
    }

    /// A head has let us in, and answers what was stamped so.
    pub fn begins(&mut self, session: SessionId, stamp: Instant) {
        (self.session, self.lease_from) = (Some(session), stamp);
    }

    /// The head has heard the heartbeat that was stamped so.
    pub fn heard(&mut self, stamp: Instant) {
        self.lease_from = stamp.max(self.lease_from);
    }

    /// The session, if there is one, is over.
    pub fn ends(&mut self, now: Instant) {
        if self.session.take().is_some() {
            self.alone_since = now;
        }
    }

    /// Whether the head, not having heard of us, may have given our unstarted tasks to others.
    pub fn lease_is_over(&self, now: Instant) -> bool {
        now.since(self.lease_from) > limits::LEASE
    }

    /// Until when what has not started may.
    pub fn lease_until(&self) -> Instant {
        self.lease_from.after(limits::LEASE)
    }

    /// Whether there was no head for so long.
    pub fn is_alone_for(&self, span: Duration, now: Instant) -> bool {
        self.session.is_none() && now.since(self.alone_since) >= span
    }
}
