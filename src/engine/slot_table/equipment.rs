//! What a worker has besides its slots, and which of it each running task holds.
//!
//! The head counts what it hands out, so that a task nearly always fits. It does not where a task is being stopped that the head has already
//! given to others: what comes next waits on its slot until that one has ended. Two tasks never hold the same graphics processor.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::{Resources, Tally};

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Equipment {
    total: Resources,
    /// The graphics processors, by the numbers that the machine knows them by; as many as `total` says.
    gpus: BTreeSet<u32>,
    /// By slot.
    held: BTreeMap<usize, Holding>,
    /// What that is together: kept.
    taken: Tally,
}

#[derive(Clone, Debug)]
struct Holding {
    needs: Resources,
    gpus: Vec<u32>,
}

impl Equipment {
    /// All of it free. As many graphics processors are there as are numbered.
    pub fn new(total: Resources, gpus: BTreeSet<u32>) -> Self {
        Self { total: Resources { gpus: gpus.len() as u32, ..total }, gpus, held: BTreeMap::new(), taken: Tally::default() }
    }

    /// The same, where images are run; or not.
    #[must_use]
    pub fn with_containers(self, has: bool) -> Self {
        Self { total: self.total.with_containers(has), ..self }
    }

    /// What there is, taken or not.
    pub fn total(&self) -> &Resources {
        &self.total
    }

    /// Takes what a slot's task needs, with the graphics processors of the lowest numbers; whether it is free.
    pub(super) fn take(&mut self, slot: usize, needs: Resources) -> bool {
        if !needs.fits(&self.total.beside(&self.taken)) {
            return false;
        }
        let free = self.gpus.iter().filter(|gpu| self.held.values().all(|holding| !holding.gpus.contains(gpu)));
        let gpus = free.take(needs.gpus as usize).copied().collect();
        self.taken.add(&needs);
        self.held.insert(slot, Holding { needs, gpus });
        true
    }

    /// A slot's task has ended.
    pub(super) fn give_back(&mut self, slot: usize) {
        let held = self.held.remove(&slot);
        held.iter().for_each(|holding| self.taken.remove(&holding.needs));
    }

    /// A slot goes on with a task that needs the same, and no graphics processor.
    pub(super) fn is_passed_on(&self, slot: usize, needs: &Resources) -> bool {
        self.held.get(&slot).is_some_and(|holding| holding.needs == *needs && needs.gpus == 0)
    }

    /// The graphics processors of a slot's task; none where the machine has none at all, so that there is nothing to keep it from.
    pub(super) fn gpus_of(&self, slot: usize) -> Option<Vec<u32>> {
        let gpus = || self.held.get(&slot).map(|holding| holding.gpus.clone()).unwrap_or_default();
        (!self.gpus.is_empty()).then(gpus)
    }

    /// What running tasks hold, all together.
    pub fn used(&self) -> Resources {
        self.taken.sum()
    }

    /// Checks that no more is held than there is, and nothing twice.
    pub fn check(&self) -> Result<(), String> {
        let mut gpus = BTreeSet::new();
        let twice = self.held.values().flat_map(|holding| &holding.gpus).any(|gpu| !gpus.insert(*gpu));
        let taken: Tally = self.held.values().map(|holding| &holding.needs).collect();
        let enough = self.held.values().all(|holding| holding.gpus.len() == holding.needs.gpus as usize);
        if twice || !enough || taken != self.taken || !self.used().fits(&self.total) {
            return Err(format!("the worker's tasks hold more than it has: {self:?}"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn gpus(gpus: u32) -> Resources {
        Resources { gpus, ..Resources::default() }
    }

    #[test]
    fn the_lowest_free_numbers_go_first_and_come_back() {
        let mut equipment = Equipment::new(Resources::default(), BTreeSet::from([7, 3, 0]));
        assert_eq!(equipment.total().gpus, 3);
        assert!(equipment.take(0, gpus(2)) && equipment.take(1, gpus(0)) && equipment.take(2, gpus(1)));
        assert_eq!([0, 1, 2].map(|slot| equipment.gpus_of(slot).unwrap()), [vec![0, 3], vec![], vec![7]]);
        assert!(!equipment.take(3, gpus(1)));
        equipment.give_back(0);
        assert!(equipment.take(3, gpus(1)));
        assert_eq!(equipment.gpus_of(3), Some(vec![0]));
    }

    #[test]
    fn a_machine_without_any_leaves_what_it_does_not_have_alone() {
        let mut equipment = Equipment::new(Resources { cpus: 2, ..Resources::default() }, BTreeSet::new());
        assert!(equipment.take(0, Resources { cpus: 2, ..Resources::default() }));
        assert_eq!(equipment.gpus_of(0), None);
        assert!(!equipment.take(1, gpus(1)), "it has none");
    }

    proptest! {
        #[test]
        fn nothing_is_held_twice(wishes in prop::collection::vec((0usize..6, 0u32..4, 0u32..4, any::<bool>()), 1..60)) {
            let total = Resources { cpus: 5, ..Resources::default() };
            let mut equipment = Equipment::new(total, (0..4).collect());
            for (slot, cpus, gpus, takes) in wishes {
                equipment.give_back(slot);
                if takes {
                    let needs = Resources { cpus, gpus, ..Resources::default() };
                    let fits = equipment.used().cpus + cpus <= 5 && equipment.used().gpus + gpus <= 4;
                    prop_assert_eq!(equipment.take(slot, needs), fits);
                }
                prop_assert_eq!(equipment.check(), Ok(()));
            }
        }
    }
}
