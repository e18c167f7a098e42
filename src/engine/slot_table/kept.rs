//! Results that wait on the worker until the head has acknowledged them.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::wire::Lease;
use crate::domain::{Attempt, JobId, TaskNo};
use crate::limits;

/// What a worker may keep, and for how long, while the head takes nothing from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Results that wait; with so many no more tasks are taken.
    pub results: usize,
    /// Their bytes, likewise.
    pub result_bytes: u64,
    /// How long it runs on what it has without a head; then it stops it. Results stay.
    pub alone: Duration,
    /// How long it stays with nothing to do; then it leaves. None: for ever.
    pub idle: Option<Duration>,
}

impl Default for Allowance {
    fn default() -> Self {
        Self { results: limits::RESULTS_KEPT_MAX, result_bytes: limits::RESULTS_KEPT_MAX_BYTES, alone: limits::ALONE_MAX, idle: None }
    }
}

#[derive(Clone, Copy, Debug)]
struct Kept {
    lease: Lease,
    bytes: u64,
}

/// By attempt.
#[derive(Clone, Debug, Default)]
pub(super) struct KeptResults {
    results: BTreeMap<(JobId, TaskNo, Attempt), Kept>,
    /// Of all of them: kept, not counted.
    bytes: u64,
}

fn key(lease: &Lease) -> (JobId, TaskNo, Attempt) {
    (lease.job, lease.no, lease.attempt)
}

impl KeptResults {
    /// Keeps one, in the place of an earlier one of the same attempt.
    pub fn put(&mut self, lease: Lease, bytes: u64) {
        self.remove(&lease);
        self.bytes = self.bytes.saturating_add(bytes);
        self.results.insert(key(&lease), Kept { lease, bytes });
    }

    /// Drops one; whether it was there.
    pub fn remove(&mut self, lease: &Lease) -> bool {
        let Some(kept) = self.results.remove(&key(lease)) else { return false };
        self.bytes = self.bytes.saturating_sub(kept.bytes);
        true
    }

    /// Holds one under another lease of the same attempt; whether it is there.
    pub fn adopt(&mut self, lease: Lease) -> bool {
        self.results.get_mut(&key(&lease)).map(|kept| kept.lease = lease).is_some()
    }

    /// Under which leases they are held.
    pub fn leases(&self) -> impl Iterator<Item = Lease> + '_ {
        self.results.values().map(|kept| kept.lease)
    }

    /// Whether no more may come.
    pub fn fills(&self, allowance: &Allowance) -> bool {
        self.results.len() >= allowance.results || self.bytes >= allowance.result_bytes
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.results.is_empty()
    }
}
