//! How well and how fast a worker does what it is given, since the head has started. It is for looking at, and nothing is decided by it.

use crate::domain::Outcome;

/// Of so many attempts the pace of a worker is the mean; later on each new one weighs as one of so many.
const PACE_OVER: u32 = 64;
/// Before so many have been compared nothing is said.
const COMPARED_MIN: u32 = 8;

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
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct WorkerRecord {
    /// Attempts that went well.
    pub succeeded: u64,
    /// Attempts that did not, nor were stopped.
    pub failed: u64,
    /// The mean of the logarithms, to base two, of its times by the medians of their jobs.
    pace: f64,
    compared: u32,
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
            // The logarithm: twice as slow and twice as fast weigh the same.
            let pace = (stint.micros.max(1) as f64 / median.max(1) as f64).log2();
            self.compared = self.compared.saturating_add(1);
            self.pace += (pace - self.pace) / f64::from(self.compared.min(PACE_OVER));
        }
    }

    /// How fast it is beside the median of the same jobs' tasks: 1 is as fast, 2 twice as fast; none before that means something.
    pub fn speed(&self) -> Option<f64> {
        (self.compared >= COMPARED_MIN).then(|| (-self.pace).exp2())
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
        assert_eq!((record.succeeded, record.failed, record.compared), (1, 3, 1));
    }

    #[test]
    fn speed_is_said_beside_the_median_once_that_means_something() {
        let at = |micros| Stint::new(micros, &DONE, Some(1000));
        assert_eq!(record(vec![at(500); 7]).speed(), None);
        assert_eq!(record(vec![at(500); 8]).speed(), Some(2.0));
        assert_eq!(record(vec![Stint::new(500, &DONE, None); 100]).speed(), None);
        // Once twice as fast, once half as fast, is as fast; and what was long ago is forgotten.
        assert_eq!(record([at(500), at(2000)].repeat(4)).speed(), Some(1.0));
        let slower = record([vec![at(1000); 1000], vec![at(4000); 200]].concat()).speed().unwrap();
        assert!((0.25..0.3).contains(&slower), "{slower}");
        assert!(record(vec![Stint::new(0, &DONE, Some(0)); 9]).speed().unwrap().is_finite());
    }
}
