//! Jobs: listed, submitted, shown, deleted; their tasks, and why they wait.

use axum::extract::State;

use super::ask::{Id, Query, Sent, json, listing, request_id};
use super::refusal::Answer;
use super::submission::Submission;
use super::verbs::steer;
use crate::domain::Error;
use crate::rpc::document::{Explanation, Job, Task, TaskDetail, job_state, task_state};
use crate::rpc::pb;
use crate::rpc::pb::dataset_service_server::DatasetService;
use crate::rpc::pb::job_service_server::JobService;
use crate::rpc::pb::preview_verb_request::Verb;
use crate::web::asker::{Asker, answered};
use crate::web::routes::Web;

const JOB_STATES: [pb::JobState; 7] = [
    pb::JobState::Ingesting,
    pb::JobState::Waiting,
    pb::JobState::Running,
    pb::JobState::Finishing,
    pb::JobState::Succeeded,
    pb::JobState::Failed,
    pb::JobState::Killed,
];
const TASK_STATES: [pb::TaskState; 5] =
    [pb::TaskState::Undispatched, pb::TaskState::Running, pb::TaskState::Succeeded, pb::TaskState::Failed, pb::TaskState::Killed];

/// A state by its name.
fn state_of<S: Copy>(name: &str, states: &[S], name_of: fn(S) -> &'static str) -> Result<S, Error> {
    let known = || states.iter().map(|state| name_of(*state)).collect::<Vec<_>>().join(", ");
    let found = states.iter().find(|state| name_of(**state) == name);
    found.copied().ok_or_else(|| Error::invalid(format!("state: `{name}` is none; there are {}", known())))
}

pub(super) const LIST_WORDS: &[&str] = &["state", "held", "live", "owner", "name", "label", "page_size", "page_token"];

pub(super) async fn list(State(web): State<Web>, asker: Asker, query: Query) -> Answer {
    let (page_size, page_token) = query.page()?;
    let states = query.get("state").into_iter().flat_map(|names| names.split(','));
    let states = states.map(|name| state_of(name, &JOB_STATES, job_state).map(Into::into)).collect::<Result<_, _>>()?;
    let request = pb::ListJobsRequest {
        page_size,
        page_token,
        owner: query.text("owner"),
        live: query.flag("live")?,
        states,
        held: query.flag("held")?,
        labels: query.pairs("label")?,
        name_glob: query.text("name"),
        ranges: Vec::new(),
    };
    let page = answered(web.jobs.list_jobs(asker.asks(request)).await)?;
    listing("jobs", &page.jobs, Job::of, &page.next_page_token)
}

pub(super) async fn submit(State(web): State<Web>, asker: Asker, Sent(submission): Sent<Submission>) -> Answer {
    let name = match submission.digest()? {
        None => None,
        Some(digest) => {
            let stored = web.datasets.get_dataset(asker.asks(pb::GetDatasetRequest { digest: digest.to_owned() })).await;
            Some(answered(stored).map_err(|error| error.context("dataset"))?.name)
        }
    };
    let request = submission.into_request(name)?;
    json(&Job::of(&answered(web.jobs.submit_job(asker.asks(request)).await)?))
}

pub(super) async fn show(State(web): State<Web>, asker: Asker, Id(id): Id) -> Answer {
    json(&Job::of(&answered(web.jobs.get_job(asker.asks(pb::GetJobRequest { id })).await)?))
}

pub(super) const DELETE_WORDS: &[&str] = &["request_id", "reason", "dry_run"];

pub(super) async fn delete(State(web): State<Web>, asker: Asker, Id(id): Id, query: Query) -> Answer {
    let request = pb::DeleteJobRequest {
        id,
        request_id: request_id(query.get("request_id").map(str::to_owned)),
        reason: query.text("reason"),
        by: String::new(),
    };
    steer(&web, &asker, Verb::Delete(request), query.flag("dry_run")?).await
}

pub(super) const TASKS_WORDS: &[&str] = &["state", "page_size", "page_token"];

pub(super) async fn tasks(State(web): State<Web>, asker: Asker, Id(id): Id, query: Query) -> Answer {
    let (page_size, page_token) = query.page()?;
    let state = query.get("state").map(|name| state_of(name, &TASK_STATES, task_state)).transpose()?.unwrap_or_default();
    let request = pb::ListTasksRequest { id, page_size, page_token, state: state.into() };
    let page = answered(web.jobs.list_tasks(asker.asks(request)).await)?;
    listing("tasks", &page.tasks, Task::of, &page.next_page_token)
}

pub(super) async fn task(State(web): State<Web>, asker: Asker, Id(id): Id) -> Answer {
    json(&TaskDetail::of(&answered(web.jobs.get_task(asker.asks(pb::GetTaskRequest { id })).await)?))
}

pub(super) async fn explain(State(web): State<Web>, asker: Asker, Id(id): Id) -> Answer {
    json(&Explanation::of(&answered(web.jobs.explain_job(asker.asks(pb::ExplainJobRequest { id })).await)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_a_name_that_is_read() {
        for number in 1.. {
            let Ok(state) = pb::JobState::try_from(number) else { break };
            assert_eq!(state_of(job_state(state), &JOB_STATES, job_state).unwrap(), state);
        }
        for number in 1.. {
            let Ok(state) = pb::TaskState::try_from(number) else { break };
            assert_eq!(state_of(task_state(state), &TASK_STATES, task_state).unwrap(), state);
        }
        let refused = state_of("runing", &JOB_STATES, job_state).unwrap_err().message;
        assert!(refused.starts_with("state: `runing` is none; there are ingesting, waiting, running"), "{refused}");
        assert!(state_of("unknown", &TASK_STATES, task_state).is_err());
    }
}
