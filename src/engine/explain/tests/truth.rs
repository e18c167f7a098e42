//! What is said is true: the remedies are applied, and slots come free, as said.

use proptest::prelude::*;

use super::*;
use crate::domain::{GrantId, JobId};
use crate::engine::RosterEffect;
use crate::engine::roster::{HandOut, Lift, NextSlot};

const OWNERS: [&str; 3] = ["ada", "bob", "eve"];

/// Some job that is not paused: owner, priority, tasks, how many run.
fn some_job() -> impl Strategy<Value = (usize, i32, u32, u32)> {
    (0usize..3, -2i32..3, 1u32..60, 0u32..60)
}

fn views(jobs: &[(usize, i32, u32, u32)]) -> Vec<JobView> {
    let view = |(id, (owner, priority, tasks, running)): (u64, &(usize, i32, u32, u32))| {
        of_priority(begun(a_job(id, OWNERS[*owner], *tasks), *running.min(tasks)), *priority)
    };
    (1..).zip(jobs).map(view).collect()
}

/// A cluster of busy slots, with these jobs.
fn busy(views: &[JobView], quota: Option<u32>) -> Roster {
    let mut roster = Roster::default();
    opened(&mut roster, 1, 8, Resources::default());
    let mut quotas = Quotas::default();
    quotas.set("bob".into(), Some(Quota { slots: quota, ..Quota::default() }));
    roster.on_event(RosterEvent::Quotas(Box::new(quotas)));
    for view in views {
        roster.on_event(RosterEvent::Job(Box::new(view.clone())));
    }
    roster
}

/// So many slots come free: whom they are granted.
fn slots_free(roster: &mut Roster, slots: u32) -> Vec<(JobId, u32)> {
    let (session, free) = (SessionId(1), Resources::default());
    let room = Room::of_slots(slots);
    let effects = roster.on_event(RosterEvent::Room { session, room, free, settled: Vec::new(), trust: Trust::Trusted });
    let granted = |effect: &RosterEffect| match effect {
        RosterEffect::Grant { job, slots, .. } => Some((*job, *slots)),
        RosterEffect::Recall(_) => None,
    };
    effects.iter().filter_map(granted).collect()
}

/// One of an owner's running tasks ends, of each job of his in turn.
fn one_ends<'a>(views: &'a [JobView], owner: &'a str) -> impl Iterator<Item = JobView> + 'a {
    let running = views.iter().filter(move |view| view.spec.owner == owner && view.out > 0);
    running.map(|view| {
        let mut view = view.clone();
        (view.out, view.counts.running, view.counts.succeeded) = (view.out - 1, view.counts.running - 1, view.counts.succeeded + 1);
        view.last_grant = GrantId(0);
        view
    })
}

proptest! {
    #[test]
    fn a_priority_that_is_said_to_put_a_job_first_does_and_none_below_it(
        jobs in prop::collection::vec(some_job(), 1..8), quota in prop::option::of(0u32..20),
    ) {
        let views = views(&jobs);
        let roster = busy(&views, quota);
        for view in &views {
            let Some(before) = roster.place(view.id) else { continue };
            let place = |priority: i32| {
                let mut roster = roster.clone();
                roster.on_event(RosterEvent::Job(Box::new(of_priority(view.clone(), priority))));
                roster.place(view.id).unwrap()
            };
            match roster.lift(view.id) {
                Lift::First(priority) => {
                    prop_assert_eq!((before.place > 1, place(priority).place), (true, 1));
                    prop_assert!(place(priority - 1).place > 1);
                    // And it is granted the next slot.
                    let mut lifted = roster.clone();
                    lifted.on_event(RosterEvent::Job(Box::new(of_priority(view.clone(), priority))));
                    prop_assert_eq!(slots_free(&mut lifted, 1), [(view.id, 1)]);
                }
                Lift::BehindFinishing(priority, finishing) => {
                    prop_assert_eq!(place(priority).behind, Some(finishing));
                    prop_assert!(place(priority - 1).behind != Some(finishing));
                    prop_assert_eq!(place(i32::MAX).behind, Some(finishing), "no priority goes before it");
                }
                Lift::None => prop_assert_eq!(place(i32::MAX).place, before.place),
            }
        }
    }

    #[test]
    fn the_next_free_slot_goes_to_whom_it_is_said_to_whichever_it_is(
        jobs in prop::collection::vec(some_job(), 1..8), quota in prop::option::of(0u32..20),
    ) {
        let views = views(&jobs);
        let roster = busy(&views, quota);
        let Some(first) = views.iter().find(|view| roster.place(view.id).is_some_and(|place| place.place == 1)) else { return Ok(()) };
        let said = roster.next_slot(first.id);
        // The slot may be reported before its task's end is, or after.
        prop_assert_eq!(slots_free(&mut roster.clone(), 1), [(first.id, 1)]);
        for owner in OWNERS {
            for ended in one_ends(&views, owner) {
                let mut roster = roster.clone();
                roster.on_event(RosterEvent::Job(Box::new(ended)));
                let granted = slots_free(&mut roster, 1);
                let sure = match &said {
                    NextSlot::Its => true,
                    NextSlot::UnlessOf(other) => other != owner,
                    NextSlot::Open => false,
                };
                prop_assert!(!sure || granted == [(first.id, 1)], "{said:?}, and a task of {owner} ends: {granted:?}");
            }
        }
    }

    #[test]
    fn the_next_hand_outs_are_the_next_grants(
        jobs in prop::collection::vec(some_job(), 1..8), quota in prop::option::of(0u32..20), what_if in prop::option::of((0usize..8, -3i32..4)),
    ) {
        let mut views = views(&jobs);
        let roster = busy(&views, quota);
        let what_if = what_if.filter(|(at, _)| *at < views.len()).map(|(at, priority)| (JobId(at as u64 + 1), priority));
        let order = roster.next_hand_outs(50, what_if);
        if let Some((job, priority)) = what_if {
            views.iter_mut().filter(|view| view.id == job).for_each(|view| view.priority = priority);
        }
        let mut foretold = Vec::new();
        for HandOut { first, count, job, .. } in &order.next {
            prop_assert_eq!(*first as usize, foretold.len() + 1);
            foretold.extend((0..*count).map(|_| *job));
        }
        // One by one, each task started before the next slot comes.
        let mut real = busy(&views, quota);
        let mut granted = Vec::new();
        for slot in 1..=50 {
            let [(job, 1)] = slots_free(&mut real, slot)[..] else { break };
            granted.push(job);
            let view = views.iter_mut().find(|view| view.id == job).unwrap();
            let started = begun(view.clone(), 1);
            *view = JobView { out: view.out + 1, last_grant: GrantId(slot.into()), ..started };
            (view.counts.running, view.wanted) = (view.out, view.counts.undispatched);
            real.on_event(RosterEvent::Job(Box::new(view.clone())));
        }
        prop_assert_eq!(foretold, granted);
    }

    #[test]
    fn what_is_asked_changes_nothing(jobs in prop::collection::vec(some_job(), 1..6)) {
        let views = views(&jobs);
        let roster = busy(&views, Some(3));
        let before = format!("{roster:?}");
        for view in &views {
            let _ = (job::explain(view, &roster), roster.next_hand_outs(9, Some((view.id, 7))), roster.lift(view.id));
        }
        prop_assert_eq!(format!("{roster:?}"), before);
    }
}

#[test]
fn a_limit_and_a_quota_as_they_are_advised_let_one_more_task_go() {
    let limited = JobView { max_running: Some(3), wanted: 0, ..begun(job(), 5) };
    let says = job::explain(&limited, &busy(&[], None)).change.unwrap();
    assert!(says.contains("--max-running 6"), "{says}");
    // With that limit the job's own machine wants one more.
    let lifted = JobView { max_running: Some(6), wanted: 1, ..limited };
    assert_eq!(slots_free(&mut busy(&[lifted], None), 1), [(JobId(7), 1)]);

    let of_bob = begun(a_job(7, "bob", 100), 3);
    let says = job::explain(&of_bob, &busy(std::slice::from_ref(&of_bob), Some(3))).change.unwrap();
    assert!(says.contains("quota set bob --slots 4"), "{says}");
    assert_eq!(slots_free(&mut busy(std::slice::from_ref(&of_bob), Some(3)), 1), []);
    assert_eq!(slots_free(&mut busy(&[of_bob], Some(4)), 1), [(JobId(7), 1)]);
}
