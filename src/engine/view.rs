//! A job as the others see it: what the supervisor ranks, what a listing shows.

use std::sync::Arc;

use crate::domain::deletion::DeletedJob;
use crate::domain::verb::{Counts, Hold, Said};
use crate::domain::{GrantId, JobId, JobSpec, JobState, WallTime};

/// Absolute: each one replaces the one before.
#[derive(Clone, Debug, PartialEq)]
pub struct JobView {
    /// Its number; also its age: a lower one is older.
    pub id: JobId,
    /// As submitted, but for what a retry has changed.
    pub spec: Arc<JobSpec>,
    /// As submitted.
    pub first_spec: Arc<JobSpec>,
    /// Where it is.
    pub state: JobState,
    /// Paused.
    pub held: bool,
    /// Being killed, or killed.
    pub killed: bool,
    /// What the person who paused or killed it said; or why it failed.
    pub note: String,
    /// Higher goes sooner.
    pub priority: i32,
    /// Most tasks out at once.
    pub max_running: Option<u32>,
    /// They add up.
    pub counts: Counts,
    /// Tasks that could go out now, if there were slots.
    pub wanted: u32,
    /// Tasks in workers' hands, started or not.
    pub out: u32,
    /// From 1; one more with each `retry`.
    pub round: u32,
    /// How it is paused, if it is.
    pub hold: Hold,
    /// Tasks that wait for their next try.
    pub delayed: u32,
    /// Tasks that may still be running from before a restart of the head.
    pub limbo: u32,
    /// The last grant this view has taken in.
    pub last_grant: GrantId,
    /// Seconds a task took: count, mean, variance × count (Welford).
    pub durations: Durations,
    /// What it was told last.
    pub said: Arc<Vec<Said>>,
    /// When it was accepted.
    pub created: WallTime,
    /// When its first task started.
    pub began: Option<WallTime>,
    /// When it ended.
    pub ended: Option<WallTime>,
}

/// Running mean and variance of task times, in seconds (Welford 1962).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Durations {
    /// How many tasks.
    pub count: u32,
    /// Their mean.
    pub mean: f64,
    /// Sum of squared distances from the mean.
    pub m2: f64,
}

impl Durations {
    /// Takes one in.
    pub fn add(&mut self, seconds: f64) {
        self.count += 1;
        let delta = seconds - self.mean;
        self.mean += delta / f64::from(self.count);
        self.m2 += delta * (seconds - self.mean);
    }
}

impl JobView {
    /// What is remembered of it once it is deleted.
    pub fn in_short(&self) -> DeletedJob {
        DeletedJob {
            id: self.id,
            name: self.spec.name.clone(),
            owner: self.spec.owner.clone(),
            state: self.state,
            counts: self.counts,
            priority: self.priority,
            round: self.round,
            created: self.created,
            began: self.began,
            ended: self.ended,
        }
    }

    /// Seconds to the end as a range, if `slots` slots work for it; none while it does not run or too little is known.
    ///
    /// Remaining work over slots, ± two standard errors of the mean and at least a tenth; the last task adds its own time at the upper end.
    pub fn eta_seconds(&self, slots: u32) -> Option<(f64, f64)> {
        let Durations { count, mean, m2 } = self.durations;
        if self.state != JobState::Running || self.held || count < 3 || slots == 0 {
            return None;
        }
        let left = f64::from(self.counts.undispatched) + f64::from(self.counts.running) / 2.0;
        let at_once = f64::from(slots.min(self.out.max(1)));
        let middle = left * mean / at_once;
        let spread = (m2 / f64::from(count - 1)).sqrt();
        let error = (2.0 * spread / f64::from(count).sqrt() / mean.max(1e-9)).clamp(0.1, 1.0);
        Some((middle * (1.0 - error), middle * (1.0 + error) + mean + spread))
    }
}
