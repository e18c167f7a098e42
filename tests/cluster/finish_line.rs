//! The finish line: a job that is almost done is not trumped by a more important one; a job that is not, is.

use serde_json::Value;

use super::cluster::Cluster;
use super::process::until;

const SLOTS: u64 = 4;

/// A job of 100 tasks, each of which waits for its own gate, so that exactly `started` have started: those, less the slots, have ended.
fn a_job_with(started: u64) -> (Cluster, String) {
    let cluster = Cluster::start(&[SLOTS as u32]);
    let gates = cluster.text_path("gate");
    let shell =
        format!("echo first $MILLPOND_INDEX >> {}; until [ -e {gates}-$MILLPOND_INDEX ]; do sleep 0.02; done", cluster.text_path("log"));
    let job = cluster.submit_array("0-99", &[], &shell);
    (0..started - SLOTS).for_each(|index| opens(&cluster, index));
    cluster.has_lines("log", started as usize);
    until("all others have ended", || cluster.count(&job, "running") == SLOTS);
    assert_eq!(cluster.count(&job, "undispatched"), 100 - started);
    (cluster, job)
}

fn opens(cluster: &Cluster, index: u64) {
    cluster.write(&format!("gate-{index}"), "");
}

/// Submits a job of priority 10, and waits until it stands in the order, behind or before the other: the tasks before were so short that some were
/// sent ahead, which come back since none of them can start.
fn an_urgent_job_comes(cluster: &Cluster, job: &str) -> String {
    let shell = format!("echo urgent >> {}", cluster.text_path("log"));
    let urgent = cluster.submit_array("0-5", &["--priority", "10"], &shell);
    until("both wait", || [job, urgent.as_str()].iter().all(|id| !explained(cluster, id)["place"].is_null()));
    urgent
}

/// Frees one slot; what has begun in it.
fn next_after(cluster: &Cluster, gate: u64) -> String {
    let before = cluster.lines("log").len();
    opens(cluster, gate);
    cluster.has_lines("log", before + 1);
    cluster.lines("log").swap_remove(before)
}

fn explained(cluster: &Cluster, id: &str) -> Value {
    cluster.json(&["explain", id])
}

#[test]
fn a_job_with_95_of_100_tasks_started_goes_before_an_urgent_one() {
    let (cluster, job) = a_job_with(95);
    assert_eq!(cluster.show(&job)["past_finish_line"], true);
    let urgent = an_urgent_job_comes(&cluster, &job);
    let why = explained(&cluster, &urgent);
    assert!(why["rule"] == "finish line" && why["sentence"].as_str().unwrap().contains(&job), "{why}");
    for left in 0..5 {
        assert_eq!(next_after(&cluster, 91 + left), format!("first {}", 95 + left));
    }
    assert_eq!(next_after(&cluster, 96), "urgent");
    (97..100).for_each(|index| opens(&cluster, index));
    cluster.ends(&job, 0);
    cluster.ends(&urgent, 0);
}

#[test]
fn a_job_with_90_of_100_tasks_started_lets_an_urgent_one_pass() {
    let (cluster, job) = a_job_with(90);
    assert_eq!(cluster.show(&job)["past_finish_line"], false);
    let urgent = an_urgent_job_comes(&cluster, &job);
    let why = explained(&cluster, &job);
    assert!(why["rule"] == "priority" && why["sentence"].as_str().unwrap().contains(&urgent), "{why}");
    assert_eq!(next_after(&cluster, 86), "urgent");
    cluster.ends(&urgent, 0);
    (87..100).for_each(|index| opens(&cluster, index));
    cluster.ends(&job, 0);
}

#[test]
fn a_new_priority_counts_from_the_next_hand_out_on() {
    let cluster = Cluster::start(&[1]);
    let log = cluster.text_path("log");
    let gate = cluster.text_path("gate");
    let blocker = cluster.submit_array("0", &[], &format!("until [ -e {gate} ]; do sleep 0.02; done"));
    until("the slot is taken", || cluster.count(&blocker, "running") == 1);
    let old = cluster.submit_array("0-2", &["--priority", "-1"], &format!("echo old >> {log}"));
    let new = cluster.submit_array("0-2", &[], &format!("echo new >> {log}"));
    cluster.ok(&["priority", &old, "3"]);
    cluster.write("gate", "");
    cluster.ends(&new, 0);
    assert_eq!(cluster.lines("log"), ["old", "old", "old", "new", "new", "new"]);
    cluster.ends(&blocker, 0);
}
