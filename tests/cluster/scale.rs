//! Workers that come when they are wanted and go when they are not: by a scaler's hooks, or by themselves.

use std::process::Child;

use rustix::process::Signal;
use serde_json::Value;

use super::cluster::Cluster;
use super::process::{self, until, wait};

/// Starts real workers of two slots, each in a folder of its own, that outlive the hook.
const UP: &str = r#"
for _ in $(seq "$MILLPOND_COUNT"); do
    folder=$(mktemp -d "$POND/pool-XXXXXX")
    setsid "$WORKER" --head "$MILLPOND_HEAD" --dir "$folder" --slots 2 --label pool=spot >> "$folder/log" 2>&1 &
    echo $! >> "$POND/started"
done
"#;

/// Says whether a task still ran when the machine was to be removed.
const DOWN: &str = r#"
[ -e "$POND/hook-works" ] || { echo tried >> "$POND/tried"; exit 1; }
echo "$MILLPOND_WORKER $MILLPOND_HOST" >> "$POND/removed"
"#;

/// A scaler over a pool of at most three.
fn scaler(cluster: &Cluster, log: &str) -> Child {
    let args = ["scale", "--run", "--label", "pool=spot", "--max", "3", "--cool-down", "1s", "--every", "100ms", "--state"];
    let mut command = cluster.client(&args);
    command.arg(cluster.path("drained")).args(["--scale-up", UP, "--scale-down", DOWN]);
    command.env("POND", cluster.path("")).env("WORKER", env!("CARGO_BIN_EXE_millpond-worker"));
    command.stderr(cluster.log(log)).spawn().unwrap()
}

fn scale(cluster: &Cluster) -> Value {
    cluster.json(&["scale", "--label", "pool=spot"])
}

fn is_asked_to_end(mut scaler: Child) {
    process::signal(scaler.id(), Signal::TERM);
    assert_eq!(wait(&mut scaler).code(), Some(0));
}

#[test]
fn a_scaler_starts_what_is_wanted_and_removes_only_what_is_idle() {
    let cluster = Cluster::start(&[1]);
    let first = scaler(&cluster, "scaler.log");
    // One slot elsewhere, and six in three workers of two; each task ends when its own gate opens.
    let gate = cluster.text_path("gate");
    let job = cluster.submit_array("0-6", &[], &format!("until [ -e {gate}-$MILLPOND_INDEX ]; do sleep 0.02; done"));
    until("all seven run", || cluster.count(&job, "running") == 7);
    let seen = scale(&cluster);
    assert_eq!((&seen["slots_wanted"], &seen["workers_wanted"], &seen["slots_elsewhere"]), (&7.into(), &3.into(), &1.into()), "{seen}");
    assert_eq!(cluster.lines("started").len(), 3, "each once: {}", cluster.tail("scaler.log"));

    let ends = |index: usize| cluster.write(&format!("gate-{index}"), "");
    // All but one, which runs at the worker that was started last: the first that would go.
    let at = |index: usize| cluster.tasks(&job)[index]["worker"].as_str().unwrap().to_owned();
    let last = (0..7).max_by_key(|index| at(*index)[1..].parse::<u32>().unwrap()).unwrap();
    let busy = at(last);
    (0..7).filter(|index| *index != last).for_each(|index| drop(ends(index)));
    // The hook that removes machines does not work yet: what was drained is not forgotten, not even by a scaler that comes later.
    until("the hook is tried for both that are idle", || cluster.lines("tried").len() >= 2);
    is_asked_to_end(first);
    assert_eq!(cluster.lines("drained").len(), 2, "{}", cluster.tail("scaler.log"));
    cluster.write("hook-works", "");
    let second = scaler(&cluster, "scaler-2.log");
    until("two machines are removed", || cluster.lines("removed").len() == 2);
    assert!(cluster.lines("removed").iter().all(|line| !line.starts_with(&format!("{busy} "))), "{busy} runs a task");
    let seen = scale(&cluster);
    assert_eq!((&seen["workers"]["connected"], &seen["workers"]["idle"]), (&1.into(), &0.into()), "{seen}");
    assert_eq!(cluster.count(&job, "running"), 1);

    ends(last);
    assert_eq!(cluster.ends(&job, 0)["tasks"]["succeeded"], 7);
    until("the third goes as well", || cluster.lines("removed").len() == 3);
    until("nothing is left to be removed", || cluster.lines("drained").is_empty());
    assert_eq!(cluster.worker_state(1), "available", "it is not of the pool");
    assert_eq!(cluster.lines("started").len(), 3);
    assert!(cluster.tasks(&job).iter().all(|task| task["attempt"] == 1), "none was run twice");
    is_asked_to_end(second);
    until("their processes are gone", || cluster.lines("started").iter().all(|pid| !process::is_alive(pid.parse().unwrap())));
}

#[test]
fn a_worker_with_nothing_to_do_leaves_by_itself() {
    let mut cluster = Cluster::start(&[]);
    cluster.add_worker(1, &["--idle-exit", "2s"]);
    let gate = cluster.text_path("gate");
    let job = cluster.submit_array("0", &[], &format!("until [ -e {gate} ]; do sleep 0.02; done"));
    until("it runs", || cluster.count(&job, "running") == 1);
    let began = std::time::Instant::now();
    until("a busy worker has stayed for longer than that", || began.elapsed().as_secs() >= 5);
    assert!(cluster.worker(1).is_alive());
    cluster.write("gate", "");
    cluster.ends(&job, 0);
    assert_eq!(cluster.worker(1).ends().code(), Some(0), "{}", cluster.logs());
    until("it has said goodbye", || cluster.tail("head.log").contains("goodbye=true"));
    assert_eq!(cluster.worker_state(1), "away");
}
