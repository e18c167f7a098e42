//! `millpond run` and `millpond up`: a head and workers inside the command.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;

use super::bundle::Bundle;
use super::ground::{Answer, Ground};
use super::process::{signal, until, wait};

fn millpond(ground: &Ground, args: &[&str]) -> Command {
    let mut command = ground.command(env!("CARGO_BIN_EXE_millpond"));
    command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(ground: &Ground, args: &[&str]) -> Answer {
    millpond(ground, &[&["run"], args].concat()).output().unwrap().into()
}

fn bundle(ground: &Ground, name: &str) -> Bundle {
    Bundle::of(std::fs::read(ground.path(name)).unwrap())
}

/// Ends with this exit code; what it wrote.
#[track_caller]
fn ends(mut child: Child, code: i32) -> Answer {
    wait(&mut child);
    let answer: Answer = child.wait_with_output().unwrap().into();
    assert_eq!(answer.code, code, "{answer:?}");
    answer
}

fn waits_at_the_gate(ground: &Ground) -> String {
    format!(
        "echo $MILLPOND_INDEX >> {}; [ $MILLPOND_INDEX -lt 3 ] || until [ -e {} ]; do sleep 0.02; done; echo $MILLPOND_INDEX",
        ground.text_path("log"),
        ground.text_path("gate")
    )
}

#[test]
fn run_brings_its_own_cluster_and_writes_the_bundle() {
    let ground = Ground::new();
    ground.write("words.txt", "one\ntwo\nthree\n");
    let answer = run(&ground, &["words.txt", "--split", "lines:1", "--", "tr", "a-z", "A-Z"]);
    assert!(answer.code == 0 && answer.out.contains("j1 succeeded: 3 tasks; the bundle is words-j1.zip"), "{answer:?}");
    assert_eq!(bundle(&ground, "words-j1.zip").text("000002/stdout"), "THREE\n");
    assert!(ground.path(".local/state/millpond").is_dir());

    let answer = run(&ground, &["--array", "0-3", "--slots", "4", "-o", "out.zip", "--", "sh", "-c", "echo bad >&2; exit $MILLPOND_INDEX"]);
    assert!(answer.code == 10 && answer.err.contains("j2.3 failed: exit code 3"), "{answer:?}");
    assert_eq!(bundle(&ground, "out.zip").states()["failed"], 3);
    let answer = run(&ground, &["missing.txt", "--", "cat"]);
    answer.refused(3, &["missing.txt"]);
    let answer = run(&ground, &["--resume"]);
    answer.refused(3, &["no interrupted job"]);
}

#[test]
fn an_interrupt_kills_the_job_and_the_bundle_holds_what_is_done() {
    let ground = Ground::new();
    let shell = waits_at_the_gate(&ground);
    let child = millpond(&ground, &["run", "--array", "0-9", "--slots", "2", "-o", "out.zip", "--", "sh", "-c", &shell]).spawn().unwrap();
    ground.has_lines("log", 5);
    signal(child.id(), Signal::INT);
    // The running tasks finish.
    std::thread::sleep(std::time::Duration::from_millis(300));
    ground.write("gate", "");
    let answer = ends(child, 11);
    assert!(answer.err.contains("dropped 5, still running 2"), "{answer:?}");
    assert!(answer.out.contains("j1 killed: 5 of 10 tasks done"), "{answer:?}");
    let states = bundle(&ground, "out.zip").states();
    assert_eq!((states["succeeded"], states["killed"]), (5, 5));
    assert_eq!(ground.processes(), []);
}

#[test]
fn a_second_interrupt_stops_the_running_tasks() {
    let ground = Ground::new();
    let shell = waits_at_the_gate(&ground);
    let args = ["run", "--array", "0-9", "--slots", "2", "--grace", "300ms", "-o", "out.zip", "--", "sh", "-c", &shell];
    let child = millpond(&ground, &args).spawn().unwrap();
    ground.has_lines("log", 5);
    signal(child.id(), Signal::INT);
    std::thread::sleep(std::time::Duration::from_millis(300));
    signal(child.id(), Signal::TERM);
    let answer = ends(child, 11);
    assert!(answer.out.contains("j1 killed: 3 of 10 tasks done"), "{answer:?}");
    assert_eq!(bundle(&ground, "out.zip").states()["killed"], 7);
    assert_eq!(ground.processes(), []);
}

#[test]
fn run_goes_on_after_it_was_killed_as_a_whole() {
    let ground = Ground::new();
    let shell = waits_at_the_gate(&ground);
    let mut child = millpond(&ground, &["run", "--array", "0-9", "--slots", "2", "--", "sh", "-c", &shell]).spawn().unwrap();
    ground.has_lines("log", 5);
    until("three are done", || ground.path(".local/state/millpond").exists());
    child.kill().unwrap();
    child.wait().unwrap();
    until("its tasks are gone", || ground.processes().is_empty());
    ground.write("gate", "");
    let answer = run(&ground, &["--resume", "-o", "out.zip"]);
    assert!(answer.code == 0 && answer.out.contains("j1 succeeded: 10 tasks"), "{answer:?}");
    let bundle = bundle(&ground, "out.zip");
    (0..10).for_each(|index| assert_eq!(bundle.text(&format!("{index:06}/stdout")), format!("{index}\n")));
    run(&ground, &["--resume"]).refused(3, &["no interrupted job"]);
}

#[test]
fn run_at_a_head_that_is_there_uses_it() {
    let cluster = super::cluster::Cluster::start(&[2]);
    let child = cluster.client(&["run", "--array", "0-3", "-o", "out.zip", "--format", "json", "--", "echo", "x"]).spawn().unwrap();
    let answer = ends(child, 0);
    let job: serde_json::Value = serde_json::from_str(&answer.out).unwrap();
    assert_eq!((&job["id"], &job["state"]), (&"j1".into(), &"succeeded".into()));
    assert_eq!(bundle(&cluster, "out.zip").states()["succeeded"], 4);
    cluster.millpond(&["run", "--array", "0", "--slots", "3", "--", "true"]).refused(2, &["--slots", &cluster.url]);
}

#[test]
fn up_says_where_it_listens_and_ends_when_asked() {
    let ground = Ground::new();
    let mut child = millpond(&ground, &["up", "--slots", "2", "--workers", "2", "--listen", "127.0.0.1:0"]).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let url = line.trim().strip_prefix("listening on ").unwrap().to_owned();
    let at_head = |args: &[&str]| millpond(&ground, &[&["--head", &url], args].concat()).output().unwrap();
    let submitted = at_head(&["submit", "--array", "0-9", "--", "echo", "x"]);
    assert_eq!(submitted.stdout, b"j1\n");
    assert_eq!(at_head(&["wait", "1"]).status.code(), Some(0));
    assert_eq!(String::from_utf8(at_head(&["worker", "list", "-q"]).stdout).unwrap(), "w1\nw2\n");
    // What runs does not hold it up for ever: it is asked to end, not to wait.
    at_head(&["submit", "--array", "0-9", "--", "sleep", "600"]);
    until("four run", || ground.processes().iter().filter(|(_, line)| line.contains("sleep 600")).count() == 4);
    signal(child.id(), Signal::TERM);
    ends(child, 0);
    assert_eq!(ground.processes(), []);
}
