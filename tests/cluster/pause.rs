//! After the reply to a pause nothing starts, until resume; then everything runs, each task once.

use std::collections::BTreeSet;
use std::time::Duration;

use super::cluster::Cluster;
use super::ground::Ground;

/// That each index from 0 is in a log exactly once.
#[track_caller]
pub fn each_once(ground: &Ground, log: &str, total: u64) {
    let lines = ground.lines(log);
    let indices: BTreeSet<u64> = lines.iter().map(|line| line.parse().unwrap()).collect();
    let missing: Vec<u64> = (0..total).filter(|index| !indices.contains(index)).collect();
    let twice: Vec<&String> = lines.iter().enumerate().filter(|(at, line)| lines[..*at].contains(line)).map(|(_, line)| line).collect();
    assert!(missing.is_empty() && twice.is_empty(), "missing {missing:?}, twice {twice:?}");
    assert_eq!(indices.len() as u64, total);
}

#[test]
fn a_paused_job_starts_nothing_until_it_is_resumed_and_then_each_task_runs_once() {
    let total = 200;
    let cluster = Cluster::start(&[1, 1]);
    let shell = format!("echo $MILLPOND_INDEX >> {}; sleep 0.05", cluster.text_path("log"));
    let job = cluster.submit_array(&format!("0-{}", total - 1), &[], &shell);
    for stop in [30, 90] {
        cluster.has_lines("log", stop);
        let reply = cluster.json(&["pause", &job]);
        std::thread::sleep(Duration::from_secs(1));
        let undispatched = reply["undispatched"].as_u64().unwrap();
        assert_eq!(cluster.lines("log").len() as u64, total - undispatched, "{reply}");
        assert_eq!((&reply["held"], &reply["dropped"]), (&true.into(), &0.into()), "{reply}");
        let shown = cluster.show(&job);
        assert_eq!((&shown["state"], &shown["held"], &shown["tasks"]["running"]), (&"waiting".into(), &true.into(), &0.into()), "{shown}");
        assert!(shown["reason"].as_str().unwrap().contains("paused"), "{shown}");
        let reply = cluster.json(&["resume", &job]);
        assert_eq!(reply["held"], false, "{reply}");
    }
    let ended = cluster.ends(&job, 0);
    assert_eq!(ended["tasks"]["succeeded"], total, "{ended}");
    each_once(&cluster, "log", total);
}

#[test]
fn running_tasks_of_a_paused_job_go_on_and_a_job_may_be_submitted_paused() {
    let cluster = Cluster::start(&[2]);
    let shell = format!("until [ -e {} ]; do sleep 0.02; done", cluster.text_path("gate"));
    let job = cluster.submit_array("0-4", &["--hold"], &shell);
    let shown = cluster.show(&job);
    assert_eq!((&shown["held"], &shown["tasks"]["undispatched"]), (&true.into(), &5.into()), "{shown}");
    cluster.ok(&["resume", &job]);
    super::process::until("two run", || cluster.count(&job, "running") == 2);
    let reply = cluster.json(&["pause", &job]);
    assert_eq!((&reply["running"], &reply["undispatched"], &reply["state"]), (&2.into(), &3.into(), &"running".into()), "{reply}");
    cluster.write("gate", "");
    super::process::until("both are done", || cluster.count(&job, "succeeded") == 2);
    // Other jobs have the slots.
    let other = cluster.submit_array("0-3", &[], "true");
    cluster.ends(&other, 0);
    assert_eq!(cluster.count(&job, "undispatched"), 3);
    cluster.ok(&["resume", &job]);
    cluster.ends(&job, 0);
}
