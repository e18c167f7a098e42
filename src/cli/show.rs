//! `show`: one job, or one task with its attempts, all that is known about it.

use serde::Serialize;

use super::document::{self, task_state};
use super::exit::{Ending, Exit};
use super::explain::foretold;
use super::job_text::{is_final, range, state};
use super::task_ref::Explained;
use super::ui::{Format, Ui, printable};
use super::units::{short_size, short_time};
use crate::domain::{Error, JobId};
use crate::rpc::client::Client;
use crate::rpc::pb;

#[derive(clap::Args, Debug)]
pub(crate) struct ShowArgs {
    /// 7, j7, or a task: j7.42
    #[arg(value_name = "JOB[.TASK]")]
    what: Explained,
}

pub(crate) async fn run(args: ShowArgs, client: &Client, ui: &mut Ui) -> Ending {
    match args.what {
        Explained::Job(job) => {
            let job = get(client, job).await?;
            show(ui, &document::Job::of(&job), &job.id, facts(&job))
        }
        Explained::Task(task) => {
            let request = pb::GetTaskRequest { id: task.to_string() };
            let task = client.repeat(async || client.jobs().get_task(request.clone()).await).await?;
            show(ui, &document::TaskDetail::of(&task), &task.id, task_facts(&task))
        }
        Explained::Worker(worker) => Err(Error::invalid(format!("{worker} is a worker: `millpond worker show {worker}`")).into()),
    }
}

fn show(ui: &mut Ui, document: &impl Serialize, id: &str, facts: Vec<(&str, String)>) -> Ending {
    match ui.format {
        Format::Json | Format::Jsonl => ui.json(document)?,
        Format::Id => ui.line(id)?,
        Format::Table => {
            for (name, value) in facts.into_iter().filter(|(_, value)| !value.is_empty()) {
                ui.line(format_args!("{name:<11}{}", printable(&value)))?;
            }
        }
    }
    Ok(Exit::Done)
}

/// The job as it is now.
pub(crate) async fn get(client: &Client, id: JobId) -> Result<pb::Job, Error> {
    let request = pb::GetJobRequest { id: id.to_string() };
    client.repeat(async || client.jobs().get_job(request.clone()).await).await
}

fn facts(job: &pb::Job) -> Vec<(&'static str, String)> {
    let spec = job.spec.clone().unwrap_or_default();
    let counts = job.tasks.unwrap_or_default();
    let eta = job.eta.filter(|_| !is_final(job));
    let mut facts = vec![
        ("id", job.id.clone()),
        ("name", spec.name),
        ("owner", spec.owner),
        ("state", state(job)),
        ("reason", job.reason.clone()),
        ("time left", eta.map(|eta| range(&eta)).unwrap_or_default()),
        ("foretold", job.eta_score.map(|score| foretold(&score)).unwrap_or_default()),
        ("priority", priority(job)),
        ("limit", if job.max_running > 0 { format!("{} running at once", job.max_running) } else { String::new() }),
        (
            "tasks",
            format!(
                "{}: {} not started, {} running, {} succeeded, {} failed, {} killed",
                counts.total, counts.undispatched, counts.running, counts.succeeded, counts.failed, counts.killed
            ),
        ),
        ("input", spec.input.as_ref().map(input).unwrap_or_default()),
        ("command", spec.command.join(" ")),
        ("image", spec.image),
        ("with", spec.shared_files.iter().map(|file| format!("{} ({})", file.name, short_size(file.len))).collect::<Vec<_>>().join(", ")),
        ("created", short_time(job.created.as_ref())),
        ("started", short_time(job.started.as_ref())),
        ("finished", short_time(job.finished.as_ref())),
        ("kept until", short_time(job.expires.as_ref())),
    ];
    let labels = std::iter::once("told").chain(std::iter::repeat(""));
    facts.extend(labels.zip(job.changes.iter().map(change)));
    facts
}

fn task_facts(task: &pb::Task) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("id", task.id.clone()),
        ("state", task_state(task.state()).to_owned()),
        ("attempt", if task.attempt > 0 { task.attempt.to_string() } else { String::new() }),
        ("worker", task.worker.clone()),
        ("outcome", task.outcome.clone()),
        ("started", short_time(task.started.as_ref())),
        ("finished", short_time(task.finished.as_ref())),
    ];
    let labels = std::iter::once("before").chain(std::iter::repeat(""));
    facts.extend(labels.zip(task.earlier.iter().map(attempt)));
    facts
}

/// `attempt 1 on w2, 2026-11-24 22:10:01 to 2026-11-24 22:10:03: exit code 3`.
fn attempt(it: &pb::TaskAttempt) -> String {
    let (started, finished) = (short_time(it.started.as_ref()), short_time(it.finished.as_ref()));
    format!("attempt {} on {}, {started} to {finished}: {}", it.attempt, it.worker, it.outcome)
}

/// `2026-11-24 22:10:01  priority 5, ana: the paper is due`.
fn change(change: &pb::JobChange) -> String {
    let by = if change.by.is_empty() { String::new() } else { format!(", {}", change.by) };
    let reason = if change.reason.is_empty() { String::new() } else { format!(": {}", change.reason) };
    format!("{}  {}{by}{reason}", short_time(change.time.as_ref()), change.verb)
}

fn priority(job: &pb::Job) -> String {
    format!("{}{}", job.priority, if job.past_finish_line { ", past its finish line" } else { "" })
}

fn input(input: &pb::job_spec::Input) -> String {
    match input {
        pb::job_spec::Input::Dataset(data) => format!("{} by {} (sha256 {})", data.name, data.split, data.digest),
        pb::job_spec::Input::Array(array) if array.step > 1 => format!("array {}-{}:{}", array.first, array.last, array.step),
        pb::job_spec::Input::Array(array) => format!("array {}-{}", array.first, array.last),
    }
}
