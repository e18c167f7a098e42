//! The files of one live job: its segment of results, and where each task's lies.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::blobs::{AttemptLog, IndexedResult, JobFiles, ResultIndex, Segment};
use crate::domain::wire::{Finished, Lease, ResultBytes};
use crate::domain::{Attempt, Error, JobId, Outcome, Packed, ResultMeta, ResultRef, TaskEnd, TaskNo, Timing, WorkerId};
use crate::limits::ATTEMPTS_SHOWN_MAX;

/// Open files of a job, shared by its actor, the journal (which syncs them) and the bundler.
#[derive(Debug)]
pub struct JobStore {
    /// Whose.
    pub job: JobId,
    /// The results, record after record.
    pub segment: Arc<Segment>,
    /// Task → record.
    pub index: ResultIndex,
    /// Attempts that ended otherwise than well.
    pub attempts: AttemptLog,
}

impl JobStore {
    /// Opens, or makes, the files of a job.
    pub fn open(data_dir: &Path, job: JobId) -> Result<Arc<Self>, Error> {
        Self::open_again(data_dir, job, None)
    }

    /// The same; `segment` is the job's if somebody still writes to it: two of one file would give out the same range.
    pub fn open_again(data_dir: &Path, job: JobId, segment: Option<Arc<Segment>>) -> Result<Arc<Self>, Error> {
        let files = JobFiles::new(data_dir, job);
        files.create()?;
        let segment = segment.map_or_else(|| Segment::open(&files.segment()).map(Arc::new), Ok)?;
        let index = ResultIndex::open(&files.result_index())?;
        let attempts = AttemptLog::new(&files.attempts());
        Ok(Arc::new(Self { job, segment, index, attempts }))
    }

    /// Notes where the results of tasks lie. Not durable by itself: the journal has it too, and notes it again when it is replayed.
    pub fn note(&self, ends: &[&TaskEnd]) -> Result<(), Error> {
        self.index.put_some(ends.iter().map(|end| (end.no, IndexedResult { result: end.result, success: end.success })).collect())
    }

    /// Where each result lies now, and how its attempt counts as having ended.
    pub fn store(&self, worker: WorkerId, finished: &[&Finished]) -> Vec<Result<(Outcome, ResultRef), Error>> {
        let mut stored = Vec::with_capacity(finished.len());
        let mut records = Vec::new();
        for Finished { lease, outcome, timing, packed, bytes } in finished {
            let (outcome, packed, bytes) = match bytes {
                ResultBytes::Inline(bytes) => (outcome.clone(), packed.clone(), bytes.as_slice()),
                ResultBytes::Stored(result) if self.holds(*result, lease) => {
                    stored.push(Some((outcome.clone(), *result)));
                    continue;
                }
                ResultBytes::Stored(_) => {
                    let reason = "its stored result can't be found at the head".to_owned();
                    (Outcome::OutputMissing { reason }, Packed::default(), &[][..])
                }
            };
            records.push((ResultMeta { no: lease.no, attempt: lease.attempt, worker, outcome, timing: *timing, packed }, bytes));
            stored.push(None);
        }
        let mut appended = self.segment.append_all(&records).into_iter().zip(records);
        let next = |there: Option<(Outcome, ResultRef)>| match there {
            Some(there) => Ok(there),
            None => {
                let (result, (meta, _)) = appended.next().ok_or_else(|| Error::internal("a result was not stored"))?;
                Ok((meta.outcome, result?))
            }
        };
        let stored: Vec<Result<(Outcome, ResultRef), Error>> = stored.into_iter().map(next).collect();
        let unwell = finished.iter().zip(&stored).filter_map(|(finished, stored)| match stored {
            Ok((outcome, result)) if !outcome.is_success() => Some((finished.lease.no, *result)),
            Ok(_) | Err(_) => None,
        });
        self.note_attempts(&unwell.collect::<Vec<_>>());
        stored
    }

    fn holds(&self, result: ResultRef, lease: &Lease) -> bool {
        self.segment.read_meta(result).is_ok_and(|(meta, _)| meta.no == lease.no && meta.attempt == lease.attempt)
    }

    /// Notes that an attempt went down with its worker.
    pub fn note_lost(&self, no: TaskNo, attempt: Attempt, worker: WorkerId, timing: Timing) {
        let meta = ResultMeta { no, attempt, worker, outcome: Outcome::Lost, timing, packed: Packed::default() };
        match self.segment.append(&meta, &[]) {
            Ok(result) => self.note_attempts(&[(no, result)]),
            Err(error) => self.not_noted(&error),
        }
    }

    fn note_attempts(&self, attempts: &[(TaskNo, ResultRef)]) {
        if let Err(error) = self.attempts.note(attempts) {
            self.not_noted(&error);
        }
    }

    /// The task goes on all the same: nothing is decided by it.
    fn not_noted(&self, error: &Error) {
        tracing::warn!(job = %self.job, %error, "what became of an attempt could not be noted");
    }

    /// The attempts of a task before this one, or all, that ended otherwise than well, by where they were noted; the earliest first, the latest
    /// [`ATTEMPTS_SHOWN_MAX`]. One of which nothing can be read any more is left out.
    pub fn attempts_at(&self, noted: &[ResultRef], no: TaskNo, before: Option<Attempt>) -> Vec<ResultMeta> {
        let mut attempts = BTreeMap::new();
        for (meta, _) in self.noted(noted, no).filter(|(meta, _)| before.is_none_or(|before| meta.attempt < before)) {
            // A worker that comes back may tell of one again.
            attempts.entry(meta.attempt).or_insert(meta);
            if attempts.len() == ATTEMPTS_SHOWN_MAX {
                break;
            }
        }
        attempts.into_values().collect()
    }

    /// One of them, and where its packed bytes begin. Reads the whole log.
    pub fn attempt(&self, no: TaskNo, attempt: Attempt) -> Result<Option<(ResultMeta, u64)>, Error> {
        let noted = self.attempts.of(no)?;
        Ok(self.noted(&noted, no).find(|(meta, _)| meta.attempt == attempt))
    }

    /// The descriptions of what was noted, the latest first.
    fn noted<'a>(&'a self, noted: &'a [ResultRef], no: TaskNo) -> impl Iterator<Item = (ResultMeta, u64)> + 'a {
        noted.iter().rev().filter_map(move |result| self.segment.read_meta(*result).ok().filter(|(meta, _)| meta.no == no))
    }

    /// Where the result of a task lies.
    pub fn find(&self, no: TaskNo) -> Result<Option<ResultRef>, Error> {
        Ok(self.index.get(no)?.map(|indexed| indexed.result))
    }
}
