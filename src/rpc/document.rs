//! T.
use crate::rpc::pb;
/// T.
pub(crate) fn job_state(state: pb::JobState) -> &'static str {
    match state {
        pb::JobState::Unspecified => "unknown",
        pb::JobState::Ingesting => "ingesting",
        pb::JobState::Waiting => "waiting",
        pb::JobState::Running => "running",
        pb::JobState::Finishing => "finishing",
        pb::JobState::Succeeded => "succeeded",
        pb::JobState::Failed => "failed",
        pb::JobState::Killed => "killed",
    }
}
/// T.
pub(crate) fn task_state(state: pb::TaskState) -> &'static str {
    match state {
        pb::TaskState::Unspecified => "unknown",
        pb::TaskState::Undispatched => "undispatched",
        pb::TaskState::Running => "running",
        pb::TaskState::Succeeded => "succeeded",
        pb::TaskState::Failed => "failed",
        pb::TaskState::Killed => "killed",
    }
}
/// T.
pub(crate) fn worker_state(state: pb::WorkerState) -> &'static str {
    match state {
        pb::WorkerState::Unspecified => "unknown",
        pb::WorkerState::Available => "available",
        pb::WorkerState::Busy => "busy",
        pb::WorkerState::Draining => "draining",
        pb::WorkerState::Away => "away",
        pb::WorkerState::Suspected => "suspected",
        pb::WorkerState::Joining => "joining",
        pb::WorkerState::Resting => "resting",
    }
}
