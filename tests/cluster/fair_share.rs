//! Owners share the slots evenly, and a job whose tasks fit no worker holds nobody up.

use super::cluster::Cluster;
use super::process::until;

#[test]
fn two_owners_get_half_of_the_slots_each_however_much_one_of_them_submits() {
    let cluster = Cluster::start(&[4, 4]);
    let wait = |gate: &str| format!("until [ -e {} ]; do sleep 0.05; done", cluster.text_path(gate));
    let blocker = cluster.submit_array("0-7", &["--owner", "eve"], &wait("blocked"));
    until("all slots are taken", || cluster.count(&blocker, "running") == 8);
    let greedy: Vec<String> = (0..3).map(|_| cluster.submit_array("0-99", &["--owner", "ada"], &wait("gate"))).collect();
    let modest = cluster.submit_array("0-99", &["--owner", "bob"], &wait("gate"));
    cluster.write("blocked", "");
    cluster.ends(&blocker, 0);
    let running = |jobs: &[String]| jobs.iter().map(|job| cluster.count(job, "running")).sum::<u64>();
    until("all slots are taken again", || running(&greedy) + running(std::slice::from_ref(&modest)) == 8);
    assert_eq!(cluster.count(&modest, "running"), 4);
    let why = cluster.json(&["explain", &modest]);
    assert!(why["place"].as_u64().is_some() && why["rule"].is_string(), "{why}");
    cluster.ok(&["kill", "all", "--running", "stop"]);
    cluster.ends(&modest, 11);
}

#[test]
fn a_job_that_fits_no_worker_waits_with_a_reason_and_holds_nobody_up() {
    let mut cluster = Cluster::start(&[2]);
    let impossible = [
        cluster.submit_array("0-9", &["--label", "gpu=none", "--priority", "100"], "true"),
        cluster.submit_array("0-9", &["--mem", "100T", "--priority", "100"], "true"),
        cluster.submit_array("0-9", &["--gpus", "1", "--priority", "100"], "true"),
    ];
    let easy = cluster.submit_array("0-19", &["--cpus", "1"], "true");
    cluster.ends(&easy, 0);
    for job in &impossible {
        let shown = cluster.show(job);
        let reason = shown["reason"].as_str().unwrap();
        assert!(
            shown["state"] == "waiting" && ["the most any worker has is", "no worker carries it"].iter().any(|why| reason.contains(why)),
            "{shown}"
        );
        assert_eq!(shown["tasks"]["undispatched"], 10, "{shown}");
    }
    // A worker comes that has it.
    cluster.add_worker(1, &["--label", "gpu=none", "--label", "disk=fast"]);
    cluster.ends(&impossible[0], 0);
    assert!(cluster.tasks(&impossible[0]).iter().all(|task| task["worker"] == "w2"));
    let out = cluster.ok(&["kill", "all", "--format", "json"]);
    assert_eq!(out.lines().filter(|line| line.contains("\"dropped\":10")).count(), 2, "one line per job: {out}");
}

#[test]
fn tasks_take_no_more_of_a_worker_than_it_has_and_a_job_no_more_slots_than_its_limit() {
    let mut cluster = Cluster::start(&[]);
    cluster.add_worker(6, &["--cpus", "4", "--mem", "4G"]);
    let shell = format!("until [ -e {} ]; do sleep 0.05; done", cluster.text_path("gate"));
    let wide = cluster.submit_array("0-9", &["--cpus", "3"], &shell);
    until("one runs", || cluster.count(&wide, "running") == 1);
    let limited = cluster.submit_array("0-9", &["--max-running", "2"], &shell);
    until("two run", || cluster.count(&limited, "running") == 2);
    let shown = cluster.show(&limited);
    assert!(shown["reason"].as_str().unwrap().contains("limit of 2 tasks"), "{shown}");
    cluster.ok(&["limit", &limited, "--max-running", "4"]);
    until("four run", || cluster.count(&limited, "running") == 4);
    assert_eq!(cluster.count(&wide, "running"), 1, "3 of 4 processors are taken");
    cluster.write("gate", "");
    cluster.ends(&wide, 0);
    cluster.ends(&limited, 0);
}
