//! One round of granting: who is next.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};

use crate::domain::JobId;
use crate::engine::rank::{self, RankRules};
use crate::engine::view::JobView;

/// The jobs that want slots, so that the next one is found without looking at all of them: within a class and an owner only age decides.
pub(super) struct Line {
    groups: BTreeMap<(bool, Reverse<i32>), BTreeMap<String, VecDeque<JobId>>>,
    rules: RankRules,
}

impl Line {
    /// `wanting` by age.
    pub fn new<'a>(wanting: impl Iterator<Item = &'a JobView>, rules: RankRules) -> Self {
        let mut line = Self { groups: BTreeMap::new(), rules };
        for view in wanting {
            let class = (!rank::past_finish_line(view, rules), Reverse(view.priority));
            let owners = line.groups.entry(class).or_default();
            match owners.get_mut(&view.spec.owner) {
                Some(jobs) => jobs.push_back(view.id),
                None => {
                    owners.insert(view.spec.owner.clone(), VecDeque::from([view.id]));
                }
            }
        }
        line
    }

    /// The job with the smallest [`rank::key`]: the oldest of some owner in the first class.
    pub fn first<'a>(&self, view_of: impl Fn(JobId) -> Option<&'a JobView>, busy: &BTreeMap<String, u32>) -> Option<JobId> {
        let owners = self.groups.first_key_value()?.1;
        let views = owners.values().filter_map(|jobs| jobs.front()).filter_map(|job| view_of(*job));
        views.min_by_key(|view| rank::key(view, busy, self.rules)).map(|view| view.id)
    }

    /// Takes out a job that [`Line::first`] has just named.
    pub fn drop_first(&mut self, job: JobId) {
        let Some(mut class) = self.groups.first_entry() else { return };
        class.get_mut().retain(|_, jobs| {
            if jobs.front() == Some(&job) {
                jobs.pop_front();
            }
            !jobs.is_empty()
        });
        if class.get().is_empty() {
            class.remove();
        }
    }
}
