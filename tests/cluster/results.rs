//! What comes back: logs, tasks and bundles at any time, and what a task is told about itself.

use std::collections::BTreeMap;

use super::cluster::Cluster;
use super::process::until;

#[test]
fn everything_can_be_looked_at_while_a_job_runs_and_a_killed_job_keeps_what_is_done() {
    let cluster = Cluster::start(&[2]);
    let gate = cluster.text_path("gate");
    let shell = format!("echo out-$MILLPOND_INDEX; [ $MILLPOND_INDEX -lt 5 ] || until [ -e {gate} ]; do sleep 0.02; done");
    let job = cluster.submit_array("0-9", &[], &shell);
    until("five are done", || cluster.count(&job, "succeeded") == 5 && cluster.count(&job, "running") == 2);

    let bundle = cluster.bundle(&job);
    assert_eq!(bundle.names().len(), 5 + 2, "{:?}", bundle.names());
    assert_eq!(bundle.states(), BTreeMap::from([("succeeded".to_owned(), 5), ("not_run".to_owned(), 5)]));
    assert_eq!(cluster.ok(&["logs", "j1.3"]), "out-3");
    cluster.millpond(&["logs", "j1.5"]).refused(4, &["j1.5", "has not ended", "-f"]);
    let states: Vec<String> = cluster.tasks(&job).iter().map(|task| task["state"].as_str().unwrap().to_owned()).collect();
    assert_eq!(states[..5], ["succeeded"; 5]);
    assert_eq!(states[5..], ["running", "running", "undispatched", "undispatched", "undispatched"]);
    let explained = |id: &str| cluster.ok(&["explain", id]).lines().next().unwrap().to_owned();
    assert_eq!(explained("j1.5"), "j1.5 is running on w1 (attempt 1)");
    assert!(explained("j1.3").starts_with("j1.3 has ended: exit code 0"), "{}", explained("j1.3"));
    // The first ones were so short that more were sent ahead: they come back.
    until("it is not on its way any more", || explained("j1.9").starts_with("j1.9 has not started: j1 is running"));

    cluster.ok(&["kill", &job]);
    assert_eq!(cluster.bundle(&job).names().len(), 5 + 2);
    cluster.write("gate", "");
    cluster.ends(&job, 11);
    let bundle = cluster.bundle(&job);
    assert_eq!(bundle.states(), BTreeMap::from([("succeeded".to_owned(), 7), ("killed".to_owned(), 3)]));
    assert_eq!(bundle.text("000006/stdout"), "out-6\n");
    assert!(explained("j1.9").starts_with("j1.9 will not run: j1 was killed"), "{}", explained("j1.9"));
    assert_eq!(cluster.bundle(&job).bytes, bundle.bytes, "fetched twice");
}

#[test]
fn a_task_is_told_about_itself_by_placeholders_and_environment() {
    let cluster = Cluster::start(&[1]);
    let input = cluster.write("in.txt", "a\nb\nc\n");
    let reference = cluster.write("ref data.fasta", ">r\n");
    let shell = "cat '{input}' '{with:ref data.fasta}'; echo {index}/{count} {job} {unknown} {} ${HOME:+braces}
      echo $MILLPOND_JOB $MILLPOND_TASK $MILLPOND_INDEX $MILLPOND_COUNT $MILLPOND_ATTEMPT $GIVEN
      cmp '{input}' $MILLPOND_INPUT; [ {output} = $MILLPOND_OUTPUT ] && echo same; ls -A; wc -c < /dev/stdin; echo x > {output}/x";
    let options = ["--split", "lines:1", "--with", &reference, "--env", "GIVEN=by me", "--", "sh", "-c", shell];
    let job = cluster.submit(&[&[input.as_str()], &options[..]].concat());
    cluster.ends(&job, 0);
    let bundle = cluster.bundle(&job);
    let expected = "b\n>r\n1/3 j1 {unknown} {} braces\nj1 j1.1 1 3 1 by me\nsame\n0\n";
    assert_eq!(bundle.text("000001/stdout"), expected);
    assert_eq!(bundle.text("000002/x"), "x\n");
}

#[test]
fn a_command_without_input_gets_its_chunk_on_standard_input() {
    let cluster = Cluster::start(&[1]);
    let input = cluster.write("in.txt", "1\n2\n3\n4\n5\n");
    let job = cluster.submit(&[&input, "--split", "lines:2", "--merge", "concat", "--", "tac"]);
    cluster.ends(&job, 0);
    let bundle = cluster.bundle(&job);
    assert_eq!(bundle.text("merged"), "2\n1\n4\n3\n5\n");
    let manifest = bundle.json("manifest.json");
    assert_eq!(manifest["tasks"][1]["merged"], serde_json::json!({"offset": 4, "len": 4}));
    let array = cluster.submit(&["--array", "0", "--", "wc", "-c"]);
    cluster.ends(&array, 0);
    assert_eq!(cluster.ok(&["logs", &format!("{array}.0")]).trim(), "0", "an array has nothing there");
}

#[test]
fn an_array_keeps_its_own_numbers() {
    let cluster = Cluster::start(&[2]);
    let job = cluster.submit(&["--array", "5-7", "--", "sh", "-c", "echo {index} $MILLPOND_TASK"]);
    cluster.ends(&job, 0);
    let bundle = cluster.bundle(&job);
    assert_eq!(bundle.names(), ["000005/stdout", "000006/stdout", "000007/stdout", "manifest.json", "run.json"]);
    assert_eq!(bundle.text("000006/stdout"), "6 j1.6\n");
    assert_eq!(cluster.ok(&["logs", "j1.7"]), "7 j1.7");
    assert_eq!(cluster.ok(&["tasks", "1", "-q"]), "j1.5\nj1.6\nj1.7");
    cluster.millpond(&["logs", "j1.0"]).refused(3, &["j1", "0"]);
    let steps = cluster.submit(&["--array", "0-25:10", "--", "echo", "{index}"]);
    cluster.ends(&steps, 0);
    assert_eq!(cluster.bundle(&steps).text("000020/stdout"), "20\n");
}

#[test]
fn odd_files_and_large_ones_come_back_as_they_were() {
    let cluster = Cluster::start(&[2]);
    let shell = "cd {output}; mkdir -p a/b 'with space'; seq 300000 > a/b/large; echo x > 'with space/ü'; echo y > stdout; echo z
      ln -s /etc/passwd link; ln -s ../stdout a/near; : > empty; chmod 000 a/b/large; printf '\\377' > \"$(printf 'bad\\377name')\"";
    let job = cluster.submit_array("0-3", &[], shell);
    cluster.ends(&job, 0);
    let bundle = cluster.bundle(&job);
    let expected: String = (1..=300_000).map(|line| format!("{line}\n")).collect();
    assert!(bundle.text("000003/a/b/large") == expected);
    assert_eq!((bundle.text("000000/with space/ü"), bundle.text("000000/stdout"), bundle.text("000000/stdout~2")), ("x\n", "z\n", "y\n"));
    assert!(!bundle.entries.contains_key("000000/link"), "it leads out of the folder");
    assert_eq!(bundle.text("000000/a/near"), "y\n", "a link within the folder stands for its content");
    let said = cluster.millpond(&["logs", "j1.0", "--stderr"]);
    assert_eq!(said.err, "millpond: left out of the result: link points out of the output folder\n", "{said:?}");
    assert_eq!((bundle.text("000001/empty"), &bundle.entries["000001/bad_name"][..]), ("", &[0xff][..]));
}

#[test]
fn a_bundle_goes_to_a_pipe_or_to_a_file_of_its_own_name() {
    let cluster = Cluster::start(&[1]);
    let job = cluster.submit_array("0", &["--name", "night run"], "echo x");
    cluster.ends(&job, 0);
    let output = cluster.client(&["results", &job, "-o", "-"]).output().unwrap();
    let text = cluster.ok(&["results", &job]);
    assert!(text.starts_with("night run-j1.zip: "), "{text}");
    assert_eq!(std::fs::read(cluster.path("night run-j1.zip")).unwrap(), output.stdout);
    super::bundle::Bundle::of(output.stdout);
}

#[test]
fn results_that_are_not_large_need_no_call_of_their_own() {
    if !cfg!(debug_assertions) {
        return println!("skipped: a release build has no failpoints");
    }
    let mut cluster = Cluster::start(&[2]);
    cluster.worker(1).dies();
    // It would die before it made one.
    cluster.worker_starts_again(1, &[("MILLPOND_FAILPOINT", "worker.before_upload:1=kill")]);
    let job = cluster.submit_array("0-3", &[], "head -c 100000 /dev/urandom | tee {output}/copy");
    cluster.ends(&job, 0);
    let bundle = cluster.bundle(&job);
    for index in 0..4 {
        let (said, copy) = (&bundle.entries[&format!("{index:06}/stdout")], &bundle.entries[&format!("{index:06}/copy")]);
        assert!(said.len() == 100_000 && said == copy);
    }
}
