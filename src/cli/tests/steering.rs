//! The verbs that steer jobs.

use super::*;

#[tokio::test]
async fn pause_says_what_it_met_and_what_is_left() {
    let paused = Job { held: true, ..job("j7", JobState::Running) };
    let mut unconfirmed = reply(paused.clone(), true, 0).unwrap();
    unconfirmed.unconfirmed = vec!["w3".into()];
    let replies = [reply(paused.clone(), true, 0), reply(paused.clone(), false, 0), Ok(unconfirmed)].into();
    let mut shell = Shell::with(Script { replies, ..Default::default() }).await;
    assert_eq!(shell.run(&["pause", "7"]).await.out, "j7 is paused: 812 not started, 16 running\n");
    assert_eq!(shell.run(&["pause", "j7"]).await.out, "j7 was paused already: 812 not started, 16 running\n");
    let ran = shell.run(&["pause", "j7", "--format", "json"]).await;
    let want = r#"{"version":1,"id":"j7","state":"running","held":true,"dropped":0,"undispatched":812,"running":16,"unconfirmed":["w3"]}"#;
    assert_eq!(ran.out, format!("{want}\n"));
}

#[tokio::test]
async fn a_worker_that_did_not_answer_is_named() {
    let mut unconfirmed = reply(job("j7", JobState::Finishing), true, 812).unwrap();
    unconfirmed.unconfirmed = vec!["w3".into()];
    let mut shell = Shell::with(Script { replies: [Ok(unconfirmed)].into(), ..Default::default() }).await;
    let want = "j7 is being killed: dropped 812, still running 16 (they run to their end)\n  \
                w3 did not answer in time: tasks on their way to it count as running and may still start there\n";
    assert_eq!(shell.run(&["kill", "7"]).await.out, want);
}

#[tokio::test]
async fn each_job_gets_a_line_and_a_refusal_its_exit_code() {
    let replies = [Err(Error::conflict("j3 has ended: succeeded")), reply(job("j4", JobState::Finishing), true, 812)].into();
    let jobs = vec![job("j4", JobState::Running), job("j3", JobState::Succeeded)];
    let mut shell = Shell::with(Script { jobs, replies, ..Default::default() }).await;
    let ran = shell.run(&["kill", "3-9", "--running", "stop"]).await;
    assert_eq!(ran.exit, Exit::Conflict);
    assert_eq!(ran.err, "millpond: j3 has ended: succeeded\n");
    assert_eq!(ran.out, "j4 is being killed: dropped 812, still running 16 (they are being stopped)\n");
    assert_eq!(shell.asked(), ["kill j3 Stop", "kill j4 Stop"]);
}

#[tokio::test]
async fn all_means_every_live_job_the_oldest_first() {
    let jobs = vec![job("j9", JobState::Waiting), job("j2", JobState::Running)];
    let replies = [reply(jobs[1].clone(), true, 0), reply(jobs[0].clone(), true, 0)].into();
    let mut shell = Shell::with(Script { jobs, replies, ..Default::default() }).await;
    let ran = shell.run(&["resume", "all", "-q"]).await;
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Done, "j2\nj9\n"));
    assert_eq!(shell.asked(), ["resume j2", "resume j9"]);
}

#[tokio::test]
async fn a_dry_run_asks_what_would_come_and_says_so() {
    let paused = || reply(Job { held: true, ..job("j7", JobState::Running) }, true, 0);
    let mut shell = Shell::with(Script { replies: [paused(), paused()].into(), ..Default::default() }).await;
    assert_eq!(shell.run(&["pause", "7", "--dry-run"]).await.out, "dry run: j7 is paused: 812 not started, 16 running\n");
    let out = shell.run(&["pause", "7", "--dry-run", "--format", "json"]).await.out;
    assert!(out.ends_with("\"unconfirmed\":[],\"dry_run\":true}\n"), "{out}");
    assert!(shell.asked().iter().all(|asked| asked.starts_with("preview Some(Pause(")), "{:?}", shell.asked());
}

#[tokio::test]
async fn a_job_that_ends_between_the_list_and_the_verb_is_no_failure_unless_it_was_named() {
    let ended = || Err(Error::conflict("j3 has ended (succeeded): `kill` comes too late"));
    let replies = [ended(), reply(job("j4", JobState::Running), true, 0), ended(), ended()].into();
    let jobs = vec![job("j4", JobState::Running), job("j3", JobState::Running)];
    let mut shell = Shell::with(Script { jobs, replies, ..Default::default() }).await;
    let ran = shell.run(&["kill", "all"]).await;
    assert!(ran.exit == Exit::Done && ran.out.starts_with("j4 ") && ran.err.contains("j3 has ended"), "{}", ran.err);
    assert_eq!(shell.run(&["kill", "3-3"]).await.exit, Exit::Conflict);
    assert_eq!(shell.run(&["kill", "3"]).await.exit, Exit::Conflict);
}

#[tokio::test]
async fn jobs_are_selected_by_what_they_are_and_none_is_an_error() {
    let failed = Job { tasks: Some(TaskCounts { total: 3, failed: 2, succeeded: 1, ..Default::default() }), ..job("j3", JobState::Failed) };
    let unsplit = Job { tasks: None, ..job("j2", JobState::Failed) };
    let jobs = vec![job("j4", JobState::Succeeded), failed.clone(), unsplit];
    let mut shell = Shell::with(Script { jobs, replies: [reply(failed, true, 0)].into(), ..Default::default() }).await;
    assert_eq!(shell.run(&["retry", "--owner", "ana", "-q"]).await.out, "j3\n");
    let ran = shell.run(&["kill", "all", "--name", "run-*"]).await;
    assert_eq!(
        (ran.exit, ran.err.as_str()),
        (Exit::NotFound, "millpond: no job matches `all --name run-*`: `millpond list` shows the jobs\n")
    );
    let ran = shell.run(&["kill", "8-9", "--state", "running,paused", "--label", "a=b"]).await;
    assert!(ran.exit == Exit::NotFound && ran.err.contains("`8-9 --state running,paused --label a=b`"), "{}", ran.err);
    let ran = shell.run(&["kill"]).await;
    assert!(ran.exit == Exit::Usage && ran.err.contains("3-9 or all"), "{}", ran.err);
    let ran = shell.run(&["wait", "all"]).await;
    assert_eq!((ran.exit, ran.err.as_str()), (Exit::Done, "no job is left to wait for\n"));
    assert_eq!(shell.run(&["list", "9"]).await.exit, Exit::NotFound);
    assert_eq!(shell.run(&["list", "--owner", "eve"]).await.exit, Exit::Done);
    assert_eq!(shell.asked(), ["retry j3"]);
}

#[tokio::test]
async fn priority_takes_several_jobs_or_none_but_a_filter() {
    let jobs = vec![job("j4", JobState::Running), job("j3", JobState::Running)];
    let replies = (0..5).map(|_| reply(job("j3", JobState::Running), true, 0)).collect();
    let mut shell = Shell::with(Script { jobs, replies, ..Default::default() }).await;
    assert_eq!(shell.run(&["priority", "3-4", "7", "-2"]).await.exit, Exit::Done);
    assert_eq!(shell.run(&["priority", "--owner", "ana", "5"]).await.exit, Exit::Done);
    assert_eq!(shell.asked(), ["priority j3 -2", "priority j4 -2", "priority j7 -2", "priority j3 5", "priority j4 5"]);
    let ran = shell.run(&["priority", "7", "x"]).await;
    assert!(ran.exit == Exit::Usage && ran.err.contains("`x` is no priority"), "{}", ran.err);
    let ran = shell.run(&["priority", "5"]).await;
    assert!(ran.exit == Exit::Usage && ran.err.contains("no job is named"), "{}", ran.err);
}

#[tokio::test]
async fn priority_and_limit_say_what_holds_now() {
    let j7 = || job("j7", JobState::Running);
    let replies = [reply(j7(), true, 0), reply(j7(), false, 0), reply(j7(), true, 0)].into();
    let mut shell = Shell::with(Script { replies, ..Default::default() }).await;
    assert_eq!(shell.run(&["priority", "7", "-5"]).await.out, "j7 has priority -5\n");
    assert_eq!(shell.run(&["priority", "7", "-5"]).await.out, "j7 had priority -5 already\n");
    assert_eq!(shell.run(&["limit", "7", "--max-running", "4"]).await.out, "j7 runs at most 4 at once: 16 running\n");
}
