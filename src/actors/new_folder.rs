//! A new data folder that holds what a ledger knows, copied from another one: for [`super::backup`] and [`super::salvage`].

use std::path::Path;

use crate::audit::{self, AUDIT_DIR, AuditLog};
use crate::blobs::{self, AttemptLog, ChunkIndex, IndexedResult, JobFiles, ResultIndex};
use crate::domain::{Digest, Epoch, Error, Input, ResultRef, SplitRule, TaskNo};
use crate::engine::{JobRecord, Ledger};
use crate::pki::IdentityFolder;
use crate::store::SledStore;

use super::ingest::{CHUNKS_DIR, DATASETS_DIR};
use super::journal;

/// From which folder to which; `to` is there, and holds nothing that is in the way.
#[derive(Clone, Copy)]
pub struct NewFolder<'a> {
    /// The old folder, only read.
    pub from: &'a Path,
    /// The new one.
    pub to: &'a Path,
}

impl NewFolder<'_> {
    /// Copies a data set, durably.
    pub fn copy_dataset(self, digest: Digest) -> Result<(), Error> {
        blobs::copy_dataset(&self.from.join(DATASETS_DIR), &self.to.join(DATASETS_DIR), digest)
    }

    /// Copies a job's files, durably: of its results those that are named, each at the place that it has.
    pub fn copy_job(self, job: &JobRecord, results: &[(TaskNo, ResultRef)]) -> Result<(), Error> {
        if let Input::Dataset { digest, rule, .. } = &job.spec.input {
            self.copy_chunks(*digest, rule)?;
        }
        let Some(len) = segment_len(results) else { return Ok(()) };
        let files = JobFiles::new(self.to, job.id);
        files.create()?;
        blobs::copy_first(&JobFiles::new(self.from, job.id).segment(), &files.segment(), len)?;
        let index = ResultIndex::open(&files.result_index())?;
        let indexed = |(no, result): &(TaskNo, ResultRef)| (*no, IndexedResult { result: *result, success: job.succeeded.contains(*no) });
        index.put_all(results.iter().map(indexed).collect())?;
        index.sync()?;
        let mut attempts = AttemptLog::new(&JobFiles::new(self.from, job.id).attempts()).all_if_readable();
        attempts.retain(|(_, result)| result.offset.saturating_add(result.len) <= len);
        let copy = AttemptLog::new(&files.attempts());
        copy.note(&attempts)?;
        copy.sync()
    }

    /// Copies the keys of the head and its authority, durably, where there are any: without them the new folder would let everybody in.
    pub fn copy_identity(self) -> Result<(), Error> {
        IdentityFolder::copy(self.from, self.to)
    }

    /// Copies the audit, durably, up to its last line that is durable: whoever opens the copy goes on with the same chain.
    pub fn copy_audit(self, audit: &AuditLog) -> Result<(), Error> {
        audit::copy(audit.dir(), audit.last(), &self.to.join(AUDIT_DIR))
    }

    fn copy_chunks(self, digest: Digest, rule: &SplitRule) -> Result<(), Error> {
        let name = Path::new(CHUNKS_DIR).join(ChunkIndex::file_name(digest, rule));
        // Jobs may share one. Of one that is damaged or not there another is made of the data set.
        match ChunkIndex::open(&self.from.join(&name)) {
            Ok(_) if self.to.join(&name).exists() => Ok(()),
            Ok(_) => blobs::copy(&self.from.join(&name), &self.to.join(&name)),
            Err(_) => Ok(()),
        }
    }

    /// Writes the journal, after everything that it refers to: before it a head finds nothing in the folder. Its epoch is above `before`.
    pub fn write_journal(self, ledger: &Ledger, before: Epoch, holder: &str) -> Result<(), Error> {
        let mut store = SledStore::open(self.to)?;
        let epoch = store.acquire_after(before, holder)?;
        journal::snapshot(&mut store, epoch, 0, ledger)
    }
}

/// How much of a segment these results need; none for none.
pub fn segment_len(results: &[(TaskNo, ResultRef)]) -> Option<u64> {
    results.iter().map(|(_, result)| result.offset.saturating_add(result.len)).max()
}
