//! All tasks of a job at a glance: a cell each, or, where there are many, a cell for as many neighbours as it takes.

use crate::domain::{IndexSet, TaskNo};

/// Cells of a grid.
pub const CELLS_MAX: u32 = 10_000;

/// How a cell looks. Of what is in it the one that stands first here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Look {
    /// One has failed.
    Failed,
    /// One runs.
    Running,
    /// Some are done, and some have not started.
    Part,
    /// None has started.
    Waiting,
    /// All that are not done will never start.
    Dropped,
    /// All are done.
    Done,
}

/// Cells that look the same, one behind the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The first cell.
    pub first: u32,
    /// The one behind the last.
    pub end: u32,
    /// All of them.
    pub look: Look,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Tasks in a cell; in the last one there may be fewer.
    pub per_cell: u32,
    /// All cells, in order.
    pub runs: Vec<Run>,
}

/// What is known of a job's tasks.
#[derive(Clone, Copy, Debug)]
pub struct Tasks<'a> {
    /// How many there are.
    pub total: u32,
    /// Done.
    pub succeeded: &'a IndexSet,
    /// Failed for good.
    pub failed: &'a IndexSet,
    /// Started, and not ended; in order.
    pub running: &'a [TaskNo],
    /// What has not started never will.
    pub is_stopped: bool,
}

impl Grid {
    /// The grid of a job. Takes a time that grows with the number of cells, and of pieces that the sets are in, but not with that of tasks.
    pub fn of(tasks: Tasks<'_>) -> Self {
        let per_cell = tasks.total.div_ceil(CELLS_MAX).max(1);
        let cells = tasks.total.div_ceil(per_cell);
        let done = counts(tasks.succeeded.runs(), per_cell, cells);
        let failed = counts(tasks.failed.runs(), per_cell, cells);
        let running = counts(tasks.running.iter().map(|no| (no.0, no.0.saturating_add(1))), per_cell, cells);
        let mut runs: Vec<Run> = Vec::new();
        for (cell, ((done, failed), running)) in (0..cells).zip(done.into_iter().zip(failed).zip(running)) {
            let all = per_cell.min(tasks.total - cell * per_cell);
            let look = if failed > 0 {
                Look::Failed
            } else if running > 0 {
                Look::Running
            } else if done >= all {
                Look::Done
            } else if tasks.is_stopped {
                Look::Dropped
            } else if done > 0 {
                Look::Part
            } else {
                Look::Waiting
            };
            match runs.last_mut() {
                Some(last) if last.look == look => last.end = cell + 1,
                _ => runs.push(Run { first: cell, end: cell + 1, look }),
            }
        }
        Self { per_cell, runs }
    }
}

/// How many tasks of each cell lie in these pieces, first and behind the last.
fn counts(pieces: impl Iterator<Item = (u32, u32)>, per_cell: u32, cells: u32) -> Vec<u32> {
    let mut counts = vec![0; cells as usize];
    for (first, end) in pieces {
        let (mut at, end) = (first, end.min(cells.saturating_mul(per_cell)));
        while at < end {
            let cell = at / per_cell;
            let next = end.min((cell + 1).saturating_mul(per_cell));
            if let Some(count) = counts.get_mut(cell as usize) {
                *count += next - at;
            }
            at = next;
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// As it is meant, task by task.
    fn plainly(total: u32, done: &BTreeSet<u32>, failed: &BTreeSet<u32>, running: &BTreeSet<u32>, is_stopped: bool) -> Vec<Look> {
        let per_cell = total.div_ceil(CELLS_MAX).max(1);
        let of = |no: u32| match no {
            _ if failed.contains(&no) => Look::Failed,
            _ if running.contains(&no) => Look::Running,
            _ if done.contains(&no) => Look::Done,
            _ if is_stopped => Look::Dropped,
            _ => Look::Waiting,
        };
        let cells: Vec<u32> = (0..total).step_by(per_cell as usize).collect();
        let cell = |first: &u32| {
            let looks: BTreeSet<Look> = (*first..total.min(first + per_cell)).map(of).collect();
            let mixed = looks.contains(&Look::Done) && looks.contains(&Look::Waiting);
            let first = *looks.first().unwrap();
            if mixed && first == Look::Waiting { Look::Part } else { first }
        };
        cells.iter().map(cell).collect()
    }

    proptest! {
        #[test]
        fn a_cell_looks_like_what_is_in_it(
            total in prop_oneof![0u32..50, 9_990u32..10_010, 10_000u32..35_000],
            done in proptest::collection::vec((any::<u16>(), 1u32..6_000), 0..8),
            failed in proptest::collection::btree_set(any::<u16>(), 0..4),
            running in proptest::collection::btree_set(any::<u16>(), 0..4),
            is_stopped: bool,
        ) {
            let failed: BTreeSet<u32> = failed.into_iter().map(u32::from).filter(|no| *no < total).collect();
            let running: BTreeSet<u32> = running.into_iter().map(u32::from).filter(|no| *no < total && !failed.contains(no)).collect();
            let done: BTreeSet<u32> = done.into_iter().flat_map(|(at, len)| u32::from(at)..u32::from(at) + len)
                .filter(|no| *no < total && !failed.contains(no) && !running.contains(no)).collect();
            let set = |of: &BTreeSet<u32>| {
                let mut set = IndexSet::default();
                of.iter().for_each(|no| { set.insert(TaskNo(*no)); });
                set
            };
            let out: Vec<TaskNo> = running.iter().copied().map(TaskNo).collect();
            let grid = Grid::of(Tasks { total, succeeded: &set(&done), failed: &set(&failed), running: &out, is_stopped });
            let looks: Vec<Look> = grid.runs.iter().flat_map(|run| (run.first..run.end).map(|_| run.look)).collect();
            prop_assert_eq!(looks, plainly(total, &done, &failed, &running, is_stopped));
            prop_assert!(grid.runs.windows(2).all(|pair| pair[0].end == pair[1].first && pair[0].look != pair[1].look));
        }
    }
}
