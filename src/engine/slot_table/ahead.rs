//! Tasks that were sent ahead of a free slot, and how many may be.
//!
//! Where tasks take a millisecond, the way to the head and back would cost as much as the task. So a worker whose tasks end quickly announces
//! room ahead of its slots: for as many tasks as end within [`limits::AHEAD_WINDOW`]. They stay unstarted: a fence drops them, and where none
//! of them could start for [`limits::AHEAD_PATIENCE`] they go back to the head, at no cost.

use std::collections::VecDeque;

use crate::domain::wire::Lease;
use crate::domain::{Chunk, Instant, JobId, Resources};
use crate::limits;

/// A task that has no slot yet.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub lease: Lease,
    pub needs: Resources,
    pub chunk: Option<Chunk>,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Ahead {
    tasks: VecDeque<Waiting>,
    /// When one last came into an empty line, or got a slot.
    moved: Instant,
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
    pub fn room(&self) -> u32 {
        self.pace.allowed.saturating_sub(self.len())
    }

    pub fn push(&mut self, task: Waiting, now: Instant) {
        if self.tasks.is_empty() {
            self.moved = now;
        }
        self.tasks.push_back(task);
    }

    /// The one that is next, for a slot.
    pub fn pop(&mut self, now: Instant) -> Option<Waiting> {
        self.moved = now;
        self.tasks.pop_front()
    }

    /// Takes one out, for a slot.
    pub fn claim(&mut self, lease: &Lease, now: Instant) -> Option<Waiting> {
        let at = self.tasks.iter().position(|task| task.lease.same_attempt(lease))?;
        self.moved = now;
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
        self.claim(lease, self.moved).map(|task| task.lease)
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

    /// A task has ended, on one of so many slots.
    pub fn ended(&mut self, slots: u32, now: Instant) {
        self.pace.ended(slots, now);
    }

    /// When they go back, unless one gets a slot before.
    pub fn patience_ends(&self) -> Option<Instant> {
        (!self.tasks.is_empty()).then(|| self.moved.after(limits::AHEAD_PATIENCE))
    }
}

/// How quickly tasks end.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    since: Instant,
    ended: u32,
    allowed: u32,
}

impl Pace {
    fn ended(&mut self, slots: u32, now: Instant) {
        let span = now.since(self.since);
        if span >= limits::AHEAD_WINDOW {
            // A window that nothing ended in time says that tasks are long.
            self.allowed = if span < limits::AHEAD_WINDOW * 2 { beyond(slots, self.ended) } else { 0 };
            (self.since, self.ended) = (now, 0);
        }
        self.ended += 1;
        self.allowed = self.allowed.max(beyond(slots, self.ended));
    }
}

/// What runs now may take a whole window: those that ended beyond one on each slot are what could start.
fn beyond(slots: u32, ended: u32) -> u32 {
    ended.saturating_sub(slots).min(limits::AHEAD_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is allowed after tasks that ended every `ms` on `slots` slots.
    fn allowed(slots: u32, ms: f64) -> u32 {
        let mut pace = Pace::default();
        (1..2000).for_each(|task| pace.ended(slots, Instant(10_000 + (f64::from(task) * ms) as u64)));
        pace.allowed
    }

    #[test]
    fn as_many_go_ahead_as_end_within_a_window_beyond_those_that_run() {
        assert_eq!([(1, 0.5), (2, 0.25), (16, 0.25)].map(|(slots, ms)| allowed(slots, ms) / 10), [6, 12, 11]);
        assert_eq!(allowed(2, 0.001), limits::AHEAD_MAX.min(1997));
        assert_eq!([(1, 40.0), (2, 20.0), (16, 2.5), (1, 70.0)].map(|(slots, ms)| allowed(slots, ms)), [0; 4], "one a window is not short");
    }

    #[test]
    fn a_pause_ends_it() {
        let mut pace = Pace::default();
        (0..100).for_each(|task| pace.ended(1, Instant(task)));
        assert!(pace.allowed > 10);
        pace.ended(1, Instant(100_000));
        assert_eq!(pace.allowed, 0);
    }
}
