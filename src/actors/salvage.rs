//! Makes a new data folder of what an [`Inspection`] could read. The old folder is left as it is.

use std::path::Path;

use crate::blobs::StoredResults;
use crate::domain::{Error, IndexSet, ResultRef, TaskNo};
use crate::engine::{JobRecord, Ledger};

use super::inspection::Inspection;
use super::new_folder::NewFolder;

/// Makes `to`, which must not exist, a folder that a head can start on; what was lost, a line for each job and data set.
///
/// The journal is written last: before it a head finds nothing in the folder.
pub fn salvage(found: &Inspection, from: &Path, to: &Path) -> Result<Vec<String>, Error> {
    std::fs::create_dir(to).map_err(|error| Error::io(to, &error))?;
    let folder = NewFolder { from, to };
    let mut said = Vec::new();
    let mut ledger = found.ledger.clone();
    copy_datasets(found, folder, &mut ledger, &mut said)?;
    for job in ledger.jobs.values_mut() {
        said.extend(repair(found, from, job));
        let results = found.results.get(&job.id).into_iter().flatten().filter(|(no, _)| job.is_final(**no));
        let results: Vec<(TaskNo, ResultRef)> = results.map(|(no, result)| (*no, *result)).collect();
        folder.copy_job(job, &results)?;
    }
    folder.copy_identity()?;
    // Above all epochs of the old folder, so that workers take its head for a later one.
    folder.write_journal(&ledger, found.epoch, "millpond-head doctor")?;
    Ok(said)
}

fn copy_datasets(found: &Inspection, folder: NewFolder<'_>, ledger: &mut Ledger, said: &mut Vec<String>) -> Result<(), Error> {
    ledger.datasets.retain(|digest, record| {
        let is_lost = found.lost_datasets.contains(digest);
        if is_lost {
            said.push(format!("data set {} ({digest}) is lost: upload it again", record.name));
        }
        !is_lost
    });
    ledger.datasets.keys().try_for_each(|digest| folder.copy_dataset(*digest))
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
