//! What has happened to jobs between two looks at them.
//!
//! ```text
//!                 no task started or ended for long          one has
//! (goes on) ─────────────────────────────────► stalled ─────────────────► (goes on, Resumed)
//!     │     none runs, some wait, for long
//!     └──────────────────────────────────────► waiting ─────────────────► (the same)
//! ```
//! Its times are wall times, since they go on while nobody looks, and through a restart: a clock that is set makes a job seem quiet for longer or
//! shorter than it was, and nothing worse.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::verb::Counts;
use crate::domain::{JobId, JobState, WallTime};
use crate::limits::NOTICED_ENDS_MAX;

use super::{Notice, NoticeKind};

/// What it goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoticeRules {
    /// A job of which tasks run has stalled when none has started or ended for so long.
    pub stalled_after: Duration,
    /// One of which none runs waits when that lasts for so long.
    pub waiting_after: Duration,
    /// All jobs that it is shown are asked about: also of those that had happened before the first look.
    pub named: bool,
}

/// A job at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sight {
    /// Which.
    pub job: JobId,
    /// From 1.
    pub round: u32,
    /// Where it is in its life.
    pub state: JobState,
    /// Where its tasks are.
    pub counts: Counts,
    /// Paused: it waits for nobody but whoever has paused it.
    pub held: bool,
}

/// What is remembered of a job that has not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    round: u32,
    /// Notices of this round so far.
    told: u32,
    counts: Counts,
    held: bool,
    /// From when it has been like this.
    since: WallTime,
    has_told_failure: bool,
    trouble: Option<NoticeKind>,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lookout {
    /// The highest number that was seen; none before the first look. A job above it is new.
    newest: Option<JobId>,
    live: BTreeMap<JobId, Known>,
    /// Rounds of those that have ended: a retry makes them live again, perhaps between two looks. The highest numbers, so many as are kept.
    ended: BTreeMap<JobId, u32>,
}

impl Lookout {
    /// The highest number that was seen; none before the first look.
    pub fn newest(&self) -> Option<JobId> {
        self.newest
    }

    /// Those that had not ended at the last look, without these: whoever looks has to look for them.
    pub fn missing(&self, seen: impl Fn(JobId) -> bool) -> BTreeSet<JobId> {
        self.live.keys().copied().filter(|job| !seen(*job)).collect()
    }

    /// Those that have ended, as far as they are remembered.
    pub fn ended(&self) -> impl Iterator<Item = JobId> + '_ {
        self.ended.keys().copied()
    }

    /// Whether there was a look, and all jobs have ended.
    pub fn is_done(&self) -> bool {
        self.newest.is_some() && self.live.is_empty()
    }

    /// Takes a look in: jobs, and those among [`Self::missing`] that are no longer there. What has happened, in order of each job.
    pub fn on_look(&mut self, sights: &[Sight], gone: &BTreeSet<JobId>, rules: &NoticeRules, now: WallTime) -> Vec<Notice> {
        let mut notices = Vec::new();
        let before = self.newest;
        for sight in sights {
            let is_old = !rules.named && before.is_none_or(|newest| sight.job <= newest);
            self.newest = self.newest.max(Some(sight.job));
            match sight.state {
                JobState::Succeeded => self.ends(sight, NoticeKind::Succeeded, is_old, now, &mut notices),
                JobState::Failed => self.ends(sight, NoticeKind::Failed, is_old, now, &mut notices),
                JobState::Killed => self.ends(sight, NoticeKind::Killed, is_old, now, &mut notices),
                JobState::Ingesting | JobState::Waiting | JobState::Running | JobState::Finishing => {
                    self.goes_on(sight, is_old, rules, now, &mut notices);
                }
            }
        }
        for job in gone {
            self.ended.remove(job);
            if let Some(mut known) = self.live.remove(job) {
                notices.push(known.notice(*job, NoticeKind::Deleted));
            }
        }
        // Of a cluster without a job that is all there is to know.
        self.newest = self.newest.or(Some(JobId(0)));
        while self.ended.len() > NOTICED_ENDS_MAX {
            self.ended.pop_first();
        }
        notices
    }

    fn ends(&mut self, sight: &Sight, kind: NoticeKind, is_old: bool, now: WallTime, notices: &mut Vec<Notice>) {
        let known = self.live.remove(&sight.job);
        let before = self.ended.insert(sight.job, sight.round);
        let is_told = match (&known, before) {
            (Some(_), _) => false,
            (None, Some(round)) => round >= sight.round,
            (None, None) => is_old,
        };
        if is_told {
            return;
        }
        let mut known = known.filter(|known| known.round == sight.round).unwrap_or_else(|| Known::new(sight, now));
        known.fails(sight, notices);
        notices.push(known.notice(sight.job, kind));
    }

    fn goes_on(&mut self, sight: &Sight, is_old: bool, rules: &NoticeRules, now: WallTime, notices: &mut Vec<Notice>) {
        let was_told = self.ended.remove(&sight.job).is_some();
        let known = self.live.remove(&sight.job);
        let is_first = known.is_none();
        let mut known = known.filter(|known| known.round == sight.round).unwrap_or_else(|| Known::new(sight, now));
        // What had happened before anybody asked is no news.
        known.has_told_failure |= is_first && is_old && !was_told && sight.counts.failed > 0;
        known.fails(sight, notices);
        known.is_seen(sight, rules, now, notices);
        self.live.insert(sight.job, known);
    }
}

impl Known {
    fn new(sight: &Sight, now: WallTime) -> Self {
        let Sight { job: _, round, state: _, counts, held } = *sight;
        Self { round, told: 0, counts, held, since: now, has_told_failure: false, trouble: None }
    }

    fn notice(&mut self, job: JobId, kind: NoticeKind) -> Notice {
        self.told = self.told.saturating_add(1);
        Notice { job, round: self.round, number: self.told, kind }
    }

    fn fails(&mut self, sight: &Sight, notices: &mut Vec<Notice>) {
        if sight.counts.failed > 0 && !self.has_told_failure {
            self.has_told_failure = true;
            notices.push(self.notice(sight.job, NoticeKind::TaskFailed));
        }
    }

    fn is_seen(&mut self, sight: &Sight, rules: &NoticeRules, now: WallTime, notices: &mut Vec<Notice>) {
        let (was, is) = (self.counts, sight.counts);
        if (was, self.held) != (is, sight.held) {
            let moves = is.running > was.running || is.succeeded + is.failed > was.succeeded + was.failed;
            (self.counts, self.held, self.since) = (is, sight.held, now);
            if self.trouble.is_some() && moves {
                self.trouble = None;
                notices.push(self.notice(sight.job, NoticeKind::Resumed));
            }
        }
        if sight.held {
            self.trouble = None;
            return;
        }
        let lasts = |span: Duration| now.0.saturating_sub(self.since.0) >= i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        let trouble = match sight.state {
            JobState::Waiting | JobState::Running if is.running > 0 && lasts(rules.stalled_after) => NoticeKind::Stalled,
            JobState::Waiting | JobState::Running if is.running == 0 && is.undispatched > 0 && lasts(rules.waiting_after) => {
                NoticeKind::Waiting
            }
            _ => return,
        };
        if self.trouble != Some(trouble) {
            self.trouble = Some(trouble);
            notices.push(self.notice(sight.job, trouble));
        }
    }
}

#[cfg(test)]
mod tests;
