//! A worker that has nothing to do for long leaves by itself.

use std::time::Duration;

use crate::domain::Instant;

/// Since when there is nothing at all: no task, no result that waits for the head. Whether there is a head does not matter.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Idle {
    since: Option<Instant>,
}

impl Idle {
    /// It is like this now.
    pub fn note(&mut self, nothing_to_do: bool, now: Instant) {
        self.since = nothing_to_do.then(|| self.since.unwrap_or(now));
    }

    /// Whether that lasts as long as it may; without a limit it never does.
    pub fn is_over(&self, limit: Option<Duration>, now: Instant) -> bool {
        self.since.zip(limit).is_some_and(|(since, limit)| now.since(since) >= limit)
    }
}
