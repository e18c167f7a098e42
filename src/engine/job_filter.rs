//! Which jobs of all are meant: what a listing is asked for, and what the verbs that steer many jobs select by.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use crate::domain::glob::Glob;
use crate::domain::{JobId, JobState};

use super::view::JobView;

/// All that is stated must hold; what is empty does not count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// Only jobs of this owner.
    pub owner: Option<String>,
    /// Only jobs that are not final.
    pub live: bool,
    /// Only jobs in one of these states.
    pub states: BTreeSet<JobState>,
    /// Beside those in `states`, or alone: jobs that are paused and not final.
    pub held: bool,
    /// Only jobs whose tasks ask for all of these.
    pub labels: BTreeMap<String, String>,
    /// Only jobs of such a name.
    pub name: Option<Glob>,
    /// Only jobs of these numbers.
    pub ids: Vec<RangeInclusive<u64>>,
}

impl JobFilter {
    /// Whether the job is meant.
    pub fn matches(&self, job: &JobView) -> bool {
        let JobView { spec, state, .. } = job;
        let held = self.held && job.held && !state.is_final();
        self.has_id(job.id)
            && !(self.live && state.is_final())
            && (held || self.states.contains(state) || self.states.is_empty() && !self.held)
            && self.owner.as_ref().is_none_or(|owner| spec.owner == *owner)
            && self.labels.iter().all(|(name, value)| spec.needs.labels.get(name) == Some(value))
            && self.name.as_ref().is_none_or(|name| name.matches(&spec.name))
    }

    fn has_id(&self, id: JobId) -> bool {
        self.ids.is_empty() || self.ids.iter().any(|ids| ids.contains(&id.0))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::testing::{job_spec, submitted};
    use crate::domain::{Epoch, JobSpec, Resources};
    use crate::engine::{JobMachine, JobRecord};

    fn view(id: u64, state: JobState, held: bool) -> JobView {
        let labels = [("disk".to_owned(), "fast".to_owned())].into();
        let spec =
            JobSpec { name: format!("run-{id}"), owner: "ana".into(), needs: Resources { labels, ..Default::default() }, ..job_spec() };
        let view = JobMachine::new(JobRecord::new(submitted(id)), Epoch(1), BTreeSet::new()).view();
        JobView { spec: Arc::new(spec), state, held, ..view }
    }

    #[test]
    fn all_that_is_stated_must_hold() {
        let jobs = [
            view(1, JobState::Succeeded, true),
            view(2, JobState::Running, true),
            view(3, JobState::Running, false),
            view(4, JobState::Failed, false),
        ];
        let means = |filter: JobFilter| jobs.iter().filter(|job| filter.matches(job)).map(|job| job.id.0).collect::<Vec<_>>();
        let all = JobFilter::default;
        assert_eq!(means(all()), [1, 2, 3, 4]);
        assert_eq!(means(JobFilter { live: true, ..all() }), [2, 3]);
        assert_eq!(means(JobFilter { held: true, ..all() }), [2], "a job that has ended waits for no resume");
        assert_eq!(means(JobFilter { held: true, states: [JobState::Failed].into(), ..all() }), [2, 4]);
        assert_eq!(means(JobFilter { states: [JobState::Running].into(), ids: vec![3..=9, 1..=1], ..all() }), [3]);
        assert_eq!(means(JobFilter { owner: Some("eve".into()), ..all() }), [0; 0]);
        assert_eq!(means(JobFilter { labels: [("disk".into(), "fast".into())].into(), name: Glob::new("*-[34]").ok(), ..all() }), [3, 4]);
        assert_eq!(means(JobFilter { labels: [("disk".into(), "slow".into())].into(), ..all() }), [0; 0]);
    }
}
