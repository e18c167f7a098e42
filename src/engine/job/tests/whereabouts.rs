//! Where each task is, and since when; and how long what is done was in hands.

use super::*;
use crate::domain::verb::Hold;
use crate::engine::job::{Hands, Whereabouts};

fn at(story: &Story, no: u32) -> Whereabouts {
    let now = Now { mono: Instant(story.now), wall: WallTime(story.now as i64 * 1000) };
    story.job.whereabouts(TaskNo(no), now)
}

fn out(attempt: u32, worker: u32, hands: Hands, since_ms: Option<i64>) -> Whereabouts {
    let since = since_ms.map(|ms| WallTime(ms * 1000));
    Whereabouts::Out { attempt: Attempt(attempt), worker: WorkerId(worker), hands, since }
}

#[test]
fn a_task_is_followed_from_its_queue_to_its_end() {
    let policy = Policy { retry_delay: Duration::from_secs(10), ..Policy::default() };
    let mut story = Story::with_policy(4, 1, policy);
    assert_eq!((at(&story, 0), at(&story, 3)), (Whereabouts::Waiting(0), Whereabouts::Waiting(3)));
    let sent = story.grant(S1, 1)[0];
    assert_eq!((at(&story, 0), at(&story, 3)), (out(1, 1, Hands::Sent, Some(10_000)), Whereabouts::Waiting(2)));
    story.after(Duration::from_secs(1));
    story.tell(JobEvent::Started(S1, vec![sent]));
    assert_eq!(at(&story, 0), out(1, 1, Hands::Runs, Some(11_000)));
    story.verb(Verb::PauseWith(Hold { freeze: true, until: None }));
    assert_eq!(at(&story, 0), out(1, 1, Hands::Frozen, Some(11_000)));
    story.verb(Verb::Resume);
    story.finishes(S1, sent, FAILED);
    let Whereabouts::Delayed { failures: 1, left } = at(&story, 0) else { panic!("{:?}", at(&story, 0)) };
    assert!(left > Duration::from_secs(1) && left <= Duration::from_secs(11), "{left:?}");
    story.after(left);
    assert_eq!(at(&story, 0), Whereabouts::Waiting(0));
    let again = story.started(S1, 1)[0];
    story.finishes(S1, again, FAILED);
    assert_eq!(at(&story, 0), Whereabouts::Ended { success: false });
    let running = story.started(S2, 1)[0];
    story.loses(S2);
    let Whereabouts::Out { hands: Hands::Adrift(true), .. } = at(&story, running.no.0) else { panic!("{:?}", at(&story, 1)) };
    story.verb(Verb::Kill(KillMode::Finish));
    assert_eq!(at(&story, 3), Whereabouts::Dropped);
}

#[test]
fn after_a_restart_nobody_knows_since_when_and_a_worker_that_comes_back_in_time_changes_nothing() {
    let split = [JobEntry::Split { total: 4 }, JobEntry::Marked { mark: 4 }];
    let mut story = Story::restarted(&split, 0, &[1]);
    assert_eq!(at(&story, 2), Whereabouts::Limbo);
    story.claims(S1, lease(2, 1), false);
    assert_eq!(at(&story, 2), out(1, 1, Hands::Runs, None));
    assert_eq!(story.job.view().since, Some(WallTime(10_000_000)), "it runs since it was claimed");

    let mut story = Story::of(2);
    let running = story.started(S1, 1)[0];
    story.loses(S1);
    story.after(Duration::from_secs(1));
    story.claims(SessionId(11), running, false);
    assert_eq!(at(&story, 0), out(1, 1, Hands::Runs, Some(10_000)));
}

#[test]
fn a_task_s_time_is_how_long_it_was_in_hands_less_what_it_stood_still() {
    let mut story = Story::of(3);
    let leases = story.started(S1, 3);
    story.after(Duration::from_secs(4));
    story.finishes(S1, leases[0], DONE);
    story.verb(Verb::PauseWith(Hold { freeze: true, until: None }));
    story.after(Duration::from_secs(100));
    story.verb(Verb::Resume);
    story.after(Duration::from_secs(2));
    let view = story.job.view();
    assert_eq!((view.in_hands.count, view.in_hands.oldest(Instant(story.now))), (2, 6.0));
    story.finishes(S1, leases[1], DONE);
    story.finishes(S1, leases[2], FAILED);
    let times = story.job.view().times;
    assert!(times.count == 3 && (times.mean - 16.0 / 3.0).abs() < 1e-9 && times.max == 6.0, "{times:?}");
}

#[test]
fn from_when_a_job_is_as_it_is_is_noted_when_that_changes() {
    let mut story = Story::of(2);
    let since = |story: &Story| story.job.view().since.unwrap().0 / 1000;
    assert_eq!(since(&story), 10_000, "it waits since it was split");
    story.after(Duration::from_secs(1));
    let running = story.started(S1, 1)[0];
    assert_eq!(since(&story), 11_000);
    story.after(Duration::from_secs(1));
    let other = story.started(S1, 1)[0];
    assert_eq!(since(&story), 11_000, "it ran before");
    story.verb(Verb::Pause);
    assert_eq!(since(&story), 12_000);
    story.after(Duration::from_secs(1));
    story.finishes(S1, running, DONE);
    story.finishes(S1, other, DONE);
    story.disk_catches_up();
    assert_eq!((story.job.view().since, story.job.view().state), (story.job.view().ended, JobState::Succeeded));
}
