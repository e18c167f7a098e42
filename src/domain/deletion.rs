//! What a request has deleted, as it is remembered for when the request comes again.

use serde::{Deserialize, Serialize};

use super::error::Error;
use super::ids::{Digest, JobId};
use super::job::JobState;
use super::time::WallTime;
use super::verb::Counts;

/// A deletion that was asked for. Persisted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deletion {
    /// The request's, never empty.
    pub request_id: String,
    /// When.
    pub at: WallTime,
    /// Who asked for it, as he calls himself; empty if he did not say.
    pub by: String,
    /// Why, in his words.
    pub reason: String,
    /// What is gone.
    pub what: Deleted,
}

/// A request to delete something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeletionRequest {
    /// The client's; empty if it can't come again.
    pub id: String,
    /// Who asks for it.
    pub by: String,
    /// Why.
    pub reason: String,
}

impl DeletionRequest {
    /// What is remembered of it; nothing, if it can't come again.
    pub fn done(self, at: WallTime, what: Deleted) -> Option<Deletion> {
        let Self { id: request_id, by, reason } = self;
        (!request_id.is_empty()).then_some(Deletion { request_id, at, by, reason, what })
    }
}

/// What is gone. Persisted: a new kind comes last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Deleted {
    /// A job, with its bundle.
    Job(DeletedJob),
    /// A data set.
    Dataset {
        /// Its content's.
        digest: Digest,
        /// Its name.
        name: String,
        /// In bytes.
        len: u64,
        /// When it was stored.
        stored: WallTime,
    },
}

/// What a job was, in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletedJob {
    /// Its number.
    pub id: JobId,
    /// Its name.
    pub name: String,
    /// Its owner.
    pub owner: String,
    /// How it ended.
    pub state: JobState,
    /// Its tasks.
    pub counts: Counts,
    /// Its place in the order.
    pub priority: i32,
    /// From 1; one more with each retry.
    pub round: u32,
    /// When it was accepted.
    pub created: WallTime,
    /// When its first task started.
    pub began: Option<WallTime>,
    /// When it ended.
    pub ended: Option<WallTime>,
}

impl Deletion {
    /// `it was deleted by ana: a typo`.
    pub fn sentence(&self) -> String {
        let by = if self.by.is_empty() { String::new() } else { format!(" by {}", self.by) };
        let reason = if self.reason.is_empty() { String::new() } else { format!(": {}", self.reason) };
        format!("it was deleted{by}{reason}")
    }

    /// The job, if it is this one that the request has deleted.
    ///
    /// # Errors
    /// `Conflict` if it has deleted something else.
    pub fn of_job(&self, job: JobId) -> Result<&DeletedJob, Error> {
        match &self.what {
            Deleted::Job(deleted) if deleted.id == job => Ok(deleted),
            Deleted::Job(_) | Deleted::Dataset { .. } => Err(self.differs()),
        }
    }

    /// The name of a data set, its length and when it was stored, if it is this one that the request has deleted.
    ///
    /// # Errors
    /// `Conflict` if it has deleted something else.
    pub fn dataset(&self, of: Digest) -> Result<(&str, u64, WallTime), Error> {
        match &self.what {
            Deleted::Dataset { digest, name, len, stored } if *digest == of => Ok((name, *len, *stored)),
            Deleted::Job(_) | Deleted::Dataset { .. } => Err(self.differs()),
        }
    }

    fn differs(&self) -> Error {
        let what = match &self.what {
            Deleted::Job(job) => job.id.to_string(),
            Deleted::Dataset { digest, .. } => format!("data set {digest}"),
        };
        Error::conflict(format!("request id {} has deleted {what}: use a new id for something else", self.request_id))
    }
}
