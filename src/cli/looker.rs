//! Looks at jobs for `notify`: at those that have not ended, those that are new, and those of which it has lost sight.

use std::collections::{BTreeMap, BTreeSet};

use super::exit::Stop;
use super::pages;
use super::selector::{Filters, Meant, Selector};
use crate::domain::{Error, ErrorKind, JobId};
use crate::engine::notices::{Lookout, Sight};
use crate::limits::JOB_RANGES_MAX;
use crate::rpc::client::Client;
use crate::rpc::convert::{counts_from_pb, state_from_pb};
use crate::rpc::pb;

/// Which jobs it is for.
pub(crate) struct Looker {
    /// By number; empty: all.
    jobs: Vec<Selector>,
    filters: Filters,
}

/// What one look shows.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) jobs: BTreeMap<JobId, pb::Job>,
    /// Those that it missed, and that are no longer there.
    pub(crate) gone: BTreeSet<JobId>,
}

impl Seen {
    fn take(&mut self, jobs: Vec<pb::Job>) -> Result<(), Error> {
        for job in jobs {
            self.jobs.insert(job.id.parse()?, job);
        }
        Ok(())
    }

    /// As the machine sees it.
    pub(crate) fn sights(&self) -> Result<Vec<Sight>, Error> {
        let sight = |(id, job): (&JobId, &pb::Job)| {
            let counts = counts_from_pb(job.tasks.unwrap_or_default())?;
            Ok(Sight { job: *id, round: job.round, state: state_from_pb(job.state)?, counts, held: job.held })
        };
        // What this end can't read, the other has made.
        self.jobs.iter().map(sight).collect::<Result<_, Error>>().map_err(|error| Error { kind: ErrorKind::Internal, ..error })
    }
}

impl Looker {
    pub(crate) fn new(jobs: Vec<Selector>, filters: Filters) -> Self {
        let jobs = if jobs.contains(&Selector::All) { Vec::new() } else { jobs };
        Self { jobs, filters }
    }

    /// Whether jobs are given by their numbers.
    pub(crate) fn names_jobs(&self) -> bool {
        !self.jobs.is_empty()
    }

    /// A look. With `ends` also at those that have ended, whether they were retried.
    pub(crate) async fn look(&self, lookout: &Lookout, ends: bool, client: &Client) -> Result<Seen, Stop> {
        let mut seen = Seen::default();
        let asked = self.filters.request(&self.jobs, Meant::Any);
        if self.names_jobs() {
            seen.take(list(asked, client).await?)?;
            self.check(lookout, &seen)?;
        } else {
            if lookout.newest().is_none() {
                // The newest one: whatever comes after it is new.
                let request = pb::ListJobsRequest { page_size: 1, ..asked.clone() };
                seen.take(client.repeat(async || client.jobs().list_jobs(request.clone()).await).await?.jobs)?;
            }
            seen.take(list(pb::ListJobsRequest { live: true, ..asked.clone() }, client).await?)?;
            if let Some(JobId(newest)) = lookout.newest() {
                // Those that have come and ended meanwhile.
                let ranges = vec![pb::JobRange { first: newest.saturating_add(1), last: u64::MAX }];
                seen.take(list(pb::ListJobsRequest { ranges, ..asked }, client).await?)?;
            }
        }
        if ends {
            let ended: BTreeSet<JobId> = lookout.ended().filter(|job| !seen.jobs.contains_key(job)).collect();
            by_numbers(&ended, &mut seen, client).await?;
        }
        let missing = lookout.missing(|job| seen.jobs.contains_key(&job));
        by_numbers(&missing, &mut seen, client).await?;
        seen.gone = missing.into_iter().filter(|job| !seen.jobs.contains_key(job)).collect();
        Ok(seen)
    }

    /// Who names a job that is not there has made a mistake; but it may have been there before.
    fn check(&self, lookout: &Lookout, seen: &Seen) -> Result<(), Error> {
        let is_not_there = |selector: &&Selector| matches!(selector, Selector::One(job) if !seen.jobs.contains_key(job));
        match self.jobs.iter().find(is_not_there) {
            Some(job) if lookout.newest().is_none() => {
                Err(Error::not_found(format!("there is no job {job}, or it is none of those meant")))
            }
            _ => Ok(()),
        }
    }
}

async fn list(request: pb::ListJobsRequest, client: &Client) -> Result<Vec<pb::Job>, Stop> {
    let fetch = async |page_token: String| {
        let request = pb::ListJobsRequest { page_token, ..request.clone() };
        let page = client.repeat(async || client.jobs().list_jobs(request.clone()).await).await?;
        Ok((page.jobs, page.next_page_token))
    };
    let mut all = Vec::new();
    pages::each(fetch, |jobs| {
        all.extend(jobs);
        Ok(())
    })
    .await?;
    Ok(all)
}

/// Those of these numbers that are there.
async fn by_numbers(jobs: &BTreeSet<JobId>, seen: &mut Seen, client: &Client) -> Result<(), Stop> {
    for ranges in ranges_of(jobs).chunks(JOB_RANGES_MAX) {
        let request = Filters::default().request(&[], Meant::Any);
        seen.take(list(pb::ListJobsRequest { ranges: ranges.to_vec(), ..request }, client).await?)?;
    }
    Ok(())
}

fn ranges_of(jobs: &BTreeSet<JobId>) -> Vec<pb::JobRange> {
    let mut ranges: Vec<pb::JobRange> = Vec::new();
    for JobId(job) in jobs {
        match ranges.last_mut() {
            Some(range) if range.last + 1 == *job => range.last = *job,
            _ => ranges.push(pb::JobRange { first: *job, last: *job }),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_asked_for_together() {
        let ranges = ranges_of(&[3, 4, 5, 7, 9, 10].map(JobId).into());
        let ranges: Vec<_> = ranges.iter().map(|range| (range.first, range.last)).collect();
        assert_eq!(ranges, [(3, 5), (7, 7), (9, 10)]);
        assert!(ranges_of(&BTreeSet::new()).is_empty());
    }
}
