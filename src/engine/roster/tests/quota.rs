//! What owners may have at once.

use super::*;
use crate::domain::Quota;

fn slots(max: u32) -> Quota {
    Quota { slots: Some(max), ..Quota::default() }
}

fn quotas(of: &[(&str, u32)]) -> RosterEvent {
    let mut quotas = Quotas::default();
    of.iter().for_each(|(owner, max)| quotas.set((*owner).to_owned(), Some(slots(*max))));
    RosterEvent::Quotas(Box::new(quotas))
}

/// A cluster of so many free slots, with these jobs.
fn cluster(of: &[(&str, u32)], free: u32, jobs: Vec<JobView>) -> (Roster, Vec<(u64, u32)>) {
    let mut roster = Roster::default();
    roster.on_event(quotas(of));
    opened(&mut roster, 1, free, cpus(100));
    jobs.into_iter().for_each(|view| {
        roster.on_event(RosterEvent::Job(Box::new(view)));
    });
    let grants = room(&mut roster, 1, free, cpus(100));
    roster.check().unwrap();
    (roster, grants)
}

#[test]
fn an_owner_who_has_as_much_as_he_may_gets_no_more_and_holds_nobody_up() {
    let urgent = of_priority(a_job(1, "ada", 50), 9);
    let (mut roster, grants) = cluster(&[("ada", 3)], 10, vec![urgent.clone(), a_job(2, "ada", 50), a_job(3, "bob", 50)]);
    assert_eq!(grants, [(1, 3), (3, 7)]);
    assert_eq!((roster.quota_met("ada"), roster.quota_met("bob"), roster.held_by("ada")), (Some(3), None, 3));
    // One of his tasks ends; he gets its place, and no other.
    let one_less =
        JobView { last_grant: GrantId(9), counts: Counts { succeeded: 1, ..begun(urgent.clone(), 3).counts }, ..begun(urgent, 2) };
    roster.on_event(RosterEvent::Job(Box::new(one_less)));
    let settled = vec![GrantId(1), GrantId(2)];
    let room = Room::of_slots(2);
    let event = RosterEvent::Room { session: SessionId(1), room, free: cpus(100), settled, trust: Trust::Trusted };
    assert_eq!(granted(&roster.on_event(event)), [(1, 1), (3, 1)]);
}

#[test]
fn that_of_everybody_is_for_each_and_one_s_own_goes_before_it() {
    let jobs = vec![a_job(1, "ada", 50), a_job(2, "bob", 50), a_job(3, "eve", 50)];
    let (_, grants) = cluster(&[("*", 2), ("eve", 4)], 20, jobs);
    let of = |job| grants.iter().filter(|(id, _)| *id == job).map(|(_, slots)| slots).sum::<u32>();
    assert_eq!([of(1), of(2), of(3)], [2, 2, 4]);
}

#[test]
fn a_higher_quota_counts_at_once_and_a_lower_one_takes_nothing_back() {
    let (mut roster, grants) = cluster(&[("ada", 3)], 10, vec![a_job(1, "ada", 50)]);
    assert_eq!(grants, [(1, 3)]);
    assert_eq!(granted(&roster.on_event(quotas(&[("ada", 1)]))), []);
    assert_eq!(roster.held_by("ada"), 3);
    assert_eq!(granted(&roster.on_event(quotas(&[("ada", 5)]))), [(1, 2)]);
    assert_eq!(granted(&roster.on_event(quotas(&[]))), [(1, 5)]);
}

#[test]
fn what_a_quota_keeps_back_is_no_demand_and_gets_no_worker_kept_free() {
    let jobs = vec![needing(a_job(1, "ada", 50), cpus(200)), a_job(2, "ada", 50), a_job(3, "bob", 4)];
    let (roster, _) = cluster(&[("ada", 3)], 2, jobs);
    let left = 3 - roster.held_by("ada");
    let may: Vec<(u32, u32)> = roster.loads().iter().map(|load| (load.owner_may, load.waiting)).collect();
    assert!(left < 3 && may.iter().take(2).all(|(may, _)| *may == left) && may[2].0 == u32::MAX, "{may:?}");
    let mut roster = Roster::reserving_after(Duration::from_secs(60));
    roster.on_event(quotas(&[("ada", 1)]));
    opened(&mut roster, 1, 4, cpus(4));
    for view in [begun(a_job(1, "ada", 9), 1), needing(a_job(2, "ada", 9), cpus(4)), a_job(3, "bob", 500)] {
        roster.on_event(RosterEvent::Job(Box::new(view)));
    }
    for seconds in [0, 61, 122] {
        roster.on_event(RosterEvent::Tick(Instant(seconds * 1000)));
        room(&mut roster, 1, 2, cpus(2));
        assert_eq!(roster.reservation(), None);
    }
}

proptest! {
    #[test]
    fn no_grant_takes_an_owner_beyond_his_quota(events in prop::collection::vec(nonsense(), 0..60), max in 0u32..9) {
        let mut roster = Roster::default();
        roster.on_event(quotas(&[("ada", max)]));
        for event in events {
            if !granted(&roster.on_event(event)).is_empty() {
                prop_assert!(roster.held_by("ada") <= max);
            }
            prop_assert!(roster.check().is_ok());
        }
    }
}

#[test]
fn a_job_for_which_a_worker_is_kept_free_gets_it_though_its_owner_s_small_ones_take_all_he_may_have() {
    let mut roster = Roster::reserving_after(Duration::from_secs(60));
    roster.on_event(quotas(&[("ada", 2)]));
    opened(&mut roster, 1, 4, cpus(4));
    let large = of_priority(needing(a_job(1, "ada", 1), cpus(4)), 9);
    let mut small = begun(a_job(2, "ada", 500), 1);
    for view in [large, small.clone(), a_job(3, "bob", 500)] {
        roster.on_event(RosterEvent::Job(Box::new(view)));
    }
    // It was his turn, and all that is free is too little: the small ones go on.
    roster.on_event(RosterEvent::Tick(Instant(1000)));
    let first = room(&mut roster, 1, 2, cpus(2));
    assert!(first.iter().any(|(job, _)| *job == 2) && roster.quota_met("ada").is_some(), "{first:?}");
    roster.on_event(RosterEvent::Tick(Instant(62_000)));
    assert_eq!(roster.reservation().map(|kept| kept.job), Some(JobId(1)));
    // While his quota is met nobody behind him takes the worker that is kept.
    let grants: Vec<GrantId> = (1..9).map(GrantId).collect();
    let event = |free| RosterEvent::Room {
        session: SessionId(1),
        room: Room::of_slots(free),
        free: cpus(free),
        settled: grants.clone(),
        trust: Trust::Trusted,
    };
    assert_eq!(granted(&roster.on_event(event(3))), []);
    small = JobView { last_grant: GrantId(9), ..begun(a_job(2, "ada", 500), 0) };
    roster.on_event(RosterEvent::Job(Box::new(small)));
    assert_eq!(granted(&roster.on_event(event(4)))[0], (1, 1));
}

#[test]
fn what_may_still_run_since_a_restart_counts() {
    let limbo = JobView { limbo: 3, wanted: 5, ..a_job(1, "ada", 8) };
    let (roster, grants) = cluster(&[("ada", 4)], 10, vec![limbo, a_job(2, "ada", 50)]);
    assert_eq!((grants.iter().map(|(_, slots)| slots).sum::<u32>(), roster.held_by("ada")), (1, 4));
}

#[test]
fn who_is_held_up_by_a_quota_stands_before_nobody() {
    let urgent = of_priority(begun(a_job(1, "ada", 50), 3), 9);
    let (roster, _) = cluster(&[("ada", 3)], 0, vec![urgent, a_job(2, "bob", 50)]);
    assert_eq!((roster.place(JobId(1)), roster.place(JobId(2)).map(|place| place.place)), (None, Some(1)));
}
