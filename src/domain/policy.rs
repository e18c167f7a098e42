//! What a job's owner wants done about failures.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::Error;
use super::outcome::Outcome;
use super::time::WallTime;
use crate::limits;

/// What becomes of failures. Persisted beside the job's specification, as an addition to the bytes of version 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Exit codes that are worth another try; empty: every failure is.
    pub retry_on: BTreeSet<i32>,
    /// Before the second attempt; twice as long before each later one, up to [`limits::RETRY_DELAY_MAX`].
    pub retry_delay: Duration,
    /// More failed tasks than this end the job.
    pub max_failed: Option<MaxFailed>,
    /// How long the job is kept once it has ended; none: as long as its head keeps jobs.
    pub keep: Option<Keep>,
}

impl Default for Policy {
    fn default() -> Self {
        Self { retry_on: BTreeSet::new(), retry_delay: limits::DEFAULT_RETRY_DELAY, max_failed: None, keep: None }
    }
}

/// How long a job is kept, with its bundle, once it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Keep {
    /// So long; then it is removed.
    For(Duration),
    /// Until a person deletes it.
    Forever,
}

impl Default for Keep {
    /// As long as a head keeps jobs, unless it is told otherwise.
    fn default() -> Self {
        Self::For(limits::KEEP_DEFAULT)
    }
}

impl Keep {
    /// When a job that ended then is removed by itself.
    pub fn expires(self, ended: WallTime) -> Option<WallTime> {
        match self {
            Self::For(span) => Some(ended.after(span)),
            Self::Forever => None,
        }
    }
}

impl Policy {
    /// Whether an attempt that ended so may be tried again, if the task has tries left.
    pub fn is_worth_a_retry(&self, outcome: &Outcome) -> bool {
        self.retry_on.is_empty() || outcome.exit_code().is_some_and(|code| self.retry_on.contains(&code))
    }

    /// How long a task waits after its `failures`-th failure. `spread`, any number, takes up to half of it away, so that tasks that failed
    /// together do not come back together ("equal jitter").
    pub fn delay(&self, failures: u32, spread: u64) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let whole = self.retry_delay.saturating_mul(1 << doublings).min(limits::RETRY_DELAY_MAX.max(self.retry_delay));
        whole - whole.mul_f64((spread % 1024) as f64 / 2048.0)
    }
}

/// How many tasks of a job may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MaxFailed {
    /// So many.
    Count(u32),
    /// So many of a hundred; at most 100.
    Percent(u8),
}

impl MaxFailed {
    /// Whether `failed` of `total` tasks are too many.
    pub fn is_exceeded(self, failed: u32, total: u32) -> bool {
        match self {
            Self::Count(max) => failed > max,
            Self::Percent(max) => u64::from(failed) * 100 > u64::from(max) * u64::from(total),
        }
    }
}

impl fmt::Display for MaxFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(max) => write!(f, "{max}"),
            Self::Percent(max) => write!(f, "{max}%"),
        }
    }
}

impl FromStr for MaxFailed {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let parsed = match text.strip_suffix('%') {
            Some(percent) => percent.parse().ok().filter(|percent| *percent <= 100).map(Self::Percent),
            None => text.parse().ok().map(Self::Count),
        };
        parsed.ok_or_else(|| Error::invalid(format!("`{text}`: write it as 5 or 10%")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_doubles_up_to_an_hour_and_is_spread() {
        let policy = Policy { retry_delay: Duration::from_secs(10), ..Policy::default() };
        assert_eq!(policy.delay(1, 0), Duration::from_secs(10));
        assert_eq!(policy.delay(3, 0), Duration::from_secs(40));
        assert_eq!(policy.delay(3, 1023).as_secs(), 20);
        assert_eq!(policy.delay(u32::MAX, 0), limits::RETRY_DELAY_MAX);
        let none = Policy { retry_delay: Duration::ZERO, ..policy.clone() };
        assert_eq!(none.delay(9, 77), Duration::ZERO);
    }

    #[test]
    fn only_the_exit_codes_that_are_named_are_tried_again() {
        let policy = Policy { retry_on: [75, 137].into(), ..Policy::default() };
        let worth = |outcome| policy.is_worth_a_retry(&outcome);
        assert!(worth(Outcome::Exited { code: 75 }) && worth(Outcome::Signalled { signal: 9 }));
        assert!(!worth(Outcome::Exited { code: 1 }) && !worth(Outcome::TimedOut));
        assert!(Policy::default().is_worth_a_retry(&Outcome::TimedOut));
    }

    #[test]
    fn so_many_may_fail_and_no_more() {
        for (text, failed, total, exceeded) in
            [("0", 1, 10, true), ("0", 0, 10, false), ("3", 3, 9, false), ("3", 4, 9, true), ("10%", 1, 10, false), ("10%", 2, 10, true)]
        {
            let max: MaxFailed = text.parse().unwrap();
            assert_eq!((max.is_exceeded(failed, total), max.to_string().as_str()), (exceeded, text));
        }
        for bad in ["", "-1", "101%", "x", "1.5%", "4294967296"] {
            assert!(bad.parse::<MaxFailed>().is_err(), "{bad}");
        }
    }
}
