//! Pauses that freeze, and pauses that end by themselves.

use super::*;
use crate::domain::verb::Hold;

const FREEZE: Verb = Verb::PauseWith(Hold { freeze: true, until: None });

fn until(now: u64, span: Duration) -> Verb {
    Verb::pause(Hold { freeze: false, until: Some(WallTime((now as i64 + span.as_millis() as i64) * 1000)) })
}

fn freezes(story: &Story) -> Vec<(Lease, bool)> {
    let freeze = |effect: &JobEffect| if let JobEffect::Freeze(_, lease, frozen) = effect { Some((*lease, *frozen)) } else { None };
    story.said.iter().filter_map(freeze).collect()
}

#[test]
fn what_runs_stands_still_until_the_resume_and_what_starts_meanwhile_too() {
    let mut story = Story::of(3);
    let running = story.started(S1, 1)[0];
    let sent = story.grant(S2, 1)[0];
    let pause = story.verb(FREEZE);
    assert_eq!(freezes(&story), [(running, true)]);
    story.answers_fence(S2, &[sent], &[]);
    assert_eq!(freezes(&story), [(running, true), (sent, true)], "it had started before the fence");
    story.disk_catches_up();
    let reply = story.reply(pause);
    assert_eq!((reply.held, reply.counts.running, story.grant(S1, 1)), (true, 2, vec![]));
    story.said.clear();
    story.verb(Verb::Resume);
    assert_eq!(freezes(&story), [(running, false), (sent, false)]);
}

#[test]
fn a_pause_lets_nothing_go_on_that_another_has_frozen_and_a_kill_does() {
    let mut story = Story::of(3);
    let running = story.started(S1, 1)[0];
    story.verb(FREEZE);
    story.said.clear();
    story.verb(Verb::Pause);
    assert_eq!((freezes(&story), story.job.view().hold.freeze), (vec![], true));
    story.verb(Verb::Kill(KillMode::Finish));
    assert_eq!(freezes(&story), [(running, false)], "it is to run to its end");
}

#[test]
fn a_pause_of_what_was_paused_may_freeze_it() {
    let mut story = Story::of(3);
    let running = story.started(S1, 1)[0];
    story.verb(Verb::Pause);
    story.disk_catches_up();
    let freeze = story.verb(FREEZE);
    story.disk_catches_up();
    assert!(story.reply(freeze).changed);
    assert_eq!(freezes(&story), [(running, true)]);
    let again = story.verb(FREEZE);
    assert!(!story.reply(again).changed);
}

#[test]
fn what_a_worker_brings_back_to_a_frozen_job_stands_still() {
    let mut story = Story::of(3);
    let running = story.started(S1, 1)[0];
    story.verb(FREEZE);
    story.disk_catches_up();
    let mut again = Story::new(story.job.record().clone(), &[1]);
    assert_eq!(again.claims(S1, running, false), Some(Verdict::AdoptFrozen));
    again.verb(Verb::Resume);
    assert_eq!(freezes(&again).last(), Some(&(running, false)));
}

#[test]
fn a_pause_ends_by_itself_when_its_time_is_over_also_after_a_restart() {
    let span = Duration::from_secs(100);
    for restart in [false, true] {
        let mut story = Story::of(2);
        let pause = story.verb(until(story.now, span));
        story.disk_catches_up();
        assert!(story.reply(pause).held);
        if restart {
            let now = story.now;
            story = Story { now, ..Story::new(story.job.record().clone(), &[]) };
            story.tell(JobEvent::Tick);
        }
        // As often as it asks to be woken, and not more often.
        let mut wakes = 0;
        while story.job.record().held {
            let wake = story.said.iter().rev().find_map(|effect| if let JobEffect::Wake(at) = effect { Some(*at) } else { None });
            let wake = wake.expect("it asks to be woken").0;
            assert!(wake > story.now, "at {} it asks for {wake}", story.now);
            assert_eq!(story.grant(S1, 1), []);
            story.now = wake;
            story.tell(JobEvent::Tick);
            wakes += 1;
        }
        assert!((2..10).contains(&wakes), "{wakes}");
        assert!(story.now >= 110_000);
        assert_eq!(story.grant(S1, 1), [lease(0, 1)]);
        let resumed = |effect: &JobEffect| matches!(effect, JobEffect::Persist(_, JobEntry::Controlled { verb: Verb::Resume, .. }));
        assert_eq!(story.said.iter().filter(|effect| resumed(effect)).count(), 1);
    }
}

#[test]
fn a_later_pause_says_how_long_it_lasts() {
    let mut story = Story::of(2);
    story.verb(until(story.now, Duration::from_secs(1)));
    story.verb(Verb::Pause);
    story.after(Duration::from_secs(60));
    assert!(story.job.record().held);
    story.verb(until(story.now, Duration::from_secs(20)));
    story.after(Duration::from_secs(21));
    assert!(!story.job.record().held);
}

#[test]
fn a_pause_whose_time_is_over_while_the_head_was_away_is_over() {
    let mut story = Story::of(2);
    story.verb(until(story.now, Duration::from_secs(10)));
    let mut again = Story { now: story.now + 3_600_000, ..Story::new(story.job.record().clone(), &[]) };
    again.tell(JobEvent::Tick);
    assert!(!again.job.record().held);
}
