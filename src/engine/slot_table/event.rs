//! What a slot table is told, and what it asks for.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::wire::{Follow, FromWorker, JobInfo, Lease, ToWorker};
use crate::domain::{Chunk, Epoch, Instant, JobId, SessionId};

/// Something that happened at the worker.
#[derive(Clone, Debug, PartialEq)]
pub enum SlotEvent {
    /// The head said something in this session. The first is Welcome or Refuse.
    Said(SessionId, ToWorker),
    /// The session's stream ended.
    Disconnected(SessionId),
    /// A slot's input is there; or can't be had, and why. `Declined` gives the task back at no cost.
    Prepared {
        /// Which slot.
        slot: usize,
        /// For which attempt, as the slot may have another by now.
        lease: Lease,
        /// How it went.
        how: Preparation,
    },
    /// A slot's process has ended and its result is packed, or could not be started.
    Ended {
        /// Which slot.
        slot: usize,
        /// Which attempt.
        lease: Lease,
        /// Its packed result.
        bytes: u64,
        /// What the slot has started instead, of what was offered.
        next: Option<Lease>,
    },
    /// The worker is to leave, or, false, to stay.
    Drain(bool),
    /// What a task says of this machine; before its Ended or Prepared.
    Machine(Health),
    /// Time has passed.
    Tick,
}

/// A task that may start on any slot that ends one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Which attempt.
    pub lease: Lease,
    /// What it reads.
    pub chunk: Option<Chunk>,
    /// The graphics processors that are its own, as for [`SlotEffect::Start`].
    pub gpus: Option<Vec<u32>>,
}

/// What a task says of the machine it ran on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It was taken through: started, and its result kept.
    Sound,
    /// It is given back, since the machine failed: a full disk, a broken one.
    Failed,
}

/// How the preparation of a slot went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preparation {
    /// Ready to start.
    Ready,
    /// The task can't be started here; its result says why.
    Failed,
    /// The head could not be reached, or the like: give the task back.
    Declined,
}

/// What the worker must do.
#[derive(Clone, Debug, PartialEq)]
pub enum SlotEffect {
    /// Tell the head, in the present session.
    Say(FromWorker),
    /// Remember the job, for its runs.
    Learn(Arc<JobInfo>),
    /// Forget the job: no run of it will come.
    Unlearn(JobId),
    /// Fetch a slot's input.
    Prepare {
        /// Which slot.
        slot: usize,
        /// For which attempt.
        lease: Lease,
        /// What.
        chunk: Option<Chunk>,
    },
    /// Stop fetching: the task was dropped.
    CancelPrepare {
        /// Which slot.
        slot: usize,
    },
    /// Start the process.
    Start {
        /// In which slot.
        slot: usize,
        /// Which attempt.
        lease: Lease,
        /// The graphics processors that are its own; none if the machine has none at all.
        gpus: Option<Vec<u32>>,
    },
    /// Stop the process: TERM, grace, KILL of the tree.
    Stop {
        /// In which slot.
        slot: usize,
        /// Which attempt.
        lease: Lease,
        /// From TERM to KILL.
        grace: Duration,
    },
    /// Let the process, and its time limit, stand still; or go on.
    Freeze {
        /// In which slot.
        slot: usize,
        /// Which attempt.
        lease: Lease,
        /// Whether it stands still.
        frozen: bool,
    },
    /// Make a failed result for an attempt that could not be prepared.
    Fail {
        /// Which attempt.
        lease: Lease,
    },
    /// Send a kept result to the head.
    Deliver(Lease),
    /// Drop a kept result.
    Forget(Lease),
    /// Send what a task prints to one who follows it. Nothing is decided by that.
    Follow(Follow),
    /// Keep this epoch on disk: no lower one is obeyed.
    KeepEpoch(Epoch),
    /// End the session, unread.
    EndSession(SessionId),
    /// A tick is wanted then.
    WakeAt(Instant),
    /// The machine has failed: it takes no task for so long.
    Rest(Duration),
    /// Nothing is left to do: leave.
    Leave,
}
