//! What owners have, and may have.

use std::collections::BTreeMap;

use super::Roster;
use crate::domain::Quotas;
use crate::engine::scale::Load;

impl Roster {
    /// An owner's quota of slots, if he has as many or more.
    pub fn quota_met(&self, owner: &str) -> Option<u32> {
        self.quotas.of(owner).slots.filter(|max| self.held_by(owner) >= *max)
    }

    /// An owner's busy slots, with what was granted, and what may still run since before a restart of the head.
    pub fn held_by(&self, owner: &str) -> u32 {
        let of = |slots: &BTreeMap<String, u32>| slots.get(owner).copied().unwrap_or(0);
        of(&self.busy).saturating_add(of(&self.limbo))
    }

    /// What the jobs run, and would run.
    pub fn loads(&self) -> Vec<Load> {
        let disk_full = self.disk_full().is_some();
        let may = |owner: &str| self.quotas.of(owner).slots.map_or(u32::MAX, |max| max.saturating_sub(self.held_by(owner)));
        self.views().map(|view| Load::of(view, disk_full, may(&view.spec.owner))).collect()
    }

    /// What owners may have at once.
    pub fn quotas(&self) -> &Quotas {
        &self.quotas
    }
}
