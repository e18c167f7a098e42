//! The life of a job, told as stories.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::domain::entry::{JobEntry, Submitted};
use crate::domain::testing::{job_spec, submitted};
use crate::domain::verb::{KillMode, Verb, VerbReply, Wish};
use crate::domain::wire::{Lease, Verdict};
use crate::domain::{
    Attempt, Epoch, FenceId, GrantId, Instant, JobId, JobSpec, JobState, Outcome, Policy, ResultRef, SessionId, TaskEnd, TaskNo, Timing,
    WallTime, WorkerId,
};
use crate::engine::now::Now;
use crate::engine::record::{JobRecord, Terms};
use crate::engine::view::JobView;
use crate::limits;

use super::event::{JobEffect, JobEvent, VerbError};
use super::machine::JobMachine;

mod attempts;
mod failure;
mod hold;
mod nonsense;
mod restart;
mod retry;
mod verbs;
mod whereabouts;

const EPOCH: Epoch = Epoch(2);
const S1: SessionId = SessionId(1);
const S2: SessionId = SessionId(2);
const FAILED: Outcome = Outcome::Exited { code: 1 };
const DONE: Outcome = Outcome::Exited { code: 0 };

/// A job whose journal already has `entries`.
fn record(retries: u32, entries: &[JobEntry]) -> JobRecord {
    let spec = JobSpec { retries, ..job_spec() };
    let mut record = JobRecord::new(Submitted { spec, ..submitted(7) });
    entries.iter().for_each(|entry| record.apply(entry));
    record
}

fn ended(no: u32, success: bool) -> JobEntry {
    let result = ResultRef { offset: 0, len: 0 };
    JobEntry::TaskEnded(TaskEnd { no: TaskNo(no), attempt: Attempt(1), worker: WorkerId(1), success, result })
}

fn lease(no: u32, attempt: u32) -> Lease {
    Lease { job: JobId(7), no: TaskNo(no), attempt: Attempt(attempt), epoch: EPOCH }
}

/// The worker of a session: s1 is w1's, s2 w2's; a reconnected w1 is s11, s21, ….
fn worker_of(session: SessionId) -> WorkerId {
    WorkerId(session.0 as u32 % 10)
}

/// A machine with what it has said since it was last asked.
struct Story {
    job: JobMachine,
    now: u64,
    said: Vec<JobEffect>,
    asked_of_journal: u64,
    last_grant: u64,
    last_ticket: u64,
}

impl Story {
    fn new(record: JobRecord, known: &[u32]) -> Self {
        let known: BTreeSet<WorkerId> = known.iter().copied().map(WorkerId).collect();
        Self {
            job: JobMachine::new(record, EPOCH, known),
            now: 10_000,
            said: Vec::new(),
            asked_of_journal: 0,
            last_grant: 0,
            last_ticket: 0,
        }
    }

    /// A job of so many tasks, none out.
    fn of(tasks: u32) -> Self {
        Self::with_retries(tasks, 0)
    }

    fn with_retries(tasks: u32, retries: u32) -> Self {
        Self::with_policy(tasks, retries, Policy { retry_delay: Duration::ZERO, ..Policy::default() })
    }

    fn with_policy(tasks: u32, retries: u32, policy: Policy) -> Self {
        let mut record = record(retries, &[]);
        record.put_terms(Terms { policy, ..record.terms() });
        let mut story = Self::new(record, &[]);
        story.tell(JobEvent::SplitDone(tasks));
        story.disk_catches_up();
        story.said.clear();
        story
    }

    /// The head restarts: the same journal, all else forgotten; `known` workers may hold something.
    fn restarted(entries: &[JobEntry], retries: u32, known: &[u32]) -> Self {
        Self::new(record(retries, entries), known)
    }

    fn tell(&mut self, event: JobEvent) {
        let now = Now { mono: Instant(self.now), wall: WallTime(self.now as i64 * 1000) };
        let effects = self.job.on_event(event, now);
        self.job.check().unwrap();
        for effect in &effects {
            if let JobEffect::Persist(seq, _) = effect {
                assert_eq!(*seq, self.asked_of_journal + 1, "numbers to the journal have no gaps");
                self.asked_of_journal = *seq;
            }
        }
        self.said.extend(effects);
    }

    fn disk_catches_up(&mut self) {
        // What follows from durable things may be asked of the journal in turn.
        for _ in 0..3 {
            self.tell(JobEvent::Durable(self.asked_of_journal));
        }
    }

    /// Task 0 is given up for lost at w1, where it runs on, and sent to w2; its first lease.
    fn gives_up(&mut self) -> Lease {
        let first = self.grant(S1, 1)[0];
        self.tell(JobEvent::Started(S1, vec![first]));
        self.loses(S1);
        self.after(limits::STARTED_GONE_AFTER);
        assert_eq!(self.grant(S2, 1), [lease(0, 2)]);
        first
    }

    /// A session breaks, just after a heartbeat.
    fn loses(&mut self, session: SessionId) {
        self.tell(JobEvent::SessionLost(session, Instant(self.now)));
    }

    fn after(&mut self, span: std::time::Duration) {
        self.now += span.as_millis() as u64;
        self.tell(JobEvent::Tick);
    }

    /// Grants slots; the leases that went out.
    fn grant(&mut self, session: SessionId, slots: u32) -> Vec<Lease> {
        self.last_grant += 1;
        let grant = GrantId(self.last_grant);
        let before = self.said.len();
        self.tell(JobEvent::Granted { grant, session, worker: worker_of(session), slots });
        let answers: Vec<_> = self.said[before..]
            .iter()
            .filter_map(|effect| match effect {
                JobEffect::Deliver { grant: of, session: at, runs } if *of == grant && *at == session => Some(runs.clone()),
                _ => None,
            })
            .collect();
        assert_eq!(answers.len(), 1, "every grant is answered once");
        answers[0].iter().map(|(no, attempt)| lease(no.0, attempt.0)).collect()
    }

    fn started(&mut self, session: SessionId, slots: u32) -> Vec<Lease> {
        let leases = self.grant(session, slots);
        self.tell(JobEvent::Started(session, leases.clone()));
        leases
    }

    fn finishes(&mut self, session: SessionId, lease: Lease, outcome: Outcome) {
        let (worker, result) = (worker_of(session), ResultRef { offset: 0, len: 0 });
        self.tell(JobEvent::Finished { session, worker, lease, outcome, timing: Timing::default(), result });
    }

    fn claims(&mut self, session: SessionId, lease: Lease, finished: bool) -> Option<Verdict> {
        self.tell(JobEvent::Claimed { session, worker: worker_of(session), lease, finished });
        self.verdict_on(lease)
    }

    fn verdict_on(&self, lease: Lease) -> Option<Verdict> {
        self.said.iter().rev().find_map(|effect| match effect {
            JobEffect::Verdict(_, of, verdict) if *of == lease => Some(*verdict),
            _ => None,
        })
    }

    fn verb(&mut self, verb: Verb) -> u64 {
        self.wish(Wish::new(verb, "because".into()))
    }

    fn previews(&self, verb: Verb) -> Result<(VerbReply, JobView), VerbError> {
        let now = Now { mono: Instant(self.now), wall: WallTime(self.now as i64 * 1000) };
        self.job.preview(Wish::new(verb, String::new()), now)
    }

    fn wish(&mut self, wish: Wish) -> u64 {
        self.last_ticket += 1;
        self.tell(JobEvent::Verb { ticket: self.last_ticket, wish });
        self.last_ticket
    }

    fn answer(&self, ticket: u64) -> Option<Result<VerbReply, VerbError>> {
        self.said.iter().find_map(|effect| match effect {
            JobEffect::Reply(of, reply) if *of == ticket => Some(reply.clone()),
            _ => None,
        })
    }

    fn reply(&self, ticket: u64) -> VerbReply {
        self.answer(ticket).expect("the verb is answered").expect("the verb is accepted")
    }

    fn fences(&self) -> Vec<(SessionId, FenceId)> {
        let fence = |effect: &JobEffect| match effect {
            JobEffect::Fence(session, fence) => Some((*session, *fence)),
            _ => None,
        };
        self.said.iter().filter_map(fence).collect()
    }

    fn answers_fence(&mut self, session: SessionId, started: &[Lease], dropped: &[Lease]) {
        let (_, fence) = *self.fences().iter().rfind(|(of, _)| *of == session).expect("a fence was sent");
        self.tell(JobEvent::Fenced { fence, session, started: started.to_vec(), dropped: dropped.to_vec() });
    }

    fn acks(&self) -> Vec<Lease> {
        let ack = |effect: &JobEffect| if let JobEffect::Ack(_, lease) = effect { Some(*lease) } else { None };
        self.said.iter().filter_map(ack).collect()
    }

    /// Total, undispatched, running, succeeded, failed, killed.
    fn counts(&self) -> [u32; 6] {
        let counts = self.job.counts();
        [counts.total, counts.undispatched, counts.running, counts.succeeded, counts.failed, counts.killed]
    }
}
