//! What a worker has and a task asks for, besides its one slot.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Amounts of things. A task's are subtracted while it is out; labels only have to match.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Resources {
    /// Whole processors.
    pub cpus: u32,
    /// Bytes of memory.
    pub mem_bytes: u64,
    /// Whole graphics processors.
    pub gpus: u32,
    /// Names with values that a worker carries and a task demands.
    pub labels: BTreeMap<String, String>,
}

impl Resources {
    /// Whether `self`, as a demand, is met by `have`.
    pub fn fits(&self, have: &Self) -> bool {
        self.cpus <= have.cpus
            && self.mem_bytes <= have.mem_bytes
            && self.gpus <= have.gpus
            && self.labels.iter().all(|(key, value)| have.labels.get(key) == Some(value))
    }

    /// How many such demands `have` meets at once; without end for one that asks for no amount.
    pub fn times(&self, have: &Self) -> u32 {
        if !self.fits(have) {
            return 0;
        }
        let times = |need: u64, have: u64| have.checked_div(need).map_or(u32::MAX, |times| u32::try_from(times).unwrap_or(u32::MAX));
        let cpus = times(self.cpus.into(), have.cpus.into());
        cpus.min(times(self.mem_bytes, have.mem_bytes)).min(times(self.gpus.into(), have.gpus.into()))
    }

    /// What is left of `self` beside a sum; the rule for head and worker.
    pub fn beside(&self, taken: &Tally) -> Self {
        self.less(&taken.sum(), 1)
    }

    /// What is left of `self` after `times` demands of `need`; never below zero.
    pub fn less(&self, need: &Self, times: u32) -> Self {
        Self {
            cpus: self.cpus.saturating_sub(need.cpus.saturating_mul(times)),
            mem_bytes: self.mem_bytes.saturating_sub(need.mem_bytes.saturating_mul(u64::from(times))),
            gpus: self.gpus.saturating_sub(need.gpus.saturating_mul(times)),
            labels: self.labels.clone(),
        }
    }
}

/// A sum of demands that come and go, labels aside: exact, however large they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    cpus: u64,
    mem_bytes: u128,
    gpus: u64,
}

impl Tally {
    /// One more.
    pub fn add(&mut self, needs: &Resources) {
        self.cpus += u64::from(needs.cpus);
        self.mem_bytes += u128::from(needs.mem_bytes);
        self.gpus += u64::from(needs.gpus);
    }

    /// One that was added before goes.
    pub fn remove(&mut self, needs: &Resources) {
        self.cpus -= u64::from(needs.cpus);
        self.mem_bytes -= u128::from(needs.mem_bytes);
        self.gpus -= u64::from(needs.gpus);
    }

    /// The sum; an amount beyond what can be written is the largest that can.
    pub fn sum(&self) -> Resources {
        let count = |amount: u64| u32::try_from(amount).unwrap_or(u32::MAX);
        let mem_bytes = u64::try_from(self.mem_bytes).unwrap_or(u64::MAX);
        Resources { cpus: count(self.cpus), mem_bytes, gpus: count(self.gpus), labels: BTreeMap::new() }
    }
}

impl<'a> FromIterator<&'a Resources> for Tally {
    fn from_iter<T: IntoIterator<Item = &'a Resources>>(all: T) -> Self {
        let mut tally = Self::default();
        all.into_iter().for_each(|needs| tally.add(needs));
        tally
    }
}
