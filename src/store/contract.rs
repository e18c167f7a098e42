//! What every store promises.

use crate::domain::{Epoch, Error};

/// The longest journal batch, and the longest part of a snapshot, in bytes.
pub const BATCH_MAX_BYTES: usize = 8 << 20;

/// The head's journal: numbered batches of bytes, a snapshot that stands for the oldest of them, and an epoch.
///
/// Batches are numbered from 1 without gaps. Calls block on the disk. After a failed write or sync a store refuses everything: what is on the
/// disk is unknown then, and trying again may report success for bytes that are gone. The head has to stop and start again.
pub trait Store: Send {
    /// Begins a new epoch, one above the last, durable before it is returned. `holder` says who, for people.
    ///
    /// From then on appends of earlier epochs are [`Appended::Fenced`].
    fn acquire(&mut self, holder: &str) -> Result<Epoch, Error>;

    /// The latest snapshot, and all batches after it. `Corrupt`, naming the batch, if one of them is missing or damaged.
    fn load(&mut self) -> Result<Loaded, Error>;

    /// Adds batch `seq`, which must be the last one's number plus one. Durable when it returns so.
    ///
    /// `Exhausted` above [`BATCH_MAX_BYTES`]; `Internal` for another number, or an epoch that was never given out.
    fn append(&mut self, epoch: Epoch, seq: u64, batch: &[u8]) -> Result<Appended, Error>;

    /// Replaces the snapshot by one that stands for all batches up to `seq`: written beside the old one, and in its place, atomically and durably,
    /// when this returns. `parts` come back from [`Store::load`] as they are, each at most [`BATCH_MAX_BYTES`].
    fn snapshot(&mut self, epoch: Epoch, seq: u64, parts: &mut dyn Iterator<Item = Vec<u8>>) -> Result<Appended, Error>;

    /// Drops the batches up to `up_to_seq`; `Conflict` where the snapshot does not stand for them.
    fn truncate(&mut self, epoch: Epoch, up_to_seq: u64) -> Result<Appended, Error>;
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Appended {
    /// It survives a loss of power.
    Durable,
    /// Refused, without a trace: a later epoch has begun. The caller is no longer the head.
    Fenced,
}

/// What a head starts from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// The number of the last batch that the snapshot stands for, and its parts.
    pub snapshot: Option<(u64, Vec<Vec<u8>>)>,
    /// Every batch after the snapshot, with its number, in order.
    pub tail: Vec<(u64, Vec<u8>)>,
}
