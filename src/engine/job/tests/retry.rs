//! Rounds: what has failed runs again.

use super::*;
use crate::domain::verb::Change;
use crate::engine::Ledger;
use crate::engine::ledger::LedgerPart;
use crate::engine::record::Rounds;

/// Three tasks, of which 0 and 2 have failed, and the job with them.
fn failed() -> Story {
    let mut story = Story::of(3);
    let leases = story.grant(S1, 3);
    for (lease, outcome) in leases.into_iter().zip([FAILED, DONE, FAILED]) {
        story.finishes(S1, lease, outcome);
    }
    story.disk_catches_up();
    assert_eq!((story.job.state(), story.counts()), (JobState::Failed, [3, 0, 0, 1, 2, 0]));
    story.said.clear();
    story
}

const AGAIN: Verb = Verb::Retry { request: 7 };

#[test]
fn the_failed_tasks_of_a_job_that_has_ended_run_again() {
    let mut story = failed();
    let retry = story.verb(AGAIN);
    assert_eq!((story.answer(retry), story.grant(S2, 9)), (None, vec![]), "not durable yet");
    story.disk_catches_up();
    let reply = story.reply(retry);
    assert_eq!((reply.changed, reply.retried, reply.counts.undispatched, reply.counts.failed), (true, 2, 2, 0));
    assert_eq!(story.grant(S2, 9), [lease(0, 2), lease(2, 2)], "no number of an attempt comes twice");
    story.finishes(S2, lease(0, 2), DONE);
    story.finishes(S2, lease(2, 2), DONE);
    story.disk_catches_up();
    assert_eq!((story.job.state(), story.counts()), (JobState::Succeeded, [3, 0, 0, 3, 0, 0]));
}

#[test]
fn what_a_worker_claims_while_it_is_about_to_run_again_is_held_once() {
    let mut story = failed();
    let retry = story.verb(AGAIN);
    assert_eq!(story.claims(S2, lease(2, 5), false), Some(Verdict::Adopt));
    story.disk_catches_up();
    assert_eq!(story.reply(retry).retried, 2);
    assert_eq!((story.grant(S1, 9), story.counts()), (vec![lease(0, 2)], [3, 1, 1, 1, 0, 0]), "0 is sent, 2 runs");
}

#[test]
fn a_wish_that_comes_again_acts_once() {
    let mut story = failed();
    story.verb(AGAIN);
    story.disk_catches_up();
    for lease in story.grant(S1, 2) {
        story.finishes(S1, lease, FAILED);
    }
    story.disk_catches_up();
    assert_eq!(story.job.state(), JobState::Failed);
    let again = story.verb(AGAIN);
    assert!(!story.reply(again).changed);
    assert_eq!((story.job.state(), story.job.view().round), (JobState::Failed, 2));
    let other = story.verb(Verb::Retry { request: 8 });
    story.disk_catches_up();
    assert!(story.reply(other).changed && story.job.view().round == 3);
    assert_eq!(story.grant(S1, 1), [lease(0, 3)]);
}

#[test]
fn there_has_to_be_something_that_failed() {
    let mut story = Story::of(2);
    let leases = story.grant(S1, 2);
    let refused = story.verb(AGAIN);
    let error = story.answer(refused).unwrap().unwrap_err();
    assert_eq!(error.error(JobId(7)).message, "j7 is waiting: it has no failed tasks to run again");
    story.finishes(S1, leases[0], FAILED);
    let live = story.verb(AGAIN);
    story.disk_catches_up();
    assert_eq!(story.reply(live).counts.undispatched, 2, "also while the others run");
    story.verb(Verb::Kill(KillMode::Finish));
    let killed = story.verb(Verb::Retry { request: 9 });
    assert!(story.answer(killed).unwrap().is_err());
}

#[test]
fn a_failure_of_an_earlier_round_does_not_count_in_the_next() {
    let mut story = failed();
    story.verb(AGAIN);
    story.disk_catches_up();
    // Its worker did not hear that it is counted, and offers it again.
    assert_eq!(story.claims(S1, lease(0, 1), true), Some(Verdict::Send));
    story.finishes(S1, lease(0, 1), FAILED);
    story.disk_catches_up();
    assert_eq!(story.counts(), [3, 2, 0, 1, 0, 0]);
    assert_eq!(story.claims(S1, lease(2, 1), false), Some(Verdict::Stop));
    assert_eq!(story.grant(S2, 9).len(), 2);
    // A success that comes late is as good as any.
    story.finishes(S1, lease(0, 1), DONE);
    assert_eq!(story.counts()[3], 2);
}

/// A failure that was given up for lost counts when it comes, and another attempt had come to nothing meanwhile.
#[test]
fn no_number_comes_twice_even_if_an_earlier_attempt_is_the_one_that_failed() {
    let mut story = Story::of(1);
    let first = story.gives_up();
    story.finishes(S2, lease(0, 2), Outcome::Lost);
    let back = SessionId(11);
    assert_eq!(story.claims(back, first, true), Some(Verdict::Send));
    story.finishes(back, first, FAILED);
    story.disk_catches_up();
    assert_eq!(story.job.state(), JobState::Failed);
    // Whoever goes on knows only what is durable.
    let mut story = Story::new(story.job.record().clone(), &[]);
    story.verb(AGAIN);
    story.disk_catches_up();
    assert_eq!(story.grant(S2, 1), [lease(0, 3)]);
}

/// The job goes on while some of its tasks are let run again: what runs is not of an earlier round.
#[test]
fn a_retry_leaves_what_runs_alone() {
    let mut story = Story::of(3);
    let leases = story.grant(S1, 2);
    story.tell(JobEvent::Started(S1, leases.clone()));
    story.finishes(S1, leases[1], FAILED);
    story.verb(AGAIN);
    story.disk_catches_up();
    story.loses(S1);
    let back = SessionId(11);
    assert_eq!(story.claims(back, leases[0], false), Some(Verdict::Adopt));
    assert_eq!(story.grant(S2, 9), [lease(1, 2), lease(2, 1)]);
}

#[test]
fn the_rounds_come_back_with_a_snapshot() {
    let mut story = failed();
    story.verb(AGAIN);
    story.disk_catches_up();
    let mut ledger = Ledger { last_job: JobId(7), ..Ledger::default() };
    ledger.jobs.insert(JobId(7), story.job.record().clone());
    let mut read = Ledger::default();
    for mut part in ledger.parts() {
        // Its bytes are those of version 1, which knew no rounds.
        if let LedgerPart::Job(job) = &mut part {
            job.rounds = Rounds::default();
        }
        read.put(part);
    }
    assert_eq!(read, ledger);
    let mut story = Story::new(read.jobs[&JobId(7)].clone(), &[]);
    assert_eq!(story.grant(S1, 1), [lease(0, 2)]);
}

fn different(request: u128, change: Change) -> Wish {
    Wish { verb: Verb::Retry { request }, reason: String::new(), by: String::new(), change: Some(Box::new(change)) }
}

#[test]
fn what_runs_again_may_run_another_command_and_need_more() {
    let mut story = failed();
    let command = vec!["search".to_owned(), "--slow".to_owned()];
    let change = Change { command: Some(command.clone()), mem_bytes: Some(1 << 33), ..Change::default() };
    let retry = story.wish(different(8, change.clone()));
    story.disk_catches_up();
    assert_eq!(story.reply(retry).retried, 2);
    let spec = story.job.record().spec.clone();
    assert_eq!((&spec.command, spec.needs.mem_bytes, spec.needs.cpus), (&command, 1 << 33, job_spec().needs.cpus));
    assert_eq!(story.job.record().earlier_commands, [job_spec().command]);
    assert_eq!(story.job.view().spec, spec);
    let early = story.wish(different(9, change));
    assert!(matches!(story.answer(early), Some(Err(VerbError { too_early: true, .. }))), "it has not ended");
    let again = story.verb(Verb::Retry { request: 8 });
    assert!(!story.reply(again).changed, "the same wish acts once");
}

#[test]
fn what_is_different_comes_back_with_the_journal_and_a_snapshot() {
    let mut story = failed();
    story.wish(different(8, Change { command: Some(vec!["other".into()]), ..Change::default() }));
    story.wish(different(8, Change { cpus: Some(7), ..Change::default() }));
    let record = story.job.record().clone();
    assert_eq!((record.spec.command.as_slice(), record.spec.needs.cpus), (&["other".to_owned()][..], 0), "the same wish acts once");
    let mut ledger = Ledger::default();
    ledger.jobs.insert(record.id, record);
    let mut read = Ledger::default();
    for mut part in ledger.parts() {
        if let LedgerPart::Job(job) = &mut part {
            (job.rounds, job.earlier_commands) = (Rounds::default(), Vec::new());
        }
        read.put(part);
    }
    assert_eq!(read.jobs, ledger.jobs);
}

#[test]
fn a_late_success_by_an_earlier_command_does_not_count() {
    for change in [Change::default(), Change { command: Some(vec!["fixed".into()]), ..Change::default() }] {
        let is_other = change.command.is_some();
        let mut story = Story::of(1);
        let old = story.gives_up();
        story.finishes(S2, lease(0, 2), FAILED);
        story.disk_catches_up();
        story.wish(different(8, change));
        story.disk_catches_up();
        let again = story.started(S2, 1)[0];
        let verdict = story.claims(SessionId(11), old, true);
        assert_eq!(verdict, Some(if is_other { Verdict::Stop } else { Verdict::Send }));
        story.finishes(SessionId(11), old, DONE);
        assert_eq!(story.counts()[3], u32::from(!is_other), "{again:?}");
    }
}
