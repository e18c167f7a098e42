//! What tasks need besides a slot.

use std::sync::Arc;

use super::*;
use crate::domain::JobSpec;
use crate::domain::testing::job_spec;
use crate::domain::wire::JobInfo;

/// What a worker is told of a job whose tasks need so many graphics processors.
fn introduced(job: u64, gpus: u32) -> ToWorker {
    let spec = JobSpec { needs: Resources { gpus, ..Resources::default() }, ..job_spec() };
    ToWorker::Job(Arc::new(JobInfo { job: JobId(job), spec, total: 10 }))
}

#[test]
fn a_task_has_graphics_processors_of_its_own_and_keeps_them_under_the_next_head() {
    let mut story = Story::new();
    story.table = SlotTable::new(2, Equipment::new(Resources::default(), [2, 5].into()), Allowance::default(), Epoch(0));
    story.welcomed(S1, 1);
    story.hears(introduced(7, 1));
    story.runs(&[0]);
    let start = |no: u32, slot: usize, gpus: &[u32]| SlotEffect::Start { slot, lease: lease(no), gpus: Some(gpus.to_vec()) };
    assert!(story.prepared(0, 0, Preparation::Ready).contains(&start(0, 0, &[2])));
    story.tell(SlotEvent::Disconnected(S1));
    assert_eq!(story.table.held().len(), 1);
    story.welcomed(S2, 2);
    story.hears(ToWorker::Verdict(lease(0), Verdict::Adopt));
    story.hears(introduced(7, 1));
    story.runs(&[1]);
    assert!(story.prepared(1, 1, Preparation::Ready).contains(&start(1, 1, &[5])), "the other is still the first one's");
    story.ends(0, 0);
    story.runs(&[2]);
    assert!(story.prepared(0, 2, Preparation::Ready).contains(&start(2, 0, &[2])));
}

#[test]
fn a_task_waits_on_its_slot_for_what_one_that_is_being_stopped_still_holds() {
    let mut story = Story::new();
    story.table = SlotTable::new(2, Equipment::new(Resources::default(), [0].into()), Allowance::default(), Epoch(0));
    story.welcomed(S1, 1);
    story.hears(introduced(7, 1));
    story.runs(&[0]);
    story.prepared(0, 0, Preparation::Ready);
    // Others have it by now: the head counts on its processor.
    story.hears(ToWorker::Verdict(lease(0), Verdict::Stop));
    story.runs(&[1]);
    assert_eq!(story.prepared(1, 1, Preparation::Ready), [], "neither started nor declined");
    assert!(says(
        &story.hears(ToWorker::Fence(FenceId(1), JobId(7))),
        &FromWorker::Fenced { fence: FenceId(1), started: vec![lease(0)], dropped: vec![lease(1)] }
    ));
    story.runs(&[2]);
    story.prepared(1, 2, Preparation::Ready);
    let effects = story.ends(0, 0);
    assert!(effects.contains(&SlotEffect::Start { slot: 1, lease: lease(2), gpus: Some(vec![0]) }), "{effects:?}");
    assert!(story.table.equipment().check().is_ok());
}

#[test]
fn a_task_that_waits_for_its_processor_does_not_start_once_the_lease_is_over() {
    let mut story = Story::new();
    story.table = SlotTable::new(2, Equipment::new(Resources::default(), [0].into()), Allowance::default(), Epoch(0));
    story.welcomed(S1, 1);
    story.hears(introduced(7, 1));
    story.runs(&[0, 1]);
    story.prepared(0, 0, Preparation::Ready);
    story.prepared(1, 1, Preparation::Ready);
    story.now += limits::LEASE.as_millis() as u64 + 1;
    let effects = story.ends(0, 0);
    let starts = effects.iter().any(|effect| matches!(effect, SlotEffect::Start { .. }));
    assert!(!starts && effects.contains(&SlotEffect::EndSession(S1)), "{effects:?}");
}

#[test]
fn what_a_worker_can_never_have_is_declined() {
    let mut story = Story::new();
    story.hears(introduced(7, 1));
    assert!(says(&story.runs(&[0]), &FromWorker::Declined(lease(0))));
}
