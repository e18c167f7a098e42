//! Which task: `j7.42`; or which job, task or worker.

use std::fmt;
use std::str::FromStr;

use crate::domain::{Error, JobId, WorkerId};

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

/// What can be explained: a job, one of its tasks, a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Explained {
    Job(JobId),
    Task(TaskRef),
    Worker(WorkerId),
}

impl FromStr for Explained {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if let Some(number) = text.strip_prefix('w') {
            let is_number = number.bytes().all(|b| b.is_ascii_digit());
            let bad = || Error::invalid(format!("`{text}` is not a worker: write it as w3"));
            return number.parse().ok().filter(|_| is_number).map(|number| Self::Worker(WorkerId(number))).ok_or_else(bad);
        }
        if text.contains('.') { text.parse().map(Self::Task) } else { text.parse().map(Self::Job) }
    }
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Job(job) => job.fmt(f),
            Self::Task(task) => task.fmt(f),
            Self::Worker(worker) => worker.fmt(f),
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

    #[test]
    fn a_worker_is_told_from_a_job() {
        let read = |text: &str| text.parse::<Explained>().unwrap();
        assert_eq!(
            [read("w3"), read("j3"), read("3")],
            [Explained::Worker(WorkerId(3)), Explained::Job(JobId(3)), Explained::Job(JobId(3))]
        );
        for bad in ["w", "w+1", "w-1", "w1.2", "w99999999999", "x3"] {
            assert!(bad.parse::<Explained>().is_err(), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "[0-9jw.a-]{0,30}") {
            let _ = text.parse::<Explained>();
        }
    }
}
