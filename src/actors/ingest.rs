//! Ingest: data sets in, and split. Child of the HeadRoot. Never waits behind tasks: it has threads of its own.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use tokio::sync::{OwnedRwLockWriteGuard, RwLock, Semaphore};
use tokio::task::JoinHandle;

use crate::blobs::{ChunkIndex, ChunkIndexWriter, Dataset, DatasetStore, Stored};
use crate::domain::entry::Entry;
use crate::domain::{Digest, Error, ErrorKind, JobId, SplitRule, WallTime};
use crate::engine::disk_gauge::DiskLevel;
use crate::engine::ledger::DatasetRecord;
use crate::limits;
use crate::split::{Splitter, refuse_other_kind};

use super::ask::ask;
use super::clock::wall_now;
use super::disk::Disk;
use super::job::JobMsg;
use super::journal::JournalRef;
use super::supervisor::SupervisorMsg;

/// Data sets, below the data folder.
pub const DATASETS_DIR: &str = "datasets";
/// Chunk indexes, below the data folder.
pub const CHUNKS_DIR: &str = "chunks";
/// What is read of a data set at once, in bytes.
const READ_BYTES: usize = 1 << 20;

/// A data set as it is answered.
pub type DatasetEntry = (Digest, DatasetRecord);

/// What Ingest is told.
pub enum IngestMsg {
    /// Split a data set, and tell the job.
    Split {
        /// Which.
        digest: Digest,
        /// How.
        rule: SplitRule,
        /// Whom to ask how many chunks its owner's quota lets this job have; none if that is not asked any more.
        room: Option<(JobId, ActorRef<SupervisorMsg>)>,
        /// Whom to tell.
        job: ActorRef<JobMsg>,
    },
    /// No job needs a data set: remove it; answered once that is durable.
    Delete {
        /// Which.
        digest: Digest,
        /// What is written down of it.
        entry: Box<Entry>,
        /// Told as well, before that.
        supervisor: ActorRef<SupervisorMsg>,
        /// The answer.
        reply: RpcReplyPort<Result<(), Error>>,
    },
    /// A deletion is durable, and no backup is being made.
    Deleted {
        /// Which.
        digest: Digest,
        /// Held until the bytes are away.
        no_backup: OwnedRwLockWriteGuard<()>,
    },
    /// Remove bytes for good that were put aside so long ago that nobody comes for them.
    Discard(Digest),
    /// Look after uploads that nobody goes on with.
    SweepUploads,
    /// A content is known: whoever was sending it too need not go on.
    GiveUpUploads(Digest),
    /// Bytes are stored: note them; answered once that is durable.
    Add {
        /// The bytes.
        stored: Stored,
        /// The file's name.
        name: String,
        /// Told as well, before that.
        supervisor: ActorRef<SupervisorMsg>,
        /// The answer.
        reply: RpcReplyPort<Result<DatasetEntry, Error>>,
    },
}

/// What Ingest starts from.
pub struct IngestArgs {
    /// The stored data sets.
    pub datasets: Arc<DatasetStore>,
    /// Where chunk indexes are kept.
    pub chunks_dir: PathBuf,
    /// Where facts become durable.
    pub journal: JournalRef,
    /// Whether there is room.
    pub disk: Disk,
    /// Held by a backup while it is made: what it copies must stay.
    pub backups: Arc<RwLock<()>>,
}

/// Its state.
pub struct IngestState {
    args: IngestArgs,
    splits: Arc<Semaphore>,
    /// Data sets whose deletion is on its way to the disk, and that nobody has stored again since.
    deleting: BTreeSet<Digest>,
    /// One look at uploads at a time: a disk that hangs holds up nobody else.
    sweep: Option<JoinHandle<()>>,
}

/// See the module.
pub struct Ingest;

impl Actor for Ingest {
    type Msg = IngestMsg;
    type State = IngestState;
    type Arguments = IngestArgs;

    async fn pre_start(&self, myself: ActorRef<IngestMsg>, args: IngestArgs) -> Result<IngestState, ActorProcessingErr> {
        std::fs::create_dir_all(&args.chunks_dir).map_err(|error| Error::io(&args.chunks_dir, &error))?;
        myself.send_interval(limits::UPLOADS_SWEPT_EVERY, || IngestMsg::SweepUploads);
        Ok(IngestState { args, splits: Arc::new(Semaphore::new(limits::SPLITS_AT_ONCE_MAX)), deleting: BTreeSet::new(), sweep: None })
    }

    async fn handle(&self, myself: ActorRef<IngestMsg>, message: IngestMsg, state: &mut IngestState) -> Result<(), ActorProcessingErr> {
        match message {
            IngestMsg::Split { digest, rule, room, job } => {
                let path = state.args.chunks_dir.join(ChunkIndex::file_name(digest, &rule));
                let (datasets, splits, disk) = (state.args.datasets.clone(), state.splits.clone(), state.args.disk.clone());
                tokio::spawn(async move {
                    let split = split_with_room(&datasets, digest, &rule, &path, &splits, &disk).await;
                    let split = match (split, room) {
                        (Ok(index), Some((id, supervisor))) => within_quota(index, id, &supervisor).await,
                        (split, _) => split,
                    };
                    let _ = job.cast(JobMsg::Split(split.map(Arc::new)));
                });
            }
            IngestMsg::Add { stored, name, supervisor, reply } => match state.hold(stored.digest) {
                Ok(()) => add(&state.args.journal, &stored, name, (supervisor, myself), reply),
                Err(error) => drop(reply.send(Err(error))),
            },
            IngestMsg::SweepUploads => state.sweep_uploads(),
            IngestMsg::GiveUpUploads(digest) => {
                if let Err(error) = state.args.datasets.give_up_known(|known| known == digest) {
                    tracing::warn!(%digest, %error, "an upload whose content is stored stays for a day");
                }
            }
            IngestMsg::Delete { digest, entry, supervisor, reply } => state.delete(&myself, digest, *entry, supervisor, reply),
            IngestMsg::Deleted { digest, no_backup } => {
                if state.deleting.remove(&digest)
                    && let Err(error) = state.args.datasets.put_aside(digest)
                {
                    tracing::warn!(%digest, %error, "a deleted data set can't be removed; the next start tries again");
                }
                drop(no_backup);
                myself.send_after(limits::DELETED_DATA_ASIDE, move || IngestMsg::Discard(digest));
            }
            IngestMsg::Discard(digest) => {
                if let Err(error) = state.args.datasets.discard(digest) {
                    tracing::warn!(%digest, %error, "a deleted data set can't be removed; the next start tries again");
                }
            }
        }
        Ok(())
    }
}

impl IngestState {
    /// Sees to it that bytes which an upload has stored, or found in place, are not taken away, nor were.
    fn hold(&mut self, digest: Digest) -> Result<(), Error> {
        self.deleting.remove(&digest);
        self.args.datasets.bring_back(digest)
    }

    /// At yellow what was silent for a time makes room, at red all that is not open: what the tasks leave behind needs it more.
    fn sweep_uploads(&mut self) {
        if self.sweep.as_ref().is_some_and(|sweep| !sweep.is_finished()) {
            return;
        }
        let (datasets, gauge) = (self.args.datasets.clone(), self.args.disk.gauge());
        let idle_after = if gauge.level == DiskLevel::Red { Duration::ZERO } else { limits::PARTIAL_UPLOAD_IDLE_AFTER };
        self.sweep = Some(tokio::task::spawn_blocking(move || {
            if let Err(error) = datasets.sweep(gauge.lacking(), idle_after) {
                tracing::warn!(%error, "uploads that nobody goes on with can't be looked through");
            }
        }));
    }

    fn delete(
        &mut self,
        myself: &ActorRef<IngestMsg>,
        digest: Digest,
        entry: Entry,
        supervisor: ActorRef<SupervisorMsg>,
        reply: RpcReplyPort<Result<(), Error>>,
    ) {
        self.deleting.insert(digest);
        let (myself, backups) = (myself.clone(), self.args.backups.clone());
        self.args.journal.append(entry, None, move || {
            let _ = supervisor.cast(SupervisorMsg::DatasetGone(digest));
            let _ = reply.send(Ok(()));
            tokio::spawn(async move {
                let no_backup = backups.write_owned().await;
                let _ = myself.cast(IngestMsg::Deleted { digest, no_backup });
            });
        });
    }
}

fn add(
    journal: &JournalRef,
    stored: &Stored,
    name: String,
    (supervisor, ingest): (ActorRef<SupervisorMsg>, ActorRef<IngestMsg>),
    reply: RpcReplyPort<Result<DatasetEntry, Error>>,
) {
    let Stored { digest, len } = *stored;
    let at: WallTime = wall_now();
    let record = DatasetRecord { name: name.clone(), len, at };
    journal.append(Entry::DatasetAdded { digest, name, len, at }, None, move || {
        // In the order of the journal, so that an addition and a deletion are not taken for each other.
        let _ = supervisor.cast(SupervisorMsg::DatasetAdded(digest));
        let _ = reply.send(Ok((digest, record)));
        let _ = ingest.cast(IngestMsg::GiveUpUploads(digest));
    });
}

/// Looked at when a split is done: what counts is what its owner has then.
async fn within_quota(index: ChunkIndex, job: JobId, supervisor: &ActorRef<SupervisorMsg>) -> Result<ChunkIndex, Error> {
    let room = ask(supervisor, |reply| SupervisorMsg::TaskRoom(job, reply)).await?;
    room.map_or(Ok(()), |room| room.takes(index.len().into())).map(|()| index)
}

/// Splits once the disk has room for the index; if it fills up meanwhile, again.
async fn split_with_room(
    datasets: &Arc<DatasetStore>,
    digest: Digest,
    rule: &SplitRule,
    path: &Path,
    splits: &Semaphore,
    disk: &Disk,
) -> Result<ChunkIndex, Error> {
    loop {
        disk.has_room().await;
        let permit = splits.acquire().await;
        let (datasets, rule, path) = (datasets.clone(), rule.clone(), path.to_owned());
        let split = tokio::task::spawn_blocking(move || chunk_index(&datasets, digest, &rule, &path)).await;
        drop(permit);
        let split = split.unwrap_or_else(|_| Err(Error::internal("the split broke off: this is a mistake in Millpond")));
        // A limit of the rule's is `Exhausted` too: that is an answer, once the disk is not the cause.
        let is_full = matches!(&split, Err(Error { kind: ErrorKind::Exhausted, .. })) && disk.measure().await?.takes_jobs().is_err();
        if !is_full {
            return split;
        }
        tracing::warn!(%digest, "the disk was full before a data set was split: it is split once there is room");
    }
}

/// The chunks of a data set by a rule: split now, or before.
fn chunk_index(datasets: &DatasetStore, digest: Digest, rule: &SplitRule, path: &Path) -> Result<ChunkIndex, Error> {
    // One that is damaged is made again.
    if let Ok(index) = ChunkIndex::open(path)
        && index.verify().is_ok()
    {
        return Ok(index);
    }
    let dataset = datasets.open_dataset(digest)?;
    let mut writer = ChunkIndexWriter::create(path)?;
    split(&dataset, rule, &mut writer)?;
    writer.finish()
}

fn split(dataset: &Dataset, rule: &SplitRule, writer: &mut ChunkIndexWriter) -> Result<(), Error> {
    let mut splitter = Splitter::new(rule.clone(), dataset.len());
    let mut buffer = vec![0; READ_BYTES];
    let mut chunks = Vec::new();
    let mut offset = 0;
    loop {
        let read = dataset.read_at(offset, &mut buffer)?;
        if read == 0 {
            break;
        }
        if offset == 0 {
            refuse_other_kind(&buffer[..read], rule)?;
        }
        offset += read as u64;
        splitter.feed(&buffer[..read], &mut chunks)?;
        chunks.drain(..).try_for_each(|chunk| writer.push(&chunk))?;
    }
    splitter.finish(&mut chunks)?;
    chunks.iter().try_for_each(|chunk| writer.push(chunk))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compressed_data_is_not_cut() {
        let folder = tempfile::tempdir().unwrap();
        let datasets = DatasetStore::open(&folder.path().join("datasets")).unwrap();
        let mut upload = datasets.begin_upload().unwrap();
        upload.write(b"\x1f\x8b\x08\0\n\n\n").unwrap();
        let stored = upload.finish().unwrap();
        let rule = SplitRule::for_name("x.txt", 2);
        let error = chunk_index(&datasets, stored.digest, &rule, &folder.path().join("index")).unwrap_err();
        assert_eq!((error.kind, &*error.message), (ErrorKind::Invalid, "the data set is gzip data, stored as it is: upload it unpacked"));
    }
}
