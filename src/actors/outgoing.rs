//! A worker's results on their way to the head: kept until it has acknowledged them; of those in files only so many bytes ride in messages of a
//! session, the others go before.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::domain::wire::{Finished, Lease, ResultBytes};
use crate::domain::{Attempt, Error, JobId, Outcome, ResultRef, TaskNo, WorkerId};
use crate::limits::RESULTS_RIDING_MAX_BYTES;

use super::data_port::ResultHeader;
use super::result_box::{KeptBytes, KeptResult};

/// An attempt, whatever epoch its lease is of.
pub(super) type Key = (JobId, TaskNo, Attempt);

pub(super) fn key(lease: &Lease) -> Key {
    (lease.job, lease.no, lease.attempt)
}

/// See the module.
#[derive(Default)]
pub(super) struct Outgoing {
    results: BTreeMap<Key, KeptResult>,
    /// The sum of theirs that ride.
    riding_bytes: usize,
}

/// How a result goes to the head.
pub(super) enum Delivery {
    /// In a message.
    Say(Box<Finished>),
    /// Its bytes first, from this file.
    Upload(Box<ResultHeader>, PathBuf),
    /// Not at all: it can't be read again.
    Unreadable(Error),
}

impl Outgoing {
    /// A result that is to be kept.
    pub fn keep(&mut self, lease: &Lease, result: KeptResult) {
        self.results.insert(key(lease), result);
    }

    /// One that the head has acknowledged, or does not want.
    pub fn forget(&mut self, lease: &Lease) {
        self.rides_no_more(lease);
        self.results.remove(&key(lease));
    }

    /// What rode in the last session is offered again in this one. A head on other files (a backup) may not have what was stored of ours.
    pub fn begins_anew(&mut self, of_same_files: bool) {
        for kept in self.results.values_mut() {
            kept.riding_bytes = 0;
            kept.receipt = kept.receipt.filter(|_| of_same_files);
        }
        self.riding_bytes = 0;
    }

    /// How one is to go now; none if it is not kept any more.
    pub fn next(&mut self, lease: Lease, worker: WorkerId) -> Option<Delivery> {
        self.rides_no_more(&lease);
        let kept = self.results.get_mut(&key(&lease))?;
        // Such a file was written a moment ago; and at a reconnection the room for what rides bounds what is read before a heartbeat.
        match (kept.finished(lease, RESULTS_RIDING_MAX_BYTES - self.riding_bytes), &kept.bytes) {
            (Ok(Some(finished)), bytes) => {
                if let (KeptBytes::Disk(_), ResultBytes::Inline(bytes)) = (bytes, &finished.bytes) {
                    kept.riding_bytes = bytes.len();
                    self.riding_bytes += bytes.len();
                }
                Some(Delivery::Say(Box::new(finished)))
            }
            (Ok(None), KeptBytes::Disk(file)) => Some(Delivery::Upload(Box::new(kept.header(lease, worker)), file.path().to_owned())),
            (Ok(None), KeptBytes::Memory(_)) => None,
            (Err(error), _) => Some(Delivery::Unreadable(error)),
        }
    }

    /// The head has its bytes.
    pub fn uploaded(&mut self, lease: &Lease, receipt: ResultRef) {
        if let Some(kept) = self.results.get_mut(&key(lease)) {
            kept.receipt = Some(receipt);
        }
    }

    /// The head does not take its bytes; whether that is for good: then it goes without them. None if it is not kept any more.
    pub fn refused(&mut self, lease: &Lease, error: &Error) -> Option<bool> {
        self.rides_no_more(lease);
        self.results.get_mut(&key(lease)).map(|kept| kept.refused(error))
    }

    /// It can't be read again: its attempt is lost; false if the head wants nothing of it any more, and the file is gone for that.
    pub fn lose(&mut self, lease: &Lease) -> bool {
        self.rides_no_more(lease);
        let Some(kept) = self.results.get_mut(&key(lease)) else { return false };
        *kept = KeptResult::without_bytes(Outcome::Lost);
        true
    }

    fn rides_no_more(&mut self, lease: &Lease) {
        if let Some(kept) = self.results.get_mut(&key(lease)) {
            self.riding_bytes -= std::mem::take(&mut kept.riding_bytes);
        }
    }
}
