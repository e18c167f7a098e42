//! A job with its inside, as its actor gives it to listings and bundles.

use std::sync::Arc;

use crate::blobs::ChunkIndex;
use crate::domain::{Attempt, TaskNo, WorkerId};
use crate::engine::pulse::Pulse;
use crate::engine::{JobRecord, JobView, Strays};

use super::job_store::JobStore;

/// A task in a worker's hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutTask {
    /// Which.
    pub no: TaskNo,
    /// Which try.
    pub attempt: Attempt,
    /// Where.
    pub worker: WorkerId,
    /// Whether its process has started.
    pub started: bool,
}

/// A job at one moment.
#[derive(Clone, Debug)]
pub struct JobSnapshot {
    /// As the journal has it, or a moment ahead.
    pub record: JobRecord,
    /// What is in workers' hands.
    pub out: Vec<OutTask>,
    /// As others see it.
    pub view: JobView,
    /// Its chunks, if it has a data set and is split.
    pub chunks: Option<Arc<ChunkIndex>>,
    /// Its results.
    pub files: Option<Arc<JobStore>>,
    /// What may yet start of it, although nobody waits for it.
    pub strays: Strays,
    /// How its attempts have gone, since its actor has started.
    pub pulse: Box<Pulse>,
}
