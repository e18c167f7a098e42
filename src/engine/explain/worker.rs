//! Why a worker gets no tasks, or which it has.

use crate::domain::{WallTime, WorkerId, counted};
use crate::engine::roster::{Idle, Roster};
use crate::engine::worker_phase::WorkerPhase;

use super::{Explanation, tasks};

/// A worker as the head sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen<'a> {
    /// Which.
    pub id: WorkerId,
    /// What it does.
    pub phase: WorkerPhase,
    /// Since when.
    pub since: Option<WallTime>,
    /// How many tasks it runs at once.
    pub slots: u32,
    /// How many it holds, started or not.
    pub holds: u32,
    /// Why it is under suspicion, and what comes next.
    pub suspicion: &'a str,
    /// It was told to take no more tasks.
    pub drained: bool,
    /// It is away, and has said goodbye.
    pub left: bool,
}

/// Explains a worker.
pub fn explain(worker: &Seen<'_>, roster: &Roster) -> Explanation {
    let (sentence, change) = match worker.phase {
        WorkerPhase::Available => available(worker, roster),
        phase => in_phase(phase, worker, roster),
    };
    let Seen { id, phase, since, .. } = *worker;
    Explanation { sentence: format!("{id} {sentence}"), state: phase.name(), place: None, since, change: Some(change) }
}

fn nothing(text: &str) -> String {
    format!("nothing: {text}")
}

/// `holds 2 tasks on 4 slots`.
fn holds(worker: &Seen<'_>) -> String {
    format!("holds {} on {}", tasks(worker.holds), counted(worker.slots.into(), "slot"))
}

fn in_phase(phase: WorkerPhase, worker: &Seen<'_>, roster: &Roster) -> (String, String) {
    let id = worker.id;
    let resume = format!("`millpond worker resume {id}`");
    match phase {
        WorkerPhase::Away if worker.left => ("is away: it has said goodbye".into(), "start it again, with its --dir".into()),
        WorkerPhase::Away => {
            ("is away: its connection is lost, without a goodbye".into(), "see on its machine whether it runs, and reaches the head".into())
        }
        WorkerPhase::Draining if worker.drained => {
            (format!("is told to take no more tasks, and leaves when it holds none: it {}", holds(worker)), resume)
        }
        WorkerPhase::Draining => {
            let leaves = nothing("it leaves by its own wish; start it again, with its --dir");
            (format!("takes no more tasks, and leaves when it holds none: it {}", holds(worker)), leaves)
        }
        WorkerPhase::Joining => ("has connected, and not said yet which slots are free".into(), nothing("it says so in a moment")),
        WorkerPhase::Suspected if roster.trusts_nobody() => {
            let why = worker.suspicion;
            (
                format!("is used as any other, as all workers are under suspicion: {why}"),
                format!("find out what fails there, then {resume}"),
            )
        }
        WorkerPhase::Suspected => (
            format!("is under suspicion: {}", worker.suspicion),
            format!("find out what fails there, then {resume}; one task that succeeds ends it too"),
        ),
        WorkerPhase::Resting => {
            let why = "rests, as its machine has failed a task, which went back at no cost: it takes none for a while, then one to try";
            (why.into(), "see its log, and mend what failed: it tries again by itself".into())
        }
        WorkerPhase::Busy if worker.holds >= worker.slots => {
            (format!("is busy: it {}", holds(worker)), nothing("it gets the next task as soon as one of these has ended"))
        }
        WorkerPhase::Busy | WorkerPhase::Available => {
            (format!("says that it has no free slot: it {}", holds(worker)), nothing("it says so when one is free"))
        }
    }
}

/// One with free slots.
fn available(worker: &Seen<'_>, roster: &Roster) -> (String, String) {
    let Some(idle) = roster.idle(worker.id) else {
        return (format!("gets what is on its way: it {}", holds(worker)), nothing("its tasks are about to start"));
    };
    let (why, change) = match idle {
        Idle::NobodyWants => ("no job wants a slot".to_owned(), "submit a job, or resume one: `millpond list`".to_owned()),
        Idle::DiskFull(room) => {
            (format!("no new tasks: the head's disk is almost full, {room}"), "free space on the head's disk".to_owned())
        }
        Idle::KeptFor(job) => (format!("it is kept free for {job}, whose tasks have waited long for room"), nothing("that job gets it")),
        Idle::Quota(job, owner) => (
            format!("who wants one has as many as he may ({job} of {owner})"),
            format!("`millpond explain {job}` says how to raise the quota"),
        ),
        Idle::Unfit(job, lacks) => {
            (format!("no job that wants one fits it: {job} needs {lacks}"), format!("start it again with what {job} needs"))
        }
        Idle::Taken(job, lacks) => (
            format!("no job that wants one fits beside its tasks: {job} needs {lacks}, and less is free"),
            nothing("that job's task goes here when there is room"),
        ),
        Idle::Coming(job) => (format!("tasks of {job} are on their way"), nothing("they are about to start")),
    };
    (format!("has free slots: it {}; {why}", holds(worker)), change)
}
