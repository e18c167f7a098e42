//! What an owner may have at once: slots, jobs, tasks, stored data.

use super::cluster::Cluster;
use super::identities::logged_in;
use super::process::until;
use super::uploads::{MIB, noise, partial};

#[test]
fn an_owner_runs_no_more_than_he_may_and_explain_says_so() {
    let mut cluster = Cluster::start(&[6]);
    let wait = format!("until [ -e {} ]; do sleep 0.05; done", cluster.text_path("gate"));
    let said = cluster.ok(&["quota", "set", "ada", "--slots", "2", "--jobs", "2", "--tasks", "60", "--dry-run"]);
    assert_eq!(said.trim(), "ada would have a quota of 2 slots, 2 jobs, 60 tasks");
    assert_eq!(cluster.json(&["quota"])["quotas"], serde_json::json!([]));
    cluster.ok(&["quota", "set", "ada", "--slots", "2", "--jobs", "2", "--tasks", "60"]);
    let first = cluster.submit_array("1-50", &["--owner", "ada", "--priority", "9"], &wait);
    let other = cluster.submit_array("1-50", &["--owner", "bob"], &wait);
    until("all slots are taken", || cluster.count(&first, "running") + cluster.count(&other, "running") == 6);
    assert_eq!(cluster.count(&first, "running"), 2);
    let why = cluster.ok(&["explain", &first]);
    assert!(why.contains("ada has 2 in workers' hands, and a quota of 2"), "{why}");
    // Too many tasks, then too many jobs; and of a data set it turns out at its split.
    let refused = |cluster: &Cluster, range: &str, says: &str| {
        cluster.millpond(&["submit", "--owner", "ada", "--array", range, "--", "true"]).refused(1, &["ada has", says]);
    };
    refused(&cluster, "1-11", "a quota of 60; with the 11 of this job they would be 61");
    let lines = cluster.write("lines.txt", "x\n".repeat(20));
    let split = cluster.submit(&["--owner", "ada", "--split", "lines:1", &lines, "--", "true"]);
    let ended = cluster.ends(&split, 10);
    assert!(ended["reason"].as_str().unwrap().contains("with the 20 of this job they would be 70"), "{ended}");
    let second = cluster.submit(&["--owner", "ada", "--split", "lines:10", &lines, "--", "true"]);
    refused(&cluster, "1-1", "2 jobs not ended, and a quota of 2");
    // It is there after a restart; a higher one counts at once, for what waits too.
    cluster.head_dies();
    cluster.head_starts_again();
    cluster.worker_is_connected(1);
    refused(&cluster, "1-1", "2 jobs not ended, and a quota of 2");
    let listed = cluster.json(&["quota", "list"]);
    let ada = &listed["quotas"][0];
    assert_eq!(
        (&ada["owner"], &ada["own"], &ada["quota"]["slots"], &ada["used"]["jobs"]),
        (&"ada".into(), &true.into(), &2.into(), &2.into())
    );
    assert_eq!(listed["quotas"][1]["owner"], "bob");
    cluster.ok(&["kill", &other, "--running", "stop"]);
    cluster.ends(&other, 11);
    assert_eq!(cluster.count(&first, "running"), 2);
    cluster.ok(&["quota", "set", "ada", "--slots", "4"]);
    until("two more run", || cluster.count(&first, "running") + cluster.count(&second, "running") == 4);
    let cleared = cluster.ok(&["quota", "clear", "ada", "--reason", "it was a try"]);
    assert_eq!(cleared.trim(), "ada has no quota of its own");
    until("all slots are hers", || cluster.count(&first, "running") + cluster.count(&second, "running") == 6);
    cluster.write("gate", "");
    cluster.ends(&first, 0);
    cluster.ends(&second, 0);
}

#[test]
fn what_an_owner_stores_is_looked_at_before_it_is_taken_and_as_it_comes() {
    let mut cluster = Cluster::with_identity();
    let admin = cluster.credentials.clone();
    let [ana, ben] = ["ana", "ben"].map(|name| logged_in(&mut cluster, "submitter", name));
    cluster.ok(&["quota", "set", "*", "--stored", "10M"]);
    cluster.ok(&["quota", "set", "ben", "--stored", "1G", "--reason", "large spectra"]);
    let (six, other) =
        (cluster.write("six.bin", noise(6 * MIB)), cluster.write("other.bin", noise(5 * MIB).into_iter().rev().collect::<Vec<u8>>()));
    cluster.credentials = Some(ana.clone());
    cluster.ok(&["data", "add", &six]);
    cluster.millpond(&["data", "add", &other]).refused(1, &["ana has 6.0 MiB of data sets", "a quota of", "millpond data delete"]);
    // From a pipe nobody knows how much comes; packed data is what it becomes.
    let piped = cluster.client(&["data", "add", "-"]).stdin(std::fs::File::open(&other).unwrap()).output().unwrap();
    super::ground::Answer::from(piped).refused(1, &["ana has 6.0 MiB of data sets"]);
    let packed = cluster.write("zeros.gz", gzip(&vec![0; 40 << 20]));
    cluster.millpond(&["data", "add", &packed]).refused(1, &["ana has 6.0 MiB of data sets"]);
    assert_eq!(partial(&cluster), 0, "nothing of it stays");
    // He may not help himself, and sees himself alone.
    cluster.millpond(&["quota", "set", "ana", "--stored", "1G"]).refused(5, &[]);
    let mine = cluster.json(&["quota", "list"]);
    let mine = mine["quotas"].as_array().unwrap();
    assert_eq!((mine.len(), &mine[0]["owner"], &mine[0]["used"]["stored_bytes"]), (1, &"ana".into(), &(6 * MIB).into()));
    cluster.credentials = Some(ben);
    cluster.ok(&["data", "add", &other]);
    // What is deleted makes room.
    cluster.credentials = Some(ana);
    let digest = cluster.json(&["data", "list"])["datasets"][0]["digest"].as_str().unwrap().to_owned();
    cluster.ok(&["data", "delete", &digest]);
    cluster.ok(&["data", "add", &other]);
    cluster.credentials = admin;
    let audit = cluster.ok(&["audit", "--format", "jsonl"]);
    assert!(audit.contains("ben: 1.0 GiB stored") && audit.contains("large spectra"), "{audit}");
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, data).unwrap();
    encoder.finish().unwrap()
}
