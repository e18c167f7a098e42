//! When jobs that have ended are removed: at once, where that was asked for, or when their time is over, by the wall clock.

use std::collections::BTreeSet;

use crate::domain::{JobId, Keep, WallTime};

use super::fault::Fault;
use super::ledger::Ledger;
use super::view::JobView;

/// See the module.
#[derive(Clone, Debug)]
pub struct Retention {
    /// How long a job is kept that does not say so itself.
    keep: Keep,
    /// Jobs that are removed as soon as they have ended.
    doomed: BTreeSet<JobId>,
    /// When jobs that have ended are removed by themselves.
    expiries: BTreeSet<(WallTime, JobId)>,
}

impl Retention {
    /// After a start; each job that has ended is still to be told of.
    pub fn new(keep: Keep, ledger: &Ledger) -> Self {
        let doomed = ledger.jobs.values().filter(|job| job.doomed).map(|job| job.id).collect();
        Self { keep, doomed, expiries: BTreeSet::new() }
    }

    /// Plants a mistake, for tests.
    pub fn plant(&mut self, fault: Option<Fault>) {
        if fault == Some(Fault::DoomForgotten) {
            self.doomed.clear();
        }
    }

    /// The job is removed as soon as it has ended.
    pub fn doom(&mut self, job: JobId) {
        self.doomed.insert(job);
    }

    /// When the job is removed by itself; none before its end.
    pub fn expires(&self, view: &JobView) -> Option<WallTime> {
        let ended = view.ended.filter(|_| view.state.is_final())?;
        view.spec.policy.keep.unwrap_or(self.keep).expires(ended)
    }

    /// The job has ended; whether it is to be removed now.
    #[must_use]
    pub fn ended(&mut self, view: &JobView) -> bool {
        let doomed = self.doomed.contains(&view.id);
        self.expiries.extend(self.expires(view).filter(|_| !doomed).map(|at| (at, view.id)));
        doomed
    }

    /// The job goes on, or is being removed.
    pub fn forget(&mut self, view: &JobView) {
        if let Some(at) = self.expires(view) {
            self.expiries.remove(&(at, view.id));
        }
    }

    /// The job is gone.
    pub fn removed(&mut self, job: JobId) {
        self.doomed.remove(&job);
    }

    /// A job whose time is over: it is asked for once.
    pub fn pop_due(&mut self, now: WallTime) -> Option<JobId> {
        let due = self.expiries.first().copied().filter(|(at, _)| *at <= now)?;
        self.expiries.remove(&due);
        Some(due.1)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::domain::{JobSpec, JobState, Policy};
    use crate::engine::roster::tests::a_job;

    fn ended(id: u64, at: i64, keep: Option<Keep>) -> JobView {
        let view = a_job(id, "ada", 1);
        let spec = JobSpec { policy: Policy { keep, ..Policy::default() }, ..view.spec.as_ref().clone() };
        JobView { spec: Arc::new(spec), state: JobState::Succeeded, ended: Some(WallTime(at)), ..view }
    }

    #[test]
    fn jobs_are_removed_when_their_time_is_over_in_its_order_each_once() {
        let hour = Keep::For(Duration::from_secs(3600));
        let mut retention = Retention::new(hour, &Ledger::default());
        let minute = Some(Keep::For(Duration::from_secs(60)));
        for view in [ended(1, 0, None), ended(2, 1_000_000, minute), ended(3, 0, Some(Keep::Forever))] {
            assert!(!retention.ended(&view));
        }
        assert_eq!(retention.pop_due(WallTime(60_999_999)), None);
        assert_eq!(retention.pop_due(WallTime(61_000_000)), Some(JobId(2)));
        assert_eq!(retention.pop_due(WallTime(i64::MAX)), Some(JobId(1)));
        assert_eq!(retention.pop_due(WallTime(i64::MAX)), None, "the third is kept for ever");
    }

    #[test]
    fn a_job_that_goes_on_is_kept_and_one_that_is_doomed_goes_at_its_end() {
        let mut retention = Retention::new(Keep::For(Duration::ZERO), &Ledger::default());
        let view = ended(1, 5, None);
        assert!(!retention.ended(&view));
        retention.forget(&view);
        assert_eq!(retention.pop_due(WallTime(9)), None);
        let runs = a_job(1, "ada", 1);
        assert_eq!(retention.expires(&runs), None, "not before its end");
        retention.doom(JobId(1));
        assert!(retention.ended(&view));
        assert_eq!(retention.pop_due(WallTime(9)), None);
        retention.removed(JobId(1));
        assert!(!retention.ended(&view));
    }
}
