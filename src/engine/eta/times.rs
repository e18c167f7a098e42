//! How long a job's tasks took: what is kept of them does not grow with their number.

use super::quantile;

/// The part of a new time in the mean of the last ones: they are about 31.
const LATELY: f64 = 1.0 / 16.0;
/// Tasks of which the mean of the last ones is.
const LATELY_TASKS: f64 = 2.0 / LATELY - 1.0;
/// So many standard errors are not by chance.
const UNLIKELY: f64 = 3.0;
/// The same for a trend.
const TREND_UNLIKELY: f64 = 2.5;
/// Tasks from which on a trend is looked for.
const TREND_MIN: u32 = 5;
/// No future task is thought to take more than so many times the longest so far.
const BEYOND_THE_LONGEST: f64 = 3.0;

/// Seconds of tasks, in the order in which they ended: mean and variance of all (Welford 1962), of the last ones, of their logarithms, and how
/// they go with their number.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Times {
    /// How many tasks.
    pub count: u32,
    /// Their mean.
    pub mean: f64,
    /// Sum of squared distances from the mean.
    m2: f64,
    /// The longest.
    pub max: f64,
    /// Mean and variance of the last ones, each weighted less than the one after it.
    lately: (f64, f64),
    /// Mean of the logarithms, and sum of squared distances from it.
    logs: (f64, f64),
    /// Sum of products of the distances of times and numbers from their means.
    with_number: f64,
    /// What failed attempts took that were tried again: it goes with the next task.
    wasted: f64,
}

/// Times that grow, or fall, from task to task.
pub(super) struct Trend {
    mean: f64,
    slope: f64,
    tasks: f64,
    /// Sum of squared distances of the numbers from their mean.
    numbers: f64,
    /// Around the line.
    pub spread: f64,
    /// Of that.
    pub freedom: f64,
}

impl Times {
    /// One task more is done.
    pub fn add(&mut self, seconds: f64) {
        let time = (seconds + std::mem::take(&mut self.wasted)).max(1e-4);
        self.count += 1;
        let n = f64::from(self.count);
        let distance = time - self.mean;
        self.mean += distance / n;
        self.m2 += distance * (time - self.mean);
        // The number's distance from the mean of those before it, which is n / 2.
        self.with_number += n / 2.0 * (time - self.mean);
        let (log, log_distance) = (time.ln(), time.ln() - self.logs.0);
        self.logs.0 += log_distance / n;
        self.logs.1 += log_distance * (log - self.logs.0);
        let part = LATELY.max(1.0 / n);
        let from_lately = time - self.lately.0;
        self.lately.0 += part * from_lately;
        self.lately.1 = (1.0 - part) * (self.lately.1 + part * from_lately * from_lately);
        self.max = self.max.max(time);
    }

    /// An attempt took so long, and the task is tried again.
    pub fn waste(&mut self, seconds: f64) {
        self.wasted += seconds.max(0.0);
    }

    /// Standard deviation.
    pub fn spread(&self) -> f64 {
        if self.count < 2 { 0.0 } else { (self.m2.max(0.0) / f64::from(self.count - 1)).sqrt() }
    }

    /// Mean and standard deviation of the last tasks, and how many those are, where they took another time than all.
    pub(super) fn lately(&self) -> Option<(f64, f64, f64)> {
        let (mean, variance) = self.lately;
        let chance = self.spread() / LATELY_TASKS.sqrt();
        let differs = f64::from(self.count) > LATELY_TASKS && (mean - self.mean).abs() > UNLIKELY * chance;
        differs.then(|| (mean, variance.max(0.0).sqrt(), LATELY_TASKS))
    }

    /// The line through times and numbers (least squares), where its slope is not by chance.
    pub(super) fn trend(&self) -> Option<Trend> {
        let n = f64::from(self.count);
        let numbers = n * (n * n - 1.0) / 12.0;
        if self.count < TREND_MIN {
            return None;
        }
        let slope = self.with_number / numbers;
        let freedom = n - 2.0;
        let spread = ((self.m2 - slope * self.with_number).max(0.0) / freedom).sqrt();
        let is_one = slope.abs() > TREND_UNLIKELY * spread / numbers.sqrt() && slope.abs() > 1e-9;
        is_one.then_some(Trend { mean: self.mean, slope, tasks: n, numbers, spread, freedom })
    }

    /// What the mean will not exceed, but once in twenty times, if the times are log-normal (Cox, in Land 1972); no more than the longest so far.
    pub(super) fn mean_of_a_long_tail(&self) -> f64 {
        let n = f64::from(self.count.max(2));
        let variance = self.logs.1.max(0.0) / (n - 1.0);
        let error = (variance / n + variance * variance / (2.0 * (n - 1.0))).sqrt();
        (self.logs.0 + variance / 2.0 + quantile::student(0.05, n - 1.0) * error).exp().min(self.max)
    }

    /// What the longest of so many more tasks will not exceed, but once in twenty times: as of a normal, or a log-normal distribution, whichever
    /// is longer, and no less than the longest so far.
    pub(super) fn longest_of(&self, tasks: u32) -> f64 {
        let tail = 1.0 - 0.95_f64.powf(1.0 / f64::from(tasks.max(1)));
        let z = quantile::normal(tail);
        let log_spread = (self.logs.1.max(0.0) / f64::from(self.count.max(2) - 1)).sqrt();
        let longest = (self.mean + z * self.spread()).max((self.logs.0 + z * log_spread).exp());
        longest.min(BEYOND_THE_LONGEST * self.max).max(self.max)
    }
}

impl Trend {
    /// The mean time of so many tasks to come, if it goes on so, and its standard error.
    pub fn ahead(&self, tasks: f64) -> (f64, f64) {
        let middle = (self.tasks + tasks) / 2.0;
        let error = self.spread * (1.0 / self.tasks + middle * middle / self.numbers).sqrt();
        ((self.mean + self.slope * middle).max(0.0), error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(times: impl IntoIterator<Item = f64>) -> Times {
        let mut all = Times::default();
        times.into_iter().for_each(|time| all.add(time));
        all
    }

    #[test]
    fn mean_spread_and_extremes_are_those_of_the_numbers() {
        let times = of([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]);
        assert!((times.mean - 5.0).abs() < 1e-9 && (times.spread() - (32.0_f64 / 7.0).sqrt()).abs() < 1e-9);
        assert_eq!((times.count, times.max), (8, 9.0));
    }

    #[test]
    fn a_line_is_found_and_goes_on_and_noise_is_none() {
        let line = of((1..=50).map(|no| 10.0 + f64::from(no)));
        let trend = line.trend().unwrap();
        assert!((trend.slope - 1.0).abs() < 1e-9);
        let (mean, error) = trend.ahead(10.0);
        assert!((mean - (10.0 + 55.5)).abs() < 1e-6 && error < 1e-3, "{mean}");
        assert!(of((0..50).map(|no| f64::from(no * 7 % 10))).trend().is_none());
        assert!(of((1..5).map(f64::from)).trend().is_none(), "too few");
    }

    #[test]
    fn the_last_ones_count_only_where_they_differ() {
        let noise = |no: u32| 1.0 + f64::from(no % 5) / 10.0;
        assert!(of((0..100).map(noise)).lately().is_none());
        let (mean, ..) = of((0..100).map(noise).chain((0..60).map(|no| 2.0 * noise(no)))).lately().unwrap();
        assert!((2.2..2.6).contains(&mean), "{mean}");
    }

    #[test]
    fn what_was_tried_in_vain_goes_with_the_next_task() {
        let mut times = of([1.0]);
        times.waste(2.0);
        times.add(1.0);
        times.add(1.0);
        assert!((times.mean - 5.0 / 3.0).abs() < 1e-9 && times.count == 3);
    }

    #[test]
    fn the_longest_to_come_is_no_shorter_than_the_longest_so_far() {
        let times = of((0..100).map(|no| 1.0 + f64::from(no % 10) / 100.0));
        let longest = [1, 10, 1000].map(|tasks| times.longest_of(tasks));
        assert!(longest[0] >= times.max && longest[0] <= longest[1] && longest[1] < longest[2] && longest[2] < 1.5, "{longest:?}");
    }
}
