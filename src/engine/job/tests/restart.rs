//! What a machine that is built anew finds out, and what it hands out meanwhile.

use super::*;

#[test]
fn after_a_restart_tasks_above_the_mark_go_out_at_once_and_the_others_wait_for_claims() {
    let mut story = Story::restarted(&[JobEntry::Split { total: 1000 }, JobEntry::Marked { mark: 500 }, ended(0, true)], 0, &[1, 2]);
    story.tell(JobEvent::Tick);
    story.disk_catches_up();
    let first = story.grant(S2, 2);
    assert_eq!(first, [lease(500, 1), lease(501, 1)]);
    let old = Lease { epoch: Epoch(1), ..lease(7, 3) };
    assert_eq!(story.claims(S1, old, false), Some(Verdict::Adopt));
    assert_eq!(story.counts()[2], 1);
    story.tell(JobEvent::WorkerReported(WorkerId(1), SessionId(11)));
    assert_eq!(story.grant(S1, 1), [lease(502, 1)], "w2 may still claim something");
    story.tell(JobEvent::WorkerReported(WorkerId(2), SessionId(12)));
    assert_eq!(story.grant(S1, 7).iter().map(|lease| lease.no.0).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 8]);
}

#[test]
fn the_window_ends_the_wait_for_workers_that_never_come_back() {
    let mut story = Story::restarted(&[JobEntry::Split { total: 3 }], 0, &[1]);
    assert_eq!(story.grant(S2, 3), []);
    story.tell(JobEvent::RecoveryOver);
    assert_eq!(story.grant(S2, 3).len(), 3);
}

fn failed(no: TaskNo, attempt: Attempt) -> JobEntry {
    JobEntry::AttemptFailed { no, attempt }
}

/// Before its actor failed the job may have handed a task out, several times, to a worker that is not there now.
#[test]
fn a_machine_built_anew_in_the_same_epoch_gives_no_number_of_an_attempt_again() {
    let mut story = Story::restarted(&[JobEntry::Split { total: 2 }], 0, &[]);
    story.job = story.job.after_failure(0);
    let [first, other] = story.grant(S1, 2)[..] else { panic!("two tasks") };
    assert_eq!(first.attempt, Attempt(65_537));
    // One of the tasks fails, the next goes out, and the machine fails again.
    story.job = JobMachine::new(record(9, &[JobEntry::Split { total: 2 }, failed(other.no, other.attempt)]), EPOCH, BTreeSet::new());
    story.job = story.job.after_failure(65_536);
    let again = story.grant(S1, 2);
    assert!(again.iter().all(|lease| lease.attempt > Attempt(2 * 65_536)), "{again:?}");
    let first = again[0];
    story.tell(JobEvent::Returned(S1, vec![first]));
    assert_eq!(story.grant(S1, 1)[0].attempt.0, first.attempt.0 + 1);
}

#[test]
fn a_restart_with_all_below_the_mark_done_goes_on() {
    let mut entries = vec![JobEntry::Split { total: 600 }];
    entries.extend((0..256).map(|no| ended(no, true)));
    let mut story = Story::restarted(&entries, 0, &[1]);
    story.tell(JobEvent::Tick);
    story.disk_catches_up();
    assert!(story.job.wanted() > 0, "nothing else would ever ask for a new mark");
    assert_eq!(story.grant(S1, 1), [lease(256, 1)]);
}

#[test]
fn a_job_split_after_a_restart_waits_for_no_worker() {
    let mut story = Story::restarted(&[], 0, &[1, 2]);
    story.tell(JobEvent::SplitDone(5));
    story.disk_catches_up();
    assert_eq!(story.grant(S1, 5).len(), 5, "none of its tasks was ever handed out");
}

#[test]
fn claims_after_a_restart_get_the_right_verdict() {
    let entries = [JobEntry::Split { total: 9 }, ended(0, true)];
    let mut story = Story::restarted(&entries, 0, &[1, 2]);
    assert_eq!(story.claims(S1, lease(0, 1), true), Some(Verdict::Stop), "it is final, and durable");
    assert_eq!(story.claims(S1, lease(1, 1), true), Some(Verdict::Send));
    assert_eq!(story.claims(S1, lease(2, 1), false), Some(Verdict::Adopt));
    assert_eq!(story.claims(S2, lease(2, 2), false), Some(Verdict::Stop), "it runs at w1");
    assert_eq!(story.claims(S2, lease(2, 3), true), Some(Verdict::Send), "a finished one may be the first to complete");
    assert_eq!(story.claims(S2, lease(99, 1), false), Some(Verdict::Stop), "there is no such task");
    let stop = story.verb(Verb::Kill(KillMode::Stop));
    story.disk_catches_up();
    assert!(story.reply(stop).unconfirmed.contains(&WorkerId(1)), "what w1 and w2 may run besides is not known yet");
    assert_eq!(story.claims(S2, lease(3, 1), false), Some(Verdict::Adopt));
    assert_eq!(story.said.last(), Some(&JobEffect::Stop(S2, lease(3, 1), limits::DEFAULT_GRACE)), "the job ends only after it");
    assert_eq!(story.job.state(), JobState::Finishing);
}

#[test]
fn a_refused_claim_still_uses_up_its_number() {
    let mut story = Story::restarted(&[JobEntry::Split { total: 1 }], 0, &[1, 2]);
    story.claims(S1, lease(0, 1), false);
    assert_eq!(story.claims(S2, lease(0, 2), false), Some(Verdict::Stop));
    story.tell(JobEvent::WorkerReported(WorkerId(1), SessionId(11)));
    story.tell(JobEvent::WorkerReported(WorkerId(2), SessionId(12)));
    story.finishes(S1, lease(0, 1), Outcome::Lost);
    assert_eq!(story.grant(S2, 1), [lease(0, 3)], "w2 may still be stopping its attempt 2");
}

#[test]
fn a_failure_that_was_counted_before_a_restart_is_not_counted_again() {
    let failed = JobEntry::AttemptFailed { no: TaskNo(0), attempt: Attempt(1) };
    let mut story = Story::restarted(&[JobEntry::Split { total: 1 }, failed], 1, &[1]);
    assert_eq!(story.claims(S1, lease(0, 1), true), Some(Verdict::Send));
    story.tell(JobEvent::WorkerReported(WorkerId(1), SessionId(11)));
    story.finishes(S1, lease(0, 1), FAILED);
    story.disk_catches_up();
    assert_eq!((story.counts(), story.acks()), ([1, 1, 0, 0, 0, 0], vec![lease(0, 1)]), "its retry is still to come");
    assert_eq!(story.grant(S1, 1), [lease(0, 2)]);
}

#[test]
fn a_failure_told_in_the_window_frees_no_task_that_may_run_elsewhere() {
    let mut story = Story::restarted(&[JobEntry::Split { total: 1 }], 3, &[1, 2]);
    story.claims(S1, lease(0, 1), true);
    story.tell(JobEvent::WorkerReported(WorkerId(1), SessionId(11)));
    story.finishes(S1, lease(0, 1), FAILED);
    story.disk_catches_up();
    assert_eq!(story.grant(S1, 1), [], "w2 may run attempt 2");
    assert_eq!(story.claims(S2, lease(0, 2), false), Some(Verdict::Adopt));
    story.tell(JobEvent::WorkerReported(WorkerId(2), SessionId(12)));
    assert_eq!(story.counts(), [1, 0, 1, 0, 0, 0]);
}

#[test]
fn a_kill_in_the_window_names_the_workers_that_have_not_reported() {
    let mut story = Story::restarted(&[JobEntry::Split { total: 300 }], 0, &[1, 2]);
    story.tell(JobEvent::WorkerReported(WorkerId(1), SessionId(11)));
    let kill = story.verb(Verb::Kill(KillMode::Finish));
    story.disk_catches_up();
    let reply = story.reply(kill);
    assert_eq!((reply.unconfirmed, reply.dropped, reply.counts.running), (vec![WorkerId(2)], 44, 256));
    assert_eq!(story.job.state(), JobState::Finishing);
    story.tell(JobEvent::RecoveryOver);
    story.disk_catches_up();
    assert_eq!((story.job.state(), story.counts()), (JobState::Killed, [300, 0, 0, 0, 0, 300]));
}

#[test]
fn a_rebuilt_machine_takes_over_what_live_sessions_hold() {
    let entries = [JobEntry::Split { total: 5 }, ended(0, true)];
    let mut story = Story::restarted(&entries, 0, &[1]);
    let kept = |no| JobEvent::Kept { session: S1, worker: WorkerId(1), lease: lease(no, 1) };
    assert_eq!(story.claims(S1, lease(1, 1), false), Some(Verdict::Adopt));
    story.tell(kept(2));
    story.tell(kept(0));
    assert!(story.said.contains(&JobEffect::Stop(S1, lease(0, 1), limits::DEFAULT_GRACE)), "it is final: nobody wants it");
    story.tell(JobEvent::WorkerReported(WorkerId(1), SessionId(11)));
    assert_eq!(story.counts(), [5, 3, 1, 1, 0, 0]);
    let kill = story.verb(Verb::Kill(KillMode::Finish));
    story.disk_catches_up();
    assert_eq!(story.answer(kill), None, "task 2 may not have started: the fence decides");
    story.answers_fence(S1, &[lease(1, 1)], &[lease(2, 1)]);
    assert_eq!((story.reply(kill).dropped, story.reply(kill).counts.running), (3, 1));
}

/// A verb came before the session could say what it has sent: it may start any moment.
#[test]
fn what_a_session_tells_after_a_kill_is_fenced_before_the_reply() {
    let mut story = Story::restarted(&[JobEntry::Split { total: 5 }], 0, &[1]);
    let kill = story.verb(Verb::Kill(KillMode::Finish));
    story.tell(JobEvent::Kept { session: S1, worker: WorkerId(1), lease: lease(2, 1) });
    story.tell(JobEvent::WorkerReported(WorkerId(1), S1));
    story.disk_catches_up();
    assert_eq!(story.answer(kill), None, "task 2 may yet start");
    story.answers_fence(S1, &[], &[lease(2, 1)]);
    let reply = story.reply(kill);
    assert_eq!((reply.dropped, reply.counts.running, reply.unconfirmed.len()), (5, 0, 0));
}

/// The task ended elsewhere while the job's actor was built anew: nobody wants this attempt, and it may start all the same.
#[test]
fn what_is_kept_of_a_task_that_has_ended_is_fenced_too() {
    let mut story = Story::restarted(&[JobEntry::Split { total: 5 }, ended(2, true)], 0, &[1]);
    story.tell(JobEvent::Kept { session: S1, worker: WorkerId(1), lease: lease(2, 2) });
    story.tell(JobEvent::WorkerReported(WorkerId(1), S1));
    let kill = story.verb(Verb::Kill(KillMode::Finish));
    story.disk_catches_up();
    assert_eq!(story.answer(kill), None, "the proxy has reported, not the worker");
    story.answers_fence(S1, &[], &[lease(2, 2)]);
    assert_eq!(story.reply(kill).dropped, 4);
}

#[test]
fn an_answer_to_a_fence_of_the_machine_before_is_no_answer_to_ours() {
    let fence_of = |now: u64| {
        let mut story = Story::of(3);
        story.now = now;
        story.grant(S1, 1);
        story.verb(Verb::Pause);
        story.fences()[0].1
    };
    assert_ne!(fence_of(20_000), fence_of(20_001));
}
