//! What is known of a task on a slot.

use crate::domain::Resources;
use crate::domain::wire::Lease;

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Preparing,
    /// Its input is here; what it needs is held by one that is being stopped.
    Ready,
    Running {
        unwanted: bool,
    },
}

impl Phase {
    /// Whether its process was started.
    pub fn has_started(self) -> bool {
        matches!(self, Self::Running { .. })
    }
}

/// A slot that is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub lease: Lease,
    /// What its task needs: as it was when it came, whatever its job needs since.
    pub needs: Resources,
    pub phase: Phase,
    /// The head of this session knows that we hold it.
    pub confirmed: bool,
    /// Taken to see whether the machine is sound again.
    pub trial: bool,
    /// Its process stands still.
    pub frozen: bool,
}
