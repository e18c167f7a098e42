//! Starting and ending the daemons, and what they refuse.

use super::cluster::Cluster;
use super::ground::{Answer, Ground};
use super::process::until;
use serde_json::Value;

fn head(ground: &Ground, listen: &str, dir: &str) -> Answer {
    let mut command = ground.command(env!("CARGO_BIN_EXE_millpond-head"));
    command.args(["--listen", listen, "--data-dir", &ground.text_path(dir)]).env("RUST_LOG", "off").output().unwrap().into()
}

fn worker(ground: &Ground, head: &str) -> Answer {
    let mut command = ground.command(env!("CARGO_BIN_EXE_millpond-worker"));
    command.args(["--head", head, "--dir", &ground.text_path("w")]).env("RUST_LOG", "off").output().unwrap().into()
}

#[test]
fn a_second_head_on_the_same_data_and_a_port_in_use_are_refused() {
    let cluster = Cluster::start(&[]);
    head(&cluster, "127.0.0.1:0", "head")
        .refused(4, &[&cluster.text_path("head"), &format!("in use by process {} on ", cluster.head_pid())]);
    let taken = cluster.url.strip_prefix("http://").unwrap();
    head(&cluster, taken, "other").refused(4, &[taken, "in use", "--listen"]);
    cluster.ok(&["list"]);
}

#[test]
fn an_address_that_others_can_reach_needs_a_word() {
    let ground = Ground::new();
    head(&ground, "0.0.0.0:0", "head").refused(5, &["0.0.0.0:0", "--insecure"]);
    head(&ground, "[::]:0", "head").refused(5, &["--insecure"]);
    assert!(!ground.path("head").exists(), "it has not begun");
}

#[test]
fn a_data_folder_that_cannot_be_one_is_named() {
    let ground = Ground::new();
    ground.write("file", "");
    let answer = head(&ground, "127.0.0.1:0", "file");
    answer.refused(answer.code, &[&ground.text_path("file")]);
    assert_ne!(answer.code, 0);
}

#[test]
fn a_worker_is_refused_a_wrong_address_but_waits_for_a_head_that_is_not_there_yet() {
    let mut cluster = Cluster::start(&[]);
    worker(&cluster, "localhost:1").refused(2, &["localhost:1", "http://HOST:PORT"]);
    cluster.head_dies();
    let mut command = cluster.command(env!("CARGO_BIN_EXE_millpond-worker"));
    command.args(["--head", &cluster.url, "--dir", &cluster.text_path("w")]).stderr(std::process::Stdio::null());
    let mut child = command.spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    cluster.head_starts_again();
    until("it is connected", || cluster.worker_state(1) == "available");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_second_worker_in_the_same_folder_is_refused() {
    let mut cluster = Cluster::start(&[1]);
    let mut command = cluster.command(env!("CARGO_BIN_EXE_millpond-worker"));
    command.args(["--head", &cluster.url, "--dir", &cluster.text_path("worker-1")]).env("RUST_LOG", "off");
    let answer: Answer = command.output().unwrap().into();
    answer.refused(4, &["worker-1", "in use by process "]);
    assert!(cluster.worker(1).is_alive());
}

#[test]
fn a_head_that_is_asked_to_end_ends_in_order_and_gives_all_back_afterwards() {
    let mut cluster = Cluster::start(&[2]);
    let done = cluster.submit_array("0-9", &["--name", "done"], "echo x");
    cluster.ends(&done, 0);
    let job = cluster.submit_array("0-9", &[], &format!("until [ -e {} ]; do sleep 0.02; done", cluster.text_path("gate")));
    until("two run", || cluster.count(&job, "running") == 2);
    let status = cluster.head_ends();
    assert_eq!(status.code(), Some(0), "{}", cluster.tail("head.log"));
    cluster.millpond(&["list"]).refused(6, &[&cluster.url, "is it running?"]);
    cluster.head_starts_again();
    cluster.write("gate", "");
    cluster.ends(&job, 0);
    assert_eq!(cluster.show(&done)["name"], "done");
    assert_eq!(cluster.bundle(&done).states()["succeeded"], 10);
}

/// Each line of a log, which has to be an object of JSON with the usual fields.
#[track_caller]
fn json_lines(text: &str) -> Vec<Value> {
    let read = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(line["timestamp"].as_str().is_some_and(|at| at.parse::<jiff::Timestamp>().is_ok()), "{line}");
        assert!(line["level"].is_string() && line["message"].is_string(), "{line}");
        line
    };
    text.lines().map(read).collect()
}

#[test]
fn each_line_of_a_log_is_an_object_where_that_was_asked_for() {
    let mut cluster = Cluster::start_with(&[], &["--log-format", "json"]);
    cluster.add_worker(1, &["--log-format", "json"]);
    let job = cluster.submit_array("0-1", &[], "exit 3");
    cluster.ends(&job, 10);
    cluster.head_ends();
    cluster.head_starts_again();
    cluster.worker_is_connected(1);
    cluster.worker(1).is_asked_to_end();
    cluster.worker(1).ends();
    let said = |name: &str| json_lines(&std::fs::read_to_string(cluster.path(name)).unwrap());
    let (head, worker) = (said("head.log"), said("worker-1.log"));
    let attached = |line: &&Value| line["message"] == "worker attached" && line["worker"] == "w1" && line["slots"] == 1;
    assert_eq!(head.iter().filter(attached).count(), 2, "{head:?}");
    assert!(worker.iter().any(|line| line["message"].as_str().unwrap().contains("taking no more")), "{worker:?}");
}

#[test]
fn the_last_words_of_a_daemon_are_an_object_too_and_the_environment_may_ask_for_it() {
    let cluster = Cluster::start(&[]);
    let again = |format: &str| {
        let mut command = cluster.command(env!("CARGO_BIN_EXE_millpond-head"));
        command.args(["--listen", "127.0.0.1:0", "--data-dir", &cluster.text_path("head")]).env("MILLPOND_LOG_FORMAT", format);
        Answer::from(command.output().unwrap())
    };
    let answer = again("json");
    let lines = json_lines(&answer.err);
    assert_eq!((answer.code, lines.last().unwrap()["level"].as_str()), (4, Some("ERROR")), "{answer:?}");
    assert!(lines.last().unwrap()["message"].as_str().unwrap().contains("in use by process "), "{answer:?}");
    again("xml").refused(2, &["xml", "--log-format", "json"]);
    // Also where the head's binary does something else.
    let mut backup = cluster.command(env!("CARGO_BIN_EXE_millpond-head"));
    backup.args(["backup", "there", "--head", &cluster.url]).env("MILLPOND_LOG_FORMAT", "json");
    assert_eq!(Answer::from(backup.output().unwrap()).code, 0);
}
