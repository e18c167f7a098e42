//! What owners have, and may have.

use std::collections::BTreeMap;

use super::Roster;
use crate::domain::Quotas;
use crate::engine::scale::Load;

impl Roster {
    /// An owner's quota of slots, if he has as many or more.
    pub fn quota_met(&self, owner: &str) -> Option<u32> {
        self.quotas.of(owner).slots.filter(|max| self.busy_of(owner) >= *max)
    }

    /// An owner's busy slots, with what was granted.
    pub fn busy_of(&self, owner: &str) -> u32 {
        self.busy.get(owner).copied().unwrap_or(0)
    }

    /// What the jobs run, and would run: nothing more while the head's disk is full, and no more than their owners may have.
    pub fn loads(&self) -> Vec<Load> {
        let mut left: BTreeMap<&str, u32> = BTreeMap::new();
        let mut loads = Vec::new();
        for view in self.views() {
            let owner = view.spec.owner.as_str();
            let of_owner = || match (self.disk_full, self.quotas.of(owner).slots) {
                (Some(_), _) => 0,
                (None, max) => max.map_or(u32::MAX, |max| max.saturating_sub(self.busy_of(owner))),
            };
            let left = left.entry(owner).or_insert_with(of_owner);
            let load = Load::of(view, *left);
            *left -= load.waiting;
            loads.push(load);
        }
        loads
    }

    /// What owners may have at once.
    pub fn quotas(&self) -> &Quotas {
        &self.quotas
    }
}
