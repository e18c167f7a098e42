//! The WorkerRoot: opens the worker's folder, starts its slots and its WorkerActor. If that fails, the worker ends; its launchers see to
//! its tasks.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio_util::sync::CancellationToken;

use crate::domain::wire::{Dial, Hello};
use crate::domain::{Epoch, Error, Instant};
use crate::engine::SlotTable;
use crate::engine::slot_table::{Allowance, Equipment};
use crate::exec::{self, ContainerChoice, Containers, Places, SandboxOptions, Sandboxes};
use crate::limits;
use crate::store::FolderLock;

use super::cache::Cache;
use super::clock::Clock;
use super::data_port::DataPort;
use super::handover::Handover;
use super::images::Images;
use super::prepare::Stores;
use super::runner::{self, RunnerSetup};
use super::sights::Sights;
use super::small_file;
use super::worker::{WorkerActor, WorkerArgs, WorkerMsg};

/// What a worker is started with.
#[derive(Clone, Debug)]
pub struct WorkerOptions {
    /// All its state.
    pub dir: PathBuf,
    /// How many tasks it runs at once.
    pub slots: u32,
    /// What it has besides.
    pub equipment: Equipment,
    /// What it keeps while the head takes nothing.
    pub allowance: Allowance,
    /// Chunks and shared files that it keeps.
    pub cache_bytes: u64,
    /// The binary that is re-executed as launcher.
    pub launcher: PathBuf,
    /// What its tasks are kept from.
    pub sandbox: SandboxOptions,
    /// What runs images.
    pub containers: ContainerChoice,
}

/// A running worker, without its link to the head.
pub struct RunningWorker {
    /// For the link.
    pub actor: ActorRef<WorkerMsg>,
    /// Done when the worker has drained, or failed.
    pub left: CancellationToken,
    root: ActorRef<()>,
    ended: tokio::task::JoinHandle<()>,
    _lock: FolderLock,
}

/// See the module.
pub struct WorkerRoot;

/// What the root starts from.
pub struct RootArgs {
    worker: WorkerArgs,
    started: tokio::sync::oneshot::Sender<ActorRef<WorkerMsg>>,
    left: CancellationToken,
}

impl WorkerRoot {
    /// Starts a worker in its folder. `Conflict` if another worker uses it.
    pub async fn start(options: WorkerOptions, port: Arc<dyn DataPort>) -> Result<RunningWorker, Error> {
        let dir = options.dir.clone();
        make_dir(&dir)?;
        let lock = FolderLock::take(&dir).map_err(|error| error.context("the worker's --dir"))?;
        exec::become_subreaper()?;
        let left = CancellationToken::new();
        let worker = args(&options, port, left.clone())?;
        let (started, actor) = tokio::sync::oneshot::channel();
        let spawned = Self::spawn(None, Self, RootArgs { worker, started, left: left.clone() }).await;
        let (root, ended) = spawned.map_err(|error| Error::internal(format!("the worker can't start: {error}")))?;
        let actor = actor.await.map_err(|_| Error::internal("the worker can't start"))?;
        Ok(RunningWorker { actor, left, root, ended, _lock: lock })
    }
}

impl RunningWorker {
    /// Stops everything now; running tasks are killed.
    pub async fn stop(self) {
        let _ = self.actor.cast(WorkerMsg::Shutdown);
        let _ = self.root.stop_children_and_wait(None, None).await;
        self.root.stop(None);
        let _ = self.ended.await;
    }
}

fn make_dir(dir: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(dir).map_err(|error| Error::io(dir, &error))
}

/// For this user alone.
fn make_own_dir(dir: &Path) -> Result<(), Error> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|error| Error::io(dir, &error))
}

fn args(options: &WorkerOptions, port: Arc<dyn DataPort>, left: CancellationToken) -> Result<WorkerArgs, Error> {
    // As its tasks see it, who ask the system where they are: a link that they make by that name leads into their own folder.
    let dir = std::fs::canonicalize(&options.dir).map_err(|error| Error::io(&options.dir, &error))?;
    let epoch_file = dir.join("epoch");
    let results_dir = dir.join("results");
    if results_dir.exists() {
        std::fs::remove_dir_all(&results_dir).map_err(|error| Error::io(&results_dir, &error))?;
    }
    make_own_dir(&results_dir)?;
    let slots_dir = dir.join("slots");
    make_dir(&slots_dir)?;
    let (key, cache_dir) = (key(&dir)?, dir.join("cache"));
    // Before slots: what an earlier start has left may write to their folders.
    let images = Arc::new(Images::new(Containers::find(options.containers, &options.sandbox, &dir, &key, &host())?));
    let equipment = options.equipment.clone().with_containers(images.containers().is_some());
    let stores = Stores::new(Cache::new(&cache_dir, options.cache_bytes, port.clone())?, port.clone(), images.clone());
    let (slots, launcher) = (options.slots, options.launcher.clone());
    let places = Places { dir: &dir, slots: &slots_dir, cache: &cache_dir, launcher: &launcher };
    let sandboxes = Sandboxes::prepare(&options.sandbox, places, slots)?;
    let confines = sandboxes.confines().clone();
    tracing::info!(sandbox = %confines.sandbox, "what tasks are confined by");
    confines.gaps.iter().for_each(|gap| tracing::warn!("the sandbox does not keep all that it promises: {gap}"));
    let clock = Clock::start();
    let handover = Arc::new(Handover::new(clock));
    let sights = Arc::new(Sights::new(slots));
    let (shared, seen) = (handover.clone(), sights.clone());
    let make_runners = move |worker: ActorRef<WorkerMsg>| {
        let launcher_deaths = Arc::default();
        let setup =
            RunnerSetup { launcher, slots_dir, results_dir, cache_dir, images, launcher_deaths, handover: shared, sights: seen, worker };
        let slots = sandboxes.into_slots().into_iter().enumerate();
        slots.map(|(slot, sandbox)| runner::spawn(slot, setup.clone(), sandbox)).collect()
    };
    let epoch = Epoch(number(&epoch_file)?);
    let hello = Hello {
        key,
        host: host(),
        slots,
        total: equipment.total().clone(),
        confines: Some(confines),
        follows: true,
        epoch_seen: epoch,
        dial: Dial { start: count_start(&dir.join("starts"))?, number: 0 },
        stamp: Instant(0),
        held: Vec::new(),
    };
    Ok(WorkerArgs {
        hello,
        table: SlotTable::new(slots, equipment, options.allowance, epoch),
        make_runners: Box::new(make_runners),
        stores,
        port,
        epoch_file,
        handover,
        sights,
        clock,
        left,
    })
}

/// The worker's name for itself: made once.
fn key(dir: &Path) -> Result<String, Error> {
    let path = dir.join("key");
    match std::fs::read_to_string(&path) {
        Ok(key) if !key.trim().is_empty() && key.len() <= limits::NAME_MAX_BYTES => Ok(key.trim().to_owned()),
        Ok(_) => Err(Error::corrupt(format!("{} does not hold a worker's key: remove it to begin as a new worker", path.display()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let key = uuid::Uuid::new_v4().to_string();
            small_file::write(&path, &key)?;
            Ok(key)
        }
        Err(error) => Err(Error::io(&path, &error)),
    }
}

/// Counts this start, durably: what an earlier start said is never taken for later than what this one says.
fn count_start(path: &Path) -> Result<u64, Error> {
    let start = number(path)?.saturating_add(1);
    small_file::write(path, &start.to_string())?;
    Ok(start)
}

/// The number in a small file; 0 if there is none.
fn number(path: &Path) -> Result<u64, Error> {
    match std::fs::read_to_string(path) {
        Ok(text) => text.trim().parse().map_err(|_| {
            let dir = path.parent().unwrap_or(path).display();
            Error::corrupt(format!("{} does not hold a number: remove {dir}, to begin as a new worker", path.display()))
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(Error::io(path, &error)),
    }
}

fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

impl Actor for WorkerRoot {
    type Msg = ();
    type State = CancellationToken;
    type Arguments = RootArgs;

    async fn pre_start(&self, myself: ActorRef<()>, args: RootArgs) -> Result<CancellationToken, ActorProcessingErr> {
        let (actor, _) = WorkerActor::spawn_linked(None, WorkerActor, args.worker, myself.get_cell()).await?;
        let _ = args.started.send(actor);
        Ok(args.left)
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<()>,
        event: SupervisionEvent,
        left: &mut CancellationToken,
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorFailed(_, error) = event {
            tracing::error!(%error, "the worker has failed");
            left.cancel();
        }
        Ok(())
    }
}
