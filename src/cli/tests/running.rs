//! Clusters of one's own: `run` and `up`, to their end or an interrupt.

use super::*;

#[tokio::test]
async fn run_brings_its_own_cluster_and_stops_it() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.zip");
    let failed = Job { tasks: Some(TaskCounts { total: 3, succeeded: 1, failed: 2, ..Default::default() }), ..job("j7", JobState::Failed) };
    let watches = [(vec![event(1, "ended", failed)], None)].into();
    let bundles = [(vec![piece(b"PK", 2, "e")], None)].into();
    let mut shell = Shell::with(Script { watches, bundles, ..Default::default() }).await;
    shell.configured = false;
    let ran = shell.run(&["run", "--array", "1-3", "--slots", "4", "-o", &out.to_string_lossy(), "--", "false"]).await;
    assert_eq!((ran.exit, ran.out), (Exit::SomeFailed, format!("j7 failed: 2 of 3 tasks failed; the bundle is {}\n", out.display())));
    assert_eq!(ran.embedded, ["start /state/millpond 4 1 None", "stop"]);
    assert_eq!(std::fs::read(&out).unwrap(), b"PK");
    assert_eq!(shell.head.script().submitted.clone().unwrap().spec.unwrap().name, "false");
}

#[tokio::test]
async fn an_interrupt_kills_the_job_and_waits_for_its_end() {
    let replies = [reply(job("j7", JobState::Finishing), true, 812)].into();
    let after_kill = vec![(vec![event(9, "ended", job("j7", JobState::Killed))], None)];
    let bundles = [(vec![piece(b"PK", 2, "e")], None)].into();
    let mut shell = Shell::with(Script { replies, after_kill, bundles, ..Default::default() }).await;
    shell.signals.0.send(()).await.unwrap();
    let ran = shell.run(&["run", "--array", "1-1000", "-o", "-", "--", "wc"]).await;
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Killed, "PK"), "{}", ran.err);
    assert!(ran.err.contains("killing j7: dropped 812, still running 16; its running tasks finish"), "{}", ran.err);
    assert_eq!(shell.asked().iter().filter(|asked| asked.starts_with("kill")).collect::<Vec<_>>(), ["kill j7 Finish"]);
}

#[tokio::test]
async fn a_second_interrupt_stops_the_running_tasks_and_a_third_does_not_wait() {
    let replies = [reply(job("j7", JobState::Finishing), true, 812), reply(job("j7", JobState::Finishing), true, 0)].into();
    let mut shell = Shell::with(Script { replies, hangs: true, ..Default::default() }).await;
    for _ in 0..3 {
        shell.signals.0.send(()).await.unwrap();
    }
    let ran = shell.run(&["run", "--array", "1-1000", "--", "wc"]).await;
    assert_eq!(ran.exit, Exit::Killed, "{}", ran.err);
    let kills: Vec<_> = shell.asked().into_iter().filter(|asked| asked.starts_with("kill")).collect();
    assert_eq!(kills, ["kill j7 Finish", "kill j7 Stop"]);
}

#[tokio::test]
async fn an_interrupt_before_the_submission_leaves_no_job() {
    let mut shell = Shell::with(Script::default()).await;
    shell.signals.0.send(()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("in.txt");
    std::fs::write(&input, "x\n").unwrap();
    let ran = shell.run(&["run", &input.to_string_lossy(), "--", "wc"]).await;
    assert_eq!(ran.exit, Exit::Killed, "{}", ran.err);
    assert!(!shell.asked().contains(&"submit".into()));
}

#[tokio::test]
async fn run_resume_goes_on_with_the_newest_live_job() {
    let held = Job { held: true, ..job("j9", JobState::Waiting) };
    let watches = [(vec![event(1, "ended", job("j9", JobState::Succeeded))], None)].into();
    let script = Script {
        jobs: vec![held.clone(), job("j2", JobState::Waiting)],
        replies: [reply(held, true, 0)].into(),
        watches,
        bundles: [(vec![piece(b"PK", 2, "e")], None)].into(),
        ..Default::default()
    };
    let mut shell = Shell::with(script).await;
    let ran = shell.run(&["run", "-o", "-", "--resume"]).await;
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Done, "PK"), "{}", ran.err);
    assert_eq!(ran.embedded, ["start /state/millpond 2 1 None", "stop"]);
    assert_eq!(shell.asked(), ["resume j9", "watch j9 from 0", "bundle j9 from 0 of ``"]);
}

#[tokio::test]
async fn up_stays_until_it_is_told_to_stop() {
    let mut shell = Shell::with(Script::default()).await;
    shell.signals.0.send(()).await.unwrap();
    let ran = shell.run(&["up", "--dir", "/d", "--workers", "2"]).await;
    assert_eq!((ran.exit, ran.out), (Exit::Done, format!("listening on {}\n", shell.url)));
    let listen: Option<SocketAddr> = "127.0.0.1:7663".parse().ok();
    assert_eq!(ran.embedded, [format!("start /d 2 2 {listen:?}"), "stop".into()]);
}
