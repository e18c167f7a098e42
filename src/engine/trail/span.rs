//! A stretch of a task's way, as OpenTelemetry knows it.

use std::sync::Arc;

use crate::domain::{Attempt, JobId, Outcome, WallTime, WorkerId};

use super::origin::{SpanId, TraceId};

/// What a stretch is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The whole of it: from its job's submission, or the retry that lets it run again, to its durable end.
    Task,
    /// From when it could go to the hand-out that came to something.
    Waiting,
    /// In a worker's hands: from the hand-out until its end is durable, or it is given up.
    Attempt,
    /// From the hand-out to the start of its process: on its way, behind other tasks, and while its inputs come.
    Sent,
    /// Its process. As long as the worker measured.
    Running,
    /// From the process's end until the result is durable at the head.
    Result,
}

impl Step {
    /// As it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::Waiting => "waiting",
            Self::Attempt => "attempt",
            Self::Sent => "sent",
            Self::Running => "running",
            Self::Result => "result",
        }
    }
}

/// A stretch that is over. All times are by the head's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Of one task, in one round of its job.
    pub trace: TraceId,
    /// Within the trace.
    pub id: SpanId,
    /// Of the stretch that it is a part of; none of a whole task.
    pub parent: Option<SpanId>,
    /// What it is.
    pub step: Step,
    /// When it began.
    pub from: WallTime,
    /// When it ended; not before it began.
    pub to: WallTime,
    /// Of which job.
    pub job: JobId,
    /// The job's name.
    pub job_name: Arc<str>,
    /// Of which task, as a user counts.
    pub index: u64,
    /// In which try, and where; none of what is of the whole task.
    pub tried: Option<(Attempt, WorkerId)>,
    /// How it ended, where it is a task, an attempt or its process.
    pub outcome: Option<Outcome>,
}

impl Span {
    /// Whether it is shown as a failure: what a person has stopped is none.
    pub fn has_failed(&self) -> bool {
        self.outcome.as_ref().is_some_and(|outcome| !outcome.is_success() && *outcome != Outcome::Revoked)
    }
}
