//! Of tasks.

use std::time::Duration;

use super::*;
use crate::domain::{Attempt, JobSpec, Outcome, WorkerId};
use crate::engine::explain::task::End;
use crate::engine::job::{Hands, Whereabouts};

fn out(hands: Hands) -> Whereabouts {
    Whereabouts::Out { attempt: Attempt(2), worker: WorkerId(3), hands, since: Some(WallTime(4)) }
}

fn end(outcome: Outcome) -> Option<End> {
    Some(End { outcome, attempt: Attempt(1), worker: WorkerId(2), at: WallTime(6) })
}

fn delayed(failures: u32, millis: u64) -> Whereabouts {
    Whereabouts::Delayed { failures, left: Duration::from_millis(millis) }
}

#[test]
fn every_situation_of_a_task_has_its_one_sentence_and_its_remedy() {
    let tried = || {
        let mut view = job();
        view.spec = std::sync::Arc::new(JobSpec { retries: 2, ..view.spec.as_ref().clone() });
        view
    };
    let killed = || ended(JobState::Killed, [10, 1, 0, 9]);
    let gave_up = || noted(ended(JobState::Failed, [10, 1, 2, 7]), "it gave up");
    let killing = || JobView { state: JobState::Finishing, killed: true, ..begun(a_job(7, "ada", 3), 3) };
    let first = "j7.5 has not started: j7 is waiting: 100 not started, first in the order; the next free slot is its own";
    let gone = "and goes to another unless that comes back within seconds";
    let settled = "nothing: it is settled within seconds";
    // The job, where the task is, how it has ended; what is said of it, and what would change it.
    let cases = [
        (job(), Whereabouts::Waiting(0), None, format!("{first}; of those that wait it is the first"), "nothing: it is next"),
        (job(), Whereabouts::Waiting(1), None, format!("{first}; before it: 1 task"), "nothing: it is next"),
        (
            held(job()),
            Whereabouts::Waiting(5),
            None,
            "j7.5 has not started: j7 is paused: 100 not started until it is resumed; before it: 5 tasks".into(),
            "`millpond resume j7`",
        ),
        (
            job(),
            Whereabouts::Limbo,
            None,
            "j7.5 may still run, since before a restart, on a worker that has not reported".into(),
            "nothing: it goes out again by itself, unless its worker claims it",
        ),
        (
            tried(),
            delayed(1, 11_200),
            None,
            "j7.5 has failed once, of 3 tries; it is tried again in 12 s".into(),
            "nothing: it is tried again by itself",
        ),
        (
            tried(),
            delayed(2, 3000),
            None,
            "j7.5 has failed 2 times, of 3 tries; it is tried again in 3 s".into(),
            "nothing: it is tried again by itself",
        ),
        (
            job(),
            Whereabouts::Condemned,
            None,
            "j7.5 has taken down too many workers, and is being failed".into(),
            "`millpond retry j7`, once it has failed",
        ),
        (
            job(),
            Whereabouts::Freed,
            None,
            "j7.5 has failed, and runs again as soon as that is durable".into(),
            "nothing: it waits for a slot in a moment",
        ),
        (job(), out(Hands::Sent), None, "j7.5 is on its way to w3, and has not started".into(), settled),
        (
            job(),
            out(Hands::Doubtful),
            None,
            "j7.5 was sent to w3, which has not said in time whether it has started: it counts as running".into(),
            settled,
        ),
        (begun(job(), 1), out(Hands::Runs), None, "j7.5 is running on w3 (attempt 2)".into(), "nothing: it runs"),
        (
            frozen(begun(job(), 1)),
            out(Hands::Frozen),
            None,
            "j7.5 stands still on w3 (attempt 2), as its job is paused so".into(),
            "`millpond resume j7`",
        ),
        (job(), out(Hands::Adrift(true)), None, format!("j7.5 was running on w3 (attempt 2), whose connection is lost, {gone}"), settled),
        (job(), out(Hands::Adrift(false)), None, format!("j7.5 was on its way to w3, whose connection is lost, {gone}"), settled),
        (killing(), out(Hands::Adrift(true)), None, "j7.5 was running on w3 (attempt 2), whose connection is lost".into(), settled),
        (
            job(),
            Whereabouts::Ended { success: true },
            end(Outcome::Exited { code: 0 }),
            "j7.5 has ended: exit code 0 (attempt 1, on w2)".into(),
            "nothing: `millpond logs j7.5` shows what it wrote",
        ),
        (
            job(),
            Whereabouts::Ended { success: false },
            end(Outcome::Exited { code: 9 }),
            "j7.5 has ended: exit code 9 (attempt 1, on w2)".into(),
            "`millpond retry j7`",
        ),
        (
            killed(),
            Whereabouts::Dropped,
            None,
            "j7.5 will not run: j7 was killed: 1 task succeeded, 9 dropped".into(),
            "submit its job again",
        ),
        (
            gave_up(),
            Whereabouts::Dropped,
            None,
            "j7.5 will not run: j7 has ended: 2 of 10 tasks failed, 7 dropped: it gave up".into(),
            "`millpond retry j7`",
        ),
    ];
    for (view, at, end, says, change) in cases {
        let roster = cluster(&case(view.clone(), "", ""));
        let of_job = job::explain(&view, &roster);
        let explanation = task::explain(5, at, &view, &of_job, end.as_ref());
        assert_eq!(explanation.sentence, says);
        assert_eq!(explanation.change.as_deref(), Some(change), "{says}");
        assert_eq!(explanation.place.is_some(), matches!(at, Whereabouts::Waiting(_)) && of_job.place.is_some(), "{says}");
    }
}

#[test]
fn a_task_is_where_it_is_since_it_was_sent_or_started_or_ended() {
    let since = |at, end: Option<End>| {
        let of_job = job::explain(&job(), &cluster(&case(job(), "", "")));
        task::explain(5, at, &job(), &of_job, end.as_ref()).since
    };
    assert_eq!(since(out(Hands::Runs), None), Some(WallTime(4)));
    assert_eq!(since(Whereabouts::Ended { success: true }, end(Outcome::Exited { code: 0 })), Some(WallTime(6)));
    assert_eq!(since(Whereabouts::Waiting(3), None), None);
}
