//! From the first hand-out to the last result.

use std::time::Duration;

use super::*;

#[test]
fn counts_add_up_from_the_first_task_to_the_last() {
    let mut story = Story::of(4);
    assert_eq!(story.counts(), [4, 4, 0, 0, 0, 0]);
    let leases = story.grant(S1, 3);
    assert_eq!(story.counts(), [4, 4, 0, 0, 0, 0], "sent is not started");
    story.tell(JobEvent::Started(S1, leases.clone()));
    assert_eq!(story.counts(), [4, 1, 3, 0, 0, 0]);
    assert_eq!(story.job.state(), JobState::Running);
    story.finishes(S1, leases[0], DONE);
    story.finishes(S1, leases[1], FAILED);
    story.finishes(S1, leases[2], DONE);
    assert_eq!(story.counts(), [4, 1, 0, 2, 1, 0]);
    assert_eq!(story.job.state(), JobState::Waiting);
    let last = story.started(S2, 5);
    assert_eq!(last.len(), 1, "no more than there are");
    story.finishes(S2, last[0], DONE);
    assert_eq!(story.job.state(), JobState::Finishing, "not ended before its end is durable");
    story.disk_catches_up();
    assert_eq!((story.job.state(), story.counts()), (JobState::Failed, [4, 0, 0, 3, 1, 0]));
    assert!(story.said.contains(&JobEffect::Ended(JobState::Failed)));
}

#[test]
fn a_result_is_acknowledged_only_once_it_is_durable() {
    let mut story = Story::of(2);
    let leases = story.started(S1, 1);
    story.finishes(S1, leases[0], DONE);
    assert_eq!(story.acks(), []);
    story.disk_catches_up();
    assert_eq!(story.acks(), leases);
}

#[test]
fn a_repeated_result_is_acknowledged_and_counts_once() {
    let mut story = Story::of(2);
    let leases = story.started(S1, 1);
    story.finishes(S1, leases[0], DONE);
    story.finishes(S1, leases[0], DONE);
    assert_eq!(story.acks(), [], "the first is not durable yet, and the second says nothing new");
    story.disk_catches_up();
    assert_eq!((story.acks().len(), story.counts()), (2, [2, 1, 0, 1, 0, 0]));
}

#[test]
fn a_failed_attempt_is_tried_again_as_often_as_was_asked_for() {
    let mut story = Story::with_retries(1, 2);
    for attempt in 1..=3 {
        let leases = story.started(S1, 1);
        assert_eq!(leases, [lease(0, attempt)]);
        story.finishes(S1, leases[0], FAILED);
    }
    story.disk_catches_up();
    assert_eq!((story.job.state(), story.counts()), (JobState::Failed, [1, 0, 0, 0, 1, 0]));
}

#[test]
fn lost_and_declined_attempts_cost_no_retry() {
    let mut story = Story::of(1);
    let leases = story.grant(S1, 1);
    story.tell(JobEvent::Returned(S1, leases));
    let leases = story.started(S1, 1);
    story.finishes(S1, leases[0], Outcome::Lost);
    let leases = story.started(S1, 1);
    assert_eq!(leases, [lease(0, 3)]);
    story.finishes(S1, leases[0], DONE);
    story.disk_catches_up();
    assert_eq!(story.job.state(), JobState::Succeeded);
}

#[test]
fn the_first_completion_wins_even_of_an_attempt_given_up() {
    let mut story = Story::of(1);
    let first = story.started(S1, 1);
    story.loses(S1);
    story.after(limits::STARTED_GONE_AFTER);
    let second = story.started(S2, 1);
    assert_eq!(second, [lease(0, 2)]);
    story.finishes(SessionId(11), first[0], DONE);
    assert!(story.said.contains(&JobEffect::Stop(S2, second[0], limits::DEFAULT_GRACE)), "the other is not wanted any more");
    story.finishes(S2, second[0], DONE);
    story.disk_catches_up();
    assert_eq!((story.counts(), story.acks().len()), ([1, 0, 0, 1, 0, 0], 2));
    let ends = story.said.iter().filter(|effect| matches!(effect, JobEffect::Persist(_, JobEntry::TaskEnded(_)))).count();
    assert_eq!(ends, 1);
}

#[test]
fn a_late_failure_of_an_old_attempt_changes_nothing() {
    let mut story = Story::of(1);
    let first = story.started(S1, 1);
    story.loses(S1);
    story.after(limits::STARTED_GONE_AFTER);
    let second = story.started(S2, 1);
    story.finishes(SessionId(11), first[0], FAILED);
    assert_eq!(story.counts(), [1, 0, 1, 0, 0, 0]);
    story.tell(JobEvent::Returned(S1, first.clone()));
    story.tell(JobEvent::Started(S1, first));
    story.finishes(S2, second[0], DONE);
    story.disk_catches_up();
    assert_eq!(story.job.state(), JobState::Succeeded);
}

#[test]
fn a_short_cut_of_the_connection_runs_nothing_twice() {
    let mut story = Story::of(3);
    let running = story.started(S1, 1);
    let sent = story.grant(S1, 1);
    story.loses(S1);
    assert_eq!(story.counts(), [3, 2, 1, 0, 0, 0], "what had started still counts as running");
    assert_eq!(story.grant(S2, 5), [lease(2, 1)], "and is not given to another");
    let back = SessionId(11);
    assert_eq!(story.claims(back, running[0], false), Some(Verdict::Adopt));
    story.tell(JobEvent::WorkerReported(WorkerId(1), SessionId(11)));
    assert_eq!(story.grant(S2, 5), [Lease { attempt: Attempt(2), ..sent[0] }], "what the worker does not hold waits again");
    story.finishes(back, running[0], DONE);
    assert_eq!(story.counts(), [3, 2, 0, 1, 0, 0]);
}

#[test]
fn what_a_worker_has_claimed_is_not_taken_for_gone_when_its_session_is_lost_before_the_report_ends() {
    let mut story = Story::of(1);
    let running = story.started(S1, 1);
    story.loses(S1);
    let back = SessionId(11);
    story.claims(back, running[0], false);
    story.loses(back);
    story.tell(JobEvent::WorkerReported(WorkerId(1), back));
    assert_eq!(story.grant(S2, 1), []);
    story.after(limits::STARTED_GONE_AFTER);
    assert_eq!(story.grant(S2, 1), [lease(0, 2)]);
}

#[test]
fn what_had_started_at_a_lost_worker_is_soon_back_and_what_was_sent_when_its_lease_is_over() {
    let mut story = Story::of(3);
    story.started(S1, 1);
    let sent = story.grant(S1, 2);
    story.loses(S1);
    // News that crossed the loss.
    story.tell(JobEvent::Started(S1, sent[..1].to_vec()));
    assert_eq!(story.counts(), [3, 1, 2, 0, 0, 0]);
    story.after(limits::STARTED_GONE_AFTER - Duration::from_millis(1));
    assert_eq!(story.grant(S2, 5), []);
    story.after(Duration::from_millis(1));
    assert_eq!(story.grant(S2, 5), [lease(0, 2), lease(1, 2)]);
    story.after(limits::SENT_GONE_AFTER - limits::STARTED_GONE_AFTER - Duration::from_millis(1));
    assert_eq!(story.grant(S2, 5), [], "the worker may yet start it");
    story.after(Duration::from_millis(1));
    assert_eq!(story.grant(S2, 5), [lease(2, 2)]);
}

#[test]
fn a_worker_given_up_for_its_silence_has_nothing_left() {
    let mut story = Story::of(2);
    story.started(S1, 1);
    story.grant(S1, 1);
    let heard = Instant(story.now);
    story.after(limits::WORKER_SILENT_AFTER);
    story.tell(JobEvent::SessionLost(S1, heard));
    assert_eq!(story.grant(S2, 5), [lease(0, 2), lease(1, 2)]);
}

#[test]
fn a_killed_job_waits_longer_for_what_runs_behind_a_broken_connection() {
    let mut story = Story::of(1);
    let running = story.started(S1, 1);
    story.loses(S1);
    story.verb(Verb::Kill(KillMode::Finish));
    story.after(limits::STARTED_GONE_AFTER);
    assert_eq!(story.job.state(), JobState::Finishing);
    assert_eq!(story.claims(SessionId(11), running[0], false), Some(Verdict::Adopt));
    story.finishes(SessionId(11), running[0], DONE);
    story.disk_catches_up();
    assert_eq!((story.job.state(), story.counts()), (JobState::Killed, [1, 0, 0, 1, 0, 0]));
}

#[test]
fn nothing_goes_out_above_the_durable_mark() {
    let mut story = Story::of(2000);
    let mut out = 0;
    for _ in 0..40 {
        out += story.grant(S1, 50).len();
        assert!(out <= 256, "the next mark is not durable");
    }
    assert_eq!(out, 256);
    story.disk_catches_up();
    while story.job.wanted() > 0 {
        out += story.grant(S1, 50).len();
        story.disk_catches_up();
    }
    assert_eq!(out, 2000);
    let marks = story.said.iter().filter(|effect| matches!(effect, JobEffect::Persist(_, JobEntry::Marked { .. }))).count();
    assert!(marks < 6, "the reservation grows with the speed: {marks} marks");
}

#[test]
fn news_of_a_split_that_comes_too_late_changes_nothing() {
    let mut story = Story::of(3);
    let leases = story.started(S1, 1);
    story.tell(JobEvent::SplitFailed("no such file".into()));
    assert_eq!(story.job.state(), JobState::Running);
    story.finishes(S1, leases[0], DONE);
    let mut killed = Story::new(record(0, &[]), &[]);
    let kill = killed.verb(Verb::Kill(KillMode::Finish));
    killed.tell(JobEvent::SplitDone(5));
    killed.disk_catches_up();
    assert_eq!((killed.job.state(), killed.counts()[0], killed.reply(kill).dropped), (JobState::Killed, 0, 0));
    let mut broken = Story::new(record(0, &[]), &[]);
    broken.tell(JobEvent::SplitFailed("no such file".into()));
    broken.tell(JobEvent::SplitDone(5));
    broken.disk_catches_up();
    assert_eq!((broken.job.state(), broken.job.view().note.as_str()), (JobState::Failed, "no such file"));
}

#[test]
fn an_empty_data_set_succeeds_at_once() {
    let story = Story::of(0);
    assert_eq!(story.job.state(), JobState::Succeeded);
}
