//! The jobs that want slots, in the order in which they get them: kept from one grant to the next, as a thousand may wait.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::domain::JobId;
use crate::engine::rank::{self, RankRules};
use crate::engine::view::JobView;

/// What decides before owners and age do.
type Class = (bool, Reverse<i32>);

/// See the module. Within a class and an owner only age decides, so that the first is found without looking at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    groups: BTreeMap<Class, BTreeMap<String, BTreeSet<JobId>>>,
    places: BTreeMap<JobId, (Class, String)>,
    rules: RankRules,
}

impl Line {
    /// An empty one.
    pub fn by(rules: RankRules) -> Self {
        Self { rules, ..Self::default() }
    }

    /// What its places go by.
    pub fn rules(&self) -> RankRules {
        self.rules
    }

    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    pub fn contains(&self, job: JobId) -> bool {
        self.places.contains_key(&job)
    }

    /// A job wants slots, and is like this.
    pub fn put(&mut self, view: &JobView) {
        let class = (!rank::past_finish_line(view, self.rules), Reverse(view.priority));
        let owner = &view.spec.owner;
        if self.places.get(&view.id).is_some_and(|(before, of)| *before == class && of == owner) {
            return;
        }
        self.take_out(view.id);
        self.places.insert(view.id, (class, owner.clone()));
        let owners = self.groups.entry(class).or_default();
        match owners.get_mut(owner) {
            Some(jobs) => drop(jobs.insert(view.id)),
            None => drop(owners.insert(owner.clone(), BTreeSet::from([view.id]))),
        }
    }

    /// A job wants none, or none for now.
    pub fn take_out(&mut self, job: JobId) {
        let Some((class, owner)) = self.places.remove(&job) else { return };
        let Some(owners) = self.groups.get_mut(&class) else { return };
        if let Some(jobs) = owners.get_mut(&owner) {
            jobs.remove(&job);
            if jobs.is_empty() {
                owners.remove(&owner);
            }
        }
        if owners.is_empty() {
            self.groups.remove(&class);
        }
    }

    /// The job with the smallest [`rank::key`]: the oldest of some owner in the first class that has one who may have more.
    pub fn first<'a>(
        &self,
        view_of: impl Fn(JobId) -> Option<&'a JobView>,
        busy: &BTreeMap<String, u32>,
        may_have_more: impl Fn(&str) -> bool,
    ) -> Option<JobId> {
        self.groups.values().find_map(|owners| {
            let first = owners.iter().filter(|(owner, _)| may_have_more(owner)).filter_map(|(_, jobs)| jobs.first());
            let views = first.filter_map(|job| view_of(*job));
            views.min_by_key(|view| rank::key(view, busy, self.rules)).map(|view| view.id)
        })
    }
}
