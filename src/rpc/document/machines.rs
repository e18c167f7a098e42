//! Workers, and how many are wanted.

use serde::Serialize;

use super::insight::EtaRecord;
use super::{VERSION, rfc3339, some};
use crate::engine::scale::Demand;
use crate::rpc::pb;

/// The head, and what it has.
#[derive(Serialize)]
pub(crate) struct Cluster<'a> {
    version: u32,
    /// The version of its program.
    head: &'a str,
    epoch: u64,
    workers: u32,
    slots: u32,
    started: Option<String>,
    /// Of all jobs together.
    eta_record: Option<EtaRecord>,
    dispatch: Option<Latency>,
    journal_sync: Option<Latency>,
    journal_written_bytes: u64,
    disk_free_bytes: u64,
    disk_size_bytes: u64,
}

/// How long something took.
#[derive(Serialize)]
struct Latency {
    count: u64,
    p50_seconds: f64,
    p99_seconds: f64,
}

impl<'a> Cluster<'a> {
    pub(crate) fn of(cluster: &'a pb::Cluster) -> Self {
        let pb::Cluster { version: head, epoch, workers, slots, started, eta_score, .. } = cluster;
        let latency = |it: pb::Latency| Latency { count: it.count, p50_seconds: it.p50_seconds, p99_seconds: it.p99_seconds };
        Self {
            version: VERSION,
            head,
            epoch: *epoch,
            workers: *workers,
            slots: *slots,
            started: rfc3339(started.as_ref()),
            eta_record: eta_score.map(EtaRecord::of),
            dispatch: cluster.dispatch.map(latency),
            journal_sync: cluster.journal_sync.map(latency),
            journal_written_bytes: cluster.journal_written_bytes,
            disk_free_bytes: cluster.disk_free_bytes,
            disk_size_bytes: cluster.disk_size_bytes,
        }
    }
}

/// One worker.
#[derive(Serialize)]
pub(crate) struct Worker<'a> {
    version: u32,
    id: &'a str,
    host: &'a str,
    state: &'static str,
    note: &'a str,
    slots: u32,
    free: u32,
    cpus: u32,
    mem_bytes: u64,
    gpus: u32,
    labels: std::collections::BTreeMap<&'a str, &'a str>,
    used: Amounts,
    left: Amounts,
    tasks: &'a [String],
    holds: Vec<Holding<'a>>,
    kept_for: Option<&'a str>,
    kept_since: Option<String>,
    sandbox: Option<&'static str>,
    sandbox_gaps: &'a [String],
    attached: Option<String>,
    record: Option<Record>,
    /// Nothing was changed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
}

/// How a worker's attempts have ended.
#[derive(Serialize)]
struct Record {
    succeeded: u64,
    failed: u64,
    speed: Option<f64>,
}

/// What tasks take of a worker, or leave.
#[derive(Serialize)]
struct Amounts {
    slots: u32,
    cpus: u32,
    mem_bytes: u64,
    gpus: u32,
}

/// A task at a worker.
#[derive(Serialize)]
struct Holding<'a> {
    id: &'a str,
    started: bool,
    since: Option<String>,
}

impl<'a> Worker<'a> {
    pub(crate) fn with_dry_run(self, dry_run: bool) -> Self {
        Self { dry_run, ..self }
    }

    pub(crate) fn of(worker: &'a pb::Worker) -> Self {
        let total = worker.total.as_ref();
        let (used, left) = used_and_left(worker);
        let amounts = |slots, of: pb::Resources| Amounts { slots, cpus: of.cpus, mem_bytes: of.mem_bytes, gpus: of.gpus };
        let holding = |task: &'a pb::WorkerTask| Holding { id: &task.id, started: task.started, since: rfc3339(task.since.as_ref()) };
        Self {
            version: VERSION,
            id: &worker.id,
            host: &worker.host,
            state: worker_state(worker.state()),
            note: &worker.note,
            slots: worker.slots,
            free: worker.free,
            cpus: total.map_or(0, |total| total.cpus),
            mem_bytes: total.map_or(0, |total| total.mem_bytes),
            gpus: total.map_or(0, |total| total.gpus),
            labels: total.into_iter().flat_map(|total| &total.labels).map(|(name, value)| (name.as_str(), value.as_str())).collect(),
            used: amounts(worker.slots.saturating_sub(worker.free), used),
            left: amounts(worker.free, left),
            tasks: &worker.tasks,
            holds: worker.holds.iter().map(holding).collect(),
            kept_for: some(&worker.kept_for),
            kept_since: rfc3339(worker.kept_since.as_ref()),
            sandbox: worker.sandbox.as_ref().map(|sandbox| sandbox_profile(sandbox.profile())),
            sandbox_gaps: worker.sandbox.as_ref().map_or(&[], |sandbox| &sandbox.gaps),
            attached: rfc3339(worker.attached.as_ref()),
            record: worker.record.map(|pb::WorkerRecord { succeeded, failed, speed }| Record { succeeded, failed, speed }),
            dry_run: false,
        }
    }
}

/// `812 succeeded, 3 failed, 1.3 times the median speed`.
pub(crate) fn worker_record(record: &pb::WorkerRecord) -> String {
    let speed = record.speed.map(|speed| format!(", {speed:.1} times the median speed")).unwrap_or_default();
    format!("{} succeeded, {} failed{speed}", record.succeeded, record.failed)
}

/// How many workers are wanted.
#[derive(Serialize)]
pub(crate) struct Scale {
    version: u32,
    slots_wanted: u32,
    tasks: ScaleTasks,
    slots: u32,
    slots_elsewhere: u32,
    slots_per_worker: Option<u32>,
    pub(crate) workers_wanted: Option<u32>,
    pub(crate) workers: ScaleWorkers,
}

/// Tasks that make the demand; and, apart, those that fit no worker.
#[derive(Serialize)]
struct ScaleTasks {
    out: u32,
    waiting: u32,
    unfit: u32,
}

/// Connected workers of the pool.
#[derive(Serialize)]
pub(crate) struct ScaleWorkers {
    connected: usize,
    pub(crate) idle: usize,
    pub(crate) draining: usize,
}

impl Scale {
    /// As the head says; or, if it is known better how many slots a worker has, by that.
    pub(crate) fn of(scale: &pb::Scale, slots_per_worker: Option<u32>) -> Self {
        let by = |size| Demand::workers(scale.slots_wanted.saturating_sub(scale.slots_elsewhere), size);
        let count = |is: fn(&&pb::ScaleWorker) -> bool| scale.workers.iter().filter(is).count();
        Self {
            version: VERSION,
            slots_wanted: scale.slots_wanted,
            tasks: ScaleTasks { out: scale.tasks_out, waiting: scale.tasks_waiting, unfit: scale.tasks_unfit },
            slots: scale.slots,
            slots_elsewhere: scale.slots_elsewhere,
            slots_per_worker: slots_per_worker.or(Some(scale.slots_per_worker)).filter(|slots| *slots > 0),
            workers_wanted: slots_per_worker.map_or(scale.workers_wanted, by),
            workers: ScaleWorkers {
                connected: scale.workers.len(),
                idle: count(|worker| worker.idle && !worker.draining),
                draining: count(|worker| worker.draining),
            },
        }
    }
}

/// What its tasks take of a worker, and what they leave.
pub(crate) fn used_and_left(worker: &pb::Worker) -> (pb::Resources, pb::Resources) {
    let (total, used) = (worker.total.clone().unwrap_or_default(), worker.used.clone().unwrap_or_default());
    let left = pb::Resources {
        cpus: total.cpus.saturating_sub(used.cpus),
        mem_bytes: total.mem_bytes.saturating_sub(used.mem_bytes),
        gpus: total.gpus.saturating_sub(used.gpus),
        labels: total.labels,
    };
    (used, left)
}

/// As in `worker list`.
pub(crate) fn worker_state(state: pb::WorkerState) -> &'static str {
    match state {
        pb::WorkerState::Unspecified => "unknown",
        pb::WorkerState::Available => "available",
        pb::WorkerState::Busy => "busy",
        pb::WorkerState::Draining => "draining",
        pb::WorkerState::Away => "away",
        pb::WorkerState::Suspected => "suspected",
        pb::WorkerState::Joining => "joining",
        pb::WorkerState::Resting => "resting",
    }
}

/// As `--sandbox` is written; `unknown` for a profile of a later version.
pub(crate) fn sandbox_profile(profile: pb::sandbox::Profile) -> &'static str {
    match profile {
        pb::sandbox::Profile::Unspecified => "unknown",
        pb::sandbox::Profile::None => "none",
        pb::sandbox::Profile::Basic => "basic",
        pb::sandbox::Profile::Strict => "strict",
    }
}
