//! What a worker may read and send: the chunks and files of the tasks that are leased to it, and their results. What the head says to it and
//! what it says itself decide; it is asked at every call for data.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::domain::wire::{FromWorker, JobInfo, Lease, ToWorker, Verdict};
use crate::domain::{Attempt, Chunk, Digest, Error, Input, JobId, TaskNo};
use crate::limits::AHEAD_MAX;

/// Leases that have ended and may still be read for: what a worker has asked for is on its way when it gives a task back, and it could have
/// read that before.
const GONE_KEPT: usize = 2 * AHEAD_MAX as usize;

type Key = (JobId, TaskNo, Attempt);

/// See the module. Of one worker, over all its sessions.
#[derive(Clone, Debug, Default)]
pub struct Leased {
    jobs: BTreeMap<JobId, Arc<JobInfo>>,
    leases: BTreeMap<Key, Held>,
    gone: VecDeque<Key>,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    chunk: Option<Chunk>,
    standing: Standing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// The worker says that it holds it; the head has not said yet what is to become of it.
    Claimed,
    Live,
    Gone,
}

fn key(lease: &Lease) -> Key {
    (lease.job, lease.no, lease.attempt)
}

impl Leased {
    /// The head says this to the worker; before it goes out.
    pub fn sent(&mut self, message: &ToWorker) {
        match message {
            ToWorker::Job(info) => {
                self.jobs.insert(info.job, info.clone());
            }
            ToWorker::JobGone(job) => {
                self.jobs.remove(job);
                self.leases.retain(|(of, ..), _| of != job);
            }
            ToWorker::Runs(runs) => {
                for run in runs {
                    self.leases.insert(key(&run.lease), Held { chunk: run.chunk, standing: Standing::Live });
                }
            }
            ToWorker::Verdict(lease, Verdict::Adopt | Verdict::AdoptFrozen | Verdict::Send) => {
                let held = self.leases.entry(key(lease)).or_insert(Held { chunk: None, standing: Standing::Live });
                held.standing = Standing::Live;
            }
            ToWorker::Verdict(lease, Verdict::Stop) => self.ends(key(lease)),
            ToWorker::Ack(leases) => leases.iter().for_each(|lease| self.ends(key(lease))),
            ToWorker::Welcome { .. }
            | ToWorker::Refuse(_)
            | ToWorker::Fence(..)
            | ToWorker::Recall
            | ToWorker::Stop(..)
            | ToWorker::Freeze(..)
            | ToWorker::Drain(_)
            | ToWorker::Heartbeat(_)
            | ToWorker::Follow(_) => {}
        }
    }

    /// The worker says this.
    pub fn said(&mut self, message: &FromWorker) {
        match message {
            FromWorker::Hello(hello) => {
                let live: Vec<Key> = self.leases.iter().filter(|(_, held)| held.standing != Standing::Gone).map(|(key, _)| *key).collect();
                live.into_iter().for_each(|key| self.ends(key));
                for held in &hello.held {
                    // Of one that is known nothing is forgotten: it was given out, whatever becomes of it now.
                    self.leases.entry(key(&held.lease)).or_insert(Held { chunk: None, standing: Standing::Claimed });
                }
            }
            FromWorker::Declined(lease) => self.ends(key(lease)),
            FromWorker::Fenced { dropped, .. } => dropped.iter().for_each(|lease| self.ends(key(lease))),
            FromWorker::Room { .. }
            | FromWorker::Standing(_)
            | FromWorker::Started(_)
            | FromWorker::Finished(_)
            | FromWorker::Heartbeat(_)
            | FromWorker::Goodbye => {}
        }
    }

    fn ends(&mut self, key: Key) {
        let Some(held) = self.leases.get_mut(&key) else { return };
        if std::mem::replace(&mut held.standing, Standing::Gone) == Standing::Gone {
            return;
        }
        self.gone.push_back(key);
        while self.gone.len() > GONE_KEPT {
            let oldest = self.gone.pop_front();
            // It may have been given out again since.
            if let Some(oldest) = oldest.filter(|oldest| self.leases.get(oldest).is_some_and(|held| held.standing == Standing::Gone)) {
                self.leases.remove(&oldest);
            }
        }
    }

    /// Whether it may read these ranges of a data set (offset and length, in bytes); none: all of it.
    pub fn may_read(&self, digest: Digest, ranges: &[(u64, u64)]) -> bool {
        self.jobs.values().any(|info| {
            let mut leases =
                self.leases.range((info.job, TaskNo(0), Attempt(0))..=(info.job, TaskNo(u32::MAX), Attempt(u32::MAX))).peekable();
            if leases.peek().is_none() {
                return false;
            }
            if info.spec.with.iter().any(|file| file.digest == digest) {
                return true;
            }
            let of_input = matches!(&info.spec.input, Input::Dataset { digest: input, .. } if *input == digest);
            let chunks: Vec<Chunk> = leases.filter_map(|(_, held)| held.chunk).collect();
            of_input && !ranges.is_empty() && ranges.iter().all(|range| is_covered(*range, &chunks))
        })
    }

    /// Whether it may send the result of this attempt.
    ///
    /// # Errors
    /// `Denied` for one that was not leased to it; `Unavailable` while that is not decided.
    pub fn may_send(&self, lease: &Lease) -> Result<(), Error> {
        match self.leases.get(&key(lease)).map(|held| held.standing) {
            Some(Standing::Live | Standing::Gone) => Ok(()),
            Some(Standing::Claimed) => Err(Error::unavailable("the head has not said yet whether it wants this result: try again")),
            None => {
                let Lease { job, no, attempt, .. } = lease;
                Err(Error::denied(format!("attempt {} of task {no} of {job} is not leased to this worker", attempt.0)))
            }
        }
    }
}

/// Whether each byte of a range is of one of these chunks, or of what is repeated before them.
fn is_covered((offset, len): (u64, u64), chunks: &[Chunk]) -> bool {
    let Some(end) = offset.checked_add(len) else { return false };
    let mut parts: Vec<(u64, u64)> = chunks.iter().map(|chunk| (chunk.offset, chunk.offset.saturating_add(chunk.len))).collect();
    parts.push((0, chunks.iter().map(|chunk| chunk.header).max().unwrap_or(0)));
    parts.sort_unstable();
    let reached = parts.into_iter().fold(offset, |reached, (from, to)| if from <= reached { reached.max(to) } else { reached });
    !chunks.is_empty() && reached >= end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::testing::job_spec;
    use crate::domain::wire::{Dial, Held as HeldByWorker, Hello, Run};
    use crate::domain::{Cut, Epoch, ErrorKind, FenceId, Instant, JobSpec, Record, Resources, SharedFile, SplitRule};

    const DATA: Digest = Digest([1; 32]);
    const SHARED: Digest = Digest([2; 32]);

    fn job(job: u64, digest: Digest) -> ToWorker {
        let rule = SplitRule { record: Record::Line, cut: Cut::Records(1) };
        let spec = JobSpec {
            input: Input::Dataset { digest, name: "x".into(), rule },
            with: vec![SharedFile { name: "ref".into(), digest: SHARED, len: 9 }],
            ..job_spec()
        };
        ToWorker::Job(Arc::new(JobInfo { job: JobId(job), spec, total: 100 }))
    }

    fn lease(job: u64, no: u32) -> Lease {
        Lease { job: JobId(job), no: TaskNo(no), attempt: Attempt(1), epoch: Epoch(1) }
    }

    /// Task `no` has bytes 100·no + 10 to 100·no + 110, and before them the first ten.
    fn runs(job: u64, tasks: std::ops::Range<u32>) -> ToWorker {
        let chunk = |no: u32| Chunk { offset: 10 + 100 * u64::from(no), len: 100, header: 10, first_record: 0, records: 1 };
        ToWorker::Runs(tasks.map(|no| Run { seq: u64::from(no), lease: lease(job, no), chunk: Some(chunk(no)) }).collect())
    }

    fn hello(held: Vec<HeldByWorker>) -> FromWorker {
        FromWorker::Hello(Hello {
            key: String::new(),
            host: String::new(),
            slots: 1,
            total: Resources::default(),
            epoch_seen: Epoch(1),
            dial: Dial::default(),
            stamp: Instant(0),
            confines: None,
            follows: true,
            held,
        })
    }

    fn leased() -> Leased {
        let mut leased = Leased::default();
        leased.sent(&job(1, DATA));
        leased.sent(&job(2, Digest([9; 32])));
        leased.sent(&runs(1, 3..6));
        leased
    }

    #[test]
    fn it_reads_its_chunks_their_header_and_their_files_and_nothing_beside() {
        let leased = leased();
        for (range, may) in [
            ((310, 100), true),
            ((310, 300), true),
            ((350, 10), true),
            ((0, 10), true),
            ((309, 5), false),
            ((310, 301), false),
            ((600, 20), false),
            ((0, 11), false),
            ((u64::MAX, 2), false),
            ((210, 100), false),
        ] {
            assert_eq!(leased.may_read(DATA, &[range]), may, "{range:?}");
        }
        assert!(leased.may_read(DATA, &[(0, 10), (310, 100)]) && !leased.may_read(DATA, &[(0, 10), (0, 400)]));
        assert!(!leased.may_read(DATA, &[]), "all of it");
        assert!(leased.may_read(SHARED, &[]) && leased.may_read(SHARED, &[(0, 5)]));
        assert!(!leased.may_read(Digest([9; 32]), &[(0, 1)]), "a job that it knows, and has no task of");
        assert!(!leased.may_read(Digest([7; 32]), &[(0, 1)]) && !Leased::default().may_read(SHARED, &[]));
    }

    #[test]
    fn it_sends_results_of_its_attempts_and_of_no_other() {
        let leased = leased();
        assert!(leased.may_send(&lease(1, 3)).is_ok());
        assert!(leased.may_send(&Lease { epoch: Epoch(7), ..lease(1, 3) }).is_ok(), "under whatever epoch");
        for other in [lease(1, 2), lease(2, 3), Lease { attempt: Attempt(2), ..lease(1, 3) }] {
            assert_eq!(leased.may_send(&other).unwrap_err().kind, ErrorKind::Denied);
        }
    }

    #[test]
    fn what_it_says_that_it_holds_counts_once_the_head_agrees() {
        let mut leased = Leased::default();
        let held = |no| HeldByWorker { lease: lease(1, no), finished: true };
        leased.said(&hello(vec![held(1), held(2)]));
        assert_eq!(leased.may_send(&lease(1, 1)).unwrap_err().kind, ErrorKind::Unavailable);
        leased.sent(&ToWorker::Verdict(lease(1, 1), Verdict::Send));
        leased.sent(&ToWorker::Verdict(lease(1, 2), Verdict::Stop));
        assert!(leased.may_send(&lease(1, 1)).is_ok());
        leased.sent(&job(1, DATA));
        assert!(!leased.may_read(DATA, &[(0, 1)]), "what it claims lets it read nothing of the data");
        assert_eq!(leased.may_send(&lease(1, 3)).unwrap_err().kind, ErrorKind::Denied);
    }

    #[test]
    fn what_it_gave_back_may_be_read_a_while_longer_and_an_ended_job_not_at_all() {
        let mut leased = leased();
        leased.said(&FromWorker::Declined(lease(1, 3)));
        leased.said(&FromWorker::Fenced { fence: FenceId(1), started: vec![lease(1, 5)], dropped: vec![lease(1, 4)] });
        assert!(leased.may_read(DATA, &[(310, 300)]));
        for no in 10..10 + 2 * GONE_KEPT as u32 {
            leased.sent(&runs(1, no..no + 1));
            leased.sent(&ToWorker::Ack(vec![lease(1, no)]));
        }
        assert!(!leased.may_read(DATA, &[(310, 100)]) && leased.may_read(DATA, &[(510, 100)]), "task 5 is still its own");
        assert!(leased.leases.len() <= GONE_KEPT + 1 && leased.gone.len() <= GONE_KEPT);
        leased.sent(&ToWorker::JobGone(JobId(1)));
        assert!(!leased.may_read(DATA, &[(510, 100)]) && leased.may_send(&lease(1, 5)).is_err());
    }

    #[test]
    fn what_is_given_out_again_outlives_the_first_time() {
        let mut leased = leased();
        leased.said(&FromWorker::Declined(lease(1, 3)));
        leased.sent(&runs(1, 3..4));
        for no in 10..10 + 2 * GONE_KEPT as u32 {
            leased.sent(&runs(1, no..no + 1));
            leased.said(&FromWorker::Declined(lease(1, no)));
        }
        assert!(leased.may_read(DATA, &[(310, 100)]));
        leased.said(&hello(Vec::new()));
        assert!(leased.may_send(&lease(1, 3)).is_ok(), "a result may be on its way when the session breaks");
    }
}
