//! A second opinion on every grant: from the same reports, by the rules of the order, without looking into the `Roster`.

use std::collections::BTreeMap;

use millpond::domain::{GrantId, JobId, Resources, Room, SessionId, Tally};
use millpond::engine::rank::{self, RankRules};
use millpond::engine::{JobView, RosterEffect, RosterEvent, Trust};

/// A job that has waited so long for a large room may have a worker kept free, which looks like a slot that nobody gets.
/// The roster's clock is the last tick, which comes a second after the one before, and a moment late.
const RESERVED_AFTER_MS: u64 = 60_000 - 1_100;

struct Job {
    view: JobView,
    unseen: BTreeMap<GrantId, u32>,
    /// Since when it has wanted without getting anything.
    waits_since: Option<u64>,
}

impl Job {
    fn wants(&self) -> bool {
        self.view.wanted > self.unseen.values().sum()
    }

    fn may_have_a_worker_kept_free(&self, now: u64) -> bool {
        self.view.spec.needs != Resources::default() && self.waits_since.is_some_and(|since| now >= since + RESERVED_AFTER_MS)
    }
}

struct Seat {
    slots: u32,
    room: Room,
    free: Resources,
    open: BTreeMap<GrantId, (u32, Resources)>,
    trust: Trust,
}

#[derive(Default)]
pub struct Order {
    jobs: BTreeMap<JobId, Job>,
    seats: BTreeMap<SessionId, Seat>,
    /// The head's disk is full: nothing is granted.
    disk_full: bool,
}

impl Order {
    /// Takes in what the roster was told and what it granted; an error if the rules do not allow it.
    pub fn check(&mut self, event: RosterEvent, effects: &[RosterEffect], now: u64) -> Result<(), String> {
        self.told(event);
        if let Some(effect) = effects.first().filter(|_| self.disk_full) {
            return Err(format!("a grant while the head's disk is full: {effect:?}"));
        }
        let reserved = self.reserves(now);
        for effect in effects {
            let RosterEffect::Grant { job, grant, session, slots, .. } = *effect else { continue };
            let (Some(winner), Some(seat)) = (self.jobs.get_mut(&job), self.seats.get_mut(&session)) else {
                return Err(format!("a grant to nobody, or of nothing: {effect:?}"));
            };
            winner.unseen.insert(grant, slots);
            winner.waits_since = None;
            seat.open.insert(grant, (slots, winner.view.spec.needs.clone()));
            let granted = seat.open.values().map(|(slots, _)| slots).sum::<u32>();
            let usable = self.seats.get(&session).map_or(0, |seat| self.usable(seat));
            if granted > usable {
                return Err(format!("{session} has no room for {effect:?}: {usable} slots"));
            }
        }
        for job in self.jobs.values_mut() {
            job.waits_since = if job.wants() { job.waits_since.or(Some(now)) } else { None };
        }
        if !reserved && !self.disk_full {
            self.nothing_left_over()?;
        }
        effects.iter().try_for_each(|effect| self.in_order(effect))
    }

    fn told(&mut self, event: RosterEvent) {
        match event {
            RosterEvent::Job(view) if view.state.is_final() => self.forget(view.id, Some(view.last_grant)),
            RosterEvent::Job(view) => {
                let seen = view.last_grant;
                let job =
                    self.jobs.entry(view.id).or_insert_with(|| Job { view: *view.clone(), unseen: BTreeMap::new(), waits_since: None });
                job.unseen.retain(|grant, _| *grant > seen);
                job.view = *view;
            }
            RosterEvent::JobGone(id) => self.forget(id, None),
            RosterEvent::Opened { session, slots, total, .. } => {
                self.seats
                    .insert(session, Seat { slots, room: Room::default(), free: total, open: BTreeMap::new(), trust: Trust::Trusted });
            }
            RosterEvent::Room { session, room, free, settled, trust } => {
                if let Some(seat) = self.seats.get_mut(&session) {
                    seat.open.retain(|grant, _| !settled.contains(grant));
                    (seat.room, seat.free, seat.trust) = (room, free, trust);
                }
            }
            RosterEvent::Closed(session) => {
                self.seats.remove(&session);
            }
            RosterEvent::DiskFull(room) => self.disk_full = room.is_some(),
            // Quotas are the roster's own tests' matter: nobody has one here.
            RosterEvent::Tick(_) | RosterEvent::Quotas(_) => {}
        }
    }

    /// Grants that the job has not seen are void.
    fn forget(&mut self, id: JobId, seen: Option<GrantId>) {
        let Some(job) = self.jobs.remove(&id) else { return };
        let void = |grant: &GrantId| job.unseen.contains_key(grant) && seen.is_none_or(|seen| *grant > seen);
        self.seats.values_mut().for_each(|seat| seat.open.retain(|grant, _| !void(grant)));
    }

    /// A worker under suspicion gets one task to try, or none; unless all are.
    fn usable(&self, seat: &Seat) -> u32 {
        let alone = self.seats.values().all(|seat| seat.trust != Trust::Trusted);
        match seat.trust {
            Trust::Suspected if !alone => 0,
            Trust::Probe if !alone => seat.room.free.min(1),
            _ => seat.room.all(),
        }
    }

    fn free(&self, seat: &Seat) -> Resources {
        seat.open.values().fold(seat.free.clone(), |free, (slots, needs)| free.less(needs, *slots))
    }

    /// No slot stays free that some waiting task fits.
    fn nothing_left_over(&self) -> Result<(), String> {
        for (session, seat) in &self.seats {
            let (given, usable) = (seat.open.values().map(|(slots, _)| slots).sum::<u32>(), self.usable(seat));
            // What is ahead of the slots may be another job's while something is on its way.
            if given >= usable || given >= seat.room.free.min(usable) && !seat.open.is_empty() {
                continue;
            }
            let free = self.free(seat);
            if let Some(job) = self.jobs.values().find(|job| job.wants() && job.view.spec.needs.fits(&free)) {
                return Err(format!("{session} has room, {} wants it and fits, and got nothing", job.view.id));
            }
        }
        Ok(())
    }

    /// Nobody who goes before the winner wants the same slot.
    fn in_order(&self, effect: &RosterEffect) -> Result<(), String> {
        let RosterEffect::Grant { job, session, .. } = effect else { return Ok(()) };
        let (Some(winner), Some(seat)) = (self.jobs.get(job), self.seats.get(session)) else { return Ok(()) };
        let rules = RankRules::for_slots(self.seats.values().map(|seat| seat.slots).sum());
        let mut place = self.free(seat);
        let taken = winner.view.spec.needs.clone();
        place = Resources { labels: place.labels.clone(), ..[&place, &taken].into_iter().collect::<Tally>().sum() };
        let winner = &winner.view;
        let loses = |job: &&Job| job.wants() && job.view.id != winner.id && job.view.spec.needs.fits(&place);
        for loser in self.jobs.values().filter(loses).map(|job| &job.view) {
            let [winner_past, loser_past] = [winner, loser].map(|view| rank::past_finish_line(view, rules));
            let sooner = match (winner_past, loser_past) {
                (true, false) => false,
                (false, true) => true,
                _ if loser.priority != winner.priority => loser.priority > winner.priority,
                _ => loser.spec.owner == winner.spec.owner && loser.id < winner.id,
            };
            if sooner {
                return Err(format!("{} was granted a slot of {session} although {} goes before it and wants it", winner.id, loser.id));
            }
        }
        Ok(())
    }

    /// Whether some job has waited so long that a worker may be kept free for it.
    pub fn reserves(&self, now: u64) -> bool {
        self.jobs.values().any(|job| job.may_have_a_worker_kept_free(now))
    }

    /// Whether nothing may be granted.
    pub fn disk_is_full(&self) -> bool {
        self.disk_full
    }

    /// What is free at a session, by its last report.
    pub fn free_at(&self, session: SessionId) -> Option<Resources> {
        self.seats.get(&session).filter(|seat| self.usable(seat) > 0).map(|seat| self.free(seat))
    }
}
