//! The JSON documents: stable, versioned, times RFC 3339 UTC with microseconds, durations in seconds.

use serde::Serialize;

mod insight;
mod machines;

use insight::EtaRecord;
pub(crate) use insight::{Explanation, Order};
pub(crate) use machines::{Scale, Worker, sandbox_profile, worker_state};

use super::config::Settings;
use super::layer::Layer;
use super::preview::Preview;
use super::units::rfc3339;
use crate::rpc::pb;

/// Grows when a document changes in a way that a reader could stumble over.
pub(crate) const VERSION: u32 = 1;

/// `show`, and one job of `list`.
#[derive(Serialize)]
pub(crate) struct Job<'a> {
    version: u32,
    id: &'a str,
    name: &'a str,
    owner: &'a str,
    state: &'static str,
    held: bool,
    frozen: bool,
    resumes: Option<String>,
    priority: i32,
    max_running: Option<u32>,
    past_finish_line: bool,
    reason: Option<&'a str>,
    eta_seconds: Option<[f64; 2]>,
    eta_record: Option<EtaRecord>,
    since: Option<String>,
    tasks: Counts,
    input: Option<Input<'a>>,
    command: &'a [String],
    created: Option<String>,
    started: Option<String>,
    finished: Option<String>,
    expires: Option<String>,
    round: u32,
    changes: Vec<Change<'a>>,
}

#[derive(Serialize)]
struct Change<'a> {
    time: Option<String>,
    verb: &'a str,
    by: Option<&'a str>,
    reason: Option<&'a str>,
}

#[derive(Serialize)]
struct Counts {
    total: u32,
    undispatched: u32,
    running: u32,
    succeeded: u32,
    failed: u32,
    killed: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Input<'a> {
    Dataset { digest: &'a str, name: &'a str, split: Option<&'a str> },
    Array { first: u32, last: u32, step: u32 },
}

fn change(change: &pb::JobChange) -> Change<'_> {
    Change { time: rfc3339(change.time.as_ref()), verb: &change.verb, by: some(&change.by), reason: some(&change.reason) }
}

impl<'a> Job<'a> {
    pub(crate) fn of(job: &'a pb::Job) -> Self {
        let spec = job.spec.as_ref();
        let tasks = job.tasks.unwrap_or_default();
        let pb::TaskCounts { total, undispatched, running, succeeded, failed, killed } = tasks;
        Self {
            version: VERSION,
            id: &job.id,
            name: spec.map_or("", |spec| &spec.name),
            owner: spec.map_or("", |spec| &spec.owner),
            state: job_state(job.state()),
            held: job.held,
            frozen: job.frozen,
            resumes: rfc3339(job.resumes.as_ref()),
            priority: job.priority,
            max_running: (job.max_running > 0).then_some(job.max_running),
            past_finish_line: job.past_finish_line,
            reason: some(&job.reason),
            eta_seconds: job.eta.map(|eta| [eta.low_seconds, eta.high_seconds]),
            eta_record: job.eta_score.map(EtaRecord::of),
            since: rfc3339(job.since.as_ref()),
            tasks: Counts { total, undispatched, running, succeeded, failed, killed },
            input: spec.and_then(|spec| spec.input.as_ref()).map(Input::of),
            command: spec.map_or(&[], |spec| &spec.command),
            created: rfc3339(job.created.as_ref()),
            started: rfc3339(job.started.as_ref()),
            finished: rfc3339(job.finished.as_ref()),
            expires: rfc3339(job.expires.as_ref()),
            round: job.round,
            changes: job.changes.iter().map(change).collect(),
        }
    }
}

impl<'a> Input<'a> {
    fn of(input: &'a pb::job_spec::Input) -> Self {
        match input {
            pb::job_spec::Input::Dataset(data) => Self::Dataset { digest: &data.digest, name: &data.name, split: some(&data.split) },
            pb::job_spec::Input::Array(array) => Self::Array { first: array.first, last: array.last, step: array.step.max(1) },
        }
    }
}

/// What `pause`, `resume`, `kill`, `priority` and `limit` answer: exactly the fields of the contract; `retry` says how many it lets run again.
#[derive(Serialize)]
pub(crate) struct Controlled<'a> {
    version: u32,
    id: &'a str,
    state: &'static str,
    held: bool,
    dropped: u32,
    undispatched: u32,
    running: u32,
    unconfirmed: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    retried: Option<u32>,
    /// Nothing was changed: these are the answers that would come.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
}

impl<'a> Controlled<'a> {
    pub(crate) fn of(job: &'a pb::Job, reply: &'a pb::ControlReply, dry_run: bool) -> Self {
        Self {
            version: VERSION,
            id: &job.id,
            state: job_state(job.state()),
            held: job.held,
            dropped: reply.dropped,
            undispatched: reply.undispatched,
            running: reply.running,
            unconfirmed: &reply.unconfirmed,
            retried: (reply.retried > 0).then_some(reply.retried),
            dry_run,
        }
    }
}

/// What `split --dry-run` shows.
#[derive(Serialize)]
pub(crate) struct Split<'a> {
    version: u32,
    file: &'a str,
    packing: Option<&'a str>,
    split: &'a str,
    bytes: u64,
    records: u64,
    chunks: u32,
    header_bytes: u64,
    chunk_bytes: ChunkBytes,
    first: Vec<FirstChunk<'a>>,
}

/// With the header.
#[derive(Serialize)]
struct ChunkBytes {
    min: u64,
    median: u64,
    max: u64,
}

#[derive(Serialize)]
struct FirstChunk<'a> {
    chunk: usize,
    records: u64,
    bytes: u64,
    line: &'a str,
}

impl<'a> Split<'a> {
    pub(crate) fn of(file: &'a str, split: &'a str, preview: &'a Preview) -> Self {
        let [min, median, max] = preview.sizes;
        let first = preview.first.iter().enumerate();
        let first =
            first.map(|(chunk, it)| FirstChunk { chunk, records: it.chunk.records, bytes: it.chunk.header + it.chunk.len, line: &it.line });
        Self {
            version: VERSION,
            file,
            packing: preview.packing.as_deref(),
            split,
            bytes: preview.bytes,
            records: preview.summary.records,
            chunks: preview.summary.chunks,
            header_bytes: preview.summary.header_len,
            chunk_bytes: ChunkBytes { min, median, max },
            first: first.collect(),
        }
    }
}

/// The options of a job that is not submitted: of `submit --dry-run`, or of a template. Every single value is a text.
#[derive(Serialize)]
pub(crate) struct Options<'a> {
    version: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    template: Option<&'a str>,
    /// None for a template that can't be read.
    options: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
}

impl<'a> Options<'a> {
    pub(crate) fn of_dry_run(layer: &Layer) -> Self {
        Self { version: VERSION, template: None, options: Some(layer.to_json()), dry_run: true }
    }

    pub(crate) fn of_template(name: &'a str, layer: Option<&Layer>) -> Self {
        Self { version: VERSION, template: Some(name), options: layer.map(Layer::to_json), dry_run: false }
    }
}

/// What came of `template save` and `template delete`: `exists` says whether it is there now.
#[derive(Serialize)]
pub(crate) struct Template<'a> {
    version: u32,
    template: &'a str,
    exists: bool,
}

impl<'a> Template<'a> {
    pub(crate) fn of(template: &'a str, exists: bool) -> Self {
        Self { version: VERSION, template, exists }
    }
}

/// One of `context list`, and what came of `use`, `add` and `remove`.
#[derive(Serialize)]
pub(crate) struct Context<'a> {
    version: u32,
    context: &'a str,
    current: bool,
    head: Option<&'a str>,
    file: Option<&'a str>,
}

impl<'a> Context<'a> {
    pub(crate) fn of(context: &'a str, current: bool, head: Option<&'a str>, file: Option<&'a str>) -> Self {
        Self { version: VERSION, context, current, head, file }
    }
}

/// `context show`: what counts.
#[derive(Serialize)]
pub(crate) struct Configured<'a> {
    version: u32,
    context: Option<&'a str>,
    named_by: Option<&'a str>,
    head: Option<&'a str>,
    owner: &'a str,
    submit: serde_json::Value,
}

impl<'a> Configured<'a> {
    pub(crate) fn of(settings: &'a Settings, owner: &'a str) -> Self {
        let Settings { context, head, job, .. } = settings;
        let (context, named_by) = context.as_ref().map(|(name, by)| (name.as_str(), by.as_str())).unzip();
        Self { version: VERSION, context, named_by, head: head.as_deref(), owner, submit: job.to_json() }
    }
}

/// One task of `tasks`.
#[derive(Serialize)]
pub(crate) struct Task<'a> {
    version: u32,
    id: &'a str,
    index: u64,
    state: &'static str,
    attempt: u32,
    worker: Option<&'a str>,
    exit_code: Option<i32>,
    outcome: Option<&'a str>,
    started: Option<String>,
    finished: Option<String>,
}

impl<'a> Task<'a> {
    pub(crate) fn of(task: &'a pb::Task) -> Self {
        Self {
            version: VERSION,
            id: &task.id,
            index: task.index,
            state: task_state(task.state()),
            attempt: task.attempt,
            worker: some(&task.worker),
            exit_code: task.exit_code,
            outcome: some(&task.outcome),
            started: rfc3339(task.started.as_ref()),
            finished: rfc3339(task.finished.as_ref()),
        }
    }
}

/// One event of `watch`.
#[derive(Serialize)]
pub(crate) struct Event<'a> {
    version: u32,
    cursor: u64,
    time: Option<String>,
    kind: &'a str,
    text: &'a str,
    job: Option<Job<'a>>,
}

impl<'a> Event<'a> {
    pub(crate) fn of(event: &'a pb::JobEvent) -> Self {
        let time = rfc3339(event.time.as_ref());
        Self { version: VERSION, cursor: event.cursor, time, kind: &event.kind, text: &event.text, job: event.job.as_ref().map(Job::of) }
    }
}

/// One data set of `data list`, and what `data add` made.
#[derive(Serialize)]
pub(crate) struct Dataset<'a> {
    version: u32,
    digest: &'a str,
    name: &'a str,
    len: u64,
    created: Option<String>,
    used_by_count: u32,
    used_by: &'a [String],
}

impl<'a> Dataset<'a> {
    pub(crate) fn of(data: &'a pb::Dataset) -> Self {
        Self {
            version: VERSION,
            digest: &data.digest,
            name: &data.name,
            len: data.len,
            created: rfc3339(data.created.as_ref()),
            used_by_count: data.used_by_count,
            used_by: &data.used_by,
        }
    }
}

/// As in `show`; `unknown` for a state of a later version.
pub(crate) fn job_state(state: pb::JobState) -> &'static str {
    match state {
        pb::JobState::Unspecified => "unknown",
        pb::JobState::Ingesting => "ingesting",
        pb::JobState::Waiting => "waiting",
        pb::JobState::Running => "running",
        pb::JobState::Finishing => "finishing",
        pb::JobState::Succeeded => "succeeded",
        pb::JobState::Failed => "failed",
        pb::JobState::Killed => "killed",
    }
}

/// As in `tasks`.
pub(crate) fn task_state(state: pb::TaskState) -> &'static str {
    match state {
        pb::TaskState::Unspecified => "unknown",
        pb::TaskState::Undispatched => "undispatched",
        pb::TaskState::Running => "running",
        pb::TaskState::Succeeded => "succeeded",
        pb::TaskState::Failed => "failed",
        pb::TaskState::Killed => "killed",
    }
}

/// An empty text is none.
pub(crate) fn some(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}
