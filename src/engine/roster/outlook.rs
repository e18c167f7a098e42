//! What a job's end depends on, as the order has it: how many slots work for it, and who goes before it.

use super::{Candidate, Roster};
use crate::domain::{Instant, JobState, Resources};
use crate::engine::eta::{Outlook, Range};
use crate::engine::rank;
use crate::engine::view::JobView;

/// How much longer, or shorter, than by the mean of their tasks the jobs ahead may take.
const OTHERS_MARGIN: f64 = 0.3;

impl Roster {
    /// When a job will have ended: seconds from now, as a range. None while nothing can be said: it is paused, or ends; nothing can run, on this
    /// cluster, of it; it is not known yet what may still run of it; jobs of which no task is done go before it; too few of its own are done.
    pub fn eta(&self, view: &JobView, now: Instant) -> Option<Range> {
        let runs = matches!(view.state, JobState::Waiting | JobState::Running) && !view.held;
        if !runs || view.limbo > 0 || self.disk_full.is_some() || !self.fits_somewhere(&view.spec.needs) {
            return None;
        }
        let job = self.jobs.get(&view.id)?;
        let (slots_min, slots_max) = self.slots_for(job)?;
        let in_hands = view.in_hands.count;
        Outlook {
            times: view.times,
            queued: (view.counts.undispatched + view.counts.running).saturating_sub(in_hands),
            in_hands,
            age: view.in_hands.age(now),
            oldest: view.in_hands.oldest(now),
            slots_min,
            slots_max,
            before: self.before(job)?,
        }
        .range()
    }

    /// How many tasks of a job run at once from now on, at least and at most.
    fn slots_for(&self, job: &Candidate) -> Option<(u32, u32)> {
        let (view, busy) = (&job.view, job.busy());
        let limit = view.max_running.unwrap_or(u32::MAX);
        let of_owner = self.quotas.of(&view.spec.owner).slots.unwrap_or(u32::MAX);
        let others_of_owner = self.held_by(&view.spec.owner).saturating_sub(busy);
        let most = self.at_once(&view.spec.needs).min(limit).min(of_owner.saturating_sub(others_of_owner)).max(busy);
        let is_alone = self.jobs.values().all(|other| other.view.id == view.id || other.busy() == 0 && other.wanted() == 0);
        let least = match job.wanted() {
            // All that is free would be its own. One slot may just have been given back.
            1.. if is_alone => busy + 1,
            0 if is_alone => most,
            _ => busy,
        };
        (most > 0).then(|| (least.clamp(1, most), most))
    }

    /// Tasks of these needs that all workers together run at once.
    fn at_once(&self, needs: &Resources) -> u32 {
        self.seats.values().fold(0, |sum: u32, seat| sum.saturating_add(needs.times(&seat.total).min(seat.slots)))
    }

    /// What the jobs that go before it in any case have to be given before it gets more; none if nobody knows how long that takes.
    fn before(&self, job: &Candidate) -> Option<Range> {
        let (rules, view) = (self.rules(), &job.view);
        if job.wanted() == 0 {
            return Some(Range::default());
        }
        let own = rank::key(view, &self.busy, rules);
        let goes_before = |other: &&Candidate| {
            let key = rank::key(&other.view, &self.busy, rules);
            let is_rival = (key.0, key.1) == (own.0, own.1) && other.view.spec.owner != view.spec.owner;
            other.view.id != view.id && other.wanted() > 0 && key < own && !is_rival && self.fits_somewhere(&other.view.spec.needs)
        };
        let mut seconds = 0.0;
        for other in self.jobs.values().filter(goes_before) {
            let slots = self.at_once(&other.view.spec.needs).min(other.view.max_running.unwrap_or(u32::MAX)).max(1);
            let known = other.view.times.count > 0;
            seconds += f64::from(other.wanted()) * known.then_some(other.view.times.mean)? / f64::from(slots);
        }
        // One that has slots keeps them, or gets others, meanwhile.
        let low = if job.busy() > 0 { 0.0 } else { seconds * (1.0 - OTHERS_MARGIN) };
        Some(Range { low, high: seconds * (1.0 + OTHERS_MARGIN) })
    }
}
