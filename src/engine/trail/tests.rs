//! The ways of tasks, told as stories: a machine, whoever follows it, and the head's clock in milliseconds.

use std::time::Duration;

use super::*;
use crate::domain::testing::{job_spec, submitted};
use crate::domain::verb::{KillMode, Wish};
use crate::domain::{Epoch, GrantId, Instant, JobId, Policy, ResultRef, Timing};

const S1: SessionId = SessionId(1);
const S2: SessionId = SessionId(2);
const W1: WorkerId = WorkerId(1);
const W2: WorkerId = WorkerId(2);
const FAILED: Outcome = Outcome::Exited { code: 3 };
const DONE: Outcome = Outcome::Exited { code: 0 };

/// A machine that is followed.
struct Story {
    job: JobMachine,
    trail: Trail,
    now: u64,
    seq: u64,
    grants: u64,
    spans: Vec<Span>,
}

fn record(retries: u32, entries: &[JobEntry]) -> JobRecord {
    let mut record = JobRecord::new(submitted(7));
    let policy = Policy { retry_delay: Duration::from_millis(500), ..Policy::default() };
    record.spec = Arc::new(JobSpec { retries, policy, ..job_spec() });
    entries.iter().for_each(|entry| record.apply(entry));
    record
}

fn lease(no: u32, attempt: u32) -> Lease {
    Lease { job: JobId(7), no: TaskNo(no), attempt: Attempt(attempt), epoch: Epoch(2) }
}

impl Story {
    /// Two tasks that can go at 10.
    fn new(retries: u32) -> Self {
        let mut story = Self::of(record(retries, &[]), 5);
        story.tell(JobEvent::SplitDone(2));
        story.at(10).disk_catches_up();
        story
    }

    fn of(record: JobRecord, now: u64) -> Self {
        let trail = Trail::new(&record, Share::ALL);
        let job = JobMachine::new(record, Epoch(2), [W1].into());
        Self { job, trail, now, seq: 0, grants: 0, spans: Vec::new() }
    }

    fn at(&mut self, now: u64) -> &mut Self {
        self.now = now;
        self
    }

    fn tell(&mut self, event: JobEvent) -> &mut Self {
        let now = Now { mono: Instant(self.now), wall: WallTime(self.now as i64 * 1000) };
        self.trail.hears(&event, now);
        let effects = self.job.on_event(event, now);
        self.trail.sees(&effects, &self.job, now);
        for effect in effects {
            if let JobEffect::Persist(seq, _) = effect {
                self.seq = seq;
            }
        }
        self.spans.extend(self.trail.take());
        self
    }

    fn disk_catches_up(&mut self) -> &mut Self {
        for _ in 0..3 {
            self.tell(JobEvent::Durable(self.seq));
        }
        self
    }

    fn grant(&mut self, session: SessionId, worker: WorkerId) -> &mut Self {
        self.grants += 1;
        self.tell(JobEvent::Granted { grant: GrantId(self.grants), session, worker, slots: 1 })
    }

    /// Its process ran so long, by a worker whose clock is an hour ahead.
    fn finished(&mut self, session: SessionId, lease: Lease, outcome: Outcome, millis: i64) -> &mut Self {
        let ended = WallTime(3_600_000_000);
        let timing = Timing { started: WallTime(ended.0 - millis * 1000), ended };
        let result = ResultRef { offset: 0, len: 0 };
        self.tell(JobEvent::Finished { session, worker: W1, lease, outcome, timing, result })
    }

    /// Of one task: what, in which attempt, from when to when; `!` is a failure, `~` what was stopped. Parents and ids are right.
    fn way(&self, no: u64) -> Vec<String> {
        let spans: Vec<&Span> = self.spans.iter().filter(|span| span.index == no).collect();
        let root = self.trail.origin.ids(TaskNo(no as u32), Attempt(0)).task();
        for span in &spans {
            let parent = spans.iter().find(|other| Some(other.id) == span.parent && other.trace == span.trace);
            match span.step {
                Step::Task => assert_eq!((span.parent, span.id), (None, root)),
                Step::Waiting | Step::Attempt => assert_eq!(span.parent, Some(root)),
                Step::Sent | Step::Running | Step::Result => {
                    let parent = parent.expect("its attempt");
                    assert!(parent.step == Step::Attempt && parent.tried == span.tried && span.tried.is_some());
                    assert!(parent.from <= span.from && span.to <= parent.to, "{span:?} in {parent:?}");
                }
            }
            assert_eq!(spans.iter().filter(|other| (other.trace, other.id) == (span.trace, span.id)).count(), 1, "{span:?}");
            assert!(span.from <= span.to);
        }
        let mark = |span: &Span| match span.has_failed() {
            true => "!",
            false if span.outcome == Some(Outcome::Revoked) => "~",
            false => "",
        };
        let tried = |span: &Span| span.tried.map(|(attempt, worker)| format!(" {}@{}", attempt.0, worker.0)).unwrap_or_default();
        let text = |span: &&Span| {
            let (from, to) = (span.from.0 / 1000, span.to.0 / 1000);
            format!("{}{}{} {from}-{to}", span.step.name(), mark(span), tried(span))
        };
        spans.iter().map(text).collect()
    }
}

#[test]
fn a_task_that_succeeds() {
    let mut story = Story::new(0);
    story.at(30).grant(S1, W1).at(40).tell(JobEvent::Started(S1, vec![lease(0, 1)]));
    story.at(145).finished(S1, lease(0, 1), DONE, 100);
    assert_eq!(story.way(0), [""; 0], "its end is not durable yet");
    story.at(150).disk_catches_up();
    let way = ["waiting 10-30", "sent 1@1 30-40", "running 1@1 40-140", "result 1@1 140-150", "attempt 1@1 30-150", "task 0-150"];
    assert_eq!(story.way(0), way);
    assert_eq!(story.way(1), [""; 0], "it waits");
}

#[test]
fn word_of_a_start_that_comes_with_that_of_the_end_does_not_count() {
    let mut story = Story::new(0);
    story.at(30).grant(S1, W1).at(50).tell(JobEvent::Started(S1, vec![lease(0, 1)])).finished(S1, lease(0, 1), DONE, 8);
    story.at(51).disk_catches_up();
    assert_eq!(story.way(0)[1..4], ["sent 1@1 30-42", "running 1@1 42-50", "result 1@1 50-51"]);
    // A worker whose clock was set measured nothing; what the head heard is true.
    story.at(60).grant(S1, W1).at(70).tell(JobEvent::Started(S1, vec![lease(1, 1)])).at(80).finished(S1, lease(1, 1), DONE, 9000);
    story.at(81).disk_catches_up();
    assert_eq!(story.way(1)[1..4], ["sent 1@1 60-70", "running 1@1 70-80", "result 1@1 80-81"]);
}

#[test]
fn a_task_that_fails_waits_for_its_next_try() {
    let mut story = Story::new(1);
    story.at(30).grant(S1, W1).tell(JobEvent::Started(S1, vec![lease(0, 1)])).at(50).finished(S1, lease(0, 1), FAILED, 20);
    story.at(60).disk_catches_up();
    let first = ["waiting 10-30", "sent 1@1 30-30", "running! 1@1 30-50", "result 1@1 50-60", "attempt! 1@1 30-60"];
    assert_eq!(story.way(0), first);
    // The machine says when it is due: within half a second, together with others.
    story.at(610).tell(JobEvent::Tick).grant(S2, W2).at(620).tell(JobEvent::Started(S2, vec![lease(0, 2)]));
    story.at(650).finished(S2, lease(0, 2), FAILED, 30).at(660).disk_catches_up();
    let second =
        ["waiting 300-610", "sent 2@2 610-620", "running! 2@2 620-650", "result 2@2 650-660", "attempt! 2@2 610-660", "task! 0-660"];
    assert_eq!(story.way(0)[5..], second);
}

#[test]
fn a_task_that_runs_again_in_a_later_round_has_a_trace_of_its_own() {
    let mut story = Story::new(0);
    story.at(30).grant(S1, W1).at(50).finished(S1, lease(0, 1), FAILED, 10).at(60).disk_catches_up();
    let first = story.spans[0].trace;
    story.spans.clear();
    let retry = Wish::new(Verb::Retry { request: 1 }, String::new());
    story.at(100).tell(JobEvent::Verb { ticket: 1, wish: retry }).at(105).disk_catches_up().at(110).grant(S1, W1);
    story.at(130).finished(S1, lease(0, 2), DONE, 10).at(140).disk_catches_up();
    let way = ["waiting 100-110", "sent 2@1 110-120", "running 2@1 120-130", "result 2@1 130-140", "attempt 2@1 110-140", "task 100-140"];
    assert_eq!(story.way(0), way);
    assert_ne!(story.spans[0].trace, first);
}

#[test]
fn a_task_that_is_given_back_has_waited_all_the_time() {
    let mut story = Story::new(0);
    story.at(30).grant(S1, W1).at(40).tell(JobEvent::Returned(S1, vec![lease(0, 1)])).at(50).grant(S2, W2);
    story.at(70).finished(S2, lease(0, 2), DONE, 10).at(80).disk_catches_up();
    assert_eq!(story.way(0)[..2], ["waiting 10-50", "sent 2@2 50-60"]);
    assert_eq!(story.way(0).last().unwrap(), "task 0-80");
}

#[test]
fn a_task_is_killed_while_it_runs_and_one_that_waits_has_no_trace() {
    let mut story = Story::new(0);
    story.at(30).grant(S1, W1).at(40).tell(JobEvent::Started(S1, vec![lease(0, 1)]));
    let kill = Wish::new(Verb::Kill(KillMode::Stop), String::new());
    story.at(60).tell(JobEvent::Verb { ticket: 1, wish: kill }).disk_catches_up();
    story.at(80).finished(S1, lease(0, 1), Outcome::Revoked, 35).disk_catches_up();
    let way = ["waiting 10-30", "sent 1@1 30-40", "running~ 1@1 40-75", "result 1@1 75-80", "attempt~ 1@1 30-80", "task~ 0-80"];
    assert_eq!(story.way(0), way);
    assert_eq!(story.way(1), [""; 0]);
}

#[test]
fn a_task_that_had_failed_once_is_killed_before_its_next_try() {
    let mut story = Story::new(1);
    story.at(30).grant(S1, W1).at(50).finished(S1, lease(0, 1), FAILED, 10).at(60).disk_catches_up();
    let kill = Wish::new(Verb::Kill(KillMode::Stop), String::new());
    story.at(70).tell(JobEvent::Verb { ticket: 1, wish: kill }).at(80).disk_catches_up();
    assert_eq!(story.way(0).last().unwrap(), "task~ 0-80");
}

#[test]
fn a_task_goes_down_with_its_worker_and_runs_elsewhere() {
    let mut story = Story::new(0);
    story.at(30).grant(S1, W1).at(40).tell(JobEvent::Started(S1, vec![lease(0, 1)]));
    story.at(100).tell(JobEvent::SessionLost(S1, Instant(90)));
    let gone = 90 + limits::STARTED_GONE_AFTER.as_millis() as u64;
    story.at(gone).tell(JobEvent::Tick);
    assert_eq!(story.way(0), ["waiting 10-30", "sent 1@1 30-40", &format!("attempt! 1@1 30-{gone}")], "nobody knows how long it ran");
    story.at(5000).grant(S2, W2).tell(JobEvent::Started(S2, vec![lease(0, 2)])).at(5020).finished(S2, lease(0, 2), DONE, 20);
    story.at(5021).disk_catches_up();
    assert_eq!((&*story.way(0)[3], &**story.way(0).last().unwrap()), (&*format!("waiting {gone}-5000"), "task 0-5021"));
}

#[test]
fn a_lost_attempt_that_is_first_after_all_ends_its_task() {
    let mut story = Story::new(0);
    story.at(30).grant(S1, W1).at(40).tell(JobEvent::Started(S1, vec![lease(0, 1)]));
    story.at(100).tell(JobEvent::SessionLost(S1, Instant(90))).at(4090).tell(JobEvent::Tick).at(5000).grant(S2, W2);
    story.at(5100).finished(SessionId(3), lease(0, 1), DONE, 5000).at(5110).disk_catches_up();
    assert_eq!(story.way(0)[3..], ["waiting 4090-5000", "attempt~ 2@2 5000-5100", "task 0-5110"]);
}

#[test]
fn a_result_that_waited_for_its_workers_return_ended_nobody_knows_when() {
    let mut story = Story::new(0);
    story.at(30).grant(S1, W1).at(40).tell(JobEvent::Started(S1, vec![lease(0, 1)]));
    story.at(100).tell(JobEvent::SessionLost(S1, Instant(90)));
    let (session, worker) = (SessionId(11), W1);
    story.at(3000).tell(JobEvent::Claimed { session, worker, lease: lease(0, 1), finished: true });
    story.finished(session, lease(0, 1), DONE, 200).at(3010).disk_catches_up();
    assert_eq!(story.way(0), ["waiting 10-30", "sent 1@1 30-40", "attempt 1@1 30-3010", "task 0-3010"]);
}

#[test]
fn a_task_is_adopted_by_a_head_that_has_started_again() {
    let entries = [JobEntry::Split { total: 2 }, JobEntry::Marked { mark: 2 }];
    let mut story = Story::of(record(0, &entries), 1000);
    let (session, worker) = (S1, W1);
    for (no, finished) in [(0, false), (1, true)] {
        story.tell(JobEvent::Claimed { session, worker, lease: lease(no, 1), finished });
    }
    story.at(1500).finished(S1, lease(0, 1), DONE, 900).finished(S1, lease(1, 1), FAILED, 100).at(1510).disk_catches_up();
    // When it was sent is not known, but when it had ended is.
    assert_eq!(story.way(0), ["running 1@1 600-1500", "result 1@1 1500-1510", "attempt 1@1 600-1510", "task 0-1510"]);
    assert_eq!(story.way(1), ["attempt! 1@1 1000-1510", "task! 0-1510"]);
    let before = Story::new(0);
    assert_eq!(story.spans[0].trace, before.trail.origin.ids(TaskNo(0), Attempt(0)).trace, "it is the trace that it had");
}

#[test]
fn only_a_share_is_followed_and_nothing_stays_behind() {
    let mut story = Story::of(record(0, &[]), 5);
    story.trail.share = "0.5".parse().unwrap();
    story.tell(JobEvent::SplitDone(200)).at(10).disk_catches_up();
    for no in 0..200 {
        story.grant(S1, W1).tell(JobEvent::Started(S1, vec![lease(no, 1)])).finished(S1, lease(no, 1), DONE, 0);
    }
    story.disk_catches_up();
    let tasks = story.spans.iter().filter(|span| span.step == Step::Task).count();
    assert!((60..140).contains(&tasks), "{tasks}");
    assert_eq!(story.spans.len(), tasks * 6);
    let Trail { due, out, ending, finished, spans, .. } = &story.trail;
    assert!(due.is_empty() && out.is_empty() && ending.is_empty() && finished.is_none() && spans.is_empty());
}

#[test]
fn what_its_worker_could_not_run_waits_again() {
    let mut story = Story::new(0);
    story.at(30).grant(S1, W1).at(40).finished(S1, lease(0, 1), Outcome::Lost, 0);
    assert_eq!(story.way(0), ["waiting 10-30", "attempt! 1@1 30-40"]);
    story.at(50).grant(S2, W2);
    story.at(70).finished(S2, lease(0, 2), DONE, 10).at(80).disk_catches_up();
    assert_eq!(story.way(0)[2], "waiting 40-50");
    assert_eq!(story.job.check(), Ok(()));
}
