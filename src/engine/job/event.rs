//! What a job is told, and what it wants done.

use std::time::Duration;

use crate::domain::entry::JobEntry;
use crate::domain::verb::{VerbReply, Wish};
use crate::domain::wire::{Lease, Verdict};
use crate::domain::{Attempt, FenceId, GrantId, Instant, JobState, Outcome, ResultRef, SessionId, TaskNo, Timing, WallTime, WorkerId};

/// Something that happened to the job.
#[derive(Clone, Debug, PartialEq)]
pub enum JobEvent {
    /// Its data set was split into so many tasks.
    SplitDone(u32),
    /// Its data set could not be split; why, for a person.
    SplitFailed(String),
    /// The supervisor gives it slots of one worker. Every grant is answered by one [`JobEffect::Deliver`].
    Granted {
        /// Which grant.
        grant: GrantId,
        /// Of which session.
        session: SessionId,
        /// Of which worker.
        worker: WorkerId,
        /// How many slots.
        slots: u32,
    },
    /// A worker started these attempts' processes.
    Started(SessionId, Vec<Lease>),
    /// These will not start: declined by the worker, or never sent by the session.
    Returned(SessionId, Vec<Lease>),
    /// A worker answered a fence.
    Fenced {
        /// Which one.
        fence: FenceId,
        /// In which session.
        session: SessionId,
        /// Had started.
        started: Vec<Lease>,
        /// Will never start.
        dropped: Vec<Lease>,
    },
    /// An attempt ended; its result lies in the segment.
    Finished {
        /// Through which session the news came.
        session: SessionId,
        /// Of which worker.
        worker: WorkerId,
        /// Which attempt.
        lease: Lease,
        /// How.
        outcome: Outcome,
        /// When.
        timing: Timing,
        /// Where its record lies.
        result: ResultRef,
    },
    /// A session ended without a goodbye; when its last heartbeat came.
    SessionLost(SessionId, Instant),
    /// A worker reconnected and says that it holds this from before.
    Claimed {
        /// The new session.
        session: SessionId,
        /// The worker.
        worker: WorkerId,
        /// What it holds, under its old epoch.
        lease: Lease,
        /// Whether it has ended.
        finished: bool,
    },
    /// This machine was built anew while the head lived on: a live session has sent this attempt to its worker, and not heard of its start.
    /// What had started, or ended unacknowledged, the session claims for its worker.
    Kept {
        /// The session.
        session: SessionId,
        /// Its worker.
        worker: WorkerId,
        /// What was sent.
        lease: Lease,
    },
    /// The record of a task that took down too many workers lies in the segment.
    Poisoned {
        /// The task.
        no: TaskNo,
        /// Where its record lies.
        result: ResultRef,
    },
    /// A worker has claimed all that it holds of this job, in this session.
    WorkerReported(WorkerId, SessionId),
    /// The re-attach window of this machine is over: it began when the machine was made of the journal.
    RecoveryOver,
    /// Everything up to this number is durable.
    Durable(u64),
    /// A person steers the job.
    Verb {
        /// To tell replies apart.
        ticket: u64,
        /// What, and why.
        wish: Wish,
    },
    /// Time has passed.
    Tick,
}

/// Something to be done for the job.
#[derive(Clone, Debug, PartialEq)]
pub enum JobEffect {
    /// Answer a grant with these attempts; none returns all its slots.
    Deliver {
        /// The grant.
        grant: GrantId,
        /// To which session.
        session: SessionId,
        /// At most as many as slots were granted.
        runs: Vec<(TaskNo, Attempt)>,
    },
    /// Ask a session what of this job has started.
    Fence(SessionId, FenceId),
    /// Stop a running attempt.
    Stop(SessionId, Lease, Duration),
    /// Let a running attempt stand still, or go on.
    Freeze(SessionId, Lease, bool),
    /// Store a record that says that the task took down so many workers; answered by [`JobEvent::Poisoned`].
    Poison {
        /// The task.
        no: TaskNo,
        /// The last attempt.
        attempt: Attempt,
        /// Where that ran.
        worker: WorkerId,
        /// How many.
        workers: u32,
    },
    /// Note that an attempt went down with its worker, for those who want to know what became of the task.
    NoteLost {
        /// The task.
        no: TaskNo,
        /// The attempt.
        attempt: Attempt,
        /// The worker.
        worker: WorkerId,
        /// When it began, by the head's clock, if that is known.
        began: Option<WallTime>,
    },
    /// A claim's answer.
    Verdict(SessionId, Lease, Verdict),
    /// The result is durable, or not wanted: the worker may forget it.
    Ack(SessionId, Lease),
    /// Make this durable; answered by [`JobEvent::Durable`] with the number, in order.
    Persist(u64, JobEntry),
    /// Answer a verb.
    Reply(u64, Result<VerbReply, VerbError>),
    /// Send a [`JobEvent::Tick`] not before this time.
    Wake(Instant),
    /// A task failed for good; for watchers.
    TaskFailed(TaskNo, Outcome),
    /// The end is durable.
    Ended(JobState),
}

/// A verb that the state forbids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerbError {
    /// The state it met.
    pub state: JobState,
    /// The verb's name.
    pub verb: &'static str,
    /// It was a retry that is to be different, of a job that has not ended.
    pub too_early: bool,
}

impl VerbError {
    /// The refusal as a person reads it.
    pub fn error(&self, job: crate::domain::JobId) -> crate::domain::Error {
        let verb = self.verb;
        crate::domain::Error::conflict(match self.state {
            state if self.too_early => format!("{job} is {state}: what its tasks need, and run, can be changed once it has ended"),
            JobState::Finishing => format!("{job} is ending: `{verb}` comes too late"),
            JobState::Killed if verb == "retry" => format!("{job} was killed: submit it again"),
            state if verb == "retry" => {
                let has = if state.is_final() { "has" } else { "is" };
                format!("{job} {has} {state}: it has no failed tasks to run again")
            }
            state => format!("{job} has ended ({state}): `{verb}` comes too late"),
        })
    }
}
