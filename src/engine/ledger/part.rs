//! The parts of a snapshot: the ledger taken apart, and put together again. Persisted.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain::deletion::Deletion;
use crate::domain::identity::{Admitted, Token};
use crate::domain::verb::Said;
use crate::domain::{Attempt, Digest, EtaScore, Image, IndexSet, JobId, JobSpec, Quota, TaskNo, WorkerInfo};
use crate::engine::record::{Failures, JobRecord, Losses, Rounds, Terms};

use super::{DatasetRecord, Gone, Ledger};

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
    /// More of a job's tasks that are final, or have failed attempts, where they are too many for one value; behind the job.
    Tasks(JobId, Box<TaskSets>),
    /// More tasks that were let run again, with the attempt up to which theirs are of earlier rounds; behind the rounds.
    Freed(JobId, IndexSet, Attempt),
    /// What a job has that is not as it is by default; behind the job.
    Terms(JobId, Box<Terms>),
    /// Tasks of a job that were lost with workers; behind the job.
    Losses(JobId, BTreeMap<TaskNo, Losses>),
    /// The last number that a job got, where that one was deleted.
    LastJob(JobId),
    /// A request whose job was deleted.
    Gone(String, Gone),
    /// What was asked for of a job that a retry has changed since; behind its terms.
    FirstSpec(JobId, Box<JobSpec>),
    /// What a request has deleted.
    Deletion(Box<Deletion>),
    /// What a job was told last; behind the job.
    Said(JobId, Vec<Said>),
    /// One token.
    Token(Box<Token>),
    /// Somebody who is, or was, let in.
    Principal(Box<Admitted>),
    /// Some of the owners of a data set; behind it.
    DatasetOwners(Digest, Vec<String>),
    /// What an owner may have at once.
    Quota(String, Quota),
    /// What a job's tasks run in; behind the job, before its first specification.
    Image(JobId, Image),
    /// How often a job's ETA was right; behind the job.
    EtaScore(JobId, EtaScore),
}

/// Tasks of a job by what came of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSets {
    /// Done.
    pub succeeded: IndexSet,
    /// Failed for good.
    pub failed: IndexSet,
    /// Failed attempts of tasks that are not final.
    pub failures: BTreeMap<TaskNo, Failures>,
}

/// Runs of tasks, and tasks with failed attempts, in one part: 16 bytes each at most, so that a part is far below what a value may be.
pub(super) const TASKS_PER_PART: usize = 64 * 1024;
/// Owners of a data set in one part, of at most 255 bytes each.
pub(super) const OWNERS_PER_PART: usize = 1000;

/// A job as parts: nearly always one.
fn parts_of(job: &JobRecord) -> Vec<LedgerPart> {
    let mut parts = Vec::new();
    let many = job.succeeded.runs_len() + job.failed.runs_len() + job.failures.len() > TASKS_PER_PART;
    if many {
        let bare = JobRecord { succeeded: IndexSet::default(), failed: IndexSet::default(), failures: BTreeMap::new(), ..job.clone() };
        parts.push(LedgerPart::Job(Box::new(bare)));
        let mut more = |sets| parts.push(LedgerPart::Tasks(job.id, Box::new(sets)));
        job.succeeded.pieces(TASKS_PER_PART).into_iter().for_each(|succeeded| more(TaskSets { succeeded, ..TaskSets::default() }));
        job.failed.pieces(TASKS_PER_PART).into_iter().for_each(|failed| more(TaskSets { failed, ..TaskSets::default() }));
        let failures: Vec<(TaskNo, Failures)> = job.failures.iter().map(|(no, failures)| (*no, *failures)).collect();
        failures.chunks(TASKS_PER_PART).for_each(|some| more(TaskSets { failures: some.iter().copied().collect(), ..TaskSets::default() }));
    } else {
        parts.push(LedgerPart::Job(Box::new(job.clone())));
    }
    if job.rounds != Rounds::default() {
        let freed: usize = job.rounds.freed.iter().map(|(tasks, _)| tasks.runs_len()).sum();
        if freed > TASKS_PER_PART {
            parts.push(LedgerPart::Rounds(job.id, Box::new(Rounds { freed: Vec::new(), ..job.rounds.clone() })));
            for (tasks, floor) in &job.rounds.freed {
                parts.extend(tasks.pieces(TASKS_PER_PART).into_iter().map(|piece| LedgerPart::Freed(job.id, piece, *floor)));
            }
        } else {
            parts.push(LedgerPart::Rounds(job.id, Box::new(job.rounds.clone())));
        }
    }
    let terms = job.terms();
    if terms != Terms::default() {
        parts.push(LedgerPart::Terms(job.id, Box::new(terms)));
    }
    parts.extend(job.spec.image.iter().map(|image| LedgerPart::Image(job.id, image.clone())));
    if !job.said.is_empty() {
        parts.push(LedgerPart::Said(job.id, job.said.to_vec()));
    }
    if job.eta_score != EtaScore::default() {
        parts.push(LedgerPart::EtaScore(job.id, job.eta_score));
    }
    parts.extend(job.first_spec.iter().map(|spec| LedgerPart::FirstSpec(job.id, Box::new(spec.as_ref().clone()))));
    let losses: Vec<(TaskNo, Losses)> = job.losses.iter().map(|(no, losses)| (*no, *losses)).collect();
    parts.extend(losses.chunks(TASKS_PER_PART).map(|some| LedgerPart::Losses(job.id, some.iter().copied().collect())));
    parts
}

impl Ledger {
    /// The parts of a snapshot.
    pub fn parts(&self) -> impl Iterator<Item = LedgerPart> + '_ {
        let jobs = self.jobs.values().flat_map(parts_of);
        let datasets = self.datasets.iter().map(|(digest, record)| LedgerPart::Dataset(*digest, record.clone()));
        let workers = self.workers.values().map(|info| LedgerPart::Worker(info.clone(), self.attached.contains(&info.id)));
        let is_there = self.jobs.contains_key(&self.last_job) || self.last_job == JobId::default();
        let last_job = (!is_there).then_some(LedgerPart::LastJob(self.last_job));
        let gone = self.gone.iter().map(|(request, gone)| LedgerPart::Gone(request.clone(), *gone));
        let deletions = self.deletions.iter().map(|deletion| LedgerPart::Deletion(Box::new(deletion.clone())));
        let tokens = self.identities.tokens().map(|token| LedgerPart::Token(Box::new(token.clone())));
        let principals = self.identities.principals().map(|known| LedgerPart::Principal(Box::new(known.clone())));
        let owners = self.dataset_owners.iter().flat_map(|(digest, owners)| {
            let owners: Vec<String> = owners.iter().cloned().collect();
            let parts: Vec<LedgerPart> =
                owners.chunks(OWNERS_PER_PART).map(|some| LedgerPart::DatasetOwners(*digest, some.to_vec())).collect();
            parts
        });
        let quotas = self.quotas.iter().map(|(owner, quota)| LedgerPart::Quota(owner.to_owned(), quota));
        let things = jobs.chain(datasets).chain(workers).chain(last_job).chain(gone).chain(deletions);
        things.chain(tokens).chain(principals).chain(owners).chain(quotas)
    }

    /// What is behind a job is its own; without it, it is nobody's.
    fn of_job(&mut self, job: JobId, put: impl FnOnce(&mut JobRecord)) {
        if let Some(job) = self.jobs.get_mut(&job) {
            put(job);
        }
    }

    /// Takes one part of a snapshot in.
    pub fn put(&mut self, part: LedgerPart) {
        match part {
            LedgerPart::Job(job) => self.put_job(*job),
            LedgerPart::Rounds(job, rounds) => self.of_job(job, |job| job.rounds = *rounds),
            LedgerPart::Tasks(job, sets) => self.of_job(job, |job| {
                job.succeeded.extend(&sets.succeeded);
                job.failed.extend(&sets.failed);
                job.failures.extend(sets.failures);
            }),
            LedgerPart::Freed(job, tasks, floor) => self.of_job(job, |job| job.rounds.put_freed(&tasks, floor)),
            LedgerPart::Terms(job, terms) => self.of_job(job, |job| job.put_terms(*terms)),
            LedgerPart::Image(job, image) => self.of_job(job, |job| Arc::make_mut(&mut job.spec).image = Some(image)),
            LedgerPart::FirstSpec(job, spec) => self.of_job(job, |job| {
                // That part has no policy and no image; no retry changes them.
                let (policy, image) = (job.spec.policy.clone(), job.spec.image.clone());
                job.first_spec = Some(Arc::new(JobSpec { policy, image, ..*spec }));
            }),
            LedgerPart::Losses(job, losses) => self.of_job(job, |job| job.losses.extend(losses)),
            LedgerPart::EtaScore(job, score) => self.of_job(job, |job| job.eta_score = score),
            LedgerPart::LastJob(job) => self.last_job = self.last_job.max(job),
            LedgerPart::Gone(request, gone) => {
                self.gone.insert(request, gone);
            }
            LedgerPart::Said(job, said) => self.of_job(job, |job| job.said = Arc::new(said)),
            LedgerPart::Deletion(deletion) => self.deletions.note(*deletion),
            LedgerPart::Token(token) => self.identities.put_token(*token),
            LedgerPart::Principal(admitted) => self.identities.put_principal(*admitted),
            LedgerPart::DatasetOwners(digest, owners) => self.put_owners(digest, owners),
            LedgerPart::Quota(owner, quota) => self.quotas.set(owner, Some(quota)),
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
