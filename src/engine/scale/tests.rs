//! What is wanted, told as tables; what a pool does about it, as stories and in a world of machines.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::domain::testing::job_spec;
use crate::domain::{Instant, WorkerId};
use crate::engine::roster::tests::a_job;
use crate::limits::{POOL_LOST_AFTER, POOL_RETRY_AFTER};

fn needs(cpus: u32, mem_bytes: u64, gpus: u32) -> Resources {
    Resources { cpus, mem_bytes, gpus, ..Resources::default() }
}

fn load(needs: Resources, out: u32, waiting: u32) -> Load {
    Load { spec: Arc::new(JobSpec { needs, ..job_spec() }), out, waiting, owner_may: u32::MAX }
}

#[test]
fn a_task_counts_by_what_it_leaves_of_a_worker() {
    let kinds = [Kind { slots: 8, total: needs(8, 32, 0) }, Kind { slots: 4, total: needs(16, 8, 2) }];
    for (what, task, slots) in [
        ("nothing", needs(0, 0, 0), Some(1)),
        ("a part of each slot", needs(1, 4, 0), Some(1)),
        ("half of either", needs(4, 0, 0), Some(1)),
        ("two thirds of the one, none of the other", needs(3, 16, 0), Some(4)),
        ("one of two graphics processors", needs(0, 0, 1), Some(2)),
        ("all memory of the large one", needs(0, 32, 0), Some(8)),
        ("more than any has", needs(0, 33, 0), None),
        ("what no single one has", needs(0, 16, 1), None),
    ] {
        assert_eq!(slots_of_task(&task, &kinds), slots, "{what}");
        assert_eq!(slots_of_task(&task, &[]), Some(1), "{what}, before any worker was seen");
    }
}

#[test]
fn demand_is_what_runs_and_what_would() {
    let kinds = [Kind { slots: 8, total: needs(8, 32, 0) }];
    let loads = [load(needs(0, 0, 0), 3, 10), load(needs(0, 16, 0), 1, 2), load(needs(0, 64, 0), 0, 500)];
    assert_eq!(Demand::of(&loads, &kinds), Demand { slots: 3 + 10 + 4 * 3, out: 4, waiting: 12, unfit: 500 });
    let huge = [load(needs(0, 16, 0), 0, u32::MAX), load(needs(0, 0, 0), 9, u32::MAX)];
    assert_eq!(Demand::of(&huge, &kinds), Demand { slots: u32::MAX, out: 9, waiting: u32::MAX, unfit: 0 });
    for (slots, size, workers) in [(0, 8, Some(0)), (1, 8, Some(1)), (8, 8, Some(1)), (9, 8, Some(2)), (9, 0, None)] {
        assert_eq!(Demand::workers(slots, size), workers, "{slots} by {size}");
    }
}

#[test]
fn what_does_not_want_slots_now_is_no_demand() {
    let view = JobView { out: 2, wanted: 7, ..a_job(1, "ada", 9) };
    for (disk_full, waiting) in [(false, 7), (true, 0)] {
        let load = Load::of(&view, disk_full, u32::MAX);
        assert_eq!((load.out, load.waiting), (2, waiting));
    }
}

#[test]
fn what_is_beyond_a_quota_is_no_demand_and_what_fits_nothing_takes_nothing_of_it() {
    let kinds = [Kind { slots: 8, total: needs(8, 32, 0) }];
    let of = |load: Load| Load { owner_may: 3, ..load };
    let loads = [of(load(needs(0, 64, 0), 0, 500)), of(load(needs(0, 0, 0), 2, 2)), of(load(needs(0, 0, 0), 0, 9))];
    assert_eq!(Demand::of(&loads, &kinds), Demand { slots: 5, out: 2, waiting: 3, unfit: 500 });
}

const RULES: PoolRules =
    PoolRules { min: 1, max: 4, cool_down: Duration::from_secs(300), start_within: Duration::from_secs(600), slots_per_worker: Some(2) };

/// A pool that is shown a cluster of the story's making.
struct Story {
    pool: Pool,
    look: Look,
    now: Instant,
}

impl Story {
    fn new(rules: PoolRules) -> Self {
        Self { pool: Pool::new(rules, BTreeSet::new(), Instant(0)), look: Look::default(), now: Instant(0) }
    }

    fn wants(&mut self, slots: u32) -> &mut Self {
        self.look.slots_wanted = slots;
        self
    }

    /// A worker connects, or is seen in another state.
    fn worker(&mut self, id: u32, idle: bool, draining: bool) -> &mut Self {
        let worker = PoolWorker { id: WorkerId(id), idle, draining };
        self.look.workers.retain(|worker| worker.id != WorkerId(id));
        self.look.workers.push(worker);
        self.look.newest = self.look.newest.max(WorkerId(id));
        self
    }

    fn goes(&mut self, id: u32, in_order: bool) -> &mut Self {
        self.look.workers.retain(|worker| worker.id != WorkerId(id));
        if in_order {
            self.look.left.insert(WorkerId(id));
        }
        self
    }

    fn after(&mut self, seconds: u64) -> Vec<PoolEffect> {
        self.now = self.now.after(Duration::from_secs(seconds));
        self.pool.on_look(&self.look, self.now)
    }
}

#[test]
fn a_machine_is_started_once_and_waited_for() {
    let mut story = Story::new(RULES);
    assert_eq!(story.wants(5).after(0), [PoolEffect::Start(3)], "5 slots, 2 each");
    assert_eq!(story.after(10), [], "they are on their way");
    assert_eq!(story.worker(1, false, false).worker(2, false, false).after(60), []);
    assert_eq!(story.wants(100).after(10), [PoolEffect::Start(1)], "4 at most, with the one that starts");
    assert_eq!(story.worker(3, false, false).worker(4, false, false).after(60), []);
}

#[test]
fn what_does_not_come_is_started_again_and_a_hook_that_fails_is_not_hurried() {
    let mut story = Story::new(RULES);
    assert_eq!(story.wants(1).after(0), [PoolEffect::Start(1)]);
    assert_eq!(story.after(599), []);
    assert_eq!(story.after(1), [PoolEffect::Start(1)], "it has not come within its time");
    story.pool.start_failed(1, story.now);
    assert_eq!(story.after(POOL_RETRY_AFTER.as_secs() - 1), []);
    assert_eq!(story.after(1), [PoolEffect::Start(1)]);
}

#[test]
fn of_an_unknown_size_one_is_started_to_see_it() {
    let mut story = Story::new(PoolRules { min: 0, slots_per_worker: None, ..RULES });
    assert_eq!(story.wants(1000).after(0), [PoolEffect::Start(1)]);
    story.look.slots_per_worker = 300;
    assert_eq!(story.worker(1, false, false).after(60), [PoolEffect::Start(3)]);
}

#[test]
fn slots_elsewhere_are_used_first() {
    let mut story = Story::new(PoolRules { min: 0, ..RULES });
    story.look.slots_elsewhere = 6;
    assert_eq!(story.wants(6).after(0), []);
    assert_eq!(story.wants(7).after(10), [PoolEffect::Start(1)]);
}

/// Four workers that nobody needs, seen for the first time; the cool-down is over at the next look.
fn four_too_many() -> Story {
    let mut story = Story::new(RULES);
    story.worker(1, false, false).worker(2, true, false).worker(3, true, false).worker(4, false, false);
    assert_eq!(story.after(0), []);
    assert_eq!(story.after(299), [], "they may be wanted yet");
    story
}

#[test]
fn only_idle_workers_are_drained_and_only_what_has_left_is_removed() {
    let mut story = four_too_many();
    assert_eq!(story.after(1), [PoolEffect::Drain(WorkerId(3)), PoolEffect::Drain(WorkerId(2))], "two of three: the others are busy");
    assert_eq!(story.worker(2, false, true).worker(3, true, true).after(10), [], "one got a task a moment before");
    assert_eq!(story.goes(3, true).after(10), [PoolEffect::Remove(WorkerId(3))]);
    assert_eq!(story.after(10), [], "its hook is at work");
    story.pool.removed(WorkerId(3));
    assert_eq!(story.after(100), []);
    assert_eq!(story.worker(4, true, false).after(10), [PoolEffect::Drain(WorkerId(4))]);
    assert_eq!(story.goes(2, true).after(10), [PoolEffect::Remove(WorkerId(2))]);
    assert_eq!(story.after(POOL_RETRY_AFTER.as_secs()), [PoolEffect::Remove(WorkerId(2))], "until it is gone");
    assert_eq!(story.pool.drained().collect::<Vec<_>>(), [WorkerId(2), WorkerId(4)]);
}

#[test]
fn a_worker_that_is_lost_is_counted_on_for_a_while_and_never_removed() {
    let mut story = four_too_many();
    assert_eq!(story.after(1).len(), 2);
    assert_eq!(
        story.worker(3, true, true).goes(2, false).wants(8).after(5),
        [PoolEffect::TakeBack(WorkerId(3))],
        "1, 4, 3; 2 is out of sight"
    );
    assert_eq!(story.worker(3, false, false).goes(1, false).after(5), [], "4 machines: 1 and 2 may be there");
    assert_eq!(story.after(POOL_LOST_AFTER.as_secs()), [PoolEffect::Start(2)], "nobody knows of them any more");
    assert_eq!(story.goes(1, true).goes(2, true).after(10), []);
}

#[test]
fn what_was_asked_back_and_had_left_is_removed_all_the_same() {
    let mut story = four_too_many();
    assert_eq!(story.after(1).len(), 2);
    let back = story.worker(2, true, true).worker(3, true, true).wants(8).after(5);
    assert_eq!(back, [PoolEffect::TakeBack(WorkerId(3)), PoolEffect::TakeBack(WorkerId(2))].into_iter().rev().collect::<Vec<_>>());
    assert_eq!(story.goes(2, true).after(5), [PoolEffect::Remove(WorkerId(2))], "and not replaced before it is gone: 4 at most");
    story.pool.removed(WorkerId(2));
    assert_eq!(story.worker(3, false, false).after(5), [PoolEffect::Start(1)]);
}

#[test]
fn a_successor_removes_what_was_drained_before_its_time() {
    let mut pool = Pool::new(RULES, BTreeSet::from([WorkerId(7)]), Instant(0));
    assert_eq!(pool.missing(&BTreeSet::new()), BTreeSet::from([WorkerId(7)]));
    let look = Look { left: BTreeSet::from([WorkerId(7)]), newest: WorkerId(9), ..Look::default() };
    assert_eq!(pool.on_look(&look, Instant(0)), [PoolEffect::Remove(WorkerId(7)), PoolEffect::Start(1)]);
}

/// What a machine of the world is doing.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Doing {
    /// Its worker connects then.
    Starts(u64),
    /// It runs a task until then; earlier than now: it is idle.
    Works {
        until: u64,
        draining: bool,
    },
    Left,
}

/// Machines that obey a pool, tasks of any length, hooks that fail now and then.
struct World {
    pool: Pool,
    rules: PoolRules,
    machines: BTreeMap<WorkerId, Doing>,
    last: u32,
    now: u64,
    /// Nothing is started before.
    failed_until: u64,
    drains: u32,
    starts: u32,
}

impl World {
    fn new(rules: PoolRules) -> Self {
        let pool = Pool::new(rules, BTreeSet::new(), Instant(0));
        Self { pool, rules, machines: BTreeMap::new(), last: 0, now: 0, failed_until: 0, drains: 0, starts: 0 }
    }

    /// Ten seconds later. `chance` decides on all that a world decides.
    fn step(&mut self, slots_wanted: u32, chance: u64) {
        self.now += 10_000;
        let now = self.now;
        // Each machine takes one task of two slots.
        let running = self.machines.values().filter(|doing| matches!(doing, Doing::Works { until, .. } if *until > now)).count();
        let mut tasks = slots_wanted.div_ceil(2).saturating_sub(running as u32);
        for (at, doing) in self.machines.values_mut().enumerate() {
            *doing = match *doing {
                Doing::Starts(at) if at <= now => Doing::Works { until: 0, draining: false },
                Doing::Works { until, draining: true } if until <= now => Doing::Left,
                Doing::Works { until, draining: false } if until <= now && tasks > 0 => {
                    tasks -= 1;
                    Doing::Works { until: now + (chance >> (at % 32)) % 300_000, draining: false }
                }
                doing => doing,
            };
        }
        let connected = self.machines.iter().filter_map(|(id, doing)| match *doing {
            Doing::Works { until, draining } => Some(PoolWorker { id: *id, idle: until <= now, draining }),
            Doing::Starts(_) | Doing::Left => None,
        });
        let workers: Vec<PoolWorker> = connected.collect();
        let left = self.machines.iter().filter(|(_, doing)| **doing == Doing::Left).map(|(id, _)| *id).collect();
        let newest = workers.iter().map(|worker| worker.id).max().unwrap_or_default();
        let look = Look { slots_wanted, slots_elsewhere: 0, slots_per_worker: 2, newest, workers, left };
        for effect in self.pool.on_look(&look, Instant(now)) {
            self.obey(effect, &look, chance);
        }
        let serving = self.machines.values().filter(|doing| !matches!(doing, Doing::Works { draining: true, .. } | Doing::Left)).count();
        assert!(self.machines.len() <= self.rules.max as usize, "more than max: {:?}", self.machines);
        assert!(serving >= self.rules.min as usize || now < self.failed_until, "fewer than min: {:?}", self.machines);
    }

    fn obey(&mut self, effect: PoolEffect, look: &Look, chance: u64) {
        match effect {
            PoolEffect::Start(count) if chance.is_multiple_of(5) => {
                self.pool.start_failed(count, Instant(self.now));
                self.failed_until = self.now + POOL_RETRY_AFTER.as_millis() as u64;
            }
            PoolEffect::Start(count) => {
                self.starts += count;
                for _ in 0..count {
                    self.last += 1;
                    self.machines.insert(WorkerId(self.last), Doing::Starts(self.now + 1_000 + chance % 90_000));
                }
            }
            PoolEffect::Drain(id) => {
                assert!(look.workers.iter().any(|worker| worker.id == id && worker.idle && !worker.draining), "{id} is busy: {look:?}");
                self.drains += 1;
                if let Some(Doing::Works { draining, .. }) = self.machines.get_mut(&id) {
                    *draining = true;
                }
            }
            PoolEffect::TakeBack(id) => {
                if let Some(Doing::Works { draining, .. }) = self.machines.get_mut(&id) {
                    *draining = false;
                }
            }
            PoolEffect::Remove(id) => {
                assert_eq!(self.machines[&id], Doing::Left, "{id} runs");
                if !chance.is_multiple_of(7) {
                    self.machines.remove(&id);
                    self.pool.removed(id);
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn never_above_max_nor_below_min_and_never_a_busy_one(
        min in 0u32..4, more in 0u32..8, cool_down in 0u64..200, steps in proptest::collection::vec((0u32..40, any::<u64>()), 1..200),
    ) {
        let mut world = World::new(PoolRules { min, max: min + more, cool_down: Duration::from_secs(cool_down), ..RULES });
        for (wanted, chance) in steps {
            world.step(wanted, chance | 1);
        }
    }

    #[test]
    fn a_demand_that_swings_within_the_cool_down_moves_nothing(
        (low, high) in (0u32..20, 0u32..20), period in 1usize..14, chances in proptest::collection::vec(any::<u64>(), 200),
    ) {
        let rules = PoolRules { min: 0, max: 12, cool_down: Duration::from_secs(300), ..RULES };
        let mut world = World::new(rules);
        for (at, chance) in chances.into_iter().enumerate() {
            world.step(if at / period % 2 == 0 { high } else { low }, chance | 1);
        }
        let most = high.max(low).div_ceil(2);
        prop_assert_eq!(world.drains, 0, "flapping");
        prop_assert!(world.starts <= most);
    }

    #[test]
    fn what_is_wanted_for_long_is_what_there_is(wanted in 0u32..30, before in 0u32..30, chances in proptest::collection::vec(any::<u64>(), 300)) {
        let mut world = World::new(PoolRules { min: 1, max: 10, ..RULES });
        for (at, chance) in chances.into_iter().enumerate() {
            world.step(if at < 50 { before } else { wanted }, chance | 1);
        }
        prop_assert_eq!(world.machines.len() as u32, wanted.div_ceil(2).clamp(1, 10));
    }
}
