//! Which jobs, which task: `7`, `j7`, `3-9`, `all`, `j7.42`.

use std::fmt;
use std::str::FromStr;

use super::exit::Stop;
use super::pages;
use crate::domain::{Error, JobId};
use crate::limits::{LIVE_JOBS_MAX, PAGE_MAX_ITEMS};
use crate::rpc::client::Client;
use crate::rpc::pb;

/// One JOB argument of a verb that takes several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Selector {
    /// `7`, `j7`.
    One(JobId),
    /// `3-9`, both included.
    Range(u64, u64),
    /// Every job that has not ended.
    All,
}

impl FromStr for Selector {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text == "all" {
            return Ok(Self::All);
        }
        let Some((first, last)) = text.split_once('-').filter(|(first, _)| !first.is_empty()) else {
            return text.parse().map(Self::One);
        };
        let (JobId(first), JobId(last)) = (first.parse()?, last.parse()?);
        if last < first || last - first >= LIVE_JOBS_MAX as u64 {
            return Err(Error::invalid(format!("`{text}` is not a range of at most {LIVE_JOBS_MAX} jobs: write it as 3-9")));
        }
        Ok(Self::Range(first, last))
    }
}

/// The jobs of the arguments, each once, in the order given.
pub(crate) async fn expand(selectors: &[Selector], client: &Client) -> Result<Vec<JobId>, Stop> {
    let mut jobs = Vec::new();
    for selector in selectors {
        match *selector {
            Selector::One(job) => jobs.push(job),
            Selector::Range(first, last) => jobs.extend((first..=last).map(JobId)),
            Selector::All => jobs.extend(live(client).await?),
        }
        if jobs.len() > 2 * LIVE_JOBS_MAX {
            return Err(Error::invalid(format!("more than {} jobs at once", 2 * LIVE_JOBS_MAX)).into());
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    jobs.retain(|job| seen.insert(*job));
    Ok(jobs)
}

/// Oldest first, as they were submitted.
async fn live(client: &Client) -> Result<Vec<JobId>, Stop> {
    let fetch = async |page_token: String| {
        let request = pb::ListJobsRequest { page_size: PAGE_MAX_ITEMS as i32, page_token, owner: String::new(), live: true };
        let page = client.repeat(async || client.jobs().list_jobs(request.clone()).await).await?;
        Ok((page.jobs, page.next_page_token))
    };
    let mut live = Vec::new();
    pages::each(fetch, |jobs| {
        for job in &jobs {
            live.push(job.id.parse::<JobId>()?);
        }
        if live.len() > 2 * LIVE_JOBS_MAX { Err(Error::internal("the head lists more jobs than it can have").into()) } else { Ok(()) }
    })
    .await?;
    live.reverse();
    Ok(live)
}

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
    use proptest::prelude::*;

    #[test]
    fn jobs_are_named_singly_in_ranges_or_all_at_once() {
        assert_eq!("j7".parse::<Selector>().unwrap(), Selector::One(JobId(7)));
        assert_eq!("j3-9".parse::<Selector>().unwrap(), Selector::Range(3, 9));
        assert_eq!("all".parse::<Selector>().unwrap(), Selector::All);
        for bad in ["", "-", "3-", "-3", "9-3", "1-999999", "ALL", "3-9-12"] {
            assert!(bad.parse::<Selector>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_task_is_its_job_and_its_index() {
        assert_eq!("7.42".parse::<TaskRef>().unwrap().to_string(), "j7.42");
        for bad in ["7", "7.", ".7", "7.+1", "7.-1", "7.1.2", "7.99999999999999999999"] {
            assert!(bad.parse::<TaskRef>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[0-9j.a-]{0,30}") {
            let _ = (text.parse::<Selector>(), text.parse::<JobOrTask>());
        }
    }
}
