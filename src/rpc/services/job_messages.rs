//! Jobs as messages.

use prost::Message as _;

use crate::actors::job::VerbAnswer;
use crate::actors::supervisor::JobStatus;
use crate::actors::watch::JobEvent;
use crate::domain::JobId;
use crate::domain::deletion::DeletedJob;
use crate::domain::verb::Said;
use crate::engine::JobView;
use crate::limits::PAGE_MAX_BYTES;
use crate::rpc::convert::{counts_to_pb, eta_score_to_pb, eta_to_pb, spec_to_pb, state_to_pb, time_to_pb};
use crate::rpc::pb;

fn job_of_view(view: &JobView) -> pb::Job {
    pb::Job {
        id: view.id.to_string(),
        spec: Some(spec_to_pb(&view.spec)),
        state: state_to_pb(view.state).into(),
        held: view.held,
        frozen: view.hold.freeze,
        resumes: view.hold.until.map(time_to_pb),
        priority: view.priority,
        max_running: view.max_running.unwrap_or(0),
        past_finish_line: false,
        reason: String::new(),
        eta: None,
        tasks: Some(counts_to_pb(view.counts)),
        created: Some(time_to_pb(view.created)),
        started: view.began.map(time_to_pb),
        finished: view.ended.map(time_to_pb),
        round: view.round,
        expires: None,
        changes: view.said.iter().map(change).collect(),
        since: view.since.map(time_to_pb),
        eta_score: eta_score_to_pb(view.eta_score),
    }
}

fn change(said: &Said) -> pb::JobChange {
    pb::JobChange { time: Some(time_to_pb(said.at)), verb: said.what(), by: said.by.clone(), reason: said.reason.clone() }
}

/// A job as it is shown.
pub fn job(status: &JobStatus) -> pb::Job {
    pb::Job {
        past_finish_line: status.past_finish_line,
        reason: status.reason.clone(),
        eta: status.eta.map(eta_to_pb),
        expires: status.expires.map(time_to_pb),
        ..job_of_view(&status.view)
    }
}

/// What a deleted job was.
pub fn deleted(status: &JobStatus) -> pb::ControlReply {
    pb::ControlReply { job: Some(job(status)), changed: true, ..Default::default() }
}

/// The same when it is said again: what is remembered of the job, which is less.
pub fn deleted_before(job: &DeletedJob) -> pb::ControlReply {
    let spec = pb::JobSpec { name: job.name.clone(), owner: job.owner.clone(), ..Default::default() };
    let job = pb::Job {
        id: job.id.to_string(),
        spec: Some(spec),
        state: state_to_pb(job.state).into(),
        priority: job.priority,
        tasks: Some(counts_to_pb(job.counts)),
        created: Some(time_to_pb(job.created)),
        started: job.began.map(time_to_pb),
        finished: job.ended.map(time_to_pb),
        since: job.ended.map(time_to_pb),
        round: job.round,
        ..Default::default()
    };
    pb::ControlReply { job: Some(job), changed: true, ..Default::default() }
}

/// Jobs as a page, of what was asked for at most `limit`; shorter where a longer one would be too large a message.
pub fn page(jobs: &[JobStatus], limit: usize) -> pb::ListJobsResponse {
    let mut page = Vec::new();
    let mut bytes = 0;
    for status in jobs {
        let job = job(status);
        bytes += job.encoded_len();
        if bytes > PAGE_MAX_BYTES && !page.is_empty() {
            break;
        }
        page.push(job);
    }
    let is_whole = page.len() == jobs.len() && jobs.len() < limit;
    let last = jobs.get(page.len().saturating_sub(1)).filter(|_| !is_whole).map(|status| status.view.id.0.to_string());
    pb::ListJobsResponse { jobs: page, next_page_token: last.unwrap_or_default() }
}

/// What came of a verb. The counts are those of the reply, not of a moment later.
pub fn control_reply(answer: VerbAnswer, status: Option<&JobStatus>) -> Result<pb::ControlReply, crate::domain::Error> {
    let (reply, view) = answer?;
    let mut job = job_of_view(&view);
    job.state = state_to_pb(reply.state).into();
    job.tasks = Some(counts_to_pb(reply.counts));
    if let Some(status) = status {
        job.past_finish_line = status.past_finish_line;
        job.reason = status.reason.clone();
    }
    Ok(pb::ControlReply {
        job: Some(job),
        changed: reply.changed,
        dropped: reply.dropped,
        undispatched: reply.counts.undispatched,
        running: reply.counts.running,
        unconfirmed: reply.unconfirmed.iter().map(ToString::to_string).collect(),
        retried: reply.retried,
        superseded_by: reply.superseded_by.unwrap_or_default().into(),
    })
}

/// An event of a watched job.
pub fn event(event: &JobEvent) -> pb::JobEvent {
    pb::JobEvent {
        cursor: event.cursor,
        time: Some(time_to_pb(event.at)),
        kind: event.kind.name().into(),
        text: event.text.clone(),
        job: Some(job(&event.job)),
    }
}

/// Reads `j7`, or `j7.42` where a task may be named.
pub fn job_and_index(text: &str) -> Result<(JobId, Option<u64>), crate::domain::Error> {
    match text.split_once('.') {
        None => Ok((text.parse()?, None)),
        Some((job, index)) => {
            let digits = !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit());
            let index = index.parse().ok().filter(|_| digits);
            let index = index.ok_or_else(|| crate::domain::Error::invalid(format!("`{text}` is not a task: write it as j7.42")))?;
            Ok((job.parse()?, Some(index)))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::domain::entry::Submitted;
    use crate::domain::testing::{job_spec, submitted};
    use crate::domain::{Epoch, JobSpec};
    use crate::engine::{JobMachine, JobRecord};
    use crate::limits::MESSAGE_MAX_BYTES;

    #[test]
    fn a_page_of_large_jobs_is_a_message_that_can_be_sent() {
        let status = |id: u64| {
            let spec = JobSpec { command: vec!["x".repeat(100_000)], ..job_spec() };
            let view = JobMachine::new(JobRecord::new(Submitted { spec, ..submitted(id) }), Epoch(1), BTreeSet::new()).view();
            JobStatus { view, reason: String::new(), past_finish_line: false, eta: None, expires: None }
        };
        let jobs: Vec<JobStatus> = (1..=50).rev().map(status).collect();
        let first = page(&jobs, 1000);
        assert!(first.encoded_len() < MESSAGE_MAX_BYTES && first.jobs.len() > 10, "{}", first.jobs.len());
        assert_eq!(first.next_page_token, (51 - first.jobs.len()).to_string());
        assert_eq!(page(&jobs[45..], 1000).next_page_token, "", "the last page");
        assert_eq!(page(&jobs[45..], 5).next_page_token, "1", "there may be more");
        assert_eq!(page(&[], 5), pb::ListJobsResponse::default());
    }

    #[test]
    fn a_task_is_written_behind_its_job() {
        assert_eq!(job_and_index("j7.42").unwrap(), (JobId(7), Some(42)));
        assert_eq!(job_and_index("7").unwrap(), (JobId(7), None));
        for bad in ["j7.", "j7.x", "j7.-1", ".1", "j7.1.2", ""] {
            assert!(job_and_index(bad).is_err(), "{bad}");
        }
    }
}
