//! The record of the ETAs: what was said at set points of a job, and how often the end was in it.
//!
//! **What counts.** At 10 %, 15 %, … 95 % of its tasks a job's range is noted, if there is one. At the job's end each note is a check. A note is
//! void, and no check, when until then something happened that no forecast can know of: the job was told something (pause, priority, limit, kill,
//! retry); workers came or went; another job came, or was told something, that has no lower priority. A job that gave up, or whose actor failed,
//! has no checks.

use std::collections::BTreeMap;

use crate::domain::{EtaScore, Instant, JobId, JobState, WallTime};
use crate::engine::view::JobView;

use super::Range;

/// From so many percent of the tasks on.
const FIRST_PERCENT: u64 = 10;
/// From one point to the next.
const STEP_PERCENT: u64 = 5;

/// What was said of one job.
#[derive(Clone, Debug)]
struct Track {
    /// The next point, in percent of the tasks.
    next: u64,
    notes: Vec<(Instant, Range)>,
    priority: i32,
    told: (u32, usize, Option<WallTime>),
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Foresight {
    tracks: BTreeMap<JobId, Track>,
    slots: u32,
}

/// What a job was told, as far as it has to be told apart.
fn told(view: &JobView) -> (u32, usize, Option<WallTime>) {
    (view.round, view.said.len(), view.said.last().map(|said| said.at))
}

impl Foresight {
    /// The cluster has so many slots.
    pub fn slots(&mut self, slots: u32) {
        if slots != self.slots {
            self.slots = slots;
            self.tracks.values_mut().for_each(|track| track.notes.clear());
        }
    }

    /// A job is like this now; `range` is its ETA.
    pub fn changed(&mut self, view: &JobView, now: Instant, range: impl FnOnce() -> Option<Range>) {
        let is_told = told(view);
        let before = self.tracks.get(&view.id).map(|track| (track.told, track.priority));
        if before.is_none_or(|(told, _)| told != is_told) {
            let priority = before.map_or(view.priority, |(_, before)| before.max(view.priority));
            self.tracks.values_mut().filter(|track| track.priority <= priority).for_each(|track| track.notes.clear());
        }
        let new = || Track { next: FIRST_PERCENT, notes: Vec::new(), priority: view.priority, told: is_told };
        let track = self.tracks.entry(view.id).or_insert_with(new);
        if track.told != is_told {
            track.notes.clear();
            (track.told, track.priority) = (is_told, view.priority);
        }
        let (done, total) = (u64::from(view.counts.succeeded + view.counts.failed), u64::from(view.counts.total));
        if total > 0 && done < total && done * 100 >= total * track.next {
            track.next = done * 100 / total / STEP_PERCENT * STEP_PERCENT + STEP_PERCENT;
            track.notes.extend(range().map(|range| (now, range)));
        }
    }

    /// A job has ended: how often its end was in what was said.
    pub fn ended(&mut self, view: &JobView, now: Instant) -> EtaScore {
        let Some(track) = self.tracks.remove(&view.id) else { return EtaScore::default() };
        let ran_to_its_end = matches!(view.state, JobState::Succeeded | JobState::Failed) && view.counts.killed == 0;
        if !ran_to_its_end || track.told != told(view) {
            return EtaScore::default();
        }
        let inside = track.notes.iter().filter(|(at, range)| range.holds(now.since(*at).as_secs_f64())).count();
        EtaScore { checks: track.notes.len() as u32, inside: inside as u32 }
    }

    /// A job is gone, or begun again.
    pub fn forget(&mut self, job: JobId) {
        self.tracks.remove(&job);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::verb::{Counts, Said, Verb};
    use crate::engine::roster::tests::a_job;

    fn done(view: &JobView, done: u32) -> JobView {
        let total = view.counts.total;
        JobView { counts: Counts { total, succeeded: done, undispatched: total - done, ..Counts::default() }, ..view.clone() }
    }

    fn ended(view: &JobView, state: JobState) -> JobView {
        JobView { state, ..done(view, view.counts.total) }
    }

    fn steered(view: &JobView) -> JobView {
        let said = Said { at: WallTime(7), verb: Verb::SetPriority(1), by: String::new(), reason: String::new() };
        JobView { said: Arc::new(vec![said]), ..view.clone() }
    }

    /// A job of 100 tasks, one a second, of which `said` is said to be left beside what is true.
    fn run(foresight: &mut Foresight, job: &JobView, tasks: std::ops::Range<u32>, said: (f64, f64)) {
        for task in tasks {
            let left = f64::from(100 - task);
            let range = || Some(Range { low: left + said.0, high: left + said.1 });
            foresight.changed(&done(job, task), Instant(u64::from(task) * 1000), range);
        }
    }

    fn score(foresight: &mut Foresight, job: &JobView) -> (u32, u32) {
        let EtaScore { checks, inside } = foresight.ended(&ended(job, JobState::Succeeded), Instant(100_000));
        (checks, inside)
    }

    #[test]
    fn at_eighteen_points_it_is_noted_and_at_the_end_it_is_counted() {
        let (mut foresight, job) = (Foresight::default(), a_job(7, "ada", 100));
        run(&mut foresight, &job, 0..60, (-1.0, 1.0));
        run(&mut foresight, &job, 60..100, (1.0, 2.0));
        assert_eq!(score(&mut foresight, &job), (18, 10), "10 % to 55 % were right");
        assert_eq!(score(&mut foresight, &job), (0, 0), "once");
    }

    #[test]
    fn where_nothing_is_said_nothing_is_noted_and_many_tasks_at_once_are_one_point() {
        let (mut foresight, job) = (Foresight::default(), a_job(7, "ada", 100));
        foresight.changed(&done(&job, 42), Instant(0), || None);
        foresight.changed(&done(&job, 44), Instant(0), || panic!("not before 45 %"));
        foresight.changed(&done(&job, 77), Instant(77_000), || Some(Range { low: 20.0, high: 25.0 }));
        assert_eq!(score(&mut foresight, &job), (1, 1));
    }

    #[test]
    fn what_was_said_before_something_that_nobody_could_know_is_void() {
        let job = a_job(7, "ada", 100);
        let after = |disturb: &dyn Fn(&mut Foresight)| {
            let mut foresight = Foresight::default();
            run(&mut foresight, &job, 0..50, (-1.0, 1.0));
            disturb(&mut foresight);
            run(&mut foresight, &job, 50..100, (-1.0, 1.0));
            score(&mut foresight, &job)
        };
        let comes = |priority: i32| move |it: &mut Foresight| it.changed(&JobView { priority, ..a_job(9, "bob", 9) }, Instant(0), || None);
        assert_eq!(after(&|_| ()), (18, 18));
        assert_eq!(after(&comes(-1)), (18, 18), "a job of lower priority takes nothing away");
        assert_eq!(after(&comes(0)), (10, 10));
        assert_eq!(after(&|it| it.slots(8)), (10, 10));
        assert_eq!(after(&|it| it.forget(JobId(7))), (10, 10), "begun again");
    }

    #[test]
    fn a_job_that_was_told_something_counts_from_then_on() {
        let (mut foresight, job) = (Foresight::default(), a_job(7, "ada", 100));
        run(&mut foresight, &job, 0..50, (-1.0, 1.0));
        let other = a_job(6, "bob", 100);
        foresight.changed(&other, Instant(0), || None);
        run(&mut foresight, &job, 50..80, (-1.0, 1.0));
        foresight.changed(&steered(&other), Instant(0), || None);
        run(&mut foresight, &steered(&job), 80..100, (-1.0, 1.0));
        assert_eq!(score(&mut foresight, &steered(&job)), (4, 4));
        run(&mut foresight, &job, 0..100, (-1.0, 1.0));
        assert_eq!(foresight.ended(&ended(&job, JobState::Killed), Instant(100_000)), EtaScore::default());
    }
}
