//! Kill is exact: what it says it dropped never runs, and everything else does.

use std::time::Instant;

use super::cluster::Cluster;
use super::ground::seconds_between;
use super::is_full;

#[test]
fn a_kill_drops_exactly_what_has_not_started_and_frees_the_slots_at_once() {
    let (rounds, total) = if is_full() { (10, 1000) } else { (3, 300) };
    let cluster = Cluster::start(&[2]);
    for round in 0..rounds {
        let log = format!("log-{round}");
        let shell = format!("echo $MILLPOND_INDEX >> {}; sleep 0.05", cluster.text_path(&log));
        let job = cluster.submit_array(&format!("0-{}", total - 1), &[], &shell);
        cluster.has_lines(&log, 30 + 7 * round);

        let asked = Instant::now();
        let reply = cluster.json(&["kill", &job]);
        let answered = asked.elapsed();
        let next = cluster.submit_array("0", &[], "true");

        let dropped = reply["dropped"].as_u64().unwrap();
        assert!(dropped > total / 2, "{reply}");
        assert_eq!((&reply["undispatched"], &reply["unconfirmed"]), (&0.into(), &serde_json::json!([])), "{reply}");
        let ended = cluster.ends(&job, 11);
        let lines = cluster.lines(&log).len() as u64;
        assert_eq!(lines, total - dropped, "{reply}");
        let tasks =
            serde_json::json!({"total": total, "undispatched": 0, "running": 0, "succeeded": lines, "failed": 0, "killed": dropped});
        assert_eq!(ended["tasks"], tasks);

        let next = cluster.ends(&next, 0);
        let waited = seconds_between(&next["created"], &next["started"]);
        println!("round {round}: dropped {dropped}, kill answered in {answered:?}, the next job started after {waited:.3} s");
        assert!(waited < 1.0, "{next}");
        assert_eq!(cluster.lines(&log).len() as u64, lines, "nothing starts after the end");
    }
}

#[test]
fn running_tasks_finish_and_count_or_are_stopped_with_all_their_children() {
    let cluster = Cluster::start(&[2]);
    let gate = cluster.path("gate");
    let shell = format!("(setsid sleep 600 &); until [ -e {} ]; do sleep 0.02; done; echo done", gate.display());
    let job = cluster.submit_array("0-9", &["--grace", "1s"], &shell);
    super::process::until("two run", || cluster.count(&job, "running") == 2);
    let reply = cluster.json(&["kill", &job]);
    assert_eq!((&reply["dropped"], &reply["running"], &reply["state"]), (&8.into(), &2.into(), &"finishing".into()), "{reply}");
    // Killed twice, and the second time for good.
    let reply = cluster.json(&["kill", &job, "--running", "stop", "--reason", "changed my mind"]);
    assert_eq!(reply["dropped"], 8, "{reply}");
    let ended = cluster.ends(&job, 11);
    assert_eq!((&ended["tasks"]["succeeded"], &ended["tasks"]["killed"]), (&0.into(), &10.into()), "{ended}");
    assert!(ended["reason"].as_str().unwrap().contains("changed my mind"), "{ended}");
    let tasks_left = cluster.processes().into_iter().filter(|(_, line)| line.contains("sleep 600")).count();
    assert_eq!(tasks_left, 0);
}

#[test]
fn several_jobs_are_killed_by_one_line() {
    let cluster = Cluster::start(&[1]);
    let jobs: Vec<String> = (0..4).map(|_| cluster.submit_array("0-99", &["--hold"], "true")).collect();
    let out = cluster.ok(&["kill", "1-2", "-q"]);
    assert_eq!(out, "j1\nj2");
    cluster.ok(&["kill", "all"]);
    for job in jobs {
        assert_eq!(cluster.ends(&job, 11)["tasks"]["killed"], 100);
    }
}
