//! How much would run now: what a pool of machines is made to follow.
//!
//! [`Demand`] is the jobs' side, counted by the head. [`Pool`] is the machines' side: it says when to start one, which to drain, and which
//! to remove.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::{JobSpec, Resources};

use super::view::JobView;

pub use pool::{Look, Pool, PoolEffect, PoolRules, PoolWorker};

mod pool;
mod stretch;

/// The tasks of one job that run, or would.
#[derive(Clone, Debug)]
pub struct Load {
    /// What it is.
    pub spec: Arc<JobSpec>,
    /// Tasks in workers' hands.
    pub out: u32,
    /// Tasks that would go out now, if there were slots: what waits for a resume, a limit, a next try or its split is none of them.
    pub waiting: u32,
    /// How many of its owner's may go out besides what is out, by his quota.
    pub owner_may: u32,
}

impl Load {
    /// Of a job; nothing that waits would go out while the head's disk is full.
    pub fn of(view: &JobView, disk_full: bool, owner_may: u32) -> Self {
        Self { spec: view.spec.clone(), out: view.out, waiting: if disk_full { 0 } else { view.wanted }, owner_may }
    }
}

/// A worker's size.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    /// How many tasks it runs at once.
    pub slots: u32,
    /// All it has.
    pub total: Resources,
}

/// What all jobs together would use now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// Slots. A task that leaves room for only one more of its like beside it counts as half a worker's slots, and so on.
    pub slots: u32,
    /// Tasks in workers' hands.
    pub out: u32,
    /// Tasks that would go out now, if there were slots.
    pub waiting: u32,
    /// Tasks that would, too, but fit no worker that the head has ever seen: one more like those would not help. Not in the other numbers.
    pub unfit: u32,
}

impl Demand {
    /// Of these jobs, with workers of these kinds: all that were ever seen, since those that come will be like them.
    pub fn of<'a>(loads: impl IntoIterator<Item = &'a Load>, kinds: &[Kind]) -> Self {
        let mut sizes: BTreeMap<&Resources, Option<u32>> = BTreeMap::new();
        let mut owners_may: BTreeMap<&str, u32> = BTreeMap::new();
        let mut demand = Self::default();
        for load in loads {
            let needs = &load.spec.needs;
            let size = *sizes.entry(needs).or_insert_with(|| slots_of_task(needs, kinds));
            let fit = if size.is_some() { load.waiting } else { 0 };
            demand.unfit = demand.unfit.saturating_add(load.waiting - fit);
            // What is beyond a quota would not go out.
            let may = owners_may.entry(&load.spec.owner).or_insert(load.owner_may);
            let waiting = fit.min(*may);
            *may -= waiting;
            demand.waiting = demand.waiting.saturating_add(waiting);
            demand.out = demand.out.saturating_add(load.out);
            let tasks = load.out.saturating_add(waiting);
            demand.slots = demand.slots.saturating_add(tasks.saturating_mul(size.unwrap_or(1)));
        }
        demand
    }

    /// Workers of so many slots that hold all that; none if it is not known how many slots one has.
    pub fn workers(slots: u32, slots_per_worker: u32) -> Option<u32> {
        (slots_per_worker > 0).then(|| slots.div_ceil(slots_per_worker))
    }
}

/// Slots that a task takes, by what it leaves of the worker that it fits best; none if it fits none. Of a kind that nobody has seen yet it is
/// hoped that it fits.
fn slots_of_task(needs: &Resources, kinds: &[Kind]) -> Option<u32> {
    if kinds.is_empty() || *needs == Resources::default() {
        return Some(1);
    }
    kinds.iter().filter_map(|kind| slots_at(needs, kind)).min()
}

/// The same at one kind.
fn slots_at(needs: &Resources, kind: &Kind) -> Option<u32> {
    let Kind { slots, total } = kind;
    if !needs.fits(total) || *slots == 0 {
        return None;
    }
    // It fits, so at least one does.
    Some(slots.div_ceil(needs.times(total).clamp(1, *slots)))
}

#[cfg(test)]
mod tests;
