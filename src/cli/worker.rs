//! `worker`: the machines, for admins.

use std::fmt::Display;

use super::controlled::request_id;
use super::document::{self, sandbox_profile, used_and_left, worker_record, worker_state};
use super::exit::{Ending, Exit};
use super::pages::{self, Listing};
use super::table::Column;
use super::ui::{Format, Ui, printable};
use super::units::{short_size, short_time};
use crate::domain::Error;
use crate::limits::PAGE_MAX_ITEMS;
use crate::rpc::client::Client;
use crate::rpc::pb;

const COLUMNS: &[Column] = &[("ID", false), ("HOST", false), ("STATE", false), ("SLOTS", true), ("FREE", true), ("TASKS", true)];

#[derive(clap::Subcommand, Debug)]
pub(crate) enum WorkerCommand {
    /// List the workers
    List,
    /// Show one worker, and what it runs
    Show(Which),
    /// Let it finish what it runs, take no more, and leave
    Drain(Change),
    /// Let it take tasks again: one that drains and has not left yet, or that is under suspicion
    Resume(Change),
}

#[derive(clap::Args, Debug)]
pub(crate) struct Change {
    #[command(flatten)]
    which: Which,
    /// Only say what would come of it
    #[arg(long)]
    dry_run: bool,
}

#[derive(clap::Args, Debug)]
pub(crate) struct Which {
    /// As w3
    #[arg(value_name = "WORKER")]
    id: String,
}

pub(crate) async fn run(command: WorkerCommand, client: &Client, ui: &mut Ui) -> Ending {
    match command {
        WorkerCommand::List => list(client, ui).await,
        WorkerCommand::Show(Which { id }) => {
            let worker = get(id, client).await?;
            let facts = facts(&worker);
            write(ui, &worker, &facts)
        }
        WorkerCommand::Drain(Change { which: Which { id }, dry_run }) => {
            let request = pb::DrainWorkerRequest { id: id.clone(), request_id: request_id() };
            let worker = match dry_run {
                true => connected(id, client).await?,
                false => client.repeat(async || client.cluster().drain_worker(request.clone()).await).await?,
            };
            changed(ui, &worker, dry_run, &drained(&worker))
        }
        WorkerCommand::Resume(Change { which: Which { id }, dry_run }) => {
            let request = pb::ResumeWorkerRequest { id: id.clone(), request_id: request_id() };
            let worker = match dry_run {
                true => connected(id, client).await?,
                false => client.repeat(async || client.cluster().resume_worker(request.clone()).await).await?,
            };
            changed(ui, &worker, dry_run, &resumed(&worker))
        }
    }
}

pub(crate) async fn get(id: String, client: &Client) -> Result<pb::Worker, Error> {
    let request = pb::GetWorkerRequest { id };
    client.repeat(async || client.cluster().get_worker(request.clone()).await).await
}

/// What came of a drain.
pub(crate) fn drained(worker: &pb::Worker) -> String {
    let running = worker.slots.saturating_sub(worker.free);
    format!("{} on {} takes no more tasks: {running} of {} slots in use", worker.id, worker.host, worker.slots)
}

/// What came of its end.
pub(crate) fn resumed(worker: &pb::Worker) -> String {
    format!("{} on {} takes tasks again: {} of {} slots free", worker.id, worker.host, worker.free, worker.slots)
}

/// As the head would have it, for a dry run.
pub(crate) async fn connected(id: String, client: &Client) -> Result<pb::Worker, Error> {
    let worker = get(id, client).await?;
    if worker.state() == pb::WorkerState::Away { Err(Error::conflict(format!("{} is not connected", worker.id))) } else { Ok(worker) }
}

fn changed(ui: &mut Ui, worker: &pb::Worker, dry_run: bool, text: &str) -> Ending {
    match ui.format {
        Format::Json | Format::Jsonl => ui.json(&document::Worker::of(worker).with_dry_run(dry_run))?,
        Format::Id => ui.line(&worker.id)?,
        Format::Table => ui.line(format_args!("{}{}", if dry_run { "dry run: " } else { "" }, printable(text)))?,
    }
    Ok(Exit::Done)
}

async fn list(client: &Client, ui: &mut Ui) -> Ending {
    let fetch = async |page_token: String| {
        let request = pb::ListWorkersRequest { page_size: PAGE_MAX_ITEMS as i32, page_token };
        let page = client.repeat(async || client.cluster().list_workers(request.clone()).await).await?;
        Ok((page.workers, page.next_page_token))
    };
    let mut listing = Listing::begin(ui, "workers", COLUMNS)?;
    let mut notes = Vec::new();
    pages::each(fetch, |workers| {
        for worker in &workers {
            if !worker.note.is_empty() {
                notes.push(format!("{} on {}: {}", worker.id, worker.host, worker.note));
            }
            listing.item(ui, &worker.id, document::Worker::of(worker), row(worker))?;
        }
        if workers.is_empty() { Ok(()) } else { listing.end_of_page(ui) }
    })
    .await?;
    listing.end(ui)?;
    ui.flush()?;
    notes.iter().for_each(|note| ui.note(printable(note)));
    Ok(Exit::Done)
}

fn row(worker: &pb::Worker) -> Vec<String> {
    let state = worker_state(worker.state()).to_owned();
    let numbers = [worker.slots.to_string(), worker.free.to_string(), worker.tasks.len().to_string()];
    [worker.id.clone(), worker.host.clone(), state].into_iter().chain(numbers).collect()
}

/// `8 in all, 3 used, 5 free`.
fn amount(total: impl Display, used: impl Display, free: impl Display) -> String {
    format!("{total} in all, {used} used, {free} free")
}

fn holding(task: &pb::WorkerTask) -> String {
    let since = short_time(task.since.as_ref());
    match (task.started, since.as_str()) {
        (true, "") => format!("{} runs, from before it connected", task.id),
        (true, since) => format!("{} runs since {since}", task.id),
        (false, "") => format!("{} is on its way", task.id),
        (false, since) => format!("{} is on its way since {since}", task.id),
    }
}

fn facts(worker: &pb::Worker) -> Vec<String> {
    let total = worker.total.clone().unwrap_or_default();
    let (used, left) = used_and_left(worker);
    let kept = (!worker.kept_for.is_empty())
        .then(|| format!("{} since {}, whose tasks have waited long for room", worker.kept_for, short_time(worker.kept_since.as_ref())));
    let labels: std::collections::BTreeMap<_, _> = total.labels.iter().collect();
    let labels: Vec<String> = labels.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    let facts = [
        ("id", worker.id.clone()),
        ("host", worker.host.clone()),
        ("state", worker_state(worker.state()).to_owned()),
        ("note", worker.note.clone()),
        ("slots", amount(worker.slots, worker.slots.saturating_sub(worker.free), worker.free)),
        ("cpus", amount(total.cpus, used.cpus, left.cpus)),
        ("memory", amount(short_size(total.mem_bytes), short_size(used.mem_bytes), short_size(left.mem_bytes))),
        ("gpus", amount(total.gpus, used.gpus, left.gpus)),
        ("labels", labels.join(" ")),
        ("kept for", kept.unwrap_or_default()),
        ("attached", short_time(worker.attached.as_ref())),
        ("record", worker.record.as_ref().map(worker_record).unwrap_or_default()),
    ];
    let sandbox = worker.sandbox.iter().flat_map(|sandbox| {
        let gaps = sandbox.gaps.iter().map(|gap| ("", format!("but {gap}")));
        std::iter::once(("sandbox", sandbox_profile(sandbox.profile()).to_owned())).chain(gaps)
    });
    let holds = worker.holds.iter().enumerate().map(|(at, task)| (if at == 0 { "tasks" } else { "" }, holding(task)));
    let facts = facts.into_iter().chain(sandbox).chain(holds).filter(|(_, value)| !value.is_empty());
    facts.map(|(name, value)| format!("{name:<10}{value}")).collect()
}

fn write(ui: &mut Ui, worker: &pb::Worker, lines: &[String]) -> Ending {
    match ui.format {
        Format::Json | Format::Jsonl => ui.json(&document::Worker::of(worker))?,
        Format::Id => ui.line(&worker.id)?,
        Format::Table => lines.iter().try_for_each(|line| ui.line(printable(line)))?,
    }
    Ok(Exit::Done)
}
