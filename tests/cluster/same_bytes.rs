//! The same job gives the same bundle, whatever happened on the way.

use super::bundle::Bundle;
use super::cluster::Cluster;

/// Records of different lengths, 60 chunks of 50 lines.
fn data() -> String {
    (0..3000u32).map(|line| format!("record {line} {}\n", "abc".repeat((line * 7919 % 23) as usize))).collect()
}

/// Files of several sizes, in folders too, one that compresses badly and is too large to ride along, and standard output.
const SHELL: &str = "cat > {output}/copy.txt; mkdir -p {output}/deep/er; wc -l < {output}/copy.txt > {output}/deep/er/lines
  seq $MILLPOND_INDEX 20000 | awk '{print ($1 * 7919) % 1000003}' > {output}/numbers
  touch {output}/empty; head -n 2 {output}/copy.txt; echo noise $$ >&2; sleep 0.1";

fn submit(cluster: &Cluster, options: &[&str]) -> String {
    let input = cluster.write("data.txt", data());
    let table = cluster.write("table", "shared");
    let job = [&[input.as_str(), "--split", "lines:50", "--with", &table, "--env", "A=B"], options, &["--", "sh", "-c", SHELL]].concat();
    cluster.submit(&job)
}

/// That two bundles differ in nothing but how they came about.
pub fn same_but_for_run_json(one: &Bundle, other: &Bundle) {
    assert_eq!(one.names(), other.names());
    for (name, content) in one.entries.iter().filter(|(name, _)| *name != "run.json") {
        assert!(other.entries[name] == *content, "{name} differs");
    }
    assert_ne!(one.entries["run.json"], other.entries["run.json"], "they did run in different ways");
    assert!(one.bytes[..one.run_begins] == other.bytes[..other.run_begins], "the bytes before run.json differ");
}

#[test]
fn a_worker_killed_in_mid_job_changes_nothing_in_the_bundle() {
    let quiet = Cluster::start(&[2]);
    let (plain, merged) = (submit(&quiet, &[]), submit(&quiet, &["--merge", "concat"]));

    let mut rough = Cluster::start(&[2, 2, 2]);
    rough.ends(&rough.submit_array("0-3", &[], "true"), 0);
    let jobs = [submit(&rough, &["--name", "other", "--priority", "3"]), submit(&rough, &["--merge", "concat", "--owner", "bob"])];
    super::process::until("the first is half done", || rough.count(&jobs[0], "succeeded") > 20);
    rough.worker(2).dies();
    jobs.iter().for_each(|job| drop(rough.ends(job, 0)));
    let tries: Vec<u64> = jobs.iter().flat_map(|job| rough.tasks(job)).filter_map(|task| task["attempt"].as_u64()).collect();
    assert!(tries.iter().any(|tries| *tries > 1), "some task was lost with its worker");

    quiet.ends(&plain, 0);
    quiet.ends(&merged, 0);
    same_but_for_run_json(&quiet.bundle(&plain), &rough.bundle(&jobs[0]));
    let bundle = rough.bundle(&jobs[1]);
    same_but_for_run_json(&quiet.bundle(&merged), &bundle);

    let data = data();
    let lines: Vec<&str> = data.split_inclusive('\n').collect();
    let expected: String = lines.chunks(50).flat_map(|chunk| &chunk[..2]).copied().collect();
    assert!(bundle.text("merged") == expected, "merged is the outputs in the order of the chunks");
    for (index, chunk) in lines.chunks(50).enumerate() {
        assert!(bundle.text(&format!("{index:06}/copy.txt")) == chunk.concat(), "chunk {index}");
    }
    assert!(!bundle.names().iter().any(|name| name.ends_with("/stdout")));
}
