//! Machines that come and go with the demand, each with one worker.
//!
//! ```text
//!        Start            it connects           Drain: idle for all we know        says goodbye         Remove
//! (none) ─────► starting ─────────────► present ──────────────────────────► drained ─────────────► left ───────► (none)
//!                                         ▲            TakeBack                │
//!                                         └────────────────────────────────────┘
//! ```
//! A machine is started as soon as it is missed, and drained only after nothing has asked for it during a whole cool-down, so a demand that
//! goes up and down within that time moves nothing. Whatever it was taken for as it was drained, a worker says goodbye only when it holds
//! no task and no result; nothing is removed before. One that is lost is never removed: it may run on, out of our sight.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::domain::{Instant, WorkerId};
use crate::limits::{POOL_LOST_AFTER, POOL_RETRY_AFTER};

use super::Demand;
use super::stretch::Stretch;

/// What a pool keeps to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolRules {
    /// So many machines at least.
    pub min: u32,
    /// So many at most, with those that start and those that leave.
    pub max: u32,
    /// How long a machine must have been one too many before it goes.
    pub cool_down: Duration,
    /// A machine whose worker has not connected by then is no longer waited for.
    pub start_within: Duration,
    /// Slots of a worker; none: as many as the newest one of the pool has.
    pub slots_per_worker: Option<u32>,
}

/// A connected worker of the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolWorker {
    /// Who.
    pub id: WorkerId,
    /// It holds no task.
    pub idle: bool,
    /// It takes no more, whoever asked it.
    pub draining: bool,
}

/// The cluster as it is at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Slots that would be used now.
    pub slots_wanted: u32,
    /// Slots of connected workers that are not the pool's.
    pub slots_elsewhere: u32,
    /// Of the newest worker of the pool; 0 if there never was one.
    pub slots_per_worker: u32,
    /// The newest worker that the head knows, of the pool or not.
    pub newest: WorkerId,
    /// Those of the pool that are connected.
    pub workers: Vec<PoolWorker>,
    /// Of those that [`Pool::missing`] has named: who has said goodbye.
    pub left: BTreeSet<WorkerId>,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolEffect {
    /// Start so many machines.
    Start(u32),
    /// Have a worker finish and leave.
    Drain(WorkerId),
    /// Let a worker take tasks again.
    TakeBack(WorkerId),
    /// Remove the machine of a worker that has left. Repeated until [`Pool::removed`].
    Remove(WorkerId),
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Pool {
    rules: PoolRules,
    /// What was wanted within the cool-down.
    wanted: Stretch,
    /// Machines that have been started and whose workers have not come: since when, the oldest first.
    starting: Vec<Instant>,
    /// Nothing is started before.
    not_before: Instant,
    /// Workers of a higher number come from machines that were started since.
    newest: Option<WorkerId>,
    /// Connected ones, at the last look.
    present: BTreeSet<WorkerId>,
    /// Those that were there, and have gone without a goodbye: since when.
    lost: BTreeMap<WorkerId, Instant>,
    /// Those that it drained and has not removed.
    drained: BTreeMap<WorkerId, Asked>,
    /// Those of them that have left, and when to try again to remove them.
    left: BTreeMap<WorkerId, Instant>,
}

/// What a worker was asked last. It may cross what the worker does: one that is asked back may have left already.
#[derive(Clone, Copy, Debug)]
struct Asked {
    back: bool,
    at: Instant,
}

impl Pool {
    /// One that goes on where another has stopped, which had drained these and not removed them.
    pub fn new(rules: PoolRules, drained: BTreeSet<WorkerId>, now: Instant) -> Self {
        let drained = drained.into_iter().map(|id| (id, Asked { back: false, at: now })).collect();
        Self {
            rules,
            wanted: Stretch::default(),
            starting: Vec::new(),
            not_before: Instant(0),
            newest: None,
            present: BTreeSet::new(),
            lost: BTreeMap::new(),
            drained,
            left: BTreeMap::new(),
        }
    }

    /// Workers that were here and are not among these: of them [`Look::left`] must say whether they have left in order.
    pub fn missing(&self, connected: &BTreeSet<WorkerId>) -> BTreeSet<WorkerId> {
        let known = self.present.iter().chain(self.lost.keys()).chain(self.drained.keys());
        known.filter(|id| !connected.contains(id) && !self.left.contains_key(id)).copied().collect()
    }

    /// Takes a look in.
    pub fn on_look(&mut self, look: &Look, now: Instant) -> Vec<PoolEffect> {
        self.count_arrivals(look, now);
        self.count_departures(look, now);
        let mut effects = self.removals(now);
        let leaves = |id| self.drained.get(id).is_some_and(|asked| !asked.back);
        let serving: Vec<PoolWorker> = look.workers.iter().filter(|worker| !worker.draining && !leaves(&worker.id)).copied().collect();
        let wanted = self.wanted_now(look, serving.len() as u32);
        let kept = self.wanted.most(now, wanted, self.rules.cool_down);
        // A worker that we drained and lost sight of is no capacity.
        let lost = self.lost.keys().filter(|id| !self.drained.contains_key(id)).count();
        let capacity = (serving.len() + lost + self.starting.len()) as u32;
        if wanted > capacity {
            self.grow(wanted - capacity, look, now, &mut effects);
        } else if let Some(kept) = kept {
            let too_many = (serving.len() as u32).saturating_sub(kept);
            self.shrink(too_many, &serving, now, &mut effects);
        }
        effects
    }

    /// The start of so many machines has failed; the next try comes later.
    pub fn start_failed(&mut self, count: u32, now: Instant) {
        self.starting.truncate(self.starting.len().saturating_sub(count as usize));
        self.not_before = now.after(POOL_RETRY_AFTER);
    }

    /// A machine is gone.
    pub fn removed(&mut self, worker: WorkerId) {
        self.drained.remove(&worker);
        self.left.remove(&worker);
    }

    /// Those that it drained and has not removed: what a successor must know.
    pub fn drained(&self) -> impl Iterator<Item = WorkerId> + '_ {
        self.drained.keys().copied()
    }

    /// Machines wanted, for this moment alone.
    fn wanted_now(&self, look: &Look, serving: u32) -> u32 {
        let slots = look.slots_wanted.saturating_sub(look.slots_elsewhere);
        let size = self.rules.slots_per_worker.unwrap_or(look.slots_per_worker);
        // Of a size that nobody has seen yet one is started, to see it.
        let workers = Demand::workers(slots, size).unwrap_or_else(|| if slots > 0 { serving.max(1) } else { 0 });
        workers.clamp(self.rules.min, self.rules.max)
    }

    fn count_arrivals(&mut self, look: &Look, now: Instant) {
        let newest = *self.newest.get_or_insert(look.newest);
        let arrived = look.workers.iter().filter(|worker| worker.id > newest).count();
        self.starting.drain(..arrived.min(self.starting.len()));
        self.newest = look.workers.iter().map(|worker| worker.id).chain([newest]).max();
        self.starting.retain(|since| now.since(*since) < self.rules.start_within);
    }

    fn count_departures(&mut self, look: &Look, now: Instant) {
        let connected: BTreeSet<WorkerId> = look.workers.iter().map(|worker| worker.id).collect();
        for id in self.missing(&connected) {
            if !look.left.contains(&id) {
                self.lost.entry(id).or_insert(now);
                continue;
            }
            self.lost.remove(&id);
            if self.drained.contains_key(&id) {
                self.left.insert(id, now);
            }
        }
        for worker in &look.workers {
            self.lost.remove(&worker.id);
            self.left.remove(&worker.id);
            // By now it has heard what it was asked: it is back, or a person has let it back.
            let stays = |asked: &Asked| !worker.draining && now.since(asked.at) >= POOL_LOST_AFTER;
            if self.drained.get(&worker.id).is_some_and(stays) {
                self.drained.remove(&worker.id);
            }
        }
        let gone: Vec<WorkerId> = self.lost.iter().filter(|(_, since)| now.since(**since) >= POOL_LOST_AFTER).map(|(id, _)| *id).collect();
        for id in gone {
            self.lost.remove(&id);
            self.drained.remove(&id);
        }
        self.present = connected;
    }

    fn removals(&mut self, now: Instant) -> Vec<PoolEffect> {
        let due = self.left.iter_mut().filter(|(_, at)| **at <= now);
        due.map(|(id, at)| {
            *at = now.after(POOL_RETRY_AFTER);
            PoolEffect::Remove(*id)
        })
        .collect()
    }

    /// What has not left yet is had at once; what remains is started, as far as there may be more machines.
    fn grow(&mut self, lack: u32, look: &Look, now: Instant, effects: &mut Vec<PoolEffect>) {
        let leaving = look.workers.iter().filter(|worker| self.drained.get(&worker.id).is_some_and(|asked| !asked.back));
        let back: Vec<WorkerId> = leaving.take(lack as usize).map(|worker| worker.id).collect();
        for id in &back {
            self.drained.insert(*id, Asked { back: true, at: now });
            effects.push(PoolEffect::TakeBack(*id));
        }
        let machines = look.workers.len() + self.lost.len() + self.left.len() + self.starting.len();
        let room = self.rules.max.saturating_sub(machines as u32);
        let count = (lack - back.len() as u32).min(room);
        if count > 0 && self.not_before <= now {
            self.starting.extend(std::iter::repeat_n(now, count as usize));
            effects.push(PoolEffect::Start(count));
        }
    }

    /// The newest go first: the others have more of what tasks need in their caches.
    fn shrink(&mut self, too_many: u32, serving: &[PoolWorker], now: Instant, effects: &mut Vec<PoolEffect>) {
        let mut idle: Vec<WorkerId> = serving.iter().filter(|worker| worker.idle).map(|worker| worker.id).collect();
        idle.sort_unstable_by(|a, b| b.cmp(a));
        for id in idle.into_iter().take(too_many as usize) {
            self.drained.insert(id, Asked { back: false, at: now });
            effects.push(PoolEffect::Drain(id));
        }
    }
}
