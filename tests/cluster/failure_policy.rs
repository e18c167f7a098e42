//! What becomes of failures: tries that wait, exit codes that are worth one, jobs that give up, tasks that take workers down.

use super::cluster::Cluster;
use super::process::until;
use super::same_bytes::same_but_for_run_json;

#[test]
fn a_failure_is_tried_again_later_and_only_if_its_exit_code_is_worth_it() {
    let cluster = Cluster::start(&[2]);
    let log = cluster.text_path("log");
    let shell = format!("echo $MILLPOND_INDEX $MILLPOND_ATTEMPT $(date +%s.%N) >> {log}; exit $((74 + $MILLPOND_INDEX))");
    let options = ["--retries", "2", "--retry-on", "75,137", "--retry-delay", "1s"];
    let job = cluster.submit_array("0-1", &options, &shell);
    cluster.ends(&job, 10);
    let lines = cluster.lines("log");
    let of = |index: &str| lines.iter().filter(|line| line.starts_with(index)).cloned().collect::<Vec<_>>();
    assert_eq!((of("0 ").len(), of("1 ").len()), (1, 3), "{lines:?}");
    let times: Vec<f64> = of("1 ").iter().map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect();
    assert!(times[1] - times[0] >= 0.5 && times[2] - times[1] >= 1.0, "half of 1 s and of 2 s at least: {times:?}");
    for (option, says) in [("--retry-on", "256"), ("--max-failed", "101%"), ("--retry-delay", "2h")] {
        let refused = cluster.millpond(&["submit", "--array", "1-2", option, says, "--", "true"]);
        refused.refused(2, &[says.trim_end_matches('%').trim_end_matches('h')]);
    }
}

#[test]
fn a_job_gives_up_when_too_much_has_failed_and_a_retry_brings_it_to_its_end() {
    let cluster = Cluster::start(&[2]);
    let (good, log) = (cluster.text_path("good"), cluster.text_path("log"));
    // The second slot has a task that would never end.
    let shell = format!(
        "echo x >> {log}; if [ -e {good} ]; then echo out-$MILLPOND_INDEX; exit; fi; \
         case $MILLPOND_INDEX in 0) until [ -e {good} ]; do sleep 0.05; done;; 1) echo out-1;; *) exit 3;; esac"
    );
    let job = cluster.submit_array("0-99", &["--max-failed", "2%"], &shell);
    let ended = cluster.ends(&job, 10);
    // Some more may have come to their end before the worker heard of it.
    let failed = ended["tasks"]["failed"].as_u64().unwrap();
    assert!(ended["state"] == "failed" && (3..20).contains(&failed), "{ended}");
    assert_eq!((&ended["tasks"]["succeeded"], &ended["tasks"]["killed"]), (&1.into(), &(99 - failed).into()), "{ended}");
    assert!(ended["reason"].as_str().unwrap().contains("more than 2% of its tasks failed"), "{ended}");
    assert_eq!(cluster.bundle(&job).text("000001/stdout"), "out-1\n");
    // The last one may have been stopped before it ended.
    let begun = cluster.lines("log").len() as u64;
    assert!((failed + 2..=failed + 3).contains(&begun), "{begun} have begun: {ended}");
    cluster.write("good", "");
    assert!(cluster.ok(&["retry", &job]).ends_with("99 tasks to run again"));
    cluster.ends(&job, 0);
    let whole = cluster.submit_array("0-99", &["--max-failed", "2%"], &shell);
    cluster.ends(&whole, 0);
    same_but_for_run_json(&cluster.bundle(&whole), &cluster.bundle(&job));
}

#[test]
fn a_task_that_takes_five_workers_down_fails_and_no_other_does() {
    // In a sandbox it can't.
    let mut cluster = Cluster::start_open(1);
    let log = cluster.text_path("log");
    // Its parent is the launcher, and the worker is the launcher's.
    let shell = format!(
        "echo $MILLPOND_INDEX >> {log}; [ $MILLPOND_INDEX = 1 ] || exit 0; \
         worker=$(awk '{{print $4}}' /proc/$PPID/stat); kill -9 $worker; sleep 300"
    );
    let job = cluster.submit_array("0-2", &[], &shell);
    // Now and then one dies before the head has heard that the task had started: that does not count.
    let mut deaths = 0;
    until("the job has ended", || {
        if !cluster.worker(1).is_alive() {
            deaths += 1;
            cluster.worker_starts_again(1, &[]);
        }
        cluster.show(&job)["finished"].is_string()
    });
    assert!((5..15).contains(&deaths), "{deaths}");
    let ended = cluster.ends(&job, 10);
    assert_eq!((&ended["tasks"]["succeeded"], &ended["tasks"]["failed"]), (&2.into(), &1.into()), "{ended}");
    let tasks = cluster.tasks(&job);
    assert!(tasks[1].to_string().contains("5 workers went away or failed while they ran it"), "{}", tasks[1]);
    assert_eq!(cluster.lines("log").len(), deaths + 2);
}
