//! The worker's side, told as stories.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::domain::wire::{Run, Verdict};
use crate::domain::{Attempt, FenceId, TaskNo, WallTime, WorkerId};

mod ahead;
mod equipment;
mod idle;

const S1: SessionId = SessionId(1);
const S2: SessionId = SessionId(2);

fn lease(no: u32) -> Lease {
    Lease { job: JobId(7), no: TaskNo(no), attempt: Attempt(1), epoch: Epoch(1) }
}

/// A table with what it said since it was last asked.
struct Story {
    table: SlotTable,
    session: SessionId,
    now: u64,
    last_run: u64,
    said: Vec<SlotEffect>,
}

impl Story {
    /// Two slots, connected.
    fn new() -> Self {
        let allowance = Allowance { results: 4, result_bytes: 1000, alone: Duration::from_secs(60), idle: None };
        let equipment = Equipment::new(Resources { cpus: 2, ..Resources::default() }, Default::default());
        let table = SlotTable::new(2, equipment, allowance, Epoch(0));
        let mut story = Self { table, session: S1, now: 1000, last_run: 0, said: Vec::new() };
        story.welcomed(S1, 1);
        story
    }

    fn tell(&mut self, event: SlotEvent) -> Vec<SlotEffect> {
        let effects = self.table.on_event(event, Now { mono: Instant(self.now), wall: WallTime(0) });
        self.said.extend(effects.clone());
        effects
    }

    fn welcomed(&mut self, session: SessionId, epoch: u64) -> Vec<SlotEffect> {
        self.session = session;
        self.last_run = 0;
        let welcome = ToWorker::Welcome { worker: WorkerId(1), epoch: Epoch(epoch), session, stamp: Instant(self.now) };
        self.tell(SlotEvent::Said(session, welcome))
    }

    fn hears(&mut self, message: ToWorker) -> Vec<SlotEffect> {
        self.tell(SlotEvent::Said(self.session, message))
    }

    fn runs(&mut self, nos: &[u32]) -> Vec<SlotEffect> {
        let runs = nos.iter().map(|no| {
            self.last_run += 1;
            Run { seq: self.last_run, lease: lease(*no), chunk: None }
        });
        let runs = runs.collect();
        self.hears(ToWorker::Runs(runs))
    }

    fn prepared(&mut self, slot: usize, no: u32, how: Preparation) -> Vec<SlotEffect> {
        self.tell(SlotEvent::Prepared { slot, lease: lease(no), how })
    }

    fn starts(&mut self, slot: usize, no: u32) {
        let effects = self.prepared(slot, no, Preparation::Ready);
        assert!(effects.contains(&SlotEffect::Start { slot, lease: lease(no), gpus: None }), "{effects:?}");
    }

    fn starts_one(&mut self) {
        self.runs(&[9]);
        self.starts(0, 9);
    }

    fn ends(&mut self, slot: usize, no: u32) -> Vec<SlotEffect> {
        self.tell(SlotEvent::Ended { slot, lease: lease(no), bytes: 100, next: None })
    }
}

/// The free slots of the last announcement, and the last run that it knows.
fn announced(effects: &[SlotEffect]) -> Option<(u32, u64)> {
    effects.iter().rev().find_map(|effect| match effect {
        SlotEffect::Say(FromWorker::Room { room, last_run_seen }) => Some((room.free, *last_run_seen)),
        _ => None,
    })
}

fn says(effects: &[SlotEffect], message: &FromWorker) -> bool {
    effects.iter().any(|effect| matches!(effect, SlotEffect::Say(said) if said == message))
}

#[test]
fn a_task_goes_through_its_slot_and_its_result_stays_until_it_is_acknowledged() {
    let mut story = Story::new();
    assert_eq!(announced(&story.said), Some((2, 0)));
    let effects = story.runs(&[0]);
    assert_eq!(
        (announced(&effects), effects.contains(&SlotEffect::Prepare { slot: 0, lease: lease(0), chunk: None })),
        (Some((1, 1)), true)
    );
    let effects = story.prepared(0, 0, Preparation::Ready);
    assert_eq!(effects, [SlotEffect::Say(FromWorker::Started(vec![lease(0)])), SlotEffect::Start { slot: 0, lease: lease(0), gpus: None }]);
    let effects = story.ends(0, 0);
    assert!(effects.contains(&SlotEffect::Deliver(lease(0))) && announced(&effects) == Some((2, 1)));
    assert!(!story.table.is_empty());
    assert!(story.hears(ToWorker::Ack(vec![lease(0)])).contains(&SlotEffect::Forget(lease(0))));
    assert!(story.table.is_empty());
}

#[test]
fn a_machine_that_fails_a_task_says_busy_first_and_rests_then_tries_one_and_is_whole_with_the_first_that_ends() {
    let mut story = Story::new();
    story.runs(&[0]);
    story.starts(0, 0);
    let effects = story.tell(SlotEvent::Machine(Health::Failed));
    assert_eq!((announced(&effects), effects.contains(&SlotEffect::Rest(limits::REST_FIRST))), (Some((0, 1)), true));
    assert!(says(&effects, &FromWorker::Standing(Standing::Resting)));
    assert_eq!(announced(&story.ends(0, 0)), None, "no more than before");
    assert!(says(&story.runs(&[1]), &FromWorker::Declined(lease(1))), "what was on its way goes back");
    story.now += limits::REST_FIRST.as_millis() as u64;
    assert_eq!(announced(&story.tell(SlotEvent::Tick)), Some((1, 2)));
    assert_eq!(announced(&story.runs(&[2])), Some((0, 3)), "one to try");
    // It is dropped: another may be tried.
    assert_eq!(announced(&story.hears(ToWorker::Fence(FenceId(1), JobId(7)))), Some((1, 3)));
    story.runs(&[3]);
    story.starts(0, 3);
    assert!(story.tell(SlotEvent::Machine(Health::Failed)).contains(&SlotEffect::Rest(2 * limits::REST_FIRST)));
    story.ends(0, 3);
    story.now += 2 * limits::REST_FIRST.as_millis() as u64;
    // A head that comes anew does not shorten it, nor does it lengthen it.
    story.hears(ToWorker::Heartbeat(Instant(story.now)));
    assert_eq!(announced(&story.tell(SlotEvent::Tick)), Some((1, 4)));
    story.runs(&[4]);
    story.starts(0, 4);
    let effects = story.tell(SlotEvent::Machine(Health::Sound));
    assert!(announced(&effects) == Some((1, 5)) && says(&effects, &FromWorker::Standing(Standing::Serving)), "{effects:?}");
    assert!(!story.table.is_resting());
    assert_eq!(announced(&story.ends(0, 4)), Some((2, 5)));
}

#[test]
fn a_head_hears_how_the_worker_stands_when_that_changes_and_in_each_session_anew() {
    let mut story = Story::new();
    assert!(!story.said.iter().any(|effect| matches!(effect, SlotEffect::Say(FromWorker::Standing(_)))), "serving goes without saying");
    story.tell(SlotEvent::Machine(Health::Failed));
    assert!(!says(&story.tell(SlotEvent::Tick), &FromWorker::Standing(Standing::Resting)));
    assert!(says(&story.welcomed(S2, 1), &FromWorker::Standing(Standing::Resting)));
    story.tell(SlotEvent::Machine(Health::Sound));
    story.starts_one();
    assert!(says(&story.tell(SlotEvent::Drain(true)), &FromWorker::Standing(Standing::Leaving)));
}

#[test]
fn a_run_without_a_free_slot_is_declined() {
    let effects = Story::new().runs(&[0, 1, 2]);
    assert!(says(&effects, &FromWorker::Declined(lease(2))));
    assert_eq!(announced(&effects), Some((0, 3)), "a declined run is seen, too");
}

#[test]
fn a_fence_drops_what_prepares_and_names_what_runs() {
    let mut story = Story::new();
    story.runs(&[0, 1]);
    story.starts(0, 0);
    let effects = story.hears(ToWorker::Fence(FenceId(5), JobId(7)));
    let answer = FromWorker::Fenced { fence: FenceId(5), started: vec![lease(0)], dropped: vec![lease(1)] };
    assert_eq!(effects[..2], [SlotEffect::CancelPrepare { slot: 1 }, SlotEffect::Say(answer)]);
    assert_eq!(announced(&effects), Some((1, 2)));
    assert_eq!(story.prepared(1, 1, Preparation::Ready), [], "its input comes too late");
    let other = FromWorker::Fenced { fence: FenceId(6), started: vec![], dropped: vec![] };
    assert!(says(&story.hears(ToWorker::Fence(FenceId(6), JobId(8))), &other), "another job's tasks are none of its business");
}

#[test]
fn a_slot_that_was_given_anew_does_not_take_the_old_input() {
    let mut story = Story::new();
    story.runs(&[0]);
    story.hears(ToWorker::Fence(FenceId(1), JobId(7)));
    story.runs(&[1]);
    assert_eq!(story.prepared(0, 0, Preparation::Ready), []);
    story.starts(0, 1);
}

#[test]
fn what_cannot_be_prepared_is_given_back_or_fails() {
    let mut story = Story::new();
    story.runs(&[0, 1]);
    let effects = story.prepared(0, 0, Preparation::Declined);
    assert!(says(&effects, &FromWorker::Declined(lease(0))) && announced(&effects) == Some((1, 2)));
    let effects = story.prepared(1, 1, Preparation::Failed);
    assert_eq!(effects[..2], [SlotEffect::Fail { lease: lease(1) }, SlotEffect::Deliver(lease(1))]);
}

#[test]
fn without_a_head_it_runs_on_for_a_while_then_stops_what_runs_and_keeps_its_results() {
    let mut story = Story::new();
    story.runs(&[0, 1]);
    story.starts(0, 0);
    story.starts(1, 1);
    story.tell(SlotEvent::Disconnected(S1));
    story.now += 30_000;
    assert_eq!(story.ends(0, 0), [], "kept for the head");
    story.now += 29_999;
    assert_eq!(story.tell(SlotEvent::Tick), []);
    story.now += 1;
    let stop = SlotEffect::Stop { slot: 1, lease: lease(1), grace: limits::DEFAULT_GRACE };
    assert_eq!(story.tell(SlotEvent::Tick), [stop]);
    assert_eq!(story.tell(SlotEvent::Tick), [], "once");
    assert_eq!(story.ends(1, 1), [SlotEffect::Forget(lease(1))]);
    assert_eq!(story.table.held(), [Held { lease: lease(0), finished: true }]);
    story.welcomed(S2, 1);
    story.now += 60_000;
    assert_eq!(story.tell(SlotEvent::Tick), [], "it has a head again");
}

#[test]
fn a_full_store_of_results_is_busy_until_the_head_has_taken_some() {
    let mut story = Story::new();
    story.runs(&[0]);
    story.starts(0, 0);
    let effects = story.tell(SlotEvent::Ended { slot: 0, lease: lease(0), bytes: 1000, next: None });
    assert_eq!(announced(&effects), Some((0, 1)));
    assert_eq!(announced(&story.hears(ToWorker::Ack(vec![lease(0)]))), Some((2, 1)));
}

#[test]
fn a_stall_longer_than_the_lease_ends_the_session_unread() {
    for wakes_by_message in [true, false] {
        let mut story = Story::new();
        story.runs(&[0]);
        story.now += limits::LEASE.as_millis() as u64 + 1;
        let effects = if wakes_by_message { story.runs(&[1]) } else { story.prepared(0, 0, Preparation::Ready) };
        assert_eq!(effects, [SlotEffect::EndSession(S1), SlotEffect::CancelPrepare { slot: 0 }]);
        assert_eq!(story.runs(&[1]), [], "nothing more is read of it");
        assert!(story.table.held().is_empty());
    }
}

#[test]
fn a_heartbeat_keeps_the_lease() {
    let mut story = Story::new();
    story.runs(&[0]);
    for _ in 0..5 {
        let stamp = Instant(story.now);
        story.now += limits::LEASE.as_millis() as u64;
        story.hears(ToWorker::Heartbeat(stamp));
    }
    story.starts(0, 0);
}

#[test]
fn a_heartbeat_that_took_long_keeps_no_lease_longer_than_its_stamp() {
    let mut story = Story::new();
    story.runs(&[0]);
    let stamp = Instant(story.now);
    story.now += limits::LEASE.as_millis() as u64;
    story.hears(ToWorker::Heartbeat(stamp));
    story.now += 1;
    assert_eq!(story.runs(&[1]), [SlotEffect::EndSession(S1), SlotEffect::CancelPrepare { slot: 0 }]);
}

#[test]
fn when_the_session_ends_what_runs_goes_on_and_what_prepares_is_dropped() {
    let mut story = Story::new();
    story.runs(&[0, 1]);
    story.starts(0, 0);
    assert_eq!(story.tell(SlotEvent::Disconnected(S1)), [SlotEffect::CancelPrepare { slot: 1 }]);
    assert_eq!(story.table.held(), [Held { lease: lease(0), finished: false }]);
    assert_eq!(announced(&story.welcomed(S2, 1)), Some((1, 0)));
}

#[test]
fn a_new_session_takes_nothing_over_that_was_not_in_the_hello() {
    let mut story = Story::new();
    story.runs(&[0, 1]);
    story.starts(0, 0);
    story.table.held();
    // The end of the old session was not noticed.
    let effects = story.welcomed(S2, 1);
    assert!(effects.contains(&SlotEffect::CancelPrepare { slot: 1 }));
    assert_eq!((story.prepared(1, 1, Preparation::Ready), announced(&effects)), (vec![], Some((1, 0))));
}

#[test]
fn nothing_of_an_older_session_is_obeyed() {
    let mut story = Story::new();
    story.welcomed(S2, 1);
    assert_eq!(story.tell(SlotEvent::Said(S1, ToWorker::Runs(vec![Run { seq: 1, lease: lease(0), chunk: None }]))), []);
    assert_eq!(story.tell(SlotEvent::Disconnected(S1)), []);
    assert!(story.table.session_is(S2));
}

#[test]
fn a_lower_epoch_is_not_obeyed_and_a_higher_one_is_kept() {
    let mut story = Story::new();
    assert!(story.welcomed(S2, 3).contains(&SlotEffect::KeepEpoch(Epoch(3))));
    assert_eq!(story.welcomed(SessionId(3), 2), [SlotEffect::EndSession(SessionId(3))]);
    assert_eq!((story.table.epoch(), story.table.session_is(S2)), (Epoch(3), true));
}

#[test]
fn a_verdict_decides_on_each_thing_held() {
    let mut story = Story::new();
    story.runs(&[0, 1]);
    story.starts(0, 0);
    story.starts(1, 1);
    story.tell(SlotEvent::Disconnected(S1));
    story.ends(1, 1);
    story.table.held();
    assert!(!story.welcomed(S2, 2).iter().any(|effect| matches!(effect, SlotEffect::Deliver(_))), "not before it is asked for");
    let renewed = |no| Lease { epoch: Epoch(2), ..lease(no) };
    assert_eq!(story.hears(ToWorker::Verdict(lease(0), Verdict::Adopt)), []);
    assert_eq!(story.hears(ToWorker::Verdict(lease(1), Verdict::Send)), [SlotEffect::Deliver(renewed(1))]);
    assert!(story.ends(0, 0).contains(&SlotEffect::Deliver(renewed(0))), "an adopted task ends under the new epoch");
}

#[test]
fn a_verdict_that_finds_the_task_ended_meanwhile_asks_for_its_result() {
    let mut story = Story::new();
    story.runs(&[0]);
    story.starts(0, 0);
    story.tell(SlotEvent::Disconnected(S1));
    story.table.held();
    story.welcomed(S2, 1);
    assert!(!story.ends(0, 0).contains(&SlotEffect::Deliver(lease(0))));
    assert_eq!(story.hears(ToWorker::Verdict(lease(0), Verdict::Adopt)), [SlotEffect::Deliver(lease(0))]);
}

#[test]
fn what_the_head_wants_and_the_worker_no_longer_has_is_given_back() {
    for verdict in [Verdict::Adopt, Verdict::Send] {
        let effects = Story::new().hears(ToWorker::Verdict(lease(0), verdict));
        assert_eq!(effects, [SlotEffect::Say(FromWorker::Declined(lease(0)))]);
    }
}

#[test]
fn what_nobody_wants_is_stopped_and_leaves_no_result() {
    let mut story = Story::new();
    story.runs(&[0, 1]);
    story.starts(0, 0);
    story.starts(1, 1);
    story.tell(SlotEvent::Disconnected(S1));
    story.ends(1, 1);
    story.table.held();
    story.welcomed(S2, 1);
    let effects = story.hears(ToWorker::Verdict(lease(0), Verdict::Stop));
    assert_eq!(effects[0], SlotEffect::Stop { slot: 0, lease: lease(0), grace: limits::DEFAULT_GRACE });
    assert!(story.ends(0, 0).contains(&SlotEffect::Forget(lease(0))));
    assert!(story.hears(ToWorker::Verdict(lease(1), Verdict::Stop)).contains(&SlotEffect::Forget(lease(1))));
    assert!(story.table.is_empty());
}

#[test]
fn stopping_what_has_not_started_gives_it_back() {
    let mut story = Story::new();
    story.runs(&[0]);
    let effects = story.hears(ToWorker::Stop(lease(0), Duration::ZERO));
    assert_eq!(effects[..2], [SlotEffect::CancelPrepare { slot: 0 }, SlotEffect::Say(FromWorker::Declined(lease(0)))]);
    story.runs(&[1]);
    story.starts(0, 1);
    let effects = story.hears(ToWorker::Stop(lease(1), Duration::ZERO));
    assert_eq!(effects, [SlotEffect::Stop { slot: 0, lease: lease(1), grace: Duration::ZERO }]);
    assert!(story.ends(0, 1).contains(&SlotEffect::Deliver(lease(1))), "how it ended is still told");
}

#[test]
fn a_worker_full_of_results_takes_no_tasks() {
    let mut story = Story::new();
    for no in 0..4 {
        story.runs(&[no]);
        story.starts(0, no);
        story.ends(0, no);
    }
    assert_eq!(announced(&story.said), Some((0, 4)));
    assert!(says(&story.runs(&[4]), &FromWorker::Declined(lease(4))));
    assert_eq!(announced(&story.hears(ToWorker::Ack(vec![lease(0)]))), Some((2, 5)));
}

#[test]
fn a_draining_worker_leaves_once_it_is_empty_and_all_is_acknowledged() {
    let mut story = Story::new();
    story.runs(&[0]);
    story.starts(0, 0);
    assert_eq!(announced(&story.hears(ToWorker::Drain(true))), Some((0, 1)));
    story.ends(0, 0);
    assert!(!story.said.contains(&SlotEffect::Leave), "its result is still here");
    let effects = story.hears(ToWorker::Ack(vec![lease(0)]));
    assert_eq!(effects[effects.len() - 2..], [SlotEffect::Say(FromWorker::Goodbye), SlotEffect::Leave]);
    assert_eq!(story.hears(ToWorker::Heartbeat(Instant(0))), [], "it leaves once");
}

#[test]
fn a_worker_that_has_said_goodbye_takes_nothing_any_more() {
    let mut story = Story::new();
    assert!(story.hears(ToWorker::Drain(true)).contains(&SlotEffect::Leave));
    assert_eq!(announced(&story.hears(ToWorker::Drain(false))), None, "too late");
    assert!(story.runs(&[0]).contains(&SlotEffect::Say(FromWorker::Declined(lease(0)))));
}

/// Who has made room on its disk need not wait for the end of the rest.
#[test]
fn a_person_who_lets_a_worker_back_ends_its_rest() {
    let mut story = Story::new();
    story.runs(&[0]);
    story.starts(0, 0);
    story.tell(SlotEvent::Machine(Health::Failed));
    story.ends(0, 0);
    let effects = story.hears(ToWorker::Drain(false));
    assert!(announced(&effects) == Some((2, 1)) && says(&effects, &FromWorker::Standing(Standing::Serving)), "{effects:?}");
}

#[test]
fn a_worker_that_may_stay_takes_tasks_again() {
    let mut story = Story::new();
    story.runs(&[0]);
    story.hears(ToWorker::Drain(true));
    assert_eq!(announced(&story.hears(ToWorker::Drain(false))), Some((1, 1)));
    assert!(!story.said.contains(&SlotEffect::Leave));
}

fn nonsense() -> impl Strategy<Value = SlotEvent> {
    let session = || (1u64..4).prop_map(SessionId);
    let lease =
        (0u32..5, 1u32..3, 0u64..3).prop_map(|(no, attempt, epoch)| Lease { attempt: Attempt(attempt), epoch: Epoch(epoch), ..lease(no) });
    let how = prop_oneof![4 => Just(Preparation::Ready), 1 => Just(Preparation::Failed), 1 => Just(Preparation::Declined)];
    let verdict = prop_oneof![Just(Verdict::Adopt), Just(Verdict::AdoptFrozen), Just(Verdict::Stop), Just(Verdict::Send)];
    let said = prop_oneof![
        1 => (0u64..3, session(), 0u64..30_000).prop_map(|(epoch, session, stamp)| ToWorker::Welcome {
            worker: WorkerId(1),
            epoch: Epoch(epoch),
            session,
            stamp: Instant(stamp),
        }),
        6 => prop::collection::vec((any::<u64>(), lease.clone()), 0..4)
            .prop_map(|runs| ToWorker::Runs(runs.into_iter().map(|(seq, lease)| Run { seq, lease, chunk: None }).collect())),
        1 => Just(ToWorker::Fence(FenceId(1), JobId(7))),
        1 => lease.clone().prop_map(|lease| ToWorker::Stop(lease, Duration::ZERO)),
        1 => (lease.clone(), any::<bool>()).prop_map(|(lease, frozen)| ToWorker::Freeze(lease, frozen)),
        2 => (lease.clone(), verdict).prop_map(|(lease, verdict)| ToWorker::Verdict(lease, verdict)),
        2 => prop::collection::vec(lease.clone(), 0..3).prop_map(ToWorker::Ack),
        1 => any::<bool>().prop_map(ToWorker::Drain),
        1 => (0u64..30_000).prop_map(|stamp| ToWorker::Heartbeat(Instant(stamp))),
    ];
    prop_oneof![
        6 => (session(), said).prop_map(|(session, message)| SlotEvent::Said(session, message)),
        1 => session().prop_map(SlotEvent::Disconnected),
        4 => (0usize..4, lease.clone(), how).prop_map(|(slot, lease, how)| SlotEvent::Prepared { slot, lease, how }),
        4 => (0usize..4, lease.clone(), 0u64..2000).prop_map(|(slot, lease, bytes)| SlotEvent::Ended { slot, lease, bytes, next: None }),
        2 => Just(SlotEvent::Tick),
        1 => prop_oneof![Just(Health::Sound), Just(Health::Failed)].prop_map(SlotEvent::Machine),
        1 => any::<bool>().prop_map(SlotEvent::Drain),
    ]
}

proptest! {
    #[test]
    fn no_sequence_of_events_breaks_a_slot_table(events in prop::collection::vec((nonsense(), 0u64..3000, any::<bool>()), 0..80)) {
        let mut story = Story::new();
        for (event, later, asked) in events {
            story.now += later;
            let effects = story.tell(event);
            prop_assert!(story.table.running().count() as u32 + story.table.free() <= 2);
            prop_assert!(announced(&effects).is_none_or(|(free, _)| free <= 2));
            prop_assert!(story.table.results.leases().count() <= 4 + 2, "results have a bound");
            if asked {
                prop_assert!(story.table.held().len() <= 2 + 6);
            }
        }
    }
}
