//! Jobs.

use serde::Serialize;

use super::insight::EtaRecord;
use super::{VERSION, rfc3339, some};
use crate::rpc::pb;

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
    image: Option<&'a str>,
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
            image: spec.and_then(|spec| some(&spec.image)),
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
