//! `show`: one job, all that is known about it.

use super::document;
use super::exit::{Ending, Exit};
use super::explain::foretold;
use super::job_text::{is_final, range, state};
use super::ui::{Format, Ui, printable};
use super::units::{short_size, short_time};
use crate::domain::{Error, JobId};
use crate::rpc::client::Client;
use crate::rpc::pb;

#[derive(clap::Args, Debug)]
pub(crate) struct ShowArgs {
    /// 7 or j7
    #[arg(value_name = "JOB")]
    job: JobId,
}

pub(crate) async fn run(args: ShowArgs, client: &Client, ui: &mut Ui) -> Ending {
    let job = get(client, args.job).await?;
    match ui.format {
        Format::Json | Format::Jsonl => ui.json(&document::Job::of(&job))?,
        Format::Id => ui.line(&job.id)?,
        Format::Table => {
            for (name, value) in facts(&job).into_iter().filter(|(_, value)| !value.is_empty()) {
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
