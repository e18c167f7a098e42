//! A disk whose syncs begin to fail: the head stops, says at which file, and acknowledges nothing more. What it had acknowledged is there
//! when it starts again.
//!
//! The disk fails by a library preloaded into the head, built with `cc`; without a compiler, it says so.

use std::process::Command;

use super::cluster::Cluster;
use super::process::until;

/// A head whose syncs fail once the file `broken` is there; none, with a word, where the library can't be built.
fn cluster_with_a_disk_that_can_break() -> Option<Cluster> {
    let mut cluster = Cluster::without_head(&[]);
    let library = cluster.text_path("fail_sync.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster/fail_sync.c");
    let built = Command::new("cc").args(["-shared", "-fPIC", "-o", &library, source, "-ldl"]).output();
    if !built.as_ref().is_ok_and(|output| output.status.success()) {
        println!("skipped: the library can't be built: {built:?}");
        return None;
    }
    cluster.head_env = vec![("LD_PRELOAD".to_owned(), library), ("FAIL_SYNC_ONCE".to_owned(), cluster.text_path("broken"))];
    cluster.head_starts_at("127.0.0.1:0");
    cluster.add_worker(2, &[]);
    Some(cluster)
}

/// It ends by itself, in one line that names a file of its own; then starts again on a disk that is whole.
fn stops_and_starts_again(cluster: &mut Cluster) {
    assert_eq!(cluster.head_fails().code(), Some(1));
    let log = cluster.tail("head.log");
    let last = log.lines().last().unwrap();
    let names_a_file = last.contains(cluster.data_dir.to_str().unwrap());
    assert!(last.starts_with("millpond-head: the head had to stop: ") && last.contains("Input/output error") && names_a_file, "{log}");
    println!("{last}");
    cluster.head_env.clear();
    cluster.head_starts_again();
}

#[test]
fn a_journal_whose_syncs_fail_stops_the_head_and_acknowledges_nothing_more() {
    let Some(mut cluster) = cluster_with_a_disk_that_can_break() else { return };
    let done = cluster.submit_array("0-9", &[], "echo {index}");
    cluster.ends(&done, 0);
    let held = cluster.submit_array("0-9", &["--hold"], "echo {index}");
    let data = cluster.ok(&["data", "add", &cluster.write("in.txt", "a\nb\n")]);
    cluster.write("broken", "");
    let answer = cluster.millpond(&["priority", &held, "7"]);
    assert!(answer.code != 0 && answer.out.is_empty(), "{answer:?}");
    stops_and_starts_again(&mut cluster);
    assert_eq!(cluster.ends(&done, 0)["tasks"]["succeeded"], 10);
    until("the other is there as well", || cluster.count(&held, "undispatched") == 10);
    assert_eq!(cluster.json(&["data", "list"])["datasets"][0]["digest"], data.as_str());
    cluster.ok(&["resume", &held]);
    cluster.ends(&held, 0);
    assert_eq!(cluster.bundle(&held).text("000009/stdout"), "9\n");
}

#[test]
fn a_job_whose_files_cannot_be_synced_is_not_taken_in() {
    let Some(mut cluster) = cluster_with_a_disk_that_can_break() else { return };
    cluster.write("broken", "");
    cluster.millpond(&["submit", "--array", "0-9", "--", "true"]).refused(1, &["the job's files can't be made", "Input/output error"]);
    stops_and_starts_again(&mut cluster);
    assert_eq!(cluster.json(&["list"])["jobs"], serde_json::json!([]));
    let job = cluster.submit_array("0-9", &[], "true");
    cluster.ends(&job, 0);
}

#[test]
fn a_large_result_whose_sync_fails_is_not_acknowledged_and_comes_again() {
    let Some(mut cluster) = cluster_with_a_disk_that_can_break() else { return };
    let shell = format!(
        "until [ -e {} ]; do sleep 0.02; done; echo x >> {}; head -c 400000 /dev/urandom",
        cluster.text_path("gate"),
        cluster.text_path("runs")
    );
    let job = cluster.submit_array("0", &[], &shell);
    until("it runs", || cluster.count(&job, "running") == 1);
    cluster.write("broken", "");
    cluster.write("gate", "");
    stops_and_starts_again(&mut cluster);
    cluster.ends(&job, 0);
    assert_eq!(cluster.bundle(&job).entries["000000/stdout"].len(), 400_000);
    assert_eq!(cluster.lines("runs").len(), 1, "it ran once");
}
