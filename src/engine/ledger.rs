//! What the journal adds up to: the head's whole durable state. The journal keeps one, so that a snapshot needs nobody's help.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::entry::Entry;
use crate::domain::{Digest, JobId, WallTime, WorkerId, WorkerInfo};

use super::record::{JobRecord, Rounds};

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
    pub attached: std::collections::BTreeSet<WorkerId>,
}

/// A part of a snapshot; a ledger is taken apart and put together again, so that no single value grows with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LedgerPart {
    /// One job, with all its runs.
    Job(Box<JobRecord>),
    /// One data set.
    Dataset(Digest, DatasetRecord),
    /// One worker, and whether it is attached.
    Worker(WorkerInfo, bool),
    /// What a job has behind it of failures and retries; behind the job.
    Rounds(JobId, Box<Rounds>),
}

impl Ledger {
    /// Takes one fact in.
    pub fn apply(&mut self, entry: &Entry) {
        match entry {
            Entry::DatasetAdded { digest, name, len, at } => {
                self.datasets.entry(*digest).or_insert_with(|| DatasetRecord { name: name.clone(), len: *len, at: *at });
            }
            Entry::JobSubmitted(submitted) => self.put_job(JobRecord::new(submitted.as_ref().clone())),
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
        }
    }

    fn put_job(&mut self, job: JobRecord) {
        if !job.request_id.is_empty() {
            self.requests.insert(job.request_id.clone(), job.id);
        }
        self.jobs.insert(job.id, job);
    }

    /// The number of the next job.
    pub fn next_job(&self) -> JobId {
        JobId(self.jobs.last_key_value().map_or(0, |(id, _)| id.0) + 1)
    }

    /// The parts of a snapshot.
    pub fn parts(&self) -> impl Iterator<Item = LedgerPart> + '_ {
        let rounds =
            |job: &JobRecord| (job.rounds != Rounds::default()).then_some(LedgerPart::Rounds(job.id, Box::new(job.rounds.clone())));
        let jobs = self.jobs.values().flat_map(move |job| [LedgerPart::Job(Box::new(job.clone()))].into_iter().chain(rounds(job)));
        let datasets = self.datasets.iter().map(|(digest, record)| LedgerPart::Dataset(*digest, record.clone()));
        let workers = self.workers.values().map(|info| LedgerPart::Worker(info.clone(), self.attached.contains(&info.id)));
        jobs.chain(datasets).chain(workers)
    }

    /// Takes one part of a snapshot in.
    pub fn put(&mut self, part: LedgerPart) {
        match part {
            LedgerPart::Job(job) => self.put_job(*job),
            LedgerPart::Rounds(job, rounds) => {
                if let Some(job) = self.jobs.get_mut(&job) {
                    job.rounds = *rounds;
                }
            }
            LedgerPart::Dataset(digest, record) => {
                self.datasets.insert(digest, record);
            }
            LedgerPart::Worker(info, attached) => {
                if attached {
                    self.attached.insert(info.id);
                }
                self.workers.insert(info.id, info);
            }
        }
    }
}
