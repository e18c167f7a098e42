//! Why a task is where it is.

use crate::domain::{Attempt, JobState, Outcome, WallTime, WorkerId};
use crate::engine::job::{Hands, Whereabouts};
use crate::engine::view::JobView;

use super::{Explanation, tasks};

/// How a task has ended, as its result says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// How.
    pub outcome: Outcome,
    /// Which try.
    pub attempt: Attempt,
    /// Where.
    pub worker: WorkerId,
    /// When, by that worker's clock.
    pub at: WallTime,
}

/// Explains a task: of a job that is like this and is explained so. `index` is the task's as people know it.
pub fn explain(index: u64, at: Whereabouts, view: &JobView, job: &Explanation, end: Option<&End>) -> Explanation {
    let task = format!("{}.{index}", view.id);
    let (state, sentence) = sentence(&task, at, view, job, end);
    let waits = matches!(at, Whereabouts::Waiting(_));
    let since = match at {
        Whereabouts::Out { since, .. } => since,
        Whereabouts::Ended { .. } => end.map(|end| end.at),
        Whereabouts::Dropped => view.ended,
        Whereabouts::Waiting(_) | Whereabouts::Limbo | Whereabouts::Delayed { .. } | Whereabouts::Condemned | Whereabouts::Freed => None,
    };
    Explanation { sentence, state, place: job.place.filter(|_| waits), since, change: change(&task, at, view, job) }
}

fn sentence(task: &str, at: Whereabouts, view: &JobView, job: &Explanation, end: Option<&End>) -> (&'static str, String) {
    let why = &job.sentence;
    match at {
        Whereabouts::Waiting(0) => ("undispatched", format!("{task} has not started: {why}; of those that wait it is the first")),
        Whereabouts::Waiting(before) => ("undispatched", format!("{task} has not started: {why}; before it: {}", tasks(before))),
        Whereabouts::Limbo => ("undispatched", format!("{task} may still run, since before a restart, on a worker that has not reported")),
        Whereabouts::Delayed { failures, left } => {
            let times = if failures == 1 { "once".to_owned() } else { format!("{failures} times") };
            let tries = view.spec.retries.saturating_add(1);
            let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
            ("undispatched", format!("{task} has failed {times}, of {tries} tries; it is tried again in {seconds} s"))
        }
        Whereabouts::Condemned => ("undispatched", format!("{task} has taken down too many workers, and is being failed")),
        Whereabouts::Freed => ("undispatched", format!("{task} has failed, and runs again as soon as that is durable")),
        Whereabouts::Out { attempt, worker, hands, .. } => in_hands(task, attempt, worker, hands, view),
        Whereabouts::Ended { success } => {
            let how = end.map(|end| format!(": {} (attempt {}, on {})", end.outcome.describe(), end.attempt.0, end.worker));
            (if success { "succeeded" } else { "failed" }, format!("{task} has ended{}", how.unwrap_or_default()))
        }
        Whereabouts::Dropped => ("killed", format!("{task} will not run: {why}")),
    }
}

fn in_hands(task: &str, attempt: Attempt, worker: WorkerId, hands: Hands, view: &JobView) -> (&'static str, String) {
    let ends = view.state == JobState::Finishing;
    let after = if ends { "" } else { ", and goes to another unless that comes back within seconds" };
    match hands {
        Hands::Sent => ("undispatched", format!("{task} is on its way to {worker}, and has not started")),
        Hands::Doubtful => {
            ("running", format!("{task} was sent to {worker}, which has not said in time whether it has started: it counts as running"))
        }
        Hands::Runs => ("running", format!("{task} is running on {worker} (attempt {})", attempt.0)),
        Hands::Frozen => ("running", format!("{task} stands still on {worker} (attempt {}), as its job is paused so", attempt.0)),
        Hands::Adrift(true) => {
            ("running", format!("{task} was running on {worker} (attempt {}), whose connection is lost{after}", attempt.0))
        }
        Hands::Adrift(false) => ("undispatched", format!("{task} was on its way to {worker}, whose connection is lost{after}")),
    }
}

fn change(task: &str, at: Whereabouts, view: &JobView, job: &Explanation) -> Option<String> {
    let id = view.id;
    let nothing = |text: &str| Some(format!("nothing: {text}"));
    match at {
        Whereabouts::Waiting(_) => job.change.clone(),
        Whereabouts::Limbo => nothing("it goes out again by itself, unless its worker claims it"),
        Whereabouts::Delayed { .. } => nothing("it is tried again by itself"),
        Whereabouts::Condemned => Some(format!("`millpond retry {id}`, once it has failed")),
        Whereabouts::Freed => nothing("it waits for a slot in a moment"),
        Whereabouts::Out { hands: Hands::Frozen, .. } => Some(format!("`millpond resume {id}`")),
        Whereabouts::Out { hands: Hands::Runs, .. } => nothing("it runs"),
        Whereabouts::Out { .. } => nothing("it is settled within seconds"),
        Whereabouts::Ended { success: true } => Some(format!("nothing: `millpond logs {task}` shows what it wrote")),
        Whereabouts::Ended { success: false } if view.killed || view.state == JobState::Finishing => None,
        Whereabouts::Ended { success: false } => Some(format!("`millpond retry {id}`")),
        Whereabouts::Dropped if view.killed => Some("submit its job again".into()),
        Whereabouts::Dropped => Some(format!("`millpond retry {id}`{}", if view.state.is_final() { "" } else { ", once it has ended" })),
    }
}
