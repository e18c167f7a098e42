//! A worker that stands still (SIGSTOP) with tasks on their way to it: verbs answer in time, name it, and promise only what they can keep.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::cluster::Cluster;
use super::pause::each_once;
use super::process::until;

/// Slots of the worker that stands still, and so how many tasks are on their way to it.
const SENT: u64 = 8;

/// Two workers, of which the second, with more slots, stands still; then a job, some of whose tasks are on the way there.
fn a_job_half_way(total: u64) -> (Cluster, String) {
    let mut cluster = Cluster::start(&[2, SENT as u32]);
    // Until it has announced its slots it is shown as busy.
    until("the worker has announced its slots", || cluster.worker_state(2) == "available");
    cluster.worker(2).stops();
    let shell = format!("echo $MILLPOND_INDEX >> {}; sleep 0.05", cluster.text_path("log"));
    let job = cluster.submit_array(&format!("0-{}", total - 1), &[], &shell);
    until("tasks are on their way to the stopped worker", || on_the_way(&cluster, &job).len() as u64 == SENT);
    cluster.has_lines("log", 10);
    (cluster, job)
}

/// Indices of the tasks in the hands of the second worker.
fn on_the_way(cluster: &Cluster, job: &str) -> Vec<String> {
    let there = |task: &&Value| task["worker"] == "w2";
    cluster.tasks(job).iter().filter(there).map(|task| task["index"].to_string()).collect()
}

/// A verb whose reply must come within three seconds and name the stopped worker.
fn answers_in_time(cluster: &Cluster, args: &[&str]) -> Value {
    let asked = Instant::now();
    let reply = cluster.json(args);
    let took = asked.elapsed();
    println!("{args:?} answered in {took:?}: {reply}");
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert_eq!(reply["unconfirmed"], json!(["w2"]), "{reply}");
    let running = reply["running"].as_u64().unwrap();
    assert!((SENT..=SENT + 2).contains(&running), "what was sent counts as running: {reply}");
    reply
}

fn away(cluster: &Cluster) {
    until("the stopped worker is given up", || cluster.worker_state(2) == "away");
}

#[test]
fn a_kill_answers_in_time_and_never_drops_what_a_stopped_worker_may_start() {
    let total = 300;
    let (mut cluster, job) = a_job_half_way(total);
    let reply = answers_in_time(&cluster, &["kill", &job]);
    let dropped = reply["dropped"].as_u64().unwrap();
    assert!(cluster.lines("log").len() as u64 <= total - dropped - SENT, "{reply}");
    cluster.worker(2).continues();
    let ended = cluster.ends(&job, 11);
    let lines = cluster.lines("log").len() as u64;
    assert!(lines <= total - dropped, "{lines} lines, {reply}");
    assert_eq!(ended["tasks"]["succeeded"], lines, "{ended}");
    assert_eq!(ended["tasks"]["killed"], total - lines, "{ended}");
}

#[test]
fn a_killed_job_ends_though_the_worker_never_answers_and_nothing_starts_when_it_comes_back() {
    let total = 300;
    let (mut cluster, job) = a_job_half_way(total);
    let reply = answers_in_time(&cluster, &["kill", &job]);
    let dropped = reply["dropped"].as_u64().unwrap();
    let ended = cluster.ends(&job, 11);
    let lines = cluster.lines("log").len() as u64;
    assert!(lines <= total - dropped - SENT, "{lines} lines, {reply}");
    assert_eq!((&ended["tasks"]["succeeded"], &ended["tasks"]["killed"]), (&lines.into(), &(total - lines).into()), "{ended}");
    cluster.worker(2).continues();
    until("the worker is back", || cluster.worker_state(2) == "available");
    let next = cluster.submit_array("0-19", &[], "sleep 0.05");
    cluster.ends(&next, 0);
    assert_eq!(cluster.lines("log").len() as u64, lines, "nothing of the killed job starts");
}

#[test]
fn a_pause_answers_in_time_and_what_a_stopped_worker_may_start_starts_nowhere_else() {
    let total = 150;
    let (mut cluster, job) = a_job_half_way(total);
    let sent = on_the_way(&cluster, &job);
    let reply = answers_in_time(&cluster, &["pause", &job]);
    std::thread::sleep(Duration::from_secs(1));
    let lines = cluster.lines("log");
    assert_eq!(lines.len() as u64, total - reply["undispatched"].as_u64().unwrap() - SENT, "{reply}");
    assert!(sent.iter().all(|index| !lines.contains(index)), "{sent:?}");
    cluster.worker(2).continues();
    // Started there, or given back: no more than what counted as running.
    std::thread::sleep(Duration::from_secs(1));
    let lines = cluster.lines("log");
    assert!(lines.len() as u64 <= total - reply["undispatched"].as_u64().unwrap(), "{reply}");
    cluster.ok(&["resume", &job]);
    assert_eq!(cluster.ends(&job, 0)["tasks"]["succeeded"], total);
    each_once(&cluster, "log", total);
}

#[test]
fn a_worker_that_stood_still_for_too_long_starts_nothing_of_what_it_was_sent() {
    let total = 60;
    let (mut cluster, job) = a_job_half_way(total);
    let sent = on_the_way(&cluster, &job);
    answers_in_time(&cluster, &["pause", &job]);
    away(&cluster);
    std::thread::sleep(Duration::from_secs(1));
    assert!(sent.iter().all(|index| !cluster.lines("log").contains(index)), "{sent:?}");
    cluster.ok(&["resume", &job]);
    assert_eq!(cluster.ends(&job, 0)["tasks"]["succeeded"], total, "the other worker does it all");
    each_once(&cluster, "log", total);
    cluster.worker(2).continues();
    until("the worker is back", || cluster.worker_state(2) == "available");
    let next = cluster.submit_array("0-19", &[], "sleep 0.05");
    cluster.ends(&next, 0);
    each_once(&cluster, "log", total);
}
