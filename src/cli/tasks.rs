//! `tasks`: the tasks of a job, in their order.

use super::document::{self, task_state};
use super::exit::{Ending, Exit};
use super::pages::{self, Listing};
use super::table::Column;
use super::ui::Ui;
use super::units::short_time;
use crate::domain::JobId;
use crate::limits::PAGE_MAX_ITEMS;
use crate::rpc::client::Client;
use crate::rpc::pb;

const COLUMNS: &[Column] = &[
    ("ID", false),
    ("STATE", false),
    ("ATTEMPT", true),
    ("WORKER", false),
    ("EXIT", true),
    ("STARTED (UTC)", false),
    ("FINISHED (UTC)", false),
    ("OUTCOME", false),
];

/// Which tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum State {
    Undispatched,
    Running,
    Succeeded,
    Failed,
    Killed,
}

#[derive(clap::Args, Debug)]
pub(crate) struct TasksArgs {
    /// 7 or j7
    #[arg(value_name = "JOB")]
    job: JobId,
    /// Only tasks in this state
    #[arg(long, value_enum, value_name = "STATE")]
    state: Option<State>,
}

pub(crate) async fn run(args: TasksArgs, client: &Client, ui: &mut Ui) -> Ending {
    let state = match args.state {
        None => pb::TaskState::Unspecified,
        Some(State::Undispatched) => pb::TaskState::Undispatched,
        Some(State::Running) => pb::TaskState::Running,
        Some(State::Succeeded) => pb::TaskState::Succeeded,
        Some(State::Failed) => pb::TaskState::Failed,
        Some(State::Killed) => pb::TaskState::Killed,
    };
    let fetch = async |page_token: String| {
        let (id, page_size) = (args.job.to_string(), PAGE_MAX_ITEMS as i32);
        let request = pb::ListTasksRequest { id, page_size, page_token, state: state.into() };
        let page = client.repeat(async || client.jobs().list_tasks(request.clone()).await).await?;
        Ok((page.tasks, page.next_page_token))
    };
    let mut listing = Listing::begin(ui, "tasks", COLUMNS)?;
    pages::each(fetch, |tasks| {
        for task in &tasks {
            listing.item(ui, &task.id, document::Task::of(task), row(task))?;
        }
        if tasks.is_empty() { Ok(()) } else { listing.end_of_page(ui) }
    })
    .await?;
    listing.end(ui)?;
    Ok(Exit::Done)
}

fn row(task: &pb::Task) -> Vec<String> {
    vec![
        task.id.clone(),
        task_state(task.state()).to_owned(),
        task.attempt.to_string(),
        task.worker.clone(),
        task.exit_code.map(|code| code.to_string()).unwrap_or_default(),
        short_time(task.started.as_ref()),
        short_time(task.finished.as_ref()),
        task.outcome.clone(),
    ]
}
