//! Jobs and data sets that are removed: by a person's word, or because their time is over.
//!
//! What is removed is gone durably before anybody is told; its files go after that, when no backup is being made of them. What a crash leaves
//! of them goes at the next start.

use std::collections::{BTreeMap, BTreeSet};

use ractor::{ActorRef, RpcReplyPort};
use tokio::sync::OwnedRwLockWriteGuard;

use crate::actors::bundler::BundlerMsg;
use crate::actors::ingest::{CHUNKS_DIR, IngestMsg};
use crate::actors::watch::WatchMsg;
use crate::blobs::{ChunkIndex, JobFiles};
use crate::domain::deletion::{Deleted, DeletionRequest};
use crate::domain::entry::{Entry, JobEntry};
use crate::domain::{Digest, Error, Input, JobId, JobSpec, WallTime};
use crate::engine::{JobRecord, JobView};
use crate::limits::DATASET_USERS_NAMED_MAX;

use super::actor::{EndedJob, SupervisorState};
use super::msg::SupervisorMsg;
use super::status::JobStatus;

/// Who is told of a deletion: what the job was.
pub type DeletionReply = RpcReplyPort<Result<JobStatus, Error>>;

/// No backup is being made while it is held.
pub type NoBackup = OwnedRwLockWriteGuard<()>;

/// A job whose deletion is on its way to the disk.
pub(super) struct Deleting {
    record: JobRecord,
    at: WallTime,
    replies: Vec<(DeletionReply, JobStatus)>,
}

/// The jobs that use a data set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatasetUsers {
    /// How many.
    pub count: usize,
    /// The first of them.
    pub first: Vec<JobId>,
}

/// Whether a job may be deleted: one that has ended.
pub fn deletable(status: &JobStatus) -> Result<(), Error> {
    let JobView { id, state, .. } = &status.view;
    if state.is_final() {
        return Ok(());
    }
    Err(Error::conflict(format!("{id} is {state}: wait for its end, or end and delete it with `millpond kill --delete {id}`")))
}

fn uses(spec: &JobSpec, digest: Digest) -> bool {
    matches!(&spec.input, Input::Dataset { digest: of, .. } if *of == digest) || spec.with.iter().any(|file| file.digest == digest)
}

impl SupervisorState {
    /// Removes a job that has ended.
    pub(super) fn delete(&mut self, myself: &ActorRef<SupervisorMsg>, job: JobId, request: DeletionRequest, reply: Option<DeletionReply>) {
        let answer = |reply: Option<DeletionReply>, error| {
            if let Some(reply) = reply {
                let _ = reply.send(Err(error));
            }
        };
        let status = match self.status_of(job) {
            Ok(status) => status,
            Err(error) => return answer(reply, error),
        };
        if let Err(error) = deletable(&status) {
            return answer(reply, error);
        }
        let waits = reply.map(|reply| (reply, status.clone()));
        if let Some(deleting) = self.deleting.get_mut(&job) {
            return deleting.replies.extend(waits);
        }
        let Some(EndedJob { record, .. }) = self.ended.remove(&job) else {
            let problem = format!("{job} is about to end: try again in a moment");
            return answer(waits.map(|(reply, _)| reply), Error::conflict(problem));
        };
        self.retention.forget(&status.view);
        let at = self.clock.now().wall;
        self.deleting.insert(job, Deleting { record, at, replies: waits.into_iter().collect() });
        let deletion = request.done(at, Deleted::Job(status.view.in_short()));
        let entry = deletion.map_or(Entry::JobDeleted { job, at }, |deletion| Entry::Deleted(Box::new(deletion)));
        let myself = myself.clone();
        self.journal.append(entry, None, move || {
            let _ = myself.cast(SupervisorMsg::Deleted(job));
        });
    }

    /// A deletion is durable.
    pub(super) fn deleted(&mut self, myself: &ActorRef<SupervisorMsg>, job: JobId) {
        let Some(Deleting { record, at, replies }) = self.deleting.remove(&job) else { return };
        tracing::info!(%job, name = record.spec.name, asked = !replies.is_empty(), "deleted");
        self.admission.deleted(&record.request_id, job, at);
        self.views.remove(&job);
        self.segments.remove(&job);
        self.attempt_floors.remove(&job);
        self.retention.removed(job);
        self.watched.remove(&job);
        let _ = self.watch.cast(WatchMsg::Note { job, text: "the job was deleted".into() });
        let _ = self.bundler.cast(BundlerMsg::Forget(job));
        for (reply, status) in replies {
            let _ = reply.send(Ok(status));
        }
        let (backups, myself) = (self.backups.clone(), myself.clone());
        tokio::spawn(async move {
            let no_backup = backups.write_owned().await;
            let _ = myself.cast(SupervisorMsg::RemoveFiles(Box::new(record), no_backup));
        });
    }

    /// Removes what a deleted job leaves on the disk. How its data set is cut is kept while another job goes by it: only here jobs begin to.
    pub(super) fn remove_files(&self, record: &JobRecord, no_backup: NoBackup) {
        let job = record.id;
        if let Input::Dataset { digest, rule, .. } = &record.spec.input
            && !self.all_specs().any(|(_, spec)| spec.input.is_cut_like(&record.spec.input))
        {
            let path = self.data_dir.join(CHUNKS_DIR).join(ChunkIndex::file_name(*digest, rule));
            if let Err(error) = std::fs::remove_file(&path).or_else(none_there) {
                tracing::warn!(%job, path = %path.display(), %error, "a deleted job's chunks can't be removed; the next start tries again");
            }
        }
        let files = JobFiles::new(&self.data_dir, job);
        tokio::task::spawn_blocking(move || {
            if let Err(error) = files.remove() {
                tracing::warn!(%job, %error, "a deleted job's files can't be removed; the next start tries again");
            }
            drop(no_backup);
        });
    }

    /// Removes a job as soon as it has ended: answered once that wish is durable, or, if it has ended, once the job is deleted.
    pub(super) fn doom(&mut self, myself: &ActorRef<SupervisorMsg>, job: JobId, reply: DeletionReply) {
        if !self.live.contains_key(&job) {
            return self.delete(myself, job, DeletionRequest::default(), Some(reply));
        }
        let myself = myself.clone();
        self.journal.append(Entry::Job(job, JobEntry::Doomed), None, move || {
            let _ = myself.cast(SupervisorMsg::Doomed(job, reply));
        });
    }

    /// Such a wish is durable.
    pub(super) fn is_doomed(&mut self, myself: &ActorRef<SupervisorMsg>, job: JobId, reply: DeletionReply) {
        if !self.live.contains_key(&job) {
            return self.delete(myself, job, DeletionRequest::default(), Some(reply));
        }
        self.retention.doom(job);
        let _ = reply.send(self.status_of(job));
    }

    /// Notes that a job has ended; it is removed at once, if that was asked for.
    pub(super) fn retain(&mut self, myself: &ActorRef<SupervisorMsg>, view: &JobView) {
        if self.retention.ended(view) {
            self.delete(myself, view.id, DeletionRequest::default(), None);
        }
    }

    /// Removes the jobs whose time is over.
    pub(super) fn remove_expired(&mut self, myself: &ActorRef<SupervisorMsg>) {
        let now = self.clock.now().wall;
        self.admission.forget_gone(now);
        while let Some(job) = self.retention.pop_due(now) {
            self.delete(myself, job, DeletionRequest::default(), None);
        }
    }

    fn all_specs(&self) -> impl Iterator<Item = (JobId, &JobSpec)> {
        self.views.values().map(|view| (view.id, &*view.spec)).chain(self.admission.specs())
    }

    /// The jobs that use each of these data sets.
    pub(super) fn users(&self, of: BTreeSet<Digest>) -> BTreeMap<Digest, DatasetUsers> {
        let mut users: BTreeMap<Digest, DatasetUsers> = BTreeMap::new();
        for (job, spec) in self.all_specs() {
            let input = if let Input::Dataset { digest, .. } = &spec.input { Some(*digest) } else { None };
            let digests: BTreeSet<Digest> = input.into_iter().chain(spec.with.iter().map(|file| file.digest)).collect();
            for digest in digests.intersection(&of) {
                let users = users.entry(*digest).or_default();
                users.count += 1;
                if users.first.len() < DATASET_USERS_NAMED_MAX {
                    users.first.push(job);
                }
            }
        }
        users
    }

    /// Removes a data set that no job needs any more; `unused`: and that none has used that is still there.
    pub(super) fn delete_dataset(
        &mut self,
        myself: &ActorRef<SupervisorMsg>,
        digest: Digest,
        unused: bool,
        entry: Box<Entry>,
        reply: RpcReplyPort<Result<(), Error>>,
    ) {
        if !self.datasets.contains(&digest) {
            let _ = reply.send(Err(Error::not_found(format!("there is no data set {digest}: `millpond data list` shows what there is"))));
            return;
        }
        let is_final = |job: JobId| self.views.get(&job).is_some_and(|view| view.state.is_final());
        let users = self.all_specs().filter(|(job, spec)| uses(spec, digest) && (unused || !is_final(*job)));
        let users: Vec<String> = users.map(|(job, _)| job.to_string()).collect();
        if !users.is_empty() {
            let named = users.iter().take(DATASET_USERS_NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
            let more = if users.len() > DATASET_USERS_NAMED_MAX { ", and others" } else { "" };
            let remedy = if unused { "delete them first" } else { "wait for their end, or kill them" };
            let _ = reply.send(Err(Error::conflict(format!("data set {digest} is used by {named}{more}: {remedy}"))));
            return;
        }
        self.datasets.remove(&digest);
        let _ = self.ingest.cast(IngestMsg::Delete { digest, entry, supervisor: myself.clone(), reply });
    }

    /// Whether the data of a job that is to run again is still there.
    pub(super) fn has_data_of(&self, spec: &JobSpec) -> Result<(), Error> {
        let input = if let Input::Dataset { digest, name, .. } = &spec.input { Some((name, *digest)) } else { None };
        let all = input.into_iter().chain(spec.with.iter().map(|file| (&file.name, file.digest)));
        match all.into_iter().find(|(_, digest)| !self.datasets.contains(digest)) {
            Some((name, digest)) => {
                Err(Error::conflict(format!("its data set {name} ({digest}) was deleted: store it again with `millpond data add`")))
            }
            None => Ok(()),
        }
    }
}

fn none_there(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// What a request is told whose job was deleted.
pub(super) fn was_deleted(request_id: &str, job: JobId) -> Error {
    Error::not_found(format!("request id {request_id} has made {job}, which was deleted: use a new id for a new job"))
}
