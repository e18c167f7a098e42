//! A start removes what a crash left behind, says so, and touches nothing else.

use std::fs;

use super::cluster::Cluster;

#[test]
fn a_start_removes_rubbish_and_only_that() {
    let mut cluster = Cluster::start(&[2]);
    let input = cluster.write("in.txt", "a\nb\nc\n");
    let job = cluster.submit(&[&input, "--split", "lines:1", "--", "cat"]);
    cluster.ends(&job, 0);
    let unused = cluster.ok(&["data", "add", &cluster.write("unused.txt", "unused\n")]);
    let held = cluster.submit(&[&input, "--split", "lines:2", "--hold", "--", "cat"]);
    let bundle = cluster.bundle(&job).bytes;
    cluster.head_dies();

    let data = cluster.data_dir.clone();
    let digest = "ab".repeat(32);
    for folder in ["jobs/j77", "datasets/ab"] {
        fs::create_dir_all(data.join(folder)).unwrap();
    }
    let rubbish =
        ["datasets/tmp/3".to_owned(), format!("datasets/ab/{digest}"), format!("chunks/{digest}.lines-1"), "jobs/j77/segment".to_owned()];
    rubbish.iter().for_each(|name| fs::write(data.join(name), "").unwrap());
    fs::write(data.join("notes.txt"), "mine\n").unwrap();
    cluster.head_starts_again();

    let log = cluster.tail("head.log");
    assert!(rubbish.iter().all(|name| !data.join(name).exists()), "{log}");
    assert!(!data.join("jobs/j77").exists(), "{log}");
    assert_eq!(log.matches("removed: ").count(), 4, "each is said: {log}");
    assert!(data.join("notes.txt").exists());
    assert_eq!(cluster.bundle(&job).bytes, bundle, "what is known is as it was");
    assert!(cluster.json(&["data", "list"])["datasets"].as_array().unwrap().iter().any(|data| data["digest"] == unused.as_str()));
    cluster.ok(&["resume", &held]);
    cluster.ends(&held, 0);
    assert_eq!(cluster.bundle(&held).text("000001/stdout"), "c\n");
}
