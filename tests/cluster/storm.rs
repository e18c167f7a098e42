//! Many verbs, quick tasks, large results and dying heads at once: the counts stay right, nothing runs twice, and no slot is lost.

use std::collections::BTreeSet;
use std::time::Duration;

use super::cluster::Cluster;
use super::is_full;
use super::pause::each_once;
use super::process::until;

/// That every worker is free again.
pub fn no_slot_is_lost(cluster: &Cluster, slots: &[u64]) {
    for (at, slots) in slots.iter().enumerate() {
        until(&format!("w{} is free again", at + 1), || cluster.show_worker(at + 1)["free"] == *slots);
    }
}

#[test]
fn a_storm_of_pauses_over_quick_tasks_is_exact_each_time() {
    let total = if is_full() { 10_000 } else { 2000 };
    let cluster = Cluster::start(&[3, 2, 1]);
    let shell = format!("echo $MILLPOND_INDEX >> {}", cluster.text_path("log"));
    let job = cluster.submit_array(&format!("0-{}", total - 1), &[], &shell);
    for round in 1.. {
        // The last third passes without one: a client that is slow to start would find the job at its end.
        let enough = total - total / 3;
        cluster.has_lines("log", (enough as usize).min(round * 100));
        if cluster.lines("log").len() as u64 >= enough {
            break;
        }
        let reply = cluster.json(&["pause", &job]);
        std::thread::sleep(Duration::from_millis(200));
        let expected = total - reply["undispatched"].as_u64().unwrap();
        assert_eq!(cluster.lines("log").len() as u64, expected, "round {round}: {reply}");
        assert_eq!(cluster.lines("log").into_iter().collect::<BTreeSet<_>>().len() as u64, expected, "each once");
        // A pause and a resume at once: the later one holds.
        cluster.ok(&["resume", &job]);
        if round % 3 == 0 {
            cluster.ok(&["pause", &job]);
            cluster.ok(&["resume", &job]);
        }
    }
    cluster.ends(&job, 0);
    each_once(&cluster, "log", total);
    no_slot_is_lost(&cluster, &[3, 2, 1]);
}

#[test]
fn jobs_killed_one_after_the_other_are_exact_and_lose_no_slot() {
    let rounds = if is_full() { 50 } else { 8 };
    let cluster = Cluster::start(&[3, 2]);
    for round in 0..rounds {
        let log = format!("log-{round}");
        let shell = format!("echo $MILLPOND_INDEX >> {}", cluster.text_path(&log));
        let job = cluster.submit_array("0-999", &[], &shell);
        cluster.has_lines(&log, 3 * round);
        let dropped = cluster.json(&["kill", &job])["dropped"].as_u64().unwrap();
        let ended = cluster.ends(&job, 11);
        assert_eq!((cluster.lines(&log).len() as u64, &ended["tasks"]["killed"]), (1000 - dropped, &dropped.into()), "{ended}");
    }
    no_slot_is_lost(&cluster, &[3, 2]);
}

#[test]
fn large_results_come_back_whole_from_a_head_that_dies_again_and_again() {
    let total = 60;
    let mut cluster = Cluster::start(&[2, 2]);
    // Does not compress well, and goes to the head before the news of its end.
    let shell = format!(
        "echo $MILLPOND_INDEX >> {}; seq $MILLPOND_INDEX 120000 | awk '{{print ($1 * 7919) % 1000003}}' > {{output}}/numbers",
        cluster.text_path("log")
    );
    let job = cluster.submit_array(&format!("0-{}", total - 1), &[], &shell);
    for stop in [5, 20, 35, 50] {
        cluster.has_lines("log", stop);
        cluster.head_dies();
        cluster.head_starts_again();
    }
    assert_eq!(cluster.ends(&job, 0)["tasks"]["succeeded"], total);
    each_once(&cluster, "log", total);
    let bundle = cluster.bundle(&job);
    for index in 0..total {
        let expected: String = (index..=120_000).map(|n| format!("{}\n", n * 7919 % 1_000_003)).collect();
        assert!(bundle.text(&format!("{index:06}/numbers")) == expected, "task {index}");
    }
    no_slot_is_lost(&cluster, &[2, 2]);
}

#[test]
fn a_worker_that_slept_through_a_restart_of_the_head_changes_nothing_when_it_wakes() {
    let mut cluster = Cluster::start_with(&[2, 2], &["--reattach-window", "1"]);
    let shell = format!("until [ -e {} ]; do sleep 0.02; done; echo $MILLPOND_INDEX", cluster.text_path("gate"));
    let job = cluster.submit_array("0-9", &[], &shell);
    until("four run", || cluster.count(&job, "running") == 4);
    cluster.worker(2).stops();
    cluster.head_dies();
    cluster.head_starts_again();
    until("the first worker is back", || cluster.worker_state(1) == "busy");
    cluster.write("gate", "");
    assert_eq!(cluster.ends(&job, 0)["tasks"]["succeeded"], 10, "without the second worker");
    let before = cluster.bundle(&job);
    cluster.worker(2).continues();
    no_slot_is_lost(&cluster, &[2, 2]);
    let after = cluster.bundle(&job);
    assert!(before.bytes == after.bytes, "what the second worker brought late changes nothing");
    (0..10).for_each(|index| assert_eq!(after.text(&format!("{index:06}/stdout")), format!("{index}\n")));
    let next = cluster.submit_array("0-9", &[], "sleep 0.05");
    cluster.ends(&next, 0);
    assert!(cluster.tasks(&next).iter().any(|task| task["worker"] == "w2"), "it works again");
}
