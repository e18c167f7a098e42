//! What the journal adds up to: the head's whole durable state. The journal keeps one, so that a snapshot needs nobody's help.

mod part;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::domain::deletion::Deleted;
use crate::domain::entry::Entry;
use crate::domain::{Digest, JobId, Quotas, WallTime, WorkerId, WorkerInfo};

use crate::limits;

use super::deletions::Deletions;
use super::record::JobRecord;
use super::tokens::Tokens;

pub use part::{LedgerPart, TaskSets};

/// A stored data set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetRecord {
    /// The file's name when it was first uploaded.
    pub name: String,
    /// In bytes.
    pub len: u64,
    /// When it was stored.
    pub at: WallTime,
}

/// All durable state. The same entries in the same order give the same ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Every job, final or not.
    pub jobs: BTreeMap<JobId, JobRecord>,
    /// Which request made which job.
    pub requests: BTreeMap<String, JobId>,
    /// By content.
    pub datasets: BTreeMap<Digest, DatasetRecord>,
    /// Every worker that ever attached.
    pub workers: BTreeMap<WorkerId, WorkerInfo>,
    /// Those that attached and have not left.
    pub attached: BTreeSet<WorkerId>,
    /// The last number that a job got, which may be deleted since.
    pub last_job: JobId,
    /// Which request made which job that was deleted, and when that was.
    pub gone: BTreeMap<String, Gone>,
    /// What was deleted by which request.
    pub deletions: Deletions,
    /// Who may do what, and who may become so.
    pub identities: Tokens,
    /// Whose a data set is, by name, where that is known: whoever has sent its bytes.
    pub dataset_owners: BTreeMap<Digest, BTreeSet<String>>,
    /// What owners may have at once.
    pub quotas: Quotas,
}

/// A job that was deleted, as its request is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gone {
    /// Its number.
    pub job: JobId,
    /// When it was deleted.
    pub at: WallTime,
}

impl Gone {
    /// Whether that is so long ago that its request need not be known any more.
    pub fn is_over(&self, now: WallTime) -> bool {
        self.at.after(limits::REQUEST_KNOWN_AFTER_DELETE) <= now
    }
}

impl Ledger {
    /// Takes one fact in.
    pub fn apply(&mut self, entry: &Entry) {
        match entry {
            Entry::DatasetAdded { digest, name, len, at } => {
                self.datasets.entry(*digest).or_insert_with(|| DatasetRecord { name: name.clone(), len: *len, at: *at });
            }
            Entry::JobSubmitted(submitted) => self.put_job(JobRecord::new(submitted.as_ref().clone())),
            Entry::JobAccepted(submitted, policy) => {
                let mut submitted = submitted.as_ref().clone();
                submitted.spec.policy = policy.as_ref().clone();
                self.put_job(JobRecord::new(submitted));
            }
            Entry::JobAcceptedWithImage(submitted, policy, image) => {
                let mut submitted = submitted.as_ref().clone();
                (submitted.spec.policy, submitted.spec.image) = (policy.as_ref().clone(), Some(image.clone()));
                self.put_job(JobRecord::new(submitted));
            }
            Entry::Job(id, entry) => {
                if let Some(job) = self.jobs.get_mut(id) {
                    job.apply(entry);
                }
            }
            Entry::WorkerAttached(info) => {
                self.attached.insert(info.id);
                self.workers.insert(info.id, info.clone());
            }
            Entry::WorkerLeft(id) => {
                self.attached.remove(id);
            }
            Entry::JobDeleted { job, at } => self.delete_job(*job, *at),
            Entry::DatasetDeleted { digest } => {
                self.delete_dataset(*digest);
            }
            Entry::Deleted(deletion) => {
                match &deletion.what {
                    Deleted::Job(job) => self.delete_job(job.id, deletion.at),
                    Deleted::Dataset { digest, .. } => self.delete_dataset(*digest),
                }
                self.deletions.note(deletion.as_ref().clone());
            }
            Entry::Identity(entry) => self.identities.apply(entry),
            Entry::DatasetOwned { digest, owner } => self.put_owners(*digest, [owner.clone()]),
            Entry::DatasetDisowned { digest, owner } => {
                if let Some(owners) = self.dataset_owners.get_mut(digest) {
                    owners.remove(owner);
                }
            }
            Entry::QuotaSet { owner, quota } => self.quotas.set(owner.clone(), *quota),
        }
    }

    fn delete_dataset(&mut self, digest: Digest) {
        self.datasets.remove(&digest);
        self.dataset_owners.remove(&digest);
    }

    fn put_owners(&mut self, digest: Digest, owners: impl IntoIterator<Item = String>) {
        if self.datasets.contains_key(&digest) {
            self.dataset_owners.entry(digest).or_default().extend(owners);
        }
    }

    /// Forgets a job; its request stays known for a while, and those whose while is over go with this.
    fn delete_job(&mut self, id: JobId, at: WallTime) {
        let Some(job) = self.jobs.remove(&id) else { return };
        self.gone.retain(|_, gone| !gone.is_over(at));
        if self.requests.remove(&job.request_id).is_some() {
            self.gone.insert(job.request_id, Gone { job: id, at });
        }
    }

    fn put_job(&mut self, job: JobRecord) {
        self.last_job = self.last_job.max(job.id);
        if !job.request_id.is_empty() {
            self.requests.insert(job.request_id.clone(), job.id);
        }
        self.jobs.insert(job.id, job);
    }

    /// The number of the next job.
    pub fn next_job(&self) -> JobId {
        JobId(self.last_job.0 + 1)
    }

    /// What an owner's data sets have together, in bytes: each as if he were its only owner.
    pub fn stored_by(&self, owner: &str) -> u64 {
        let his = self.dataset_owners.iter().filter(|(_, owners)| owners.contains(owner));
        his.filter_map(|(digest, _)| self.datasets.get(digest)).fold(0, |sum, record| sum.saturating_add(record.len))
    }

    /// The same for all who have any.
    pub fn stored_by_owner(&self) -> BTreeMap<String, u64> {
        let mut stored: BTreeMap<&str, u64> = BTreeMap::new();
        for (digest, owners) in &self.dataset_owners {
            let len = self.datasets.get(digest).map_or(0, |record| record.len);
            for owner in owners {
                let sum = stored.entry(owner).or_default();
                *sum = sum.saturating_add(len);
            }
        }
        stored.into_iter().map(|(owner, bytes)| (owner.to_owned(), bytes)).collect()
    }
}

#[cfg(test)]
mod tests;
