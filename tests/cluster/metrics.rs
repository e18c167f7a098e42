//! `GET /metrics`, beside what the command line says.

use std::io::Write;
use std::process::Stdio;

use super::cluster::Cluster;
use super::exposition::Page;
use super::identities::logged_in;
use super::plain_http::ask;
use super::process::until;

#[track_caller]
fn scrape(cluster: &Cluster) -> Page {
    let answer = ask(&cluster.url, "GET", "/metrics", &[]);
    assert_eq!((answer.status, answer.header("content-type")), (200, "text/plain; version=0.0.4; charset=utf-8"));
    let text = String::from_utf8(answer.body).unwrap();
    Page::read(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

#[test]
fn the_figures_are_those_that_the_command_line_says() {
    let mut cluster = Cluster::start(&[2, 1]);
    let begins = scrape(&cluster);
    assert_eq!(begins.get("millpond_build_info", &[("version", env!("CARGO_PKG_VERSION"))]), 1.0);
    assert_eq!(begins.get("millpond_slots", &[("state", "free")]), 3.0);
    assert_eq!(
        [begins.get("millpond_tasks_total", &[("outcome", "succeeded")]), begins.get("millpond_dispatch_seconds_count", &[])],
        [0.0; 2]
    );

    // While a job runs.
    let gate = cluster.text_path("gate");
    let input = cluster.write("in.txt", (0..10).map(|no| format!("{no}\n")).collect::<String>());
    let shell = format!("until [ -e {gate} ]; do sleep 0.02; done; [ $MILLPOND_INDEX -lt 8 ]");
    let job = cluster.submit(&[&input, "--split", "lines:1", "--retries", "0", "--", "sh", "-c", &shell]);
    let held = cluster.submit_array("0-4", &["--hold"], "true");
    until("three run", || cluster.count(&job, "running") == 3);
    let page = scrape(&cluster);
    let state = |name: &str, state: &str| page.get(name, &[("state", state)]);
    assert_eq!([state("millpond_jobs", "running"), state("millpond_jobs", "waiting"), page.get("millpond_jobs_held", &[])], [1.0; 3]);
    let tasks = |what: &str| [&job, &held].map(|id| cluster.count(id, what)).iter().sum::<u64>() as f64;
    assert_eq!(state("millpond_tasks_open", "running"), tasks("running"));
    assert_eq!(state("millpond_tasks_open", "undispatched"), tasks("undispatched"));
    assert_eq!([state("millpond_slots", "busy"), state("millpond_slots", "free"), state("millpond_slots", "closed")], [3.0, 0.0, 0.0]);
    let scale = cluster.json(&["scale"]);
    assert_eq!(page.get("millpond_slots_wanted", &[]), scale["slots_wanted"].as_f64().unwrap());
    assert_eq!(page.get("millpond_slots_wanted", &[]), 10.0, "what is held wants none");
    assert_eq!(state("millpond_workers", "busy"), 2.0);
    assert_eq!([page.get("millpond_datasets", &[]), page.get("millpond_dataset_bytes", &[])], [1.0, 20.0]);

    // After its end.
    cluster.write("gate", "");
    let done = cluster.ends(&job, 10);
    let page = scrape(&cluster);
    for outcome in ["succeeded", "failed"] {
        assert_eq!(page.get("millpond_tasks_total", &[("outcome", outcome)]), done["tasks"][outcome].as_f64().unwrap(), "{outcome}");
    }
    assert_eq!(page.get("millpond_jobs", &[("state", "failed")]), 1.0);
    assert!(page.get("millpond_dispatch_seconds_count", &[]) >= 1.0);
    let (batches, entries) = (page.get("millpond_journal_batch_entries_count", &[]), page.get("millpond_journal_batch_entries_sum", &[]));
    assert!(batches > 0.0 && entries >= batches.max(12.0), "two submissions and ten ends: {batches} {entries}");
    assert!(page.get("millpond_journal_sync_seconds_count", &[]) >= batches);
    assert!(page.get("millpond_journal_sync_seconds_sum", &[]) > 0.0 && page.get("millpond_journal_written_bytes_total", &[]) > 0.0);
    for positive in ["millpond_journal_bytes", "millpond_disk_free_bytes", "process_resident_memory_bytes", "process_open_fds"] {
        assert!(page.get(positive, &[]) > 0.0, "{positive}");
    }
    // Both workers, and this.
    assert!(page.get("millpond_connections", &[]) >= 3.0);
    let calls = |method: &str, outcome: &str| page.get("millpond_requests_total", &[("method", method), ("outcome", outcome)]);
    assert_eq!([calls("millpond.v1.JobService/SubmitJob", "ok"), calls("millpond.v1.WorkerService/Attend", "ok")], [2.0; 2]);
    assert_eq!(calls("GET /metrics", "ok"), 2.0, "this one is not answered yet");
    cluster.millpond(&["show", "j99"]).refused(3, &[]);
    assert_eq!(ask(&cluster.url, "GET", "/v1/jobs/j99/bundle", &[]).status, 404);
    assert_eq!(ask(&cluster.url, "GET", "/wp-login.php", &[]).status, 404);
    let page = scrape(&cluster);
    for method in ["millpond.v1.JobService/GetJob", "GET /v1/jobs/{id}/bundle", "other"] {
        assert!(page.get("millpond_requests_total", &[("method", method), ("outcome", "refused")]) >= 1.0, "{method}");
    }

    // A head that has started again counts from nothing, and its gauges are as they were.
    let before = page.get("process_start_time_seconds", &[]);
    cluster.head_dies();
    cluster.head_starts_again();
    let again = scrape(&cluster);
    assert_eq!(again.get("millpond_tasks_total", &[("outcome", "succeeded")]), 0.0);
    assert_eq!(again.get("millpond_jobs", &[("state", "failed")]), 1.0);
    assert!(again.get("process_start_time_seconds", &[]) > before);
}

#[test]
fn no_figure_has_more_numbers_with_more_jobs_workers_and_owners() {
    let mut cluster = Cluster::start(&[1]);
    let shape = |page: &Page| page.0.iter().map(|(name, figure)| (name.clone(), figure.samples.len())).collect::<Vec<_>>();
    let before = shape(&scrape(&cluster));
    cluster.add_worker(3, &["--label", "disk=ssd"]);
    for owner in ["ana", "ben"] {
        let job = cluster.submit_array("0-3", &["--owner", owner, "--name", owner], "true");
        cluster.ends(&job, 0);
    }
    assert_eq!(shape(&scrape(&cluster)), before);
}

/// As Prometheus asks, with the same file for certificate, key and authority, and a name for the head.
fn curl(cluster: &Cluster) -> (String, String) {
    let mut command = cluster.command("curl");
    let port = cluster.url.rsplit(':').next().unwrap();
    command.args(["--silent", "--show-error", "--write-out", "%{stderr}%{http_code}", "--connect-to"]);
    command.arg(format!("millpond-head:{port}:127.0.0.1:{port}")).arg(format!("https://millpond-head:{port}/metrics"));
    match &cluster.credentials {
        Some(file) => command.arg("--cert").arg(file).arg("--key").arg(file).arg("--cacert").arg(file),
        None => command.arg("--insecure"),
    };
    let output = command.stdout(Stdio::piped()).output().unwrap();
    (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_head_with_an_identity_shows_its_figures_to_readers_and_admins_alone() {
    let mut cluster = Cluster::with_identity();
    if cluster.command("curl").arg("--version").stdout(Stdio::null()).status().is_err() {
        writeln!(std::io::stderr(), "there is no curl here: not tried").unwrap();
        return;
    }
    let admin = cluster.credentials.clone();
    for role in ["reader", "admin"] {
        cluster.credentials = admin.clone();
        cluster.credentials = Some(logged_in(&mut cluster, role, &format!("{role}-1")));
        let (page, code) = curl(&cluster);
        assert_eq!(code, "200", "{role}: {page}");
        assert_eq!(Page::read(&page).unwrap().get("millpond_jobs", &[("state", "running")]), 0.0);
    }
    cluster.credentials = admin.clone();
    cluster.credentials = Some(logged_in(&mut cluster, "submitter", "ana"));
    let (page, code) = curl(&cluster);
    assert!(code == "403" && page.contains("ana is a submitter"), "{code} {page}");
    cluster.credentials = None;
    let (page, code) = curl(&cluster);
    assert!(code == "403" && page.contains("GET /metrics needs credentials"), "{code} {page}");
    cluster.credentials = admin;
    assert!(cluster.ok(&["audit", "--format", "jsonl"]).contains("GET /metrics"), "a refusal is noted");
}
