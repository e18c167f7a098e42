//! Copies all durable state of a running head into another folder, on which a head can be started.
//!
//! What the backup holds is what was durable at one moment: the ledger of that moment, and what it refers to. Data sets and results never
//! change once the ledger knows them, so they are copied while the head goes on. A job that goes on meanwhile goes on in the head only: in
//! the backup it stands as it stood, and what ended since runs again if a head is started there. The audit is copied last, up to a later
//! moment: it knows of changes that the backup has not.

use std::path::Path;

use tokio_util::sync::CancellationToken;

use crate::audit::{self, AuditLog};
use crate::blobs::{self, StoredResults};
use crate::domain::{DiskRoom, Epoch, Error, IndexSet, ResultRef, TaskNo, short_size};
use crate::engine::{DiskGauge, JobRecord, Ledger};

use super::new_folder::{NewFolder, segment_len};

/// What a backup holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackedUp {
    /// Jobs, ended ones and live ones.
    pub jobs: u64,
    /// Results of tasks.
    pub results: u64,
    /// Data sets.
    pub datasets: u64,
    /// Bytes of data sets and results.
    pub bytes: u64,
}

/// What is durable at one moment, and where.
pub struct Source<'a> {
    /// The head's data folder.
    pub data_dir: &'a Path,
    /// All that the journal says.
    pub ledger: Ledger,
    /// Of the running head.
    pub epoch: Epoch,
    /// The disk of the data folder.
    pub gauge: DiskGauge,
    /// What was changed and by whom, if that is written down.
    pub audit: Option<AuditLog>,
}

/// Fills `to`, an empty folder. `Exhausted` if its disk has no room; what is there then is no data folder, and can be removed.
pub fn backup(mut source: Source<'_>, to: &Path, stop: &CancellationToken) -> Result<BackedUp, Error> {
    let folder = NewFolder { from: source.data_dir, to };
    let mut done = BackedUp::default();
    let mut jobs = Vec::new();
    for record in source.ledger.jobs.values_mut() {
        let (results, changed) = results_of(source.data_dir, record)?;
        record.take_back(&changed);
        done.results += results.len() as u64;
        done.bytes += segment_len(&results).unwrap_or(0);
        jobs.push(results);
    }
    done.jobs = jobs.len() as u64;
    done.datasets = source.ledger.datasets.len() as u64;
    done.bytes += source.ledger.datasets.values().map(|dataset| dataset.len).sum::<u64>();
    let audit_bytes = source.audit.as_ref().map_or(Ok(0), |audit| audit::len(audit.dir()))?;
    has_room(&source, to, done.bytes + audit_bytes)?;
    let goes_on = || if stop.is_cancelled() { Err(Error::unavailable("nobody waits for the backup any more")) } else { Ok(()) };
    for digest in source.ledger.datasets.keys() {
        goes_on()?;
        folder.copy_dataset(*digest)?;
    }
    for (record, results) in source.ledger.jobs.values_mut().zip(&jobs) {
        goes_on()?;
        folder.copy_job(record, results)?;
        // What the head has handed out since may run at workers: they are asked before it goes out again.
        record.doubt_mark();
    }
    folder.copy_identity()?;
    // As late as can be: a change is in the journal before its line is in the audit, and changes that the backup has are to have theirs.
    source.audit.as_ref().map_or(Ok(()), |audit| folder.copy_audit(audit))?;
    folder.write_journal(&source.ledger, source.epoch.of_backup(), "a backup")?;
    Ok(done)
}

/// Where the results of all final tasks lie, and the tasks whose result is by now another one: a retry came since the moment of the backup.
fn results_of(data_dir: &Path, job: &JobRecord) -> Result<(Vec<(TaskNo, ResultRef)>, IndexSet), Error> {
    let mut done = job.succeeded.clone();
    done.extend(&job.failed);
    if done.is_empty() {
        return Ok((Vec::new(), done));
    }
    let stored = StoredResults::open(data_dir, job.id)?;
    let task = |no| format!("{}.{}", job.id, job.spec.index_of(no));
    let (mut results, mut changed) = (Vec::new(), IndexSet::default());
    for no in done.iter() {
        let indexed = stored.find(no)?.ok_or_else(|| Error::corrupt(format!("{} is done, but has no result", task(no))))?;
        if indexed.success == job.succeeded.contains(no) {
            results.push((no, indexed.result));
        } else {
            changed.insert(no);
        }
    }
    Ok((results, changed))
}

/// A backup never takes the room that the head itself needs.
fn has_room(source: &Source<'_>, to: &Path, bytes: u64) -> Result<(), Error> {
    let room = blobs::disk_room(to)?;
    let fits = if blobs::same_disk(source.data_dir, to)? {
        let mut after = source.gauge;
        after.measured(DiskRoom { free: source.gauge.room.free.saturating_sub(bytes), ..source.gauge.room });
        after.takes_uploads().is_ok()
    } else {
        bytes <= room.free
    };
    if fits {
        return Ok(());
    }
    Err(Error::exhausted(format!("a backup takes {}, and its disk has {room}: back up to another disk", short_size(bytes))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::job_store::JobStore;
    use crate::actors::journal;
    use crate::domain::entry::{Entry, JobEntry, Submitted};
    use crate::domain::testing::submitted;
    use crate::domain::{Attempt, ErrorKind, JobId, Outcome, Packed, ResultMeta, TaskEnd, Timing, WorkerId};
    use crate::engine::Watermarks;
    use crate::store::SledStore;

    const GIB: u64 = 1 << 30;

    fn gauge(free: u64) -> DiskGauge {
        DiskGauge::new(Watermarks::default(), DiskRoom { free, total: 1000 * GIB })
    }

    /// A job of four tasks, of which task 1 is done.
    fn one_result(folder: &Path) -> Ledger {
        let submitted = Submitted { held: true, request_id: "r".into(), ..submitted(1) };
        let meta = ResultMeta {
            no: TaskNo(1),
            attempt: Attempt(1),
            worker: WorkerId(1),
            outcome: Outcome::Exited { code: 0 },
            timing: Timing::default(),
            packed: Packed::default(),
        };
        let store = JobStore::open(folder, JobId(1)).unwrap();
        let result = store.segment.append(&meta, b"").unwrap();
        let end = TaskEnd { no: TaskNo(1), attempt: Attempt(1), worker: WorkerId(1), success: true, result };
        store.note(&[&end]).unwrap();
        // Of a task that ended after the moment of the backup.
        let later = store.segment.append(&ResultMeta { no: TaskNo(2), ..meta }, b"").unwrap();
        store.note(&[&TaskEnd { no: TaskNo(2), result: later, ..end.clone() }]).unwrap();
        store.attempts.note(&[(TaskNo(1), result), (TaskNo(2), later)]).unwrap();
        let mut ledger = Ledger::default();
        ledger.apply(&Entry::accepted(submitted));
        for entry in [JobEntry::Split { total: 4 }, JobEntry::Marked { mark: 2 }, JobEntry::TaskEnded(end)] {
            ledger.apply(&Entry::Job(JobId(1), entry));
        }
        ledger
    }

    #[test]
    fn it_holds_the_ledger_of_the_moment_and_no_later_result() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let ledger = one_result(from.path());
        let source = Source { data_dir: from.path(), ledger: ledger.clone(), epoch: Epoch(3), gauge: gauge(500 * GIB), audit: None };
        let made = backup(source, to.path(), &CancellationToken::new()).unwrap();
        assert_eq!((made.jobs, made.results, made.datasets), (1, 1, 0));
        let mut store = SledStore::open(to.path()).unwrap();
        let mut expected = ledger;
        expected.jobs.get_mut(&JobId(1)).unwrap().mark = 4;
        assert_eq!(journal::load(&mut store).unwrap().ledger, expected, "workers are asked before anything goes out");
        let stored = StoredResults::open(to.path(), JobId(1)).unwrap();
        let result = stored.find(TaskNo(1)).unwrap().unwrap().result;
        stored.check(TaskNo(1), result).unwrap();
        assert_eq!(stored.find(TaskNo(2)).unwrap(), None);
        assert_eq!(JobStore::open(to.path(), JobId(1)).unwrap().attempts.all().unwrap(), [(TaskNo(1), result)]);
        assert_eq!(result.offset + result.len, made.bytes);
        use crate::store::Store;
        assert!(store.acquire("test").unwrap() > Epoch(1 << 32));
    }

    #[test]
    fn it_leaves_the_head_its_room_and_ends_when_nobody_waits() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let ledger = one_result(from.path());
        let make = |free, stop: &CancellationToken| {
            let source = Source { data_dir: from.path(), ledger: ledger.clone(), epoch: Epoch(3), gauge: gauge(free), audit: None };
            backup(source, to.path(), stop).unwrap_err()
        };
        let full = make(10 * GIB + 1, &CancellationToken::new());
        assert_eq!(full.kind, ErrorKind::Exhausted);
        assert!(full.message.contains("back up to another disk"), "{full}");
        let stop = CancellationToken::new();
        stop.cancel();
        assert_eq!(make(500 * GIB, &stop).kind, ErrorKind::Unavailable);
        assert_eq!(std::fs::read_dir(to.path()).unwrap().count(), 0);
    }
}
