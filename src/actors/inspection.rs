//! Reads the whole data folder of a head that does not run, and says what in it is damaged. Changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::blobs::{JobFiles, StoredResults, check_dataset};
use crate::domain::entry::{Entry, JobEntry};
use crate::domain::{Digest, Epoch, Error, IndexSet, JobId, ResultRef, TaskNo};
use crate::engine::ledger::LedgerPart;
use crate::engine::{JobRecord, Ledger};
use crate::store::{Place, Survey};

use super::ingest::DATASETS_DIR;
use super::journal::decode;

/// What a data folder holds.
#[derive(Debug, Default)]
pub struct Inspection {
    /// The last epoch that is known of.
    pub epoch: Epoch,
    /// All that the journal says, as far as it can be read.
    pub ledger: Ledger,
    /// Whether the journal was read whole.
    pub journal_is_whole: bool,
    /// Of each job the results that are there.
    pub results: BTreeMap<JobId, BTreeMap<TaskNo, ResultRef>>,
    /// Of each job the tasks that are done, but their result is not there. None without any.
    pub lost: BTreeMap<JobId, IndexSet>,
    /// Data sets that are not there or not what they were.
    pub lost_datasets: BTreeSet<Digest>,
    /// One line for each damage.
    pub findings: Vec<String>,
}

impl Inspection {
    /// Reads a data folder; `scratch` as for [`Survey::of`]. The caller holds the folder's lock.
    pub fn of(data_dir: &Path, scratch: &Path) -> Result<Self, Error> {
        let survey = Survey::of(data_dir, scratch)?;
        let mut found = Self { epoch: survey.epoch, ..Self::default() };
        found.findings = survey.findings.iter().map(ToString::to_string).collect();
        let ends = found.replay(&survey.values);
        found.journal_is_whole = found.findings.is_empty();
        let jobs: Vec<JobRecord> = found.ledger.jobs.values().cloned().collect();
        jobs.iter().for_each(|job| found.check_job(data_dir, job, &ends));
        found.find_unknown_jobs(data_dir)?;
        for (digest, record) in &found.ledger.datasets {
            if let Err(error) = check_dataset(&data_dir.join(DATASETS_DIR), *digest) {
                found.findings.push(format!("data set {} ({digest}): {error}", record.name));
                found.lost_datasets.insert(*digest);
            }
        }
        Ok(found)
    }

    /// Takes in what can be read; where the results lie that the index may not have yet.
    fn replay(&mut self, values: &[(Place, Vec<u8>)]) -> BTreeMap<(JobId, TaskNo), ResultRef> {
        let mut ends = BTreeMap::new();
        for (place, bytes) in values {
            let taken = match place {
                Place::Part(_) => decode::<LedgerPart>(bytes).map(|part| self.ledger.put(part)),
                Place::Batch(_) => decode::<Vec<Entry>>(bytes).map(|entries| {
                    for entry in &entries {
                        if let Entry::Job(job, JobEntry::TaskEnded(end)) = entry {
                            ends.insert((*job, end.no), end.result);
                        }
                        self.ledger.apply(entry);
                    }
                }),
            };
            if let Err(error) = taken {
                self.findings.push(format!("{place}: {error}"));
            }
        }
        ends
    }

    fn check_job(&mut self, data_dir: &Path, job: &JobRecord, ends: &BTreeMap<(JobId, TaskNo), ResultRef>) {
        let mut done = job.succeeded.clone();
        done.extend(&job.failed);
        if done.is_empty() {
            return;
        }
        let stored = match StoredResults::open(data_dir, job.id) {
            Ok(stored) => stored,
            Err(error) => {
                self.findings.push(format!("{}: none of its {} results can be read: {error}", job.id, done.len()));
                self.lost.insert(job.id, done);
                return;
            }
        };
        for no in done.iter() {
            let place = match ends.get(&(job.id, no)) {
                Some(result) => Ok(*result),
                None => find(&stored, no, job.succeeded.contains(no)),
            };
            match place.and_then(|result| stored.check(no, result).map(|()| result)) {
                Ok(result) => {
                    self.results.entry(job.id).or_default().insert(no, result);
                }
                Err(error) => {
                    self.findings.push(format!("{}.{}: {error}", job.id, job.spec.index_of(no)));
                    self.lost.entry(job.id).or_default().insert(no);
                }
            }
        }
    }

    /// Jobs that have files, but the journal says nothing of them.
    fn find_unknown_jobs(&mut self, data_dir: &Path) -> Result<(), Error> {
        for job in JobFiles::list_as_is(data_dir)? {
            if !self.ledger.jobs.contains_key(&job) {
                self.findings.push(format!("{job}: it has results, but the journal does not know it"));
            }
        }
        Ok(())
    }
}

fn find(stored: &StoredResults, no: TaskNo, success: bool) -> Result<ResultRef, Error> {
    match stored.find(no)? {
        Some(indexed) if indexed.success == success => Ok(indexed.result),
        Some(_) => Err(Error::corrupt("the result index and the journal differ about whether it succeeded")),
        None => Err(Error::corrupt("it is done, but the result index has no result of it")),
    }
}
