//! Where one task is, and since when: what `explain` says of it.

use std::time::Duration;

use crate::domain::{Attempt, TaskNo, WallTime, WorkerId};
use crate::engine::now::Now;
use crate::engine::record::JobRecord;

use super::machine::{JobMachine, Phase};

/// Where a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whereabouts {
    /// It waits for a slot; so many tasks of its job that wait as well go before it.
    Waiting(u32),
    /// It may be at a worker that has not reported since the head, or its part for this job, has started.
    Limbo,
    /// An attempt failed: it waits for its next try.
    Delayed {
        /// How many have failed.
        failures: u32,
        /// How long it still waits.
        left: Duration,
    },
    /// It has taken down too many workers, and is being failed.
    Condemned,
    /// It failed, and runs again as soon as that is durable.
    Freed,
    /// A worker has it.
    Out {
        /// Which try.
        attempt: Attempt,
        /// Who.
        worker: WorkerId,
        /// What is known of it there.
        hands: Hands,
        /// When it was started, or, before that, sent; none where that was before the head, or its part for this job, has started.
        since: Option<WallTime>,
    },
    /// It succeeded, or failed for good: its result says how.
    Ended {
        /// Whether it is done.
        success: bool,
    },
    /// It will not run.
    Dropped,
}

/// What is known of a task in a worker's hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hands {
    /// On its way, and not started.
    Sent,
    /// Sent, and the worker has not said in time whether it has started.
    Doubtful,
    /// It runs.
    Runs,
    /// It stands still.
    Frozen,
    /// Its worker's connection is lost; whether it had started.
    Adrift(bool),
}

impl Whereabouts {
    /// Of a task of a job that has ended.
    pub fn at_the_end(record: &JobRecord, no: TaskNo) -> Self {
        if record.is_final(no) { Self::Ended { success: record.succeeded.contains(no) } } else { Self::Dropped }
    }
}

impl JobMachine {
    /// Where a task is.
    pub fn whereabouts(&self, no: TaskNo, now: Now) -> Whereabouts {
        if self.record.is_final(no) && !self.freeing.contains(no) {
            return Whereabouts::at_the_end(&self.record, no);
        }
        if let Some(out) = self.out.get(&no) {
            let hands = match out.phase {
                Phase::Sent => Hands::Sent,
                Phase::Doubtful => Hands::Doubtful,
                Phase::Started if self.record.hold.freeze => Hands::Frozen,
                Phase::Started => Hands::Runs,
                Phase::Adrift { started, .. } => Hands::Adrift(started),
            };
            return Whereabouts::Out { attempt: out.attempt, worker: out.worker, hands, since: out.began.or(out.sent) };
        }
        if let Some(until) = self.delayed.until(no) {
            let failures = self.record.failures.get(&no).map_or(1, |failures| failures.count);
            return Whereabouts::Delayed { failures, left: until.since(now.mono) };
        }
        if self.waiting.contains(no) {
            Whereabouts::Waiting(self.waiting.len_below(no))
        } else if self.limbo.contains(no) {
            Whereabouts::Limbo
        } else if self.condemned.contains_key(&no) {
            Whereabouts::Condemned
        } else if self.freeing.contains(no) {
            Whereabouts::Freed
        } else if self.record.stopping().is_some() || self.record.ended.is_some() {
            Whereabouts::Dropped
        } else {
            // Of a job that is not split yet.
            Whereabouts::Waiting(no.0)
        }
    }
}
