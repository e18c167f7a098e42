//! Jobs and workers as people are shown them.

use crate::domain::{Confines, JobId, Resources, WallTime, WorkerInfo};
use crate::engine::eta::Range;
use crate::engine::session::LeaseStatus;
use crate::engine::{JobView, WorkerPhase};

/// A job with what only the supervisor knows of it.
#[derive(Clone, Debug, PartialEq)]
pub struct JobStatus {
    /// The job itself.
    pub view: JobView,
    /// Why it is where it is, without its name: `is paused: …`.
    pub reason: String,
    /// Almost done, so not trumped.
    pub past_finish_line: bool,
    /// Seconds to its end.
    pub eta: Option<Range>,
    /// When it is removed by itself, once it has ended.
    pub expires: Option<WallTime>,
}

/// A worker as shown.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerStatus {
    /// As it presented itself.
    pub info: WorkerInfo,
    /// What it does.
    pub phase: WorkerPhase,
    /// Since when; none for one that is away since before the head started.
    pub since: Option<WallTime>,
    /// Why it does that; empty if that speaks for itself.
    pub note: String,
    /// It was told to take no more tasks.
    pub drained: bool,
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
