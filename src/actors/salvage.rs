//! Makes a new data folder of what an [`Inspection`] could read. The old folder is left as it is.

use std::path::Path;

use crate::blobs::{self, ChunkIndex, IndexedResult, JobFiles, ResultIndex, StoredResults};
use crate::domain::{Error, IndexSet, Input, JobId};
use crate::engine::{JobRecord, Ledger};
use crate::store::SledStore;

use super::ingest::{CHUNKS_DIR, DATASETS_DIR};
use super::inspection::Inspection;
use super::journal;

/// Makes `to`, which must not exist, a folder that a head can start on; what was lost, a line for each job and data set.
///
/// The journal is written last: before it a head finds nothing in the folder.
pub fn salvage(found: &Inspection, from: &Path, to: &Path) -> Result<Vec<String>, Error> {
    std::fs::create_dir(to).map_err(|error| Error::io(to, &error))?;
    let mut said = Vec::new();
    let mut ledger = found.ledger.clone();
    copy_datasets(found, from, to, &mut ledger, &mut said)?;
    for job in ledger.jobs.values_mut() {
        said.extend(repair(found, from, job));
        copy_job(found, from, to, job)?;
    }
    let mut store = SledStore::open(to)?;
    // Above all epochs of the old folder, so that workers take its head for a later one.
    let epoch = store.acquire_after(found.epoch, "millpond-head doctor")?;
    journal::snapshot(&mut store, epoch, 0, &ledger)?;
    Ok(said)
}

fn copy_datasets(found: &Inspection, from: &Path, to: &Path, ledger: &mut Ledger, said: &mut Vec<String>) -> Result<(), Error> {
    ledger.datasets.retain(|digest, record| {
        let is_lost = found.lost_datasets.contains(digest);
        if is_lost {
            said.push(format!("data set {} ({digest}) is lost: upload it again", record.name));
        }
        !is_lost
    });
    let roots = (from.join(DATASETS_DIR), to.join(DATASETS_DIR));
    ledger.datasets.keys().try_for_each(|digest| blobs::copy_dataset(&roots.0, &roots.1, *digest))
}

/// Takes back what the job can't show any more; what that is, if it is something.
fn repair(found: &Inspection, from: &Path, job: &mut JobRecord) -> Option<String> {
    let forgotten = if found.journal_is_whole { 0 } else { forgotten(from, job) };
    let mut lost = found.lost.get(&job.id).cloned().unwrap_or_default();
    if job.total.is_none() {
        // Its split is forgotten: nobody knows what its tasks are until it is split again.
        lost.extend(&job.succeeded);
        lost.extend(&job.failed);
    }
    job.take_back(&lost);
    if !found.journal_is_whole {
        job.doubt_mark();
    }
    let then = if job.killing.is_some() { "they don't run again, since it was killed" } else { "they run again" };
    let (id, lost) = (job.id, lost.len());
    match (lost, forgotten) {
        (0, 0) => None,
        (_, 0) => Some(format!("{id}: the results of {lost} tasks are lost: {then}")),
        (0, _) => Some(format!("{id}: the end of {forgotten} tasks is forgotten: {then}")),
        _ => Some(format!("{id}: the results of {lost} tasks are lost, the end of {forgotten} is forgotten: {then}")),
    }
}

/// Tasks that have a result, but the journal does not say any more that they are done.
fn forgotten(from: &Path, job: &JobRecord) -> u32 {
    let Ok(stored) = StoredResults::open(from, job.id) else { return 0 };
    let mut open = IndexSet::range(0, job.total.unwrap_or(0));
    open.subtract(&job.succeeded);
    open.subtract(&job.failed);
    open.iter().filter(|no| matches!(stored.find(*no), Ok(Some(_)))).count() as u32
}

fn copy_job(found: &Inspection, from: &Path, to: &Path, job: &JobRecord) -> Result<(), Error> {
    copy_results(found, from, to, job)?;
    if let Input::Dataset { digest, rule, .. } = &job.spec.input {
        let name = Path::new(CHUNKS_DIR).join(ChunkIndex::file_name(*digest, *rule));
        // Of one that is damaged or not there another is made of the data set.
        if ChunkIndex::open(&from.join(&name)).is_ok() {
            blobs::copy(&from.join(&name), &to.join(&name))?;
        }
    }
    Ok(())
}

/// The segment as it is, so that every result keeps its place, and a new index of those that are whole.
fn copy_results(found: &Inspection, from: &Path, to: &Path, job: &JobRecord) -> Result<(), Error> {
    let results = found.results.get(&job.id).into_iter().flatten().filter(|(no, _)| job.is_final(**no));
    let mut results = results.peekable();
    if results.peek().is_none() {
        return Ok(());
    }
    let id: JobId = job.id;
    let files = JobFiles::new(to, id);
    files.create()?;
    blobs::copy(&JobFiles::new(from, id).segment(), &files.segment())?;
    let index = ResultIndex::open(&files.result_index())?;
    for (no, result) in results {
        index.put(*no, IndexedResult { result: *result, success: job.succeeded.contains(*no) })?;
    }
    index.sync()
}
