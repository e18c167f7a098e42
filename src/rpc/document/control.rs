//! What is told of a job that is steered, watched or asked about.

use serde::Serialize;

use super::job::{Job, job_state};
use super::{VERSION, rfc3339};
use crate::rpc::pb;

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
