//! `pause --running freeze`, and a pause that ends by itself.

use std::time::Duration;

use super::cluster::Cluster;
use super::is_full;
use super::process::until;

/// Ticks of processor time that the processes of the workers' tasks have used, together, by their command line.
fn ticks(cluster: &Cluster) -> u64 {
    let loops = cluster.processes().into_iter().filter(|(_, line)| line.contains("busy-loop"));
    let used = |pid: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
        Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
    };
    loops.filter_map(|(pid, _)| used(pid)).sum()
}

#[test]
fn frozen_tasks_use_no_time_of_the_processor_nor_of_their_limit_and_all_finish() {
    let mut cluster = Cluster::start(&[2]);
    let (log, go) = (cluster.text_path("log"), cluster.text_path("go"));
    let shell = format!(": busy-loop; echo $MILLPOND_INDEX >> {log}; until [ -e {go} ]; do :; done");
    let job = cluster.submit_array("0-3", &["--timeout", "6s"], &shell);
    until("both use the processor", || cluster.lines("log").len() == 2 && ticks(&cluster) > 5);
    let said = cluster.ok(&["pause", &job, "--running", "freeze"]);
    assert_eq!(said, format!("{job} is paused: 2 not started, 2 running (standing still)"));
    let shown = cluster.show(&job);
    assert_eq!((&shown["held"], &shown["frozen"], &shown["state"]), (&true.into(), &true.into(), &"running".into()), "{shown}");
    let stopped = || {
        let before = ticks(&cluster);
        std::thread::sleep(Duration::from_millis(200));
        ticks(&cluster) == before
    };
    until("they stand still", stopped);
    let before = ticks(&cluster);
    // A head that dies meanwhile changes nothing of it.
    let span = if is_full() { Duration::from_secs(60) } else { Duration::from_secs(8) };
    std::thread::sleep(span / 2);
    cluster.head_dies();
    cluster.head_starts_again();
    std::thread::sleep(span / 2);
    until("the worker is back", || cluster.worker_state(1) != "away");
    assert_eq!(ticks(&cluster), before);
    assert_eq!(cluster.count(&job, "running"), 2);
    cluster.write("go", "");
    cluster.ok(&["resume", &job]);
    let ended = cluster.ends(&job, 0);
    assert_eq!((&ended["tasks"]["succeeded"], &ended["frozen"]), (&4.into(), &false.into()), "{ended}");
    assert_eq!(cluster.lines("log").len(), 4, "none ran twice");
}

#[test]
fn a_frozen_job_can_be_killed() {
    let cluster = Cluster::start(&[2]);
    let log = cluster.text_path("log");
    let job = cluster.submit_array("0-3", &[], &format!("echo x >> {log}; while :; do sleep 0.1; done"));
    cluster.has_lines("log", 2);
    cluster.ok(&["pause", &job, "--running", "freeze", "--reason", "the room is hot"]);
    cluster.ok(&["kill", &job, "--running", "stop"]);
    cluster.ends(&job, 11);
    until("nothing is left", || !cluster.processes().iter().any(|(_, line)| line.contains("while :")));
}

#[test]
fn a_pause_for_a_while_ends_by_itself_also_through_a_restart_of_the_head() {
    let mut cluster = Cluster::start(&[1]);
    for restart in [false, true] {
        let job = cluster.submit_array("0-2", &["--hold"], "true");
        let said = cluster.ok(&["pause", &job, "--for", "3s"]);
        assert!(said.starts_with(&format!("{job} is paused until 20")), "{said}");
        assert!(cluster.show(&job)["resumes"].is_string());
        if restart {
            cluster.head_dies();
            cluster.head_starts_again();
        }
        let shown = cluster.show(&job);
        assert_eq!((&shown["held"], &shown["tasks"]["succeeded"]), (&true.into(), &0.into()), "{shown}");
        let ended = cluster.ends(&job, 0);
        assert_eq!((&ended["held"], &ended["resumes"]), (&false.into(), &serde_json::Value::Null), "{ended}");
    }
    let job = cluster.submit_array("0-2", &["--hold"], "true");
    cluster.millpond(&["pause", &job, "--for", "0s"]).refused(2, &["duration", "more than 0"]);
    cluster.millpond(&["pause", &job, "--for", "soon"]).refused(2, &["write it as 90s, 2h or 1h30m"]);
}
