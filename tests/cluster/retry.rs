//! What has failed runs again, into the same bundle.

use super::cluster::Cluster;
use super::process::until;
use super::same_bytes::same_but_for_run_json;

/// Every 20th task of 1,000 fails as long as the file `good` is not there.
fn fails_at_first(cluster: &Cluster, tasks: u32) -> String {
    let (log, good) = (cluster.text_path("log"), cluster.text_path("good"));
    let shell = format!(
        "echo $MILLPOND_INDEX >> {log}; if [ $(($MILLPOND_INDEX % 20)) = 7 ] && [ ! -e {good} ]; then echo bad >&2; exit 3; fi; echo out-$MILLPOND_INDEX"
    );
    cluster.submit_array(&format!("0-{}", tasks - 1), &[], &shell)
}

#[test]
fn a_retry_runs_only_what_failed_and_the_bundle_is_that_of_a_run_without_failures() {
    let mut cluster = Cluster::start(&[4]);
    let job = fails_at_first(&cluster, 1000);
    cluster.ends(&job, 10);
    assert_eq!((cluster.count(&job, "failed"), cluster.lines("log").len()), (50, 1000));
    assert_eq!(cluster.bundle(&job).text("failed/000007/stderr"), "bad\n");
    cluster.ok(&["retry", &job, "--reason", "the same again"]);
    cluster.ends(&job, 10);
    assert_eq!((cluster.count(&job, "failed"), cluster.lines("log").len()), (50, 1050));

    cluster.write("good", "");
    let said = cluster.ok(&["retry", &job]);
    assert_eq!(said, format!("{job} goes on in round 3: 50 tasks to run again"));
    // A head that dies meanwhile forgets nothing of it.
    cluster.has_lines("log", 1060);
    cluster.head_dies();
    cluster.head_starts_again();
    let ended = cluster.ends(&job, 0);
    assert_eq!((ended["round"].as_u64(), ended["state"].as_str()), (Some(3), Some("succeeded")));
    assert_eq!(cluster.lines("log").len(), 1100, "nothing ran twice");
    let retried = cluster.bundle(&job);
    let other = fails_at_first(&cluster, 1000);
    cluster.ends(&other, 0);
    same_but_for_run_json(&cluster.bundle(&other), &retried);
    cluster.millpond(&["retry", &job]).refused(4, &["has succeeded: it has no failed tasks to run again"]);
}

/// A script that is run again after its job was mended by hand gets that job, and no refusal.
#[test]
fn a_request_that_comes_again_is_what_was_asked_for_whatever_the_job_was_changed_to() {
    let mut cluster = Cluster::start(&[1]);
    let id = "5d9f5a1e-0c0e-4b7c-9a40-0f9f2a9b6c11";
    let asks = |mem: &str| cluster.millpond(&["submit", "--request-id", id, "--array", "0", "--mem", mem, "--", "false"]);
    assert_eq!(asks("1M").out, "j1\n");
    cluster.ends("j1", 10);
    cluster.ok(&["retry", "j1", "--mem", "2M", "--timeout", "9s", "--with-command", "--", "true"]);
    cluster.ends("j1", 0);
    assert_eq!(asks("1M").out, "j1\n");
    asks("2M").refused(4, &[id, "has made j1 of something else"]);
    cluster.head_dies();
    cluster.head_starts_again();
    let asks = |mem: &str| cluster.millpond(&["submit", "--request-id", id, "--array", "0", "--mem", mem, "--", "false"]);
    assert_eq!(asks("1M").out, "j1\n");
    asks("2M").refused(4, &[id]);
}

#[test]
fn who_said_what_to_a_job_and_why_is_shown() {
    let mut cluster = Cluster::start(&[1]);
    let job = cluster.submit_array("0", &["--hold"], "false");
    let says = |cluster: &Cluster, args: &[&str]| {
        let output = cluster.client(args).env("USER", "ana").output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    says(&cluster, &["priority", &job, "5", "--reason", "the paper is due"]);
    says(&cluster, &["limit", &job, "--max-running", "4", "--reason", "licences"]);
    says(&cluster, &["resume", &job]);
    cluster.ends(&job, 10);
    says(&cluster, &["retry", &job, "--mem", "1M", "--reason", "more memory"]);
    cluster.ends(&job, 10);
    for restarted in [false, true] {
        if restarted {
            cluster.head_dies();
            cluster.head_starts_again();
        }
        let shown = cluster.show(&job);
        let changes: Vec<[&str; 3]> = shown["changes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| ["verb", "by", "reason"].map(|key| it[key].as_str().unwrap_or("")))
            .collect();
        let expected = [
            ["priority 5", "ana", "the paper is due"],
            ["limit 4", "ana", "licences"],
            ["resume", "ana", ""],
            ["retry", "ana", "more memory"],
        ];
        assert_eq!(changes, expected, "{shown}");
        let table = cluster.ok(&["show", &job]);
        assert!(table.contains("told       2") && table.contains("  priority 5, ana: the paper is due\n"), "{table}");
        assert!(table.ends_with("  retry, ana: more memory"), "{table}");
    }
}

#[test]
fn a_retry_comes_to_a_job_that_runs_and_to_one_that_is_held() {
    let cluster = Cluster::start(&[2]);
    let (go, good) = (cluster.text_path("go"), cluster.text_path("good"));
    let shell = format!(
        "if [ $MILLPOND_INDEX = 0 ]; then [ -e {good} ] || exit 1; else until [ -e {go} ]; do sleep 0.05; done; fi; echo out-$MILLPOND_INDEX"
    );
    let job = cluster.submit_array("0-1", &[], &shell);
    until("a task has failed", || cluster.count(&job, "failed") == 1);
    cluster.ok(&["pause", &job]);
    assert!(cluster.ok(&["retry", &job]).ends_with("1 task to run again, once it is resumed"));
    cluster.millpond(&["retry", &job]).refused(4, &["it has no failed tasks to run again"]);
    cluster.write("good", "");
    cluster.ok(&["resume", &job]);
    until("it has succeeded", || cluster.count(&job, "succeeded") == 1);
    cluster.write("go", "");
    cluster.ends(&job, 0);
    let killed = cluster.submit_array("0-1", &["--hold"], "false");
    cluster.ok(&["kill", &killed]);
    cluster.millpond(&["retry", &killed]).refused(4, &["was killed: submit it again"]);
    cluster.millpond(&["retry", "j99"]).refused(3, &["j99"]);
}

#[test]
fn a_retry_may_run_another_command_with_other_needs() {
    let cluster = Cluster::start(&[2]);
    let shell = "[ $MILLPOND_INDEX != 1 ] || exit 9; echo by-$0-$MILLPOND_INDEX";
    let job = cluster.submit(&["--array", "0-2", "--", "sh", "-c", shell, "first"]);
    cluster.ends(&job, 10);
    cluster.millpond(&["retry", &job, "--with-command"]).refused(2, &["name the command behind `--`"]);
    cluster.millpond(&["retry", &job, "--", "true"]).refused(2, &["needs --with-command"]);
    cluster.millpond(&["retry", &job, "--with-command", "--", "cat", "{input}"]).refused(2, &["{input}", "no data set"]);
    cluster.millpond(&["retry", &job, "--timeout", "0s"]).refused(2, &["timeout", "more than 0"]);
    cluster.ok(&["retry", &job, "--mem", "1M", "--with-command", "--", "sh", "-c", "echo by-$0-$MILLPOND_INDEX", "second"]);
    cluster.ends(&job, 0);
    let bundle = cluster.bundle(&job);
    let outputs = ["000000/stdout", "000001/stdout", "000002/stdout"].map(|name| bundle.text(name));
    assert_eq!(outputs, ["by-first-0\n", "by-second-1\n", "by-first-2\n"]);
    assert!(bundle.text("manifest.json").contains(r#""second"]"#));
    assert!(bundle.text("run.json").contains(&format!(r#""earlier_commands":[["sh","-c","{shell}","first"]]"#)));
}
