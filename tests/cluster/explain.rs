//! Why things are where they are, what would change it, what comes next, and when it will have ended.

use serde_json::Value;

use super::cluster::Cluster;
use super::process::until;

fn text<'a>(document: &'a Value, name: &str) -> &'a str {
    document[name].as_str().unwrap_or_else(|| panic!("{name}: {document}"))
}

/// The command between the backticks of a remedy.
fn command(change: &str) -> Vec<&str> {
    change.split('`').nth(1).unwrap().strip_prefix("millpond ").unwrap().split(' ').collect()
}

#[test]
fn a_remedy_that_is_typed_as_it_is_said_helps() {
    let mut cluster = Cluster::start(&[1]);
    let wait = |gate: &str| format!("until [ -e {} ]; do sleep 0.02; done", cluster.text_path(gate));
    let (first, last) = (wait("first"), wait("last"));
    let runs = cluster.submit_array("0", &[], &first);
    until("the slot is taken", || cluster.count(&runs, "running") == 1);
    let ahead = cluster.submit_array("0-2", &["--priority", "4"], &last);
    let job = cluster.submit_array("0-2", &[], &last);
    let explained = |what: &str| cluster.json(&["explain", what]);
    let why = explained(&job);
    assert_eq!((text(&why, "behind"), text(&why, "rule"), &why["place"]), (ahead.as_str(), "priority", &2.into()));
    assert!(why["since"].is_string() && why["status"] == "waiting", "{why}");
    // What if, first: nothing is changed by it.
    let order = cluster.json(&["order", "--what-if", &format!("{job}=5"), "--limit", "2"]);
    assert_eq!((text(&order["next"][0], "job"), &order["what_if"]["place_if"]), (job.as_str(), &1.into()), "{order}");
    assert_eq!(text(&cluster.json(&["order"])["next"][0], "job"), ahead);
    cluster.ok(&command(text(&why, "change")));
    let why = explained(&job);
    assert_eq!((&why["place"], text(&why, "change")), (&1.into(), "nothing: it is next"), "{why}");
    cluster.write("first", "");
    until("it got the next slot", || cluster.count(&job, "running") == 1);

    cluster.ok(&["pause", &job]);
    let why = explained(&format!("{job}.2"));
    assert!(text(&why, "sentence").ends_with("it is resumed; before it: 1 task"), "{why}");
    cluster.ok(&command(text(&why, "change")));
    assert_eq!(cluster.show(&job)["held"], false);

    let running = explained(&format!("{job}.0"));
    assert!(running["status"] == "running" && running["since"].is_string() && running["state"] == "running", "{running}");
    let busy = explained("w1");
    assert_eq!((text(&busy, "sentence"), text(&busy, "status")), ("w1 is busy: it holds 1 task on 1 slot", "busy"));
    assert!(busy["state"].is_null() && busy["since"].is_string(), "{busy}");
    cluster.ok(&["worker", "drain", "w1"]);
    until("it drains", || explained("w1")["status"] == "draining");
    let draining = explained("w1");
    assert!(text(&draining, "sentence").starts_with("w1 is told to take no more tasks"), "{draining}");
    cluster.ok(&command(text(&draining, "change")));
    until("it takes tasks again", || explained("w1")["status"] == "busy");
    cluster.write("last", "");
    cluster.ends(&job, 0);
    cluster.ends(&ahead, 0);
    let idle = explained("w1");
    assert!(text(&idle, "sentence").ends_with("no job wants a slot"), "{idle}");
    cluster.worker(1).dies();
    until("it is away", || cluster.json(&["explain", "w1"])["status"] == "away");
    assert!(cluster.json(&["explain", "w1"])["since"].is_string());
    cluster.millpond(&["explain", "w7"]).refused(3, &["w7"]);
}

#[test]
fn when_a_job_ends_is_foretold_and_looked_at_again_and_kept() {
    let mut cluster = Cluster::start(&[2]);
    let job = cluster.submit_array("0-39", &[], "sleep 0.1");
    until("something is said", || cluster.show(&job)["eta_seconds"].is_array());
    let shown = cluster.show(&job);
    let range = shown["eta_seconds"].as_array().unwrap().iter().map(|end| end.as_f64().unwrap()).collect::<Vec<_>>();
    assert!(range[0] >= 0.0 && range[0] < range[1] && range[1] < 60.0, "{shown}");
    let ended = cluster.ends(&job, 0);
    let record = |document: &Value| (document["eta_record"]["checks"].as_u64(), document["eta_record"]["inside"].as_u64());
    let (checks, inside) = record(&ended);
    assert!(checks >= Some(5) && inside <= checks, "{ended}");
    assert_eq!(record(&cluster.json(&["explain", &job])), (checks, inside));
    // It is durable; a paused job has no record, as nobody could know of that.
    cluster.head_dies();
    cluster.head_starts_again();
    assert_eq!(record(&cluster.show(&job)), (checks, inside));
    cluster.worker_is_connected(1);
    let paused = cluster.submit_array("0-39", &[], "sleep 0.05");
    until("half of it is done", || cluster.count(&paused, "succeeded") >= 20);
    cluster.ok(&["pause", &paused]);
    assert!(cluster.show(&paused)["eta_seconds"].is_null());
    until("none runs", || cluster.count(&paused, "running") == 0);
    cluster.ok(&["resume", &paused]);
    let (checks, _) = record(&cluster.ends(&paused, 0));
    assert!(checks <= Some(10), "only what was said after it: {checks:?}");
}
