//! The JSON documents, of `--format json` and of the JSON over HTTP: stable, versioned, times RFC 3339 UTC with microseconds, durations in seconds.

mod control;
mod dataset;
mod identity;
mod insight;
mod job;
mod log;
mod machines;
mod quota;
mod split;
mod task;

pub(crate) use control::{Controlled, Event};
pub(crate) use dataset::Dataset;
pub(crate) use identity::{Principal, Token, principal_state, role_name, token_state};
pub(crate) use insight::{Explanation, Order};
pub(crate) use job::{Job, job_state};
pub(crate) use log::LogPiece;
pub(crate) use machines::{Cluster, Scale, Worker, sandbox_profile, used_and_left, worker_record, worker_state};
pub(crate) use quota::Quota;
pub(crate) use split::Split;
pub(crate) use task::{Task, TaskDetail, task_state};

use super::units::{rfc3339, some};

/// Grows when a document changes in a way that a reader could stumble over.
pub(crate) const VERSION: u32 = 1;
