//! Tasks that are sent ahead of a free slot.

use std::sync::Arc;

use super::*;
use crate::domain::JobSpec;
use crate::domain::testing::job_spec;
use crate::domain::wire::JobInfo;

/// A worker whose two slots have ended so many short tasks, and run 1000 and 1001; with the room ahead that it announced then.
fn a_quick_worker() -> (Story, u32) {
    let mut story = Story::new();
    story.runs(&[0]);
    let mut ahead = 0;
    for no in 0..12 {
        story.starts(0, no);
        story.hears(ToWorker::Ack(vec![lease(no)]));
        story.now += 5;
        let effects = story.ends(0, no);
        ahead = room_ahead(&effects).unwrap_or_default();
        story.hears(ToWorker::Ack(vec![lease(no)]));
        story.runs(&[if no == 11 { 1000 } else { no + 1 }]);
    }
    story.runs(&[1001]);
    story.starts(0, 1000);
    story.starts(1, 1001);
    (story, ahead)
}

fn room_ahead(effects: &[SlotEffect]) -> Option<u32> {
    effects.iter().rev().find_map(|effect| match effect {
        SlotEffect::Say(FromWorker::Room { room, .. }) => Some(room.ahead),
        _ => None,
    })
}

fn declined(effects: &[SlotEffect]) -> Vec<u32> {
    let no = |effect: &SlotEffect| match effect {
        SlotEffect::Say(FromWorker::Declined(lease)) => Some(lease.no.0),
        _ => None,
    };
    effects.iter().filter_map(no).collect()
}

#[test]
fn a_worker_of_short_tasks_takes_some_ahead_and_starts_them_in_order() {
    let (mut story, ahead) = a_quick_worker();
    assert_eq!(ahead, 10, "two slots take twelve of 5 ms through in a window, and two run");
    let effects = story.runs(&[1, 2, 3]);
    assert_eq!((declined(&effects), room_ahead(&effects), story.table.ahead()), (vec![], Some(7), 3));
    assert!(effects.contains(&SlotEffect::WakeAt(Instant(story.now).after(limits::AHEAD_PATIENCE))));
    let effects = story.ends(1, 1001);
    assert!(effects.contains(&SlotEffect::Prepare { slot: 1, lease: lease(1), chunk: None }));
    assert_eq!(story.table.ahead(), 2);
    let effects = story.prepared(1, 1, Preparation::Ready);
    assert!(says(&effects, &FromWorker::Started(vec![lease(1)])));
}

#[test]
fn what_was_sent_ahead_is_dropped_by_a_fence_and_goes_with_the_session() {
    let (mut story, _) = a_quick_worker();
    story.runs(&[1, 2]);
    let effects = story.hears(ToWorker::Fence(FenceId(5), JobId(7)));
    let (started, dropped) = (vec![lease(1000), lease(1001)], vec![lease(1), lease(2)]);
    assert!(says(&effects, &FromWorker::Fenced { fence: FenceId(5), started, dropped }));
    story.runs(&[3]);
    assert_eq!(story.table.ahead(), 1);
    story.tell(SlotEvent::Disconnected(S1));
    assert_eq!((story.table.ahead(), story.table.held().len()), (0, 2));
    story.welcomed(S2, 1);
    assert_eq!(declined(&story.runs(&[4])), [] as [u32; 0], "it has not forgotten how quick it is");
}

#[test]
fn what_is_recalled_or_waits_too_long_or_is_stopped_goes_back() {
    let (mut story, ahead) = a_quick_worker();
    story.runs(&[1, 2]);
    assert_eq!(declined(&story.hears(ToWorker::Stop(lease(1), Duration::ZERO))), [1]);
    let effects = story.hears(ToWorker::Recall);
    assert_eq!((declined(&effects), room_ahead(&effects)), (vec![2], Some(ahead)));
    story.runs(&[3, 4]);
    story.now += 99;
    assert_eq!(declined(&story.tell(SlotEvent::Tick)), [] as [u32; 0]);
    story.now += 1;
    let effects = story.tell(SlotEvent::Tick);
    assert_eq!((declined(&effects), room_ahead(&effects)), (vec![3, 4], Some(0)), "tasks are long now");
}

#[test]
fn nothing_waits_at_a_worker_that_leaves_or_rests_and_nothing_beyond_what_was_announced() {
    let (mut story, _) = a_quick_worker();
    let many: Vec<u32> = (1..=12).collect();
    assert_eq!(declined(&story.runs(&many)), [11, 12]);
    let (mut resting, _) = a_quick_worker();
    resting.runs(&[1]);
    assert_eq!(declined(&resting.tell(SlotEvent::Machine(Health::Failed))), [1]);
    assert_eq!(declined(&resting.runs(&[2])), [2]);
    assert_eq!(declined(&story.hears(ToWorker::Drain(true))), (1..=10).collect::<Vec<_>>());
    assert_eq!(declined(&story.runs(&[13])), [13]);
}

/// What is offered to slots that end their tasks.
fn offered(story: &Story) -> Vec<u32> {
    let now = Now { mono: Instant(story.now), wall: WallTime(0) };
    story.table.offers(now).map(|offer| offer.lease.no.0).collect()
}

#[test]
fn a_slot_may_go_on_with_what_is_next_in_line_and_says_so_as_it_ends() {
    let (mut story, _) = a_quick_worker();
    assert_eq!(offered(&story), [0; 0]);
    story.runs(&[1, 2, 3]);
    assert_eq!(offered(&story), [1, 2, 3]);
    let effects = story.tell(SlotEvent::Ended { slot: 1, lease: lease(1001), bytes: 10, next: Some(lease(1)) });
    assert!(effects.contains(&SlotEffect::Deliver(lease(1001))) && says(&effects, &FromWorker::Started(vec![lease(1)])), "{effects:?}");
    assert!(!effects.iter().any(|effect| matches!(effect, SlotEffect::Prepare { .. } | SlotEffect::Start { .. })), "it has started");
    assert_eq!((story.table.running().count(), story.table.ahead(), offered(&story)), (2, 2, vec![2, 3]));
    // From then on it is a task like any other.
    let effects = story.hears(ToWorker::Fence(FenceId(5), JobId(7)));
    let (started, dropped) = (vec![lease(1000), lease(1)], vec![lease(2), lease(3)]);
    assert!(says(&effects, &FromWorker::Fenced { fence: FenceId(5), started, dropped }), "{effects:?}");
    assert_eq!(offered(&story), [0; 0]);
    assert!(story.hears(ToWorker::Stop(lease(1), Duration::ZERO)).contains(&SlotEffect::Stop {
        slot: 1,
        lease: lease(1),
        grace: Duration::ZERO
    }));
    assert!(story.ends(1, 1).contains(&SlotEffect::Deliver(lease(1))));
    story.table.equipment().check().unwrap();
}

#[test]
fn nothing_is_offered_that_another_event_or_the_time_may_take_away() {
    type Happens = fn(&mut Story);
    let happens: [(&str, Happens); 7] = [
        ("a fence", |story| drop(story.hears(ToWorker::Fence(FenceId(5), JobId(7))))),
        ("a recall", |story| drop(story.hears(ToWorker::Recall))),
        ("a drain", |story| drop(story.tell(SlotEvent::Drain(true)))),
        ("the machine fails", |story| drop(story.tell(SlotEvent::Machine(Health::Failed)))),
        ("the line breaks", |story| drop(story.tell(SlotEvent::Disconnected(S1)))),
        ("the lease is over", |story| story.now += limits::LEASE.as_millis() as u64 + 1),
        ("what runs is not wanted", |story| drop(story.hears(ToWorker::Verdict(lease(1000), Verdict::Stop)))),
    ];
    for (what, happens) in happens {
        let (mut story, _) = a_quick_worker();
        story.runs(&[1, 2]);
        assert_eq!(offered(&story), [1, 2]);
        happens(&mut story);
        assert_eq!(offered(&story), [0; 0], "{what}");
    }
}

#[test]
fn only_what_needs_the_same_is_passed_on() {
    let (mut story, _) = a_quick_worker();
    story.runs(&[1]);
    let spec = JobSpec { needs: Resources { cpus: 2, ..Resources::default() }, ..job_spec() };
    story.hears(ToWorker::Job(Arc::new(JobInfo { job: JobId(7), spec, total: 9 })));
    story.runs(&[2, 3]);
    assert_eq!(offered(&story), [1], "what comes later needs the whole worker");
}
