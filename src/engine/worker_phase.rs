//! What a worker does, in a word.

use crate::domain::wire::Standing;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerPhase {
    /// It has free slots.
    Available,
    /// It has none.
    Busy,
    /// It takes no more.
    Draining,
    /// It has connected, and not said yet how many slots are free.
    Joining,
    /// Its machine has failed a task; it takes none for a while, then one to try.
    Resting,
    /// Tasks of several jobs failed there; it gets one now and then, to try.
    Suspected,
    /// It is known, but not connected.
    Away,
}

impl WorkerPhase {
    /// All.
    pub const ALL: [Self; 7] = [Self::Available, Self::Busy, Self::Draining, Self::Joining, Self::Resting, Self::Suspected, Self::Away];

    /// Of one that is connected: by what it says of itself, whether it is under suspicion, and the slots that it announced as free; none before
    /// the first announcement.
    pub fn of(standing: Standing, is_suspected: bool, free: Option<u32>) -> Self {
        match (standing, free) {
            (Standing::Leaving, _) => Self::Draining,
            _ if is_suspected => Self::Suspected,
            (Standing::Resting, _) => Self::Resting,
            (Standing::Serving, None) => Self::Joining,
            (Standing::Serving, Some(0)) => Self::Busy,
            (Standing::Serving, Some(_)) => Self::Available,
        }
    }

    /// As `worker list` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Busy => "busy",
            Self::Draining => "draining",
            Self::Joining => "joining",
            Self::Resting => "resting",
            Self::Suspected => "suspected",
            Self::Away => "away",
        }
    }
}
