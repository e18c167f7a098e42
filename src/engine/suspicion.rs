//! Whether a worker can be trusted with tasks.
//!
//! A job whose tasks fail everywhere is the job's own affair. A worker on which tasks of several jobs fail, one after the other, with no
//! success between, has perhaps a full disk, a missing program or a broken card, and would eat up whole jobs in seconds. It is put under
//! suspicion: it gets one task from time to time, to try, and is let back with the first that succeeds. One that connects anew begins without a stain.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::domain::{Instant, JobId, Outcome};
use crate::limits::{SUSPECT_AFTER_FAILURES, SUSPECT_AFTER_JOBS, SUSPECT_PROBE_FIRST, SUSPECT_PROBE_MAX};

/// How a worker may be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// As any other.
    #[default]
    Trusted,
    /// Not at all, while there are others.
    Suspected,
    /// For one task, to try.
    Probe,
}

/// The failures on one worker since the last success.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suspicion {
    failures: u32,
    /// Whose; no more than it takes to raise suspicion.
    jobs: BTreeSet<JobId>,
    probe: Option<Probe>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Probe {
    due: Instant,
    pause: Duration,
}

impl Suspicion {
    /// An attempt has ended at the worker. Returns whether it fell under suspicion, or out of it.
    pub fn ended(&mut self, job: JobId, outcome: &Outcome, now: Instant) -> bool {
        match outcome {
            Outcome::Lost | Outcome::Revoked => false,
            outcome if outcome.is_success() => self.pardon(),
            _ => self.failed(job, now),
        }
    }

    fn failed(&mut self, job: JobId, now: Instant) -> bool {
        self.failures = self.failures.saturating_add(1);
        if self.jobs.len() < SUSPECT_AFTER_JOBS {
            self.jobs.insert(job);
        }
        match &mut self.probe {
            // What was started before the suspicion proves nothing new.
            Some(probe) if now < probe.due => false,
            Some(probe) => {
                probe.pause = (probe.pause * 2).min(SUSPECT_PROBE_MAX);
                probe.due = now.after(probe.pause);
                false
            }
            None if self.failures >= SUSPECT_AFTER_FAILURES && self.jobs.len() >= SUSPECT_AFTER_JOBS => {
                self.probe = Some(Probe { due: now.after(SUSPECT_PROBE_FIRST), pause: SUSPECT_PROBE_FIRST });
                true
            }
            None => false,
        }
    }

    /// Trusts it again: a task has succeeded, or a person says so. Returns whether it was under suspicion.
    pub fn pardon(&mut self) -> bool {
        let suspected = self.probe.is_some();
        *self = Self::default();
        suspected
    }

    /// How the worker may be used; `idle` if it runs nothing.
    pub fn trust(&self, idle: bool, now: Instant) -> Trust {
        match self.probe {
            None => Trust::Trusted,
            Some(probe) if idle && probe.due <= now => Trust::Probe,
            Some(_) => Trust::Suspected,
        }
    }

    /// Whether the worker is under suspicion.
    pub fn is_there(&self) -> bool {
        self.probe.is_some()
    }

    /// Why the worker is under suspicion, and what happens next; none if it is not.
    pub fn describe(&self, now: Instant) -> Option<String> {
        let due = self.probe?.due.since(now).as_secs();
        let next = if due == 0 { "it gets one task to try".into() } else { format!("in {due} s it gets one task to try") };
        Some(format!("its last {} tasks failed, of {SUSPECT_AFTER_JOBS} jobs or more; {next}", self.failures))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAILED: Outcome = Outcome::Exited { code: 1 };
    const DONE: Outcome = Outcome::Exited { code: 0 };

    fn at(seconds: u64) -> Instant {
        Instant(seconds * 1000)
    }

    fn suspected() -> Suspicion {
        let mut worker = Suspicion::default();
        for failure in 1..=SUSPECT_AFTER_FAILURES {
            assert_eq!(worker.trust(true, at(0)), Trust::Trusted);
            assert_eq!(worker.ended(JobId(u64::from(failure % 2)), &FAILED, at(0)), failure == SUSPECT_AFTER_FAILURES);
        }
        worker
    }

    #[test]
    fn failures_of_one_job_are_the_jobs_own() {
        let mut worker = Suspicion::default();
        assert!((0..1000).all(|_| !worker.ended(JobId(1), &FAILED, at(0))));
        assert_eq!(worker.trust(true, at(0)), Trust::Trusted);
        assert!(worker.ended(JobId(2), &FAILED, at(0)), "the first of another job");
    }

    #[test]
    fn a_success_between_is_enough_and_what_was_stopped_proves_nothing() {
        let mut worker = Suspicion::default();
        for _ in 0..100 {
            for job in [1, 2, 3, 4] {
                worker.ended(JobId(job), &FAILED, at(0));
                worker.ended(JobId(job), &Outcome::Lost, at(0));
                worker.ended(JobId(job), &Outcome::Revoked, at(0));
            }
            worker.ended(JobId(5), &DONE, at(0));
        }
        assert_eq!(worker, Suspicion::default());
    }

    #[test]
    fn it_is_tried_ever_more_seldom_and_let_back_with_the_first_success() {
        let mut worker = suspected();
        let mut now = Instant(0);
        for tries in 0..10 {
            let pause = (SUSPECT_PROBE_FIRST * 2u32.pow(tries)).min(SUSPECT_PROBE_MAX);
            assert_eq!(worker.trust(true, now), Trust::Suspected);
            // What was started before proves nothing.
            worker.ended(JobId(1), &FAILED, now);
            now = now.after(pause);
            assert_eq!((worker.trust(true, now), worker.trust(false, now)), (Trust::Probe, Trust::Suspected));
            worker.ended(JobId(1), &FAILED, now);
        }
        assert!(worker.ended(JobId(1), &DONE, now));
        assert_eq!(worker, Suspicion::default());
    }

    #[test]
    fn it_says_why() {
        assert_eq!(
            suspected().describe(at(3)).as_deref(),
            Some("its last 5 tasks failed, of 2 jobs or more; in 27 s it gets one task to try")
        );
        assert_eq!(suspected().describe(at(99)).as_deref(), Some("its last 5 tasks failed, of 2 jobs or more; it gets one task to try"));
        assert_eq!(Suspicion::default().describe(at(3)), None);
    }
}
