//! Of workers.

use super::*;
use crate::domain::WorkerId;
use crate::engine::WorkerPhase;
use crate::engine::explain::worker::{Seen, explain};

fn seen(phase: WorkerPhase) -> Seen<'static> {
    let suspicion = if phase == WorkerPhase::Suspected { "its last 5 tasks failed" } else { "" };
    Seen { id: WorkerId(1), phase, since: Some(WallTime(3)), slots: 4, holds: 1, suspicion, drained: false, left: false }
}

fn room(free: u32, cpus: u32, trust: Trust) -> RosterEvent {
    let free_resources = Resources { cpus, ..Resources::default() };
    RosterEvent::Room { session: SessionId(1), room: Room::of_slots(free), free: free_resources, settled: Vec::new(), trust }
}

/// A worker of four slots and processors, of which so many are free, beside these jobs.
fn with(jobs: &[JobView], free: u32, cpus: u32) -> Roster {
    let others = jobs.to_vec();
    let mut roster = cluster(&Case { others, ..case(held(job()), "", "") });
    roster.on_event(room(free, cpus, Trust::Trusted));
    roster
}

#[test]
fn every_situation_of_a_worker_has_its_one_sentence_and_its_remedy() {
    let needing = |cpus| needing(a_job(2, "bob", 9), Resources { cpus, ..Resources::default() });
    let idle = || with(&[], 3, 3);
    let mut full = with(&[], 3, 3);
    full.on_event(RosterEvent::DiskFull(Some(disk())));
    full.on_event(RosterEvent::Job(Box::new(a_job(2, "bob", 9))));
    let mut limited = Quotas::default();
    limited.set("*".into(), Some(Quota { slots: Some(0), ..Quota::default() }));
    let mut quota = with(&[], 3, 3);
    quota.on_event(RosterEvent::Quotas(Box::new(limited)));
    quota.on_event(RosterEvent::Job(Box::new(a_job(2, "bob", 9))));
    let mut kept = with(&[needing(4)], 0, 0);
    kept.on_event(RosterEvent::Tick(crate::domain::Instant(1000)));
    kept.on_event(RosterEvent::Job(Box::new(a_job(5, "eve", 99))));
    kept.on_event(room(1, 1, Trust::Trusted));
    kept.on_event(RosterEvent::Tick(crate::domain::Instant(99_000)));
    let settled = vec![crate::domain::GrantId(1)];
    kept.on_event(RosterEvent::Room {
        settled,
        session: SessionId(1),
        room: Room::of_slots(1),
        free: Resources { cpus: 1, ..Resources::default() },
        trust: Trust::Trusted,
    });
    let mut alone = with(&[], 3, 3);
    alone.on_event(room(3, 3, Trust::Suspected));
    let mut among = with(&[], 3, 3);
    opened(&mut among, 2, 4, Resources::default());
    among.on_event(room(3, 3, Trust::Suspected));
    let available = || seen(WorkerPhase::Available);
    // What is seen of it, and the cluster; what is said, and what would change it.
    let cases = [
        (Seen { left: true, ..seen(WorkerPhase::Away) }, idle(), "w1 is away: it has said goodbye", "start it again, with its --dir"),
        (
            seen(WorkerPhase::Away),
            idle(),
            "w1 is away: its connection is lost, without a goodbye",
            "see on its machine whether it runs, and reaches the head",
        ),
        (
            Seen { drained: true, ..seen(WorkerPhase::Draining) },
            idle(),
            "w1 is told to take no more tasks, and leaves when it holds none: it holds 1 task on 4 slots",
            "`millpond worker resume w1`",
        ),
        (
            seen(WorkerPhase::Draining),
            idle(),
            "w1 takes no more tasks, and leaves when it holds none: it holds 1 task on 4 slots",
            "nothing: it leaves by its own wish; start it again, with its --dir",
        ),
        (seen(WorkerPhase::Joining), idle(), "w1 has connected, and not said yet which slots are free", "nothing: it says so in a moment"),
        (
            seen(WorkerPhase::Suspected),
            among,
            "w1 is under suspicion: its last 5 tasks failed",
            "find out what fails there, then `millpond worker resume w1`; one task that succeeds ends it too",
        ),
        (
            seen(WorkerPhase::Suspected),
            alone,
            "w1 is used as any other, as all workers are under suspicion: its last 5 tasks failed",
            "find out what fails there, then `millpond worker resume w1`",
        ),
        (
            seen(WorkerPhase::Resting),
            idle(),
            "w1 rests, as its machine has failed a task, which went back at no cost: it takes none for a while, then one to try",
            "see its log, and mend what failed: it tries again by itself",
        ),
        (
            Seen { holds: 4, ..seen(WorkerPhase::Busy) },
            with(&[], 0, 0),
            "w1 is busy: it holds 4 tasks on 4 slots",
            "nothing: it gets the next task as soon as one of these has ended",
        ),
        (
            seen(WorkerPhase::Busy),
            with(&[], 0, 0),
            "w1 says that it has no free slot: it holds 1 task on 4 slots",
            "nothing: it says so when one is free",
        ),
        (
            available(),
            idle(),
            "w1 has free slots: it holds 1 task on 4 slots; no job wants a slot",
            "submit a job, or resume one: `millpond list`",
        ),
        (
            available(),
            full,
            "w1 has free slots: it holds 1 task on 4 slots; no new tasks: the head's disk is almost full, 1.5 GiB free of 40.0 GiB",
            "free space on the head's disk",
        ),
        (
            available(),
            quota,
            "w1 has free slots: it holds 1 task on 4 slots; who wants one has as many as he may (j2 of bob)",
            "`millpond explain j2` says how to raise the quota",
        ),
        (
            available(),
            with(&[needing(8)], 3, 3),
            "w1 has free slots: it holds 1 task on 4 slots; no job that wants one fits it: j2 needs 8 cpus",
            "start it again with what j2 needs",
        ),
        (
            available(),
            with(&[needing(4)], 3, 3),
            "w1 has free slots: it holds 1 task on 4 slots; no job that wants one fits beside its tasks: j2 needs 4 cpus, and less is free",
            "nothing: that job's task goes here when there is room",
        ),
        (
            available(),
            kept,
            "w1 has free slots: it holds 1 task on 4 slots; it is kept free for j2, whose tasks have waited long for room",
            "nothing: that job gets it",
        ),
        (
            available(),
            with(&[a_job(2, "bob", 9)], 1, 1),
            "w1 has free slots: it holds 1 task on 4 slots; tasks of j2 are on their way",
            "nothing: they are about to start",
        ),
        (available(), with(&[], 0, 0), "w1 gets what is on its way: it holds 1 task on 4 slots", "nothing: its tasks are about to start"),
    ];
    for (worker, roster, says, change) in cases {
        let explanation = explain(&worker, &roster);
        assert_eq!(explanation.sentence, says);
        assert_eq!(explanation.change.as_deref(), Some(change), "{says}");
        assert_eq!((explanation.state, explanation.since), (worker.phase.name(), worker.since));
    }
}
