//! What a task's attempts have left, as the head finds it for whoever wants to see it.

use std::sync::Arc;

use crate::domain::{Attempt, Error, ResultMeta, TaskNo};

use super::bundler;
use super::head::Head;
use super::job::JobSnapshot;
use super::job_store::JobStore;

/// A task's stored result.
pub struct TaskResult {
    /// What it is.
    pub meta: ResultMeta,
    /// Where its packed bytes begin in the segment.
    pub data_offset: u64,
    /// The files.
    pub files: Arc<JobStore>,
}

impl Head {
    /// Opens the files of a job that has ended once, for all of its results that are asked for.
    pub fn open_files(&self, job: &mut JobSnapshot) {
        // Where there are none each of them says so.
        job.files = bundler::files_of(&self.data_dir, job).ok();
    }

    /// The description of a task's result, where its bytes begin, and the files they are in; none while it has none.
    pub async fn result(&self, job: &JobSnapshot, no: TaskNo) -> Result<Option<TaskResult>, Error> {
        if !job.record.is_final(no) {
            return Ok(None);
        }
        let files = bundler::files_of(&self.data_dir, job)?;
        let Some(result) = files.find(no)? else { return Ok(None) };
        let (meta, data_offset) = files.segment.read_meta(result)?;
        Ok(Some(TaskResult { meta, data_offset, files }))
    }

    /// The attempts of a task before its last that ended otherwise than well, the earliest first.
    pub fn earlier_attempts(&self, job: &JobSnapshot, no: TaskNo, last: Option<Attempt>) -> Result<Vec<ResultMeta>, Error> {
        let attempts = bundler::files_of(&self.data_dir, job)?.attempts_of(no)?;
        Ok(attempts.into_iter().map(|(meta, _)| meta).filter(|meta| Some(meta.attempt) != last).collect())
    }

    /// What one attempt left that ended otherwise than well; none if there was no such one.
    pub fn earlier_result(&self, job: &JobSnapshot, no: TaskNo, attempt: Attempt) -> Result<Option<TaskResult>, Error> {
        let files = bundler::files_of(&self.data_dir, job)?;
        let found = files.attempts_of(no)?.into_iter().find(|(meta, _)| meta.attempt == attempt);
        Ok(found.map(|(meta, data_offset)| TaskResult { meta, data_offset, files }))
    }
}
