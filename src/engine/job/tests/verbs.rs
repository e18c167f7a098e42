//! Kill, pause, resume: what a reply promises.

use super::*;

#[test]
fn a_kill_answers_only_after_the_fence_and_the_disk() {
    for disk_first in [true, false] {
        let mut story = Story::of(10);
        let leases = story.grant(S1, 3);
        story.tell(JobEvent::Started(S1, leases[..1].to_vec()));
        let kill = story.verb(Verb::Kill(KillMode::Finish));
        assert_eq!(story.grant(S2, 5), [], "the queue is empty at once");
        if disk_first {
            story.disk_catches_up();
            assert_eq!(story.answer(kill), None, "the fence is out");
            story.answers_fence(S1, &leases[..2], &leases[2..]);
        } else {
            story.answers_fence(S1, &leases[..2], &leases[2..]);
            assert_eq!(story.answer(kill), None, "the disk is out");
            story.disk_catches_up();
        }
        let reply = story.reply(kill);
        assert_eq!((reply.dropped, reply.counts.running, reply.changed), (8, 2, true));
        assert_eq!((reply.state, reply.unconfirmed.len()), (JobState::Finishing, 0));
        story.finishes(S1, leases[0], DONE);
        story.finishes(S1, leases[1], FAILED);
        story.disk_catches_up();
        assert_eq!((story.job.state(), story.counts()), (JobState::Killed, [10, 0, 0, 1, 1, 8]));
    }
}

#[test]
fn a_silent_worker_is_named_and_its_tasks_count_as_running() {
    let mut story = Story::of(10);
    let leases = story.grant(S1, 2);
    story.grant(S2, 1);
    let kill = story.verb(Verb::Kill(KillMode::Finish));
    story.disk_catches_up();
    story.answers_fence(S2, &[], &[lease(2, 1)]);
    story.after(limits::FENCE_TIMEOUT - std::time::Duration::from_millis(1));
    assert_eq!(story.answer(kill), None);
    story.after(std::time::Duration::from_millis(1));
    let reply = story.reply(kill);
    assert_eq!((reply.unconfirmed, reply.dropped, reply.counts.running), (vec![WorkerId(1)], 8, 2));
    // A late answer settles them, and the job ends.
    story.answers_fence(S1, &[], &leases);
    story.disk_catches_up();
    assert_eq!((story.job.state(), story.counts()), (JobState::Killed, [10, 0, 0, 0, 0, 10]));
}

/// A success of an attempt that was given up for lost makes another one superfluous, which was sent and may yet start.
#[test]
fn a_kill_also_waits_for_an_attempt_whose_task_has_ended_elsewhere() {
    let strayed = || {
        let mut story = Story::of(2);
        let [first, other] = story.grant(S1, 2)[..] else { panic!("two tasks") };
        story.tell(JobEvent::Started(S1, vec![first, other]));
        story.loses(S1);
        story.after(limits::STARTED_GONE_AFTER);
        assert_eq!(story.grant(S2, 1), [lease(0, 2)]);
        story.finishes(SessionId(11), first, DONE);
        story.disk_catches_up();
        story
    };
    let mut story = strayed();
    let kill = story.verb(Verb::Kill(KillMode::Finish));
    story.disk_catches_up();
    assert_eq!(story.answer(kill), None, "w2 may yet start its attempt of task 0");
    story.answers_fence(S2, &[], &[lease(0, 2)]);
    assert_eq!((story.reply(kill).dropped, story.reply(kill).unconfirmed.len()), (1, 0));

    let mut story = strayed();
    story.loses(S2);
    let kill = story.verb(Verb::Pause);
    story.disk_catches_up();
    assert_eq!(story.reply(kill).unconfirmed, [WorkerId(2)]);
    story.after(limits::SENT_GONE_AFTER);
    let kill = story.verb(Verb::Kill(KillMode::Finish));
    story.disk_catches_up();
    assert_eq!(story.reply(kill).unconfirmed, []);
}

/// Nobody answers for a job that has ended: a verb that still waits for a fence is answered before, and names the worker.
#[test]
fn a_verb_that_waits_is_answered_when_the_job_ends() {
    let mut story = Story::of(1);
    let first = story.gives_up();
    let pause = story.verb(Verb::Pause);
    story.disk_catches_up();
    assert_eq!(story.answer(pause), None, "the fence is out");
    story.finishes(SessionId(11), first, DONE);
    story.disk_catches_up();
    assert_eq!((story.reply(pause).unconfirmed, story.job.state()), (vec![WorkerId(2)], JobState::Succeeded));
}

#[test]
fn a_pause_waits_for_the_fence_and_what_was_dropped_waits_again() {
    let mut story = Story::of(5);
    let leases = story.grant(S1, 2);
    let pause = story.verb(Verb::Pause);
    story.disk_catches_up();
    assert_eq!((story.answer(pause), story.grant(S1, 1)), (None, vec![]));
    story.answers_fence(S1, &leases[..1], &leases[1..]);
    let reply = story.reply(pause);
    assert_eq!((reply.held, reply.dropped, reply.counts.undispatched, reply.counts.running), (true, 0, 4, 1));
    let resume = story.verb(Verb::Resume);
    assert_eq!(story.grant(S2, 1), [lease(1, 2)], "another attempt, since the first may still be on its way back");
    story.disk_catches_up();
    assert!(!story.reply(resume).held);
    assert_eq!(story.job.record().failures.len(), 0, "a dropped task has used up no retry");
}

#[test]
fn a_fence_to_a_lost_session_is_waited_for_no_longer_and_its_worker_is_named() {
    let mut story = Story::of(5);
    story.grant(S1, 2);
    let pause = story.verb(Verb::Pause);
    story.disk_catches_up();
    story.loses(S1);
    let reply = story.reply(pause);
    assert_eq!((reply.unconfirmed, reply.counts.running, reply.counts.undispatched), (vec![WorkerId(1)], 2, 3));
    // It comes back without them: they never started.
    story.tell(JobEvent::WorkerReported(WorkerId(1), SessionId(11)));
    assert_eq!(story.counts(), [5, 5, 0, 0, 0, 0]);
}

#[test]
fn a_later_verb_supersedes_a_pending_one_whose_reply_says_so() {
    let mut story = Story::of(5);
    story.grant(S1, 2);
    let pause = story.verb(Verb::Pause);
    let resume = story.verb(Verb::Resume);
    story.disk_catches_up();
    assert_eq!(story.reply(pause).superseded_by, Some("resume"));
    assert_eq!((story.reply(resume).superseded_by, story.reply(resume).held), (None, false));
    let kill = story.verb(Verb::Kill(KillMode::Finish));
    let again = story.verb(Verb::Kill(KillMode::Finish));
    story.disk_catches_up();
    assert_eq!((story.reply(kill).superseded_by, story.answer(again)), (Some("kill"), None), "only the last one promises");
    story.answers_fence(S1, &[], &[lease(0, 1), lease(1, 1)]);
    assert_eq!((story.reply(again).dropped, story.reply(again).changed), (5, false));
}

#[test]
fn a_priority_supersedes_nothing_and_waits_for_no_worker() {
    let mut story = Story::of(5);
    story.grant(S1, 2);
    let pause = story.verb(Verb::Pause);
    let priority = story.verb(Verb::SetPriority(3));
    story.disk_catches_up();
    assert_eq!((story.answer(pause), story.reply(priority).changed, story.job.view().priority), (None, true, 3));
    let same = story.verb(Verb::SetPriority(3));
    assert!(!story.reply(same).changed);
}

#[test]
fn killing_twice_is_as_good_as_once_at_any_moment() {
    let mut story = Story::of(3);
    let kill = story.verb(Verb::Kill(KillMode::Finish));
    let while_ending = story.verb(Verb::Kill(KillMode::Finish));
    story.disk_catches_up();
    let after = story.verb(Verb::Kill(KillMode::Stop));
    assert!(story.answer(kill).is_some_and(|reply| reply.is_ok()));
    for ticket in [while_ending, after] {
        let reply = story.reply(ticket);
        assert_eq!((reply.changed, reply.dropped), (false, 3));
    }
    assert_eq!(story.job.state(), JobState::Killed);
}

#[test]
fn a_preview_is_the_reply_that_would_come_and_changes_nothing() {
    let mut story = Story::of(10);
    let leases = story.grant(S1, 3);
    story.tell(JobEvent::Started(S1, leases[..2].to_vec()));
    let before = format!("{:?}", story.job);
    let kill = Verb::Kill(KillMode::Finish);
    let (previewed, view) = story.previews(kill).unwrap();
    assert_eq!((previewed.changed, previewed.dropped, previewed.counts.running), (true, 8, 2));
    assert!(view.killed);
    assert_eq!(format!("{:?}", story.job), before);
    let ticket = story.verb(kill);
    story.answers_fence(S1, &[], &leases[2..]);
    story.disk_catches_up();
    assert_eq!(story.reply(ticket), previewed);
    assert!(story.previews(Verb::Pause).is_err(), "what would be refused is refused");
    assert!(!story.previews(kill).unwrap().0.changed);
}

#[test]
fn a_preview_of_a_retry_says_how_many_tasks_would_run_again() {
    let mut story = Story::of(2);
    assert!(story.previews(Verb::Retry { request: 1 }).is_err());
    let leases = story.started(S1, 2);
    story.finishes(S1, leases[0], FAILED);
    story.finishes(S1, leases[1], DONE);
    for _ in 0..2 {
        // First while its end is on the way to the disk, then after it.
        let (previewed, view) = story.previews(Verb::Retry { request: 1 }).unwrap();
        assert_eq!((previewed.retried, previewed.counts.undispatched, view.round), (1, 1, 2));
        story.disk_catches_up();
    }
    assert_eq!(story.job.state(), JobState::Failed);
}

#[test]
fn a_finished_job_refuses_every_verb() {
    let mut story = Story::of(1);
    let leases = story.started(S1, 1);
    story.finishes(S1, leases[0], DONE);
    for durable in [false, true] {
        if durable {
            story.disk_catches_up();
        }
        for verb in [Verb::Pause, Verb::Resume, Verb::Kill(KillMode::Stop), Verb::SetPriority(1), Verb::SetLimit(None)] {
            let ticket = story.verb(verb);
            assert!(matches!(story.answer(ticket), Some(Err(VerbError { .. }))), "{verb:?}");
        }
    }
    let mut killed = Story::of(1);
    killed.verb(Verb::Kill(KillMode::Finish));
    let resume = killed.verb(Verb::Resume);
    assert!(matches!(killed.answer(resume), Some(Err(_))), "a killed job can't be resumed");
}

#[test]
fn stopping_reaches_what_runs_and_what_starts_late() {
    let mut story = Story::of(3);
    let leases = story.grant(S1, 2);
    story.tell(JobEvent::Started(S1, leases[..1].to_vec()));
    story.verb(Verb::Kill(KillMode::Stop));
    let stop = |lease| JobEffect::Stop(S1, lease, limits::DEFAULT_GRACE);
    assert!(story.said.contains(&stop(leases[0])) && !story.said.contains(&stop(leases[1])));
    story.answers_fence(S1, &leases, &[]);
    assert!(story.said.contains(&stop(leases[1])));
    story.finishes(S1, leases[0], Outcome::Revoked);
    story.finishes(S1, leases[1], Outcome::Revoked);
    story.disk_catches_up();
    assert_eq!((story.job.state(), story.counts()), (JobState::Killed, [3, 0, 0, 0, 0, 3]));
}

#[test]
fn a_limit_holds_for_sent_and_running_together() {
    let mut story = Story::of(10);
    story.verb(Verb::SetLimit(Some(3)));
    let leases = story.started(S1, 2);
    assert_eq!(story.grant(S2, 5).len(), 1);
    assert_eq!(story.job.wanted(), 0);
    story.finishes(S1, leases[0], DONE);
    assert_eq!(story.job.wanted(), 1);
    story.verb(Verb::SetLimit(None));
    assert_eq!(story.job.wanted(), 7);
}
