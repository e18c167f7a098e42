//! A head with an identity: who is let in, as whom, and for how long.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use super::cluster::Cluster;
use super::process::until;

/// What the audit has of a method: outcome and who, line by line.
pub fn audited(cluster: &Cluster, method: &str) -> Vec<(String, String)> {
    let text = cluster.ok(&["audit", "--format", "jsonl"]);
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let lines = lines.filter(|line| line["method"].as_str().unwrap_or_default().ends_with(method));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    lines.map(|line| (text(&line["outcome"]), text(&line["who"]["name"]))).collect()
}

pub fn token(cluster: &Cluster, args: &[&str]) -> String {
    cluster.ok(&[&["token", "create", "-q"], args].concat())
}

/// Somebody who has logged in by a token; his file of credentials.
pub fn logged_in(cluster: &mut Cluster, role: &str, name: &str) -> std::path::PathBuf {
    let token = token(cluster, &["--role", role, "--name", name]);
    let admin = cluster.credentials.take();
    cluster.ok(&["login", &token, "--name", name]);
    cluster.credentials = admin;
    cluster.path(&format!(".config/millpond/credentials/{name}.pem"))
}

#[test]
fn from_nothing_to_a_finished_job_with_credentials_on_every_side() {
    let mut cluster = Cluster::with_identity();
    assert!(cluster.url.starts_with("https://"));
    let join = token(&cluster, &["--role", "worker", "--uses", "2"]);
    for _ in 0..2 {
        let worker = cluster.worker_joins_by(&join, 1);
        cluster.worker_is_connected(worker);
    }
    cluster.credentials = Some(logged_in(&mut cluster, "submitter", "ana"));
    let input = cluster.write("numbers.txt", (1..=1000).map(|n| format!("{n}\n")).collect::<String>());
    let job = cluster.submit(&["--split", "lines:100", "--merge", "concat", &input, "--", "awk", "{ sum += $1 } END { print sum }"]);
    let done = cluster.ends(&job, 0);
    assert_eq!(done["owner"], "ana");
    let bundle = cluster.bundle(&job);
    assert_eq!(bundle.text("merged").lines().map(|line| line.parse::<u64>().unwrap()).sum::<u64>(), 500_500);
    // The same worker comes again by what it has, though its token is used up.
    cluster.worker(2).dies();
    cluster.worker_starts_again(2, &[]);
    cluster.worker_is_connected(2);
    // And after a restart of the head everybody is known.
    cluster.head_dies();
    cluster.head_starts_again();
    cluster.worker_is_connected(1);
    let again = cluster.submit_array("0-3", &[], "true");
    cluster.ends(&again, 0);
}

#[test]
fn on_the_heads_machine_nothing_has_to_be_named_after_init() {
    let mut cluster = Cluster::without_head(&[]);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("https://{free}");
    let init = ["init", "--data-dir", cluster.data_dir.to_str().unwrap(), "--head", &url];
    assert!(cluster.command(env!("CARGO_BIN_EXE_millpond-head")).args(init).status().unwrap().success());
    cluster.head_starts_at(&free.to_string());
    assert_eq!(cluster.url, url);
    // Neither an option nor the environment says which head, or by which credentials.
    let client = |args: &[&str]| cluster.command(env!("CARGO_BIN_EXE_millpond")).args(args).output().unwrap();
    let made = client(&["token", "create", "--role", "submitter", "--name", "ana", "-q"]);
    assert!(made.status.success(), "{made:?}");
    let token = String::from_utf8(made.stdout).unwrap();
    assert!(client(&["login", token.trim(), "--name", "lab"]).status.success());
    let me = client(&["principal", "whoami", "--format", "json"]);
    let me: Value = serde_json::from_slice(&me.stdout).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((me["name"].as_str(), me["role"].as_str()), (Some("ana"), Some("submitter")));
}

#[test]
fn who_has_no_credentials_or_the_wrong_ones_gets_nothing() {
    let mut cluster = Cluster::with_identity();
    let url = cluster.url.clone();
    let address = url.strip_prefix("https://").unwrap().to_owned();
    // In plaintext there is no answer at all.
    let mut socket = TcpStream::connect(&address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    socket.write_all(b"GET /v1/jobs/j1/bundle HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/"), "{:?}", String::from_utf8_lossy(&answer));
    cluster.millpond(&["list", "--head", &format!("http://{address}")]).refused(6, &[]);
    // Another head's admin is nobody here, and this head is not his.
    let other = Cluster::with_identity();
    let admin = std::mem::replace(&mut cluster.credentials, other.credentials.clone());
    cluster.millpond(&["list"]).refused(5, &["is not the head that the credentials are for"]);
    cluster.credentials = None;
    cluster.millpond(&["list"]).refused(5, &["millpond login TOKEN"]);
    cluster.credentials = admin;
    // A token: once, and not after it was revoked; not by half, and not at another head.
    let once = token(&cluster, &["--role", "reader", "--name", "rita"]);
    cluster.ok(&["login", &once, "--name", "one"]);
    cluster.millpond(&["login", &once, "--name", "two"]).refused(5, &["was used"]);
    cluster.millpond(&["login", &once[..once.len() - 9], "--name", "three"]).refused(2, &[]);
    let revoked = token(&cluster, &["--role", "reader", "--name", "rita"]);
    let listed = cluster.json(&["token", "list"]);
    let id =
        listed["tokens"].as_array().unwrap().iter().find(|token| token["state"] == "usable").unwrap()["id"].as_str().unwrap().to_owned();
    cluster.ok(&["token", "revoke", &id, "--reason", "lost"]);
    cluster.millpond(&["login", &revoked, "--name", "four"]).refused(5, &["revoked"]);
    let elsewhere = token(&other, &["--role", "reader", "--name", "rita"]);
    cluster.millpond(&["login", &elsewhere, "--name", "five", "--head", &url]).refused(5, &["somebody stands between"]);
    // A person's token is none for a worker, and the other way round.
    let person = token(&cluster, &["--role", "reader", "--name", "rita"]);
    let wrong = cluster.worker_joins_by(&person, 1);
    assert!(!cluster.worker(wrong).ends().success());
    let refusals = audited(&cluster, "Enroll");
    assert!(refusals.iter().filter(|(outcome, _)| outcome.contains("refused")).count() >= 2, "{refusals:?}");
    cluster.ok(&["audit", "--verify"]);
}

#[test]
fn each_role_does_what_is_its_own_and_the_audit_says_who_did_what() {
    let mut cluster = Cluster::with_identity();
    let join = token(&cluster, &["--role", "worker"]);
    let worker = cluster.worker_joins_by(&join, 1);
    cluster.worker_is_connected(worker);
    let admin = cluster.credentials.clone();
    let [ana, ben, rita] =
        [("submitter", "ana"), ("submitter", "ben"), ("reader", "rita")].map(|(role, name)| logged_in(&mut cluster, role, name));
    cluster.credentials = Some(ana.clone());
    let job = cluster.submit_array("0-9", &["--hold"], "true");
    let input = cluster.write("data.txt", "1\n2\n");
    let data = cluster.ok(&["data", "add", "-q", &input]);
    cluster.credentials = Some(ben);
    cluster.millpond(&["kill", &job]).refused(5, &[]);
    cluster.millpond(&["results", &job, "-o", "x.zip"]).refused(5, &[]);
    assert_ne!(cluster.millpond(&["data", "show", &data]).code, 0);
    assert_eq!(cluster.json(&["list"])["jobs"].as_array().unwrap().len(), 0);
    cluster.millpond(&["worker", "drain", "w1"]).refused(5, &["submitter"]);
    cluster.millpond(&["token", "create", "--role", "admin", "--name", "ben"]).refused(5, &["submitter"]);
    cluster.credentials = Some(rita);
    assert_eq!(cluster.json(&["list"])["jobs"].as_array().unwrap().len(), 1);
    cluster.millpond(&["resume", &job]).refused(5, &["reader"]);
    cluster.credentials = Some(ana);
    cluster.ok(&["resume", &job]);
    cluster.ends(&job, 0);
    cluster.credentials = admin;
    let kills = audited(&cluster, "KillJob");
    assert!(kills.iter().any(|(outcome, who)| outcome.contains("refused") && who == "ben"), "{kills:?}");
    let resumes = audited(&cluster, "ResumeJob");
    assert_eq!(resumes.iter().map(|(_, who)| who.as_str()).collect::<Vec<_>>(), ["rita", "ana"], "{resumes:?}");
    cluster.ok(&["audit", "--verify"]);
}

#[test]
fn who_is_revoked_is_out_at_once_with_all_that_is_open() {
    let mut cluster = Cluster::with_identity();
    let join = token(&cluster, &["--role", "worker"]);
    let worker = cluster.worker_joins_by(&join, 1);
    cluster.worker_is_connected(worker);
    let ana = logged_in(&mut cluster, "submitter", "ana");
    let admin = cluster.credentials.replace(ana.clone());
    let gate = cluster.path("gate");
    let job = cluster.submit_array("0-0", &[], &format!("until test -e {}; do sleep 0.02; done", gate.display()));
    let mut watch = cluster.client(&["watch", &job, "--format", "jsonl"]).spawn().unwrap();
    until("the task runs", || cluster.count(&job, "running") == 1);
    cluster.credentials = admin.clone();
    let known = cluster.json(&["principal", "list"]);
    let id = |name: &str| {
        let known = known["principals"].as_array().unwrap();
        known.iter().find(|known| known["name"] == name).unwrap_or_else(|| panic!("{known:?}"))["id"].as_str().unwrap().to_owned()
    };
    cluster.ok(&["principal", "revoke", &id("ana"), "--reason", "left"]);
    assert!(!super::process::wait(&mut watch).success(), "the stream has ended");
    cluster.credentials = Some(ana);
    cluster.millpond(&["list"]).refused(5, &["revoked"]);
    cluster.credentials = admin;
    // A worker, too: what it runs goes to others.
    let machine = known["principals"].as_array().unwrap().iter().find(|known| known["role"] == "worker").unwrap();
    cluster.ok(&["principal", "revoke", machine["id"].as_str().unwrap(), "--reason", "stolen"]);
    until("the worker is out", || cluster.worker_state(1) == "away");
    let second = token(&cluster, &["--role", "worker"]);
    std::fs::write(&gate, "").unwrap();
    let second = cluster.worker_joins_by(&second, 1);
    cluster.worker_is_connected(second);
    cluster.ends(&job, 0);
}
