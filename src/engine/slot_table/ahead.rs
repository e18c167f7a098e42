//! Tasks that were sent ahead of a free slot, and how many may be.
//!
//! Where tasks take a millisecond, the way to the head and back would cost as much as the task. So a worker whose tasks are short announces
//! room ahead of its slots: for as many as its slots take through in [`limits::AHEAD_WINDOW`]. They stay unstarted: a fence drops them, and
//! when one has waited for [`limits::AHEAD_PATIENCE`] all go back to the head, at no cost.

use std::collections::VecDeque;
use std::time::Duration;

use crate::domain::wire::Lease;
use crate::domain::{Chunk, Instant, JobId, Resources};
use crate::limits;

/// A task that has no slot yet.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub lease: Lease,
    pub needs: Resources,
    pub chunk: Option<Chunk>,
    /// When it came.
    pub since: Instant,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Ahead {
    /// In the order in which they came.
    tasks: VecDeque<Waiting>,
    pace: Pace,
}

impl Ahead {
    pub fn len(&self) -> u32 {
        self.tasks.len() as u32
    }

    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// For how many more there is room.
    pub fn room(&self, now: Instant) -> u32 {
        self.pace.allowed(now).saturating_sub(self.len())
    }

    pub fn push(&mut self, task: Waiting) {
        self.tasks.push_back(task);
    }

    /// The one that is next, for a slot.
    pub fn pop(&mut self) -> Option<Waiting> {
        self.tasks.pop_front()
    }

    /// Takes one out, for a slot.
    pub fn claim(&mut self, lease: &Lease) -> Option<Waiting> {
        let at = self.tasks.iter().position(|task| task.lease.same_attempt(lease))?;
        self.tasks.remove(at)
    }

    /// All, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Waiting> {
        self.tasks.iter()
    }

    /// The chunks of a job's tasks.
    pub fn chunks_of(&self, job: JobId) -> impl Iterator<Item = Chunk> {
        self.tasks.iter().filter(move |task| task.lease.job == job).filter_map(|task| task.chunk)
    }

    /// Takes one out; whether it was here.
    pub fn remove(&mut self, lease: &Lease) -> Option<Lease> {
        self.claim(lease).map(|task| task.lease)
    }

    /// Takes out those of a job.
    pub fn remove_job(&mut self, job: JobId) -> Vec<Lease> {
        let (gone, stay) = std::mem::take(&mut self.tasks).into_iter().partition(|task| task.lease.job == job);
        self.tasks = stay;
        gone.into_iter().map(|task: Waiting| task.lease).collect()
    }

    /// Takes out all.
    pub fn take_all(&mut self) -> Vec<Lease> {
        std::mem::take(&mut self.tasks).into_iter().map(|task| task.lease).collect()
    }

    /// Tasks are not as short as they were.
    pub fn slow_down(&mut self) {
        self.pace = Pace::default();
    }

    /// A task that took so long has ended, on one of so many slots.
    pub fn ended(&mut self, slots: u32, took: Duration, now: Instant) {
        self.pace.ended(slots, took, now);
    }

    /// When they go back, unless the first gets a slot before.
    pub fn patience_ends(&self) -> Option<Instant> {
        self.tasks.front().map(|first| first.since.after(limits::AHEAD_PATIENCE))
    }
}

/// How long tasks take, of those that ended last. It is the time on the slot that counts, and not how often one ends: a worker that waits for
/// its head is no slower for that.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    /// When the present window began.
    since: Instant,
    /// Of this window: how many have ended, and how long they took together.
    ended: u32,
    took: Duration,
    allowed: u32,
    /// When one last ended.
    last: Instant,
}

impl Pace {
    fn ended(&mut self, slots: u32, took: Duration, now: Instant) {
        if now.since(self.since) >= limits::AHEAD_WINDOW {
            self.allowed = self.measured(slots);
            (self.since, self.ended, self.took) = (now, 0, Duration::ZERO);
        }
        (self.ended, self.took, self.last) = (self.ended + 1, self.took + took, now);
        self.allowed = self.allowed.max(self.measured(slots));
    }

    /// What the slots take through in a window, but for those that run: they may take a whole one. A few that ended say little of the next,
    /// so what may go ahead grows with what has.
    fn measured(&self, slots: u32) -> u32 {
        let window = limits::AHEAD_WINDOW.as_millis() * u128::from(slots);
        let through = window * u128::from(self.ended) / self.took.as_millis().max(1);
        let through = through.min(u128::from(self.ended) * GROWTH).min(u128::from(limits::AHEAD_MAX + slots));
        (through as u32).saturating_sub(slots)
    }

    /// What is long ago says nothing of the next task.
    fn allowed(&self, now: Instant) -> u32 {
        if now.since(self.last) < limits::AHEAD_REMEMBERED { self.allowed } else { 0 }
    }
}

/// For each task that has ended in a window, so many are let go ahead.
const GROWTH: u128 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    /// What is allowed after tasks that each took `ms` on `slots` slots, one after the other.
    fn allowed(slots: u32, ms: u64, tasks: u32) -> u32 {
        let mut pace = Pace::default();
        let mut now = Instant(10_000);
        for task in 0..tasks {
            now = Instant(10_000 + u64::from(task / slots + 1) * ms);
            pace.ended(slots, Duration::from_millis(ms), now);
        }
        pace.allowed(now)
    }

    #[test]
    fn as_many_go_ahead_as_the_slots_take_through_in_a_window_beyond_those_that_run() {
        assert_eq!([(1, 1), (2, 1), (16, 1), (2, 4), (16, 8)].map(|(slots, ms)| allowed(slots, ms, 2000)), [31, 62, 496, 14, 48]);
        assert_eq!([(1, 32), (2, 40), (16, 33), (1, 700)].map(|(slots, ms)| allowed(slots, ms, 500)), [0; 4], "one a window is not short");
        assert_eq!(allowed(2, 0, 4000), limits::AHEAD_MAX);
    }

    #[test]
    fn a_worker_that_waits_for_its_head_is_no_slower_for_that() {
        let mut pace = Pace::default();
        for round in 0..10 {
            (0..8).for_each(|_| pace.ended(8, Duration::from_millis(1), Instant(5000 + round * 200)));
        }
        assert_eq!(pace.allowed(Instant(6800)), 56, "eight for each that ended in the last window");
    }

    #[test]
    fn few_that_ended_let_few_go_ahead() {
        assert_eq!([1, 2, 3, 10, 100].map(|tasks| allowed(2, 0, tasks)), [6, 14, 22, 78, 798]);
    }

    #[test]
    fn long_tasks_end_it_and_so_does_time() {
        let mut pace = Pace::default();
        (0..100).for_each(|task| pace.ended(1, Duration::from_millis(1), Instant(10_000 + task)));
        assert!(pace.allowed(Instant(10_100)) > 10);
        let idle = Instant(10_099).after(limits::AHEAD_REMEMBERED);
        assert_eq!(pace.allowed(idle), 0);
        pace.ended(1, Duration::from_millis(200), Instant(10_300));
        pace.ended(1, Duration::from_millis(200), Instant(10_500));
        assert_eq!(pace.allowed(Instant(10_500)), 0);
    }
}
