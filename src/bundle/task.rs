//! What a bundle is made from.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::domain::{Chunk, JobId, JobSpec, ResultMeta, TaskNo, WallTime, WorkerId};

/// The job, at the moment of the bundle.
#[derive(Clone, Copy, Debug)]
pub struct BundleJob<'a> {
    /// Its number.
    pub id: JobId,
    /// What its owner stated.
    pub spec: &'a JobSpec,
    /// The commands of its earlier rounds, by which some of its tasks may have run.
    pub earlier_commands: &'a [Vec<String>],
    /// Its priority now.
    pub priority: i32,
    /// When it was submitted.
    pub created: WallTime,
    /// When its first task was started, if one was.
    pub started: Option<WallTime>,
    /// When it became final, if it is.
    pub finished: Option<WallTime>,
    /// Names of workers; one without a name is shown as `w3`.
    pub workers: &'a BTreeMap<WorkerId, String>,
}

/// A task, at the moment of the bundle.
#[derive(Clone, Debug)]
pub struct BundleTask {
    /// Its place in the job.
    pub no: TaskNo,
    /// The number that a user sees.
    pub index: u64,
    /// Its piece of the data set; none in an array job.
    pub chunk: Option<Chunk>,
    /// How it stands.
    pub state: TaskState,
    /// The description of its last attempt that ended, if there was one. A task that succeeded has one.
    pub meta: Option<ResultMeta>,
    /// The attempts before that one that ended otherwise than well, the earliest first.
    pub earlier: Vec<ResultMeta>,
    /// Where the packed bytes of that attempt begin in the source; not looked at without a description.
    pub data_offset: u64,
}

/// How a task stands, as far as a bundle is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// Its result is in the bundle.
    Succeeded,
    /// It failed for good.
    Failed,
    /// Its job was killed before it was done.
    Killed,
    /// It has not ended yet.
    NotRun,
}
