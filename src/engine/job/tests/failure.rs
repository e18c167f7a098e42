//! Tries that wait, tasks that take workers down, jobs that give up.

use super::*;
use crate::domain::MaxFailed;
use crate::engine::Ledger;
use crate::engine::ledger::LedgerPart;

const DELAY: Duration = Duration::from_secs(10);

fn delayed(retries: u32) -> Story {
    Story::with_policy(2, retries, Policy { retry_delay: DELAY, ..Policy::default() })
}

fn giving_up(tasks: u32, max_failed: MaxFailed) -> Story {
    Story::with_policy(tasks, 0, Policy { max_failed: Some(max_failed), ..Policy::default() })
}

#[test]
fn a_failed_task_waits_before_its_next_try_and_the_others_do_not() {
    let mut story = delayed(2);
    let first = story.started(S1, 1)[0];
    story.finishes(S1, first, FAILED);
    assert_eq!((story.job.view().delayed, story.counts()), (1, [2, 2, 0, 0, 0, 0]));
    assert_eq!(story.grant(S1, 2), [lease(1, 1)]);
    story.after(DELAY / 2 - Duration::from_millis(1));
    assert_eq!(story.grant(S1, 2), [], "half of the delay is waited at least");
    story.after(DELAY / 2 + Duration::from_millis(1));
    assert_eq!(story.grant(S1, 2), [lease(0, 2)]);
    story.finishes(S1, lease(0, 2), FAILED);
    story.after(DELAY - Duration::from_millis(1));
    assert_eq!(story.grant(S1, 2), [], "twice as long after the second");
    story.after(DELAY + Duration::from_millis(1));
    assert_eq!(story.grant(S1, 2), [lease(0, 3)]);
}

#[test]
fn a_wake_comes_when_the_next_try_is_due() {
    let mut story = delayed(1);
    let first = story.started(S1, 1)[0];
    story.finishes(S1, first, FAILED);
    let wake = story.said.iter().find_map(|effect| if let JobEffect::Wake(at) = effect { Some(*at) } else { None }).unwrap();
    story.now = wake.0;
    story.tell(JobEvent::Tick);
    assert_eq!(story.grant(S1, 1), [lease(0, 2)]);
}

#[test]
fn a_late_success_ends_the_wait_for_the_next_try_and_so_does_a_kill() {
    for kill in [false, true] {
        let mut story = delayed(1);
        let first = story.started(S1, 1)[0];
        story.finishes(S1, first, FAILED);
        if kill {
            story.verb(Verb::Kill(KillMode::Finish));
            story.disk_catches_up();
            assert_eq!((story.job.state(), story.counts()), (JobState::Killed, [2, 0, 0, 0, 0, 2]));
        } else {
            story.finishes(S1, first, DONE);
            assert_eq!(story.counts(), [2, 1, 0, 1, 0, 0]);
        }
        story.after(2 * DELAY);
        assert!(!story.grant(S1, 2).contains(&lease(0, 2)));
    }
}

#[test]
fn only_named_exit_codes_are_tried_again() {
    let policy = Policy { retry_on: [75].into(), retry_delay: Duration::ZERO, ..Policy::default() };
    let mut story = Story::with_policy(2, 5, policy);
    let leases = story.started(S1, 2);
    story.finishes(S1, leases[0], Outcome::Exited { code: 75 });
    story.finishes(S1, leases[1], FAILED);
    assert_eq!(story.counts(), [2, 1, 0, 0, 1, 0]);
    assert_eq!(story.grant(S1, 2), [lease(0, 2)]);
}

/// Task 0 goes down with w1, again and again.
fn goes_down(story: &mut Story, times: u32) {
    for time in 0..times {
        let session = SessionId(u64::from(time) * 10 + 1);
        let leases = story.started(session, 1);
        assert_eq!(leases.len(), 1);
        story.loses(session);
        story.after(limits::STARTED_GONE_AFTER);
    }
}

fn asked_for_its_record(story: &Story) -> bool {
    story.said.iter().any(|effect| matches!(effect, JobEffect::Poison { no: TaskNo(0), workers: limits::POISON_LOSSES, .. }))
}

#[test]
fn a_task_that_takes_five_workers_down_fails() {
    let mut story = Story::of(1);
    goes_down(&mut story, limits::POISON_LOSSES - 1);
    assert!(!asked_for_its_record(&story));
    goes_down(&mut story, 1);
    assert!(asked_for_its_record(&story));
    assert_eq!((story.grant(S2, 1), story.counts()), (vec![], [1, 1, 0, 0, 0, 0]));
    story.tell(JobEvent::Poisoned { no: TaskNo(0), result: ResultRef { offset: 0, len: 0 } });
    story.disk_catches_up();
    assert_eq!((story.job.state(), story.counts()), (JobState::Failed, [1, 0, 0, 0, 1, 0]));
    let failed = JobEffect::TaskFailed(TaskNo(0), Outcome::Poison { workers: limits::POISON_LOSSES });
    assert!(story.said.contains(&failed));
    let retry = story.verb(Verb::Retry { request: 1 });
    story.disk_catches_up();
    assert_eq!((story.reply(retry).retried, story.grant(S2, 1)), (1, vec![lease(0, limits::POISON_LOSSES + 1)]));
}

#[test]
fn what_a_restarted_head_knows_of_a_poisonous_task_it_acts_on() {
    let mut story = Story::of(1);
    goes_down(&mut story, limits::POISON_LOSSES);
    let mut again = Story::new(story.job.record().clone(), &[]);
    assert_eq!(again.grant(S2, 1), []);
    again.tell(JobEvent::Tick);
    assert!(asked_for_its_record(&again));
    again.tell(JobEvent::Tick);
    assert_eq!(again.said.iter().filter(|effect| matches!(effect, JobEffect::Poison { .. })).count(), 1, "once");
}

#[test]
fn a_poisonous_task_that_was_done_all_the_same_is_done() {
    let mut story = Story::of(1);
    goes_down(&mut story, limits::POISON_LOSSES);
    story.finishes(S1, lease(0, 1), DONE);
    story.tell(JobEvent::Poisoned { no: TaskNo(0), result: ResultRef { offset: 0, len: 0 } });
    story.disk_catches_up();
    assert_eq!((story.job.state(), story.counts()), (JobState::Succeeded, [1, 0, 0, 1, 0, 0]));
}

#[test]
fn a_line_that_breaks_again_and_again_is_no_poison() {
    let mut story = Story::of(1);
    let running = story.started(S1, 1)[0];
    for time in 1..10 {
        let session = SessionId(time * 10 - 9);
        story.loses(session);
        story.after(limits::STARTED_GONE_AFTER);
        assert_eq!(story.claims(SessionId(time * 10 + 1), running, false), Some(Verdict::Adopt));
    }
    assert_eq!(story.job.record().losses[&TaskNo(0)].count, 1);
}

#[test]
fn a_machine_that_fails_costs_its_task_nothing_however_many_there_are() {
    let mut story = Story::of(1);
    for worker in 1..=9 {
        let leases = story.started(SessionId(worker), 1);
        story.finishes(SessionId(worker), leases[0], Outcome::Lost);
    }
    assert_eq!((story.counts(), story.job.record().losses.len()), ([1, 1, 0, 0, 0, 0], 0));
}

#[test]
fn a_poisonous_task_that_a_worker_still_runs_after_a_restart_goes_on() {
    let mut story = Story::of(1);
    goes_down(&mut story, limits::POISON_LOSSES);
    let mut again = Story::new(story.job.record().clone(), &[1]);
    again.tell(JobEvent::Tick);
    assert!(!asked_for_its_record(&again), "nobody knows yet whether it runs");
    assert_eq!(again.claims(S1, lease(0, 5), false), Some(Verdict::Adopt));
    again.tell(JobEvent::WorkerReported(WorkerId(1), S1));
    assert!(!asked_for_its_record(&again));
    again.finishes(S1, lease(0, 5), DONE);
    again.disk_catches_up();
    assert_eq!(again.job.state(), JobState::Succeeded);
}

#[test]
fn a_job_of_many_failures_asks_to_be_woken_a_few_times() {
    let mut story = Story::with_policy(200, 1, Policy { retry_delay: DELAY, ..Policy::default() });
    for lease in story.started(S1, 200) {
        story.finishes(S1, lease, FAILED);
    }
    let mut wakes = 0;
    let mut tried = 0;
    while let Some(JobEffect::Wake(at)) =
        story.said.iter().rev().find(|effect| matches!(effect, JobEffect::Wake(at) if at.0 > story.now)).cloned()
    {
        wakes += 1;
        story.now = at.0;
        story.tell(JobEvent::Tick);
        tried += story.grant(S1, 200).len();
    }
    assert!(tried == 200 && wakes <= 60, "{tried} tried after {wakes} wakes");
}

#[test]
fn losses_survive_a_snapshot() {
    let mut story = Story::of(1);
    goes_down(&mut story, 3);
    let mut ledger = Ledger::default();
    ledger.jobs.insert(JobId(7), story.job.record().clone());
    let mut read = Ledger::default();
    for mut part in ledger.parts() {
        if let LedgerPart::Job(job) = &mut part {
            // Its bytes know none.
            job.losses.clear();
        }
        read.put(part);
    }
    assert_eq!(read.jobs, ledger.jobs);
    assert_eq!(read.jobs[&JobId(7)].losses[&TaskNo(0)].count, 3);
}

#[test]
fn a_job_of_which_too_much_fails_ends_with_what_it_has() {
    let mut story = giving_up(10, MaxFailed::Count(1));
    let leases = story.started(S1, 4);
    let sent = story.grant(S2, 1);
    story.finishes(S1, leases[0], DONE);
    story.finishes(S1, leases[1], FAILED);
    assert_eq!(story.job.state(), JobState::Running);
    story.said.clear();
    story.finishes(S1, leases[2], FAILED);
    assert_eq!((story.job.state(), story.grant(S1, 9)), (JobState::Finishing, vec![]));
    let stop = JobEffect::Stop(S1, leases[3], limits::DEFAULT_GRACE);
    assert!(story.said.contains(&stop), "what runs is stopped");
    story.answers_fence(S2, &[], &sent);
    let pause = story.verb(Verb::Pause);
    assert!(story.answer(pause).unwrap().is_err());
    let retry = story.verb(Verb::Retry { request: 1 });
    assert!(story.answer(retry).unwrap().is_err(), "not before it has ended");
    story.finishes(S1, leases[3], Outcome::Revoked);
    story.disk_catches_up();
    assert_eq!((story.job.state(), story.counts()), (JobState::Failed, [10, 0, 0, 1, 2, 7]));
    assert_eq!(story.job.view().note, "it gave up: more than 1 of its tasks failed");
}

#[test]
fn a_retry_of_a_job_that_gave_up_runs_all_that_is_not_done_with_numbers_of_its_own() {
    let mut story = giving_up(4, MaxFailed::Count(0));
    let leases = story.started(S1, 2);
    story.tell(JobEvent::Returned(S1, vec![leases[1]]));
    let third = story.started(S1, 1)[0];
    assert_eq!(third, lease(1, 2));
    story.finishes(S1, leases[0], FAILED);
    story.finishes(S1, third, Outcome::Revoked);
    story.disk_catches_up();
    assert_eq!((story.job.state(), story.counts()), (JobState::Failed, [4, 0, 0, 0, 1, 3]));
    let retry = story.verb(Verb::Retry { request: 1 });
    story.disk_catches_up();
    assert_eq!((story.reply(retry).retried, story.job.state()), (4, JobState::Waiting));
    assert_eq!(story.grant(S1, 9), [lease(0, 3), lease(1, 3), lease(2, 3), lease(3, 3)]);
}

#[test]
fn a_restarted_head_goes_on_giving_up() {
    let mut story = giving_up(4, MaxFailed::Percent(0));
    let leases = story.started(S1, 2);
    story.finishes(S1, leases[0], FAILED);
    let mut again = Story::new(story.job.record().clone(), &[1]);
    assert_eq!(again.grant(S2, 9), []);
    assert_eq!(again.claims(S1, leases[1], false), Some(Verdict::Adopt));
    assert!(again.said.contains(&JobEffect::Stop(S1, leases[1], limits::DEFAULT_GRACE)));
    again.tell(JobEvent::WorkerReported(WorkerId(1), S1));
    again.finishes(S1, leases[1], Outcome::Revoked);
    again.disk_catches_up();
    assert_eq!((again.job.state(), again.counts()), (JobState::Failed, [4, 0, 0, 0, 1, 3]));
}
