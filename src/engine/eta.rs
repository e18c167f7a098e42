//! When a job will have ended: a range of seconds, or nothing where nothing is known.
//!
//! While so many slots work without a pause, the end is no earlier than *work left ÷ slots*, and no later than that and the longest task
//! (Graham 1966). So the range is made of two quantiles: of the sum of the task times that are to come, and of the last, longest one. The sum's
//! is a prediction interval for so many more draws (Student's t), by the mean of all tasks so far. Where the last tasks took another time than all, or
//! times grow or fall from task to task (chunks that are sorted by size), what follows from that is taken as well: the range holds all of it.
//!
//! A task's time is how long it was in a worker's hands, by the head's clock: with the way there and back, on a slot or ahead of one, less what it
//! stood still. By Little's law that, over the number in hands, is the rate at which tasks end.
//!
//! [`Foresight`] keeps the ranges of set points, and how many of them were right.

pub use foresight::Foresight;
pub use hands::{Hands, InHands};
pub use times::Times;

mod foresight;
mod hands;
mod quantile;
mod times;

/// Tasks that have to be done before anything is said.
const TIMES_MIN: u32 = 3;
/// The least half of the range, as a part of the work left.
const MARGIN: f64 = 0.05;
/// By a few tasks nobody knows of those to come: that much of the low end goes, over the root of their number.
const UNKNOWN: f64 = 0.8;
/// For the last news, and for the disk.
const SETTLING_SECONDS: f64 = 0.2;
/// Tasks of the next n that may be of a kind of which there was none among n.
const UNSEEN: f64 = 3.0;
/// A task is overdue that is in hands so many times longer than any was.
const OVERDUE: f64 = 1.1;
/// Of either side: nine of ten are to be inside.
const TAIL: f64 = 0.05;

/// Seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Range {
    /// No sooner.
    pub low: f64,
    /// No later.
    pub high: f64,
}

impl Range {
    /// Whether it holds so many seconds.
    pub fn holds(&self, seconds: f64) -> bool {
        self.low <= seconds && seconds <= self.high
    }
}

/// What an end depends on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outlook {
    /// Of the tasks that are done.
    pub times: Times,
    /// Tasks that are in nobody's hands, and will run.
    pub queued: u32,
    /// Tasks in workers' hands.
    pub in_hands: u32,
    /// Mean seconds that those are there.
    pub age: f64,
    /// Of the first of them.
    pub oldest: f64,
    /// How many work at once, at least.
    pub slots_min: u32,
    /// How many, at most.
    pub slots_max: u32,
    /// Seconds before the jobs ahead have gone by.
    pub before: Range,
}

/// What the tasks that are to come take together, in seconds.
struct Work {
    low: f64,
    high: f64,
    /// The longest of those that come last.
    longest: f64,
}

impl Outlook {
    /// When it will have ended, from now; nine of ten ends are to be inside. None where nothing can be said: too few tasks are done, or, as the
    /// first to end are the short ones, fewer than are in hands.
    pub fn range(&self) -> Option<Range> {
        let left = self.queued + self.in_hands;
        if left == 0 || self.slots_max == 0 || self.times.count < TIMES_MIN.max(self.in_hands) {
            return None;
        }
        // At the end not all slots have something to do.
        let least = f64::from(self.slots_min.clamp(1, left));
        let most = f64::from(self.slots_max.clamp(1, left));
        let works = [Some(self.by_all()), self.by_the_last(), self.by_their_trend()];
        let ranges = works.into_iter().flatten().map(|work| Range {
            low: work.low / most * (1.0 - MARGIN.max(UNKNOWN / f64::from(self.times.count).sqrt())),
            high: work.high / least * (1.0 + MARGIN) + work.longest * (1.0 - 1.0 / most),
        });
        let all = ranges.reduce(|one, other| Range { low: one.low.min(other.low), high: one.high.max(other.high) })?;
        let high = all.high.max(self.of_the_oldest()) + self.before.high + SETTLING_SECONDS;
        Some(Range { low: all.low + self.before.low, high }).filter(|range| range.high.is_finite())
    }

    /// By all tasks so far. The first to end are the short ones, so those in hands count as well: as if each took as long again as it is there; and,
    /// where times differ much, as exponential times count that are not all known to their end (Epstein and Sobel 1953).
    fn by_all(&self) -> Work {
        let Times { mean, .. } = self.times;
        let (n, in_hands) = (f64::from(self.times.count), f64::from(self.in_hands));
        let differ = (self.times.spread() / mean.max(f64::MIN_POSITIVE)).powi(2).min(1.0);
        let as_long_again = (n * mean + 2.0 * in_hands * self.age.max(mean / 2.0)) / (n + in_hands);
        let higher = as_long_again.max(mean + differ * in_hands * self.age / n);
        let work = self.work(mean, higher, self.times.spread(), n, self.longest());
        Work { high: work.high.max(self.by_a_long_tail()) + self.of_unseen_kinds(), ..work }
    }

    /// What all that is queued takes at most, if times are log-normal.
    fn by_a_long_tail(&self) -> f64 {
        let (queued, in_hands) = (f64::from(self.queued), f64::from(self.in_hands));
        let mean = self.times.mean_of_a_long_tail();
        let reach = quantile::student(TAIL, f64::from(self.times.count) - 1.0) * self.times.spread() * (queued + in_hands).sqrt();
        queued * mean + reach + self.begun(mean, self.times.spread()).1
    }

    /// If there was none of a kind among n tasks, three or fewer of the next n are of it (the rule of three, Hanley and Lippman-Hand 1983). Each may
    /// take as much longer as the longest took.
    fn of_unseen_kinds(&self) -> f64 {
        f64::from(self.queued + self.in_hands) * (UNSEEN / f64::from(self.times.count)).min(1.0) * self.times.max
    }

    /// By the last few, if they took another time than all.
    fn by_the_last(&self) -> Option<Work> {
        let (mean, spread, n) = self.times.lately()?;
        Some(self.work(mean, mean, spread, n, self.longest().max(mean + 2.0 * spread)))
    }

    /// As times have grown, or fallen, from task to task.
    fn by_their_trend(&self) -> Option<Work> {
        let left = f64::from(self.queued + self.in_hands);
        let trend = self.times.trend()?;
        let (mean, error) = trend.ahead(left);
        let (last, _) = trend.ahead(2.0 * left);
        let queued = f64::from(self.queued);
        let reach = quantile::student(TAIL, trend.freedom) * (trend.spread.powi(2) * left + (queued * error).powi(2)).sqrt();
        let (begun_low, begun_high) = self.begun(mean, trend.spread);
        let middle = queued * mean;
        let low = (middle - reach + begun_low).max(0.0);
        Some(Work { low, high: (middle + reach + begun_high).max(low), longest: last.max(0.0) + 2.0 * trend.spread })
    }

    /// What is left of such tasks: of a mean that `n` tasks have shown.
    fn work(&self, mean: f64, higher: f64, spread: f64, n: f64, longest: f64) -> Work {
        let (queued, in_hands) = (f64::from(self.queued), f64::from(self.in_hands));
        let reach = quantile::student(TAIL, n - 1.0) * spread * (queued * (1.0 + queued / n) + in_hands).sqrt();
        let (begun_low, begun_high) = self.begun(mean, spread);
        let low = (queued * mean - reach + begun_low).max(0.0);
        Work { low, high: queued * higher + reach + begun_high, longest }
    }

    /// What those in hands will still take, at least and at most: what is left of the mean; nothing, where times differ; what a task that is met at
    /// any moment has still to go (the inspection paradox); or as long again, where they are there for longer than the mean.
    fn begun(&self, mean: f64, spread: f64) -> (f64, f64) {
        let in_hands = f64::from(self.in_hands);
        let left = (mean - self.age).max(0.0);
        let ratio = spread / mean.max(f64::MIN_POSITIVE);
        let met = mean * (1.0 + ratio * ratio) / 2.0;
        let as_long_again = if self.age > mean { self.age } else { 0.0 };
        (if ratio > 0.3 { 0.0 } else { in_hands * left }, in_hands * left.max(met).max(as_long_again))
    }

    /// The longest task that can hold up the end: any of all may be in hands by then. One that is there for longer than any took may take as long
    /// again.
    fn longest(&self) -> f64 {
        let longest = self.times.longest_of(self.times.count + self.queued + self.in_hands);
        if self.is_overdue() { longest.max(2.0 * self.oldest) } else { longest }
    }

    fn is_overdue(&self) -> bool {
        self.in_hands > 0 && self.oldest > OVERDUE * self.times.max
    }

    fn of_the_oldest(&self) -> f64 {
        if self.is_overdue() { self.oldest } else { 0.0 }
    }
}

#[cfg(test)]
mod tests;
