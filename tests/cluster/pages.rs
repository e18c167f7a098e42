//! Pages as a script sees them: many jobs, names with markup, and readers that don't read. What a person sees is tried in `tests/browser/`.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::cluster::Cluster;
use super::plain_http::{ask, socket};
use super::process::{peak_kib, until};

fn page(cluster: &Cluster, path: &str) -> String {
    let answer = ask(&cluster.url, "GET", path, &[]);
    assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
    String::from_utf8(answer.body).unwrap()
}

#[test]
fn jobs_come_a_page_at_a_time_and_a_name_is_text() {
    let cluster = Cluster::start(&[]);
    for no in 0..60 {
        cluster.submit_array("0-0", &["--hold", "--name", &format!("<b>{no}<b> & \"more\"")], "true");
    }
    let first = page(&cluster, "/");
    assert!(first.contains("&lt;b&gt;59&lt;b&gt; &amp; &quot;more&quot;") && !first.contains("<b>"));
    let rows = |text: &str| text.matches("<tr id=\"row-").count();
    let older = first.split("href=\"/?page_token=").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let second = page(&cluster, &format!("/?page_token={older}"));
    assert_eq!((rows(&first), rows(&second)), (50, 10));
    assert_eq!(rows(&page(&cluster, "/?state=paused&name=59")), 1);
    assert_eq!(ask(&cluster.url, "GET", "/?stat=paused", &[]).status, 400, "a word that is not known is not overlooked");
    assert_eq!(ask(&cluster.url, "GET", "/jobs/j999", &[]).status, 404);
    let strange = ask(&cluster.url, "GET", "/", &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")]);
    assert_eq!(strange.status, 403, "another site's page does not read it");
}

#[test]
fn a_strangers_name_for_this_machine_opens_nothing_whatever_is_said_of_the_content() {
    let cluster = Cluster::start(&[]);
    for (path, kind) in [
        ("/v1/jobs", "application/json"),
        ("/millpond.v1.JobService/SubmitJob", "application/grpc"),
        ("/millpond.v1.JobService/ListJobs", "application/grpc+proto"),
        ("/", "text/plain"),
    ] {
        let mut socket = socket(&cluster.url);
        write!(
            socket,
            "POST {path} HTTP/1.1\r\nhost: evil.example:7663\r\nconnection: close\r\ncontent-type: {kind}\r\ncontent-length: 5\r\n\r\n\0\0\0\0\0"
        )
        .unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("evil.example") && answer.contains("--name"), "{path}: {answer}");
    }
    assert!(cluster.json(&["list"])["jobs"].as_array().unwrap().is_empty());
}

#[test]
fn who_does_not_read_holds_nobody_up_and_costs_next_to_nothing() {
    let cluster = Cluster::start(&[2]);
    let job = cluster.submit_array("1-200000", &[], "true");
    until("it runs", || cluster.count(&job, "succeeded") > 10);
    let before = peak_kib(cluster.head_pid());
    let open = |path: String| {
        let mut stream = TcpStream::connect(cluster.url.strip_prefix("http://").unwrap()).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: head\r\n\r\n").unwrap();
        stream
    };
    let deaf: Vec<TcpStream> = (0..100).map(|no| open(if no % 2 == 0 { "/live".into() } else { format!("/live/jobs/{job}") })).collect();
    let done = cluster.count(&job, "succeeded");
    until("it goes on", || cluster.count(&job, "succeeded") > done + 1000);
    let began = Instant::now();
    assert!(page(&cluster, &format!("/jobs/{job}")).contains("a cell 20 tasks"));
    assert!(began.elapsed() < Duration::from_secs(5), "a page took {:?}", began.elapsed());
    cluster.ok(&["kill", &job, "--running", "stop"]);
    until("it is killed", || cluster.show(&job)["state"] == "killed");
    let grown = peak_kib(cluster.head_pid()) - before;
    assert!(grown < 50 * 1024, "{grown} KiB");
    drop(deaf);
}
