//! Tasks.

use serde::Serialize;

use super::{VERSION, rfc3339, some};
use crate::rpc::pb;

/// One task of `tasks`.
#[derive(Serialize)]
pub(crate) struct Task<'a> {
    version: u32,
    id: &'a str,
    index: u64,
    state: &'static str,
    attempt: u32,
    worker: Option<&'a str>,
    exit_code: Option<i32>,
    outcome: Option<&'a str>,
    started: Option<String>,
    finished: Option<String>,
}

impl<'a> Task<'a> {
    pub(crate) fn of(task: &'a pb::Task) -> Self {
        Self {
            version: VERSION,
            id: &task.id,
            index: task.index,
            state: task_state(task.state()),
            attempt: task.attempt,
            worker: some(&task.worker),
            exit_code: task.exit_code,
            outcome: some(&task.outcome),
            started: rfc3339(task.started.as_ref()),
            finished: rfc3339(task.finished.as_ref()),
        }
    }
}

/// The task of `show`, with its attempts.
#[derive(Serialize)]
pub(crate) struct TaskDetail<'a> {
    #[serde(flatten)]
    task: Task<'a>,
    earlier: Vec<Attempt<'a>>,
}

#[derive(Serialize)]
struct Attempt<'a> {
    attempt: u32,
    worker: &'a str,
    exit_code: Option<i32>,
    outcome: &'a str,
    started: Option<String>,
    finished: Option<String>,
}

impl<'a> TaskDetail<'a> {
    pub(crate) fn of(task: &'a pb::Task) -> Self {
        let attempt = |attempt: &'a pb::TaskAttempt| Attempt {
            attempt: attempt.attempt,
            worker: &attempt.worker,
            exit_code: attempt.exit_code,
            outcome: &attempt.outcome,
            started: rfc3339(attempt.started.as_ref()),
            finished: rfc3339(attempt.finished.as_ref()),
        };
        Self { task: Task::of(task), earlier: task.earlier.iter().map(attempt).collect() }
    }
}

/// As in `tasks`.
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
