//! A job as the others see it: what the supervisor ranks, what a listing shows.

use std::sync::Arc;

use crate::domain::deletion::DeletedJob;
use crate::domain::verb::{Counts, Hold, Said};
use crate::domain::{EtaScore, GrantId, JobId, JobSpec, JobState, WallTime};

use super::eta::{InHands, Times};

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
    /// How long its tasks took.
    pub times: Times,
    /// Since when those in workers' hands are there.
    pub in_hands: InHands,
    /// From when it has been in this state, and paused or not; none if that was before the head, or its part of it, started.
    pub since: Option<WallTime>,
    /// How often its ETA was right, in the rounds that have ended.
    pub eta_score: EtaScore,
    /// What it was told last.
    pub said: Arc<Vec<Said>>,
    /// When it was accepted.
    pub created: WallTime,
    /// When its first task started.
    pub began: Option<WallTime>,
    /// When it ended.
    pub ended: Option<WallTime>,
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
}
