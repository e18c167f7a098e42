//! A page of a job's tasks.

use crate::actors::Head;
use crate::actors::job::{JobSnapshot, OutTask};
use crate::actors::task_result::TaskResult;
use crate::domain::{Attempt, Error, ResultMeta, TaskNo};
use crate::rpc::convert::time_to_pb;
use crate::rpc::pb;

/// Tasks looked at for one page, so that a filter over a million tasks does not hold the head up.
const SCANNED_MAX: u32 = 100_000;

/// The state of a task of this job.
pub fn state_of(job: &JobSnapshot, no: TaskNo) -> pb::TaskState {
    let record = &job.record;
    if record.succeeded.contains(no) {
        pb::TaskState::Succeeded
    } else if record.failed.contains(no) {
        pb::TaskState::Failed
    } else if out(job, no).is_some_and(|out| out.started) {
        pb::TaskState::Running
    } else if record.stopping().is_some() && out(job, no).is_none() {
        pb::TaskState::Killed
    } else {
        pb::TaskState::Undispatched
    }
}

/// The task in a worker's hands; they are in order.
fn out(job: &JobSnapshot, no: TaskNo) -> Option<OutTask> {
    job.out.binary_search_by_key(&no, |out| out.no).ok().and_then(|at| job.out.get(at)).copied()
}

/// Tasks from `first` on, at most `limit` in the wanted state; and where to go on.
pub async fn page(
    head: &Head,
    job: &JobSnapshot,
    first: u32,
    limit: usize,
    wanted: pb::TaskState,
) -> Result<(Vec<pb::Task>, Option<u32>), Error> {
    let total = job.record.total.unwrap_or(0);
    let end = total.min(first.saturating_add(SCANNED_MAX));
    let mut tasks = Vec::new();
    for no in first..end {
        if tasks.len() == limit {
            return Ok((tasks, Some(no)));
        }
        let state = state_of(job, TaskNo(no));
        if wanted == pb::TaskState::Unspecified || wanted == state {
            tasks.push(task(head, job, TaskNo(no), state).await?);
        }
    }
    Ok((tasks, (end < total).then_some(end)))
}

/// One task; its earlier attempts are not in it.
pub async fn one(head: &Head, job: &JobSnapshot, no: TaskNo) -> Result<pb::Task, Error> {
    task(head, job, no, state_of(job, no)).await
}

/// The same with its earlier attempts.
pub async fn with_attempts(head: &Head, job: &JobSnapshot, no: TaskNo) -> Result<pb::Task, Error> {
    let mut task = one(head, job, no).await?;
    let last = (task.attempt > 0).then_some(Attempt(task.attempt));
    task.earlier = head.earlier_attempts(job, no, last).await?.iter().map(attempt).collect();
    Ok(task)
}

fn attempt(meta: &ResultMeta) -> pb::TaskAttempt {
    pb::TaskAttempt {
        attempt: meta.attempt.0,
        worker: meta.worker.to_string(),
        exit_code: meta.outcome.exit_code(),
        outcome: meta.outcome.describe(),
        started: Some(time_to_pb(meta.timing.started)),
        finished: Some(time_to_pb(meta.timing.ended)),
    }
}

async fn task(head: &Head, job: &JobSnapshot, no: TaskNo, state: pb::TaskState) -> Result<pb::Task, Error> {
    let index = job.record.spec.index_of(no);
    let mut task = pb::Task { id: format!("{}.{index}", job.record.id), index, state: state.into(), ..Default::default() };
    if let Some(out) = out(job, no) {
        task.attempt = out.attempt.0;
        task.worker = out.worker.to_string();
    }
    if let Some(TaskResult { meta, .. }) = head.result(job, no).await? {
        task.attempt = meta.attempt.0;
        task.worker = meta.worker.to_string();
        task.exit_code = meta.outcome.exit_code();
        task.outcome = meta.outcome.describe();
        task.started = Some(time_to_pb(meta.timing.started));
        task.finished = Some(time_to_pb(meta.timing.ended));
    }
    Ok(task)
}
