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
        let waiting = || self.jobs.values().filter(|job| job.overtaken_since.is_some());
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

    /// The worker that is kept free for a job that goes before this one, and that its owner's quota holds up for the moment: with his next task
    /// that ends it may have what it waits for.
    pub(super) fn kept_before(&self, job: JobId) -> Option<SessionId> {
        let view = |job: JobId| self.jobs.get(&job).map(|candidate| &candidate.view);
        let kept = self.reserved.filter(|kept| kept.job != job)?;
        let (waiting, next) = (view(kept.job)?, view(job)?);
        let goes_before = || rank::key(waiting, &self.busy, self.rules()) < rank::key(next, &self.busy, self.rules());
        (self.quota_met(&waiting.spec.owner).is_some() && goes_before()).then_some(kept.session)
    }

    fn seat_to_keep_free(&self, needs: &Resources) -> Option<SessionId> {
        // Where it would fit at once only a slot is missing, or the worker is leaving.
        let fitting = self.seats.iter().filter(|(_, seat)| needs.fits(&seat.total) && !needs.fits(&seat.free));
        fitting.max_by_key(|(session, seat)| (seat.room, Reverse(**session))).map(|(session, _)| *session)
    }
}
