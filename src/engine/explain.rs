//! Why a job, a task or a worker is where it is: in one sentence, with what would change it. One implementation for command line, API and page.
//!
//! The reason is decided first, as a value ([`job::Why`], `Whereabouts`, `WorkerPhase` and `Idle`); sentence, remedy and time follow from it.
//! Nothing is said that the machines do not know: where a reason is not certain the sentence says less.

use crate::domain::WallTime;

use super::roster::Place;

pub mod job;
pub mod remedy;
pub mod task;
pub mod worker;

/// What is said of a thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// State, place and reason.
    pub sentence: String,
    /// A job's, a task's or a worker's, in a word.
    pub state: &'static str,
    /// Where the job stands among those that want slots.
    pub place: Option<Place>,
    /// From when the thing has been in this state; none where nobody knows that.
    pub since: Option<WallTime>,
    /// What would change it, in the imperative; or `nothing: `, and why it needs no change. None where there is nothing to be said.
    pub change: Option<String>,
}

fn tasks(n: u32) -> String {
    if n == 1 { "1 task".into() } else { format!("{n} tasks") }
}

#[cfg(test)]
mod tests;
