//! The HeadRoot: opens the data folder, begins an epoch, starts the other actors, and stops the head when one it can't do without fails.

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::sync::{RwLock, Semaphore, watch};

use crate::audit::AuditLog;
use crate::blobs::{DatasetStore, IndexedResult, Reserve};
use crate::domain::{Error, ErrorKind, JobId, Keep, TaskEnd, TaskNo};
use crate::engine::{DiskGauge, Meters, Watermarks};
use crate::pki::IdentityFolder;
use crate::store::{SledStore, Store};

use super::audience::Audience;
use super::bundler::Bundler;
use super::chronicle::Chronicle;
use super::clock::{Clock, wall_now};
use super::collection::collect;
use super::disk;
use super::head::Head;
use super::ingest::{CHUNKS_DIR, DATASETS_DIR, Ingest, IngestArgs};
use super::job_store::JobStore;
use super::journal::{self, Journal, JournalArgs, JournalRef, Replayed};
use super::registrar::{self, Registrar};
use super::supervisor::{JobSupervisor, SupervisorArgs};
use super::tracer::{Tracer, Traces};
use super::turns::Turns;
use super::watch::{Watch, WatchArgs};

/// What a head is started with.
#[derive(Clone, Debug)]
pub struct HeadOptions {
    /// All its state.
    pub data_dir: PathBuf,
    /// How long a started head waits for the workers it knew.
    pub reattach: Duration,
    /// How long a job waits for room before a worker is kept free for it.
    pub reserve_after: Duration,
    /// How long a finished job is kept that does not say so itself.
    pub keep: Keep,
    /// From which room on its disk less is taken in.
    pub watermarks: Watermarks,
    /// An upload that brings nothing for so long loses its place.
    pub upload_silence: Duration,
    /// Under which names and addresses browsers know it, beside the one that all clients of ours ask for.
    pub names: Vec<String>,
    /// Where the ways of tasks go, if somebody wants to follow them.
    pub traces: Option<Traces>,
}

/// The root's state: only its children.
pub struct RootState {
    head: Head,
    failed: watch::Sender<Option<String>>,
}

/// Asks for the head.
pub enum RootMsg {
    /// The head as others use it.
    Head(ractor::RpcReplyPort<Head>),
}

/// See the module.
pub struct HeadRoot;

/// What the root starts from.
pub struct RootArgs {
    options: HeadOptions,
    failed: watch::Sender<Option<String>>,
}

/// A running head.
pub struct RunningHead {
    /// As services use it.
    pub head: Head,
    /// Says why, if the head had to stop.
    pub failed: watch::Receiver<Option<String>>,
    root: ActorRef<RootMsg>,
    ended: tokio::task::JoinHandle<()>,
}

impl HeadRoot {
    /// Starts a head on its data folder.
    ///
    /// `Conflict` if another head uses the folder; `Corrupt` if its journal is damaged.
    pub async fn start(options: HeadOptions) -> Result<RunningHead, Error> {
        let (failed, watch) = watch::channel(None);
        let started = Self::spawn(None, Self, RootArgs { options, failed }).await;
        let (root, ended) = started.map_err(|error| from_spawn(&error))?;
        let head = super::ask::ask(&root, RootMsg::Head).await?;
        Ok(RunningHead { head, failed: watch, root, ended })
    }
}

/// An actor that can't start says why as text only; the kind goes with the first word we put there.
fn from_spawn(error: &ractor::SpawnErr) -> Error {
    let text = match error {
        ractor::SpawnErr::StartupFailed(why) => match why.downcast_ref::<Error>() {
            Some(error) => return error.clone(),
            None => why.to_string(),
        },
        other => other.to_string(),
    };
    Error::internal(text)
}

impl RunningHead {
    /// Stops everything. What was acknowledged is on disk.
    pub async fn stop(self) {
        let _ = self.root.stop_children_and_wait(None, None).await;
        self.root.stop(None);
        let _ = self.ended.await;
    }
}

impl Actor for HeadRoot {
    type Msg = RootMsg;
    type State = RootState;
    type Arguments = RootArgs;

    async fn pre_start(&self, myself: ActorRef<RootMsg>, args: RootArgs) -> Result<RootState, ActorProcessingErr> {
        let RootArgs { options, failed } = args;
        let (data_dir, watermarks, names) = (options.data_dir.clone(), options.watermarks, options.names.clone());
        let open = move || open(&data_dir, watermarks, &names);
        let Opened { store, epoch, last_seq, ledger, datasets, reserve, gauge, identity } = tokio::task::spawn_blocking(open).await??;
        let (clock, cell) = (Clock::start(), myself.get_cell());
        let disk = disk::start(reserve, gauge, cell.clone()).await?;
        let meters = Arc::new(Meters::default());
        let journal_args = JournalArgs { store, epoch, last_seq, ledger: ledger.clone(), meters: meters.clone() };
        let (journal, _) = Journal::spawn_linked(None, Journal, journal_args, cell.clone()).await?;
        let journal = JournalRef::new(journal, Arc::new(options.data_dir.clone()));
        let registrar = match identity {
            None => None,
            Some((identity, audit)) => Some(Registrar::start(identity, audit, ledger.identities.clone(), journal.clone()).await?),
        };
        let late = Arc::new(OnceLock::new());
        let (changed, changes) = watch::channel(());
        let (watch, _) = Watch::spawn_linked(None, Watch, WatchArgs { epoch, supervisor: late.clone() }, cell.clone()).await?;
        let (chronicle, _) = Chronicle::spawn_linked(None, Chronicle, (), cell.clone()).await?;
        let chunks_dir = options.data_dir.join(CHUNKS_DIR);
        let kept_files = Arc::new(RwLock::new(()));
        let ingest_args = IngestArgs {
            datasets: datasets.clone(),
            chunks_dir,
            journal: journal.clone(),
            disk: disk.clone(),
            backups: kept_files.clone(),
        };
        let (ingest, _) = Ingest::spawn_linked(None, Ingest, ingest_args, cell.clone()).await?;
        let (bundler, _) = Bundler::spawn_linked(None, Bundler, options.data_dir.clone(), cell.clone()).await?;
        let args = SupervisorArgs {
            epoch,
            ledger,
            data_dir: options.data_dir.clone(),
            journal: journal.clone(),
            ingest: ingest.clone(),
            bundler: bundler.clone(),
            keep: options.keep,
            backups: kept_files.clone(),
            watch: watch.clone(),
            chronicle: chronicle.clone(),
            changes: changed,
            clock,
            reattach: options.reattach,
            reserve_after: options.reserve_after,
            disk: disk.clone(),
            meters: meters.clone(),
            tracer: options.traces.map(|traces| Tracer::new(traces, meters.clone())),
        };
        let (supervisor, _) = JobSupervisor::spawn_linked(None, JobSupervisor, args, cell).await?;
        let _ = late.set(supervisor.clone());
        let head = Head {
            epoch,
            started: wall_now(),
            data_dir: options.data_dir,
            journal,
            supervisor,
            ingest,
            bundler,
            watch,
            chronicle,
            changes,
            datasets,
            disk,
            upload_silence: options.upload_silence,
            backups: Arc::new(Semaphore::new(1)),
            previews: Arc::new(Semaphore::new(1)),
            kept_files,
            turns: Turns::default(),
            registrar,
            audience: Audience::default(),
            meters,
        };
        Ok(RootState { head, failed })
    }

    async fn handle(&self, _: ActorRef<RootMsg>, message: RootMsg, state: &mut RootState) -> Result<(), ActorProcessingErr> {
        let RootMsg::Head(reply) = message;
        let _ = reply.send(state.head.clone());
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<RootMsg>,
        event: SupervisionEvent,
        state: &mut RootState,
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorFailed(_, error) = event {
            // The journal, the supervisor and the rest hold what nothing else can give back: a new start reads it from the disk.
            tracing::error!(%error, "a part of the head that it can't do without has failed: the head stops");
            let _ = state.failed.send(Some(error.to_string()));
            myself.stop_children(None);
        }
        Ok(())
    }
}

struct Opened {
    store: Box<dyn Store>,
    epoch: crate::domain::Epoch,
    last_seq: u64,
    ledger: crate::engine::Ledger,
    datasets: Arc<DatasetStore>,
    reserve: Arc<Reserve>,
    gauge: DiskGauge,
    identity: Option<(IdentityFolder, AuditLog)>,
}

/// A head does not start on damage: it can't know what it would forget.
fn way_out(mut error: Error, data_dir: &std::path::Path) -> Error {
    if error.kind == ErrorKind::Corrupt {
        let dir = data_dir.display();
        error.message = format!("{dir} is damaged: {}; see all of it with `millpond-head doctor --data-dir {dir}`", error.message);
    }
    error
}

/// Opens all that there is. A key that is damaged says itself what to do.
fn open(data_dir: &std::path::Path, watermarks: Watermarks, names: &[String]) -> Result<Opened, Error> {
    let opened = open_state(data_dir, watermarks).map_err(|error| way_out(error, data_dir))?;
    let identity = registrar::open(data_dir, names, &opened.ledger.identities, wall_now())?;
    Ok(Opened { identity, ..opened })
}

/// Looks at the disk, opens the store, begins an epoch, replays the journal, and puts a snapshot in the place of its tail.
fn open_state(data_dir: &std::path::Path, watermarks: Watermarks) -> Result<Opened, Error> {
    // What others have submitted and got is nothing that a task on this machine may read.
    let made = DirBuilder::new().recursive(true).mode(0o700).create(data_dir);
    made.map_err(|error| Error::io(data_dir, &error))?;
    let reserve = Arc::new(Reserve::new(data_dir)?);
    let gauge = disk::first_look(&reserve, watermarks)?;
    let mut store: Box<dyn Store> = Box::new(SledStore::open(data_dir)?);
    let epoch = store.acquire(&format!("millpond-head {} pid {}", env!("CARGO_PKG_VERSION"), std::process::id()))?;
    let Replayed { ledger, last_seq, ends } = journal::load(store.as_mut())?;
    let is_tail = !ends.is_empty();
    note_again(data_dir, ends)?;
    if is_tail {
        journal::snapshot(store.as_mut(), epoch, last_seq, &ledger)?;
    }
    let datasets = Arc::new(DatasetStore::open(&data_dir.join(DATASETS_DIR))?);
    collect(data_dir, &ledger, &datasets)?;
    Ok(Opened { store, epoch, last_seq, ledger, datasets, reserve, gauge, identity: None })
}

/// Where the results lie of tasks whose end is in the journal, but perhaps not yet, durably, in their job's index.
fn note_again(data_dir: &std::path::Path, ends: Vec<(JobId, TaskEnd)>) -> Result<(), Error> {
    let mut results: BTreeMap<JobId, Vec<(TaskNo, IndexedResult)>> = BTreeMap::new();
    for (job, end) in ends {
        results.entry(job).or_default().push((end.no, IndexedResult { result: end.result, success: end.success }));
    }
    for (job, results) in results {
        let files = JobStore::open(data_dir, job)?;
        files.index.put_all(results)?;
        files.index.sync()?;
    }
    Ok(())
}
