//! How a worker's actors get and give bulk data, without knowing how it travels.

use std::path::PathBuf;
use std::pin::Pin;

use bytes::Bytes;

use crate::domain::wire::{Lease, OutputPiece};
use crate::domain::{Digest, Error, Outcome, Packed, ResultRef, Timing, WorkerId};

/// A future that can be moved between threads.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What goes before the bytes of a large result.
#[derive(Clone, Debug)]
pub struct ResultHeader {
    /// Which attempt.
    pub lease: Lease,
    /// Who ran it.
    pub worker: WorkerId,
    /// How it ended.
    pub outcome: Outcome,
    /// When.
    pub timing: Timing,
    /// What it left.
    pub packed: Packed,
}

/// Why a transfer failed: whose fault it is decides what becomes of the task.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// The head refuses, or can't be reached.
    #[error(transparent)]
    Head(#[from] Error),
    /// This machine could not read or write a file of its own.
    #[error(transparent)]
    Here(Error),
}

/// The head's stores, from a worker. On connections of its own, so that bulk data can't delay a kill.
pub trait DataPort: Send + Sync {
    /// Writes byte ranges `(offset, len)` of a data set one behind the other into a new file; without any, all of it. Returns the length.
    fn fetch(&self, digest: Digest, ranges: Vec<(u64, u64)>, to: PathBuf) -> BoxFuture<Result<u64, TransferError>>;

    /// A byte range `(offset, len)` of a data set, of a megabyte at most.
    fn read(&self, digest: Digest, range: (u64, u64)) -> BoxFuture<Result<Bytes, TransferError>>;

    /// Gives a result's packed bytes to the head; returns where they are once they are durable.
    fn upload(&self, header: ResultHeader, from: PathBuf) -> BoxFuture<Result<ResultRef, TransferError>>;

    /// Gives a piece of what a task prints to the head; returns once the next may come: whether anybody wants it.
    fn give_output(&self, piece: OutputPiece) -> BoxFuture<Result<bool, TransferError>>;
}
