//! What the supervisor is told and asked.

use std::collections::{BTreeMap, BTreeSet};

use ractor::{ActorId, ActorRef, RpcReplyPort};
use tokio::sync::mpsc;

use crate::actors::job::{JobSnapshot, VerbAnswer};
use crate::actors::proxy::ProxyMsg;
use crate::actors::room_report::RoomReport;
use crate::domain::deletion::DeletionRequest;
use crate::domain::entry::Entry;
use crate::domain::verb::Wish;
use crate::domain::wire::{Finished, Follow, Hello, ToWorker};
use crate::domain::{Digest, Error, EtaScore, Instant, JobId, JobSpec, Quota, Quotas, SessionId, TaskNo, WorkerId};
use crate::engine::explain::Explanation;
use crate::engine::job::Whereabouts;
use crate::engine::scale::Load;
use crate::engine::usage::{TaskRoom, Usage};
use crate::engine::{Census, JobFilter, JobRecord, JobView};

use super::deletion::{DatasetUsers, DeletionReply, NoBackup};
use super::insight::OrderAnswer;
use super::status::{JobStatus, WorkerStatus};

/// A job as it comes in, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// What is asked for.
    pub spec: JobSpec,
    /// The client's; empty if it has none.
    pub request_id: String,
    /// Higher goes sooner.
    pub priority: i32,
    /// Most tasks out at once.
    pub max_running: Option<u32>,
    /// Begin paused.
    pub held: bool,
}

/// A worker that waits to be let in.
pub struct Attaching {
    /// What it said of itself.
    pub hello: Hello,
    /// To its stream.
    pub out: mpsc::Sender<ToWorker>,
    /// Its proxy, or why it is not let in.
    pub reply: RpcReplyPort<Result<ActorRef<ProxyMsg>, Error>>,
}

/// A message.
pub enum SupervisorMsg {
    /// Take a job in; answered once it is durable.
    Submit(Box<Submission>, RpcReplyPort<Result<JobStatus, Error>>),
    /// A job is durable.
    Submitted(JobId),
    /// A job as it is now, and which actor says so: one that has failed since is not listened to.
    JobChanged(ActorId, Box<JobView>),
    /// A job's end is durable.
    JobEnded(ActorId, Box<JobSnapshot>),
    /// Let a worker in.
    Attach(Box<Attaching>),
    /// Its attachment is durable.
    Attached(WorkerId, Box<Attaching>),
    /// A session's room.
    Room(RoomReport),
    /// A session is over.
    SessionClosed {
        /// Which.
        session: SessionId,
        /// The worker left in order.
        goodbye: bool,
        /// When its last heartbeat came.
        heard: Instant,
    },
    /// A result of a job that the session's proxy does not know.
    LateResult(SessionId, WorkerId, Box<Finished>),
    /// A person steers a job.
    Verb {
        /// Which.
        job: JobId,
        /// What, and why.
        wish: Wish,
        /// The answer.
        reply: RpcReplyPort<VerbAnswer>,
    },
    /// What a verb would come to now; changes nothing.
    Preview(JobId, Wish, RpcReplyPort<VerbAnswer>),
    /// Remove a job that has ended; answered, with what it was, once that is durable.
    Delete(JobId, DeletionRequest, DeletionReply),
    /// A deletion is durable.
    Deleted(JobId),
    /// Remove a job as soon as it has ended; answered once that wish is durable.
    Doom(JobId, DeletionReply),
    /// Such a wish is durable.
    Doomed(JobId, DeletionReply),
    /// Remove the files of a deleted job.
    RemoveFiles(Box<JobRecord>, NoBackup),
    /// Remove a data set, unless a job needs it.
    DeleteDataset {
        /// Which.
        digest: Digest,
        /// Not even if only jobs that have ended use it.
        unused: bool,
        /// What is written down of it.
        entry: Box<Entry>,
        /// The answer, once that is durable.
        reply: RpcReplyPort<Result<(), Error>>,
    },
    /// The jobs that use these data sets.
    DatasetUsers(BTreeSet<Digest>, RpcReplyPort<BTreeMap<Digest, DatasetUsers>>),
    /// One job.
    Get(JobId, RpcReplyPort<Result<JobStatus, Error>>),
    /// Jobs, newest first, before a number.
    List {
        /// Only these.
        filter: JobFilter,
        /// Only older ones.
        before: Option<JobId>,
        /// At most so many.
        limit: usize,
        /// The answer.
        reply: RpcReplyPort<Vec<JobStatus>>,
    },
    /// One job with its inside.
    Snapshot(JobId, RpcReplyPort<Result<JobSnapshot, Error>>),
    /// Why a job is where it is.
    Explain(JobId, RpcReplyPort<Result<(JobStatus, Explanation), Error>>),
    /// Why a worker gets no tasks, or which it has.
    ExplainWorker(Box<WorkerStatus>, RpcReplyPort<Explanation>),
    /// Where a task is.
    Whereabouts(JobId, TaskNo, RpcReplyPort<Result<Whereabouts, Error>>),
    /// The next hand-outs; changes nothing.
    Order {
        /// At most so many.
        limit: u32,
        /// If that job had this priority.
        what_if: Option<(JobId, i32)>,
        /// The answer.
        reply: RpcReplyPort<OrderAnswer>,
    },
    /// How often ETAs were right, of all jobs.
    EtaScore(RpcReplyPort<EtaScore>),
    /// All workers ever attached.
    Workers(RpcReplyPort<Vec<WorkerStatus>>),
    /// Take no more tasks, or, false, take tasks again.
    Drain(WorkerId, bool, RpcReplyPort<Result<(), Error>>),
    /// Have a worker send what a task prints.
    Follow(WorkerId, Follow, RpcReplyPort<Result<(), Error>>),
    /// A data set may be used by jobs from now on.
    DatasetAdded(crate::domain::Digest),
    /// A data set is deleted.
    DatasetGone(Digest),
    /// What the jobs run and would run, for whoever starts and ends workers.
    Loads(RpcReplyPort<Vec<Load>>),
    /// How many jobs there are, and open tasks.
    Census(RpcReplyPort<Census>),
    /// Give an owner a quota of his own, or take it from him; answered once that is durable.
    SetQuota {
        /// Whom.
        owner: String,
        /// What he may have at once.
        quota: Option<Quota>,
        /// The answer.
        reply: RpcReplyPort<Result<(), Error>>,
    },
    /// How many tasks a job's split may give, by its owner's quota, if he has one.
    TaskRoom(JobId, RpcReplyPort<Option<TaskRoom>>),
    /// What owners have of what is limited, but for data sets, and what they may have.
    Usage(RpcReplyPort<(Quotas, BTreeMap<String, Usage>)>),
    /// Connected workers and their slots.
    Slots(RpcReplyPort<(u32, u32)>),
    /// Somebody watches a job, or nobody any more.
    Watched(JobId, bool),
    /// Tell the watchers what has changed.
    Flush,
    /// Time has passed.
    Tick,
}

impl SupervisorMsg {
    /// Whether jobs or workers may look otherwise after it.
    pub(super) fn changes_what_is_shown(&self) -> bool {
        matches!(
            self,
            Self::Submitted(_)
                | Self::JobChanged(..)
                | Self::JobEnded(..)
                | Self::Attached(..)
                | Self::Room(_)
                | Self::SessionClosed { .. }
                | Self::Deleted(_)
                | Self::Drain(..)
                | Self::DatasetAdded(_)
                | Self::DatasetGone(_)
                | Self::SetQuota { .. }
        )
    }
}
