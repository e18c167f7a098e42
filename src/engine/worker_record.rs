//! How well and how fast a worker does what it is given, since the head has started. It is for looking at, and nothing is decided by it.

use std::collections::VecDeque;

use crate::domain::Outcome;

/// So many of its latest attempts are compared with others.
const COMPARED_MAX: usize = 64;
/// Before so many have been compared nothing is said.
const COMPARED_MIN: usize = 8;

/// An attempt that has ended, as far as it says something about its worker.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stint {
    /// For how long it has used a slot, in microseconds.
    pub micros: u64,
    /// Whether it went well; none if somebody stopped it.
    pub went_well: Option<bool>,
    /// The median of the attempts of its job that went well, in microseconds, if it went well itself, and there were enough of them.
    pub median_micros: Option<u64>,
}

impl Stint {
    /// Of an attempt that ended so.
    pub fn new(micros: u64, outcome: &Outcome, median_micros: Option<u64>) -> Self {
        let went_well = match outcome {
            Outcome::Revoked => None,
            outcome => Some(outcome.is_success()),
        };
        Self { micros, went_well, median_micros: median_micros.filter(|_| went_well == Some(true)) }
    }
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WorkerRecord {
    succeeded: u64,
    failed: u64,
    /// The medians of their jobs, by its times: of its latest attempts.
    speeds: VecDeque<f32>,
}

/// What a record comes to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WorkerScore {
    /// Attempts that went well.
    pub succeeded: u64,
    /// Attempts that did not, nor were stopped.
    pub failed: u64,
    /// How fast it is lately beside the median of the same jobs' tasks: 1 is as fast, 2 twice as fast; none before that means something.
    pub speed: Option<f64>,
}

impl WorkerRecord {
    /// Takes in an attempt that has ended.
    pub fn ended(&mut self, stint: &Stint) {
        match stint.went_well {
            Some(true) => self.succeeded += 1,
            Some(false) => self.failed += 1,
            None => {}
        }
        if let Some(median) = stint.median_micros {
            if self.speeds.len() == COMPARED_MAX {
                self.speeds.pop_front();
            }
            self.speeds.push_back((median.max(1) as f64 / stint.micros.max(1) as f64) as f32);
        }
    }

    /// What it comes to now.
    pub fn score(&self) -> WorkerScore {
        let mut speeds: Vec<f32> = self.speeds.iter().copied().collect();
        speeds.sort_unstable_by(f32::total_cmp);
        // The median of them, too: so one that is alone is as fast as itself, however much its tasks differ.
        let speed = speeds.get(speeds.len() / 2).filter(|_| speeds.len() >= COMPARED_MIN);
        WorkerScore { succeeded: self.succeeded, failed: self.failed, speed: speed.map(|speed| f64::from(*speed)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DONE: Outcome = Outcome::Exited { code: 0 };

    fn record(stints: impl IntoIterator<Item = Stint>) -> WorkerRecord {
        let mut record = WorkerRecord::default();
        stints.into_iter().for_each(|stint| record.ended(&stint));
        record
    }

    #[test]
    fn what_a_person_stopped_is_no_failure() {
        let outcomes = [DONE, Outcome::Revoked, Outcome::Lost, Outcome::Exited { code: 3 }, Outcome::TimedOut];
        let record = record(outcomes.map(|outcome| Stint::new(5, &outcome, Some(5))));
        assert_eq!((record.succeeded, record.failed, record.speeds.len()), (1, 3, 1));
    }

    #[test]
    fn speed_is_said_beside_the_median_once_that_means_something() {
        let at = |micros| Stint::new(micros, &DONE, Some(1000));
        let speed = |stints: Vec<Stint>| record(stints).score().speed;
        assert_eq!(speed(vec![at(500); 7]), None);
        assert_eq!(speed(vec![at(500); 8]), Some(2.0));
        assert_eq!(speed(vec![Stint::new(500, &DONE, None); 100]), None);
        // A few that took long say nothing of the worker; what was long ago is forgotten.
        assert_eq!(speed([vec![at(1000); 9], vec![at(900_000); 8]].concat()), Some(1.0));
        assert_eq!(speed([vec![at(1000); 1000], vec![at(4000); 64]].concat()), Some(0.25));
        assert_eq!(speed(vec![Stint::new(0, &DONE, Some(0)); 9]), Some(1.0));
    }
}
