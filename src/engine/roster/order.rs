//! The order as people see it: places, what would change them, and the hand-outs to come. Nothing here changes anything.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;

use super::{Candidate, Roster};
use crate::domain::JobId;
use crate::engine::rank::{self, Key, RankRules, Rule};
use crate::engine::view::JobView;

/// Where a job stands among those that want slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// From 1.
    pub place: u32,
    /// Why it is not further ahead; of the first, why it is not further behind.
    pub rule: Rule,
    /// Who goes just before it.
    pub behind: Option<JobId>,
}

/// What a higher priority would do for a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lift {
    /// The lowest with which it goes before all others that want slots.
    First(i32),
    /// The lowest with which it goes before all but those past their finish line, of which this one would go just before it.
    BehindFinishing(i32, JobId),
    /// None would put it further ahead.
    None,
}

/// Who gets the next slot that comes free.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextSlot {
    /// This job, whichever slot it is.
    Its,
    /// This job, unless a task of this owner ends: with one slot less his go first.
    UnlessOf(String),
    /// That depends on more.
    Open,
}

/// Hand-outs in a row to one job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandOut {
    /// The first of them, from 1.
    pub first: u32,
    /// How many.
    pub count: u32,
    /// To which job.
    pub job: JobId,
    /// Why to it, and not to the one that goes next after it; none where no other wants a slot.
    pub rule: Option<Rule>,
    /// That one.
    pub before: Option<JobId>,
}

/// The hand-outs to come, as if nothing ended and nothing came meanwhile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// The next ones.
    pub next: Vec<HandOut>,
    /// Jobs that want slots, and whose owner's quota lets them have none now.
    pub by_quota: Vec<JobId>,
    /// Jobs whose tasks fit no connected worker.
    pub unfit: Vec<JobId>,
}

/// The order, once somebody has asked for it.
#[derive(Clone, Default)]
pub(super) struct Seen(OnceLock<Vec<(Key, JobId)>>);

/// It is no state: it follows from the rest.
impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seen")
    }
}

/// A job that is handed out in thought.
struct Thought {
    view: JobView,
    wanted: u32,
}

impl Roster {
    /// The job's place among those that want slots.
    pub fn place(&self, job: JobId) -> Option<Place> {
        self.place_if(job, None)
    }

    /// The same, if that job had this priority.
    pub fn place_if(&self, job: JobId, what_if: Option<(JobId, i32)>) -> Option<Place> {
        let keys = self.in_order(what_if);
        let at = keys.iter().position(|(_, id)| *id == job)?;
        let before = at.checked_sub(1).and_then(|at| keys.get(at));
        let after = keys.get(at + 1);
        let rule = match (before, after) {
            (Some((key, _)), _) => rank::deciding_rule(key, &keys.get(at)?.0),
            (None, Some((key, _))) => rank::deciding_rule(&keys.get(at)?.0, key),
            (None, None) => Rule::Age,
        };
        Some(Place { place: at as u32 + 1, rule, behind: before.map(|(_, id)| *id) })
    }

    /// All that want slots and may have them by their owner's quota, in their order.
    pub(super) fn standings(&self, what_if: Option<(JobId, i32)>) -> Vec<(Key, JobId)> {
        let rules = self.rules();
        // What a quota holds up stands nowhere.
        let wants = self.jobs.values().filter(|job| job.wanted() > 0 && self.quota_met(&job.view.spec.owner).is_none());
        let mut keys: Vec<_> = wants.map(|job| (key_if(&job.view, &self.busy, rules, what_if), job.view.id)).collect();
        keys.sort();
        keys
    }

    /// The same without those whose tasks fit no worker, where any is connected: they hold nobody up, so they stand before nobody.
    fn in_order(&self, what_if: Option<(JobId, i32)>) -> Cow<'_, [(Key, JobId)]> {
        let is_empty = self.slots() == 0;
        let fits = |job: &JobId| is_empty || self.jobs.get(job).is_some_and(|job| self.fits_somewhere(&job.view.spec.needs));
        let order = || self.standings(what_if).into_iter().filter(|(_, job)| fits(job)).collect();
        if what_if.is_some() { Cow::Owned(order()) } else { Cow::Borrowed(self.seen.0.get_or_init(order)) }
    }

    /// The lowest priority that puts a job as far ahead as any does: asked of the order itself.
    pub fn lift(&self, job: JobId) -> Lift {
        let keys = self.in_order(None);
        let Some(at) = keys.iter().position(|(_, id)| *id == job) else { return Lift::None };
        let Some((own, _)) = keys.get(at) else { return Lift::None };
        let same_class = |(key, _): &&(Key, JobId)| key.0 == own.0;
        let Some(highest) = keys.iter().take(at).filter(same_class).map(|(key, _)| key.1.0).max() else { return Lift::None };
        let finishing = keys.iter().take(at).filter(|entry| !same_class(entry)).map(|(_, id)| *id).next_back();
        let ahead = finishing.map_or(0, |_| keys.iter().take(at).filter(|entry| !same_class(entry)).count()) as u32 + 1;
        let puts = |priority: &i32| self.place_if(job, Some((job, *priority))).is_some_and(|place| place.place == ahead);
        let lowest = [Some(highest), highest.checked_add(1)].into_iter().flatten().find(puts);
        match (lowest, finishing) {
            (Some(priority), None) => Lift::First(priority),
            (Some(priority), Some(finishing)) => Lift::BehindFinishing(priority, finishing),
            (None, _) => Lift::None,
        }
    }

    /// Who gets the next slot that comes free, if this job is the first in the order.
    pub fn next_slot(&self, job: JobId) -> NextSlot {
        // What was sent ahead of a slot takes it, whoever is first.
        let others_ahead = !self.lent.is_empty() && self.jobs.values().any(|other| other.view.id != job && other.busy() > 0);
        if others_ahead || self.kept_before(job).is_some() {
            return NextSlot::Open;
        }
        // With a task that ends its owner has a slot less: he may go first then, or may have one more.
        let mut unless = self.busy.keys().filter(|owner| self.first_with_one_less(owner) != Some(job));
        match (unless.next(), unless.next()) {
            (None, _) => NextSlot::Its,
            (Some(owner), None) => NextSlot::UnlessOf(owner.clone()),
            (Some(_), Some(_)) => NextSlot::Open,
        }
    }

    fn first_with_one_less(&self, owner: &str) -> Option<JobId> {
        let rules = self.rules();
        let less = |of: &str| u32::from(of == owner);
        let may = |of: &str| self.quotas.of(of).slots.is_none_or(|max| self.held_by(of).saturating_sub(less(of)) < max);
        let fits = |view: &JobView| self.fits_somewhere(&view.spec.needs);
        let wants = self.jobs.values().filter(|job| job.wanted() > 0 && may(&job.view.spec.owner) && fits(&job.view));
        let key = |view: &JobView| {
            let key = rank::key(view, &self.busy, rules);
            (key.0, key.1, key.2.saturating_sub(less(&view.spec.owner)), key.3)
        };
        wants.min_by_key(|job| key(&job.view)).map(|job| job.view.id)
    }

    /// The next hand-outs, at most `limit`, to whatever slots come free; with another priority of one job, if it is asked what if.
    pub fn next_hand_outs(&self, limit: u32, what_if: Option<(JobId, i32)>) -> Order {
        let (mut busy, rules, mut order) = (self.busy.clone(), self.rules(), Order::default());
        let mut thoughts: BTreeMap<JobId, Thought> = BTreeMap::new();
        for (id, job) in self.jobs.iter().filter(|(_, job)| job.wanted() > 0) {
            if !self.fits_somewhere(&job.view.spec.needs) {
                order.unfit.push(*id);
            } else if self.quota_met(&job.view.spec.owner).is_some() {
                order.by_quota.push(*id);
            } else {
                thoughts.insert(*id, thought(job, what_if));
            }
        }
        let mut held: BTreeMap<String, u32> = BTreeMap::new();
        for at in 1..=limit {
            let may = |owner: &str, held: &BTreeMap<String, u32>| {
                let held = held.get(owner).copied().unwrap_or_else(|| self.held_by(owner));
                self.quotas.of(owner).slots.is_none_or(|max| held < max)
            };
            let wants = thoughts.values().filter(|thought| thought.wanted > 0 && may(&thought.view.spec.owner, &held));
            let [first, second] = two_first(wants.map(|thought| (rank::key(&thought.view, &busy, rules), thought.view.id)));
            let Some((key, job)) = first else { break };
            let rule = second.map(|(other, _)| rank::deciding_rule(&key, &other));
            let before = second.map(|(_, id)| id);
            match order.next.last_mut().filter(|last| (last.job, last.rule, last.before) == (job, rule, before)) {
                Some(last) => last.count += 1,
                None => order.next.push(HandOut { first: at, count: 1, job, rule, before }),
            }
            let Some(thought) = thoughts.get_mut(&job) else { break };
            let owner = &thought.view.spec.owner;
            *busy.entry(owner.clone()).or_default() += 1;
            *held.entry(owner.clone()).or_insert_with(|| self.held_by(owner)) += 1;
            thought.wanted -= 1;
            thought.view.counts.undispatched = thought.view.counts.undispatched.saturating_sub(1);
            thought.view.counts.running += 1;
        }
        order
    }
}

fn thought(job: &Candidate, what_if: Option<(JobId, i32)>) -> Thought {
    let mut view = job.view.clone();
    if let Some((_, priority)) = what_if.filter(|(id, _)| *id == view.id) {
        view.priority = priority;
    }
    Thought { wanted: job.wanted(), view }
}

fn key_if(view: &JobView, busy: &BTreeMap<String, u32>, rules: RankRules, what_if: Option<(JobId, i32)>) -> Key {
    let key = rank::key(view, busy, rules);
    match what_if {
        Some((job, priority)) if job == view.id => (key.0, std::cmp::Reverse(priority), key.2, key.3),
        _ => key,
    }
}

/// The two smallest.
fn two_first(keys: impl Iterator<Item = (Key, JobId)>) -> [Option<(Key, JobId)>; 2] {
    keys.fold([None, None], |[first, second], key| match (first, second) {
        (None, _) => [Some(key), None],
        (Some(one), _) if key < one => [Some(key), Some(one)],
        (Some(one), None) => [Some(one), Some(key)],
        (Some(one), Some(two)) => [Some(one), Some(two.min(key))],
    })
}
