//! Since when tasks are in workers' hands.

use std::collections::BTreeSet;

use crate::domain::{Instant, TaskNo};

/// The tasks in hands, by when they came there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hands {
    by_time: BTreeSet<(Instant, TaskNo)>,
    /// Of all those times, in milliseconds: kept.
    sum: u64,
}

/// The same in short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InHands {
    /// How many tasks.
    pub count: u32,
    sum: u64,
    first: Instant,
}

impl Hands {
    /// A task was handed out.
    pub fn put(&mut self, no: TaskNo, at: Instant) {
        if self.by_time.insert((at, no)) {
            self.sum = self.sum.saturating_add(at.0);
        }
    }

    /// It is in nobody's hands any more.
    pub fn take(&mut self, no: TaskNo, since: Instant) {
        if self.by_time.remove(&(since, no)) {
            self.sum -= since.0;
        }
    }

    /// For others.
    pub fn in_short(&self) -> InHands {
        let first = self.by_time.first().map_or(Instant(0), |(at, _)| *at);
        InHands { count: self.by_time.len() as u32, sum: self.sum, first }
    }
}

impl InHands {
    /// For how many seconds they are there, on average.
    pub fn age(&self, now: Instant) -> f64 {
        let count = u64::from(self.count.max(1));
        now.0.saturating_mul(count).saturating_sub(self.sum) as f64 / count as f64 / 1000.0 * f64::from(self.count.min(1))
    }

    /// For how many seconds the first of them is.
    pub fn oldest(&self, now: Instant) -> f64 {
        if self.count == 0 { 0.0 } else { now.since(self.first).as_secs_f64() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_those_of_the_tasks_that_are_there() {
        let mut hands = Hands::default();
        for (no, at) in [(1, 1000), (2, 2000), (3, 6000)] {
            hands.put(TaskNo(no), Instant(at));
        }
        let short = hands.in_short();
        assert_eq!((short.count, short.age(Instant(7000)), short.oldest(Instant(7000))), (3, 4.0, 6.0));
        hands.take(TaskNo(1), Instant(1000));
        hands.take(TaskNo(1), Instant(1000));
        let short = hands.in_short();
        assert_eq!((short.count, short.age(Instant(7000)), short.oldest(Instant(7000))), (2, 3.0, 5.0));
        hands = Hands::default();
        assert_eq!((hands.in_short().age(Instant(7000)), hands.in_short().oldest(Instant(7000))), (0.0, 0.0));
    }
}
