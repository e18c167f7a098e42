//! A worker on which tasks of several jobs fail is kept out, loudly, and let back.

use super::cluster::Cluster;
use super::process::until;

#[test]
fn a_worker_that_fails_everything_is_suspected_said_and_let_back_by_a_person() {
    let cluster = Cluster::start(&[1, 1]);
    // What fails is the second worker, not the jobs: its folder is broken until somebody mends it.
    let mended = cluster.text_path("mended");
    let shell = format!("case $PWD in */worker-2/*) [ -e {mended} ] || exit 1;; esac; sleep 0.05; echo $MILLPOND_INDEX");
    let jobs = ["ada", "bob"].map(|owner| cluster.submit_array("0-199", &["--owner", owner, "--retries", "100"], &shell));
    until("the second worker is under suspicion", || cluster.worker_state(2) == "suspected");
    let note = cluster.show_worker(2)["note"].as_str().unwrap().to_owned();
    assert!(note.starts_with("its last ") && note.contains(" tasks failed, of 2 jobs or more"), "{note}");
    until("the first one goes on", || cluster.worker_state(1) == "busy");
    let listed = cluster.millpond(&["worker", "list"]);
    assert!(listed.out.contains("suspected") && listed.err.contains("its last "), "{} {}", listed.out, listed.err);
    let why = cluster.json(&["explain", &jobs[0]]).to_string();
    assert!(why.contains("under suspicion") && why.contains("w2"), "{why}");
    cluster.write("mended", "");
    cluster.ok(&["worker", "resume", "w2"]);
    until("it takes tasks again", || cluster.worker_state(2) == "busy");
    for job in &jobs {
        assert_eq!(cluster.ends(job, 0)["tasks"]["succeeded"], 200);
    }
    assert!(cluster.tasks(&jobs[1]).iter().any(|task| task["worker"] == "w2"));
}
