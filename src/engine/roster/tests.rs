//! Whose task goes next, and that no slot is granted twice or lost, told as stories.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::domain::testing::job_spec;
use crate::domain::verb::{Counts, Hold};
use crate::domain::{ArrayRange, EtaScore, Input, JobSpec, JobState, WallTime};
use crate::engine::eta::{InHands, Times};
use crate::engine::rank::Rule;

mod quota;
mod starvation;

fn cpus(cpus: u32) -> Resources {
    Resources { cpus, ..Resources::default() }
}

/// A waiting job of so many tasks, none started.
pub(in crate::engine) fn a_job(id: u64, owner: &str, tasks: u32) -> JobView {
    let array = ArrayRange { first: 0, last: 0, step: 1 };
    let spec = Arc::new(JobSpec { owner: owner.into(), input: Input::Array(array), ..job_spec() });
    JobView {
        id: JobId(id),
        spec: spec.clone(),
        first_spec: spec,
        state: JobState::Waiting,
        held: false,
        killed: false,
        note: String::new(),
        priority: 0,
        max_running: None,
        counts: Counts { total: tasks, undispatched: tasks, ..Counts::default() },
        wanted: tasks,
        out: 0,
        limbo: 0,
        hold: Hold::default(),
        delayed: 0,
        round: 1,
        last_grant: GrantId(0),
        times: Times::default(),
        in_hands: InHands::default(),
        since: None,
        eta_score: EtaScore::default(),
        said: Arc::default(),
        created: WallTime(0),
        began: None,
        ended: None,
    }
}

pub(in crate::engine) fn needing(mut view: JobView, needs: Resources) -> JobView {
    let mut spec = JobSpec::clone(&view.spec);
    spec.needs = needs;
    view.spec = Arc::new(spec);
    view
}

/// As if so many of its tasks were started.
pub(in crate::engine) fn begun(mut view: JobView, running: u32) -> JobView {
    view.counts.undispatched -= running;
    view.counts.running = running;
    (view.wanted, view.out, view.state) = (view.counts.undispatched, running, JobState::Running);
    view
}

fn of_priority(view: JobView, priority: i32) -> JobView {
    JobView { priority, ..view }
}

pub(in crate::engine) fn opened(roster: &mut Roster, session: u64, slots: u32, total: Resources) {
    roster.on_event(RosterEvent::Opened { session: SessionId(session), worker: WorkerId(session as u32), slots, total });
}

fn room(roster: &mut Roster, session: u64, room: u32, free: Resources) -> Vec<(u64, u32)> {
    let event =
        RosterEvent::Room { session: SessionId(session), room: Room::of_slots(room), free, settled: Vec::new(), trust: Trust::Trusted };
    granted(&roster.on_event(event))
}

/// As much room as cpus at the first worker, with one grant in it.
fn settled(roster: &mut Roster, room: u32, grant: u64) -> Vec<(u64, u32)> {
    let settled = vec![GrantId(grant)];
    granted(&roster.on_event(RosterEvent::Room {
        session: SessionId(1),
        room: Room::of_slots(room),
        free: cpus(room),
        settled,
        trust: Trust::Trusted,
    }))
}

/// Job and slots of each grant.
fn granted(effects: &[RosterEffect]) -> Vec<(u64, u32)> {
    let slots = |effect: &RosterEffect| match effect {
        RosterEffect::Grant { job, slots, .. } => Some((job.0, *slots)),
        RosterEffect::Recall(_) => None,
    };
    effects.iter().filter_map(slots).collect()
}

/// What the jobs are granted of one worker with so many slots.
fn share(slots: u32, jobs: Vec<JobView>) -> Vec<(u64, u32)> {
    let mut roster = Roster::default();
    opened(&mut roster, 1, slots, cpus(100));
    jobs.into_iter().for_each(|view| {
        roster.on_event(RosterEvent::Job(Box::new(view)));
    });
    room(&mut roster, 1, slots, cpus(100))
}

#[test]
fn the_higher_priority_goes_first_then_the_older() {
    let jobs = vec![a_job(1, "ada", 2), of_priority(a_job(2, "ada", 2), 5), a_job(3, "ada", 2)];
    assert_eq!(share(5, jobs), [(2, 2), (1, 2), (3, 1)]);
}

#[test]
fn among_equal_priorities_the_owner_with_fewer_slots_goes_first() {
    let jobs = vec![begun(a_job(1, "ada", 100), 4), a_job(2, "bob", 100), a_job(3, "ada", 100)];
    assert_eq!(share(4, jobs.clone()), [(2, 4)], "until he has as many");
    let shares = share(10, jobs);
    assert_eq!(shares.iter().filter(|(job, _)| *job == 2).map(|(_, slots)| slots).sum::<u32>(), 7);
    assert_eq!(shares.iter().filter(|(job, _)| *job == 1).map(|(_, slots)| slots).sum::<u32>(), 3);
}

#[test]
fn a_job_past_its_finish_line_is_not_trumped() {
    let almost_done = begun(a_job(1, "ada", 100), 95);
    let urgent = of_priority(a_job(2, "bob", 100), 9);
    assert_eq!(share(8, vec![almost_done, urgent.clone()]), [(1, 5), (2, 3)]);
    let not_quite = begun(a_job(1, "ada", 100), 94);
    assert_eq!(share(8, vec![not_quite, urgent]), [(2, 8)]);
}

#[test]
fn the_last_five_percent_of_a_huge_job_hold_nobody_up() {
    let urgent = of_priority(a_job(2, "bob", 100), 9);
    // 8 slots: at most 32 tasks may be left.
    let huge = |left: u32| begun(a_job(1, "ada", 1000), 1000 - left);
    assert_eq!(share(8, vec![huge(33), urgent.clone()]), [(2, 8)]);
    assert_eq!(share(8, vec![huge(32), urgent]), [(1, 8)]);
}

#[test]
fn a_flood_of_tiny_jobs_gains_nothing() {
    let mut jobs = vec![of_priority(a_job(1, "ada", 100), 1)];
    jobs.extend((2..200).map(|id| a_job(id, "bob", 1)));
    assert_eq!(share(8, jobs), [(1, 8)]);
    let mut jobs = vec![begun(a_job(1, "ada", 100), 8)];
    jobs.extend((2..200).map(|id| a_job(id, "ada", 1)));
    assert_eq!(share(8, jobs), [(1, 8)], "of one owner the older job goes first, however small the others are");
}

#[test]
fn a_job_that_fits_nowhere_holds_nobody_up() {
    let large = of_priority(needing(a_job(1, "ada", 5), cpus(1000)), 9);
    assert_eq!(share(4, vec![large, a_job(2, "bob", 5)]), [(2, 4)]);
}

#[test]
fn resources_are_granted_only_once() {
    let mut roster = Roster::default();
    opened(&mut roster, 1, 10, cpus(8));
    assert_eq!(room(&mut roster, 1, 10, cpus(8)), []);
    let effects = roster.on_event(RosterEvent::Job(Box::new(needing(a_job(1, "ada", 9), cpus(3)))));
    assert_eq!(granted(&effects), [(1, 2)]);
    let effects = roster.on_event(RosterEvent::Job(Box::new(needing(a_job(2, "bob", 9), cpus(2)))));
    assert_eq!(granted(&effects), [(2, 1)], "two cpus are left");
}

#[test]
fn a_task_that_waited_a_minute_for_room_gets_a_worker_kept_free() {
    let mut roster = Roster::default();
    opened(&mut roster, 1, 4, cpus(4));
    opened(&mut roster, 2, 4, cpus(4));
    let tick = |roster: &mut Roster, ms| granted(&roster.on_event(RosterEvent::Tick(Instant(ms))));
    tick(&mut roster, 1000);
    roster.on_event(RosterEvent::Job(Box::new(needing(a_job(1, "ada", 1), cpus(4)))));
    roster.on_event(RosterEvent::Job(Box::new(needing(a_job(3, "ada", 1), cpus(99)))));
    roster.on_event(RosterEvent::Job(Box::new(needing(a_job(2, "ada", 1000), cpus(1)))));
    assert_eq!(room(&mut roster, 1, 1, cpus(1)), [(2, 1)], "small tasks take the room");
    assert_eq!(tick(&mut roster, 61_000), []);
    assert_eq!(settled(&mut roster, 1, 1), [], "from now on they don't, here");
    assert_eq!(room(&mut roster, 2, 1, cpus(1)), [(2, 1)], "but there they do");
    assert_eq!(room(&mut roster, 1, 4, cpus(4)), [(1, 1)]);
    assert_eq!(settled(&mut roster, 3, 3), [(2, 3)], "and the worker is everybody's again");
}

#[test]
fn a_worker_is_kept_free_only_of_those_who_come_later() {
    let mut roster = Roster::default();
    opened(&mut roster, 1, 4, cpus(4));
    roster.on_event(RosterEvent::Tick(Instant(1000)));
    // The second large job waits for the first, whatever the small one does.
    roster.on_event(RosterEvent::Job(Box::new(needing(a_job(1, "ada", 9), cpus(3)))));
    roster.on_event(RosterEvent::Job(Box::new(needing(a_job(2, "ada", 9), cpus(4)))));
    roster.on_event(RosterEvent::Job(Box::new(needing(a_job(3, "ada", 99), cpus(1)))));
    assert_eq!(room(&mut roster, 1, 1, cpus(1)), [(3, 1)]);
    roster.on_event(RosterEvent::Tick(Instant(61_000)));
    assert_eq!(roster.reservation().map(|kept| (kept.job, kept.worker)), Some((JobId(1), WorkerId(1))));
    roster.on_event(RosterEvent::Job(Box::new(of_priority(needing(a_job(4, "bob", 1), cpus(1)), 9))));
    assert_eq!(settled(&mut roster, 2, 1), [(4, 1)], "who goes before it anyway still does");
}

#[test]
fn a_worker_under_suspicion_gets_nothing_or_one_task_to_try_unless_it_is_the_only_one() {
    let mut roster = Roster::default();
    let report = |roster: &mut Roster, session: u64, room: u32, trust: Trust| {
        let event =
            RosterEvent::Room { session: SessionId(session), room: Room::of_slots(room), free: cpus(4), settled: vec![GrantId(99)], trust };
        let effects = roster.on_event(event);
        roster.check().unwrap();
        granted(&effects)
    };
    opened(&mut roster, 1, 4, cpus(4));
    opened(&mut roster, 2, 4, cpus(4));
    report(&mut roster, 1, 4, Trust::Suspected);
    roster.on_event(RosterEvent::Job(Box::new(a_job(1, "ada", 40))));
    assert_eq!(roster.suspected().collect::<Vec<_>>(), [WorkerId(1)]);
    assert_eq!(report(&mut roster, 1, 4, Trust::Suspected), []);
    assert_eq!(report(&mut roster, 1, 4, Trust::Probe), [(1, 1)]);
    assert_eq!(report(&mut roster, 1, 4, Trust::Probe), [], "its task to try is granted and not settled");
    assert_eq!(report(&mut roster, 2, 3, Trust::Trusted), [(1, 3)]);
    assert_eq!(granted(&roster.on_event(RosterEvent::Closed(SessionId(2)))), [(1, 3)], "there is no other");
    roster.check().unwrap();
    opened(&mut roster, 3, 4, cpus(4));
    assert_eq!(report(&mut roster, 1, 4, Trust::Trusted), [], "all four are granted");
}

#[test]
fn grants_that_a_job_will_never_answer_are_free_again() {
    for gone in [true, false] {
        let mut roster = Roster::default();
        opened(&mut roster, 1, 4, cpus(4));
        roster.on_event(RosterEvent::Job(Box::new(a_job(1, "ada", 4))));
        assert_eq!(room(&mut roster, 1, 4, cpus(4)), [(1, 4)]);
        assert_eq!(roster.free_slots(), 0);
        let ended = JobView { state: JobState::Killed, wanted: 0, ..a_job(1, "ada", 4) };
        roster.on_event(if gone { RosterEvent::JobGone(JobId(1)) } else { RosterEvent::Job(Box::new(ended)) });
        assert_eq!(roster.free_slots(), 4);
    }
}

#[test]
fn the_place_names_the_rule_and_who_is_ahead() {
    let mut roster = Roster::default();
    let jobs = [
        of_priority(a_job(1, "ada", 5), 2),
        begun(a_job(2, "bob", 90), 1),
        a_job(3, "cyd", 5),
        a_job(4, "cyd", 5),
        begun(a_job(5, "dan", 40), 39),
    ];
    jobs.into_iter().for_each(|view| {
        roster.on_event(RosterEvent::Job(Box::new(view)));
    });
    opened(&mut roster, 1, 4, cpus(4));
    let place = |id| roster.place(JobId(id)).map(|place| (place.place, place.rule, place.behind.map(|ahead| ahead.0)));
    assert_eq!(place(5), Some((1, Rule::FinishLine, None)));
    assert_eq!(place(1), Some((2, Rule::FinishLine, Some(5))));
    assert_eq!(place(3), Some((3, Rule::Priority, Some(1))));
    assert_eq!(place(4), Some((4, Rule::Age, Some(3))));
    assert_eq!(place(2), Some((5, Rule::FairShare, Some(4))));
    assert_eq!(place(9), None);
}

#[test]
fn ten_thousand_waiting_jobs_do_not_make_a_grant_slow() {
    let mut roster = Roster::default();
    for id in 1..=10_000 {
        let needs = if id % 2 == 0 { cpus(1000) } else { Resources::default() };
        let view = needing(a_job(id, &format!("owner {}", id % 50), 3), needs);
        roster.on_event(RosterEvent::Job(Box::new(view)));
    }
    opened(&mut roster, 1, 4000, cpus(4));
    // With a look at every job for every slot this takes minutes.
    let grants = room(&mut roster, 1, 4000, cpus(4));
    assert_eq!(grants.iter().map(|(_, slots)| slots).sum::<u32>(), 4000);
}

/// One worker's and the jobs' side, with mail that crosses.
struct Cluster {
    roster: Roster,
    /// Per session: slots taken by tasks; grants on the way to jobs; deliveries on the way to the session; reports on the way to the roster.
    busy: BTreeMap<SessionId, u32>,
    jobs: BTreeMap<JobId, JobView>,
    to_job: BTreeMap<JobId, VecDeque<(GrantId, SessionId, u32)>>,
    to_session: BTreeMap<SessionId, VecDeque<(GrantId, JobId, u32)>>,
    from_job: BTreeMap<JobId, VecDeque<JobView>>,
    from_session: BTreeMap<SessionId, VecDeque<(u32, Vec<GrantId>)>>,
}

const SLOTS: u32 = 3;

impl Cluster {
    fn new() -> Self {
        let mut cluster = Self {
            roster: Roster::default(),
            busy: BTreeMap::new(),
            jobs: BTreeMap::new(),
            to_job: BTreeMap::new(),
            to_session: BTreeMap::new(),
            from_job: BTreeMap::new(),
            from_session: BTreeMap::new(),
        };
        for id in 1..=3 {
            opened(&mut cluster.roster, id, SLOTS, cpus(0));
            cluster.busy.insert(SessionId(id), 0);
            cluster.jobs.insert(JobId(id), a_job(id, "ada", 12));
            cluster.job_reports(JobId(id));
            cluster.session_reports(SessionId(id), Vec::new());
        }
        cluster
    }

    fn job_reports(&mut self, id: JobId) {
        self.from_job.entry(id).or_default().push_back(self.jobs[&id].clone());
    }

    fn session_reports(&mut self, id: SessionId, settled: Vec<GrantId>) {
        self.from_session.entry(id).or_default().push_back((SLOTS - self.busy[&id], settled));
    }

    fn tell(&mut self, event: RosterEvent) {
        for effect in self.roster.on_event(event) {
            let RosterEffect::Grant { job, grant, session, slots, .. } = effect else { continue };
            self.to_job.entry(job).or_default().push_back((grant, session, slots));
        }
        for session in self.busy.keys() {
            let granted: u32 = self.to_job.values().flatten().filter(|(_, at, _)| at == session).map(|(_, _, slots)| slots).sum();
            let underway: u32 = self.to_session.get(session).into_iter().flatten().map(|(_, _, runs)| runs).sum();
            assert!(self.busy[session] + granted + underway <= SLOTS, "granted more than there is: {self:?}");
        }
    }

    /// One step of one of the parties; which and how, by the dice.
    fn step(&mut self, kind: u8, which: u64, amount: u32) {
        let (job, session) = (JobId(which), SessionId(which));
        match kind {
            0 => {
                if let Some(view) = self.from_job.get_mut(&job).and_then(VecDeque::pop_front) {
                    self.tell(RosterEvent::Job(Box::new(view)));
                }
            }
            1 => {
                if let Some((room, settled)) = self.from_session.get_mut(&session).and_then(VecDeque::pop_front) {
                    self.tell(RosterEvent::Room { session, room: Room::of_slots(room), free: cpus(0), settled, trust: Trust::Trusted });
                }
            }
            2 => {
                if let Some((grant, at, slots)) = self.to_job.get_mut(&job).and_then(VecDeque::pop_front) {
                    let view = self.jobs.get_mut(&job).unwrap();
                    // It may use less than it was granted.
                    let runs = slots.min(view.wanted).saturating_sub(amount % 2);
                    view.wanted -= runs;
                    view.out += runs;
                    view.last_grant = grant;
                    self.to_session.entry(at).or_default().push_back((grant, job, runs));
                    self.job_reports(job);
                }
            }
            3 => {
                if let Some((grant, _, runs)) = self.to_session.get_mut(&session).and_then(VecDeque::pop_front) {
                    *self.busy.get_mut(&session).unwrap() += runs;
                    self.session_reports(session, vec![grant]);
                }
            }
            _ => {
                // Tasks end; whose they were does not matter here.
                let busy = self.busy.get_mut(&session).unwrap();
                *busy -= amount.min(*busy);
                self.session_reports(session, Vec::new());
            }
        }
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {:?} {:?}", self.busy, self.to_job, self.to_session)
    }
}

/// Room at a session, of which nothing is settled; all effects.
fn room_ahead(roster: &mut Roster, session: u64, free: u32, ahead: u32, settled: &[u64]) -> Vec<RosterEffect> {
    let settled = settled.iter().copied().map(GrantId).collect();
    let room = Room { free, ahead };
    roster.on_event(RosterEvent::Room { session: SessionId(session), room, free: cpus(0), settled, trust: Trust::Trusted })
}

#[test]
fn free_slots_anywhere_go_before_room_ahead() {
    let mut roster = Roster::default();
    opened(&mut roster, 1, 2, cpus(0));
    opened(&mut roster, 2, 2, cpus(0));
    assert_eq!(room_ahead(&mut roster, 1, 0, 50, &[]), []);
    assert_eq!(room_ahead(&mut roster, 2, 2, 0, &[]), []);
    let effects = roster.on_event(RosterEvent::Job(Box::new(a_job(1, "ada", 5))));
    let at: Vec<(u64, u32)> = effects
        .iter()
        .map(|effect| match effect {
            RosterEffect::Grant { session, slots, .. } => (session.0, *slots),
            RosterEffect::Recall(_) => panic!("{effects:?}"),
        })
        .collect();
    assert_eq!(at, [(2, 2), (1, 3)]);
    assert_eq!(roster.check(), Ok(()));
}

#[test]
fn what_was_sent_ahead_is_recalled_for_a_job_that_goes_before_and_only_once() {
    let mut roster = Roster::default();
    opened(&mut roster, 1, 1, cpus(0));
    opened(&mut roster, 2, 1, cpus(0));
    roster.on_event(RosterEvent::Job(Box::new(a_job(1, "ada", 100))));
    assert_eq!(granted(&room_ahead(&mut roster, 1, 1, 3, &[])), [(1, 4)]);
    assert_eq!(granted(&room_ahead(&mut roster, 2, 1, 0, &[])), [(1, 1)]);
    let of = |roster: &mut Roster, view: JobView| roster.on_event(RosterEvent::Job(Box::new(view)));
    let running = JobView { wanted: 95, out: 5, last_grant: GrantId(2), ..a_job(1, "ada", 100) };
    assert_eq!(of(&mut roster, running), []);
    assert_eq!([room_ahead(&mut roster, 1, 0, 0, &[1]), room_ahead(&mut roster, 2, 0, 0, &[2])], [vec![], vec![]]);
    assert_eq!(of(&mut roster, a_job(2, "bob", 10)), [], "an equal one waits");
    let urgent = of_priority(a_job(3, "bob", 10), 5);
    assert_eq!(of(&mut roster, urgent.clone()), [RosterEffect::Recall(SessionId(1))], "the other one has nothing ahead");
    assert_eq!(of(&mut roster, urgent), []);
    assert_eq!(granted(&room_ahead(&mut roster, 1, 0, 3, &[])), [(3, 3)]);
    let more_urgent = of_priority(a_job(4, "eve", 10), 6);
    assert_eq!(of(&mut roster, more_urgent), [RosterEffect::Recall(SessionId(1))], "what has been sent ahead since");
}

fn nonsense() -> impl Strategy<Value = RosterEvent> {
    let session = || (0u64..4).prop_map(SessionId);
    prop_oneof![
        3 => (1u64..5, 0u32..20, 0u32..20, any::<i32>(), prop_oneof![0u64..9, Just(u64::MAX)], 0u32..3).prop_map(|(id, wanted, out, priority, seen, of)| {
            let state = [JobState::Waiting, JobState::Running, JobState::Killed][of as usize];
            let last_grant = GrantId(seen);
            RosterEvent::Job(Box::new(JobView { wanted, out, priority, state, last_grant, ..needing(a_job(id, "ada", 20), cpus(of)) }))
        }),
        1 => (1u64..5).prop_map(|id| RosterEvent::JobGone(JobId(id))),
        1 => (session(), 0u32..5).prop_map(|(session, slots)| RosterEvent::Opened { session, worker: WorkerId(1), slots, total: cpus(3) }),
        3 => (session(), (0u32..50, 0u32..50), 0u32..9, prop::collection::vec((0u64..20).prop_map(GrantId), 0..4)).prop_map(
            |(session, (slots, ahead), free, settled)| {
                let room = Room { free: slots, ahead };
                RosterEvent::Room { session, room, free: cpus(free), settled, trust: Trust::Trusted }
            }
        ),
        1 => session().prop_map(RosterEvent::Closed),
        1 => (0u64..200_000).prop_map(|ms| RosterEvent::Tick(Instant(ms))),
    ]
}

proptest! {
    #[test]
    fn reports_that_cross_grants_never_grant_a_slot_twice_or_lose_one(
        steps in prop::collection::vec((0u8..5, 1u64..4, 0u32..4), 0..150),
    ) {
        let mut cluster = Cluster::new();
        for (kind, which, amount) in steps {
            cluster.step(kind, which, amount);
        }
        // Everything settles, the jobs want no more, and all tasks end: every slot can be granted.
        for id in 1..=3 {
            cluster.jobs.get_mut(&JobId(id)).unwrap().wanted = 0;
            cluster.job_reports(JobId(id));
        }
        for _ in 0..200 {
            for kind in 0..5 {
                (1..=3).for_each(|which| cluster.step(kind, which, SLOTS * 2));
            }
        }
        prop_assert_eq!(cluster.roster.free_slots(), 3 * SLOTS);
    }

    #[test]
    fn no_sequence_of_events_breaks_the_roster(events in prop::collection::vec(nonsense(), 0..60)) {
        let mut roster = Roster::default();
        for event in events {
            let before = match &event {
                RosterEvent::Room { session, room, .. } => Some((*session, room.all())),
                _ => None,
            };
            let effects = roster.on_event(event);
            if let Some((at, room)) = before {
                let slots: u32 = effects
                    .iter()
                    .map(|effect| match effect {
                        RosterEffect::Grant { session, slots, .. } if *session == at => *slots,
                        RosterEffect::Grant { .. } | RosterEffect::Recall(_) => 0,
                    })
                    .sum();
                prop_assert!(slots <= room);
            }
            roster.place(JobId(1));
        }
    }
}
