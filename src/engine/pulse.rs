//! How a job's attempts have gone: when they ended, how long they took, why they failed, which were the last and which the slowest.
//!
//! All of it has a fixed size, whatever the number of tasks, and is thought of the time since the job's actor has started: it is for looking
//! at, and nothing is decided by it.

use std::collections::VecDeque;

use crate::domain::{Attempt, Outcome, TaskNo, Timing, WallTime, WorkerId};

/// Stretches of time; when there would be more, each becomes twice as long.
pub const STRETCHES_MAX: usize = 120;
/// Two for each doubling of a time, from a microsecond to twelve days.
pub const CLASSES: usize = 80;
/// Reasons of failures that are told apart.
const REASONS_MAX: usize = 16;
const REASON_MAX_CHARS: usize = 160;
/// Attempts that are remembered as the last ones.
const LAST_MAX: usize = 20;
/// Of fewer than so many attempts there is no median.
const MEDIAN_OF_MIN: u64 = 8;
/// Attempts that are remembered as the slowest.
const SLOWEST_MAX: usize = 5;

/// Attempts that ended in a stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stretch {
    /// Well.
    pub succeeded: u32,
    /// Otherwise.
    pub failed: u32,
}

/// A reason of failures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// In words.
    pub text: String,
    /// How many attempts.
    pub count: u32,
    /// The first task.
    pub first: TaskNo,
    /// The latest.
    pub last: TaskNo,
}

/// An attempt that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Past {
    /// Which task.
    pub no: TaskNo,
    /// Which try.
    pub attempt: Attempt,
    /// Where.
    pub worker: WorkerId,
    /// Whether it went well.
    pub is_success: bool,
    /// When, by its worker's clock.
    pub timing: Timing,
}

impl Past {
    /// How long it took, in microseconds.
    pub fn micros(&self) -> u64 {
        self.timing.micros()
    }
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pulse {
    /// When the first stretch begins, by the head's clock.
    began: Option<WallTime>,
    stretch_secs: u32,
    stretches: Vec<Stretch>,
    classes: Vec<u32>,
    reasons: Vec<Reason>,
    /// Failures of reasons that came when there were many.
    others: u32,
    last: VecDeque<Past>,
    slowest: Vec<Past>,
}

/// The class of a time, in microseconds: the half doublings in it.
fn class_of(micros: u64) -> usize {
    let micros = micros.max(1);
    let doublings = micros.ilog2();
    // The bit behind the first says in which half it is; that half begins at 1.5 times the doubling.
    let half = if doublings == 0 { 0 } else { micros >> (doublings - 1) & 1 };
    (2 * doublings as usize + half as usize).min(CLASSES - 1)
}

/// Where a class begins, in microseconds.
pub fn class_begins(class: usize) -> u64 {
    let doubling = 1u64 << (class / 2).min(62);
    if class.is_multiple_of(2) { doubling } else { doubling + doubling / 2 }
}

impl Pulse {
    /// Takes in an attempt that has ended, now, by the head's clock.
    pub fn ended(&mut self, past: Past, outcome: &Outcome, now: WallTime) {
        let at = self.stretch_at(now);
        if let Some(stretch) = self.stretches.get_mut(at) {
            let count = if past.is_success { &mut stretch.succeeded } else { &mut stretch.failed };
            *count = count.saturating_add(1);
        }
        if past.is_success {
            self.classes.resize(CLASSES, 0);
            if let Some(count) = self.classes.get_mut(class_of(past.micros())) {
                *count = count.saturating_add(1);
            }
            self.note_slow(past);
        } else {
            self.note_reason(past.no, outcome);
        }
        if self.last.len() == LAST_MAX {
            self.last.pop_front();
        }
        self.last.push_back(past);
    }

    /// The stretch that a moment is in; one before the first is in that.
    fn stretch_at(&mut self, now: WallTime) -> usize {
        let began = *self.began.get_or_insert(now);
        self.stretch_secs = self.stretch_secs.max(1);
        let secs = u64::try_from(now.0.saturating_sub(began.0)).unwrap_or(0) / 1_000_000;
        while secs / u64::from(self.stretch_secs) >= STRETCHES_MAX as u64 && self.stretch_secs < u32::MAX / 2 {
            self.stretch_secs *= 2;
            self.stretches = self.stretches.chunks(2).map(|pair| pair.iter().fold(Stretch::default(), |sum, one| sum + *one)).collect();
        }
        let at = usize::try_from(secs / u64::from(self.stretch_secs)).unwrap_or(0).min(STRETCHES_MAX - 1);
        if self.stretches.len() <= at {
            self.stretches.resize(at + 1, Stretch::default());
        }
        at
    }

    fn note_slow(&mut self, past: Past) {
        let at = self.slowest.partition_point(|slow| slow.micros() >= past.micros());
        if at < SLOWEST_MAX {
            self.slowest.insert(at, past);
            self.slowest.truncate(SLOWEST_MAX);
        }
    }

    fn note_reason(&mut self, no: TaskNo, outcome: &Outcome) {
        let text: String = outcome.describe().chars().take(REASON_MAX_CHARS).collect();
        let has_room = self.reasons.len() < REASONS_MAX;
        match self.reasons.iter_mut().find(|reason| reason.text == text) {
            Some(reason) => {
                reason.count = reason.count.saturating_add(1);
                reason.last = no;
            }
            None if has_room => self.reasons.push(Reason { text, count: 1, first: no, last: no }),
            None => self.others = self.others.saturating_add(1),
        }
    }

    /// When the first stretch begins, how many seconds each is long, and all of them; none before an attempt has ended.
    pub fn stretches(&self) -> Option<(WallTime, u32, &[Stretch])> {
        self.began.map(|began| (began, self.stretch_secs, &*self.stretches))
    }

    /// How many attempts that went well took so long: by class, from [`class_begins`] on. Empty before there is one.
    pub fn classes(&self) -> &[u32] {
        &self.classes
    }

    /// The median time of the attempts that went well, in microseconds, to within a class; none while there are few.
    pub fn median_micros(&self) -> Option<u64> {
        let all: u64 = self.classes.iter().map(|count| u64::from(*count)).sum();
        if all < MEDIAN_OF_MIN {
            return None;
        }
        let mut left = all / 2;
        for (class, count) in self.classes.iter().enumerate() {
            let count = u64::from(*count);
            if left < count {
                let (begins, ends) = (class_begins(class), class_begins(class + 1));
                // As if those of a class lay evenly in it.
                return Some(begins + (ends.saturating_sub(begins) as f64 * (left as f64 + 0.5) / count as f64) as u64);
            }
            left -= count;
        }
        None
    }

    /// Why attempts failed, the most frequent first; and how many failed for other reasons.
    pub fn reasons(&self) -> (Vec<&Reason>, u32) {
        let mut reasons: Vec<&Reason> = self.reasons.iter().collect();
        reasons.sort_by_key(|reason| std::cmp::Reverse(reason.count));
        (reasons, self.others)
    }

    /// The last ones, the latest first.
    pub fn last(&self) -> impl Iterator<Item = &Past> {
        self.last.iter().rev()
    }

    /// The slowest that went well, the slowest first.
    pub fn slowest(&self) -> &[Past] {
        &self.slowest
    }
}

impl std::ops::Add for Stretch {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { succeeded: self.succeeded.saturating_add(other.succeeded), failed: self.failed.saturating_add(other.failed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn past(no: u32, micros: i64, is_success: bool) -> Past {
        let timing = Timing { started: WallTime(0), ended: WallTime(micros) };
        Past { no: TaskNo(no), attempt: Attempt(1), worker: WorkerId(1), is_success, timing }
    }

    #[test]
    fn a_class_begins_where_the_one_before_ends() {
        for class in 2..CLASSES - 1 {
            assert_eq!((class_of(class_begins(class)), class_of(class_begins(class + 1) - 1)), (class, class), "{class}");
        }
        assert_eq!([class_of(0), class_of(1), class_of(u64::MAX)], [0, 0, CLASSES - 1]);
    }

    #[test]
    fn the_median_is_about_right_once_there_are_some() {
        let pulse = |all: &[i64]| {
            let mut pulse = Pulse::default();
            all.iter().for_each(|micros| pulse.ended(past(1, *micros, true), &Outcome::Exited { code: 0 }, WallTime(0)));
            pulse.median_micros()
        };
        assert_eq!(pulse(&[5; 7]), None);
        for (all, median) in
            [(vec![900_000; 9], 900_000.0), (vec![10, 10, 10, 10, 1000, 1000, 1000, 1000, 1000], 1000.0), ((1..2000).collect(), 1000.0)]
        {
            let found = pulse(&all).unwrap() as f64;
            assert!((0.75..1.34).contains(&(found / median)), "{found} for {median}");
        }
        assert!(pulse(&[i64::MAX; 8]).is_some() && pulse(&[0; 8]).is_some());
    }

    #[test]
    fn reasons_are_counted_apart_as_far_as_there_are_few() {
        let mut pulse = Pulse::default();
        for (no, code) in [(1, 3), (2, 3), (3, 4)] {
            pulse.ended(past(no, 5, false), &Outcome::Exited { code }, WallTime(0));
        }
        for code in 0..40 {
            pulse.ended(past(9, 5, false), &Outcome::Exited { code: 100 + code }, WallTime(0));
        }
        let (reasons, others) = pulse.reasons();
        assert_eq!((reasons[0].count, reasons[0].first, reasons[0].last, &*reasons[0].text), (2, TaskNo(1), TaskNo(2), "exit code 3"));
        assert_eq!((reasons.len(), others), (REASONS_MAX, 40 + 2 - REASONS_MAX as u32));
        assert!(pulse.classes().is_empty() && pulse.slowest().is_empty());
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_it_does_not_grow(ends in proptest::collection::vec((any::<u32>(), 0i64..1 << 42, any::<bool>(), 0i64..1 << 33), 0..300)) {
            let mut pulse = Pulse::default();
            let mut now = 1_700_000_000_000_000;
            for (no, micros, is_success, wait) in &ends {
                now += wait;
                pulse.ended(past(*no, *micros, *is_success), &Outcome::TimedOut, WallTime(now));
            }
            let good = ends.iter().filter(|(_, _, is_success, _)| *is_success).count() as u32;
            prop_assert_eq!(pulse.classes().iter().sum::<u32>(), good);
            let all = pulse.stretches().map_or(Stretch::default(), |(_, _, all)| all.iter().fold(Stretch::default(), |sum, one| sum + *one));
            prop_assert_eq!(all, Stretch { succeeded: good, failed: ends.len() as u32 - good });
            prop_assert!(pulse.stretches().is_none_or(|(_, _, all)| all.len() <= STRETCHES_MAX) && pulse.last().count() <= LAST_MAX);
            let mut slowest: Vec<u64> = ends.iter().filter(|end| end.2).map(|end| end.1 as u64).collect();
            slowest.sort_unstable_by(|a, b| b.cmp(a));
            slowest.truncate(SLOWEST_MAX);
            prop_assert_eq!(pulse.slowest().iter().map(Past::micros).collect::<Vec<_>>(), slowest);
        }
    }
}
