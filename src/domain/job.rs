//! What a job is, as its owner stated it, and the states it goes through.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::Error;
use super::ids::{Digest, TaskNo};
use super::image::Image;
use super::policy::Policy;
use super::resources::Resources;
use super::split_rule::SplitRule;

/// What a job's tasks are made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// A stored data set, cut by a rule; as many tasks as chunks.
    Dataset {
        /// The data set.
        digest: Digest,
        /// Its name when it was submitted; the ending gives the chunks theirs.
        name: String,
        /// The resolved rule.
        rule: SplitRule,
    },
    /// No data: one task per number.
    Array(ArrayRange),
}

impl Input {
    /// Whether it is the same data set, cut by the same rule.
    pub fn is_cut_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Dataset { digest, rule, .. }, Self::Dataset { digest: other, rule: by, .. }) => digest == other && rule == by,
            (Self::Dataset { .. } | Self::Array(_), _) => false,
        }
    }
}

/// `first..=last` in steps, as in `--array 1-100` or `0-90:10`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArrayRange {
    /// The first index.
    pub first: u32,
    /// No index above this one.
    pub last: u32,
    /// From one index to the next; at least 1.
    pub step: u32,
}

impl ArrayRange {
    /// How many tasks it makes.
    pub fn count(&self) -> u64 {
        u64::from(self.last - self.first) / u64::from(self.step) + 1
    }
}

impl std::str::FromStr for ArrayRange {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = || Error::invalid(format!("array `{text}`: write it as 1-100, 0-90:10 or 7"));
        let (range, step) = text.split_once(':').unwrap_or((text, "1"));
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let number = |text: &str| text.parse::<u32>().map_err(|_| bad());
        let array = Self { first: number(first)?, last: number(last)?, step: number(step)? };
        if array.step == 0 || array.last < array.first {
            return Err(bad());
        }
        Ok(array)
    }
}

impl fmt::Display for ArrayRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)?;
        if self.step != 1 { write!(f, ":{}", self.step) } else { Ok(()) }
    }
}

/// A file that every task can read: `--with ref.fasta`, `{with:ref.fasta}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedFile {
    /// Its name, one path component, unique within the job.
    pub name: String,
    /// Its stored content.
    pub digest: Digest,
    /// Its length in bytes.
    pub len: u64,
}

/// How the standard outputs come back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Merge {
    /// One entry per task.
    #[default]
    None,
    /// One entry `merged`: all of them joined in task order.
    Concat,
}

/// Everything a submitter states about a job. Immutable; what verbs change lives beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSpec {
    /// For people; the bundle's file name.
    pub name: String,
    /// Who submitted it.
    pub owner: String,
    /// What its tasks are made from.
    pub input: Input,
    /// The argument vector, with placeholders.
    pub command: Vec<String>,
    /// Set for every task, after the worker's own environment.
    pub env: Vec<(String, String)>,
    /// Files that every task can read.
    pub with: Vec<SharedFile>,
    /// What a task needs, besides one slot.
    pub needs: Resources,
    /// The longest an attempt may run.
    pub timeout: Option<Duration>,
    /// From TERM to KILL.
    pub grace: Duration,
    /// How many failed attempts are tried again.
    pub retries: u32,
    /// How the standard outputs come back.
    pub merge: Merge,
    /// What becomes of failures. Beyond the bytes of version 1, so it is journalled and kept in parts of its own.
    #[serde(skip)]
    pub policy: Policy,
    /// What its tasks run in; none: the worker's own system. Then its needs have the label for it. Beyond the bytes of version 1, too.
    #[serde(skip)]
    pub image: Option<Image>,
}

impl JobSpec {
    /// The index a user sees for a task: `{index}`, `j1.5`, the folder in the bundle.
    pub fn index_of(&self, no: TaskNo) -> u64 {
        match &self.input {
            Input::Dataset { .. } => u64::from(no.0),
            Input::Array(array) => u64::from(array.first) + u64::from(no.0) * u64::from(array.step),
        }
    }

    /// The task of an index, if the job (of `total` tasks) has it.
    pub fn task_at(&self, index: u64, total: u32) -> Option<TaskNo> {
        let no = match &self.input {
            Input::Dataset { .. } => index,
            Input::Array(array) => {
                let from_first = index.checked_sub(u64::from(array.first))?;
                (from_first % u64::from(array.step) == 0).then(|| from_first / u64::from(array.step))?
            }
        };
        u32::try_from(no).ok().filter(|&no| no < total).map(TaskNo)
    }
}

/// Where a job is in its life.
///
/// ```text
///                 ┌───────────── kill ────────────┐
/// Ingesting ─► Waiting ◄─► Running ─► Finishing ─► Succeeded | Failed | Killed
///     └── split failed ─────────────────────────────────────────┘
/// ```
/// Held is a flag beside it, not a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum JobState {
    /// Its data set is being split.
    Ingesting,
    /// None of its tasks runs now.
    Waiting,
    /// Some task runs.
    Running,
    /// All tasks are final, or it is being killed; the end is not durable yet.
    Finishing,
    /// All tasks succeeded.
    Succeeded,
    /// All tasks are final, and some failed; or its data set could not be split.
    Failed,
    /// Ended by a person.
    Killed,
}

impl JobState {
    /// All.
    pub const ALL: [Self; 7] =
        [Self::Ingesting, Self::Waiting, Self::Running, Self::Finishing, Self::Succeeded, Self::Failed, Self::Killed];

    /// Whether nothing comes after it.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Killed)
    }

    /// As in `show --format json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ingesting => "ingesting",
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Finishing => "finishing",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Killed => "killed",
        }
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_keeps_its_own_numbers() {
        let array: ArrayRange = "5-7".parse().unwrap();
        assert_eq!(array.count(), 3);
        let array: ArrayRange = "0-95:10".parse().unwrap();
        assert_eq!((array.count(), array.to_string().as_str()), (10, "0-95:10"));
        assert_eq!("0-4294967295".parse::<ArrayRange>().unwrap().count(), 1 << 32);
        for bad in ["", "a", "3-1", "1-2:0", "1-2-3", "-1", "4294967296"] {
            assert!(bad.parse::<ArrayRange>().is_err(), "{bad}");
        }
    }
}
