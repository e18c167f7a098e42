//! The verbs that steer a job; with `dry_run` what would come of one.

use axum::extract::State;
use serde::Deserialize;

use super::ask::{Id, Sent, json, request_id};
use super::refusal::Answer;
use super::values::{Size, Span};
use crate::domain::Error;
use crate::rpc::document::Controlled;
use crate::rpc::pb;
use crate::rpc::pb::job_service_server::JobService;
use crate::rpc::pb::preview_verb_request::Verb;
use crate::rpc::units::wire_duration;
use crate::web::asker::{Asker, answered};
use crate::web::routes::Web;

/// Tells a job, or asks what would come of it.
pub(super) async fn steer(web: &Web, asker: &Asker, verb: Verb, dry_run: bool) -> Answer {
    let jobs = &web.jobs;
    let reply = match verb {
        verb if dry_run => jobs.preview_verb(asker.asks(pb::PreviewVerbRequest { verb: Some(verb) })).await,
        Verb::Pause(request) => jobs.pause_job(asker.asks(request)).await,
        Verb::Resume(request) => jobs.resume_job(asker.asks(request)).await,
        Verb::Retry(request) => jobs.retry_job(asker.asks(request)).await,
        Verb::Kill(request) => jobs.kill_job(asker.asks(request)).await,
        Verb::Priority(request) => jobs.set_job_priority(asker.asks(request)).await,
        Verb::Limit(request) => jobs.set_job_limit(asker.asks(request)).await,
        Verb::Delete(request) => jobs.delete_job(asker.asks(request)).await,
    };
    let mut reply = answered(reply)?;
    let job = reply.job.take().ok_or_else(|| Error::internal("an answer without a job"))?;
    json(&Controlled::of(&job, &reply, dry_run))
}

/// What happens to the tasks that run.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Paused {
    Finish,
    Freeze,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pause {
    running: Option<Paused>,
    #[serde(rename = "for")]
    span: Option<Span>,
    reason: Option<String>,
    request_id: Option<String>,
    #[serde(default)]
    dry_run: bool,
}

pub(super) async fn pause(State(web): State<Web>, asker: Asker, Id(id): Id, Sent(body): Sent<Pause>) -> Answer {
    let running = match body.running {
        None | Some(Paused::Finish) => pb::RunningTasks::Finish,
        Some(Paused::Freeze) => pb::RunningTasks::Freeze,
    };
    let request = pb::PauseJobRequest {
        id,
        request_id: request_id(body.request_id),
        reason: body.reason.unwrap_or_default(),
        running: running.into(),
        duration: body.span.map(|Span(span)| wire_duration(span)),
        by: String::new(),
    };
    steer(&web, &asker, Verb::Pause(request), body.dry_run).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Resume {
    reason: Option<String>,
    request_id: Option<String>,
    #[serde(default)]
    dry_run: bool,
}

pub(super) async fn resume(State(web): State<Web>, asker: Asker, Id(id): Id, Sent(body): Sent<Resume>) -> Answer {
    let (request_id, reason) = (request_id(body.request_id), body.reason.unwrap_or_default());
    let request = pb::ResumeJobRequest { id, request_id, reason, by: String::new() };
    steer(&web, &asker, Verb::Resume(request), body.dry_run).await
}

/// What happens to the tasks that run.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Killed {
    Finish,
    Stop,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kill {
    running: Option<Killed>,
    #[serde(default)]
    delete: bool,
    reason: Option<String>,
    request_id: Option<String>,
    #[serde(default)]
    dry_run: bool,
}

pub(super) async fn kill(State(web): State<Web>, asker: Asker, Id(id): Id, Sent(body): Sent<Kill>) -> Answer {
    let running = match body.running {
        None | Some(Killed::Finish) => pb::RunningTasks::Finish,
        Some(Killed::Stop) => pb::RunningTasks::Stop,
    };
    let request = pb::KillJobRequest {
        id,
        request_id: request_id(body.request_id),
        reason: body.reason.unwrap_or_default(),
        running: running.into(),
        delete: body.delete,
        by: String::new(),
    };
    steer(&web, &asker, Verb::Kill(request), body.dry_run).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Priority {
    priority: i32,
    reason: Option<String>,
    request_id: Option<String>,
    #[serde(default)]
    dry_run: bool,
}

pub(super) async fn priority(State(web): State<Web>, asker: Asker, Id(id): Id, Sent(body): Sent<Priority>) -> Answer {
    let (request_id, reason) = (request_id(body.request_id), body.reason.unwrap_or_default());
    let request = pb::SetJobPriorityRequest { id, request_id, reason, priority: body.priority, by: String::new() };
    steer(&web, &asker, Verb::Priority(request), body.dry_run).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Limit {
    /// 0: no limit.
    max_running: u32,
    reason: Option<String>,
    request_id: Option<String>,
    #[serde(default)]
    dry_run: bool,
}

pub(super) async fn limit(State(web): State<Web>, asker: Asker, Id(id): Id, Sent(body): Sent<Limit>) -> Answer {
    let (request_id, reason) = (request_id(body.request_id), body.reason.unwrap_or_default());
    let request = pb::SetJobLimitRequest { id, request_id, reason, max_running: body.max_running, by: String::new() };
    steer(&web, &asker, Verb::Limit(request), body.dry_run).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Retry {
    command: Option<Vec<String>>,
    cpus: Option<u32>,
    mem: Option<Size>,
    gpus: Option<u32>,
    timeout: Option<Span>,
    reason: Option<String>,
    request_id: Option<String>,
    #[serde(default)]
    dry_run: bool,
}

pub(super) async fn retry(State(web): State<Web>, asker: Asker, Id(id): Id, Sent(body): Sent<Retry>) -> Answer {
    if body.command.as_ref().is_some_and(Vec::is_empty) {
        return Err(Error::invalid("command: empty; leave it out for the one that the job has").into());
    }
    let request = pb::RetryJobRequest {
        id,
        request_id: request_id(body.request_id),
        reason: body.reason.unwrap_or_default(),
        command: body.command.unwrap_or_default(),
        cpus: body.cpus,
        mem_bytes: body.mem.map(|Size(bytes)| bytes),
        gpus: body.gpus,
        timeout: body.timeout.map(|Span(span)| wire_duration(span)),
        by: String::new(),
    };
    steer(&web, &asker, Verb::Retry(request), body.dry_run).await
}
