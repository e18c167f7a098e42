//! The head as services use it: one method per verb, each a message to the actor that answers it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ractor::ActorRef;
use tokio::sync::{RwLock, Semaphore, mpsc, watch as watch_channel};
use tokio_util::sync::CancellationToken;

use crate::blobs::{DatasetStore, Reservation, Segment, Stored};
use crate::domain::deletion::{Deleted, DeletedJob, Deletion, DeletionRequest};
use crate::domain::entry::Entry;
use crate::domain::verb::Wish;
use crate::domain::wire::{Follow, Hello, ToWorker};
use crate::domain::{Digest, Epoch, Error, ErrorKind, EtaScore, JobId, Quota, Quotas, ResultMeta, SplitRule, TaskNo, WallTime, WorkerId};
use crate::engine::explain::task::End;
use crate::engine::explain::{self, Explanation};
use crate::engine::job::Whereabouts;
use crate::engine::ledger::DatasetRecord;
use crate::engine::scale::Load;
use crate::engine::timeline::Timeline;
use crate::engine::usage::{StoredRoom, Usage};
use crate::engine::worker_record::WorkerScore;
use crate::engine::{Census, JobFilter, Ledger, Meters};
use crate::store;

use super::ask::ask;
use super::audience::Audience;
use super::backup::{BackedUp, Source, backup};
use super::bundler::{Bundle, BundlerMsg};
use super::chronicle::ChronicleMsg;
use super::clock::wall_now;
use super::disk::Disk;
use super::ingest::{DatasetEntry, IngestMsg};
use super::job::{JobSnapshot, VerbAnswer};
use super::journal::JournalRef;
use super::preview::Preview;
use super::proxy::ProxyMsg;
use super::registrar::Registrar;
use super::supervisor::{DatasetUsers, JobStatus, OrderAnswer, Submission, SupervisorMsg, WorkerStatus, deletable};
use super::task_result::TaskResult;
use super::turns::Turns;
use super::watch::{self, JobEvent, WatchMsg};

/// A job that is deleted.
pub enum Gone {
    /// As it was just now.
    Now(Box<JobStatus>),
    /// In short: the request came before.
    Before(DeletedJob),
}

/// A running head's doors. Cheap to clone.
#[derive(Clone)]
pub struct Head {
    /// Of this start.
    pub epoch: Epoch,
    /// When it started.
    pub started: WallTime,
    pub(super) data_dir: PathBuf,
    pub(super) journal: JournalRef,
    pub(super) supervisor: ActorRef<SupervisorMsg>,
    pub(super) ingest: ActorRef<IngestMsg>,
    pub(super) bundler: ActorRef<BundlerMsg>,
    pub(super) watch: ActorRef<WatchMsg>,
    pub(super) chronicle: ActorRef<ChronicleMsg>,
    pub(super) changes: watch_channel::Receiver<()>,
    /// Stored data sets.
    pub datasets: Arc<DatasetStore>,
    /// What it has room for.
    pub disk: Disk,
    /// An upload that brings nothing for so long loses its place.
    pub upload_silence: Duration,
    /// One backup at a time.
    pub(super) backups: Arc<Semaphore>,
    /// One look at a whole data set at a time.
    pub(super) previews: Arc<Semaphore>,
    /// Held while a backup is made: no file of what it copies is removed meanwhile.
    pub(super) kept_files: Arc<RwLock<()>>,
    /// A deletion that is repeated waits for its first call.
    pub(super) turns: Turns,
    /// Whom it lets in; none on a head that was not told (`millpond-head init`), which lets in everybody.
    pub registrar: Option<Registrar>,
    /// Those who follow what tasks print.
    pub audience: Audience,
    /// What it counts of itself.
    pub meters: Arc<Meters>,
}

impl Head {
    /// Takes a job in; returns once it is durable.
    pub async fn submit(&self, submission: Submission) -> Result<JobStatus, Error> {
        ask(&self.supervisor, |reply| SupervisorMsg::Submit(Box::new(submission), reply)).await?
    }

    /// The rule for a data set whose submitter states none: a few chunks per slot.
    pub async fn default_rule(&self, name: &str) -> Result<SplitRule, Error> {
        let (_, slots) = self.slots().await?;
        Ok(SplitRule::for_name(name, slots.max(1).saturating_mul(4)))
    }

    /// What a data set of this name would be split into. One at a time, each reads all of one; it ends with whoever waits for it.
    pub async fn preview_split(&self, digest: Digest, name: String, rule: SplitRule) -> Result<Preview, Error> {
        let turn = self.previews.clone().acquire_owned().await;
        let path = self.datasets.path(digest);
        let stop = CancellationToken::new();
        let _goes = stop.clone().drop_guard();
        let looked = tokio::task::spawn_blocking(move || {
            let looked = Preview::of_stored(path, &name, &rule, &stop);
            drop(turn);
            looked
        });
        let looked = looked.await;
        looked.map_err(|error| Error::internal(format!("the look at the data set broke off: {error}")))?
    }

    /// Who has worked for whom, lately.
    pub async fn timeline(&self) -> Result<Timeline, Error> {
        ask(&self.chronicle, ChronicleMsg::GetTimeline).await
    }

    /// How well these workers do, of those that have ended an attempt since the head has started; nothing if nobody can say.
    pub async fn worker_scores(&self, workers: Vec<WorkerId>) -> BTreeMap<WorkerId, WorkerScore> {
        ask(&self.chronicle, |reply| ChronicleMsg::GetScores(workers, reply)).await.unwrap_or_default()
    }

    /// Knows when any job or worker has changed: for whoever shows them.
    pub fn changes(&self) -> watch_channel::Receiver<()> {
        self.changes.clone()
    }

    /// Connected workers and their slots.
    pub async fn slots(&self) -> Result<(u32, u32), Error> {
        ask(&self.supervisor, SupervisorMsg::Slots).await
    }

    /// One job.
    pub async fn job(&self, job: JobId) -> Result<JobStatus, Error> {
        match ask(&self.supervisor, |reply| SupervisorMsg::Get(job, reply)).await? {
            Err(error) if error.kind == ErrorKind::NotFound => {
                let deleted = self.journal.read(move |ledger| ledger.deletions.of_job(job).map(Deletion::sentence)).await?;
                Err(deleted.map_or(error, |sentence| Error::not_found(format!("there is no {job} any more: {sentence}"))))
            }
            got => got,
        }
    }

    /// Jobs that are meant, newest first.
    pub async fn jobs(&self, filter: JobFilter, before: Option<JobId>, limit: usize) -> Result<Vec<JobStatus>, Error> {
        ask(&self.supervisor, |reply| SupervisorMsg::List { filter, before, limit, reply }).await
    }

    /// One job with its inside.
    pub async fn snapshot(&self, job: JobId) -> Result<JobSnapshot, Error> {
        ask(&self.supervisor, |reply| SupervisorMsg::Snapshot(job, reply)).await?
    }

    /// Steers a job; returns once the verb is durable and its fences are answered or timed out.
    pub async fn verb(&self, job: JobId, wish: Wish) -> VerbAnswer {
        ask(&self.supervisor, |reply| SupervisorMsg::Verb { job, wish, reply }).await?
    }

    /// What a verb would come to now, if every worker answered at once; changes nothing.
    pub async fn preview(&self, job: JobId, wish: Wish) -> VerbAnswer {
        ask(&self.supervisor, |reply| SupervisorMsg::Preview(job, wish, reply)).await?
    }

    /// Removes a job that has ended, with its bundle; returns what it was, once that is durable.
    pub async fn delete(&self, job: JobId, request: DeletionRequest) -> Result<Gone, Error> {
        let (head, id) = (self.clone(), request.id.clone());
        self.turns.take(&id, async move { head.delete_once(job, request).await }).await
    }

    async fn delete_once(&self, job: JobId, request: DeletionRequest) -> Result<Gone, Error> {
        if let Some(deletion) = self.deletion_by(&request.id).await? {
            return deletion.of_job(job).cloned().map(Gone::Before);
        }
        let deleted = ask(&self.supervisor, |reply| SupervisorMsg::Delete(job, request, reply)).await?;
        deleted.map(|status| Gone::Now(Box::new(status)))
    }

    /// What this request has deleted, if it came before.
    async fn deletion_by(&self, request_id: &str) -> Result<Option<Deletion>, Error> {
        let request_id = request_id.to_owned();
        self.journal.read(move |ledger| ledger.deletions.by_request(&request_id).cloned()).await
    }

    /// What would be removed; changes nothing.
    pub async fn preview_delete(&self, job: JobId) -> Result<JobStatus, Error> {
        let status = self.job(job).await?;
        deletable(&status).map(|()| status)
    }

    /// Kills a job, and removes it once it has ended; returns what the kill came to, once both are durable.
    pub async fn kill_and_delete(&self, job: JobId, kill: Wish) -> VerbAnswer {
        let head = self.clone();
        let both = async move {
            let killed = head.verb(job, kill).await?;
            ask(&head.supervisor, |reply| SupervisorMsg::Doom(job, reply)).await??;
            Ok(killed)
        };
        self.turns.take("", both).await
    }

    /// Removes a data set that no job needs any more, or, `unused`, has used; returns what it was, once that is durable.
    pub async fn delete_dataset(&self, digest: Digest, unused: bool, request: DeletionRequest) -> Result<DatasetEntry, Error> {
        let (head, id) = (self.clone(), request.id.clone());
        self.turns.take(&id, async move { head.delete_dataset_once(digest, unused, request).await }).await
    }

    async fn delete_dataset_once(&self, digest: Digest, unused: bool, request: DeletionRequest) -> Result<DatasetEntry, Error> {
        if let Some(deletion) = self.deletion_by(&request.id).await? {
            return deletion.dataset(digest).map(|(name, len, at)| (digest, DatasetRecord { name: name.to_owned(), len, at }));
        }
        let (_, was) = self.dataset(digest).await?;
        let DatasetRecord { name, len, at: stored } = was.clone();
        let deletion = request.done(wall_now(), Deleted::Dataset { digest, name, len, stored });
        let entry = Box::new(deletion.map_or(Entry::DatasetDeleted { digest }, |deletion| Entry::Deleted(Box::new(deletion))));
        ask(&self.supervisor, |reply| SupervisorMsg::DeleteDataset { digest, unused, entry, reply }).await??;
        Ok((digest, was))
    }

    /// The jobs that use these data sets.
    pub async fn users_of(&self, digests: BTreeSet<Digest>) -> Result<BTreeMap<Digest, DatasetUsers>, Error> {
        ask(&self.supervisor, |reply| SupervisorMsg::DatasetUsers(digests, reply)).await
    }

    /// Why a job is where it is.
    pub async fn explain(&self, job: JobId) -> Result<(JobStatus, Explanation), Error> {
        ask(&self.supervisor, |reply| SupervisorMsg::Explain(job, reply)).await?
    }

    /// Why a task is where it is; its job, too.
    pub async fn explain_task(&self, job: JobId, index: u64) -> Result<(JobStatus, Explanation), Error> {
        let (status, of_job) = self.explain(job).await?;
        let no = status.view.spec.task_at(index, status.view.counts.total);
        let no = no.ok_or_else(|| Error::not_found(format!("{job} has no task {index}")))?;
        let at = self.whereabouts(job, no).await?;
        let end = match at {
            Whereabouts::Ended { .. } => self.result(&self.snapshot(job).await?, no).await?,
            _ => None,
        };
        let end = end.map(|TaskResult { meta, .. }| End {
            outcome: meta.outcome,
            attempt: meta.attempt,
            worker: meta.worker,
            at: meta.timing.ended,
        });
        let explanation = explain::task::explain(index, at, &status.view, &of_job, end.as_ref());
        Ok((status, explanation))
    }

    /// Why a worker gets no tasks, or which it has.
    pub async fn explain_worker(&self, worker: WorkerId) -> Result<Explanation, Error> {
        let status = self.worker(worker).await?;
        ask(&self.supervisor, |reply| SupervisorMsg::ExplainWorker(Box::new(status), reply)).await
    }

    /// The next hand-outs, at most so many; and what if a job had another priority. Changes nothing.
    pub async fn order(&self, limit: u32, what_if: Option<(JobId, i32)>) -> Result<OrderAnswer, Error> {
        ask(&self.supervisor, |reply| SupervisorMsg::Order { limit, what_if, reply }).await
    }

    /// Where a task is.
    pub async fn whereabouts(&self, job: JobId, no: TaskNo) -> Result<Whereabouts, Error> {
        ask(&self.supervisor, |reply| SupervisorMsg::Whereabouts(job, no, reply)).await?
    }

    /// Has a worker send what a task prints. `Unavailable` while it is not connected, `Conflict` if it can't.
    pub async fn follow(&self, worker: WorkerId, follow: Follow) -> Result<(), Error> {
        ask(&self.supervisor, |reply| SupervisorMsg::Follow(worker, follow, reply)).await?
    }

    /// How often ETAs were right, of all jobs that are known.
    pub async fn eta_score(&self) -> Result<EtaScore, Error> {
        ask(&self.supervisor, SupervisorMsg::EtaScore).await
    }

    /// What happens to a job from a cursor on.
    pub async fn watch(&self, job: JobId, cursor: u64) -> Result<mpsc::Receiver<JobEvent>, Error> {
        let status = self.job(job).await?;
        let (out, events) = watch::queue();
        let message = WatchMsg::Subscribe { cursor, job: Box::new(status), out };
        self.watch.cast(message).map_err(|_| Error::unavailable("the head is shutting down"))?;
        Ok(events)
    }

    /// All workers ever attached.
    pub async fn workers(&self) -> Result<Vec<WorkerStatus>, Error> {
        ask(&self.supervisor, SupervisorMsg::Workers).await
    }

    /// One worker.
    pub async fn worker(&self, worker: WorkerId) -> Result<WorkerStatus, Error> {
        let workers = self.workers().await?;
        workers.into_iter().find(|status| status.info.id == worker).ok_or_else(|| Error::not_found(format!("there is no worker {worker}")))
    }

    /// What the jobs run and would run now.
    pub async fn loads(&self) -> Result<Vec<Load>, Error> {
        ask(&self.supervisor, SupervisorMsg::Loads).await
    }

    /// How many jobs there are, and tasks that are open.
    pub async fn census(&self) -> Result<Census, Error> {
        ask(&self.supervisor, SupervisorMsg::Census).await
    }

    /// How many data sets are stored, and their bytes.
    pub async fn stored(&self) -> Result<(u64, u64), Error> {
        self.journal.read(|ledger| (ledger.datasets.len() as u64, ledger.datasets.values().map(|dataset| dataset.len).sum())).await
    }

    /// What the journal takes on the disk, in bytes. Reads the disk.
    pub fn journal_bytes(&self) -> Result<u64, Error> {
        store::bytes_of(&self.data_dir)
    }

    /// Lets a worker finish and leave, or, false, take tasks again.
    pub async fn drain(&self, worker: WorkerId, drain: bool) -> Result<WorkerStatus, Error> {
        ask(&self.supervisor, |reply| SupervisorMsg::Drain(worker, drain, reply)).await??;
        self.worker(worker).await
    }

    /// Lets a worker in.
    pub async fn attach(&self, hello: Hello, out: mpsc::Sender<ToWorker>) -> Result<ActorRef<ProxyMsg>, Error> {
        let attach = |reply| SupervisorMsg::Attach(Box::new(super::supervisor::Attaching { hello, out, reply }));
        ask(&self.supervisor, attach).await?
    }

    /// Copies what is durable now into `to`, an empty folder. `Conflict` while another backup is made. Broken off when the caller goes.
    pub async fn back_up(&self, to: PathBuf) -> Result<BackedUp, Error> {
        let permit = self.backups.clone().try_acquire_owned();
        let permit = permit.map_err(|_| Error::conflict("another backup is being made: wait for it to end"))?;
        let files_stay = self.kept_files.clone().read_owned().await;
        let ledger = self.journal.read(Ledger::clone).await?;
        let (data_dir, epoch, gauge) = (self.data_dir.clone(), self.epoch, self.disk.measure().await?);
        let audit = self.registrar.as_ref().map(|registrar| registrar.audit().clone());
        let stop = CancellationToken::new();
        let _goes = stop.clone().drop_guard();
        let made = tokio::task::spawn_blocking(move || {
            let made = backup(Source { data_dir: &data_dir, ledger, epoch, gauge, audit }, &to, &stop);
            drop((permit, files_stay));
            made
        });
        made.await.map_err(|error| Error::internal(format!("the backup broke off: {error}")))?
    }

    /// Notes stored bytes as a data set; returns once that is durable.
    pub async fn add_dataset(&self, stored: Stored, name: String) -> Result<DatasetEntry, Error> {
        let supervisor = self.supervisor.clone();
        ask(&self.ingest, |reply| IngestMsg::Add { stored, name, supervisor, reply }).await?
    }

    /// One stored data set.
    pub async fn dataset(&self, digest: Digest) -> Result<DatasetEntry, Error> {
        let found = self.journal.read(move |ledger| ledger.datasets.get(&digest).cloned()).await?;
        found.map(|record| (digest, record)).ok_or_else(|| Error::not_found(format!("there is no data set {digest}")))
    }

    /// Whether a data set belongs to this owner, perhaps beside others.
    pub async fn owns_dataset(&self, digest: Digest, owner: &str) -> Result<bool, Error> {
        let owner = owner.to_owned();
        self.journal.read(move |ledger| ledger.dataset_owners.get(&digest).is_some_and(|owners| owners.contains(&owner))).await
    }

    /// How many own a data set.
    pub async fn dataset_owners(&self, digest: Digest) -> Result<usize, Error> {
        self.journal.read(move |ledger| ledger.dataset_owners.get(&digest).map_or(0, BTreeSet::len)).await
    }

    /// The data sets of this owner.
    pub async fn datasets_of(&self, owner: &str) -> Result<Vec<DatasetEntry>, Error> {
        let owner = owner.to_owned();
        let is_his =
            move |ledger: &Ledger, digest: &Digest| ledger.dataset_owners.get(digest).is_some_and(|owners| owners.contains(&owner));
        self.journal
            .read(move |ledger| {
                let his = ledger.datasets.iter().filter(|(digest, _)| is_his(ledger, digest));
                his.map(|(digest, record)| (*digest, record.clone())).collect()
            })
            .await
    }

    /// A data set belongs to one more owner, or, false, to one less; returns once that is durable.
    pub async fn own_dataset(&self, digest: Digest, owner: &str, owns: bool) -> Result<(), Error> {
        if self.owns_dataset(digest, owner).await? == owns {
            return Ok(());
        }
        let owner = owner.to_owned();
        let entry = if owns { Entry::DatasetOwned { digest, owner } } else { Entry::DatasetDisowned { digest, owner } };
        let (told, done) = tokio::sync::oneshot::channel();
        self.journal.append(entry, None, move || {
            // Who asked may have gone.
            let _ = told.send(());
        });
        done.await.map_err(|_| Error::unavailable("the head is shutting down: try again"))
    }

    /// Gives an owner a quota of his own, or takes it from him; returns once that is durable.
    pub async fn set_quota(&self, owner: String, quota: Option<Quota>) -> Result<(), Error> {
        ask(&self.supervisor, |reply| SupervisorMsg::SetQuota { owner, quota, reply }).await?
    }

    /// What owners may have, and have: all with a quota of their own, and all who have anything.
    pub async fn usage(&self) -> Result<(Quotas, BTreeMap<String, Usage>), Error> {
        let (quotas, mut usage) = ask(&self.supervisor, SupervisorMsg::Usage).await?;
        let stored = self.journal.read(Ledger::stored_by_owner).await?;
        stored.into_iter().for_each(|(owner, bytes)| usage.entry(owner).or_default().stored_bytes = bytes);
        Ok((quotas, usage))
    }

    /// What an owner may still store, if he has a quota.
    pub async fn stored_room(&self, owner: Option<&str>) -> Result<Option<StoredRoom>, Error> {
        let Some(owner) = owner.map(str::to_owned) else { return Ok(None) };
        let room = move |ledger: &Ledger| {
            let max = ledger.quotas.of(&owner).stored_bytes?;
            Some(StoredRoom { stored: ledger.stored_by(&owner), max, owner })
        };
        self.journal.read(room).await
    }

    /// All stored data sets.
    pub async fn all_datasets(&self) -> Result<Vec<DatasetEntry>, Error> {
        self.journal.read(|ledger| ledger.datasets.iter().map(|(digest, record)| (*digest, record.clone())).collect()).await
    }

    /// The bundle of a job as it is, or, with the etag of an earlier download, that one.
    pub async fn bundle(&self, job: JobId, etag: &str) -> Result<Arc<Bundle>, Error> {
        if !etag.is_empty() {
            self.job(job).await?;
            let etag = etag.to_owned();
            if let Some(bundle) = ask(&self.bundler, |reply| BundlerMsg::Find { job, etag, reply }).await? {
                return Ok(bundle);
            }
        }
        let snapshot = self.snapshot(job).await?;
        let workers = self.workers().await?;
        let workers: BTreeMap<WorkerId, String> =
            workers.into_iter().map(|status| (status.info.id, format!("{} {}", status.info.id, status.info.host))).collect();
        ask(&self.bundler, |reply| BundlerMsg::Make { job: Box::new(snapshot), workers, reply }).await?
    }

    /// Makes a large result durable. If that fails no result of its job can be acknowledged any more, and the head stops.
    pub fn sync(&self, segment: &Segment) -> Result<(), Error> {
        segment.sync().inspect_err(|error| self.journal.sync_failed(error.clone()))
    }

    /// Room for a large result in its job's segment; `Exhausted` while the disk has none.
    pub async fn reserve(&self, job: JobId, meta: &ResultMeta) -> Result<(Reservation, Arc<Segment>), Error> {
        let snapshot = self.snapshot(job).await?;
        if snapshot.record.ended.is_some() {
            return Err(Error::conflict(format!("{job} has ended: its results are complete")));
        }
        let files = snapshot.files.ok_or_else(|| Error::conflict(format!("{job} has ended: its results are complete")))?;
        self.disk.gauge().has_room_for(meta.packed.packed_len().unwrap_or(u64::MAX))?;
        Ok((files.segment.reserve(meta)?, files.segment.clone()))
    }
}
