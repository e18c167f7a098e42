//! A job in words: for `show`, progress lines and the answers of verbs.

use super::document::job_state;
use crate::rpc::pb;

/// `succeeded`, or `waiting, paused`.
pub(crate) fn state(job: &pb::Job) -> String {
    let held = if job.held && !is_final(job) { ", paused" } else { "" };
    format!("{}{held}", job_state(job.state()))
}

/// Whether nothing comes after its state.
pub(crate) fn is_final(job: &pb::Job) -> bool {
    matches!(job.state(), pb::JobState::Succeeded | pb::JobState::Failed | pb::JobState::Killed)
}

/// `j7 running: 170 of 1000 done, 16 running, 2 failed`.
pub(crate) fn progress(job: &pb::Job) -> String {
    let tasks = job.tasks.unwrap_or_default();
    let mut text = format!("{} {}: {} of {} done", job.id, state(job), done(&tasks), tasks.total);
    let others = [(tasks.running, "running"), (tasks.failed, "failed"), (tasks.killed, "killed")];
    for (n, what) in others.into_iter().filter(|(n, _)| *n > 0) {
        text.push_str(&format!(", {n} {what}"));
    }
    text
}

/// Tasks that are final.
pub(crate) fn done(tasks: &pb::TaskCounts) -> u32 {
    tasks.succeeded.saturating_add(tasks.failed).saturating_add(tasks.killed)
}

/// `1 task`, `5 tasks`.
pub(crate) fn tasks(n: u32) -> String {
    format!("{n} task{}", if n == 1 { "" } else { "s" })
}

/// How it ended: `j7 succeeded: 1000 tasks`, `j7 failed: 3 of 1000 tasks failed`, `j7 killed: 170 of 1000 tasks done, 2 failed`.
pub(crate) fn ending(job: &pb::Job) -> String {
    let counts = job.tasks.unwrap_or_default();
    let id = &job.id;
    match job.state() {
        pb::JobState::Succeeded => format!("{id} succeeded: {}", tasks(counts.total)),
        // It could not be split: the reason says why.
        pb::JobState::Failed if counts.failed == 0 => format!("{id} failed: {}", job.reason),
        pb::JobState::Failed => format!("{id} failed: {} of {} failed", counts.failed, tasks(counts.total)),
        pb::JobState::Killed => {
            let failed = if counts.failed > 0 { format!(", {} failed", counts.failed) } else { String::new() };
            format!("{id} killed: {} of {} done{failed}", counts.succeeded, tasks(counts.total))
        }
        pb::JobState::Unspecified | pb::JobState::Ingesting | pb::JobState::Waiting | pb::JobState::Running | pb::JobState::Finishing => {
            progress(job)
        }
    }
}
