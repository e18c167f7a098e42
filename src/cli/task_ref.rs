//! Which task: `j7.42`; or which job or task.

use std::fmt;
use std::str::FromStr;

use crate::domain::{Error, JobId};

/// One task: `j7.42`, `7.42`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TaskRef {
    pub(crate) job: JobId,
    pub(crate) index: u64,
}

impl FromStr for TaskRef {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = || Error::invalid(format!("`{text}` is not a task: write it as j7.42"));
        let (job, index) = text.split_once('.').ok_or_else(bad)?;
        let is_number = !index.is_empty() && index.bytes().all(|b| b.is_ascii_digit());
        let index = index.parse().ok().filter(|_| is_number).ok_or_else(bad)?;
        Ok(Self { job: job.parse()?, index })
    }
}

impl fmt::Display for TaskRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.job, self.index)
    }
}

/// A job or one of its tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JobOrTask {
    Job(JobId),
    Task(TaskRef),
}

impl FromStr for JobOrTask {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text.contains('.') { text.parse().map(Self::Task) } else { text.parse().map(Self::Job) }
    }
}

impl fmt::Display for JobOrTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Job(job) => job.fmt(f),
            Self::Task(task) => task.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_its_job_and_its_index() {
        assert_eq!("7.42".parse::<TaskRef>().unwrap().to_string(), "j7.42");
        for bad in ["7", "7.", ".7", "7.+1", "7.-1", "7.1.2", "7.99999999999999999999"] {
            assert!(bad.parse::<TaskRef>().is_err(), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "[0-9j.a-]{0,30}") {
            let _ = text.parse::<JobOrTask>();
        }
    }
}
