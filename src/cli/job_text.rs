//! A job in words: for `show`, progress lines and the answers of verbs.

use super::document::job_state;
use super::units::short_span;
use crate::rpc::pb;

/// `succeeded`, or `waiting, paused`.
pub(crate) fn state(job: &pb::Job) -> String {
    let held = match (job.held && !is_final(job), job.frozen) {
        (true, true) => ", frozen",
        (true, false) => ", paused",
        (false, _) => "",
    };
    format!("{}{held}", job_state(job.state()))
}

/// Whether nothing comes after its state.
pub(crate) fn is_final(job: &pb::Job) -> bool {
    matches!(job.state(), pb::JobState::Succeeded | pb::JobState::Failed | pb::JobState::Killed)
}

/// `j7 running: 170 of 1000 done, 16 running, 2 failed, 3m to 4m left`, `j7 waiting: 0 of 10 done, no worker is connected`.
pub(crate) fn progress(job: &pb::Job) -> String {
    progress_at(job, None)
}

/// The same, with the rate that somebody has seen: `…, 14/s, 3m to 4m left`.
pub(crate) fn progress_at(job: &pb::Job, rate: Option<String>) -> String {
    let tasks = job.tasks.unwrap_or_default();
    if tasks.total == 0 {
        return format!("{} {}", job.id, state(job));
    }
    let mut text = format!("{} {}: {} of {} done", job.id, state(job), done(&tasks), tasks.total);
    let others = [(tasks.running, "running"), (tasks.failed, "failed"), (tasks.killed, "killed")];
    for (n, what) in others.into_iter().filter(|(n, _)| *n > 0) {
        text.push_str(&format!(", {n} {what}"));
    }
    if let Some(rate) = rate.filter(|_| !is_final(job)) {
        text.push_str(&format!(", {rate}"));
    }
    if let Some(eta) = job.eta.filter(|_| !is_final(job)) {
        text.push_str(&format!(", {} left", range(&eta)));
    }
    if let Some(why) = job.reason.strip_prefix("is waiting: ") {
        text.push_str(&format!(", {why}"));
    }
    text
}

/// `4s to 6s`, `about 5s`.
pub(crate) fn range(eta: &pb::Eta) -> String {
    // Nothing is ever 0 s away.
    let (low, high) = (short_span(eta.low_seconds.max(1.0)), short_span(eta.high_seconds.max(1.0)));
    if low == high { format!("about {low}") } else { format!("{low} to {high}") }
}

/// Tasks that ran to their end. What was dropped is not done.
pub(crate) fn done(tasks: &pb::TaskCounts) -> u32 {
    tasks.succeeded.saturating_add(tasks.failed)
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
        pb::JobState::Failed if counts.failed == 0 => format!("{id} {}", job.reason),
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
