//! Jobs and workers as people are shown them.

use crate::domain::{Confines, JobId, Resources, WallTime, WorkerInfo};
use crate::engine::JobView;
use crate::engine::session::LeaseStatus;

/// A job with what only the supervisor knows of it.
#[derive(Clone, Debug, PartialEq)]
pub struct JobStatus {
    /// The job itself.
    pub view: JobView,
    /// Why it is where it is, without its name: `is paused: …`.
    pub reason: String,
    /// Almost done, so not trumped.
    pub past_finish_line: bool,
    /// Seconds to its end, as a range.
    pub eta_seconds: Option<(f64, f64)>,
    /// When it is removed by itself, once it has ended.
    pub expires: Option<WallTime>,
}

/// What a worker does.
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

    /// As in `worker list`.
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

/// A worker as shown.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerStatus {
    /// As it presented itself.
    pub info: WorkerInfo,
    /// What it does.
    pub phase: WorkerPhase,
    /// Why it does that; empty if that speaks for itself.
    pub note: String,
    /// Slots announced as free.
    pub free: u32,
    /// What it holds.
    pub leases: Vec<LeaseStatus>,
    /// What that takes of it.
    pub used: Resources,
    /// The job that it is kept free for, and since when.
    pub kept_for: Option<(JobId, WallTime)>,
    /// What its tasks are confined by; none while it is away, and if it is of a version that does not say.
    pub confines: Option<Confines>,
    /// When it connected.
    pub attached: Option<WallTime>,
    /// It is away, as it has said goodbye.
    pub left: bool,
}
