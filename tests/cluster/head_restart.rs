//! The head is killed with -9 in mid-job and started again: everything goes on where it was, and nothing is run twice.

use super::cluster::Cluster;
use super::pause::each_once;
use super::process::until;
use super::proxy::Proxy;

/// Tasks that run, as the kernel sees them.
fn shells(cluster: &Cluster) -> usize {
    cluster.processes().iter().filter(|(_, line)| line.contains("sh -c ")).count()
}

#[test]
fn jobs_go_on_after_a_kill_of_the_head_and_no_task_runs_twice() {
    let total = 200;
    let mut cluster = Cluster::start(&[2, 2]);
    let shell = format!("echo $MILLPOND_INDEX >> {}; echo $MILLPOND_INDEX; sleep 0.05", cluster.text_path("log"));
    let array = format!("0-{}", total - 1);
    let job = cluster.submit_array(&array, &[], &shell);
    let paused = cluster.submit_array("0-9", &["--priority", "5"], "sleep 0.05");
    cluster.ok(&["pause", &paused, "--reason", "lunch"]);
    let killed = cluster.submit_array("0-9", &["--hold"], "true");
    cluster.ok(&["kill", &killed, "--reason", "a typo"]);
    let urgent = cluster.submit_array("0-9", &["--hold"], "true");
    cluster.ok(&["priority", &urgent, "7"]);
    cluster.ok(&["limit", &urgent, "--max-running", "3"]);

    for stop in [40, 100] {
        cluster.has_lines("log", stop);
        cluster.head_dies();
        if stop == 100 {
            until("what ran has ended", || shells(&cluster) == 0);
        }
        cluster.head_starts_again();
    }

    let shown = cluster.show(&paused);
    assert_eq!((&shown["held"], &shown["priority"]), (&true.into(), &5.into()), "{shown}");
    assert!(shown["reason"].as_str().unwrap().contains("lunch"), "{shown}");
    let shown = cluster.show(&killed);
    assert_eq!((&shown["state"], &shown["tasks"]["killed"]), (&"killed".into(), &10.into()), "{shown}");
    assert!(shown["reason"].as_str().unwrap().contains("a typo"), "{shown}");
    let shown = cluster.show(&urgent);
    assert_eq!((&shown["held"], &shown["priority"], &shown["max_running"]), (&true.into(), &7.into(), &3.into()), "{shown}");

    let ended = cluster.ends(&job, 0);
    assert_eq!(ended["tasks"]["succeeded"], total, "{ended}");
    each_once(&cluster, "log", total);
    let bundle = cluster.bundle(&job);
    (0..total).for_each(|index| assert_eq!(bundle.text(&format!("{index:06}/stdout")), format!("{index}\n")));
    assert_eq!(bundle.entries.len() as u64, total + 2);

    cluster.ok(&["resume", &paused]);
    cluster.ends(&paused, 0);
    cluster.ok(&["resume", &urgent]);
    cluster.ends(&urgent, 0);
    let list = cluster.json(&["list"]);
    let ids: Vec<&str> = list["jobs"].as_array().unwrap().iter().filter_map(|job| job["id"].as_str()).collect();
    assert_eq!(ids, ["j4", "j3", "j2", "j1"]);
}

#[test]
fn what_runs_while_the_head_is_dead_is_adopted_and_what_ends_meanwhile_counts() {
    let mut cluster = Cluster::start(&[4]);
    let gates = cluster.text_path("gate");
    let shell = format!(
        "echo $MILLPOND_INDEX >> {}; until [ -e {gates}-$MILLPOND_INDEX ]; do sleep 0.02; done; echo $MILLPOND_ATTEMPT",
        cluster.text_path("log")
    );
    let job = cluster.submit_array("0-5", &[], &shell);
    cluster.has_lines("log", 4);
    cluster.head_dies();
    let opens = |cluster: &Cluster, index: u64| cluster.write(&format!("gate-{index}"), "");
    opens(&cluster, 0);
    opens(&cluster, 1);
    until("two have ended without a head", || shells(&cluster) == 2);
    cluster.head_starts_again();
    cluster.has_lines("log", 6);
    assert_eq!(cluster.count(&job, "succeeded"), 2);
    (2..6).for_each(|index| drop(opens(&cluster, index)));
    cluster.ends(&job, 0);
    each_once(&cluster, "log", 6);
    let bundle = cluster.bundle(&job);
    (0..6).for_each(|index| assert_eq!(bundle.text(&format!("{index:06}/stdout")), "1\n", "the first try"));
}

#[test]
fn a_worker_that_died_with_the_head_loses_nothing_but_time() {
    let mut cluster = Cluster::start_with(&[2, 2], &["--reattach-window", "2"]);
    let shell = format!("echo $MILLPOND_INDEX >> {}; sleep 0.1; echo $MILLPOND_INDEX", cluster.text_path("log"));
    let job = cluster.submit_array("0-59", &[], &shell);
    cluster.has_lines("log", 20);
    cluster.head_dies();
    cluster.worker(2).dies();
    cluster.head_starts_again();
    assert_eq!(cluster.ends(&job, 0)["tasks"]["succeeded"], 60);
    let bundle = cluster.bundle(&job);
    (0..60).for_each(|index| assert_eq!(bundle.text(&format!("{index:06}/stdout")), format!("{index}\n")));
}

#[test]
fn a_kill_whose_tasks_still_run_is_finished_by_the_next_head() {
    let mut cluster = Cluster::start(&[2]);
    let shell = format!("until [ -e {} ]; do sleep 0.02; done", cluster.text_path("gate"));
    let job = cluster.submit_array("0-9", &[], &shell);
    until("two run", || cluster.count(&job, "running") == 2);
    assert_eq!(cluster.json(&["kill", &job])["dropped"], 8);
    cluster.head_dies();
    cluster.head_starts_again();
    cluster.write("gate", "");
    let ended = cluster.ends(&job, 11);
    assert_eq!((&ended["tasks"]["succeeded"], &ended["tasks"]["killed"]), (&2.into(), &8.into()), "{ended}");
}

#[test]
fn a_job_is_killed_only_once_its_last_task_has_been_stopped_also_after_a_restart() {
    let mut cluster = Cluster::start(&[2]);
    let job = cluster.submit_array("0-9", &["--grace", "2s"], "trap '' TERM; until false; do sleep 0.02; done");
    until("two run", || cluster.count(&job, "running") == 2);
    cluster.ok(&["kill", &job, "--running", "stop"]);
    cluster.head_dies();
    cluster.head_starts_again();
    let mut running_at_the_end = None;
    until("the job is killed", || {
        let running = shells(&cluster);
        let is_killed = cluster.show(&job)["state"] == "killed";
        running_at_the_end = is_killed.then(|| running.min(shells(&cluster)));
        is_killed
    });
    assert_eq!(running_at_the_end, Some(0), "its tasks still run");
}

#[test]
fn watchers_and_waiters_outlive_the_head() {
    let mut cluster = Cluster::start(&[1]);
    let shell = format!("until [ -e {} ]; do sleep 0.02; done", cluster.text_path("gate"));
    let job = cluster.submit_array("0", &[], &shell);
    let proxies = [Proxy::open_to(&cluster.url), Proxy::open_to(&cluster.url)];
    let waiting = cluster.client(&["--head", &proxies[0].url, "wait", &job]).spawn().unwrap();
    let watching = cluster.client(&["--head", &proxies[1].url, "watch", &job, "--format", "jsonl"]).spawn().unwrap();
    until("it runs", || cluster.count(&job, "running") == 1);
    until("both are connected", || proxies.iter().all(|proxy| proxy.passed() > 0));
    cluster.head_dies();
    cluster.head_starts_again();
    cluster.write("gate", "");
    assert_eq!(waiting.wait_with_output().unwrap().status.code(), Some(0));
    let watched = watching.wait_with_output().unwrap();
    let last = String::from_utf8(watched.stdout).unwrap().lines().last().unwrap().to_owned();
    assert!(watched.status.success() && last.contains("\"kind\":\"ended\"") && last.contains("succeeded"), "{last}");
}
