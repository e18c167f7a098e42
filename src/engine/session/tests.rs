//! A session's room, leases and fences, told as stories.

use proptest::prelude::*;

use super::*;
use crate::domain::WallTime;
use crate::domain::wire::{Finished, ResultBytes};
use crate::domain::{Outcome, Packed, Timing};

const JOB: JobId = JobId(7);

fn lease(no: u32, attempt: u32) -> Lease {
    Lease { job: JOB, no: TaskNo(no), attempt: Attempt(attempt), epoch: Epoch(1) }
}

fn cpus(cpus: u32) -> Resources {
    Resources { cpus, ..Resources::default() }
}

fn now(ms: u64) -> Now {
    Now { mono: Instant(ms), wall: WallTime(0) }
}

fn finished(lease: Lease) -> FromWorker {
    let (outcome, timing) = (Outcome::Exited { code: 0 }, Timing::default());
    FromWorker::Finished(Box::new(Finished { lease, outcome, timing, packed: Packed::default(), bytes: ResultBytes::Inline(Vec::new()) }))
}

struct Story {
    session: Session,
    now: u64,
    last_grant: u64,
}

impl Story {
    /// A worker with four slots and eight cpus, all free.
    fn new() -> Self {
        let mut story = Self { session: Session::new(SessionId(1), WorkerId(1), 4, cpus(8), now(0)), now: 0, last_grant: 0 };
        story.says(FromWorker::Room { room: Room::of_slots(4), last_run_seen: 0 });
        story
    }

    fn tell(&mut self, event: SessionEvent) -> Vec<SessionEffect> {
        let effects = self.session.on_event(event, now(self.now));
        self.session.check(Epoch(9)).unwrap();
        effects
    }

    fn says(&mut self, message: FromWorker) -> Vec<SessionEffect> {
        self.tell(SessionEvent::Said(message))
    }

    fn deliver(&mut self, nos: &[u32]) -> Vec<SessionEffect> {
        self.last_grant += 1;
        let runs = nos.iter().map(|no| Delivery { lease: lease(*no, 1), chunk: None }).collect();
        self.tell(SessionEvent::Deliver { grant: GrantId(self.last_grant), job: JOB, needs: cpus(2), runs })
    }
}

/// The last room told to the supervisor: slots, cpus.
fn room(effects: &[SessionEffect]) -> Option<(u32, u32)> {
    effects.iter().rev().find_map(|effect| match effect {
        SessionEffect::Room { room, free, .. } => Some((room.free, free.cpus)),
        _ => None,
    })
}

fn sent(effects: &[SessionEffect]) -> Vec<u32> {
    let runs = effects.iter().filter_map(|effect| match effect {
        SessionEffect::Send(ToWorker::Runs(runs)) => Some(runs),
        _ => None,
    });
    runs.flatten().map(|run| run.lease.no.0).collect()
}

#[test]
fn what_was_granted_twice_goes_back_where_it_does_not_fit() {
    let mut story = Story::new();
    story.deliver(&[0, 1, 2]);
    let runs = [3, 4].map(|no| Delivery { lease: lease(no, 1), chunk: None }).into();
    let effects = story.tell(SessionEvent::Deliver { grant: GrantId(9), job: JOB, needs: cpus(3), runs });
    assert!(effects.contains(&SessionEffect::Returned(JOB, vec![lease(3, 1), lease(4, 1)])), "two cpus are left, and one slot");
    let effects = story.deliver(&[5, 6]);
    assert!(effects.contains(&SessionEffect::Returned(JOB, vec![lease(6, 1)])));
    assert_eq!(story.session.used(), cpus(8));
}

#[test]
fn a_worker_has_no_room_before_it_says_so() {
    let session = Session::new(SessionId(1), WorkerId(1), 4, cpus(8), now(0));
    assert_eq!(session.room(), Room::default());
}

#[test]
fn room_is_what_is_announced_less_what_the_announcement_had_not_seen() {
    let mut story = Story::new();
    let effects = story.deliver(&[0, 1, 2]);
    assert_eq!((sent(&effects), room(&effects)), (vec![0, 1, 2], Some((1, 2))));
    assert!(effects.iter().any(|effect| matches!(effect, SessionEffect::Room { settled, .. } if *settled == [GrantId(1)])));
    // An announcement that crossed the runs makes no room.
    assert_eq!(room(&story.says(FromWorker::Room { room: Room::of_slots(4), last_run_seen: 0 })), Some((1, 2)));
    assert_eq!(room(&story.says(FromWorker::Room { room: Room::of_slots(2), last_run_seen: 2 })), Some((1, 2)));
    assert_eq!(room(&story.says(FromWorker::Room { room: Room::of_slots(1), last_run_seen: 3 })), Some((1, 2)));
    assert_eq!(room(&story.says(FromWorker::Room { room: Room::of_slots(1), last_run_seen: 3 })), Some((1, 2)), "nor does a repeated one");
    assert_eq!(
        room(&story.says(FromWorker::Room { room: Room::of_slots(99), last_run_seen: 99 })),
        Some((4, 2)),
        "nor one beyond all bounds"
    );
}

#[test]
fn what_does_not_fit_any_more_goes_back() {
    let mut story = Story::new();
    story.says(FromWorker::Room { room: Room::of_slots(1), last_run_seen: 0 });
    let effects = story.deliver(&[0, 1]);
    assert_eq!(sent(&effects), [0]);
    assert!(effects.contains(&SessionEffect::Returned(JOB, vec![lease(1, 1)])));
}

#[test]
fn an_empty_delivery_settles_its_grant() {
    let effects = Story::new().deliver(&[]);
    assert_eq!(effects, [SessionEffect::Room { room: Room::of_slots(4), free: cpus(8), settled: vec![GrantId(1)], trust: Trust::Trusted }]);
}

#[test]
fn a_job_is_introduced_once_before_its_first_run() {
    let mut story = Story::new();
    let introductions = |effects: &[SessionEffect]| effects.iter().filter(|effect| matches!(effect, SessionEffect::Introduce(_))).count();
    assert_eq!(story.deliver(&[0])[0], SessionEffect::Introduce(JOB));
    assert_eq!(introductions(&story.deliver(&[1])), 0);
}

#[test]
fn jobs_long_gone_are_not_remembered_for_ever() {
    let mut story = Story::new();
    for number in 1..5000 {
        let run = Lease { job: JobId(number), ..lease(0, 1) };
        let runs = vec![Delivery { lease: run, chunk: None }];
        story.tell(SessionEvent::Deliver { grant: GrantId(number), job: JobId(number), needs: cpus(0), runs });
        story.says(finished(run));
        story.tell(SessionEvent::Pass(ToWorker::Ack(vec![run])));
        story.says(FromWorker::Room { room: Room::of_slots(4), last_run_seen: number });
    }
    assert!(story.session.introduced.len() <= limits::INTRODUCED_JOBS_MAX && story.session.unacknowledged.is_empty());
}

#[test]
fn a_declined_run_goes_back_to_its_job_and_frees_its_resources() {
    let mut story = Story::new();
    story.deliver(&[0]);
    let effects = story.says(FromWorker::Declined(lease(0, 1)));
    assert!(effects.contains(&SessionEffect::Returned(JOB, vec![lease(0, 1)])));
    assert_eq!(room(&effects), Some((3, 8)), "the slot is counted as free only by the worker");
    assert_eq!(story.session.leases().count(), 0);
}

#[test]
fn a_fence_is_answered_under_the_jobs_own_number() {
    let mut story = Story::new();
    story.deliver(&[0, 1]);
    assert_eq!(story.tell(SessionEvent::Fence(FenceId(900), JOB)), [SessionEffect::Send(ToWorker::Fence(FenceId(1), JOB))]);
    let (started, dropped) = (vec![lease(0, 1)], vec![lease(1, 1)]);
    let effects = story.says(FromWorker::Fenced { fence: FenceId(1), started: started.clone(), dropped: dropped.clone() });
    assert_eq!(effects[0], SessionEffect::Fenced { job: JOB, fence: FenceId(900), started: started.clone(), dropped: dropped.clone() });
    assert_eq!(story.session.leases().collect::<Vec<_>>(), [(lease(0, 1), true)]);
    // An answer that nobody asked for loses no task either.
    let effects = story.says(FromWorker::Fenced { fence: FenceId(5), started, dropped: dropped.clone() });
    assert!(effects.contains(&SessionEffect::Returned(JOB, dropped)));
}

#[test]
fn what_a_worker_claims_takes_its_resources_until_it_ends_or_is_refused() {
    let mut story = Story::new();
    assert_eq!(room(&story.tell(SessionEvent::Adopted(lease(0, 1), cpus(3)))), Some((4, 5)));
    assert_eq!(room(&story.tell(SessionEvent::Adopted(lease(1, 1), cpus(3)))), Some((4, 2)));
    let refused = SessionEvent::Pass(ToWorker::Verdict(lease(0, 1), Verdict::Stop));
    assert_eq!(room(&story.tell(refused)), Some((4, 5)));
    assert_eq!(room(&story.says(finished(lease(1, 1)))), Some((4, 8)));
}

#[test]
fn two_attempts_of_one_task_are_held_apart() {
    let mut story = Story::new();
    story.tell(SessionEvent::Adopted(lease(0, 2), cpus(3)));
    // The result of an older attempt, asked for in case it is a success.
    story.tell(SessionEvent::Adopted(lease(0, 1), cpus(0)));
    assert_eq!(room(&story.says(finished(lease(0, 1)))), Some((4, 5)));
    assert_eq!(story.session.leases().collect::<Vec<_>>(), [(lease(0, 2), true)]);
}

#[test]
fn a_result_is_remembered_until_it_is_acknowledged() {
    let mut story = Story::new();
    story.deliver(&[0]);
    story.says(finished(lease(0, 1)));
    assert_eq!(story.session.unacknowledged().collect::<Vec<_>>(), [lease(0, 1)]);
    story.says(finished(lease(5, 1)));
    assert_eq!(story.session.unacknowledged().count(), 1, "not one that nobody asked for");
    story.tell(SessionEvent::Pass(ToWorker::Ack(vec![lease(0, 1)])));
    assert_eq!(story.session.unacknowledged().count(), 0);
}

#[test]
fn a_silent_worker_is_lost_and_whatever_it_says_is_a_sign_of_life() {
    let mut story = Story::new();
    let silent = limits::WORKER_SILENT_AFTER.as_millis() as u64;
    story.now = silent - 1;
    assert_eq!(story.tell(SessionEvent::Tick), []);
    let effects = story.says(FromWorker::Heartbeat(Instant(7)));
    assert_eq!(effects, [SessionEffect::Send(ToWorker::Heartbeat(Instant(7)))], "the worker's lease runs from its own stamp");
    story.now += silent - 1;
    // A connection that breaks now has just been heard: what started there is not given to others at once.
    story.says(FromWorker::Started(vec![lease(0, 1)]));
    let heard = story.now;
    assert_eq!(story.session.heard(), Instant(heard));
    story.now += silent - 1;
    assert_eq!(story.tell(SessionEvent::Tick), []);
    story.now += 1;
    assert_eq!(story.tell(SessionEvent::Tick), [SessionEffect::Over { goodbye: false }]);
}

/// Attempts that fail, of two jobs in turn.
fn fails(story: &mut Story, nos: std::ops::Range<u32>) -> Vec<SessionEffect> {
    let mut effects = Vec::new();
    for no in nos {
        let lease = Lease { job: JobId(u64::from(no % 2)), ..lease(no, 1) };
        story.tell(SessionEvent::Adopted(lease, cpus(0)));
        let FromWorker::Finished(mut finished) = finished(lease) else { return effects };
        finished.outcome = Outcome::Exited { code: 1 };
        effects = story.says(FromWorker::Finished(finished));
    }
    effects
}

#[test]
fn a_worker_on_which_tasks_of_several_jobs_fail_is_suspected_tried_and_let_back() {
    let trust = |effects: &[SessionEffect]| match effects.last() {
        Some(SessionEffect::Room { trust, .. }) => Some(*trust),
        _ => None,
    };
    let mut story = Story::new();
    assert_eq!(trust(&fails(&mut story, 0..4)), Some(Trust::Trusted));
    let effects = fails(&mut story, 4..5);
    assert!(
        matches!(&effects[..], [SessionEffect::Suspicion(Some(_)), SessionEffect::Room { trust: Trust::Suspected, .. }]),
        "{effects:?}"
    );
    assert_eq!(story.tell(SessionEvent::Tick), []);
    story.now += limits::SUSPECT_PROBE_FIRST.as_millis() as u64;
    story.says(FromWorker::Heartbeat(Instant(0)));
    assert_eq!(trust(&story.tell(SessionEvent::Tick)), Some(Trust::Probe));
    assert_eq!(trust(&story.deliver(&[9])), Some(Trust::Suspected), "one task is enough to try");
    let effects = story.says(finished(lease(9, 1)));
    assert!(matches!(&effects[..], [SessionEffect::Suspicion(None), SessionEffect::Room { trust: Trust::Trusted, .. }]), "{effects:?}");
}

#[test]
fn a_person_can_trust_a_worker_again() {
    let mut story = Story::new();
    fails(&mut story, 0..5);
    assert!(story.session.suspicion(now(story.now)).is_some());
    assert!(story.tell(SessionEvent::Drain(false)).contains(&SessionEffect::Suspicion(None)));
    assert_eq!(story.session.suspicion(now(story.now)), None);
}

#[test]
fn a_goodbye_with_tasks_in_hand_is_none() {
    let mut story = Story::new();
    story.deliver(&[0]);
    assert_eq!(story.says(FromWorker::Goodbye), [SessionEffect::Over { goodbye: false }]);
    story.says(finished(lease(0, 1)));
    assert_eq!(story.says(FromWorker::Goodbye), [SessionEffect::Over { goodbye: true }]);
}

#[test]
fn a_draining_worker_gets_nothing_until_it_may_again() {
    let mut story = Story::new();
    assert_eq!(room(&story.tell(SessionEvent::Drain(true))), Some((0, 8)));
    let effects = story.deliver(&[0]);
    assert_eq!((sent(&effects), room(&effects)), (vec![], Some((0, 8))));
    assert_eq!(room(&story.tell(SessionEvent::Drain(false))), Some((4, 8)));
}

#[test]
fn it_knows_how_the_worker_stands_by_its_own_word_or_a_persons() {
    let mut story = Story { session: Session::new(SessionId(1), WorkerId(1), 4, cpus(8), now(0)), now: 0, last_grant: 0 };
    assert_eq!((story.session.free_announced(), story.session.standing()), (None, Standing::Serving));
    story.says(FromWorker::Room { room: Room::of_slots(0), last_run_seen: 0 });
    assert_eq!(story.session.free_announced(), Some(0));
    story.says(FromWorker::Standing(Standing::Resting));
    story.tell(SessionEvent::Drain(true));
    assert_eq!(story.session.standing(), Standing::Leaving);
    story.tell(SessionEvent::Drain(false));
    assert_eq!(story.session.standing(), Standing::Resting, "that was nobody's but the worker's to say");
}

fn nonsense() -> impl Strategy<Value = SessionEvent> {
    let lease = (0u32..6, 0u32..3, 1u64..3).prop_map(|(no, attempt, job)| Lease { job: JobId(job), ..lease(no, attempt) });
    let leases = || prop::collection::vec(lease.clone(), 0..6);
    let said = prop_oneof![
        (any::<u32>(), any::<u32>(), prop_oneof![0u64..9, Just(u64::MAX)])
            .prop_map(|(free, ahead, last_run_seen)| FromWorker::Room { room: Room { free, ahead }, last_run_seen }),
        prop_oneof![Just(Standing::Serving), Just(Standing::Leaving), Just(Standing::Resting)].prop_map(FromWorker::Standing),
        leases().prop_map(FromWorker::Started),
        lease.clone().prop_map(FromWorker::Declined),
        (0u64..4, leases(), leases()).prop_map(|(fence, started, dropped)| FromWorker::Fenced { fence: FenceId(fence), started, dropped }),
        lease.clone().prop_map(finished),
        Just(FromWorker::Goodbye),
        any::<u64>().prop_map(|stamp| FromWorker::Heartbeat(Instant(stamp))),
    ];
    prop_oneof![
        3 => (0u64..9, 1u64..3, 0u32..9, leases()).prop_map(|(grant, job, needs, leases)| SessionEvent::Deliver {
            grant: GrantId(grant),
            job: JobId(job),
            needs: cpus(needs),
            runs: leases.into_iter().map(|lease| Delivery { lease, chunk: None }).collect(),
        }),
        6 => said.prop_map(SessionEvent::Said),
        1 => (0u64..9, 1u64..3).prop_map(|(fence, job)| SessionEvent::Fence(FenceId(fence), JobId(job))),
        1 => (lease.clone(), any::<u32>()).prop_map(|(lease, needs)| SessionEvent::Adopted(lease, cpus(needs))),
        1 => leases().prop_map(|leases| SessionEvent::Pass(ToWorker::Ack(leases))),
        1 => lease.clone().prop_map(|lease| SessionEvent::Pass(ToWorker::Verdict(lease, Verdict::Stop))),
        1 => any::<bool>().prop_map(SessionEvent::Drain),
        1 => Just(SessionEvent::Tick),
    ]
}

proptest! {
    #[test]
    fn no_sequence_of_events_breaks_a_session(events in prop::collection::vec(nonsense(), 0..60)) {
        let mut story = Story::new();
        for event in events {
            story.now += 500;
            let effects = story.tell(event);
            prop_assert!(room(&effects).is_none_or(|(room, cpus)| room <= 4 && cpus <= 8));
        }
    }
}
