//! The whole vocabulary between head and worker, on one page. Each direction of a session is an ordered stream.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::chunk::Chunk;
use super::ids::{Attempt, Epoch, FenceId, JobId, SessionId, TaskNo, WorkerId};
use super::job::JobSpec;
use super::outcome::{Outcome, ResultRef, Timing};
use super::resources::Resources;
use super::result::Packed;
use super::room::Room;
use super::sandbox::Confines;
use super::time::Instant;

/// The right of one worker to run one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Lease {
    /// The job.
    pub job: JobId,
    /// The task.
    pub no: TaskNo,
    /// Which try.
    pub attempt: Attempt,
    /// The head's start that gave it, or adopted it.
    pub epoch: Epoch,
}

impl Lease {
    /// The same attempt, whatever epoch it is held under.
    pub fn same_attempt(&self, other: &Self) -> bool {
        (self.job, self.no, self.attempt) == (other.job, other.no, other.attempt)
    }
}

/// One task on its way to a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Grows by one from run to run in a session.
    pub seq: u64,
    /// The right to run it.
    pub lease: Lease,
    /// Its input, when the job has a data set.
    pub chunk: Option<Chunk>,
}

/// What a worker must know of a job before its first task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobInfo {
    /// Which.
    pub job: JobId,
    /// As submitted.
    pub spec: JobSpec,
    /// How many tasks it has.
    pub total: u32,
}

/// What to do with something held from an earlier session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on, under the new epoch.
    Adopt,
    /// The same, but stand still: its job is frozen.
    AdoptFrozen,
    /// Stop it, and forget it.
    Stop,
    /// Its result is wanted: send it.
    Send,
}

/// What a task prints to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Printed {
    /// Its standard output.
    Stdout,
    /// Its standard error.
    Stderr,
}

/// From where on an output is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FromWhere {
    /// A byte.
    Offset(u64),
    /// So many bytes before its present end.
    Last(u64),
}

/// Somebody follows what a started task prints. The bytes don't come in the session, where they would delay other answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Follow {
    /// The head's number for it, which the bytes bear. Random, so that no other head takes it for its own.
    pub id: u64,
    /// Whose.
    pub lease: Lease,
    /// Which output.
    pub printed: Printed,
    /// From where on.
    pub from: FromWhere,
}

/// A piece of what a task prints, for one who follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputPiece {
    /// For whom.
    pub follow: u64,
    /// Whose.
    pub lease: Lease,
    /// Where in the output it begins.
    pub offset: u64,
    /// Bytes right before it that he has missed.
    pub left_out: u64,
    /// At most [`crate::limits::FOLLOW_PIECE_MAX_BYTES`]; none: whether he is still there.
    pub data: Bytes,
    /// No more comes, and why.
    pub over: Option<Over>,
}

/// Why no more comes of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// The attempt has ended, and had printed so many bytes.
    Ended(u64),
    /// The worker does not run that attempt.
    NotHere,
    /// The worker sends too many already.
    TooMany,
}

/// From head to worker.
#[derive(Clone, Debug, PartialEq)]
pub enum ToWorker {
    /// First of all: who the worker is, and under which epoch.
    Welcome {
        /// Its number.
        worker: WorkerId,
        /// The head's start.
        epoch: Epoch,
        /// This connection.
        session: SessionId,
        /// Of the Hello: the lease runs from then.
        stamp: Instant,
    },
    /// The session is not accepted; the reason is for a person.
    Refuse(String),
    /// About something held.
    Verdict(Lease, Verdict),
    /// Before the first run of a job.
    Job(Arc<JobInfo>),
    /// The job has ended: forget what [`ToWorker::Job`] said of it.
    JobGone(JobId),
    /// Start these, each on a free slot, or on the next one where that was announced; or decline.
    Runs(Vec<Run>),
    /// Drop what of the job has not started, and say what had.
    Fence(FenceId, JobId),
    /// Give back what has no slot yet.
    Recall,
    /// Stop a running attempt: TERM, grace, KILL of the whole tree.
    Stop(Lease, Duration),
    /// Let a running attempt stand still (its whole tree, and its time limit), or go on.
    Freeze(Lease, bool),
    /// These results are durable: forget them.
    Ack(Vec<Lease>),
    /// Take no more tasks, and leave when empty; or, false, take tasks again.
    Drain(bool),
    /// The head has heard the worker's heartbeat of this stamp: its lease runs from then, by its own clock.
    Heartbeat(Instant),
    /// Send what a task prints, by a call of its own. Only to a worker that has said that it can ([`Hello::follows`]).
    Follow(Follow),
}

/// What a worker holds when it connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The attempt.
    pub lease: Lease,
    /// Whether it has ended and its result waits.
    pub finished: bool,
}

/// Which of a worker's connections: they only grow. A worker counts its starts durably, in its folder, and its connections since.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dial {
    /// How many times the worker has been started; from 1.
    pub start: u64,
    /// How many times it has dialled since; from 1.
    pub number: u64,
}

/// A worker's first message.
#[derive(Clone, Debug, PartialEq)]
pub struct Hello {
    /// Made once, kept in the worker's folder.
    pub key: String,
    /// Its machine.
    pub host: String,
    /// How many tasks it runs at once.
    pub slots: u32,
    /// All it has.
    pub total: Resources,
    /// What its tasks are confined by; none: it is of a version that does not say.
    pub confines: Option<Confines>,
    /// Whether it knows [`ToWorker::Follow`].
    pub follows: bool,
    /// The highest epoch it has obeyed.
    pub epoch_seen: Epoch,
    /// The connection that this opens.
    pub dial: Dial,
    /// The worker's own clock when it said this.
    pub stamp: Instant,
    /// What it runs, and results not acknowledged.
    pub held: Vec<Held>,
}

/// Where the packed bytes of a result are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResultBytes {
    /// Here; at most [`crate::limits::RESULT_INLINE_MAX_BYTES`].
    Inline(Vec<u8>),
    /// Already durable in the job's segment.
    Stored(ResultRef),
}

/// The end of an attempt, as its worker tells it.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    /// Which attempt.
    pub lease: Lease,
    /// How it ended.
    pub outcome: Outcome,
    /// When.
    pub timing: Timing,
    /// What it left.
    pub packed: Packed,
    /// Where that is.
    pub bytes: ResultBytes,
}

/// Whether a worker takes tasks at all; for people, as its room says the same in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// On every free slot.
    #[default]
    Serving,
    /// None any more: it leaves when it is empty.
    Leaving,
    /// None for a while, or one to try: its machine has failed a task.
    Resting,
}

/// From worker to head.
#[derive(Clone, Debug, PartialEq)]
pub enum FromWorker {
    /// First of all.
    Hello(Hello),
    /// Absolute: there is so much room now, with all runs up to `last_run_seen` taken in. None is Busy.
    Room {
        /// For tasks.
        room: Room,
        /// The highest run number taken in or declined.
        last_run_seen: u64,
    },
    /// Absolute: what it stands as from now on; without a word it is serving.
    Standing(Standing),
    /// The processes of these are started.
    Started(Vec<Lease>),
    /// Not taken, or given back before its start; costs no attempt.
    Declined(Lease),
    /// The answer to a fence.
    Fenced {
        /// Which fence.
        fence: FenceId,
        /// Had started.
        started: Vec<Lease>,
        /// Will never start.
        dropped: Vec<Lease>,
    },
    /// An attempt has ended.
    Finished(Box<Finished>),
    /// The worker lives; with its own clock's time, which the head only gives back.
    Heartbeat(Instant),
    /// It leaves, with nothing in its hands.
    Goodbye,
}
