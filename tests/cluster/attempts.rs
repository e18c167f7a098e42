//! What became of each attempt of a task is known: on the command line, over HTTP, in the bundle, and after a restart of the head.

use serde_json::{Value, json};

use super::cluster::Cluster;
use super::plain_http::ask;
use super::process::until;

/// `show` of a task: number, worker and outcome of each earlier attempt.
fn earlier(cluster: &Cluster, task: &str) -> Vec<Value> {
    let shown = cluster.json(&["show", task]);
    let all = shown["earlier"].as_array().unwrap_or_else(|| panic!("{shown}"));
    for attempt in all {
        assert!(attempt["started"].as_str().unwrap() <= attempt["finished"].as_str().unwrap(), "{attempt}");
    }
    all.iter().map(|it| json!([it["attempt"], it["worker"], it["outcome"]])).collect()
}

#[test]
fn each_attempt_of_a_task_is_known_with_what_it_wrote() {
    let mut cluster = Cluster::start(&[1]);
    // Ends with 1, then 2, then, in the round that follows, well.
    let shell = "echo out-$MILLPOND_ATTEMPT; echo err-$MILLPOND_ATTEMPT >&2; [ $MILLPOND_ATTEMPT = 3 ] || exit $MILLPOND_ATTEMPT";
    let job = cluster.submit_array("4-5", &["--retries", "1", "--retry-delay", "1ms"], shell);
    cluster.ends(&job, 10);
    let task = format!("{job}.4");
    let first = json!([1, "w1", "exit code 1"]);
    assert_eq!(earlier(&cluster, &task), std::slice::from_ref(&first));
    let shown = cluster.json(&["show", &task]);
    assert_eq!((&shown["state"], &shown["attempt"], &shown["exit_code"]), (&json!("failed"), &json!(2), &json!(2)), "{shown}");

    cluster.ok(&["retry", &job]);
    cluster.ends(&job, 0);
    cluster.head_dies();
    cluster.head_starts_again();
    let both = [first, json!([2, "w1", "exit code 2"])];
    assert_eq!(earlier(&cluster, &task), both);
    assert_eq!(cluster.json(&["show", &task])["state"], "succeeded");
    let text = cluster.ok(&["show", &task]);
    assert!(text.contains("before     attempt 1 on w1, ") && text.contains("\n           attempt 2 on w1, "), "{text}");

    for (attempt, name) in [("1", "err"), ("2", "err"), ("3", "err")] {
        let printed = cluster.millpond(&["logs", &task, "--attempt", attempt]);
        assert_eq!((printed.out, printed.err), (format!("out-{attempt}\n"), format!("{name}-{attempt}\n")));
        let fetched = ask(&cluster.url, "GET", &format!("/v1/tasks/{task}/stderr?attempt={attempt}"), &[]);
        assert_eq!((fetched.status, fetched.body), (200, format!("err-{attempt}\n").into_bytes()));
    }
    cluster.millpond(&["logs", &task, "--attempt", "4"]).refused(3, &["nothing is kept of an attempt 4 of ", "`millpond show "]);
    assert_eq!(ask(&cluster.url, "GET", &format!("/v1/tasks/{task}/stderr?attempt=0"), &[]).status, 400);
    let page = String::from_utf8(ask(&cluster.url, "GET", &format!("/tasks/{task}"), &[]).body).unwrap();
    assert!(page.contains("Earlier attempts") && page.contains(&format!("/v1/tasks/{task}/stderr?attempt=1")), "{page}");

    let run = cluster.bundle(&job).json("run.json");
    let line = &run["tasks"][0];
    assert_eq!((&line["index"], &line["attempt"], &line["outcome"]), (&json!(4), &json!(3), &json!("exit code 0")), "{line}");
    let outcomes: Vec<&Value> = line["earlier"].as_array().unwrap().iter().map(|attempt| &attempt["outcome"]).collect();
    assert_eq!(outcomes, ["exit code 1", "exit code 2"]);
    let record = cluster.show_worker(1)["record"].clone();
    assert_eq!((&record["succeeded"], &record["failed"]), (&Value::Null, &Value::Null), "this head has seen none");
    cluster.millpond(&["show", "w1"]).refused(2, &["`millpond worker show w1`"]);
}

#[test]
fn an_attempt_that_went_down_with_its_worker_is_one_of_them() {
    let mut cluster = Cluster::start(&[1]);
    let gate = cluster.text_path("gate");
    let job =
        cluster.submit_array("0", &[], &format!("echo begun >> {}; until [ -e {gate} ]; do sleep 0.02; done", cluster.text_path("log")));
    cluster.has_lines("log", 1);
    cluster.worker(1).dies();
    cluster.add_worker(1, &[]);
    cluster.has_lines("log", 2);
    let task = format!("{job}.0");
    let lost = [json!([1, "w1", "its worker went away"])];
    assert_eq!(earlier(&cluster, &task), lost);
    cluster.write("gate", "");
    cluster.ends(&job, 0);
    assert_eq!(earlier(&cluster, &task), lost);
    let run = cluster.bundle(&job).json("run.json");
    assert_eq!((&run["tasks"][0]["attempt"], &run["tasks"][0]["earlier"][0]["attempt"]), (&json!(2), &json!(1)), "{run}");
}

#[test]
fn how_a_worker_does_is_counted_and_compared() {
    let cluster = Cluster::start(&[1]);
    let job = cluster.submit_array("0-29", &[], "[ $MILLPOND_INDEX -lt 25 ]");
    cluster.ends(&job, 10);
    until("the chronicle has heard of all", || cluster.show_worker(1)["record"]["failed"] == 5);
    let record = cluster.show_worker(1)["record"].clone();
    assert_eq!(record["succeeded"], 25, "{record}");
    // It is the only one, and so the median.
    assert!((0.3..3.0).contains(&record["speed"].as_f64().unwrap()), "{record}");
    let text = cluster.ok(&["worker", "show", "w1"]);
    assert!(text.contains("25 succeeded, 5 failed, ") && text.contains(" times the median speed"), "{text}");
}

/// As a backup has it: a job that was killed before it had a result has no folder there.
#[test]
fn a_task_of_a_job_without_a_folder_is_shown_all_the_same() {
    let mut cluster = Cluster::start(&[]);
    let job = cluster.submit_array("0-1", &["--hold"], "true");
    cluster.ok(&["kill", &job]);
    cluster.ends(&job, 11);
    cluster.head_dies();
    std::fs::remove_dir_all(cluster.path(&format!("head/jobs/{job}"))).unwrap();
    cluster.head_starts_again();
    let shown = cluster.json(&["show", &format!("{job}.1")]);
    assert_eq!((&shown["state"], &shown["earlier"]), (&json!("killed"), &json!([])), "{shown}");
}
