//! The JSON documents that only the command line has; the others, which it shares with what is answered by plain HTTP, are in `rpc/document/`.

use serde::Serialize;

pub(crate) use crate::rpc::document::{
    Controlled, Dataset, Event, Explanation, Job, Order, Principal, Quota, Scale, Task, TaskDetail, Token, VERSION, Worker, job_state,
    principal_state, role_name, sandbox_profile, task_state, token_state, used_and_left, worker_record, worker_state,
};

use super::config::Settings;
use super::layer::Layer;
use crate::rpc::pb;
use crate::rpc::units::now;

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

/// What `notify` tells: the body of a webhook, and the standard input of a hook.
#[derive(Serialize)]
pub(crate) struct Notice<'a> {
    version: u32,
    event: &'a str,
    /// The same each time that it is told.
    id: String,
    /// When it was seen.
    time: String,
    /// As it was then; none of a job that is gone.
    job: Option<Job<'a>>,
    text: &'a str,
}

impl<'a> Notice<'a> {
    pub(crate) fn of(event: &'a str, id: String, job: Option<&'a pb::Job>, text: &'a str) -> Self {
        Self { version: VERSION, event, id, time: format!("{:.6}", now()), job: job.map(Job::of), text }
    }
}
