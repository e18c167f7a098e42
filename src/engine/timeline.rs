//! What each worker has worked for, over the last quarter of an hour: so that one sees a pause, a kill or a priority take effect.
//!
//! Time is cut into stretches of fifteen seconds. Of each stretch it is known how much of a worker's slots each job has used; of a worker, of a
//! job, of a stretch there is only so much room. It is for looking at, and nothing is decided by it.

use std::collections::BTreeMap;

use crate::domain::{JobId, WallTime, WorkerId};

/// Stretches that are remembered.
pub const STRETCHES: u64 = 60;
/// How long each is, in microseconds.
pub const STRETCH_MICROS: u64 = 15_000_000;
/// Workers that are followed; those that come later, while all of these are at work, are not.
pub const WORKERS_MAX: usize = 2000;
/// Jobs of a stretch that are told apart. What others use is the last one's.
pub const JOBS_MAX: usize = 6;

/// A job's part of a stretch: whose, and microseconds of slots.
pub type Part = (JobId, u64);

/// A worker's stretches, by their number since 1970.
type Row = BTreeMap<u64, Vec<Part>>;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timeline {
    rows: BTreeMap<WorkerId, Row>,
}

/// The stretch that a moment is in.
pub fn stretch_of(at: WallTime) -> u64 {
    u64::try_from(at.0).unwrap_or(0) / STRETCH_MICROS
}

impl Timeline {
    /// Takes in that a worker has used a slot for a job, up to now, for so many microseconds.
    pub fn used(&mut self, worker: WorkerId, job: JobId, micros: u64, now: WallTime) {
        let end = u64::try_from(now.0).unwrap_or(0);
        let oldest = stretch_of(now).saturating_sub(STRETCHES - 1);
        if !self.rows.contains_key(&worker) && self.rows.len() >= WORKERS_MAX {
            self.forget(oldest);
            if self.rows.len() >= WORKERS_MAX {
                return;
            }
        }
        let row = self.rows.entry(worker).or_default();
        while row.first_key_value().is_some_and(|(stretch, _)| *stretch < oldest) {
            row.pop_first();
        }
        let mut at = end.saturating_sub(micros).max(oldest * STRETCH_MICROS);
        // What took no time at all has been there, too.
        loop {
            let stretch = at / STRETCH_MICROS;
            let until = end.min((stretch + 1) * STRETCH_MICROS);
            add(row.entry(stretch).or_default(), job, until - at);
            at = until;
            if at >= end {
                break;
            }
        }
    }

    fn forget(&mut self, oldest: u64) {
        self.rows.retain(|_, row| row.last_key_value().is_some_and(|(stretch, _)| *stretch >= oldest));
    }

    /// The last stretches of each worker up to now, those that have something: their numbers, and the jobs' parts.
    pub fn rows(&self, now: WallTime) -> impl Iterator<Item = (WorkerId, impl Iterator<Item = (u64, &[Part])>)> {
        let oldest = stretch_of(now).saturating_sub(STRETCHES - 1);
        let row = move |row: &'_ Row| row.range(oldest..).next().is_some();
        self.rows
            .iter()
            .filter(move |(_, stretches)| row(stretches))
            .map(move |(worker, stretches)| (*worker, stretches.range(oldest..).map(|(stretch, parts)| (*stretch, parts.as_slice()))))
    }
}

fn add(parts: &mut Vec<Part>, job: JobId, micros: u64) {
    let has_room = parts.len() < JOBS_MAX;
    match parts.iter_mut().find(|(known, _)| *known == job) {
        Some((_, sum)) => *sum = sum.saturating_add(micros),
        None if has_room => parts.push((job, micros)),
        None => {
            if let Some((_, sum)) = parts.last_mut() {
                *sum = sum.saturating_add(micros);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: i64 = 1_700_000_000_000_000;

    /// A worker's stretches.
    type Line = (WorkerId, Vec<(u64, Vec<Part>)>);

    fn all(timeline: &Timeline, now: WallTime) -> Vec<Line> {
        timeline.rows(now).map(|(worker, row)| (worker, row.map(|(at, parts)| (at, parts.to_vec())).collect())).collect()
    }

    #[test]
    fn a_long_task_lies_in_all_its_stretches() {
        let mut timeline = Timeline::default();
        let now = WallTime(NOW - NOW % STRETCH_MICROS as i64 + 5_000_000);
        timeline.used(WorkerId(1), JobId(7), 25_000_000, now);
        let at = stretch_of(now);
        let parts = |micros| vec![(JobId(7), micros)];
        assert_eq!(
            all(&timeline, now),
            [(WorkerId(1), vec![(at - 2, parts(5_000_000)), (at - 1, parts(15_000_000)), (at, parts(5_000_000))])]
        );
        let later = now.after(std::time::Duration::from_micros((STRETCHES - 1) * STRETCH_MICROS));
        assert_eq!(all(&timeline, later), [(WorkerId(1), vec![(at, parts(5_000_000))])]);
        assert_eq!(all(&timeline, later.after(std::time::Duration::from_micros(STRETCH_MICROS))), []);
    }

    proptest! {
        #[test]
        fn it_is_bounded_and_within_its_time_nothing_is_lost(
            used in proptest::collection::vec((0u32..3, 0u64..10, 0u64..2 * STRETCHES * STRETCH_MICROS, 0i64..3_000_000), 1..60),
        ) {
            let (mut timeline, mut now) = (Timeline::default(), NOW);
            let mut sums = BTreeMap::<WorkerId, u64>::new();
            for (worker, job, micros, wait) in used {
                now += wait;
                timeline.used(WorkerId(worker), JobId(job), micros, WallTime(now));
                // Nothing is older than the first of all, so none has gone while this ran.
                let room = now as u64 - (stretch_of(WallTime(now)) + 1 - STRETCHES) * STRETCH_MICROS;
                *sums.entry(WorkerId(worker)).or_default() += micros.min(room);
            }
            for (worker, row) in all(&timeline, WallTime(now)) {
                prop_assert!(row.len() <= STRETCHES as usize && row.iter().all(|(_, parts)| parts.len() <= JOBS_MAX));
                let sum: u64 = row.iter().flat_map(|(_, parts)| parts).map(|(_, micros)| micros).sum();
                prop_assert!(sum <= sums[&worker]);
            }
        }
    }
}
