//! Each situation has its one sentence, and what would change it.

use super::*;
use crate::domain::verb::{Counts, Hold, Said, Verb};
use crate::domain::{DiskRoom, JobState, Quota, Quotas, Resources, Room, SessionId};
use crate::engine::roster::tests::{a_job, begun, needing, opened};
use crate::engine::roster::{Roster, RosterEvent};
use crate::engine::{JobView, Trust};

mod tasks;
mod truth;
mod workers;

/// Workers' slots, the other jobs, the job, what is said of it, and what would change it.
struct Case {
    slots: u32,
    others: Vec<JobView>,
    quota: Option<u32>,
    disk_full: bool,
    job: JobView,
    says: &'static str,
    change: &'static str,
}

fn case(job: JobView, says: &'static str, change: &'static str) -> Case {
    Case { slots: 4, others: Vec::new(), quota: None, disk_full: false, job, says, change }
}

fn beside(others: &[JobView], case: Case) -> Case {
    Case { others: others.to_vec(), ..case }
}

fn ended(state: JobState, [total, succeeded, failed, killed]: [u32; 4]) -> JobView {
    let counts = Counts { total, succeeded, failed, killed, ..Counts::default() };
    JobView { state, counts, wanted: 0, killed: state == JobState::Killed, ended: Some(WallTime(99)), ..a_job(7, "ada", total) }
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

fn of_priority(view: JobView, priority: i32) -> JobView {
    JobView { priority, ..view }
}

fn job() -> JobView {
    a_job(7, "ada", 100)
}

fn ends() -> Vec<Case> {
    let stopping = |killed| JobView { state: JobState::Finishing, killed, ..begun(a_job(7, "ada", 3), 3) };
    vec![
        case(ended(JobState::Succeeded, [812, 812, 0, 0]), "j7 has ended: all 812 tasks succeeded", ""),
        case(ended(JobState::Failed, [812, 800, 12, 0]), "j7 has ended: 12 of 812 tasks failed", "`millpond retry j7`"),
        case(
            noted(ended(JobState::Failed, [0, 0, 0, 0]), "line 3 is longer than a record may be"),
            "j7 has failed: line 3 is longer than a record may be",
            "",
        ),
        case(
            noted(ended(JobState::Failed, [10, 1, 2, 7]), "it gave up: more than 1 of its tasks failed"),
            "j7 has ended: 2 of 10 tasks failed, 7 dropped: it gave up: more than 1 of its tasks failed",
            "`millpond retry j7`",
        ),
        case(
            stopping(false),
            "j7 gives up, as too many of its tasks failed: 3 tasks being stopped",
            "`millpond retry j7`, once it has ended",
        ),
        case(ended(JobState::Killed, [10, 1, 0, 9]), "j7 was killed: 1 task succeeded, 9 dropped", "submit it again"),
        case(
            noted(ended(JobState::Killed, [10, 2, 0, 8]), "wrong data"),
            "j7 was killed (wrong data): 2 tasks succeeded, 8 dropped",
            "submit it again",
        ),
        case(stopping(true), "j7 is being killed: 3 tasks still running", "nothing: it ends with its last running task"),
        case(
            JobView { state: JobState::Finishing, ..ended(JobState::Finishing, [3, 3, 0, 0]) },
            "j7 has run all its tasks; its end is being made durable",
            "nothing: it ends in a moment",
        ),
    ]
}

/// Held up by something of its own.
fn waits() -> Vec<Case> {
    let ingesting = || JobView { state: JobState::Ingesting, wanted: 0, ..a_job(7, "ada", 0) };
    let out = |view: JobView, out: u32| JobView { wanted: 0, out, ..view };
    vec![
        case(
            frozen(begun(a_job(7, "ada", 10), 2)),
            "j7 is paused: 2 tasks running, standing still, 8 not started until its time is over, or it is resumed",
            "`millpond resume j7`",
        ),
        case(held(job()), "j7 is paused: 100 not started until it is resumed", "`millpond resume j7`"),
        case(
            noted(held(begun(job(), 1)), "lunch"),
            "j7 is paused (lunch): 1 task running, 99 not started until it is resumed",
            "`millpond resume j7`",
        ),
        case(ingesting(), "j7 is being split by its rule", "nothing: its tasks wait for slots as soon as it is split"),
        case(held(ingesting()), "j7 is being split by its rule, and paused", "`millpond resume j7`"),
        case(
            JobView { delayed: 2, wanted: 0, ..begun(a_job(7, "ada", 10), 8) },
            "j7 is waiting: 8 tasks running, 2 tasks failed and will be tried again shortly",
            "nothing: they are tried again by themselves",
        ),
        case(
            JobView { max_running: Some(3), wanted: 0, ..begun(job(), 5) },
            "j7 is at its limit of 3 tasks at once: 5 tasks running, 95 not started",
            "`millpond limit j7 --max-running 6`, or more",
        ),
        case(
            JobView { limbo: 100, wanted: 0, ..job() },
            "j7 is waiting: the head has restarted, and 100 tasks may still run on workers that have not reported",
            "nothing: what is not claimed by a worker goes out again by itself",
        ),
        case(out(job(), 100), "j7 is handing out: 100 tasks on the way to workers", "nothing: they are about to start"),
        // All that it may have out is on its way: the limit holds nothing up.
        case(
            JobView { max_running: Some(3), ..out(a_job(7, "ada", 3), 3) },
            "j7 is handing out: 3 tasks on the way to workers",
            "nothing: they are about to start",
        ),
        case(
            JobView { wanted: 0, ..job() },
            "j7 is waiting: 100 not started: the head is making them ready",
            "nothing: they are about to be handed out",
        ),
        case(begun(job(), 100), "j7 is running its last 100 tasks", "nothing: all its tasks have started"),
    ]
}

/// Held up by the cluster.
fn nowhere() -> Vec<Case> {
    let labels = [("gpu".to_owned(), "a100".to_owned())].into();
    vec![
        Case { slots: 0, ..case(job(), "j7 is waiting: no worker is connected", "start a worker: `millpond-worker --head URL`") },
        case(
            needing(job(), Resources { gpus: 1, ..Resources::default() }),
            "j7 is waiting: 100 not started: each needs 1 gpu; the most any worker has is none",
            "start a worker: `millpond-worker --head URL --gpus 1`",
        ),
        case(
            needing(job(), Resources { cpus: 2, ..Resources::default() }.with_containers(true)),
            "j7 is waiting: 100 not started: each runs in an image, and no worker has podman or docker: install one of them on a worker's machine \
             and start millpond-worker again (with --containers podman or docker, where tasks are in a sandbox)",
            "start a worker: `millpond-worker --head URL --cpus 2 --containers podman`",
        ),
        case(
            needing(job(), Resources { cpus: 8, labels, ..Resources::default() }),
            "j7 is waiting: 100 not started: each needs 8 cpus; the most any worker has is 4 cpus (w1); needs label gpu=a100; no worker carries it",
            "start a worker: `millpond-worker --head URL --cpus 8 --label gpu=a100`",
        ),
        Case {
            quota: Some(3),
            ..case(
                begun(job(), 3),
                "j7 is waiting: 3 tasks running, 97 not started: ada has 3 in workers' hands, and a quota of 3",
                "raise the quota of ada: `millpond quota set ada --slots 4 --jobs 9`, or more",
            )
        },
        Case {
            disk_full: true,
            ..case(
                job(),
                "j7 is waiting: 100 not started; no new tasks: the head's disk is almost full, 1.5 GiB free of 40.0 GiB: free some space",
                "free space on the head's disk",
            )
        },
        // What is on its way is not held up by the disk.
        Case {
            disk_full: true,
            ..case(
                JobView { wanted: 0, out: 100, ..job() },
                "j7 is handing out: 100 tasks on the way to workers",
                "nothing: they are about to start",
            )
        },
    ]
}

/// In the order.
fn places() -> Vec<Case> {
    let first = "j7 is waiting: 100 not started, first in the order; the next free slot is its own";
    let urgent = of_priority(a_job(9, "bob", 50), 5);
    let finishing = begun(a_job(9, "bob", 100), 96);
    vec![
        case(job(), first, "nothing: it is next"),
        case(
            begun(job(), 4),
            "j7 is running: 4 tasks running, 96 not started, first in the order; the next free slot is its own",
            "nothing: it is next",
        ),
        case(
            needing(job(), Resources { cpus: 2, ..Resources::default() }),
            "j7 is waiting: 100 not started, first in the order; the next free slot with room for it is its own",
            "nothing: it is next",
        ),
        beside(
            std::slice::from_ref(&urgent),
            case(
                job(),
                "j7 is waiting: 100 not started, number 2 in the order, behind j9 by priority",
                "`millpond priority j7 5` puts it first",
            ),
        ),
        // At the same priority bob, who has less, would still go first.
        beside(
            std::slice::from_ref(&urgent),
            case(
                begun(job(), 1),
                "j7 is running: 1 task running, 99 not started, number 2 in the order, behind j9 by priority",
                "`millpond priority j7 6` puts it first",
            ),
        ),
        beside(
            &[a_job(3, "ada", 100)],
            case(
                job(),
                "j7 is waiting: 100 not started, number 2 in the order, behind j3 by age",
                "`millpond priority j7 1` puts it first",
            ),
        ),
        beside(
            &[a_job(9, "bob", 100)],
            case(
                begun(job(), 3),
                "j7 is running: 3 tasks running, 97 not started, number 2 in the order, behind j9 by fair share",
                "`millpond priority j7 1` puts it first",
            ),
        ),
        beside(
            std::slice::from_ref(&finishing),
            case(
                job(),
                "j7 is waiting: 100 not started, number 2 in the order, behind j9 by finish line",
                "nothing: no priority goes before j9, which is past its finish line",
            ),
        ),
        beside(
            &[finishing, of_priority(a_job(8, "eve", 50), 5)],
            case(
                job(),
                "j7 is waiting: 100 not started, number 3 in the order, behind j8 by priority",
                "`millpond priority j7 5` puts it just behind j9, which is past its finish line",
            ),
        ),
        beside(
            &[of_priority(a_job(3, "ada", 100), i32::MAX)],
            case(
                job(),
                "j7 is waiting: 100 not started, number 2 in the order, behind j3 by priority",
                "nothing: no priority puts it before j3",
            ),
        ),
        // A job that fits nowhere goes before nobody.
        beside(
            &[of_priority(needing(a_job(9, "bob", 100), Resources { gpus: 1, ..Resources::default() }), 9)],
            case(job(), first, "nothing: it is next"),
        ),
        beside(
            &[begun(a_job(9, "bob", 100), 2)],
            case(
                begun(job(), 2),
                "j7 is running: 2 tasks running, 98 not started, first in the order; the next free slot is its own, unless a task of bob ends",
                "nothing: it is next",
            ),
        ),
    ]
}

fn disk() -> DiskRoom {
    DiskRoom { free: 6 << 28, total: 40 << 30 }
}

fn cluster(case: &Case) -> Roster {
    let mut roster = Roster::default();
    if case.slots > 0 {
        opened(&mut roster, 1, case.slots, Resources { cpus: 4, ..Resources::default() });
    }
    if let Some(slots) = case.quota {
        let mut quotas = Quotas::default();
        quotas.set("ada".into(), Some(Quota { slots: Some(slots), jobs: Some(9), ..Quota::default() }));
        roster.on_event(RosterEvent::Quotas(Box::new(quotas)));
    }
    roster.on_event(RosterEvent::DiskFull(case.disk_full.then(disk)));
    for view in case.others.iter().chain([&case.job]) {
        roster.on_event(RosterEvent::Job(Box::new(view.clone())));
    }
    roster
}

fn all() -> Vec<Case> {
    [ends(), waits(), nowhere(), places()].into_iter().flatten().collect()
}

#[test]
fn every_situation_of_a_job_has_its_one_sentence_and_its_remedy() {
    let cases = all();
    assert!(cases.len() >= 35, "{}", cases.len());
    for case in &cases {
        let roster = cluster(case);
        let explanation = job::explain(&case.job, &roster);
        assert_eq!(explanation.sentence, case.says);
        assert_eq!(explanation.change.as_deref().unwrap_or_default(), case.change, "{}", case.says);
        assert_eq!(explanation.place, roster.place(case.job.id));
        assert_eq!(format!("j7 {}", job::reason(&case.job, &roster)), case.says);
    }
}

#[test]
fn a_full_disk_is_the_reason_only_while_it_is_full() {
    let mut roster = cluster(&Case { disk_full: true, ..case(job(), "", "") });
    let (session, free) = (SessionId(1), Resources::default());
    let room = Room::of_slots(4);
    roster.on_event(RosterEvent::Room { session, room, free, settled: Vec::new(), trust: Trust::Trusted });
    assert!(job::explain(&job(), &roster).sentence.contains("disk"));
    assert!(!roster.on_event(RosterEvent::DiskFull(None)).is_empty(), "what waited is granted");
    assert!(!job::explain(&job(), &roster).sentence.contains("disk"));
}

#[test]
fn a_quota_is_the_reason_only_while_it_is_met() {
    let running = begun(job(), 3);
    let mut roster = cluster(&Case { quota: Some(3), ..case(running.clone(), "", "") });
    assert!(job::explain(&running, &roster).sentence.contains("quota"));
    roster.on_event(RosterEvent::Quotas(Box::default()));
    assert!(!job::explain(&running, &roster).sentence.contains("quota"));
}

#[test]
fn what_is_under_suspicion_is_said_where_it_is_of_use() {
    let mut roster = cluster(&case(job(), "", ""));
    opened(&mut roster, 2, 4, Resources::default());
    let suspect =
        |trust| RosterEvent::Room { session: SessionId(2), room: Room::default(), free: Resources::default(), settled: Vec::new(), trust };
    roster.on_event(suspect(Trust::Suspected));
    assert!(job::explain(&job(), &roster).sentence.ends_with("failed there: w2 (see `millpond worker list`)"));
    assert!(!job::explain(&held(job()), &roster).sentence.contains("suspicion"));
    roster.on_event(suspect(Trust::Trusted));
    assert!(!job::explain(&job(), &roster).sentence.contains("suspicion"));
}

fn told(verbs: &[(i64, Verb)]) -> std::sync::Arc<Vec<Said>> {
    let said = |(at, verb): &(i64, Verb)| Said { at: WallTime(*at), verb: *verb, by: String::new(), reason: String::new() };
    std::sync::Arc::new(verbs.iter().map(said).collect())
}

#[test]
fn since_when_is_said_where_it_is_known() {
    let since = |view: &JobView| job::explain(view, &cluster(&case(view.clone(), "", ""))).since;
    assert_eq!(since(&ended(JobState::Succeeded, [1, 1, 0, 0])), Some(WallTime(99)));
    assert_eq!(since(&job()), None, "a head that has just started does not know");
    assert_eq!(since(&JobView { since: Some(WallTime(5)), ..job() }), Some(WallTime(5)));
    // A pause lasts from the first of the pauses behind which nobody resumed it.
    let freeze = Verb::pause(Hold { freeze: true, until: None });
    let paused = told(&[(1, Verb::Pause), (2, Verb::Resume), (3, Verb::Pause), (4, Verb::SetPriority(1)), (5, freeze)]);
    assert_eq!(since(&JobView { said: paused, ..held(job()) }), Some(WallTime(3)));
    assert_eq!(since(&JobView { created: WallTime(8), ..held(job()) }), Some(WallTime(8)), "submitted so");
    let many: Vec<(i64, Verb)> = (0..20).map(|at| (at, Verb::SetPriority(1))).collect();
    assert_eq!(since(&JobView { said: told(&many), ..held(job()) }), None, "what was before is forgotten");
    let killed = JobView { state: JobState::Finishing, killed: true, ..begun(a_job(7, "ada", 3), 3) };
    let kill = told(&[(6, Verb::Kill(crate::domain::verb::KillMode::Finish))]);
    assert_eq!(since(&JobView { said: kill, ..killed }), Some(WallTime(6)));
}
