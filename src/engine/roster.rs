//! The workers' free slots and the jobs' wishes: who is granted what.
//!
//! Everything told to it is absolute. What was granted and is not yet visible in those reports is remembered by grant: a job's wish is
//! lowered by grants it has not seen, a session's room by grants it has not settled. So nothing is counted twice and no slot leaks, however
//! the reports cross the grants.
//!
//! A job whose tasks fit no room now holds nobody up; but where it was its turn, and tasks of jobs behind it have taken the room for
//! [`RESERVE_AFTER`](crate::limits::RESERVE_AFTER), a worker is kept free of them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::domain::{DiskRoom, GrantId, Instant, JobId, JobSpec, Quotas, Resources, Room, SessionId, WorkerId};

use super::fault::Fault;
use super::rank::{self, RankRules};
use super::suspicion::Trust;
use super::view::JobView;

use candidate::Candidate;
use line::Line;
use order::Seen;
use reserve::Kept;
use seat::Seat;

pub use fit::Reservation;
pub use idle::Idle;
pub use order::{HandOut, Lift, NextSlot, Order, Place};

mod candidate;
mod fit;
mod idle;
mod line;
mod order;
mod outlook;
mod owners;
mod reserve;
mod seat;

/// Something the supervisor learned.
#[derive(Clone, Debug)]
pub enum RosterEvent {
    /// A job as it is now.
    Job(Box<JobView>),
    /// A job is gone, or its actor is being restarted: it wants nothing.
    JobGone(JobId),
    /// A worker connected.
    Opened {
        /// Its session.
        session: SessionId,
        /// Who.
        worker: WorkerId,
        /// How many tasks it runs at once.
        slots: u32,
        /// All it has.
        total: Resources,
    },
    /// A session's room as it is now.
    Room {
        /// Which session.
        session: SessionId,
        /// What may be granted, not counting grants it has not settled.
        room: Room,
        /// What is free of its resources, likewise.
        free: Resources,
        /// Grants whose tasks are in this report.
        settled: Vec<GrantId>,
        /// How the worker may be used.
        trust: Trust,
    },
    /// A session is over.
    Closed(SessionId),
    /// The time, about once a second: for the jobs that wait for a large room.
    Tick(Instant),
    /// The head's disk is almost full, with so much room, or has room again: nothing is granted meanwhile.
    DiskFull(Option<DiskRoom>),
    /// What owners may have at once.
    Quotas(Box<Quotas>),
}

/// What the supervisor must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RosterEffect {
    /// Tell a job that it may use so many slots of a session.
    Grant {
        /// Which job.
        job: JobId,
        /// The grant's number.
        grant: GrantId,
        /// Whose slots.
        session: SessionId,
        /// Of which worker.
        worker: WorkerId,
        /// How many.
        slots: u32,
    },
    /// Have a worker give back what it has no slot for yet.
    Recall(SessionId),
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Roster {
    jobs: BTreeMap<JobId, Candidate>,
    seats: BTreeMap<SessionId, Seat>,
    /// The seats with room left, most room first: kept, so that an event costs what it changes and not what there is.
    open: BTreeSet<(Reverse<Room>, SessionId)>,
    /// Sessions that were granted more than their free slots since they were last recalled: kept.
    lent: BTreeSet<SessionId>,
    /// Jobs that want slots: kept.
    line: Line,
    /// Busy slots of each owner that has any, with what was granted: kept.
    busy: BTreeMap<String, u32>,
    /// What may still run of each owner's since before a restart of the head: kept.
    limbo: BTreeMap<String, u32>,
    /// Of all seats: kept.
    slots: u32,
    /// Seats that are not under suspicion: kept.
    trusted: u32,
    last_grant: u64,
    /// By the last tick.
    now: Option<Instant>,
    /// A worker that is kept free, for a job that has waited long.
    reserved: Option<Kept>,
    /// Set while nothing is granted.
    disk_full: Option<DiskRoom>,
    quotas: Quotas,
    /// The order as people see it, if somebody has asked since the last event: a list of jobs asks once for each.
    seen: Seen,
    /// If not [`RESERVE_AFTER`](crate::limits::RESERVE_AFTER).
    reserve_after: Option<Duration>,
    fault: Option<Fault>,
}

impl Roster {
    /// One that keeps a worker free for a job that has waited so long for room.
    pub fn reserving_after(wait: Duration) -> Self {
        Self { reserve_after: Some(wait), ..Self::default() }
    }

    /// Plants a mistake, for tests.
    pub fn plant(&mut self, fault: Option<Fault>) {
        self.fault = fault;
    }

    /// Takes one event in, and grants what can be granted.
    pub fn on_event(&mut self, event: RosterEvent) -> Vec<RosterEffect> {
        self.seen = Seen::default();
        match event {
            RosterEvent::Job(view) => {
                let newcomer = self.job_changed(*view);
                let mut effects = self.grant();
                effects.extend(newcomer.into_iter().flat_map(|job| self.recall_for(job)));
                return effects;
            }
            RosterEvent::JobGone(id) => self.forget(id),
            RosterEvent::Opened { session, worker, slots, total } => {
                self.close(session);
                self.slots += slots;
                self.seats.insert(session, Seat::new(worker, slots, total));
                self.trust(self.trusted + 1);
            }
            RosterEvent::Room { session, room, free, settled, trust } => {
                self.suspect(session, trust);
                self.change(session, |seat| {
                    seat.room = room;
                    seat.free = free;
                    settled.iter().for_each(|grant| {
                        seat.granted.remove(grant);
                    });
                });
            }
            RosterEvent::Closed(session) => self.close(session),
            RosterEvent::DiskFull(room) => self.disk_full = room,
            RosterEvent::Quotas(quotas) => self.quotas = *quotas,
            RosterEvent::Tick(now) => {
                self.now = self.now.max(Some(now));
                self.reserve(now);
            }
        }
        self.grant()
    }

    /// Returns the job if it wants slots as it did not before.
    fn job_changed(&mut self, view: JobView) -> Option<JobId> {
        let (id, ended) = (view.id, view.state.is_final());
        let before = self.jobs.get(&id).filter(|job| job.wanted() > 0).map(|job| job.view.priority);
        let newcomer = view.wanted > 0 && before.is_none_or(|priority| priority < view.priority);
        match self.jobs.get_mut(&id) {
            Some(candidate) => candidate.changes(view),
            None => drop(self.jobs.insert(id, Candidate::new(view))),
        }
        self.recount(id);
        if ended {
            self.forget(id);
        }
        newcomer.then_some(id)
    }

    /// A job that goes before others, and found no room, does not wait behind what was sent ahead of them.
    fn recall_for(&mut self, job: JobId) -> Vec<RosterEffect> {
        if self.lent.is_empty() || !self.line.contains(job) || self.disk_full.is_some() {
            return Vec::new();
        }
        let rules = self.rules();
        let class = |view: &JobView| (!rank::past_finish_line(view, rules), Reverse(view.priority));
        let Some(view) = self.jobs.get(&job).map(|candidate| &candidate.view) else { return Vec::new() };
        if self.quota_met(&view.spec.owner).is_some() {
            return Vec::new();
        }
        let before_others = self.jobs.values().any(|other| other.busy() > 0 && class(view) < class(&other.view));
        let fits = |session: &SessionId| self.seats.get(session).is_some_and(|seat| view.spec.needs.fits(&seat.total));
        let lent: Vec<SessionId> = self.lent.iter().copied().filter(|session| before_others && fits(session)).collect();
        lent.iter().for_each(|session| {
            self.lent.remove(session);
        });
        lent.into_iter().map(RosterEffect::Recall).collect()
    }

    /// Grants that a job has not answered when it is gone will never be used: their slots are free again. What it did answer is on its way
    /// to a session, whose next report settles it.
    fn forget(&mut self, job: JobId) {
        let Some(gone) = self.jobs.remove(&job) else { return };
        self.line.take_out(job);
        add_to(&mut self.busy, &gone.view.spec.owner, 0, gone.counted);
        add_to(&mut self.limbo, &gone.view.spec.owner, 0, gone.counted_limbo);
        let unused = |seat: &Seat| seat.granted.keys().any(|grant| gone.awaits(grant));
        let holding: Vec<SessionId> = self.seats.iter().filter(|(_, seat)| unused(seat)).map(|(id, _)| *id).collect();
        for session in holding {
            self.change(session, |seat| seat.granted.retain(|grant, _| !gone.awaits(grant)));
        }
    }

    /// Changes a seat, and its place among those with room.
    fn change(&mut self, session: SessionId, change: impl FnOnce(&mut Seat)) {
        let Some(seat) = self.seats.get_mut(&session) else { return };
        self.open.remove(&(Reverse(seat.room_left(self.trusted)), session));
        change(seat);
        let room = seat.room_left(self.trusted);
        if room.all() > 0 {
            self.open.insert((Reverse(room), session));
        }
    }

    fn close(&mut self, session: SessionId) {
        self.lent.remove(&session);
        if let Some(seat) = self.seats.remove(&session) {
            self.open.remove(&(Reverse(seat.room_left(self.trusted)), session));
            self.slots -= seat.slots;
            self.trust(self.trusted - u32::from(seat.trust == Trust::Trusted));
        }
    }

    /// Notes how a worker may be used.
    fn suspect(&mut self, session: SessionId, trust: Trust) {
        let Some(before) = self.seats.get(&session).map(|seat| seat.trust) else { return };
        self.change(session, |seat| seat.trust = trust);
        self.trust(self.trusted + u32::from(trust == Trust::Trusted) - u32::from(before == Trust::Trusted));
    }

    /// So many seats are trusted now. Where there is none at all, those under suspicion are used as any others.
    fn trust(&mut self, trusted: u32) {
        let changes = (trusted > 0) != (self.trusted > 0);
        self.trusted = trusted;
        if changes {
            self.open = self.rooms().collect();
        }
    }

    /// The seats with room left.
    fn rooms(&self) -> impl Iterator<Item = (Reverse<Room>, SessionId)> + '_ {
        let rooms = self.seats.iter().map(|(session, seat)| (Reverse(seat.room_left(self.trusted)), *session));
        rooms.filter(|(room, _)| room.0.all() > 0)
    }

    /// Workers that are under suspicion.
    pub fn suspected(&self) -> impl Iterator<Item = WorkerId> + '_ {
        self.seats.values().filter(|seat| seat.trust != Trust::Trusted).map(|seat| seat.worker)
    }

    /// Whether workers are connected, and all of them are under suspicion: then they are used as any others.
    pub fn trusts_nobody(&self) -> bool {
        self.trusted == 0 && !self.seats.is_empty()
    }

    /// Brings what is kept of a job up to date.
    fn recount(&mut self, job: JobId) {
        let Some(candidate) = self.jobs.get_mut(&job) else { return };
        let busy = candidate.busy();
        add_to(&mut self.busy, &candidate.view.spec.owner, busy, candidate.counted);
        candidate.counted = busy;
        add_to(&mut self.limbo, &candidate.view.spec.owner, candidate.view.limbo, candidate.counted_limbo);
        candidate.counted_limbo = candidate.view.limbo;
        if candidate.wanted() > 0 {
            self.line.put(&candidate.view);
        } else {
            self.line.take_out(job);
        }
    }

    /// What the head's disk has, if nothing is granted because of it.
    pub fn disk_full(&self) -> Option<DiskRoom> {
        self.disk_full
    }

    /// Slots of all connected workers.
    pub fn slots(&self) -> u32 {
        self.slots
    }

    /// Workers have come or gone: who is past the finish line may be another matter.
    fn order_by_rules(&mut self) {
        if self.line.rules() != self.rules() {
            self.line = self.line_by(self.rules());
        }
    }

    fn line_by(&self, rules: RankRules) -> Line {
        let mut line = Line::by(rules);
        self.jobs.values().filter(|job| job.wanted() > 0).for_each(|job| line.put(&job.view));
        line
    }

    fn rules(&self) -> RankRules {
        RankRules::for_slots(self.slots())
    }

    /// The seat with the most room left that has what a task needs.
    fn opening(&self, job: JobId, needs: &Resources, kept_free: Option<SessionId>, awaited: &BTreeSet<SessionId>) -> Option<SessionId> {
        let plain = *needs == Resources::default();
        let may = |seat: &Seat, session: SessionId| {
            let goes_ahead = || !awaited.contains(&session) && seat.is_for(job);
            (plain || needs.fits(&seat.free_left())) && (seat.room_left(self.trusted).free > 0 || goes_ahead())
        };
        let fits = |session: &SessionId| self.seats.get(session).is_some_and(|seat| may(seat, *session));
        self.open.iter().map(|(_, session)| *session).find(|session| kept_free != Some(*session) && fits(session))
    }

    /// Grants slot by slot, since every slot changes the owners' shares; those of one job at one worker are one grant.
    fn grant(&mut self) -> Vec<RosterEffect> {
        let mut grants = Grants::default();
        let full = self.disk_full.is_some() && self.fault != Some(Fault::FullDiskIgnored);
        if self.open.is_empty() || self.line.is_empty() || full {
            return Vec::new();
        }
        self.order_by_rules();
        let (mut first_unfit, mut kept_free, mut unfit) = (None, None, Vec::new());
        // Where a job waits until what is on its way has come, nobody behind it goes ahead either.
        let mut awaited = BTreeSet::new();
        while !self.open.is_empty() {
            let view_of = |job| self.jobs.get(&job).map(|candidate| &candidate.view);
            let may_have_more = |owner: &str| self.quota_met(owner).is_none();
            let Some(job) = self.line.first(view_of, &self.busy, may_have_more) else { break };
            let Some(candidate) = self.jobs.get(&job) else { break };
            let spec = candidate.view.spec.clone();
            kept_free = kept_free.or_else(|| self.kept_before(job));
            let Some(session) = self.opening(job, &spec.needs, kept_free, &awaited) else {
                // It fits nowhere now; it holds nobody up, except at a worker that is kept free for it.
                kept_free = kept_free.or(self.reserved.filter(|kept| kept.job == job).map(|kept| kept.session));
                first_unfit = first_unfit.or_else(|| self.fits_somewhere(&spec.needs).then_some(job));
                let open = self.open.iter().map(|(_, session)| *session);
                awaited.extend(open.filter(|open| self.seats.get(open).is_some_and(|seat| spec.needs.fits(&seat.free_left()))));
                self.line.take_out(job);
                unfit.push(job);
                // Then there is nothing for the others either, however many they are.
                let none_free = self.open.first().is_some_and(|(Reverse(room), _)| room.free == 0);
                if none_free && self.open.iter().all(|(_, session)| awaited.contains(session)) {
                    break;
                }
                continue;
            };
            self.reserved = self.reserved.filter(|kept| kept.job != job);
            if let Some(overtaken) = first_unfit.and_then(|first| self.jobs.get_mut(&first)) {
                overtaken.overtaken_since = overtaken.overtaken_since.or(self.now);
            }
            self.give(job, session, &spec, &mut grants);
        }
        unfit.into_iter().for_each(|job| self.recount(job));
        grants.effects
    }

    fn give(&mut self, job: JobId, session: SessionId, spec: &Arc<JobSpec>, grants: &mut Grants) {
        let (Some(candidate), Some(seat)) = (self.jobs.get_mut(&job), self.seats.get(&session)) else { return };
        let grant = grants.add_slot(job, session, seat.worker, &mut self.last_grant);
        if seat.room_left(self.trusted).free == 0 {
            self.lent.insert(session);
        }
        candidate.granted(grant);
        self.recount(job);
        self.change(session, |seat| seat.granted.entry(grant).or_insert_with(|| (0, job, spec.clone())).0 += 1);
    }

    /// Whether the job is past its finish line.
    pub fn past_finish_line(&self, view: &JobView) -> bool {
        !view.state.is_final() && rank::past_finish_line(view, self.rules())
    }

    /// Free slots, granted ones not counted.
    pub fn free_slots(&self) -> u32 {
        self.open.iter().map(|(Reverse(room), _)| room.free).sum()
    }

    /// Checks that what is kept is what it should be.
    pub fn check(&self) -> Result<(), String> {
        let (mut busy, mut limbo) = (BTreeMap::new(), BTreeMap::new());
        for job in self.jobs.values() {
            add_to(&mut busy, &job.view.spec.owner, job.busy(), 0);
            add_to(&mut limbo, &job.view.spec.owner, job.view.limbo, 0);
        }
        let trusted = self.seats.values().filter(|seat| seat.trust == Trust::Trusted).count();
        let right = self.jobs.values().all(Candidate::is_right)
            && self.rooms().collect::<BTreeSet<_>>() == self.open
            && trusted == self.trusted as usize
            && self.line_by(self.line.rules()) == self.line
            && busy == self.busy
            && limbo == self.limbo
            && self.seats.values().map(|seat| seat.slots).sum::<u32>() == self.slots;
        if right { Ok(()) } else { Err(format!("the roster's sums are wrong: {self:?}")) }
    }

    /// The jobs that are not final, as last seen.
    pub fn views(&self) -> impl Iterator<Item = &JobView> + '_ {
        self.jobs.values().map(|candidate| &candidate.view)
    }
}

/// What is granted because of one event. Each worker hears of a job once, however the slots came to it: a message costs the same for one task
/// as for a hundred.
#[derive(Default)]
struct Grants {
    effects: Vec<RosterEffect>,
    places: BTreeMap<(JobId, SessionId), usize>,
}

impl Grants {
    /// One slot more for a job at a worker; the grant that it belongs to.
    fn add_slot(&mut self, job: JobId, session: SessionId, worker: WorkerId, last: &mut u64) -> GrantId {
        let at = *self.places.entry((job, session)).or_insert(self.effects.len());
        if let Some(RosterEffect::Grant { grant, slots, .. }) = self.effects.get_mut(at) {
            *slots += 1;
            return *grant;
        }
        *last += 1;
        let grant = GrantId(*last);
        self.effects.push(RosterEffect::Grant { job, grant, session, worker, slots: 1 });
        grant
    }
}

/// Replaces one part of an owner's busy slots; an owner without any is not kept.
fn add_to(busy: &mut BTreeMap<String, u32>, owner: &str, slots: u32, instead_of: u32) {
    if slots == instead_of {
        return;
    }
    let sum = busy.get(owner).copied().unwrap_or(0).saturating_add(slots).saturating_sub(instead_of);
    if sum == 0 {
        busy.remove(owner);
    } else if let Some(of) = busy.get_mut(owner) {
        *of = sum;
    } else {
        busy.insert(owner.to_owned(), sum);
    }
}

#[cfg(test)]
pub(super) mod tests;
