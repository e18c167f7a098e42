//! Wrong command lines, unknown things, commands that misbehave: the exit codes, and error lines that name the thing and say what to do.

use std::time::{Duration, Instant};

use super::cluster::Cluster;
use super::ground::seconds_between;
use super::process::until;

#[test]
fn what_does_not_exist_is_named_and_gives_3() {
    let cluster = Cluster::start(&[1]);
    let input = cluster.write("in.txt", "x\n");
    cluster.millpond(&["submit", "--array", "0", "--with", "missing.fasta", "--", "true"]).refused(3, &["missing.fasta"]);
    cluster.millpond(&["submit", "missing.txt", "--", "true"]).refused(3, &["missing.txt"]);
    for verb in ["show", "tasks", "watch", "wait", "explain", "pause", "resume", "kill"] {
        cluster.millpond(&[verb, "99"]).refused(3, &["j99"]);
    }
    cluster.millpond(&["priority", "j99", "1"]).refused(3, &["j99"]);
    cluster.millpond(&["limit", "j99", "--max-running", "1"]).refused(3, &["j99"]);
    cluster.millpond(&["logs", "j99.0"]).refused(3, &["j99"]);
    cluster.millpond(&["results", "j99", "-o", &cluster.text_path("x.zip")]).refused(3, &["j99"]);
    cluster.millpond(&["worker", "show", "w9"]).refused(3, &["w9"]);
    cluster.millpond(&["worker", "drain", "w9"]).refused(3, &["w9"]);
    assert!(!cluster.path("x.zip").exists() && !cluster.path("x.zip.part").exists());

    let job = cluster.submit(&[&input, "--", "cat"]);
    cluster.ends(&job, 0);
    cluster.millpond(&["logs", "j1.7"]).refused(3, &["j1", "7"]);
    cluster.millpond(&["explain", "j1.7"]).refused(3, &["j1", "7"]);
}

#[test]
fn a_wrong_command_line_gives_2_and_says_how_it_is_right() {
    let cluster = Cluster::start(&[]);
    let input = cluster.write("in.txt", "x\n");
    let refused = |args: &[&str], words: &[&str]| cluster.millpond(args).refused(2, words);
    refused(&["submit", &input], &["no command", "--"]);
    refused(&["submit", "--", "true"], &["no input", "--array"]);
    refused(&["submit", &input, "--array", "0-3", "--", "true"], &["exclude each other"]);
    refused(&["submit", "--array", "0-3", "--", "cat", "{input}"], &["{input}", "--array"]);
    refused(&["submit", "--array", "0-99999999", "--", "true"], &["10000000"]);
    refused(&["submit", &input, "--", "cat", "{with:db}"], &["{with:NAME}", "db", "--with"]);
    refused(&["submit", "/tmp", "--split", "lines:2", "--", "true"], &["/tmp", "is a folder", "`lines:2` can't cut", "files:N"]);
    refused(&["--head", "ftp://x", "list"], &["ftp://x", "http://HOST:PORT"]);
    for (args, word) in [
        (vec!["submit", &input, "--split", "lines:0", "--", "cat"], "lines:0"),
        (vec!["submit", &input, "--split", "words:3", "--", "cat"], "words:3"),
        (vec!["submit", "--array", "7-5", "--", "cat"], "7-5"),
        (vec!["submit", "--array", "1", "--mem", "lots", "--", "cat"], "lots"),
        (vec!["submit", "--array", "1", "--timeout", "soon", "--", "cat"], "soon"),
        (vec!["show", "seven"], "seven"),
        (vec!["logs", "j1"], "j7.42"),
        (vec!["dance"], "dance"),
    ] {
        refused(&args, &[word]);
    }
    assert_eq!(cluster.json(&["list"])["jobs"], serde_json::json!([]), "none of them was submitted");
}

#[test]
fn a_verb_that_comes_too_late_gives_4() {
    let cluster = Cluster::start(&[1]);
    let job = cluster.submit_array("0", &[], "true");
    cluster.ends(&job, 0);
    cluster.millpond(&["pause", &job]).refused(4, &["j1", "succeeded", "`pause` comes too late"]);
    cluster.millpond(&["resume", &job]).refused(4, &["j1"]);
    cluster.millpond(&["kill", &job]).refused(4, &["j1"]);
    cluster.millpond(&["priority", &job, "3"]).refused(4, &["j1"]);
    let killed = cluster.submit_array("0-9", &["--hold"], "true");
    let first = cluster.json(&["kill", &killed]);
    cluster.ends(&killed, 11);
    let second = cluster.json(&["kill", &killed]);
    assert_eq!((&first["dropped"], &second["dropped"], &second["state"]), (&10.into(), &10.into(), &"killed".into()), "kill twice");
    cluster.millpond(&["pause", &killed]).refused(4, &["j2", "killed"]);
    let held = cluster.submit_array("0", &["--hold"], "true");
    cluster.millpond(&["logs", &format!("{held}.0")]).refused(4, &["j3.0", "has not ended"]);
    // One refusal doesn't stop the others.
    let answer = cluster.millpond(&["kill", "1", "99", "3", "-q"]);
    assert!(answer.code == 4 && answer.out == "j3\n" && answer.err.lines().count() == 2, "{answer:?}");
    cluster.ends(&held, 11);
}

#[test]
fn a_command_that_does_not_exist_fails_its_tasks_and_says_so() {
    let cluster = Cluster::start(&[1]);
    let job = cluster.submit(&["--array", "0-1", "--", "no-such-program", "x"]);
    let ended = cluster.ends(&job, 10);
    assert_eq!((&ended["state"], &ended["tasks"]["failed"]), (&"failed".into(), &2.into()), "{ended}");
    let task = cluster.tasks(&job).remove(0);
    let outcome = task["outcome"].as_str().unwrap();
    assert!(outcome.contains("no-such-program") && outcome.contains("not found in PATH") && task["exit_code"].is_null(), "{task}");
    let why = cluster.ok(&["explain", &format!("{job}.0")]);
    assert!(why.contains("no-such-program"), "{why}");
    assert_eq!(cluster.bundle(&job).states()["failed"], 2);
}

#[test]
fn exit_codes_and_standard_errors_of_failed_tasks_come_back() {
    let cluster = Cluster::start(&[2]);
    let shell = "echo out; echo err $MILLPOND_ATTEMPT >&2; [ $MILLPOND_INDEX != 2 ] || exit 42; [ $MILLPOND_INDEX != 3 ] || kill -9 $$";
    let job = cluster.submit_array("0-4", &["--retries", "2"], shell);
    let ended = cluster.ends(&job, 10);
    assert_eq!((&ended["tasks"]["succeeded"], &ended["tasks"]["failed"]), (&3.into(), &2.into()), "{ended}");
    let tasks = cluster.tasks(&job);
    let shown: Vec<_> = tasks.iter().map(|task| (task["attempt"].as_u64().unwrap(), task["exit_code"].as_i64().unwrap())).collect();
    assert_eq!(shown, [(1, 0), (1, 0), (3, 42), (3, 137), (1, 0)]);
    let logs = cluster.millpond(&["logs", &format!("{job}.2")]);
    assert_eq!((logs.code, logs.out.as_str(), logs.err.as_str()), (0, "out\n", "err 3\n"));
    let bundle = cluster.bundle(&job);
    assert_eq!(bundle.text("failed/000002/stderr"), "err 3\n");
    assert!(bundle.entries.contains_key("000004/stdout") && !bundle.entries.contains_key("000002/stdout"), "{:?}", bundle.names());
    assert_eq!(cluster.ok(&["tasks", &job, "--state", "failed", "-q"]), format!("{job}.2\n{job}.3"));
}

#[test]
fn a_command_that_ignores_term_is_killed_after_its_grace() {
    let cluster = Cluster::start(&[2]);
    let deaf = format!("trap '' TERM; echo started >> {}; until false; do sleep 0.02; done", cluster.text_path("log"));
    let timed = cluster.submit_array("0", &["--timeout", "300ms", "--grace", "300ms"], &deaf);
    let ended = cluster.ends(&timed, 10);
    assert!(seconds_between(&ended["started"], &ended["finished"]) > 0.5, "{ended}");
    let task = cluster.tasks(&timed).remove(0);
    assert!(task["outcome"].as_str().unwrap().contains("time limit"), "{task}");

    let killed = cluster.submit_array("0-3", &["--grace", "500ms"], &deaf);
    cluster.has_lines("log", 3);
    until("both run", || cluster.count(&killed, "running") == 2);
    let asked = Instant::now();
    cluster.ok(&["kill", &killed, "--running", "stop"]);
    let ended = cluster.ends(&killed, 11);
    let took = asked.elapsed();
    assert!((Duration::from_millis(450)..Duration::from_secs(5)).contains(&took), "{took:?}");
    assert_eq!(ended["tasks"]["killed"], 4, "{ended}");
    // One that hears TERM may use its grace.
    let polite = "trap 'echo bye; exit 3' TERM; echo hello; until false; do sleep 0.02; done";
    let polite = cluster.submit_array("0", &["--timeout", "200ms", "--grace", "30s"], polite);
    cluster.ends(&polite, 10);
    assert_eq!(cluster.ok(&["logs", &format!("{polite}.0"), "--stdout"]), "hello\nbye");
}

#[test]
fn without_a_worker_a_job_waits_and_says_so() {
    let mut cluster = Cluster::start(&[]);
    let job = cluster.submit_array("0-2", &[], "true");
    let shown = cluster.show(&job);
    assert!(shown["state"] == "waiting" && shown["reason"].as_str().unwrap().contains("no worker"), "{shown}");
    let why = cluster.ok(&["explain", &job]);
    assert!(why.starts_with("j1 is waiting") && why.contains("no worker"), "{why}");
    let asked = Instant::now();
    cluster.millpond(&["wait", &job, "--timeout", "400ms"]).refused(7, &["j1", "waiting"]);
    assert!(asked.elapsed() > Duration::from_millis(400));
    let bundle = cluster.bundle(&job);
    assert_eq!(bundle.names(), ["manifest.json", "run.json"]);
    cluster.add_worker(1, &[]);
    cluster.ends(&job, 0);
}

#[test]
fn a_request_id_makes_one_job_however_often_it_comes() {
    let mut cluster = Cluster::start(&[1]);
    let id = "01234567-89ab-cdef-0123-456789abcdef";
    let submit =
        |cluster: &Cluster, shell: &str| cluster.millpond(&["submit", "--array", "0", "--request-id", id, "--", "sh", "-c", shell]);
    assert_eq!((submit(&cluster, "true").out, submit(&cluster, "true").out), ("j1\n".to_owned(), "j1\n".to_owned()));
    cluster.head_dies();
    cluster.head_starts_again();
    assert_eq!(submit(&cluster, "true").out, "j1\n");
    submit(&cluster, "false").refused(4, &[id, "j1"]);
}

#[test]
fn without_a_head_every_verb_says_so() {
    let mut cluster = Cluster::start(&[]);
    cluster.head_dies();
    let asked = Instant::now();
    cluster.millpond(&["list"]).refused(6, &[&cluster.url, "is it running?"]);
    cluster.millpond(&["submit", "--array", "0", "--", "true"]).refused(6, &[&cluster.url]);
    assert!(asked.elapsed() < Duration::from_secs(5));
    let answer: super::ground::Answer = cluster.client(&["list"]).env_remove("MILLPOND_HEAD").output().unwrap().into();
    answer.refused(2, &["--head", "MILLPOND_HEAD", "millpond up"]);
}
