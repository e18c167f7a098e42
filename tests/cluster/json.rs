//! JSON over HTTP, as a script or a page speaks it.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use super::cluster::Cluster;
use super::identities::logged_in;
use super::plain_http::{Answer, ask, ask_with, socket};
use super::process::until;

const JSON: (&str, &str) = ("content-type", "application/json");

/// Sends a document.
fn send(cluster: &Cluster, verb: &str, path: &str, document: &Value) -> Answer {
    let body = document.to_string();
    ask_with(&cluster.url, verb, path, &[JSON, ("content-length", &body.len().to_string())], body.as_bytes())
}

#[track_caller]
fn done(answer: &Answer) -> Value {
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"), "{}", answer.text());
    let document = answer.json();
    assert_eq!(document["version"], 1);
    document
}

#[track_caller]
fn post(cluster: &Cluster, path: &str, document: &Value) -> Value {
    done(&send(cluster, "POST", path, document))
}

#[track_caller]
fn get(cluster: &Cluster, path: &str) -> Value {
    done(&ask(&cluster.url, "GET", path, &[]))
}

/// A watcher's connection.
struct Events(BufReader<TcpStream>);

impl Events {
    fn of(cluster: &Cluster, job: &str, last: Option<u64>) -> Self {
        let mut socket = socket(&cluster.url);
        let last = last.map_or_else(String::new, |last| format!("last-event-id: {last}\r\n"));
        write!(socket, "GET /v1/jobs/{job}/events HTTP/1.1\r\nhost: head\r\n{last}connection: close\r\n\r\n").unwrap();
        let mut events = Self(BufReader::new(socket));
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(events.0.read_line(&mut head).unwrap(), 0, "{head}");
        }
        assert!(head.starts_with("HTTP/1.1 200") && head.contains("content-type: text/event-stream"), "{head}");
        events
    }

    /// The next one; none at the end.
    fn next(&mut self) -> Option<Value> {
        let mut id = None;
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            if let Some(said) = line.strip_prefix("id: ") {
                id = Some(said.trim_end().parse::<u64>().unwrap());
            } else if let Some(data) = line.strip_prefix("data: ") {
                let event: Value = serde_json::from_str(data).unwrap();
                assert_eq!(event["cursor"].as_u64(), id, "{event}");
                return Some(event);
            }
        }
    }

    /// Those up to the first for which this holds.
    fn until(&mut self, is_it: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut seen = Vec::new();
        loop {
            seen.push(self.next().unwrap_or_else(|| panic!("it has ended: {seen:?}")));
            if seen.last().is_some_and(&is_it) {
                return seen;
            }
        }
    }
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["kind"].as_str().unwrap()).collect()
}

#[test]
fn a_script_does_a_job_from_upload_to_bundle() {
    let cluster = Cluster::start(&[1]);
    let lines: String = (0..100).map(|n| format!("{n}\n")).collect();
    let path = "/v1/uploads/01234567-89ab-cdef-0123-456789abcdef?name=numbers.txt&unpack=true";
    let stored = ask_with(&cluster.url, "PUT", path, &[("content-length", &lines.len().to_string())], lines.as_bytes());
    let digest = stored.lines().pop().unwrap()["dataset"]["digest"].as_str().unwrap().to_owned();
    let gate = cluster.text_path("gate");
    let shell = format!("echo $A >> {}; until [ -e {gate} ]; do sleep 0.02; done; cat; echo oops >&2", cluster.text_path("log"));
    let wish = json!({
        "dataset": digest, "split": "lines:10", "command": ["sh", "-c", shell], "env": { "A": "b" }, "owner": "ana", "max_failed": "10%",
        "request_id": "the one",
    });
    let job = post(&cluster, "/v1/jobs", &wish);
    assert_eq!((&job["id"], &job["name"], &job["owner"]), (&json!("j1"), &json!("numbers"), &json!("ana")));
    assert_eq!(post(&cluster, "/v1/jobs", &wish)["id"], "j1", "the same wish makes no second job");
    assert_eq!(get(&cluster, "/v1/jobs/j1")["input"]["dataset"]["split"], "lines:10");
    cluster.has_lines("log", 1);

    let mut events = Events::of(&cluster, "j1", None);
    assert_eq!(events.next().unwrap()["kind"], "snapshot");
    let paused = post(&cluster, "/v1/jobs/j1/pause", &json!({ "reason": "a look" }));
    assert_eq!((&paused["held"], &paused["running"], &paused["undispatched"]), (&json!(true), &json!(1), &json!(9)), "{paused}");
    std::fs::write(&gate, "").unwrap();
    let seen = events.until(|event| event["job"]["tasks"]["succeeded"] == 1);
    let last = seen.last().unwrap()["cursor"].as_u64();
    drop(events);
    assert_eq!(cluster.lines("log"), ["b"], "nothing started after the answer");

    let sooner = post(&cluster, "/v1/jobs/j1/priority", &json!({ "priority": 5 }));
    assert_eq!(sooner["held"], true, "{sooner}");
    post(&cluster, "/v1/jobs/j1/limit", &json!({ "max_running": 1 }));
    let would = post(&cluster, "/v1/jobs/j1/kill", &json!({ "dry_run": true }));
    assert_eq!((&would["dry_run"], &would["dropped"]), (&json!(true), &json!(9)), "{would}");
    let shown = get(&cluster, "/v1/jobs/j1");
    assert_eq!((&shown["priority"], &shown["max_running"], &shown["state"]), (&json!(5), &json!(1), &json!("waiting")), "{shown}");
    assert_eq!(shown["changes"][0]["reason"], "a look");
    assert!(get(&cluster, "/v1/explain/j1")["sentence"].as_str().unwrap().contains("paused"));
    assert_eq!(get(&cluster, "/v1/jobs?held=true&owner=ana&name=num*")["jobs"][0]["id"], "j1");
    assert_eq!(get(&cluster, "/v1/jobs?state=failed,killed"), json!({ "version": 1, "jobs": [], "next_page_token": null }));

    let mut events = Events::of(&cluster, "j1", last);
    post(&cluster, "/v1/jobs/j1/resume", &json!({}));
    let seen = events.until(|event| event["kind"] == "ended");
    // What comes within a moment is told together, so there may be nothing but the end.
    assert!(!kinds(&seen).contains(&"snapshot"), "it goes on where it was: {:?}", kinds(&seen));
    assert!(seen.iter().all(|event| event["cursor"].as_u64() > last), "and nothing is told twice");
    assert!(events.next().is_none(), "the end is the end");

    let first = get(&cluster, "/v1/jobs/j1/tasks?page_size=4");
    let rest = get(&cluster, &format!("/v1/jobs/j1/tasks?state=succeeded&page_token={}", first["next_page_token"].as_str().unwrap()));
    assert_eq!((first["tasks"].as_array().unwrap().len(), rest["tasks"].as_array().unwrap().len()), (4, 6));
    assert_eq!((&rest["tasks"][5]["id"], &rest["next_page_token"]), (&json!("j1.9"), &Value::Null));
    let out = ask(&cluster.url, "GET", "/v1/tasks/j1.3/stdout", &[]);
    assert_eq!((out.status, out.text().lines().next(), out.header("content-length")), (200, Some("30"), "30"));
    assert_eq!((out.header("content-type"), out.header("x-content-type-options")), ("application/octet-stream", "nosniff"));
    assert_eq!(ask(&cluster.url, "GET", "/v1/tasks/j1.3/stderr", &[]).text(), "oops\n");
    assert_eq!(ask(&cluster.url, "GET", "/v1/jobs/j1/bundle", &[]).body, cluster.bundle("j1").bytes);
    assert_eq!(get(&cluster, "/v1/jobs/j1").to_string(), cluster.show("j1").to_string(), "the document of the command line");

    assert_eq!(get(&cluster, &format!("/v1/datasets/{digest}"))["used_by"], json!(["j1"]));
    assert_eq!(done(&ask(&cluster.url, "DELETE", "/v1/jobs/j1?reason=done&dry_run=true", &[]))["dry_run"], true);
    done(&ask(&cluster.url, "DELETE", "/v1/jobs/j1?reason=done", &[]));
    assert_eq!(ask(&cluster.url, "GET", "/v1/jobs/j1", &[]).status, 404);
    done(&ask(&cluster.url, "DELETE", &format!("/v1/datasets/{digest}?unused=true"), &[]));
    assert_eq!(get(&cluster, "/v1/datasets")["datasets"], json!([]));
}

#[test]
fn jobs_are_killed_and_tried_again_and_machines_are_told_too() {
    let cluster = Cluster::start(&[2]);
    let gate = cluster.text_path("gate");
    let shell = format!("[ -e {gate} ]");
    let failing = post(&cluster, "/v1/jobs", &json!({ "array": "1-3", "command": ["sh", "-c", shell] }));
    let id = failing["id"].as_str().unwrap();
    cluster.ends(id, 10);
    std::fs::write(&gate, "").unwrap();
    let again = post(&cluster, &format!("/v1/jobs/{id}/retry"), &json!({ "timeout": "1h", "request_id": "once" }));
    assert_eq!(again["retried"], 3, "{again}");
    cluster.ends(id, 0);

    let endless = post(&cluster, "/v1/jobs", &json!({ "array": "0-9", "command": ["sleep", "1000"] }))["id"].as_str().unwrap().to_owned();
    until("two run", || get(&cluster, &format!("/v1/jobs/{endless}"))["tasks"]["running"] == 2);
    let refused = ask(&cluster.url, "DELETE", &format!("/v1/jobs/{endless}"), &[]);
    assert_eq!((refused.status, refused.json()["error"]["kind"].as_str()), (409, Some("Conflict")), "it has not ended");
    let worker = get(&cluster, "/v1/workers/w1");
    let started = worker["holds"].as_array().unwrap().iter().filter(|task| task["started"] == true).count();
    assert_eq!((&worker["state"], started), (&json!("busy"), 2), "{worker}");
    assert_eq!(get(&cluster, "/v1/scale")["slots_wanted"], 10);
    assert_eq!(get(&cluster, "/v1/cluster")["slots"], 2);
    let killed = post(&cluster, &format!("/v1/jobs/{endless}/kill"), &json!({ "running": "stop" }));
    assert_eq!(killed["dropped"], 8, "{killed}");
    cluster.ends(&endless, 11);

    let quota = done(&send(&cluster, "PUT", "/v1/quotas/*", &json!({ "slots": 64, "stored_bytes": "500G" })));
    assert_eq!((&quota["owner"], &quota["quota"]["stored_bytes"]), (&json!("*"), &json!(500u64 << 30)));
    assert_eq!(done(&ask(&cluster.url, "DELETE", "/v1/quotas/%2A", &[]))["own"], false);
    assert_eq!(post(&cluster, "/v1/workers/w1/drain", &json!({}))["state"], "draining");
}

#[test]
fn what_is_not_understood_is_refused_and_does_nothing() {
    let cluster = Cluster::start(&[]);
    let job = cluster.submit_array("0-9", &["--hold"], "true");
    let kill = format!("/v1/jobs/{job}/kill");
    let none: &[(&str, &str)] = &[];
    let (form, text) = (&[("content-type", "application/x-www-form-urlencoded")][..], &[("content-type", "text/plain")][..]);
    let json_type = &[JSON][..];
    let before = cluster.show(&job);
    let many = (0..65).map(|i| format!("label=l{i}=1")).collect::<Vec<_>>().join("&");
    for (verb, path, headers, body, status, says) in [
        ("POST", kill.as_str(), none, "{}", 415, "application/json"),
        ("POST", &kill, none, "", 415, "application/json"),
        ("POST", &kill, form, "running=stop", 415, "application/json"),
        ("POST", &kill, text, "{}", 415, "application/json"),
        ("POST", &kill, json_type, "", 400, "body: EOF"),
        ("POST", &kill, json_type, "{\"running\": \"stop\"", 400, "body: EOF"),
        ("POST", &kill, json_type, "{\"runing\": \"stop\"}", 400, "unknown field `runing`"),
        ("POST", &kill, json_type, "{\"running\": \"freeze\"}", 400, "unknown variant `freeze`"),
        ("POST", &kill, json_type, "[\"stop\"]", 400, "expected an object"),
        ("POST", &format!("{kill}?dry_run=true"), json_type, "{}", 400, "dry_run: unknown in the query"),
        ("POST", "/v1/jobs", json_type, "{\"array\":\"0-1\"}", 400, "missing field `command`"),
        ("POST", "/v1/jobs", json_type, "{\"array\":\"0-1\",\"command\":[]}", 400, "command"),
        ("POST", "/v1/jobs", json_type, "{\"array\":\"0-1\",\"command\":[\"true\"],\"tiemout\":1}", 400, "unknown field `tiemout`"),
        ("POST", "/v1/jobs", json_type, "{\"dataset\":\"ab\",\"command\":[\"true\"]}", 400, "dataset"),
        ("DELETE", &format!("/v1/jobs/{job}"), json_type, "{\"dry_run\":true}", 400, "in the query"),
        ("GET", "/v1/jobs?stat=failed", none, "", 400, "stat: unknown in the query"),
        ("GET", "/v1/jobs?state=runing", none, "", 400, "`runing` is none"),
        ("GET", "/v1/jobs?live=true&live=false", none, "", 400, "live: is there twice"),
        ("GET", "/v1/jobs?page_size=1001", none, "", 400, "at most 1000"),
        ("GET", &format!("/v1/jobs?{many}"), none, "", 400, "labels: 65 items, at most 64"),
        ("GET", &format!("/v1/scale?{many}"), none, "", 400, "labels: 65 items, at most 64"),
        ("GET", "/v1/scale?label=zone=a%0Ab", none, "", 400, "labels.value: "),
        ("GET", "/v1/jobs/x", none, "", 400, "`x` is not a job"),
        ("GET", "/v1/jobs/%ff", none, "", 400, "UTF-8"),
        ("GET", "/v1/jobs/%ff/bundle", none, "", 400, "UTF-8"),
        ("GET", &format!("/v1/tasks/{job}.0/stdout"), none, "", 409, "has not ended"),
        ("GET", "/v1/nothing", none, "", 404, "openapi.json"),
        ("GET", "/v1/jobs/j1/nothing", none, "", 404, "openapi.json"),
        ("PUT", "/v1/", json_type, "{}", 404, "openapi.json"),
        ("GET", "/v1/whoami", none, "", 409, "no identities"),
        ("PUT", "/v1/quotas/ana", json_type, "{}", 400, "say what is limited"),
        ("PUT", "/v1/quotas/ana", json_type, "{\"slots\":1,\"reason\":\"two\\nlines\"}", 400, "reason: one line"),
        ("DELETE", "/v1/quotas/ana?reason=two%0Alines", none, "", 400, "reason: one line"),
    ] {
        let len = body.len().to_string();
        let headers = [headers, &[("content-length", &len)]].concat();
        let refused = ask_with(&cluster.url, verb, path, &headers, body.as_bytes());
        let message = refused.json()["error"]["message"].as_str().unwrap().to_owned();
        assert_eq!((refused.status, refused.header("content-type")), (status, "application/json"), "{verb} {path} {body}: {message}");
        assert!(message.contains(says), "{verb} {path} {body}: {message}");
    }
    let long = send(&cluster, "POST", &kill, &json!({ "request_id": "x".repeat(256) }));
    assert_eq!((long.status, long.json()["error"]["message"].as_str()), (400, Some("request_id: 256 bytes, at most 255 are allowed")));
    let wrong = ask(&cluster.url, "PATCH", &format!("/v1/jobs/{job}"), &[]);
    let mut allowed: Vec<&str> = wrong.header("allow").split(',').map(str::trim).collect();
    allowed.sort_unstable();
    assert_eq!((wrong.status, allowed), (405, vec!["DELETE", "GET", "HEAD"]));
    assert_eq!(wrong.json()["error"]["kind"], "Invalid");
    let long = format!("{{\"reason\":\"{}\"}}", "x".repeat(5 << 20));
    let refused = send(&cluster, "POST", &kill, &serde_json::from_str(&long).unwrap());
    assert_eq!((refused.status, refused.json()["error"]["kind"].as_str()), (413, Some("Invalid")), "and it is heard");
    assert_eq!(cluster.show(&job), before);
    let described = ask(&cluster.url, "GET", "/v1/openapi.json", &[]).json();
    assert_eq!(described["openapi"], "3.1.0");
}

#[test]
fn a_head_that_ends_lets_go_of_those_who_watch() {
    let mut cluster = Cluster::start(&[]);
    let job = cluster.submit_array("0-9", &["--hold"], "true");
    let mut events = Events::of(&cluster, &job, None);
    assert_eq!(events.next().unwrap()["kind"], "snapshot");
    let began = std::time::Instant::now();
    assert!(cluster.head_ends().success());
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

/// What a program prints that has to succeed.
fn run(cluster: &Cluster, program: &str, args: &[&str]) -> String {
    let out = cluster.command(program).args(args).output().unwrap();
    assert!(out.status.success(), "{args:?}: {out:?}");
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn with_a_certificate_each_role_does_what_is_its_own() {
    let mut cluster = Cluster::with_identity();
    let people = [("submitter", "ana"), ("submitter", "ben"), ("reader", "rita")];
    let [ana, ben, rita] = people.map(|(role, name)| logged_in(&mut cluster, role, name).to_str().unwrap().to_owned());
    let admin = cluster.credentials.clone().unwrap().to_str().unwrap().to_owned();
    let port = cluster.url.rsplit_once(':').unwrap().1.to_owned();
    // As docs/api.md says it; the status, and the document.
    let curl = |pem: Option<&str>, args: &[&str], path: &str| {
        let url = format!("https://millpond-head:{port}{path}");
        let there = format!("millpond-head:{port}:127.0.0.1:{port}");
        let mut all = vec!["-s", "-w", "\n%{http_code}", "--cacert", &admin, "--connect-to", &there];
        all.extend(pem.into_iter().flat_map(|pem| ["--cert", pem, "--key", pem]));
        all.extend(args);
        all.push(&url);
        let text = run(&cluster, "curl", &all);
        let (body, status) = text.rsplit_once('\n').unwrap();
        (status.parse::<u16>().unwrap(), serde_json::from_str::<Value>(body).unwrap())
    };
    let job = r#"{"array":"0-3","command":["true"],"hold":true}"#;
    let (status, nobody) = curl(None, &["--json", job], "/v1/jobs");
    assert_eq!((status, &nobody["error"]["kind"]), (401, &json!("Denied")), "{nobody}");
    assert_eq!(curl(None, &[], "/v1/jobs/j1/bundle").0, 401);
    assert_eq!(curl(None, &[], "/v1/nothing").0, 404);
    let (status, refused) = curl(Some(&rita), &["--json", job], "/v1/jobs");
    assert_eq!((status, &refused["error"]["kind"]), (403, &json!("Denied")), "{refused}");
    let (status, made) = curl(Some(&ana), &["--json", job], "/v1/jobs");
    assert_eq!((status, &made["owner"]), (200, &json!("ana")), "{made}");
    assert_eq!(curl(Some(&ana), &[], "/v1/whoami").1["role"], "submitter");
    assert_eq!(curl(Some(&ben), &["--json", "{}"], "/v1/jobs/j1/kill").0, 403, "another's");
    assert_eq!(curl(Some(&ben), &[], "/v1/jobs").1["jobs"], json!([]));
    assert_eq!(curl(Some(&rita), &[], "/v1/jobs").1["jobs"][0]["id"], "j1");
    assert_eq!(curl(Some(&rita), &["--json", "{}"], "/v1/workers/w1/drain").0, 403);
    assert_eq!(curl(Some(&ana), &["--json", r#"{"reason":"a mistake"}"#], "/v1/jobs/j1/kill").1["dropped"], 4);

    let (status, audit) = curl(Some(&admin), &[], "/v1/audit?limit=1000");
    assert_eq!(status, 200, "{audit}");
    let lines = audit["lines"].as_array().unwrap();
    let has = |method: &str, who: Value, outcome: &str, reason: &str| {
        let is_it = |line: &&Value| {
            (&line["method"], &line["who"]["name"], &line["outcome"], &line["reason"])
                == (&json!(method), &who, &json!(outcome), &json!(reason))
        };
        assert!(lines.iter().any(|line| is_it(&line)), "{method} {who}: {audit}");
    };
    has("POST /v1/jobs", Value::Null, "refused", "");
    has("POST /v1/jobs", json!("rita"), "refused", "");
    has("/millpond.v1.JobService/SubmitJob", json!("ana"), "ok", "");
    has("/millpond.v1.JobService/KillJob", json!("ana"), "ok", "a mistake");
    let page = curl(Some(&admin), &[], "/v1/audit?first=2&limit=1").1;
    assert_eq!((&page["lines"][0]["seq"], &page["next_first"]), (&json!(2), &json!(3)));
    let principals = curl(Some(&admin), &[], "/v1/principals").1;
    let rita_id =
        principals["principals"].as_array().unwrap().iter().find(|one| one["name"] == "rita").unwrap()["id"].as_str().unwrap().to_owned();
    assert_eq!(curl(Some(&admin), &["-X", "DELETE"], &format!("/v1/principals/{rita_id}?reason=left")).1["state"], "revoked");
    assert_eq!(curl(Some(&rita), &[], "/v1/jobs").0, 403);
}

#[test]
fn the_page_about_it_does_what_it_says() {
    let cluster = Cluster::start(&[2]);
    let page = include_str!("../../docs/api.md");
    let script = page.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    let script = script.replace("http://127.0.0.1:7663", &cluster.url);
    let script = cluster.write("api.sh", format!("set -eu\n{script}"));
    let told = run(&cluster, "bash", &["-o", "pipefail", &script]);
    assert!(
        told.contains("ended: 10 of 10") && told.contains("\"held\": true") && told.contains("j1.2") && told.contains("10000 "),
        "{told}"
    );
    assert!(cluster.path("bundle.zip").exists());
    assert_eq!((get(&cluster, "/v1/jobs")["jobs"].clone(), get(&cluster, "/v1/datasets")["datasets"].clone()), (json!([]), json!([])));
}
