//! How many jobs there are, and tasks of those that have not ended.

use std::collections::BTreeMap;

use super::view::JobView;
use crate::domain::JobState;

/// All jobs of a head at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Jobs in each state that any is in.
    pub jobs: BTreeMap<JobState, u64>,
    /// Jobs that are paused.
    pub held: u64,
    /// Tasks of live jobs that have not started.
    pub undispatched: u64,
    /// Tasks of live jobs that have.
    pub running: u64,
}

impl Census {
    /// Of these jobs.
    pub fn of<'a>(views: impl IntoIterator<Item = &'a JobView>) -> Self {
        let mut census = Self::default();
        for view in views {
            *census.jobs.entry(view.state).or_default() += 1;
            if !view.state.is_final() {
                census.held += u64::from(view.held);
                census.undispatched += u64::from(view.counts.undispatched);
                census.running += u64::from(view.counts.running);
            }
        }
        census
    }
}
