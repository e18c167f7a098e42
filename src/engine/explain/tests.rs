//! Each situation has its one sentence.

use super::*;
use crate::domain::verb::{Counts, Hold};
use crate::domain::{DiskRoom, JobId, Resources, SessionId, WallTime};
use crate::engine::Trust;
use crate::engine::roster::RosterEvent;
use crate::engine::roster::tests::{a_job, begun, needing, opened};

/// Workers' slots, the other jobs, the job, what is said of it.
struct Case {
    slots: u32,
    others: Vec<JobView>,
    job: JobView,
    says: &'static str,
}

fn case(job: JobView, says: &'static str) -> Case {
    Case { slots: 4, others: Vec::new(), job, says }
}

fn ended(state: JobState, [total, succeeded, failed, killed]: [u32; 4]) -> JobView {
    let counts = Counts { total, succeeded, failed, killed, ..Counts::default() };
    JobView { state, counts, wanted: 0, killed: state == JobState::Killed, ..a_job(7, "ada", total) }
}

fn noted(view: JobView, note: &str) -> JobView {
    JobView { note: note.into(), ..view }
}

fn held(view: JobView) -> JobView {
    JobView { held: true, wanted: 0, ..view }
}

fn frozen(view: JobView) -> JobView {
    JobView { hold: Hold { freeze: true, until: Some(WallTime(1)) }, ..held(view) }
}

fn urgent() -> JobView {
    JobView { priority: 5, ..a_job(9, "bob", 50) }
}

fn ends() -> Vec<Case> {
    vec![
        case(ended(JobState::Succeeded, [812, 812, 0, 0]), "j7 has ended: all 812 tasks succeeded"),
        case(ended(JobState::Failed, [812, 800, 12, 0]), "j7 has ended: 12 of 812 tasks failed"),
        case(
            noted(ended(JobState::Failed, [0, 0, 0, 0]), "line 3 is longer than a record may be"),
            "j7 has failed: line 3 is longer than a record may be",
        ),
        case(
            noted(ended(JobState::Failed, [10, 1, 2, 7]), "it gave up: more than 1 of its tasks failed"),
            "j7 has ended: 2 of 10 tasks failed, 7 dropped: it gave up: more than 1 of its tasks failed",
        ),
        case(
            JobView { state: JobState::Finishing, ..begun(a_job(7, "ada", 3), 3) },
            "j7 gives up, as too many of its tasks failed: 3 tasks being stopped",
        ),
        case(ended(JobState::Killed, [10, 1, 0, 9]), "j7 was killed: 1 task succeeded, 9 dropped"),
        case(noted(ended(JobState::Killed, [10, 2, 0, 8]), "wrong data"), "j7 was killed (wrong data): 2 tasks succeeded, 8 dropped"),
        case(
            JobView { state: JobState::Finishing, killed: true, ..begun(a_job(7, "ada", 3), 3) },
            "j7 is being killed: 3 tasks still running",
        ),
        case(
            JobView { state: JobState::Finishing, ..ended(JobState::Finishing, [3, 3, 0, 0]) },
            "j7 has run all its tasks; its end is being made durable",
        ),
    ]
}

fn waits() -> Vec<Case> {
    let job = || a_job(7, "ada", 100);
    let ingesting = || JobView { state: JobState::Ingesting, wanted: 0, ..a_job(7, "ada", 0) };
    let limited = JobView { max_running: Some(3), wanted: 0, ..begun(job(), 5) };
    vec![
        case(
            frozen(begun(a_job(7, "ada", 10), 2)),
            "j7 is paused: 2 tasks running, standing still, 8 not started until its time is over, or it is resumed",
        ),
        case(
            JobView { delayed: 2, wanted: 0, ..begun(a_job(7, "ada", 10), 8) },
            "j7 is waiting: 8 tasks running, 2 tasks failed and will be tried again shortly",
        ),
        case(ingesting(), "j7 is being split by its rule"),
        case(held(ingesting()), "j7 is being split by its rule, and paused"),
        case(held(job()), "j7 is paused: 100 not started until it is resumed"),
        case(noted(held(begun(job(), 1)), "lunch"), "j7 is paused (lunch): 1 task running, 99 not started until it is resumed"),
        Case { slots: 0, ..case(job(), "j7 is waiting: no worker is connected") },
        case(
            needing(job(), Resources { gpus: 1, ..Resources::default() }),
            "j7 is waiting: 100 not started: each needs 1 gpu; the most any worker has is none",
        ),
        case(
            needing(job(), Resources::default().with_containers(true)),
            "j7 is waiting: 100 not started: each runs in an image, and no worker has podman or docker: install one of them on a worker's machine \
             and start millpond-worker again (with --containers podman or docker, where tasks are in a sandbox)",
        ),
        case(limited, "j7 is at its limit of 3 tasks at once: 5 tasks running, 95 not started"),
        case(
            JobView { limbo: 100, wanted: 0, ..job() },
            "j7 is waiting: the head has restarted, and 100 tasks may still run on workers that have not reported",
        ),
        case(JobView { wanted: 0, out: 100, ..job() }, "j7 is handing out: 100 tasks on the way to workers"),
    ]
}

fn places() -> Vec<Case> {
    let job = || a_job(7, "ada", 100);
    let older = || a_job(3, "ada", 100);
    vec![
        case(job(), "j7 is waiting: 100 not started, first in the order; the next free slot is its own"),
        case(begun(job(), 4), "j7 is running: 4 tasks running, 96 not started, first in the order; the next free slot is its own"),
        case(begun(job(), 100), "j7 is running its last 100 tasks"),
        Case { others: vec![urgent()], ..case(job(), "j7 is waiting: 100 not started, number 2 in the order, behind j9 by priority") },
        Case { others: vec![older()], ..case(job(), "j7 is waiting: 100 not started, number 2 in the order, behind j3 by age") },
        Case {
            others: vec![a_job(9, "bob", 100)],
            ..case(begun(job(), 3), "j7 is running: 3 tasks running, 97 not started, number 2 in the order, behind j9 by fair share")
        },
        Case {
            others: vec![begun(a_job(9, "bob", 100), 96)],
            ..case(job(), "j7 is waiting: 100 not started, number 2 in the order, behind j9 by finish line")
        },
    ]
}

#[test]
fn a_full_disk_is_the_reason_only_while_it_is_full() {
    let job = a_job(7, "ada", 100);
    let mut roster = Roster::default();
    opened(&mut roster, 1, 4, Resources::default());
    let (session, free) = (SessionId(1), Resources::default());
    roster.on_event(RosterEvent::Room {
        session,
        room: crate::domain::Room::of_slots(4),
        free,
        settled: Vec::new(),
        trust: Trust::Trusted,
    });
    let room = DiskRoom { free: 6 << 28, total: 40 << 30 };
    roster.on_event(RosterEvent::DiskFull(Some(room)));
    assert_eq!(roster.on_event(RosterEvent::Job(Box::new(job.clone()))), []);
    let says = "j7 is waiting: 100 not started; no new tasks: the head's disk is almost full, 1.5 GiB free of 40.0 GiB: free some space";
    assert_eq!(explain(&job, &roster).sentence, says);
    assert!(!roster.on_event(RosterEvent::DiskFull(None)).is_empty(), "what waited is granted");
    assert!(!explain(&job, &roster).sentence.contains("disk"));
}

#[test]
fn a_quota_is_the_reason_only_while_it_is_met() {
    let job = begun(a_job(7, "ada", 100), 3);
    let mut roster = Roster::default();
    opened(&mut roster, 1, 4, Resources::default());
    let mut quotas = crate::domain::Quotas::default();
    quotas.set("ada".into(), Some(crate::domain::Quota { slots: Some(3), ..Default::default() }));
    roster.on_event(RosterEvent::Quotas(Box::new(quotas)));
    roster.on_event(RosterEvent::Job(Box::new(job.clone())));
    let says = "j7 is waiting: 3 tasks running, 97 not started: ada has 3 in workers' hands, and a quota of 3";
    assert_eq!(explain(&job, &roster).sentence, says);
    roster.on_event(RosterEvent::Quotas(Box::default()));
    assert!(!explain(&job, &roster).sentence.contains("quota"));
}

#[test]
fn every_situation_has_its_one_sentence() {
    let cases: Vec<Case> = [ends(), waits(), places()].into_iter().flatten().collect();
    assert!(cases.len() >= 15);
    for Case { slots, others, job, says } in cases {
        let mut roster = Roster::default();
        if slots > 0 {
            opened(&mut roster, 1, slots, Resources { cpus: 4, ..Resources::default() });
        }
        for view in others.into_iter().chain([job.clone()]) {
            roster.on_event(RosterEvent::Job(Box::new(view)));
        }
        let explanation = explain(&job, &roster);
        assert_eq!(explanation.sentence, says);
        assert_eq!(explanation.place, roster.place(JobId(7)));
    }
}
