//! A set of task numbers kept as runs: a million waiting tasks are one run of 8 bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ids::TaskNo;

/// A set of [`TaskNo`]s as disjoint, non-touching runs `first..end`. Its length is kept, never counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexSet {
    runs: BTreeMap<u32, u32>,
    len: u32,
}

impl IndexSet {
    /// The set `first..end`.
    pub fn range(first: u32, end: u32) -> Self {
        let mut set = Self::default();
        if first < end {
            set.runs.insert(first, end);
            set.len = end - first;
        }
        set
    }

    /// How many tasks are in the set.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The smallest member.
    pub fn first(&self) -> Option<TaskNo> {
        self.runs.first_key_value().map(|(&first, _)| TaskNo(first))
    }

    /// Whether `no` is a member.
    pub fn contains(&self, no: TaskNo) -> bool {
        self.runs.range(..=no.0).next_back().is_some_and(|(_, &end)| no.0 < end)
    }

    /// Adds `no`; false if it was there.
    pub fn insert(&mut self, no: TaskNo) -> bool {
        let n = no.0;
        let before = self.runs.range(..=n).next_back().map(|(&first, &end)| (first, end));
        if before.is_some_and(|(_, end)| n < end) {
            return false;
        }
        let first = match before {
            Some((first, end)) if end == n => first,
            _ => n,
        };
        let end = self.runs.remove(&(n + 1)).unwrap_or(n + 1);
        self.runs.insert(first, end);
        self.len += 1;
        true
    }

    /// Takes `no` out; false if it was not there.
    pub fn remove(&mut self, no: TaskNo) -> bool {
        let n = no.0;
        let Some((&first, &end)) = self.runs.range(..=n).next_back() else { return false };
        if n >= end {
            return false;
        }
        self.runs.remove(&first);
        if first < n {
            self.runs.insert(first, n);
        }
        if n + 1 < end {
            self.runs.insert(n + 1, end);
        }
        self.len -= 1;
        true
    }

    /// Takes out the smallest member below `bound`.
    pub fn pop_first_below(&mut self, bound: u32) -> Option<TaskNo> {
        let first = self.first().filter(|no| no.0 < bound)?;
        self.remove(first);
        Some(first)
    }

    /// Takes out everything from `bound` on, and returns it.
    pub fn split_off(&mut self, bound: u32) -> Self {
        let mut upper = self.runs.split_off(&bound);
        if let Some((&first, &end)) = self.runs.last_key_value()
            && end > bound
        {
            self.runs.insert(first, bound);
            upper.insert(bound, end);
        }
        let len = upper.iter().map(|(first, end)| end - first).sum();
        self.len -= len;
        Self { runs: upper, len }
    }

    /// Puts all members of `other` in.
    pub fn extend(&mut self, other: &Self) {
        if self.is_empty() {
            self.clone_from(other);
            return;
        }
        for (first, end) in other.runs() {
            (first..end).for_each(|n| {
                self.insert(TaskNo(n));
            });
        }
    }

    /// Takes all members of `other` out.
    pub fn subtract(&mut self, other: &Self) {
        for (first, end) in other.runs() {
            let upper = self.split_off(first);
            let mut upper = upper;
            let rest = upper.split_off(end);
            // `rest` lies wholly above what is left, so its runs can be put back as they are.
            self.len += rest.len;
            self.runs.extend(rest.runs);
        }
    }

    /// The runs, in order, as `(first, end)`.
    pub fn runs(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.runs.iter().map(|(&first, &end)| (first, end))
    }

    /// The members, in order.
    pub fn iter(&self) -> impl Iterator<Item = TaskNo> + '_ {
        self.runs().flat_map(|(first, end)| (first..end).map(TaskNo))
    }
}

impl FromIterator<TaskNo> for IndexSet {
    fn from_iter<I: IntoIterator<Item = TaskNo>>(items: I) -> Self {
        let mut set = Self::default();
        items.into_iter().for_each(|no| {
            set.insert(no);
        });
        set
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn check(set: &IndexSet, model: &BTreeSet<u32>) {
        assert_eq!(set.iter().map(|no| no.0).collect::<Vec<_>>(), model.iter().copied().collect::<Vec<_>>());
        assert_eq!(set.len() as usize, model.len());
        let runs: Vec<_> = set.runs().collect();
        assert!(runs.windows(2).all(|pair| pair[0].1 < pair[1].0), "runs touch: {runs:?}");
    }

    proptest! {
        #[test]
        fn agrees_with_a_plain_set(ops in prop::collection::vec((0u8..6, 0u32..40, 0u32..40), 0..120)) {
            let mut set = IndexSet::range(5, 20);
            let mut model: BTreeSet<u32> = (5..20).collect();
            for (op, a, b) in ops {
                match op {
                    0 => prop_assert_eq!(set.insert(TaskNo(a)), model.insert(a)),
                    1 => prop_assert_eq!(set.remove(TaskNo(a)), model.remove(&a)),
                    2 => {
                        let expected = model.iter().next().copied().filter(|&n| n < a);
                        expected.map(|n| model.remove(&n));
                        prop_assert_eq!(set.pop_first_below(a).map(|no| no.0), expected);
                    }
                    3 => {
                        let upper = set.split_off(a);
                        check(&upper, &model.split_off(&a));
                    }
                    4 => {
                        set.extend(&IndexSet::range(a.min(b), a.max(b)));
                        model.extend(a.min(b)..a.max(b));
                    }
                    _ => {
                        set.subtract(&IndexSet::range(a.min(b), a.max(b)));
                        model.retain(|n| !(a.min(b)..a.max(b)).contains(n));
                    }
                }
                check(&set, &model);
                prop_assert_eq!(set.contains(TaskNo(b)), model.contains(&b));
            }
        }
    }
}
