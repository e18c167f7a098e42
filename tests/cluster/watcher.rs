//! Those who watch and wait, and go away in the middle.

use std::io::{BufRead, BufReader};

use serde_json::Value;

use super::cluster::Cluster;

#[test]
fn a_watcher_that_goes_away_is_not_missed() {
    let cluster = Cluster::start(&[2]);
    let job = cluster.submit_array("0-99", &[], "sleep 0.02");
    let mut watchers: Vec<_> = (0..4).map(|_| cluster.client(&["watch", &job, "--format", "jsonl"]).spawn().unwrap()).collect();
    for watcher in &mut watchers {
        let mut line = String::new();
        BufReader::new(watcher.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let event: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            (&event["version"], &event["kind"], &event["job"]["id"]),
            (&1.into(), &"snapshot".into(), &job.as_str().into()),
            "{event}"
        );
    }
    // Two are killed; two find their standard output closed, and end quietly.
    watchers.drain(..2).for_each(|mut watcher| {
        watcher.kill().unwrap();
        watcher.wait().unwrap();
    });
    for watcher in watchers {
        let output = watcher.wait_with_output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    }
    cluster.ends(&job, 0);
}

#[test]
fn a_watcher_sees_what_happens_to_its_end() {
    let cluster = Cluster::start(&[1]);
    let job = cluster.submit_array("0-3", &["--hold"], "[ $MILLPOND_INDEX != 2 ]");
    let watching = cluster.client(&["watch", &job, "--format", "jsonl"]).spawn().unwrap();
    let table = cluster.client(&["watch", &job]).spawn().unwrap();
    cluster.ok(&["priority", &job, "4"]);
    cluster.ok(&["resume", &job, "--reason", "now"]);
    let output = watching.wait_with_output().unwrap();
    let events: Vec<Value> = String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<&str> = events.iter().filter_map(|event| event["kind"].as_str()).collect();
    assert_eq!((kinds.first(), kinds.last()), (Some(&"snapshot"), Some(&"ended")), "{kinds:?}");
    assert!(kinds.contains(&"task_failed"), "{kinds:?}");
    let cursors: Vec<u64> = events.iter().filter_map(|event| event["cursor"].as_u64()).collect();
    assert!(cursors.is_sorted_by(|one, next| one < next), "{cursors:?}");
    let text = String::from_utf8(table.wait_with_output().unwrap().stdout).unwrap();
    assert!(text.contains("j1.2 failed: exit code 1"), "{text}");
}

#[test]
fn waiting_for_several_jobs_gives_the_worst_exit_code() {
    let cluster = Cluster::start(&[1]);
    let good = cluster.submit_array("0", &[], "true");
    let bad = cluster.submit_array("0", &[], "false");
    let killed = cluster.submit_array("0", &["--hold"], "true");
    cluster.ok(&["kill", &killed]);
    let code = |jobs: &[&str]| cluster.millpond(&[&["wait"], jobs].concat()).code;
    assert_eq!((code(&[&good]), code(&[&good, &bad]), code(&["1-3"])), (0, 10, 11));
}
