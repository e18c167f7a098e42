//! The numbers of a store, and what they forbid.

use super::contract::{Appended, BATCH_MAX_BYTES};
use crate::domain::{Epoch, Error};
use crate::limits;

/// The epoch and the numbers of a store: a copy in memory of what is durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ledger {
    /// The epoch now; 0 before the first.
    pub epoch: Epoch,
    /// The last batch; 0 before the first.
    pub last: u64,
    /// The last batch that the snapshot stands for; 0 without one.
    pub covered: u64,
}

impl Ledger {
    /// The epoch after this one.
    pub fn next_epoch(&self, holder: &str) -> Result<Epoch, Error> {
        if holder.len() > limits::NAME_MAX_BYTES {
            return Err(Error::invalid(format!("the holder's name is longer than {} bytes", limits::NAME_MAX_BYTES)));
        }
        let next = self.epoch.0.checked_add(1).ok_or_else(|| Error::corrupt("the store has no epoch left"))?;
        Ok(Epoch(next))
    }

    /// Whether a change of `epoch` may be made now, and batch `seq` of `len` bytes is the next.
    pub fn admit_append(&self, epoch: Epoch, seq: u64, len: usize) -> Result<Appended, Error> {
        if self.is_fenced(epoch)? {
            return Ok(Appended::Fenced);
        }
        if self.last.checked_add(1) != Some(seq) {
            return Err(Error::internal(format!("batch {seq} can't follow batch {}", self.last)));
        }
        admit_len(len)?;
        Ok(Appended::Durable)
    }

    /// Whether a snapshot up to `seq` may be made now.
    pub fn admit_snapshot(&self, epoch: Epoch, seq: u64) -> Result<Appended, Error> {
        if self.is_fenced(epoch)? {
            return Ok(Appended::Fenced);
        }
        if seq > self.last || seq < self.covered {
            let (covered, last) = (self.covered, self.last);
            return Err(Error::internal(format!("no snapshot up to batch {seq}: the store has batches {covered} to {last}")));
        }
        Ok(Appended::Durable)
    }

    /// Whether batches up to `seq` may be dropped now.
    pub fn admit_truncate(&self, epoch: Epoch, seq: u64) -> Result<Appended, Error> {
        if self.is_fenced(epoch)? {
            return Ok(Appended::Fenced);
        }
        if seq > self.covered {
            let covered = self.covered;
            return Err(Error::conflict(format!("batches up to {seq} can't be dropped: the snapshot stands for those up to {covered}")));
        }
        Ok(Appended::Durable)
    }

    fn is_fenced(&self, epoch: Epoch) -> Result<bool, Error> {
        if epoch > self.epoch {
            return Err(Error::internal(format!("epoch {epoch} was never given out: the store is at {}", self.epoch)));
        }
        Ok(epoch < self.epoch)
    }
}

/// Refuses what is too long for one batch or one part of a snapshot.
pub(super) fn admit_len(len: usize) -> Result<(), Error> {
    if len > BATCH_MAX_BYTES {
        return Err(Error::exhausted(format!("a journal batch of {len} bytes is longer than {BATCH_MAX_BYTES} bytes")));
    }
    Ok(())
}
