//! Tasks that are sent ahead of a free slot.

use super::*;

/// A worker whose two slots have ended so many short tasks, and run 1000 and 1001; with the room ahead that it announced then.
fn a_quick_worker() -> (Story, u32) {
    let mut story = Story::new();
    story.runs(&[0]);
    let mut ahead = 0;
    for no in 0..12 {
        story.starts(0, no);
        story.hears(ToWorker::Ack(vec![lease(no)]));
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
    assert_eq!(ahead, 10, "twelve in a moment, and two slots");
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
