//! A worker that is kept free for a job whose tasks have waited long for room.

use std::cmp::Reverse;

use super::Roster;
use crate::domain::{Instant, JobId, Resources, SessionId};
use crate::engine::rank;
use crate::engine::view::JobView;
use crate::limits;

/// A worker that is kept free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub job: JobId,
    pub session: SessionId,
    pub since: Instant,
}

impl Roster {
    /// Keeps a worker free for the first job that has waited long enough: one that has all its tasks ask for, but not now.
    pub(super) fn reserve(&mut self, now: Instant) {
        self.reserved = self.reserved_by(now);
    }

    fn reserved_by(&self, now: Instant) -> Option<Kept> {
        // Room that an owner's quota keeps from it is no room that it waits for.
        let waiting = || self.jobs.values().filter(|job| job.overtaken_since.is_some() && self.quota_met(&job.view.spec.owner).is_none());
        let goes_on = |kept: &Kept| waiting().any(|job| job.view.id == kept.job) && self.seats.contains_key(&kept.session);
        if let Some(kept) = self.reserved.filter(goes_on) {
            return Some(kept);
        }
        let rules = self.rules();
        let wait = self.reserve_after.unwrap_or(limits::RESERVE_AFTER);
        let long = |since: Instant| now.since(since) >= wait;
        let mut starved: Vec<&JobView> = waiting().filter(|job| job.overtaken_since.is_some_and(long)).map(|job| &job.view).collect();
        starved.sort_by_key(|view| rank::key(view, &self.busy, rules));
        starved.into_iter().find_map(|view| {
            let session = self.seat_to_keep_free(&view.spec.needs)?;
            Some(Kept { job: view.id, session, since: now })
        })
    }

    fn seat_to_keep_free(&self, needs: &Resources) -> Option<SessionId> {
        // Where it would fit at once only a slot is missing, or the worker is leaving.
        let fitting = self.seats.iter().filter(|(_, seat)| needs.fits(&seat.total) && !needs.fits(&seat.free));
        fitting.max_by_key(|(session, seat)| (seat.room, Reverse(**session))).map(|(session, _)| *session)
    }
}
