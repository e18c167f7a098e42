//! What its worker does, and since when.

use super::Session;
use crate::domain::WallTime;
use crate::engine::now::Now;
use crate::engine::worker_phase::WorkerPhase;

/// The last that was seen of it, and when that began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    phase: WorkerPhase,
    since: WallTime,
}

impl Seen {
    /// It has just connected.
    pub fn new(now: Now) -> Self {
        Self { phase: WorkerPhase::Joining, since: now.wall }
    }
}

impl Session {
    /// What the worker does, and since when.
    pub fn phase(&self) -> (WorkerPhase, WallTime) {
        (self.seen.phase, self.seen.since)
    }

    /// Whether it was told to take no more tasks; it may also have said so by itself.
    pub fn is_drained(&self) -> bool {
        self.draining
    }

    pub(super) fn note_phase(&mut self, now: Now) {
        let phase = WorkerPhase::of(self.standing(), self.suspicion.is_there(), self.free_announced());
        if phase != self.seen.phase {
            self.seen = Seen { phase, since: now.wall };
        }
    }
}
