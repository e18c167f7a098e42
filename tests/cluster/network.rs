//! The line between a worker and its head breaks or stands still, while both live.

use std::time::{Duration, Instant};

use super::cluster::Cluster;
use super::pause::each_once;
use super::process::until;
use super::proxy::Proxy;

/// Two workers, of which the second (two slots) is reached by a proxy, and a job of six tasks that all run; those of the first end, so that
/// it has four free slots.
fn a_job_behind_a_line() -> (Cluster, Proxy, String) {
    let mut cluster = Cluster::start(&[4]);
    let proxy = Proxy::open_to(&cluster.url);
    cluster.add_worker_by(&proxy.url, 2, &[]);
    let shell = format!(
        "echo $MILLPOND_INDEX >> {}; until [ -e {}-$MILLPOND_INDEX ]; do sleep 0.02; done; echo $MILLPOND_INDEX",
        cluster.text_path("log"),
        cluster.text_path("gate")
    );
    let job = cluster.submit_array("0-5", &[], &shell);
    cluster.has_lines("log", 6);
    until("all run", || cluster.count(&job, "running") == 6);
    for task in cluster.tasks(&job).iter().filter(|task| task["worker"] == "w1") {
        cluster.write(&format!("gate-{}", task["index"]), "");
    }
    until("the first worker is free", || cluster.show_worker(1)["free"] == 4);
    assert_eq!(cluster.count(&job, "running"), 2);
    (cluster, proxy, job)
}

fn opens_all(cluster: &Cluster) {
    (0..6).for_each(|index| drop(cluster.write(&format!("gate-{index}"), "")));
}

/// All six done, each once, and the second worker with all its slots again.
fn all_is_well(cluster: &Cluster, job: &str, code: i32) {
    assert_eq!(cluster.ends(job, code)["tasks"]["succeeded"], 6);
    each_once(cluster, "log", 6);
    let bundle = cluster.bundle(job);
    (0..6).for_each(|index| assert_eq!(bundle.text(&format!("{index:06}/stdout")), format!("{index}\n")));
    until("no slot is lost", || cluster.show_worker(2)["free"] == 2);
}

#[test]
fn a_broken_line_is_mended_and_what_ran_on_is_taken_over() {
    let (cluster, proxy, job) = a_job_behind_a_line();
    for _ in 0..3 {
        proxy.is_cut();
        until("the head has noticed", || cluster.worker_state(2) == "away");
        // Time enough for the other worker to start what is not its own.
        std::thread::sleep(Duration::from_millis(500));
        assert_eq!(cluster.lines("log").len(), 6);
        proxy.is_mended();
        until("the worker is back", || cluster.worker_state(2) == "busy");
    }
    opens_all(&cluster);
    all_is_well(&cluster, &job, 0);
}

#[test]
fn a_job_killed_while_a_line_is_broken_waits_for_what_runs_behind_it() {
    let (cluster, proxy, job) = a_job_behind_a_line();
    proxy.is_cut();
    until("the head has noticed", || cluster.worker_state(2) == "away");
    let asked = Instant::now();
    let reply = cluster.json(&["kill", &job]);
    assert!(asked.elapsed() < Duration::from_secs(3));
    assert_eq!((&reply["running"], &reply["dropped"]), (&2.into(), &0.into()), "{reply}");
    opens_all(&cluster);
    until("both have ended behind the line", || cluster.processes().iter().all(|(_, line)| !line.contains("sh -c ")));
    assert_eq!(cluster.show(&job)["state"], "finishing", "their results are on the way");
    proxy.is_mended();
    all_is_well(&cluster, &job, 11);
}

#[test]
fn a_line_that_stands_still_costs_the_worker_its_tasks_and_their_late_results_change_nothing() {
    let (cluster, proxy, job) = a_job_behind_a_line();
    let still = Instant::now();
    proxy.stands_still();
    cluster.has_lines("log", 8);
    assert!(still.elapsed() < Duration::from_secs(15), "what ran behind it runs elsewhere after {:?}", still.elapsed());
    assert_eq!(cluster.worker_state(2), "away");
    proxy.is_mended();
    until("the worker is back, and has stopped what is another's", || cluster.show_worker(2)["free"] == 2);
    opens_all(&cluster);
    assert_eq!(cluster.ends(&job, 0)["tasks"]["succeeded"], 6);
    assert_eq!(cluster.lines("log").len(), 8, "nothing runs a third time");
    let bundle = cluster.bundle(&job);
    (0..6).for_each(|index| assert_eq!(bundle.text(&format!("{index:06}/stdout")), format!("{index}\n")));
}
