//! What the journal adds up to: the head's whole durable state. The journal keeps one, so that a snapshot needs nobody's help.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain::deletion::{Deleted, Deletion};
use crate::domain::entry::Entry;
use crate::domain::identity::{Admitted, Token};
use crate::domain::verb::Said;
use crate::domain::{Attempt, Digest, EtaScore, Image, IndexSet, JobId, JobSpec, Quota, Quotas, TaskNo, WallTime, WorkerId, WorkerInfo};

use crate::limits;

use super::deletions::Deletions;
use super::record::{Failures, JobRecord, Losses, Rounds, Terms};
use super::tokens::Tokens;

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
const TASKS_PER_PART: usize = 64 * 1024;
/// Owners of a data set in one part, of at most 255 bytes each.
const OWNERS_PER_PART: usize = 1000;

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

    /// Takes one part of a snapshot in.
    pub fn put(&mut self, part: LedgerPart) {
        match part {
            LedgerPart::Job(job) => self.put_job(*job),
            LedgerPart::Rounds(job, rounds) => {
                if let Some(job) = self.jobs.get_mut(&job) {
                    job.rounds = *rounds;
                }
            }
            LedgerPart::Tasks(job, sets) => {
                if let Some(job) = self.jobs.get_mut(&job) {
                    job.succeeded.extend(&sets.succeeded);
                    job.failed.extend(&sets.failed);
                    job.failures.extend(sets.failures);
                }
            }
            LedgerPart::Freed(job, tasks, floor) => {
                if let Some(job) = self.jobs.get_mut(&job) {
                    job.rounds.put_freed(&tasks, floor);
                }
            }
            LedgerPart::Terms(job, terms) => {
                if let Some(job) = self.jobs.get_mut(&job) {
                    job.put_terms(*terms);
                }
            }
            LedgerPart::Image(job, image) => {
                if let Some(job) = self.jobs.get_mut(&job) {
                    Arc::make_mut(&mut job.spec).image = Some(image);
                }
            }
            LedgerPart::FirstSpec(job, spec) => {
                if let Some(job) = self.jobs.get_mut(&job) {
                    // That part has no policy and no image; no retry changes them.
                    let (policy, image) = (job.spec.policy.clone(), job.spec.image.clone());
                    job.first_spec = Some(Arc::new(JobSpec { policy, image, ..*spec }));
                }
            }
            LedgerPart::Losses(job, losses) => {
                if let Some(job) = self.jobs.get_mut(&job) {
                    job.losses.extend(losses);
                }
            }
            LedgerPart::EtaScore(job, score) => {
                if let Some(job) = self.jobs.get_mut(&job) {
                    job.eta_score = score;
                }
            }
            LedgerPart::LastJob(job) => self.last_job = self.last_job.max(job),
            LedgerPart::Gone(request, gone) => {
                self.gone.insert(request, gone);
            }
            LedgerPart::Said(job, said) => {
                if let Some(job) = self.jobs.get_mut(&job) {
                    job.said = Arc::new(said);
                }
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::testing::submitted;

    /// Every third task from `first` on.
    fn combed(first: u32, count: u32) -> IndexSet {
        (0..count).map(|at| TaskNo(first + 3 * at)).collect()
    }

    fn said() -> Said {
        Said { at: WallTime(1), verb: crate::domain::verb::Verb::Pause, by: "ada".into(), reason: "lunch".into() }
    }

    #[test]
    fn a_job_of_ever_so_many_scattered_tasks_fits_parts_of_a_bounded_size() {
        for count in [10, 70_000, 200_000] {
            let mut job = JobRecord::new(submitted(1));
            job.total = Some(10_000_000);
            job.succeeded = combed(9_000_000, count);
            job.failed = combed(1, count);
            job.failures = (0..count).map(|no| (TaskNo(8_000_000 + no), Failures { count: 3, last: Attempt(70_000) })).collect();
            job.rounds.retried = 2;
            job.said = Arc::new((0..count / 10_000).map(|_| said()).collect());
            job.eta_score = EtaScore { checks: count / 10_000, inside: count / 20_000 };
            job.first_spec = (count == 70_000).then(|| Arc::new(crate::domain::testing::job_spec()));
            job.rounds.put_freed(&combed(2, count), Attempt(4));
            job.rounds.put_freed(&combed(3, count), Attempt(9));
            let mut ledger = Ledger::default();
            ledger.put_job(job);
            let mut read = Ledger::default();
            let mut parts = 0;
            for mut part in ledger.parts() {
                parts += 1;
                let tasks = match &mut part {
                    LedgerPart::Job(job) => {
                        // Its bytes know no rounds.
                        job.rounds = Rounds::default();
                        job.succeeded.runs_len() + job.failed.runs_len() + job.failures.len()
                    }
                    LedgerPart::Tasks(_, sets) => sets.succeeded.runs_len() + sets.failed.runs_len() + sets.failures.len(),
                    LedgerPart::Rounds(_, rounds) => rounds.freed.iter().map(|(tasks, _)| tasks.runs_len()).sum(),
                    LedgerPart::Freed(_, tasks, _) => tasks.runs_len(),
                    LedgerPart::Losses(_, losses) => losses.len(),
                    LedgerPart::Dataset(..) | LedgerPart::Worker(..) | LedgerPart::Terms(..) => 0,
                    LedgerPart::LastJob(_)
                    | LedgerPart::Gone(..)
                    | LedgerPart::FirstSpec(..)
                    | LedgerPart::Deletion(_)
                    | LedgerPart::Said(..)
                    | LedgerPart::Token(_)
                    | LedgerPart::Principal(_)
                    | LedgerPart::DatasetOwners(..)
                    | LedgerPart::Quota(..)
                    | LedgerPart::Image(..)
                    | LedgerPart::EtaScore(..) => 0,
                };
                assert!(tasks <= TASKS_PER_PART, "{tasks}");
                read.put(part);
            }
            assert!(read == ledger, "{count}");
            assert_eq!(parts == 2, count == 10, "{parts}");
        }
    }

    #[test]
    fn an_image_comes_back_from_the_entry_and_the_parts_also_behind_a_retry() {
        let mut begun = submitted(1);
        begun.spec.image = "debian:12".parse().ok();
        let mut ledger = Ledger::default();
        ledger.apply(&Entry::accepted(begun));
        ledger.jobs.values_mut().for_each(|job| job.first_spec = Some(job.spec.clone()));
        let mut read = Ledger::default();
        for mut part in ledger.parts() {
            // Their bytes know no image.
            match &mut part {
                LedgerPart::Job(job) => Arc::make_mut(&mut job.spec).image = None,
                LedgerPart::FirstSpec(_, spec) => spec.image = None,
                _ => {}
            }
            read.put(part);
        }
        let has_it = |spec: &JobSpec| spec.image.as_ref().is_some_and(|image| image.as_str() == "debian:12");
        let job = read.jobs.get(&JobId(1)).unwrap();
        assert!(has_it(&job.spec) && has_it(job.as_submitted()));
    }

    #[test]
    fn owners_and_identities_come_back_from_the_parts_and_owners_go_with_their_data_set() {
        use crate::domain::identity::{IdentityEntry, Issued};
        use crate::domain::{Principal, PrincipalId, Role};
        let digest = Digest([1; 32]);
        let mut ledger = Ledger::default();
        let owned = |owner: &str| Entry::DatasetOwned { digest, owner: owner.into() };
        ledger.apply(&owned("too early"));
        ledger.apply(&Entry::DatasetAdded { digest, name: "x".into(), len: 1, at: WallTime(0) });
        let many: Vec<String> = (0..2 * OWNERS_PER_PART + 1).map(|no| format!("u{no}")).collect();
        many.iter().for_each(|owner| ledger.apply(&owned(owner)));
        let principal = Principal { id: PrincipalId::from_random(7), name: "ana".into(), role: Role::Submitter };
        let issued = Issued { serial: 1, expires: WallTime(9) };
        let admitted = Admitted { principal, token: None, key: digest, at: WallTime(0), issued, revoked: None };
        ledger.apply(&Entry::Identity(IdentityEntry::Admitted(Box::new(admitted))));
        let mut read = Ledger::default();
        ledger.parts().for_each(|part| read.put(part));
        assert!(read == ledger);
        assert_eq!(read.dataset_owners.get(&digest).map(BTreeSet::len), Some(many.len()));
        ledger.apply(&Entry::DatasetDisowned { digest, owner: "u0".into() });
        assert_eq!(ledger.dataset_owners.get(&digest).map(BTreeSet::len), Some(many.len() - 1));
        ledger.apply(&Entry::DatasetDeleted { digest });
        assert!(ledger.dataset_owners.is_empty());
    }

    #[test]
    fn a_deleted_job_leaves_its_number_and_for_a_week_its_request() {
        const DAY: i64 = 24 * 3600 * 1_000_000;
        let mut ledger = Ledger::default();
        for job in 1..=3 {
            let submitted = crate::domain::entry::Submitted { request_id: format!("r-{job}"), ..submitted(job) };
            ledger.apply(&Entry::accepted(submitted));
        }
        ledger.apply(&Entry::JobDeleted { job: JobId(3), at: WallTime(0) });
        ledger.apply(&Entry::JobDeleted { job: JobId(3), at: WallTime(DAY) });
        assert_eq!((ledger.next_job(), ledger.gone.get("r-3").map(|gone| gone.job)), (JobId(4), Some(JobId(3))));
        assert!(!ledger.requests.contains_key("r-3"));
        ledger.apply(&Entry::JobDeleted { job: JobId(2), at: WallTime(6 * DAY) });
        assert_eq!(ledger.gone.len(), 2);
        ledger.apply(&Entry::JobDeleted { job: JobId(1), at: WallTime(7 * DAY) });
        assert_eq!(ledger.gone.keys().collect::<Vec<_>>(), ["r-1", "r-2"]);
        assert_eq!(ledger.next_job(), JobId(4));
    }
}
