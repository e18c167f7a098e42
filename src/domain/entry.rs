//! What the journal records: facts in the past tense. Replaying them gives the head's durable state back.
//!
//! These types are persisted: a change of their bytes bumps [`ENTRY_VERSION`] and keeps the old reader.

use serde::{Deserialize, Serialize};

use super::deletion::Deletion;
use super::eta_score::EtaScore;
use super::identity::IdentityEntry;
use super::ids::{Attempt, Digest, JobId, TaskNo, WorkerId};
use super::image::Image;
use super::job::{JobSpec, JobState};
use super::outcome::TaskEnd;
use super::policy::Policy;
use super::quota::Quota;
use super::time::WallTime;
use super::verb::{Change, Verb};
use super::worker::WorkerInfo;

/// Of the bytes of [`Entry`] and of snapshots.
pub const ENTRY_VERSION: u8 = 1;

/// One fact about the head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry {
    /// Bytes were stored under their digest.
    DatasetAdded {
        /// The name of the bytes.
        digest: Digest,
        /// The file's name.
        name: String,
        /// How many bytes.
        len: u64,
        /// When.
        at: WallTime,
    },
    /// A job was accepted, as the first heads wrote it: read, and not written any more.
    JobSubmitted(Box<Submitted>),
    /// About one job.
    Job(JobId, JobEntry),
    /// A worker attached for the first time, or came back, or changed.
    WorkerAttached(WorkerInfo),
    /// A worker left in order, or was given up.
    WorkerLeft(WorkerId),
    /// A job was accepted; its policy beside it.
    JobAccepted(Box<Submitted>, Box<Policy>),
    /// A job that had ended was removed, with its bundle. Its number is never used again.
    JobDeleted {
        /// Which.
        job: JobId,
        /// When: its request id is known for a while after.
        at: WallTime,
    },
    /// Stored bytes were removed.
    DatasetDeleted {
        /// The name of the bytes.
        digest: Digest,
    },
    /// A job or a data set was removed, by a request that may come again.
    Deleted(Box<Deletion>),
    /// About who may do what.
    Identity(IdentityEntry),
    /// Stored bytes belong to one more owner.
    DatasetOwned {
        /// The name of the bytes.
        digest: Digest,
        /// The owner's name.
        owner: String,
    },
    /// One who owned stored bytes has given them up; others own them still.
    DatasetDisowned {
        /// The name of the bytes.
        digest: Digest,
        /// The owner's name.
        owner: String,
    },
    /// An owner was given a quota of his own, or lost it.
    QuotaSet {
        /// The owner's name, or [`super::quota::EVERYBODY`].
        owner: String,
        /// What he may have at once.
        quota: Option<Quota>,
    },
    /// A job was accepted whose tasks run in an image; its policy and the image beside it.
    JobAcceptedWithImage(Box<Submitted>, Box<Policy>, Image),
}

impl Entry {
    /// A job was accepted.
    pub fn accepted(mut submitted: Submitted) -> Self {
        let policy = Box::new(std::mem::take(&mut submitted.spec.policy));
        match submitted.spec.image.take() {
            None => Self::JobAccepted(Box::new(submitted), policy),
            Some(image) => Self::JobAcceptedWithImage(Box::new(submitted), policy, image),
        }
    }
}

/// A job as accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submitted {
    /// Its number.
    pub job: JobId,
    /// What was asked for.
    pub spec: JobSpec,
    /// Of the client; empty if it sent none.
    pub request_id: String,
    /// Its place in the order.
    pub priority: i32,
    /// Most tasks out at once.
    pub max_running: Option<u32>,
    /// Submitted paused.
    pub held: bool,
    /// When.
    pub at: WallTime,
}

/// One fact about a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobEntry {
    /// It has so many tasks.
    Split {
        /// How many.
        total: u32,
    },
    /// A person steered it.
    Controlled {
        /// Grows with every verb, so that an old one can't overtake a newer.
        version: u64,
        /// What was said.
        verb: Verb,
        /// Why, in the person's words.
        reason: String,
        /// When.
        at: WallTime,
    },
    /// Tasks below the mark may have been handed out.
    Marked {
        /// The first task number that has not.
        mark: u32,
    },
    /// An attempt failed, and the task will be tried again.
    AttemptFailed {
        /// The task.
        no: TaskNo,
        /// The attempt that failed.
        attempt: Attempt,
    },
    /// A task reached its end within the round.
    TaskEnded(TaskEnd),
    /// The first task started.
    Began {
        /// When.
        at: WallTime,
    },
    /// The job reached its final state.
    Ended {
        /// Which.
        state: JobState,
        /// Why, for a person; empty if it speaks for itself.
        reason: String,
        /// When.
        at: WallTime,
    },
    /// A task that failed for good had more attempts than the one that counted: the next round numbers its own from above.
    AttemptsUsed {
        /// The highest.
        up_to: Attempt,
    },
    /// An attempt was lost with its worker: no failure of the task's own, until it is one too many.
    AttemptLost {
        /// The task.
        no: TaskNo,
        /// The attempt.
        attempt: Attempt,
        /// The worker.
        worker: WorkerId,
    },
    /// What is not done runs again, as [`Verb::Retry`] says, and not as before.
    RetriedWith {
        /// Grows with every verb.
        version: u64,
        /// Of the client's request id.
        request: u128,
        /// What is different.
        change: Box<Change>,
        /// Why.
        reason: String,
        /// When.
        at: WallTime,
    },
    /// It is to be removed as soon as it has ended.
    Doomed,
    /// Who said the verb of this version; behind it.
    SaidBy {
        /// The verb's.
        version: u64,
        /// Who.
        by: String,
    },
    /// Of the round that has ended: how often its ETA was right. Behind the end.
    EtaScored(EtaScore),
}
