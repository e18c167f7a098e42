//! The ids of traces, which follow from what is durable: every start of a head gives a task the same, and no two clusters do.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use crate::domain::{Attempt, Error, TaskNo};
use crate::engine::record::JobRecord;
use crate::engine::spread::spread;

use super::span::Step;

/// A trace's name: not all zeros, and as good as random.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TraceId(pub [u8; 16]);

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// A span's name within its trace; not zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SpanId(pub u64);

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Which part of all tasks is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share(u64);

impl Share {
    /// Every task.
    pub const ALL: Self = Self(1 << 63);

    /// Whether a trace is in it: decided by its last 63 bits, as OpenTelemetry's `traceidratio` does.
    pub fn takes(self, trace: TraceId) -> bool {
        (u128::from_be_bytes(trace.0) as u64) >> 1 < self.0
    }
}

impl FromStr for Share {
    type Err = Error;

    /// Reads a ratio from 0 to 1; nothing at all is 1.
    fn from_str(text: &str) -> Result<Self, Error> {
        let ratio = if text.is_empty() { Ok(1.0) } else { text.parse::<f64>() };
        let ratio = ratio.ok().filter(|ratio| (0.0..=1.0).contains(ratio));
        let ratio = ratio.ok_or_else(|| Error::invalid(format!("`{text}` is no part of all tasks: write it as 0.01, from 0 to 1")))?;
        // A cast from a float saturates.
        Ok(Self((ratio * Self::ALL.0 as f64) as u64))
    }
}

/// What a job's ids are made of.
#[derive(Clone, Debug)]
pub(super) struct Origin([u8; 32]);

impl Origin {
    pub fn new(record: &JobRecord) -> Self {
        // Of two clusters' first jobs the one may look like the other, but not at the same microsecond, nor by the same request.
        let text = format!("millpond trace of {} at {} by {}", record.id, record.created.0, record.request_id);
        Self(Sha256::digest(text).into())
    }

    /// A task's in the round that begins above this attempt. Which tasks a share takes does not depend on the round.
    pub fn ids(&self, no: TaskNo, floor: Attempt) -> Ids {
        let digest = Sha256::new_with_prefix(self.0).chain_update(no.0.to_be_bytes()).finalize();
        let (mut trace, mut first) = ([0; 16], [0; 8]);
        trace.copy_from_slice(&digest[..16]);
        first.copy_from_slice(&digest[16..24]);
        trace.iter_mut().zip(floor.0.to_be_bytes()).for_each(|(byte, floor)| *byte ^= floor);
        Ids { trace: TraceId(trace), first: u64::from_be_bytes(first) }
    }
}

/// A trace's ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ids {
    pub trace: TraceId,
    first: u64,
}

impl Ids {
    /// Of the task itself.
    pub fn task(self) -> SpanId {
        self.span(0)
    }

    /// Of a part of an attempt; of one that was found at its worker, not sent, as it may have been taken for lost before.
    pub fn of_attempt(self, step: Step, attempt: Attempt, was_found: bool) -> SpanId {
        self.span(u64::from(attempt.0) << 8 | u64::from(was_found) << 7 | step as u64)
    }

    /// No two of a trace are alike: what is spread stays apart.
    fn span(self, number: u64) -> SpanId {
        SpanId(spread(self.first ^ number).max(1))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::domain::WallTime;
    use crate::domain::testing::submitted;

    fn origin(job: u64, at: i64) -> Origin {
        Origin::new(&JobRecord { created: WallTime(at), ..JobRecord::new(submitted(job)) })
    }

    #[test]
    fn ids_are_the_same_each_time_and_no_two_tasks_rounds_jobs_or_clusters_share_one() {
        let all = [(1, 5, 0, 0), (1, 5, 1, 0), (1, 5, 0, 1), (1, 5, 0, 2), (2, 5, 0, 0), (1, 6, 0, 0)];
        let id = |(job, at, no, floor): (u64, i64, u32, u32)| origin(job, at).ids(TaskNo(no), Attempt(floor)).trace;
        assert_eq!(all.map(id), all.map(id));
        assert_eq!(all.map(id).into_iter().collect::<BTreeSet<_>>().len(), all.len());
        let ids = origin(1, 5).ids(TaskNo(3), Attempt(0));
        let steps = [Step::Waiting, Step::Attempt, Step::Sent, Step::Running, Step::Result];
        let of = |attempt: u32| [false, true].map(|was_found| steps.map(|step| ids.of_attempt(step, Attempt(attempt), was_found)));
        let spans = (1..1000).flat_map(of).flatten().chain([ids.task()]);
        assert_eq!(spans.collect::<BTreeSet<_>>().len(), 999 * 10 + 1);
    }

    #[test]
    fn a_share_takes_its_part_of_all_tasks_and_a_task_in_all_its_rounds() {
        let origin = origin(7, 1);
        for (text, least, most) in [("0", 0, 0), ("0.1", 850, 1150), ("0.5", 4800, 5200), ("1", 10_000, 10_000), ("", 10_000, 10_000)] {
            let share: Share = text.parse().unwrap();
            let takes = |no: u32, floor: u32| share.takes(origin.ids(TaskNo(no), Attempt(floor)).trace);
            let taken = (0..10_000).filter(|no| takes(*no, 0)).count();
            assert!((least..=most).contains(&taken), "{text}: {taken}");
            assert!((0..1000).all(|no| takes(no, 0) == takes(no, 3)), "{text}");
        }
        for bad in ["-0.1", "1.1", "NaN", "inf", "all", "1,0"] {
            assert!(bad.parse::<Share>().is_err(), "{bad}");
        }
    }
}
