//! The files of one live job: its segment of results, and where each task's lies.

use std::path::Path;
use std::sync::Arc;

use crate::blobs::{IndexedResult, JobFiles, ResultIndex, Segment};
use crate::domain::{Error, JobId, ResultRef, TaskEnd};

/// Open files of a job, shared by its actor, the journal (which syncs them) and the bundler.
#[derive(Debug)]
pub struct JobStore {
    /// Whose.
    pub job: JobId,
    /// The results, record after record.
    pub segment: Arc<Segment>,
    /// Task → record.
    pub index: ResultIndex,
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
        Ok(Arc::new(Self { job, segment, index }))
    }

    /// Notes where the results of tasks lie. Not durable by itself: the journal has it too, and notes it again when it is replayed.
    pub fn note(&self, ends: &[&TaskEnd]) -> Result<(), Error> {
        self.index.put_some(ends.iter().map(|end| (end.no, IndexedResult { result: end.result, success: end.success })).collect())
    }

    /// Where the result of a task lies.
    pub fn find(&self, no: crate::domain::TaskNo) -> Result<Option<ResultRef>, Error> {
        Ok(self.index.get(no)?.map(|indexed| indexed.result))
    }
}
