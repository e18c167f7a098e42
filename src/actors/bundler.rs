//! The Bundler: makes a bundle's layout for the moment of a request. Child of the HeadRoot. Never waits behind tasks.
//!
//! The bytes stay where they are: a layout is a list of ranges of the job's segment, with headers between them. A layout is kept for
//! downloads that go on later, and for the next request while nothing has changed.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};

use crate::blobs::{ChunkIndex, JobFiles, Segment};
use crate::bundle::{BundleJob, BundleTask, Layout, ReadAt, TaskState, assemble};
use crate::domain::{Error, Input, JobId, JobState, ResultRef, TaskNo, WorkerId};

use super::job::JobSnapshot;
use super::job_store::JobStore;

/// Layouts that are kept.
const KEPT_LAYOUTS: usize = 16;

/// A bundle at one moment.
pub struct Bundle {
    /// Where its bytes lie.
    pub layout: Layout,
    segment: SegmentReader,
}

struct SegmentReader(Arc<Segment>);

impl ReadAt for SegmentReader {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> std::io::Result<()> {
        self.0.read_exact_at(offset, buf).map_err(std::io::Error::other)
    }
}

impl Bundle {
    /// Reads from the archive; short only at its end.
    pub fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize, Error> {
        self.layout.read_at(offset, buf, &self.segment).map_err(|error| Error::internal(format!("the bundle can't be read: {error}")))
    }
}

/// What a layout depends on: while it is the same, so is the layout.
type Version = (JobId, u32, u32, u32, u32, JobState, i32);

/// What the Bundler is told.
pub enum BundlerMsg {
    /// Make the bundle of a job as it is.
    Make {
        /// The job.
        job: Box<JobSnapshot>,
        /// Names of workers, for `run.json`.
        workers: BTreeMap<WorkerId, String>,
        /// The answer.
        reply: RpcReplyPort<Result<Arc<Bundle>, Error>>,
    },
    /// The bundle of an earlier request.
    Find {
        /// Of which job.
        job: JobId,
        /// Its etag.
        etag: String,
        /// The answer.
        reply: RpcReplyPort<Option<Arc<Bundle>>>,
    },
    /// A layout was made, or could not be.
    Made(Version, Option<Arc<Bundle>>),
    /// A job was deleted: nothing of it is kept any more, so that its bytes go with the last download.
    Forget(JobId),
}

/// Its state.
pub struct BundlerState {
    data_dir: PathBuf,
    kept: VecDeque<(Version, Arc<Bundle>)>,
    /// Jobs of which layouts are being made: how many, and whether the job was deleted meanwhile.
    making: BTreeMap<JobId, (u32, bool)>,
}

/// See the module.
pub struct Bundler;

impl Actor for Bundler {
    type Msg = BundlerMsg;
    type State = BundlerState;
    type Arguments = PathBuf;

    async fn pre_start(&self, _: ActorRef<BundlerMsg>, data_dir: PathBuf) -> Result<BundlerState, ActorProcessingErr> {
        Ok(BundlerState { data_dir, kept: VecDeque::new(), making: BTreeMap::new() })
    }

    async fn handle(&self, myself: ActorRef<BundlerMsg>, message: BundlerMsg, state: &mut BundlerState) -> Result<(), ActorProcessingErr> {
        match message {
            BundlerMsg::Make { job, workers, reply } => {
                let version = version(&job);
                if let Some((_, bundle)) = state.kept.iter().find(|(kept, _)| *kept == version) {
                    let _ = reply.send(Ok(bundle.clone()));
                    return Ok(());
                }
                let (data_dir, myself) = (state.data_dir.clone(), myself.clone());
                state.making.entry(version.0).or_default().0 += 1;
                tokio::task::spawn_blocking(move || {
                    let made = make(&data_dir, *job, &workers).map(Arc::new);
                    let _ = myself.cast(BundlerMsg::Made(version, made.as_ref().ok().cloned()));
                    let _ = reply.send(made);
                });
            }
            BundlerMsg::Find { job, etag, reply } => {
                let found = state.kept.iter().find(|((of, ..), bundle)| *of == job && bundle.layout.etag() == etag);
                let _ = reply.send(found.map(|(_, bundle)| bundle.clone()));
            }
            BundlerMsg::Made(version, bundle) => {
                let (left, forgotten) = state.making.remove(&version.0).unwrap_or_default();
                if left > 1 {
                    state.making.insert(version.0, (left - 1, forgotten));
                }
                if let Some(bundle) = bundle.filter(|_| !forgotten) {
                    state.kept.push_front((version, bundle));
                    state.kept.truncate(KEPT_LAYOUTS);
                }
            }
            BundlerMsg::Forget(job) => {
                state.kept.retain(|((of, ..), _)| *of != job);
                if let Some((_, forgotten)) = state.making.get_mut(&job) {
                    *forgotten = true;
                }
            }
        }
        Ok(())
    }
}

fn version(job: &JobSnapshot) -> Version {
    let record = &job.record;
    // Of tasks that go on: what ends changes the other counts.
    let tries = record.failures.values().map(|failures| failures.count).sum::<u32>()
        + record.losses.values().map(|losses| losses.count).sum::<u32>();
    (record.id, job.view.round, record.succeeded.len(), record.failed.len(), tries, job.view.state, record.priority)
}

/// The files of a job, of its actor or opened for now.
pub fn files_of(data_dir: &Path, job: &JobSnapshot) -> Result<Arc<JobStore>, Error> {
    match &job.files {
        Some(files) => Ok(files.clone()),
        // It would be made anew, if it was removed since the snapshot.
        None if !JobFiles::new(data_dir, job.record.id).folder().is_dir() => {
            Err(Error::not_found(format!("{} was deleted", job.record.id)))
        }
        None => JobStore::open(data_dir, job.record.id),
    }
}

/// The chunks of a job, of its actor or opened for now.
fn chunks_of(data_dir: &Path, job: &JobSnapshot) -> Result<Option<Arc<ChunkIndex>>, Error> {
    match (&job.chunks, &job.record.spec.input) {
        (Some(chunks), _) => Ok(Some(chunks.clone())),
        (None, Input::Dataset { digest, rule, .. }) if job.record.total.is_some() => {
            let path = data_dir.join(super::ingest::CHUNKS_DIR).join(ChunkIndex::file_name(*digest, rule));
            ChunkIndex::open(&path).map(Arc::new).map(Some)
        }
        _ => Ok(None),
    }
}

fn make(data_dir: &Path, job: JobSnapshot, workers: &BTreeMap<WorkerId, String>) -> Result<Bundle, Error> {
    let files = files_of(data_dir, &job)?;
    let chunks = chunks_of(data_dir, &job)?;
    let record = &job.record;
    let about = BundleJob {
        id: record.id,
        spec: &record.spec,
        earlier_commands: &record.earlier_commands,
        priority: record.priority,
        created: record.created,
        started: record.began,
        finished: record.ended.as_ref().map(|ended| ended.at),
        workers,
    };
    let mut unwell = files.attempts.all_if_readable();
    unwell.sort_by_key(|(no, _)| *no);
    let mut unwell = unwell.chunk_by(|(one, _), (other, _)| one == other).peekable();
    let tasks = (0..record.total.unwrap_or(0)).map(TaskNo).map(|no| {
        let of_task = |run: &&[(TaskNo, ResultRef)]| run.first().is_some_and(|(of, _)| *of == no);
        let noted: Vec<ResultRef> = unwell.next_if(of_task).into_iter().flatten().map(|(_, result)| *result).collect();
        task(&job, &files, chunks.as_deref(), &noted, no)
    });
    let spool = spool_file(data_dir)?;
    let layout = assemble(&about, tasks, spool)?;
    Ok(Bundle { layout, segment: SegmentReader(files.segment.clone()) })
}

/// `noted`: where the records of its attempts lie that did not go well.
fn task(job: &JobSnapshot, files: &JobStore, chunks: Option<&ChunkIndex>, noted: &[ResultRef], no: TaskNo) -> Result<BundleTask, Error> {
    let record = &job.record;
    let state = if record.succeeded.contains(no) {
        TaskState::Succeeded
    } else if record.failed.contains(no) {
        TaskState::Failed
    } else if record.stopping().is_some() {
        TaskState::Killed
    } else {
        TaskState::NotRun
    };
    let is_final = matches!(state, TaskState::Succeeded | TaskState::Failed);
    let found = if is_final { files.find(no)? } else { None };
    let (meta, data_offset) = match found {
        Some(result) => files.segment.read_meta(result).map(|(meta, at)| (Some(meta), at))?,
        None => (None, 0),
    };
    let chunk = chunks.map(|chunks| chunks.get(no)).transpose()?;
    let last = meta.as_ref().map(|meta| meta.attempt);
    let earlier = files.attempts_at(noted, no, last);
    Ok(BundleTask { no, index: record.spec.index_of(no), chunk, state, meta, earlier, data_offset })
}

/// A file without a name, gone with its last descriptor.
fn spool_file(data_dir: &Path) -> Result<std::fs::File, Error> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
    match rustix::fs::open(data_dir, flags, Mode::RUSR | Mode::WUSR) {
        Ok(file) => Ok(file.into()),
        Err(error) => Err(Error::io(data_dir, &error.into())),
    }
}
