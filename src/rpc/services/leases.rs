//! What each worker may read and send: kept while its stream goes by, asked when it fetches data or sends a result.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::wire::{FromWorker, Lease, ToWorker};
use crate::domain::{Digest, Error, PrincipalId};
use crate::engine::leased::Leased;
use crate::limits::WORKERS_MAX;

/// Of all workers, by their principals. Cheap to clone.
#[derive(Clone, Default)]
pub struct Leases(Arc<Mutex<BTreeMap<PrincipalId, Seat>>>);

#[derive(Clone, Default)]
struct Seat {
    leased: Arc<Mutex<Leased>>,
    /// Of this principal, which go on.
    sessions: usize,
}

/// The leases of one session; it is noted when this is dropped that the session has ended.
pub(super) struct Session {
    leases: Leases,
    worker: PrincipalId,
    leased: Arc<Mutex<Leased>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Leases {
    /// A session of a worker begins.
    pub(super) fn begin(&self, worker: PrincipalId) -> Session {
        let mut seats = lock(&self.0);
        // Whoever is gone for good is forgotten when there are too many; one who comes back then begins anew, as after a start of the head.
        if seats.len() > 2 * WORKERS_MAX {
            seats.retain(|_, seat| seat.sessions > 0);
        }
        let seat = seats.entry(worker).or_default();
        seat.sessions += 1;
        Session { leases: self.clone(), worker, leased: seat.leased.clone() }
    }

    fn of(&self, worker: PrincipalId) -> Result<Arc<Mutex<Leased>>, Error> {
        let seat = lock(&self.0).get(&worker).map(|seat| seat.leased.clone());
        seat.ok_or_else(|| Error::unavailable("this worker is not connected: what is leased to it is known once it is"))
    }

    /// Whether a worker may read these ranges of a data set; none: all of it.
    ///
    /// # Errors
    /// `Denied`; `Unavailable` before it has connected.
    pub(super) fn may_read(&self, worker: PrincipalId, digest: Digest, ranges: &[(u64, u64)]) -> Result<(), Error> {
        let leased = self.of(worker)?;
        let may = lock(&leased).may_read(digest, ranges);
        let denied = || Error::denied(format!("data set {digest}: this worker has no task that needs what it asks for"));
        may.then_some(()).ok_or_else(denied)
    }

    /// Whether a worker may send the result of this attempt.
    ///
    /// # Errors
    /// As [`Leased::may_send`]; `Unavailable` before it has connected.
    pub(super) fn may_send(&self, worker: PrincipalId, lease: &Lease) -> Result<(), Error> {
        let leased = self.of(worker)?;
        lock(&leased).may_send(lease)
    }
}

impl Session {
    /// Before the message goes out.
    pub(super) fn sent(&self, message: &ToWorker) {
        lock(&self.leased).sent(message);
    }

    /// When the message has come.
    pub(super) fn said(&self, message: &FromWorker) {
        lock(&self.leased).said(message);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(seat) = lock(&self.leases.0).get_mut(&self.worker) {
            seat.sessions = seat.sessions.saturating_sub(1);
        }
    }
}
