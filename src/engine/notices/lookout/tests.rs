use super::*;
use proptest::prelude::*;

const RULES: NoticeRules = NoticeRules { stalled_after: Duration::from_secs(60), waiting_after: Duration::from_secs(10), named: false };

fn at(seconds: i64) -> WallTime {
    WallTime(seconds * 1_000_000)
}

/// A job of ten tasks.
fn sight(job: u64, state: JobState, running: u32, succeeded: u32, failed: u32) -> Sight {
    let killed = if state == JobState::Killed { 10 - running - succeeded - failed } else { 0 };
    let counts = Counts { total: 10, undispatched: 10 - running - succeeded - failed - killed, running, succeeded, failed, killed };
    Sight { job: JobId(job), round: 1, state, counts, held: false }
}

fn words(notices: &[Notice]) -> Vec<String> {
    notices.iter().map(ToString::to_string).collect()
}

fn look(lookout: &mut Lookout, sights: &[Sight], rules: &NoticeRules, seconds: i64) -> Vec<String> {
    words(&lookout.on_look(sights, &BTreeSet::new(), rules, at(seconds)))
}

#[test]
fn what_had_happened_before_the_first_look_is_no_news_unless_jobs_are_named() {
    let ended = sight(1, JobState::Succeeded, 0, 10, 0);
    let running = sight(2, JobState::Running, 1, 3, 1);
    let mut lookout = Lookout::default();
    assert!(look(&mut lookout, &[ended, running], &RULES, 0).is_empty());
    assert_eq!(look(&mut lookout, &[sight(2, JobState::Failed, 0, 9, 1)], &RULES, 1), ["j2-r1-1-failed"]);
    let mut named = Lookout::default();
    let told = look(&mut named, &[ended, running], &NoticeRules { named: true, ..RULES }, 0);
    assert_eq!(told, ["j1-r1-1-succeeded", "j2-r1-1-task-failed"]);
    assert!(!named.is_done());
}

#[test]
fn a_job_that_came_and_ended_between_two_looks_is_told_of_once() {
    let mut lookout = Lookout::default();
    assert!(look(&mut lookout, &[], &RULES, 0).is_empty());
    let sights = [sight(1, JobState::Failed, 0, 8, 2), sight(2, JobState::Killed, 0, 3, 0)];
    assert_eq!(look(&mut lookout, &sights, &RULES, 1), ["j1-r1-1-task-failed", "j1-r1-2-failed", "j2-r1-1-killed"]);
    assert!(look(&mut lookout, &sights, &RULES, 2).is_empty());
    // A retry that has come and gone, too.
    let again = Sight { round: 2, ..sight(1, JobState::Succeeded, 0, 10, 0) };
    assert_eq!(look(&mut lookout, &[again], &RULES, 3), ["j1-r2-1-succeeded"]);
    assert!(look(&mut lookout, &[again], &RULES, 4).is_empty());
}

#[test]
fn a_job_that_waits_for_long_is_told_of_and_that_it_goes_on() {
    let mut lookout = Lookout::default();
    let waits = sight(1, JobState::Waiting, 0, 0, 0);
    look(&mut lookout, &[], &RULES, 0);
    assert!(look(&mut lookout, &[waits], &RULES, 1).is_empty());
    assert!(look(&mut lookout, &[waits], &RULES, 10).is_empty());
    assert_eq!(look(&mut lookout, &[waits], &RULES, 11), ["j1-r1-1-waiting"]);
    assert!(look(&mut lookout, &[waits], &RULES, 500).is_empty(), "once");
    assert_eq!(look(&mut lookout, &[sight(1, JobState::Running, 2, 0, 0)], &RULES, 501), ["j1-r1-2-resumed"]);
    assert!(look(&mut lookout, &[waits], &RULES, 502).is_empty());
    assert_eq!(look(&mut lookout, &[waits], &RULES, 512), ["j1-r1-3-waiting"]);
    assert_eq!(look(&mut lookout, &[sight(1, JobState::Succeeded, 0, 10, 0)], &RULES, 513), ["j1-r1-4-succeeded"]);
    assert!(lookout.is_done());
}

#[test]
fn a_job_whose_tasks_neither_start_nor_end_has_stalled() {
    let mut lookout = Lookout::default();
    let runs = |running, done| sight(1, JobState::Running, running, done, 0);
    look(&mut lookout, &[], &RULES, 0);
    look(&mut lookout, &[runs(4, 0)], &RULES, 0);
    assert!(look(&mut lookout, &[runs(4, 1)], &RULES, 59).is_empty());
    assert!(look(&mut lookout, &[runs(4, 1)], &RULES, 118).is_empty());
    assert_eq!(look(&mut lookout, &[runs(4, 1)], &RULES, 119), ["j1-r1-1-stalled"]);
    assert!(look(&mut lookout, &[runs(3, 1)], &RULES, 120).is_empty(), "a task that is lost is none that goes on");
    assert!(look(&mut lookout, &[runs(3, 1)], &RULES, 200).is_empty());
    assert_eq!(look(&mut lookout, &[runs(3, 2)], &RULES, 201), ["j1-r1-2-resumed"]);
    // Then it loses all, and waits.
    look(&mut lookout, &[sight(1, JobState::Waiting, 0, 2, 0)], &RULES, 202);
    assert_eq!(look(&mut lookout, &[sight(1, JobState::Waiting, 0, 2, 0)], &RULES, 212), ["j1-r1-3-waiting"]);
}

#[test]
fn a_paused_job_is_in_no_trouble() {
    let mut lookout = Lookout::default();
    let held = |running, held| Sight { held, ..sight(1, JobState::Waiting, running, 0, 0) };
    look(&mut lookout, &[], &RULES, 0);
    look(&mut lookout, &[held(0, true)], &RULES, 0);
    assert!(look(&mut lookout, &[held(0, true)], &RULES, 1000).is_empty());
    assert!(look(&mut lookout, &[held(0, false)], &RULES, 1001).is_empty(), "its wait begins now");
    assert_eq!(look(&mut lookout, &[held(0, false)], &RULES, 1011), ["j1-r1-1-waiting"]);
    assert!(look(&mut lookout, &[held(0, true)], &RULES, 1012).is_empty());
    assert!(look(&mut lookout, &[held(3, true)], &RULES, 9000).is_empty(), "frozen tasks stand still by will");
}

#[test]
fn a_job_that_is_gone_was_deleted() {
    let mut lookout = Lookout::default();
    look(&mut lookout, &[sight(3, JobState::Running, 1, 0, 0)], &RULES, 0);
    assert_eq!(lookout.missing(|_| false), BTreeSet::from([JobId(3)]));
    let notices = lookout.on_look(&[], &lookout.missing(|_| false), &RULES, at(1));
    assert_eq!(words(&notices), ["j3-r1-1-deleted"]);
    assert!(lookout.is_done() && lookout.missing(|_| false).is_empty());
}

#[test]
fn ends_are_remembered_up_to_a_limit() {
    let mut lookout = Lookout::default();
    let all: Vec<Sight> = (1..=NOTICED_ENDS_MAX as u64 + 5).map(|job| sight(job, JobState::Succeeded, 0, 10, 0)).collect();
    look(&mut lookout, &all, &RULES, 0);
    assert_eq!((lookout.ended().count(), lookout.ended().next()), (NOTICED_ENDS_MAX, Some(JobId(6))));
}

/// What happens to jobs, by a few bytes: each byte moves one of four jobs on.
fn move_on(jobs: &mut [Option<Sight>; 4], step: u8) {
    // A job has a higher number than all that came before it.
    let newest = jobs.iter().flatten().count() as u64;
    let slot = &mut jobs[usize::from(step & 3)];
    let Some(sight) = slot else {
        *slot = Some(self::sight(newest + 1, JobState::Waiting, 0, 0, 0));
        return;
    };
    let Counts { undispatched, running, succeeded, failed, .. } = sight.counts;
    let (job, round) = (sight.job.0, sight.round);
    let next = match step >> 2 & 7 {
        _ if sight.state.is_final() => {
            // A retry.
            self::sight(job, JobState::Waiting, 0, succeeded, 0)
        }
        0..3 if undispatched > 0 => self::sight(job, JobState::Running, running + 1, succeeded, failed),
        3 if running > 0 => self::sight(job, JobState::Running, running - 1, succeeded, failed + 1),
        4 if step & 128 != 0 => self::sight(job, JobState::Killed, 0, succeeded, failed),
        _ if running > 0 => self::sight(job, JobState::Running, running - 1, succeeded + 1, failed),
        _ if undispatched == 0 && failed > 0 => self::sight(job, JobState::Failed, 0, succeeded, failed),
        _ if undispatched == 0 => self::sight(job, JobState::Succeeded, 0, succeeded, 0),
        _ => *sight,
    };
    let round = if sight.state.is_final() { round + 1 } else { round };
    *slot = Some(Sight { round, ..next });
}

proptest! {
    /// Whatever is seen or missed, and however often the watcher begins again with what it noted when it had something to tell: the end of each
    /// job's last round is told once, the notices of a round are numbered without gaps, and nothing comes behind its end.
    #[test]
    fn every_end_is_told_once(steps in prop::collection::vec((any::<u8>(), 0u8..8), 1..300)) {
        let mut jobs = [None; 4];
        let mut lookout = Lookout::default();
        lookout.on_look(&[], &BTreeSet::new(), &RULES, at(0));
        let mut kept = serde_json::to_string(&lookout).unwrap();
        let mut told: Vec<Notice> = Vec::new();
        let mut now = 0;
        for (step, what) in steps.into_iter().chain([(255, 0)]) {
            if what < 7 && step != 255 {
                move_on(&mut jobs, step);
            }
            now += i64::from(step);
            if what == 7 {
                lookout = serde_json::from_str(&kept).unwrap();
            }
            if what > 2 || step == 255 {
                let sights: Vec<Sight> = jobs.iter().flatten().copied().collect();
                let notices = lookout.on_look(&sights, &BTreeSet::new(), &RULES, at(now));
                if !notices.is_empty() {
                    kept = serde_json::to_string(&lookout).unwrap();
                }
                told.extend(notices);
            }
        }
        for sight in jobs.iter().flatten() {
            let of: Vec<&Notice> = told.iter().filter(|notice| notice.job == sight.job).collect();
            for round in 1..=sight.round {
                let of: Vec<&&Notice> = of.iter().filter(|notice| notice.round == round).collect();
                prop_assert!(of.iter().enumerate().all(|(at, notice)| notice.number as usize == at + 1), "{of:?}");
                let ends = of.iter().filter(|notice| notice.kind.is_end()).count();
                let is_over = round == sight.round && sight.state.is_final();
                prop_assert!(if is_over { ends == 1 } else { ends <= usize::from(round < sight.round) }, "{of:?}");
                prop_assert!(ends == 0 || of.last().is_some_and(|last| last.kind.is_end()), "{of:?}");
                prop_assert!(of.iter().filter(|notice| notice.kind == NoticeKind::TaskFailed).count() <= 1);
            }
        }
    }
}
