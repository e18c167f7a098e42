//! `scale`: how many workers are wanted; with `--run`, a scaler that starts and removes machines by hooks of the admin's.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use super::document;
use super::entry::World;
use super::exit::{Ending, Exit};
use super::hook::Hook;
use super::lasting::Lasting;
use super::new_file;
use super::ui::{Format, Ui, printable};
use super::units::{parse_duration, parse_pair};
use super::worker;
use crate::domain::{Error, ErrorKind, Instant, WorkerId};
use crate::engine::scale::{Look, Pool, PoolEffect, PoolRules, PoolWorker};
use crate::rpc::client::Client;
use crate::rpc::pb;

/// Shown below the options.
pub(crate) const EXAMPLES: &str = "\
Examples:
  millpond scale
  millpond scale --run --label pool=spot --max 20 --state /var/lib/millpond-scaler/drained \\
    --scale-up './more.sh \"$MILLPOND_COUNT\"' --scale-down './remove.sh \"$MILLPOND_HOST\"'
Hooks are shell lines. --scale-up finds MILLPOND_COUNT, how many machines to start now, in its environment; --scale-down finds
MILLPOND_WORKER (as w3) and MILLPOND_HOST (its name) of a worker that has left, whose machine is to go. A hook that fails is repeated.
A machine is removed only when the scaler itself has drained its worker, and that has said goodbye: it held nothing then.";

#[derive(clap::Args, Debug)]
pub(crate) struct ScaleArgs {
    /// Only workers with this label are the pool's; may be repeated. Others count, but are never drained. Without it: all are
    #[arg(long = "label", value_name = "K=V", value_parser = parse_pair)]
    labels: Vec<(String, String)>,
    /// Slots of a worker of the pool [default: those of its newest]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    slots_per_worker: Option<u32>,
    /// Start and remove machines, until Ctrl-C or TERM
    #[arg(long, requires_all = ["scale_up", "scale_down", "max"])]
    run: bool,
    /// What starts machines; a shell line
    #[arg(long, value_name = "CMD", requires = "run")]
    scale_up: Option<String>,
    /// What removes the machine of a worker that was drained and has left; a shell line
    #[arg(long, value_name = "CMD", requires = "run")]
    scale_down: Option<String>,
    /// So many workers at least
    #[arg(long, value_name = "N", default_value_t = 0, requires = "run")]
    min: u32,
    /// So many at most
    #[arg(long, value_name = "N", requires = "run")]
    max: Option<u32>,
    /// How long a worker must have been one too many before it is drained
    #[arg(long, value_name = "DUR", default_value = "10m", value_parser = parse_duration, requires = "run")]
    cool_down: Duration,
    /// A machine whose worker has not connected by then is no longer waited for
    #[arg(long, value_name = "DUR", default_value = "10m", value_parser = parse_duration, requires = "run")]
    start_within: Duration,
    /// How often it looks
    #[arg(long, value_name = "DUR", default_value = "10s", value_parser = parse_duration, requires = "run")]
    every: Duration,
    /// A hook that takes longer is stopped, and has failed
    #[arg(long, value_name = "DUR", default_value = "5m", value_parser = parse_duration, requires = "run")]
    hook_timeout: Duration,
    /// Where it notes the workers that it has drained and whose machines are to go, so that a scaler that is started again removes them
    #[arg(long, value_name = "FILE", requires = "run")]
    state: Option<PathBuf>,
}

pub(crate) async fn run(args: ScaleArgs, client: Client, world: &mut World<'_>, ui: &mut Ui) -> Ending {
    if !args.run {
        let scale = get(&args, &client).await?;
        return show(&scale, args.slots_per_worker, ui);
    }
    let max = args.max.unwrap_or_default();
    if args.min > max {
        return Err(Error::invalid(format!("--min {} is more than --max {max}", args.min)).into());
    }
    world.signals.catch()?;
    Scaler::new(args, max, client)?.run(world, ui).await
}

async fn get(args: &ScaleArgs, client: &Client) -> Result<pb::Scale, Error> {
    let request = pb::GetScaleRequest { labels: args.labels.iter().cloned().collect() };
    client.repeat(async || client.cluster().get_scale(request.clone()).await).await
}

fn show(scale: &pb::Scale, slots_per_worker: Option<u32>, ui: &mut Ui) -> Ending {
    let document = document::Scale::of(scale, slots_per_worker);
    match ui.format {
        Format::Json | Format::Jsonl => ui.json(&document)?,
        Format::Id => ui.line(document.workers_wanted.map_or_else(|| "unknown".into(), |wanted| wanted.to_string()))?,
        Format::Table => {
            let unfit = if scale.tasks_unfit > 0 { format!("; {} more fit no worker", scale.tasks_unfit) } else { String::new() };
            let wanted = document.workers_wanted.map_or_else(|| "unknown: none was seen yet".into(), |wanted| wanted.to_string());
            let (count, idle, draining) = (scale.workers.len(), document.workers.idle, document.workers.draining);
            let elsewhere = match scale.slots_elsewhere {
                0 => String::new(),
                slots => format!("; {slots} more of workers that are not the pool's"),
            };
            for (name, value) in [
                (
                    "wanted",
                    format!("{} slots: {} tasks out, {} would start{unfit}", scale.slots_wanted, scale.tasks_out, scale.tasks_waiting),
                ),
                ("there", format!("{} slots{elsewhere}", scale.slots)),
                ("workers", format!("{wanted} wanted, {count} connected, {idle} idle, {draining} draining")),
            ] {
                ui.line(format_args!("{name:<10}{value}"))?;
            }
        }
    }
    Ok(Exit::Done)
}

/// A pool, the cluster it looks at, and the hooks that it calls.
struct Scaler {
    args: ScaleArgs,
    head: Lasting,
    pool: Pool,
    /// Names of machines, by worker: of all that were seen, since a hook is called when its worker is gone.
    hosts: BTreeMap<WorkerId, String>,
    began: std::time::Instant,
}

impl Scaler {
    fn new(args: ScaleArgs, max: u32, client: Client) -> Result<Self, Error> {
        let rules = PoolRules {
            min: args.min,
            max,
            cool_down: args.cool_down,
            start_within: args.start_within,
            slots_per_worker: args.slots_per_worker,
        };
        let drained = args.state.as_deref().map(read_state).transpose()?.unwrap_or_default();
        let pool = Pool::new(rules, drained.keys().copied().collect(), Instant(0));
        Ok(Self { args, head: Lasting::new(client), pool, hosts: drained, began: std::time::Instant::now() })
    }

    async fn run(mut self, world: &mut World<'_>, ui: &mut Ui) -> Ending {
        let mut told = None;
        loop {
            // A hook that runs ends first: what it has started is not to be forgotten halfway.
            match self.step(world, ui).await {
                Ok(()) => told = None,
                Err(error) if [ErrorKind::Unavailable, ErrorKind::TimedOut].contains(&error.kind) => {
                    // Said once, not with every try.
                    if told.as_ref() != Some(&error.message) {
                        ui.error(&error);
                        told = Some(error.message);
                    }
                }
                Err(error) => return Err(error.into()),
            }
            ui.flush()?;
            tokio::select! {
                () = tokio::time::sleep(self.args.every.max(Duration::from_millis(100))) => {}
                () = world.signals.next() => return Ok(Exit::Done),
            }
        }
    }

    fn now(&self) -> Instant {
        Instant(self.began.elapsed().as_millis() as u64)
    }

    async fn step(&mut self, world: &World<'_>, ui: &mut Ui) -> Result<(), Error> {
        self.head.refresh(world).await?;
        let look = self.look().await?;
        let before: BTreeSet<WorkerId> = self.pool.drained().collect();
        let effects = self.pool.on_look(&look, self.now());
        // Noted before it is done: to forget a drained worker leaves its machine running for good.
        self.keep_state(&before)?;
        for effect in effects {
            self.perform(effect, ui).await?;
        }
        Ok(())
    }

    async fn look(&mut self) -> Result<Look, Error> {
        let scale = get(&self.args, self.head.client()).await?;
        let mut workers = Vec::new();
        for worker in &scale.workers {
            let id = worker_id(&worker.id)?;
            self.hosts.insert(id, worker.host.clone());
            workers.push(PoolWorker { id, idle: worker.idle, draining: worker.draining });
        }
        let connected: BTreeSet<WorkerId> = workers.iter().map(|worker| worker.id).collect();
        let mut left = BTreeSet::new();
        for id in self.pool.missing(&connected) {
            match worker::get(id.to_string(), self.head.client()).await {
                Ok(worker) if worker.left => {
                    left.insert(id);
                }
                Ok(_) => {}
                // Another head's, or its backup's: nothing is known of it.
                Err(error) if error.kind == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        let newest = if scale.newest_worker.is_empty() { WorkerId::default() } else { worker_id(&scale.newest_worker)? };
        let (slots_wanted, slots_elsewhere, slots_per_worker) = (scale.slots_wanted, scale.slots_elsewhere, scale.slots_per_worker);
        Ok(Look { slots_wanted, slots_elsewhere, slots_per_worker, newest, workers, left })
    }

    async fn perform(&mut self, effect: PoolEffect, ui: &mut Ui) -> Result<(), Error> {
        match effect {
            PoolEffect::Start(count) => {
                say(ui, format_args!("starting {count}"));
                let env = vec![("MILLPOND_COUNT", count.to_string())];
                if !self.hook("--scale-up", self.args.scale_up.clone(), env, ui).await {
                    self.pool.start_failed(count, self.now());
                }
            }
            PoolEffect::Drain(id) => {
                say(ui, format_args!("draining {id} on {}", self.host(id)));
                let request = pb::DrainWorkerRequest { id: id.to_string(), request_id: super::controlled::request_id() };
                let client = self.head.client();
                let drained = client.repeat(async || client.cluster().drain_worker(request.clone()).await).await;
                forgive(drained, ui)?;
            }
            PoolEffect::TakeBack(id) => {
                say(ui, format_args!("{id} on {} is wanted again", self.host(id)));
                let request = pb::ResumeWorkerRequest { id: id.to_string(), request_id: super::controlled::request_id() };
                let client = self.head.client();
                let resumed = client.repeat(async || client.cluster().resume_worker(request.clone()).await).await;
                forgive(resumed, ui)?;
            }
            PoolEffect::Remove(id) => {
                say(ui, format_args!("removing the machine of {id}, {}", self.host(id)));
                let env = vec![("MILLPOND_WORKER", id.to_string()), ("MILLPOND_HOST", self.host(id))];
                if self.hook("--scale-down", self.args.scale_down.clone(), env, ui).await {
                    let before = self.pool.drained().collect();
                    self.pool.removed(id);
                    self.keep_state(&before)?;
                }
            }
        }
        Ok(())
    }

    fn host(&self, id: WorkerId) -> String {
        self.hosts.get(&id).cloned().unwrap_or_default()
    }

    /// Whether it did what it was called for.
    async fn hook(&self, option: &str, line: Option<String>, env: Vec<(&'static str, String)>, ui: &mut Ui) -> bool {
        let hook = Hook { line: line.unwrap_or_default(), env, input: String::new(), timeout: self.args.hook_timeout };
        let done = hook.run().await;
        if let Err(why) = &done {
            ui.note(format_args!("millpond: {option}: {}; it is tried again", printable(why)));
        }
        done.is_ok()
    }

    fn keep_state(&self, before: &BTreeSet<WorkerId>) -> Result<(), Error> {
        let Some(path) = self.args.state.as_deref().filter(|_| !self.pool.drained().eq(before.iter().copied())) else { return Ok(()) };
        let lines: String = self.pool.drained().map(|id| format!("{id} {}\n", printable(&self.host(id)))).collect();
        new_file::replace(path, &lines)
    }
}

/// A worker that is not there to be asked shows in the next look; whatever else is wrong is the scaler's end.
fn forgive(asked: Result<pb::Worker, Error>, ui: &mut Ui) -> Result<(), Error> {
    match asked {
        Err(error) if [ErrorKind::Conflict, ErrorKind::NotFound].contains(&error.kind) => {
            ui.error(&error);
            Ok(())
        }
        asked => asked.map(drop),
    }
}

/// A line on standard error, with what is being done; standard output has nothing of a scaler.
fn say(ui: &mut Ui, what: std::fmt::Arguments<'_>) {
    ui.note(printable(&what.to_string()));
}

fn worker_id(text: &str) -> Result<WorkerId, Error> {
    let number = text.strip_prefix('w').and_then(|digits| digits.parse().ok());
    number.map(WorkerId).ok_or_else(|| Error::internal(format!("the head names a worker `{text}`")))
}

/// Workers that an earlier scaler has drained, with the names of their machines.
fn read_state(path: &std::path::Path) -> Result<BTreeMap<WorkerId, String>, Error> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(Error::io(path, &error)),
    };
    let line = |line: &str| {
        let (id, host) = line.split_once(' ').unwrap_or((line, ""));
        worker_id(id).map(|id| (id, host.to_owned()))
    };
    let bad = |_| {
        Error::corrupt(format!(
            "{} does not hold a scaler's state: lines as `w3 HOST`; remove it, and look for machines to remove by hand",
            path.display()
        ))
    };
    text.lines().map(line).collect::<Result<_, Error>>().map_err(bad)
}
