//! Workers as rows.

use super::canvas::Look;
use super::columns::{Column, Kind};
use crate::cli::document::worker_state;
use crate::rpc::pb;

/// A row has no room for more.
const TASKS_SHOWN: usize = 20;

pub(super) const COLUMNS: &[Column] = &[
    Column { name: "WORKER", kind: Kind::Word, goes: 0 },
    Column { name: "STATE", kind: Kind::Word, goes: 0 },
    Column { name: "SLOTS", kind: Kind::Number, goes: 0 },
    Column { name: "HOST", kind: Kind::Text, goes: 2 },
    Column { name: "NOTE", kind: Kind::Text, goes: 3 },
    Column { name: "RUNS", kind: Kind::Text, goes: 1 },
];

pub(super) fn cells(worker: &pb::Worker) -> Vec<String> {
    vec![
        worker.id.clone(),
        worker_state(worker.state()).to_owned(),
        format!("{}/{}", worker.slots.saturating_sub(worker.free), worker.slots),
        worker.host.clone(),
        note(worker),
        worker.tasks.iter().take(TASKS_SHOWN).map(String::as_str).collect::<Vec<_>>().join(" "),
    ]
}

fn note(worker: &pb::Worker) -> String {
    match (worker.note.as_str(), worker.kept_for.as_str()) {
        ("", "") => String::new(),
        ("", job) => format!("kept free for {job}"),
        (note, _) => note.to_owned(),
    }
}

pub(super) fn look(worker: &pb::Worker) -> Look {
    match worker.state() {
        pb::WorkerState::Busy => Look::Good,
        pb::WorkerState::Draining | pb::WorkerState::Resting => Look::Careful,
        pb::WorkerState::Suspected => Look::Bad,
        pb::WorkerState::Away => Look::Dim,
        pb::WorkerState::Available | pb::WorkerState::Joining | pb::WorkerState::Unspecified => Look::Plain,
    }
}

/// What is known of it that its row may have no room for.
pub(super) fn reason(worker: &pb::Worker) -> String {
    let why = note(worker);
    let why = if why.is_empty() { worker_state(worker.state()).to_owned() } else { why };
    format!("{} on {}: {why}", worker.id, worker.host)
}
