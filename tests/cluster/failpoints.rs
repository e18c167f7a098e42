//! A head or a worker dies at each named place in turn, in the middle of a small job over an upload, and is started again: the bundle is
//! right, what was acknowledged is there, and no task runs again whose end the head knew.

use millpond::failpoint;
use serde_json::Value;

use super::cluster::Cluster;
use super::is_full;
use super::pause::each_once;
use super::process::until;

const TASKS: u64 = 8;
const VARIABLE: &str = "MILLPOND_FAILPOINT";

/// Dies at a place when it comes there for the nth time; whether anybody did.
fn dies(place: &'static str, nth: u32) -> bool {
    let plan = format!("{place}:{nth}=kill");
    let mut cluster = Cluster::start(&[2]);
    let earlier = cluster.submit_array("0-2", &["--name", "earlier"], "true");
    cluster.ends(&earlier, 0);
    let held = cluster.submit_array("0-2", &["--hold", "--priority", "5"], "true");
    let struck = if place.starts_with("worker.") { worker_dies(&mut cluster, &plan) } else { head_dies(&mut cluster, &plan) };
    let shown = cluster.show(&held);
    assert!(shown["held"] == true && shown["priority"] == 5, "{plan}: {shown}");
    assert_eq!(cluster.bundle(&earlier).states()["succeeded"], 3, "{plan}");
    println!("{plan}: {}", if struck { "struck" } else { "nobody came" });
    struck
}

fn head_dies(cluster: &mut Cluster, plan: &str) -> bool {
    cluster.head_dies();
    cluster.head_env = vec![(VARIABLE.to_owned(), plan.to_owned())];
    // A snapshot is written before the head listens.
    let mut struck = cluster.head_tries_to_start().is_err_and(|why| why.contains("signal: 9"));
    let mut revive = |cluster: &mut Cluster| {
        if !cluster.head_is_alive() {
            struck = true;
            cluster.head_env.clear();
            cluster.head_starts_again();
        }
    };
    let job = submits(cluster, &mut revive);
    until(&format!("{plan}: the job is over"), || {
        revive(cluster);
        is_over(cluster, &job)
    });
    is_right(cluster, &job, plan);
    // The worker has lived: nothing at all runs again.
    each_once(cluster, "log", TASKS);
    struck
}

fn worker_dies(cluster: &mut Cluster, plan: &str) -> bool {
    // A new epoch, for the worker to keep.
    cluster.head_dies();
    cluster.worker(1).dies();
    cluster.head_starts_again();
    cluster.worker_starts_again(1, &[(VARIABLE, plan)]);
    let job = submits(cluster, &mut |_| {});
    let mut done_before = None;
    until(&format!("{plan}: the job is over"), || {
        if !cluster.worker(1).is_alive() {
            done_before = Some(succeeded(cluster, &job));
            cluster.worker_starts_again(1, &[]);
        }
        is_over(cluster, &job)
    });
    is_right(cluster, &job, plan);
    let log = cluster.lines("log");
    for index in done_before.iter().flatten() {
        assert_eq!(log.iter().filter(|line| *line == index).count(), 1, "{plan}: task {index} was done");
    }
    done_before.is_some()
}

/// Submits with one request id until it is acknowledged.
fn submits(cluster: &mut Cluster, revive: &mut impl FnMut(&mut Cluster)) -> String {
    let input = cluster.write("lines.txt", (0..TASKS).map(|line| format!("line {line}\n")).collect::<String>());
    // One result is too large to ride along.
    let shell = format!(
        "echo $MILLPOND_INDEX >> {}; cat; [ $MILLPOND_INDEX != 3 ] || seq 150000 | awk '{{print ($1 * 7919) % 1000003}}' > {{output}}/numbers; sleep 0.05",
        cluster.text_path("log")
    );
    let request = ["--request-id", "00000000-0000-4000-8000-000000000001"];
    loop {
        let answer = cluster.millpond(&[&["submit", &input, "--split", "lines:1"], &request[..], &["--", "sh", "-c", &shell]].concat());
        match answer.code {
            0 => return answer.out.trim_end().to_owned(),
            6 => revive(cluster),
            _ => panic!("{answer:?}\n{}", cluster.logs()),
        }
    }
}

fn is_over(cluster: &Cluster, job: &str) -> bool {
    let answer = cluster.millpond(&["show", job, "--format", "json"]);
    serde_json::from_str::<Value>(&answer.out).is_ok_and(|shown| shown["finished"].is_string())
}

/// Indices of the tasks that the head knows to be done.
fn succeeded(cluster: &Cluster, job: &str) -> Vec<String> {
    let done = |task: &Value| (task["state"] == "succeeded").then(|| task["index"].to_string());
    cluster.tasks(job).iter().filter_map(done).collect()
}

fn is_right(cluster: &Cluster, job: &str, plan: &str) {
    assert_eq!(cluster.show(job)["state"], "succeeded", "{plan}: {:?} {}", cluster.tasks(job), cluster.logs());
    let list = cluster.json(&["list"]);
    assert_eq!(list["jobs"].as_array().unwrap().len(), 3, "{plan}: {list}");
    let bundle = cluster.bundle(job);
    (0..TASKS).for_each(|index| assert_eq!(bundle.text(&format!("{index:06}/stdout")), format!("line {index}\n"), "{plan}"));
    let numbers: String = (1..=150_000).map(|n| format!("{}\n", n * 7919 % 1_000_003)).collect();
    assert!(bundle.text("000003/numbers") == numbers, "{plan}");
    assert_eq!(bundle.entries.len() as u64, TASKS + 3, "{plan}: {:?}", bundle.names());
}

/// All places of this kind, each at its first visit, and at some later ones.
fn all_die(is_meant: impl Fn(&str) -> bool) {
    if !cfg!(debug_assertions) {
        return println!("skipped: a release build has no such places");
    }
    let later: &[u32] = if is_full() { &[2, 3, 5, 8, 13] } else { &[4] };
    for place in failpoint::NAMES.iter().filter(|place| is_meant(place)) {
        assert!(dies(place, 1), "{place}: nobody came to this place");
        for nth in later {
            if !dies(place, *nth) {
                break;
            }
        }
    }
}

#[test]
fn a_head_may_die_between_a_batch_and_its_acknowledgement() {
    all_die(|place| place.starts_with("journal.") || place.starts_with("segment."));
}

#[test]
fn a_head_may_die_while_a_snapshot_a_data_set_or_a_result_comes_to_rest() {
    all_die(|place| ["snapshot.", "upload.", "result."].iter().any(|kind| place.starts_with(kind)));
}

#[test]
fn a_worker_may_die_at_any_place() {
    all_die(|place| place.starts_with("worker."));
}
