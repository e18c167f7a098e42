//! A worker with nothing to do, and a limit to that.

use super::*;

const LIMIT_MS: u64 = 60_000;

fn impatient() -> Story {
    let mut story = Story::new();
    let allowance = Allowance { idle: Some(Duration::from_millis(LIMIT_MS)), ..Allowance::default() };
    story.table = SlotTable::new(2, Equipment::new(Resources::default(), Default::default()), allowance, Epoch(0));
    story.welcomed(S1, 1);
    story
}

/// Time passes; whether it leaves.
fn leaves_after(story: &mut Story, ms: u64) -> bool {
    story.now += ms;
    let effects = story.tell(SlotEvent::Tick);
    let goodbye = effects.contains(&SlotEffect::Say(FromWorker::Goodbye));
    assert_eq!(goodbye, effects.contains(&SlotEffect::Leave) && story.table.is_attached(), "in order: {effects:?}");
    effects.contains(&SlotEffect::Leave)
}

#[test]
fn it_leaves_with_a_goodbye_once_it_had_nothing_to_do_for_so_long() {
    let mut story = impatient();
    assert!(!leaves_after(&mut story, LIMIT_MS - 1));
    assert!(leaves_after(&mut story, 1));
    assert_eq!(story.table.free(), 0);
    assert!(!leaves_after(&mut story, LIMIT_MS), "once");
    let mut patient = Story::new();
    assert!(!leaves_after(&mut patient, 1_000_000_000), "without a limit it stays");
}

#[test]
fn a_task_and_a_result_that_waits_are_something_to_do() {
    let mut story = impatient();
    assert!(!leaves_after(&mut story, LIMIT_MS - 1));
    story.hears(ToWorker::Heartbeat(Instant(story.now)));
    story.starts_one();
    assert!(!leaves_after(&mut story, LIMIT_MS), "it runs a task");
    story.ends(0, 9);
    assert!(!leaves_after(&mut story, LIMIT_MS), "it keeps its result");
    story.hears(ToWorker::Heartbeat(Instant(story.now)));
    story.hears(ToWorker::Ack(vec![lease(9)]));
    assert!(!leaves_after(&mut story, LIMIT_MS - 1), "its time begins anew");
    assert!(leaves_after(&mut story, 1));
}

#[test]
fn it_leaves_a_head_that_is_not_there_as_well() {
    let mut story = impatient();
    story.tell(SlotEvent::Disconnected(S1));
    assert!(leaves_after(&mut story, LIMIT_MS));
}
