//! What a task's attempts have left, as the head finds it for whoever wants to see it.

use std::sync::Arc;

use crate::domain::{Attempt, Error, ErrorKind, ResultMeta, TaskNo};

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

    /// The attempts of a task before this one, or all, that ended otherwise than well, the earliest first.
    ///
    /// # Errors
    /// If the log of them can't be read.
    pub async fn earlier_attempts(&self, job: &JobSnapshot, no: TaskNo, before: Option<Attempt>) -> Result<Vec<ResultMeta>, Error> {
        let files = match bundler::files_of(&self.data_dir, job) {
            // Of a job that was killed before it had a result a backup copies no folder.
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(Vec::new()),
            files => files?,
        };
        aside(move || Ok(files.attempts_at(&files.attempts.of(no)?, no, before))).await
    }

    /// What one attempt left that ended otherwise than well; none if nothing is kept of such a one.
    ///
    /// # Errors
    /// The same.
    pub async fn earlier_result(&self, job: &JobSnapshot, no: TaskNo, attempt: Attempt) -> Result<Option<TaskResult>, Error> {
        let files = bundler::files_of(&self.data_dir, job)?;
        aside(move || {
            let found = files.attempt(no, attempt)?;
            Ok(found.map(|(meta, data_offset)| TaskResult { meta, data_offset, files }))
        })
        .await
    }
}

/// A look at a long file, where nobody waits for it but whoever asked.
async fn aside<T: Send + 'static>(look: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    let looked = tokio::task::spawn_blocking(look).await;
    looked.map_err(|error| Error::internal(format!("the look at a task's attempts broke off: {error}")))?
}
