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

    /// How many members are smaller than `no`.
    pub fn len_below(&self, no: TaskNo) -> u32 {
        self.runs.range(..no.0).map(|(&first, &end)| end.min(no.0) - first).sum()
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

    /// The set in parts of at most so many runs each (at least one); none of an empty set.
    pub fn pieces(&self, max_runs: usize) -> Vec<Self> {
        let mut pieces: Vec<Self> = Vec::new();
        for (at, (first, end)) in self.runs().enumerate() {
            if at % max_runs.max(1) == 0 {
                pieces.push(Self::default());
            }
            if let Some(piece) = pieces.last_mut() {
                piece.runs.insert(first, end);
                piece.len += end - first;
            }
        }
        pieces
    }

    /// How many runs it has: what it takes in memory and on disk grows with them.
    pub fn runs_len(&self) -> usize {
        self.runs.len()
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
        other.runs().for_each(|(first, end)| self.insert_run(first, end));
    }

    fn insert_run(&mut self, mut first: u32, mut end: u32) {
        if let Some((&before, &before_end)) = self.runs.range(..first).next_back()
            && before_end >= first
        {
            first = before;
        }
        while let Some((&met, &met_end)) = self.runs.range(first..=end).next() {
            self.runs.remove(&met);
            self.len -= met_end - met;
            end = end.max(met_end);
        }
        self.runs.insert(first, end);
        self.len += end - first;
    }

    /// Takes all members of `other` out: one walk over the runs of both.
    pub fn subtract(&mut self, other: &Self) {
        if self.is_empty() || other.is_empty() {
            return;
        }
        let mut cuts = other.runs().peekable();
        let mut left = Vec::new();
        for (mut first, end) in self.runs() {
            while let Some((cut, cut_end)) = cuts.next_if(|(cut, cut_end)| *cut < end && *cut_end <= end) {
                if first < cut {
                    left.push((first, cut));
                }
                first = first.max(cut_end);
            }
            // The next cut may reach beyond this run, and into the following ones.
            let rest = cuts.peek().map_or(end, |(cut, _)| end.min(*cut));
            if first < rest {
                left.push((first, rest));
            }
        }
        self.len = left.iter().map(|(first, end)| end - first).sum();
        self.runs = left.into_iter().collect();
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
        assert!((0..45).all(|no| set.len_below(TaskNo(no)) as usize == model.range(..no).count()));
        let runs: Vec<_> = set.runs().collect();
        assert!(runs.windows(2).all(|pair| pair[0].1 < pair[1].0), "runs touch: {runs:?}");
    }

    /// Of every three numbers in `first..end` two.
    fn combed(first: u32, end: u32) -> IndexSet {
        (first..end).filter(|n| n % 3 != 0).map(TaskNo).collect()
    }

    #[test]
    fn sets_of_many_runs_are_put_together_and_taken_apart_in_one_walk() {
        let (total, all) = (300_000, IndexSet::range(0, 300_000));
        let mut odd = all.clone();
        odd.subtract(&combed(0, total));
        assert_eq!(odd.len(), total / 3);
        odd.extend(&combed(0, total));
        assert_eq!(odd, all);
    }

    proptest! {
        #[test]
        fn agrees_with_a_plain_set(ops in prop::collection::vec((0u8..8, 0u32..40, 0u32..40), 0..120)) {
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
                    5 => {
                        let comb = combed(a, b);
                        model.extend(comb.iter().map(|no| no.0));
                        set.extend(&comb);
                    }
                    6 => {
                        let comb = combed(a, b);
                        model.retain(|n| !comb.contains(TaskNo(*n)));
                        set.subtract(&comb);
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
