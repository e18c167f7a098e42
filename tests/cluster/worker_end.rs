//! Workers that leave, in order or not: no task is lost, and nothing of theirs runs on.

use std::time::Duration;

use super::cluster::Cluster;
use super::pause::each_once;
use super::process::{until, until_within};

/// Two workers, and a job that runs on both, each task waiting for a gate, and a little longer, so that no worker alone takes all that are left
/// before the other has seen it open.
fn a_job_on_both() -> (Cluster, String) {
    let cluster = Cluster::start(&[2, 2]);
    let (log, gate) = (cluster.text_path("log"), cluster.text_path("gate"));
    let shell = format!("echo $MILLPOND_INDEX >> {log}; until [ -e {gate} ]; do sleep 0.02; done; sleep 0.05");
    let job = cluster.submit_array("0-19", &[], &shell);
    cluster.has_lines("log", 4);
    (cluster, job)
}

fn drains_and_leaves(mut cluster: Cluster, job: &str) {
    assert!(cluster.worker(1).is_alive(), "its tasks run");
    cluster.write("gate", "");
    let status = cluster.worker(1).ends();
    assert_eq!(status.code(), Some(0), "{}", cluster.logs());
    until("its launchers are gone", || cluster.worker(1).descendants().is_empty());
    cluster.ends(job, 0);
    each_once(&cluster, "log", 20);
    let tasks = cluster.tasks(job);
    assert_eq!(tasks.iter().filter(|task| task["worker"] == "w1").count(), 2, "it took no more");
    until("it is away", || cluster.worker_state(1) == "away");
}

#[test]
fn a_worker_asked_to_end_finishes_what_it_runs_and_leaves() {
    let (mut cluster, job) = a_job_on_both();
    cluster.worker(1).is_asked_to_end();
    until("it has heard", || cluster.tail("worker-1.log").contains("finishing what runs"));
    until("the head knows", || cluster.worker_state(1) == "draining");
    drains_and_leaves(cluster, &job);
}

#[test]
fn a_drained_worker_finishes_what_it_runs_and_leaves() {
    let (cluster, job) = a_job_on_both();
    let text = cluster.ok(&["worker", "drain", "w1"]);
    assert!(text.contains("w1") && text.contains("2 of 2 slots in use"), "{text}");
    assert_eq!(cluster.worker_state(1), "draining");
    drains_and_leaves(cluster, &job);
}

#[test]
fn a_drain_can_be_taken_back() {
    let (cluster, job) = a_job_on_both();
    cluster.ok(&["worker", "drain", "w1"]);
    cluster.ok(&["worker", "resume", "w1"]);
    cluster.write("gate", "");
    cluster.ends(&job, 0);
    assert!(cluster.tasks(&job).iter().filter(|task| task["worker"] == "w1").count() > 2);
}

#[test]
fn an_idle_worker_leaves_at_once_and_a_second_signal_does_not_wait() {
    let mut cluster = Cluster::start(&[1, 1]);
    cluster.worker(1).is_asked_to_end();
    assert_eq!(cluster.worker(1).ends().code(), Some(0));
    let job = cluster.submit_array("0", &[], "until false; do sleep 0.02; done");
    until("it runs", || cluster.count(&job, "running") == 1);
    cluster.worker(2).is_asked_to_end();
    until("it has heard", || cluster.tail("worker-2.log").contains("a second signal stops"));
    cluster.worker(2).is_asked_to_end();
    cluster.worker(2).ends();
    until("its task is gone", || cluster.worker(2).descendants().is_empty());
    // It could have come back, and is given up when its time is over.
    until("the task waits for another worker", || cluster.show(&job)["state"] == "waiting");
    let shown = cluster.show(&job);
    assert!(shown["reason"].as_str().unwrap().contains("no worker"), "{shown}");
}

#[test]
fn tasks_of_a_killed_worker_run_elsewhere_and_its_processes_are_gone_within_seconds() {
    let mut cluster = Cluster::start(&[2]);
    let gate = cluster.text_path("gate");
    let shell = format!(
        "(setsid sh -c 'setsid sleep 600 & sleep 600' &); trap '' TERM HUP; \
         echo $MILLPOND_INDEX >> {}; until [ -e {gate} ]; do sleep 0.02; done; echo $MILLPOND_INDEX",
        cluster.text_path("log")
    );
    let job = cluster.submit_array("0-9", &[], &shell);
    cluster.has_lines("log", 2);
    let below = cluster.worker(1).descendants();
    assert!(below.iter().filter(|(_, line)| line.contains("sleep 600")).count() >= 4, "{below:?}");
    cluster.worker(1).dies();
    let worker = cluster.worker(1);
    let took = until_within(Duration::from_secs(5), "its processes are gone", || worker.descendants().is_empty());
    println!("all processes of a killed worker were gone after {took:?}");
    cluster.add_worker(2, &[]);
    cluster.write("gate", "");
    assert_eq!(cluster.ends(&job, 0)["tasks"]["succeeded"], 10, "without --retries: a lost worker is not the task's failure");
    let bundle = cluster.bundle(&job);
    (0..10).for_each(|index| assert_eq!(bundle.text(&format!("{index:06}/stdout")), format!("{index}\n")));
    assert!(cluster.tasks(&job).iter().all(|task| task["worker"] == "w2"));
}

#[test]
fn a_launcher_that_is_killed_costs_its_worker_nothing() {
    let mut cluster = Cluster::start(&[1]);
    let gate = cluster.text_path("gate");
    let job = cluster.submit_array("0-2", &[], &format!("(setsid sleep 600 &); until [ -e {gate} ]; do sleep 0.02; done; echo ok"));
    until("it runs", || cluster.count(&job, "running") == 1);
    let mut launcher = None;
    // Processes come and go while the list is read.
    until("its launcher is seen", || {
        launcher = cluster.worker(1).descendants().into_iter().find(|(_, line)| line.contains("__launcher"));
        launcher.is_some()
    });
    super::process::signal(launcher.unwrap().0, rustix::process::Signal::KILL);
    let orphans = |cluster: &mut Cluster| cluster.worker(1).descendants().iter().filter(|(_, line)| line.contains("sleep 600")).count();
    cluster.write("gate", "");
    assert_eq!(cluster.ends(&job, 0)["tasks"]["succeeded"], 3);
    until("orphans are gone", || orphans(&mut cluster) == 0);
}
