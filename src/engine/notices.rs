//! What people want to be told of jobs, and how it gets to them.
//!
//! A [`Lookout`] is shown the jobs every few seconds and says what has happened between two looks. A [`Post`] keeps what is to be told until
//! each of those who want it has it. Both are kept in a file between two lives of the process that holds them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::JobId;

pub use lookout::{Lookout, NoticeRules, Sight};
pub use post::{Letter, Post, Retry};

mod lookout;
mod post;

/// What has happened to a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoticeKind {
    /// It has ended, and all tasks succeeded.
    Succeeded,
    /// It has ended, and some failed; or it could not be split.
    Failed,
    /// It was ended by a person.
    Killed,
    /// It is no longer there, and nobody has seen its end.
    Deleted,
    /// For the first time in this round a task has failed for good.
    TaskFailed,
    /// Tasks run, and for a long time none has started or ended.
    Stalled,
    /// Tasks wait, none runs, and that for a long time.
    Waiting,
    /// One that had stalled, or waited, goes on.
    Resumed,
}

impl NoticeKind {
    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Killed => "killed",
            Self::Deleted => "deleted",
            Self::TaskFailed => "task-failed",
            Self::Stalled => "stalled",
            Self::Waiting => "waiting",
            Self::Resumed => "resumed",
        }
    }

    /// Whether nothing comes after it, but for a retry.
    pub fn is_end(self) -> bool {
        match self {
            Self::Succeeded | Self::Failed | Self::Killed | Self::Deleted => true,
            Self::TaskFailed | Self::Stalled | Self::Waiting | Self::Resumed => false,
        }
    }
}

/// Something to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Of which job.
    pub job: JobId,
    /// In which of its rounds, from 1.
    pub round: u32,
    /// The how-manieth of that round, from 1.
    pub number: u32,
    /// What.
    pub kind: NoticeKind,
}

/// Its id, as `j7-r1-2-failed`: the same each time that it is told.
impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-r{}-{}-{}", self.job, self.round, self.number, self.kind.name())
    }
}
