//! The worker's side: which slot does what, which results wait for their acknowledgement.
//!
//! ```text
//!        Run on a free slot      Prepared: process starts        Ended
//! free ─────────────────► Preparing ───────────────► Running ──────────► free, result kept until acknowledged
//!   ▲                        │  └─► Ready ─────────────┘ once what it needs is free
//!   └────────────────────────┘  fence, or the session ends
//! ```
//! Where tasks are short some are sent ahead of a free slot (`ahead`), and wait in line for one.
//!
//! Started is said only when the process is about to start, so a task whose input is still on its way can be dropped.

use std::collections::BTreeMap;

use crate::domain::wire::{FromWorker, Held, Lease, Standing, ToWorker};
use crate::domain::{Chunk, Epoch, Instant, JobId, Resources, Room, SessionId};
use crate::limits;

use super::alarm::Alarm;
use super::fault::Fault;
use super::now::Now;

use ahead::{Ahead, Waiting};
use announcement::Announcement;
use attachment::Attachment;
use idle::Idle;
use kept::KeptResults;
use rest::Rest;
use slots::{Phase, Slot, Slots};

pub use equipment::Equipment;
pub use event::{Health, Offer, Preparation, SlotEffect, SlotEvent};
pub use kept::Allowance;

mod ahead;
mod announcement;
mod attachment;
mod equipment;
mod event;
mod idle;
mod kept;
mod orders;
mod rest;
mod slots;

/// See the module.
#[derive(Clone, Debug)]
pub struct SlotTable {
    slots: Slots,
    ahead: Ahead,
    /// For the end of our patience with those.
    patience: Alarm,
    equipment: Equipment,
    /// What a task needs of each job that this session has introduced.
    needs: BTreeMap<JobId, Resources>,
    results: KeptResults,
    allowance: Allowance,
    attachment: Attachment,
    epoch: Epoch,
    draining: bool,
    left: bool,
    rest: Rest,
    idle: Idle,
    /// What the head knows.
    announced: Announcement,
    fault: Option<Fault>,
}

impl SlotTable {
    /// All slots free, not connected. `epoch` is the highest ever obeyed, from disk.
    pub fn new(slots: u32, equipment: Equipment, allowance: Allowance, epoch: Epoch) -> Self {
        Self {
            slots: Slots::new(slots),
            ahead: Ahead::default(),
            patience: Alarm::default(),
            equipment,
            needs: BTreeMap::new(),
            results: KeptResults::default(),
            allowance,
            attachment: Attachment::default(),
            epoch,
            draining: false,
            left: false,
            rest: Rest::default(),
            idle: Idle::default(),
            announced: Announcement::default(),
            fault: None,
        }
    }

    /// Plants a mistake, for tests.
    pub fn plant(&mut self, fault: Option<Fault>) {
        self.fault = fault;
    }

    /// Takes one event in, and says what is to be done, in order.
    pub fn on_event(&mut self, event: SlotEvent, now: Now) -> Vec<SlotEffect> {
        let mut effects = Vec::new();
        let fx = &mut effects;
        match event {
            SlotEvent::Said(session, ToWorker::Welcome { epoch, stamp, .. }) => self.welcomed(session, epoch, stamp, now, fx),
            SlotEvent::Said(session, _) if !self.session_is(session) => {}
            SlotEvent::Said(session, message) => {
                if let ToWorker::Heartbeat(stamp) = message {
                    self.attachment.heard(stamp);
                }
                if self.lease_over(now) {
                    self.end_session(session, now, fx);
                } else {
                    self.said(message, now, fx);
                }
            }
            SlotEvent::Disconnected(session) if self.session_is(session) => self.disconnected(now, fx),
            SlotEvent::Disconnected(_) => {}
            SlotEvent::Prepared { slot, lease, how } => self.prepared(slot, lease, how, now, fx),
            SlotEvent::Ended { slot, lease, bytes, next } => self.ended(slot, lease, bytes, next, now, fx),
            SlotEvent::Drain(drain) => self.drain(drain, now, fx),
            SlotEvent::Machine(health) => self.machine(health, now, fx),
            SlotEvent::Tick => self.tick(now, fx),
        }
        self.idle.note(self.is_empty(), now.mono);
        self.maybe_leave(fx);
        // A tick comes in time for what was sent ahead.
        let ends = self.ahead.patience_ends();
        fx.extend(ends.and_then(|at| self.patience.set(at, now.mono)).map(SlotEffect::WakeAt));
        effects
    }

    fn lease_over(&self, now: Now) -> bool {
        self.attachment.lease_is_over(now.mono) && self.fault != Some(Fault::LeaseIgnored)
    }

    fn welcomed(&mut self, session: SessionId, epoch: Epoch, stamp: Instant, now: Now, fx: &mut Vec<SlotEffect>) {
        if epoch < self.epoch {
            fx.push(SlotEffect::EndSession(session));
            return;
        }
        if epoch > self.epoch {
            self.epoch = epoch;
            fx.push(SlotEffect::KeepEpoch(epoch));
        }
        // Whatever came of the session before: what has not started of it was not in our Hello, and is not ours any more.
        self.disconnected(now, fx);
        self.attachment.begins(session, stamp);
        self.needs.clear();
        self.announced = Announcement::default();
        self.announce(now, fx);
    }

    /// What the worker holds, for its Hello. From then on nothing of it is said to the head until its verdict comes.
    pub fn held(&mut self) -> Vec<Held> {
        self.slots.taken_mut().for_each(|(_, slot)| slot.confirmed = false);
        let running = self.slots.taken().filter(|slot| matches!(slot.phase, Phase::Running { unwanted: false }));
        let running = running.map(|slot| Held { lease: slot.lease, finished: false });
        running.chain(self.results.leases().map(|lease| Held { lease, finished: true })).collect()
    }

    /// A task gets a free slot.
    fn occupy(&mut self, slot: usize, task: Waiting, now: Now, fx: &mut Vec<SlotEffect>) {
        let Waiting { lease, needs, chunk, .. } = task;
        let (trial, since) = (self.rest != Rest::None, now.mono);
        self.slots.put(slot, Slot { lease, needs, chunk, since, phase: Phase::Preparing, confirmed: true, trial, frozen: false });
        fx.push(SlotEffect::Prepare { slot, lease, chunk });
    }

    /// Whether tasks may wait for a slot.
    fn takes_ahead(&self) -> bool {
        self.rest == Rest::None && !self.draining && !self.left && !self.results.fills(&self.allowance)
    }

    /// What was sent ahead gets the slots that are free.
    fn fill(&mut self, now: Now, fx: &mut Vec<SlotEffect>) {
        while !self.ahead.is_empty() && self.free() > 0 {
            let (Some(slot), Some(task)) = (self.slots.first_free(), self.ahead.pop()) else { return };
            self.occupy(slot, task, now, fx);
        }
    }

    fn give_back_ahead(&mut self, fx: &mut Vec<SlotEffect>) {
        let back = self.ahead.take_all();
        fx.extend(back.into_iter().map(|lease| SlotEffect::Say(FromWorker::Declined(lease))));
    }

    fn drain(&mut self, drain: bool, now: Now, fx: &mut Vec<SlotEffect>) {
        self.draining = drain;
        if drain {
            self.give_back_ahead(fx);
        }
        self.announce(now, fx);
    }

    fn prepared(&mut self, at: usize, lease: Lease, how: Preparation, now: Now, fx: &mut Vec<SlotEffect>) {
        if self.stood_still(now, fx) {
            return;
        }
        let Some(slot) = self.slots.at_mut(at) else { return };
        if slot.phase != Phase::Preparing || !slot.lease.same_attempt(&lease) {
            return;
        }
        let lease = slot.lease;
        match how {
            Preparation::Ready => {
                slot.phase = Phase::Ready;
                self.start_what_fits(now, fx);
            }
            Preparation::Failed => {
                slot.phase = Phase::Running { unwanted: false };
                fx.push(SlotEffect::Fail { lease });
                self.ended(at, lease, 0, None, now, fx);
            }
            Preparation::Declined => {
                self.slots.take_if(at, |_| true);
                fx.push(SlotEffect::Say(FromWorker::Declined(lease)));
                self.announce(now, fx);
            }
        }
    }

    /// Whether we stood still for so long that what has not started may be another's by now; then the session is over.
    fn stood_still(&mut self, now: Now, fx: &mut Vec<SlotEffect>) -> bool {
        let stood_still = self.lease_over(now);
        if let Some(session) = self.attachment.session().filter(|_| stood_still) {
            self.end_session(session, now, fx);
        }
        stood_still
    }

    /// Starts tasks whose input is here, as far as what they need is free.
    fn start_what_fits(&mut self, now: Now, fx: &mut Vec<SlotEffect>) {
        if !self.slots.taken().any(|slot| slot.phase == Phase::Ready) || self.stood_still(now, fx) {
            return;
        }
        for (at, slot) in self.slots.taken_mut().filter(|(_, slot)| slot.phase == Phase::Ready) {
            if !self.equipment.take(at, slot.needs.clone()) {
                continue;
            }
            slot.phase = Phase::Running { unwanted: false };
            fx.push(SlotEffect::Say(FromWorker::Started(vec![slot.lease])));
            fx.push(SlotEffect::Start { slot: at, lease: slot.lease, gpus: self.equipment.gpus_of(at) });
        }
    }

    fn ended(&mut self, at: usize, lease: Lease, bytes: u64, next: Option<Lease>, now: Now, fx: &mut Vec<SlotEffect>) {
        let is_it = |slot: &mut Slot| slot.lease.same_attempt(&lease) && slot.phase.has_started();
        let Some(slot) = self.slots.take_if(at, is_it) else { return };
        let unwanted = slot.phase == Phase::Running { unwanted: true };
        match next.and_then(|next| self.ahead.claim(&next)) {
            // What it holds is passed on.
            Some(Waiting { lease, needs, chunk, .. }) => {
                let (phase, since) = (Phase::Running { unwanted: false }, now.mono);
                self.slots.put(at, Slot { lease, needs, chunk, since, phase, confirmed: true, trial: false, frozen: false });
                fx.push(SlotEffect::Say(FromWorker::Started(vec![lease])));
            }
            None => self.equipment.give_back(at),
        }
        self.ahead.ended(self.slots.count(), now.mono.since(slot.since), now.mono);
        if unwanted {
            fx.push(SlotEffect::Forget(slot.lease));
        } else {
            self.results.put(slot.lease, bytes);
            if slot.confirmed && self.is_attached() {
                fx.push(SlotEffect::Deliver(slot.lease));
            }
        }
        self.start_what_fits(now, fx);
        self.announce(now, fx);
    }

    fn end_session(&mut self, session: SessionId, now: Now, fx: &mut Vec<SlotEffect>) {
        fx.push(SlotEffect::EndSession(session));
        self.disconnected(now, fx);
    }

    /// What has not started is dropped: the head gives it to others once we say Hello without it, or stay away.
    fn disconnected(&mut self, now: Now, fx: &mut Vec<SlotEffect>) {
        self.attachment.ends(now.mono);
        self.ahead.take_all();
        for (at, _) in self.slots.unstarted(|_| true) {
            fx.push(SlotEffect::CancelPrepare { slot: at });
            self.slots.take_if(at, |_| true);
        }
    }

    /// What is announced here reaches the head before the task that comes back.
    fn machine(&mut self, health: Health, now: Now, fx: &mut Vec<SlotEffect>) {
        match health {
            Health::Sound if self.rest == Rest::None => return,
            Health::Sound => self.rest = Rest::None,
            Health::Failed => {
                fx.extend(self.rest.failed(now.mono).map(SlotEffect::Rest));
                self.give_back_ahead(fx);
            }
        }
        self.announce(now, fx);
    }

    /// A worker that was without a head for too long stops what it runs: the head, should it come back, has long given it to others.
    fn tick(&mut self, now: Now, fx: &mut Vec<SlotEffect>) {
        self.rest.time_passes(now.mono);
        if self.ahead.patience_ends().is_some_and(|at| at <= now.mono) {
            self.ahead.slow_down();
            self.give_back_ahead(fx);
        }
        if !self.draining && self.idle.is_over(self.allowance.idle, now.mono) {
            self.drain(true, now, fx);
        }
        self.announce(now, fx);
        if !self.attachment.is_alone_for(self.allowance.alone, now.mono) {
            return;
        }
        for (at, slot) in self.slots.taken_mut() {
            if let Slot { lease, phase: Phase::Running { unwanted }, .. } = slot
                && !std::mem::replace(unwanted, true)
            {
                fx.push(SlotEffect::Stop { slot: at, lease: *lease, grace: limits::DEFAULT_GRACE });
            }
        }
    }

    /// Slots that may be given a task.
    pub fn free(&self) -> u32 {
        if self.draining || self.left || self.results.fills(&self.allowance) {
            return 0;
        }
        self.rest.lets(self.slots.free(), self.slots.taken().any(|slot| slot.trial))
    }

    /// The same, and how many may be sent ahead.
    pub fn room(&self, now: Now) -> Room {
        Room { free: self.free(), ahead: if self.takes_ahead() { self.ahead.room(now.mono) } else { 0 } }
    }

    /// Tasks that wait for a slot.
    pub fn ahead(&self) -> u32 {
        self.ahead.len()
    }

    /// The highest number of a run that was announced room for.
    pub fn credit(&self) -> u64 {
        self.announced.credit()
    }

    /// Whether it takes no task, or only one to try, since its machine has failed.
    pub fn is_resting(&self) -> bool {
        self.rest != Rest::None
    }

    /// Gives the free slots to what waits for one, and says what room is left, if that is new.
    fn announce(&mut self, now: Now, fx: &mut Vec<SlotEffect>) {
        if !self.is_attached() {
            return;
        }
        self.fill(now, fx);
        let standing = match self.rest {
            _ if self.draining => Standing::Leaving,
            Rest::None => Standing::Serving,
            Rest::Resting { .. } | Rest::Trying { .. } => Standing::Resting,
        };
        let said = self.announced.say(self.room(now), standing, self.fault == Some(Fault::RoomAsDelta));
        fx.extend(said.into_iter().map(SlotEffect::Say));
    }

    fn maybe_leave(&mut self, fx: &mut Vec<SlotEffect>) {
        if self.draining && self.is_empty() && !self.left {
            self.left = true;
            if self.is_attached() {
                fx.push(SlotEffect::Say(FromWorker::Goodbye));
            }
            fx.push(SlotEffect::Leave);
        }
    }

    /// Whether this is the present session.
    pub fn session_is(&self, session: SessionId) -> bool {
        self.attachment.session() == Some(session)
    }

    fn is_attached(&self) -> bool {
        self.attachment.session().is_some()
    }

    /// The highest epoch obeyed.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The attempts whose processes run.
    pub fn running(&self) -> impl Iterator<Item = Lease> + '_ {
        self.slots.taken().filter(|slot| slot.phase.has_started()).map(|slot| slot.lease)
    }

    /// What the worker has, and what of it running tasks hold.
    pub fn equipment(&self) -> &Equipment {
        &self.equipment
    }

    /// Whether the slot gets the inputs of this attempt.
    pub fn is_preparing(&self, at: usize, lease: &Lease) -> bool {
        self.slots.at(at).is_some_and(|slot| slot.phase == Phase::Preparing && slot.lease.same_attempt(lease))
    }

    /// What a slot that ends its task may start at once, without asking: it says so as it ends. Valid until the next event, and
    /// [`lease_until`](Self::lease_until).
    pub fn offers(&self, now: Now) -> impl Iterator<Item = Offer> {
        let all_run = self.slots.taken().all(|slot| slot.phase == Phase::Running { unwanted: false });
        let may = self.is_attached() && self.takes_ahead() && all_run && !self.lease_over(now);
        // Whichever slot ends first has what it needs.
        let fits = |task: &Waiting| self.slots.taken_at().all(|at| self.equipment.is_passed_on(at, &task.needs));
        let gpus = self.equipment.gpus_of(usize::MAX);
        let offer = move |task: &Waiting| Offer { lease: task.lease, chunk: task.chunk, gpus: gpus.clone() };
        self.ahead.iter().take_while(move |task| may && fits(task)).map(offer)
    }

    /// Until when what has not started may.
    pub fn lease_until(&self) -> Instant {
        self.attachment.lease_until()
    }

    /// The chunks of a job's tasks whose inputs are awaited, or will be.
    pub fn chunks_wanted(&self, job: JobId) -> Vec<Chunk> {
        let in_slots = self.slots.taken().filter(|slot| slot.phase == Phase::Preparing && slot.lease.job == job);
        in_slots.filter_map(|slot| slot.chunk).chain(self.ahead.chunks_of(job)).collect()
    }

    /// Whether no slot is taken, no task waits for one, and no result for the head.
    pub fn is_empty(&self) -> bool {
        self.results.is_empty() && self.ahead.is_empty() && self.slots.taken().next().is_none()
    }
}

#[cfg(test)]
mod tests;
