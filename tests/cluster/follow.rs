//! `logs -f`: what a task prints, while it does.

use std::fs;
use std::io::Read;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::cluster::Cluster;
use super::plain_http::{ask, ask_with};
use super::process::{until, wait};

/// One who follows a task, with what he has heard in two files.
struct Follower {
    child: Child,
    out: std::path::PathBuf,
    err: std::path::PathBuf,
}

impl Follower {
    fn of(cluster: &Cluster, name: &str, args: &[&str]) -> Self {
        let (out, err) = (cluster.path(&format!("{name}.out")), cluster.path(&format!("{name}.err")));
        let mut command = cluster.client(&[&["logs", "-f"], args].concat());
        command.stdout(fs::File::create(&out).unwrap()).stderr(fs::File::create(&err).unwrap());
        Self { child: command.spawn().unwrap(), out, err }
    }

    fn out(&self) -> String {
        String::from_utf8(fs::read(&self.out).unwrap()).unwrap()
    }

    fn err(&self) -> String {
        String::from_utf8(fs::read(&self.err).unwrap()).unwrap()
    }

    #[track_caller]
    fn hears(&self, text: &str) {
        until(&format!("he hears {text}: {} {}", self.out(), self.err()), || self.out().contains(text));
    }

    #[track_caller]
    fn is_told(&self, text: &str) {
        until(&format!("he is told {text}: {}", self.err()), || self.err().contains(text));
    }

    /// Ends with 0.
    #[track_caller]
    fn ends(&mut self) {
        assert!(wait(&mut self.child).success(), "{}", self.err());
    }
}

/// Prints a line every 20 ms until a file is there.
fn ticking(cluster: &Cluster) -> String {
    let gate = cluster.text_path("gate");
    format!("echo begun >&2; i=0; until [ -e {gate} ]; do i=$((i+1)); echo attempt $MILLPOND_ATTEMPT line $i; sleep 0.02; done; seq 40000")
}

/// What is kept of the first task's standard output.
fn kept(cluster: &Cluster, job: &str) -> String {
    String::from_utf8(cluster.client(&["logs", &format!("{job}.0"), "--stdout"]).output().unwrap().stdout).unwrap()
}

#[test]
fn a_task_is_followed_from_before_its_start_to_its_end_by_as_many_as_want_to() {
    let mut cluster = Cluster::start(&[]);
    let job = cluster.submit_array("0", &[], &ticking(&cluster));
    let mut first = Follower::of(&cluster, "first", &["j1.0"]);
    first.is_told("j1.0 has not started");
    cluster.add_worker(1, &[]);
    first.hears("attempt 1 line 3\n");
    first.is_told("begun\n");
    cluster.millpond(&["logs", "j1.0"]).refused(4, &["`millpond logs j1.0 -f`"]);
    let mut tail = Follower::of(&cluster, "tail", &["j1.0", "--stdout", "--tail", "20"]);
    let mut whole = Follower::of(&cluster, "whole", &["j1.0", "--stdout"]);
    [&tail, &whole].iter().for_each(|follower| follower.hears("line"));
    let heard = whole.out().lines().count();
    until("more is printed", || whole.out().lines().count() > heard + 5);
    cluster.write("gate", "");
    cluster.ends(&job, 0);
    [&mut first, &mut tail, &mut whole].into_iter().for_each(Follower::ends);
    let kept = kept(&cluster, &job);
    assert!(kept.len() > 200_000 && kept.ends_with("\n40000\n"), "more than is kept in memory at the end");
    assert!(first.out() == kept && whole.out() == kept);
    assert!(tail.out().len() < kept.len() && kept.ends_with(&tail.out()), "{} of {}", tail.out().len(), kept.len());
    assert!(first.err().ends_with("j1.0 has ended: exit code 0\n"), "{}", first.err());
    let mut late = Follower::of(&cluster, "late", &["j1.0", "--tail", "6"]);
    late.ends();
    assert_eq!((late.out().as_str(), late.err().as_str()), ("40000\n", "begun\nj1.0 has ended: exit code 0\n"));
}

#[test]
fn a_follower_that_takes_nothing_holds_up_neither_the_head_nor_a_kill() {
    let cluster = Cluster::start(&[1]);
    let (size, log) = (200_000_000_u64, cluster.text_path("log"));
    let shell = format!("head -c {size} /dev/zero | tr '\\0' x; echo x >> {log}; while :; do sleep 0.1; done");
    let resident = || -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", cluster.head_pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let job = cluster.submit_array("0", &["--hold"], &shell);
    let before = resident();
    let mut command = cluster.client(&["logs", "-f", "--stdout", "j1.0"]);
    let mut slow = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    cluster.ok(&["resume", &job]);
    cluster.has_lines("log", 1);
    let mut one = [0];
    slow.stdout.as_mut().unwrap().read_exact(&mut one).unwrap();
    let grown = resident().saturating_sub(before);
    let began = Instant::now();
    let said = cluster.ok(&["kill", &job, "--running", "stop"]);
    let took = began.elapsed();
    println!("the head has grown by {grown} KiB, the kill took {took:?}: {said}");
    assert!(grown < 32 * 1024, "{grown} KiB");
    assert!(took < Duration::from_secs(1) && !said.contains("no answer"), "{took:?}: {said}");
    cluster.ends(&job, 11);
    let output = slow.wait_with_output().unwrap();
    let notes = String::from_utf8(output.stderr).unwrap();
    let left_out: u64 = notes.lines().filter_map(|line| line.strip_prefix("… ")?.split(' ').next()?.parse::<u64>().ok()).sum();
    assert!(left_out > 0 && output.status.success(), "{notes}");
    assert_eq!(1 + output.stdout.len() as u64 + left_out, size, "{notes}");
    assert!(notes.ends_with("j1.0 was stopped\n"), "{notes}");
}

#[test]
fn the_attempt_that_comes_after_a_worker_died_is_followed_too() {
    let mut cluster = Cluster::start(&[1]);
    let job = cluster.submit_array("0", &[], &ticking(&cluster));
    let mut follower = Follower::of(&cluster, "follower", &["j1.0"]);
    follower.hears("attempt 1 line 2\n");
    cluster.worker(1).dies();
    cluster.add_worker(1, &[]);
    follower.hears("attempt 2 line 2\n");
    follower.is_told("attempt 2 begins on w2");
    cluster.write("gate", "");
    cluster.ends(&job, 0);
    follower.ends();
    let out = follower.out();
    assert_eq!(&out[out.find("attempt 2").unwrap()..], kept(&cluster, &job), "of the second all");
    assert!(out[..out.find("attempt 2").unwrap()].lines().all(|line| line.starts_with("attempt 1 line ")), "of the first what came");
}

#[test]
fn a_task_that_is_tried_again_is_followed_on() {
    let cluster = Cluster::start(&[1]);
    let go = cluster.text_path("go");
    let shell = format!(
        "echo {{index}} $MILLPOND_ATTEMPT; until [ -e {go}$MILLPOND_ATTEMPT ]; do sleep 0.02; done; echo bye; exit $((2 - $MILLPOND_ATTEMPT))"
    );
    let job = cluster.submit_array("0", &["--retries", "1"], &shell);
    let mut follower = Follower::of(&cluster, "follower", &["j1.0"]);
    follower.hears("0 1\n");
    cluster.write("go1", "");
    follower.hears("0 2\n");
    cluster.write("go2", "");
    cluster.ends(&job, 0);
    follower.ends();
    assert_eq!(follower.out(), "0 1\nbye\n0 2\nbye\n");
    assert!(follower.err().contains("j1.0: attempt 2 begins on w1\n"), "{}", follower.err());
}

#[test]
fn a_frozen_task_and_a_head_that_starts_again_lose_nothing() {
    let mut cluster = Cluster::start(&[1]);
    let job = cluster.submit_array("0", &[], &ticking(&cluster));
    let mut follower = Follower::of(&cluster, "follower", &["j1.0", "--stdout"]);
    follower.hears("line 2\n");
    cluster.ok(&["pause", &job, "--running", "freeze"]);
    let stands_still = || {
        let before = follower.out().len();
        std::thread::sleep(Duration::from_millis(300));
        follower.out().len() == before
    };
    until("nothing comes any more", stands_still);
    let lines = follower.out().lines().count();
    cluster.ok(&["resume", &job]);
    until("it goes on", || follower.out().lines().count() > lines + 3);
    cluster.head_dies();
    let lines = follower.out().lines().count();
    cluster.head_starts_again();
    until("it goes on behind the restart", || follower.out().lines().count() > lines + 3);
    cluster.write("gate", "");
    cluster.ends(&job, 0);
    follower.ends();
    assert!(follower.out() == kept(&cluster, &job), "{}", follower.err());
}

#[test]
fn who_reads_no_more_ends_it_quietly() {
    let cluster = Cluster::start(&[1]);
    let job = cluster.submit_array("0", &[], &ticking(&cluster));
    let mut command = cluster.client(&["logs", "-f", "--stdout", "j1.0"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut some = [0; 10];
    child.stdout.as_mut().unwrap().read_exact(&mut some).unwrap();
    drop(child.stdout.take());
    assert!(wait(&mut child).success());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "");
    assert_eq!(cluster.count(&job, "running"), 1, "only the watching has ended");
    cluster.ok(&["kill", &job, "--running", "stop"]);
    cluster.ends(&job, 11);
}

/// The documents of a stream of events.
fn events(text: &str) -> Vec<Value> {
    text.lines().filter_map(|line| line.strip_prefix("data: ")).map(|data| serde_json::from_str(data).unwrap()).collect()
}

#[test]
fn a_browser_follows_by_events_and_goes_on_where_it_was() {
    let cluster = Cluster::start(&[1]);
    let job = cluster.submit_array("0", &[], "echo one; echo zwölf; echo oops >&2");
    cluster.ends(&job, 0);
    let follow = |query: &str, last: &[(&str, &str)]| {
        let answer = ask_with(&cluster.url, "GET", &format!("/v1/tasks/j1.0/follow{query}"), last, &[]);
        assert_eq!((answer.status, answer.header("content-type")), (200, "text/event-stream"), "{}", answer.text());
        answer.text().to_owned()
    };
    let text = follow("", &[]);
    assert!(text.contains("id: 1-11\nevent: output\n"), "{text}");
    let all = events(&text);
    assert_eq!((&all[0]["data"], &all[0]["attempt"], &all[0]["offset"]), (&"one\nzwölf\n".into(), &1.into(), &0.into()));
    assert_eq!((&all[1]["ended"], &all[1]["text"]), (&true.into(), &"j1.0 has ended: exit code 0".into()));
    assert_eq!(events(&follow("?tail=7", &[]))[0]["data"], "zwölf\n");
    assert_eq!(events(&follow("?stream=stderr", &[]))[0]["data"], "oops\n");
    assert_eq!(events(&follow("", &[("last-event-id", "1-4")]))[0]["data"], "zwölf\n");
    assert_eq!(events(&follow("", &[("last-event-id", "1-11")])).len(), 1, "nothing but the end");
    for (path, says) in [("j1.0/follow?stream=x", "stream:"), ("j1.0/follow?tail=x", "tail:"), ("j1/follow", "name a task")] {
        let answer = ask(&cluster.url, "GET", &format!("/v1/tasks/{path}"), &[]);
        assert!(answer.status == 400 && answer.text().contains(says), "{path}: {}", answer.text());
    }
}
