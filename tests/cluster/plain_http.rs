//! Plain HTTP on the head's port, as a browser or a script speaks it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::bundle::Bundle;
use super::cluster::Cluster;
use super::process::until;

/// An answer of HTTP/1.1.
struct Answer {
    status: u16,
    /// Names in small letters.
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

fn socket(url: &str) -> TcpStream {
    let socket = TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    socket
}

/// Asks, on a connection of its own, and reads the answer to its end.
fn ask(url: &str, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut socket = socket(url);
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    write!(socket, "{method} {path} HTTP/1.1\r\nhost: head\r\nconnection: close\r\n{headers}\r\n").unwrap();
    let mut bytes = Vec::new();
    socket.read_to_end(&mut bytes).unwrap();
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or_else(|| panic!("{:?}", String::from_utf8_lossy(&bytes)));
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines.map(|line| line.split_once(": ").unwrap()).map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
    Answer { status, headers, body: bytes[end + 4..].to_vec() }
}

#[test]
fn a_bundle_is_a_page_with_ranges_and_an_etag() {
    let cluster = Cluster::start(&[2]);
    let job = cluster.submit_array("0-19", &["--name", "num bers"], "seq 1 20000; exit $(({index} % 7 == 6))");
    cluster.ends(&job, 10);
    let path = format!("/v1/jobs/{job}/bundle");
    let whole = ask(&cluster.url, "GET", &path, &[]);
    assert_eq!((whole.status, whole.header("content-type"), whole.header("accept-ranges")), (200, "application/zip", "bytes"));
    assert_eq!(whole.header("content-length"), whole.body.len().to_string());
    assert!(whole.header("content-disposition").starts_with(&format!("attachment; filename=\"num bers-{job}.zip\"")));
    assert_eq!(whole.body, cluster.bundle(&job).bytes, "the same as by the command line");
    assert_eq!(Bundle::of(whole.body.clone()).states()["failed"], 2);

    let etag = whole.header("etag");
    let part = ask(&cluster.url, "GET", &path, &[("range", "bytes=1000-1999"), ("if-match", etag)]);
    assert_eq!((part.status, part.header("content-range")), (206, format!("bytes 1000-1999/{}", whole.body.len()).as_str()));
    assert_eq!(part.body, whole.body[1000..2000]);
    let last = ask(&cluster.url, "GET", &path, &[("range", "bytes=-10"), ("if-range", etag)]);
    assert_eq!((last.status, &last.body[..]), (206, &whole.body[whole.body.len() - 10..]));
    let head = ask(&cluster.url, "HEAD", &path, &[]);
    assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, whole.header("content-length"), 0));

    assert_eq!(ask(&cluster.url, "GET", &path, &[("if-none-match", etag)]).status, 304);
    assert_eq!(ask(&cluster.url, "GET", &path, &[("if-match", "\"another\"")]).status, 412);
    let other = ask(&cluster.url, "GET", &path, &[("range", "bytes=5-"), ("if-range", "\"another\"")]);
    assert_eq!((other.status, other.body.len()), (200, whole.body.len()), "no part of what is not the same");
    let beyond = ask(&cluster.url, "GET", &path, &[("range", "bytes=999999999-")]);
    assert_eq!((beyond.status, beyond.header("content-range")), (416, format!("bytes */{}", whole.body.len()).as_str()));

    let unknown = ask(&cluster.url, "GET", "/v1/jobs/j99/bundle", &[]);
    assert_eq!((unknown.status, unknown.json()["error"]["kind"].as_str()), (404, Some("NotFound")));
    let nonsense = ask(&cluster.url, "GET", "/v1/jobs/..%2F..%2Fetc/bundle", &[]);
    assert_eq!((nonsense.status, nonsense.json()["error"]["kind"].as_str()), (400, Some("Invalid")));
    assert_eq!(ask(&cluster.url, "GET", "/nothing", &[]).status, 404);
    assert_eq!(ask(&cluster.url, "DELETE", &path, &[]).status, 405);
}

#[test]
fn a_download_that_began_goes_on_as_it_was_when_the_job_has_more() {
    let cluster = Cluster::start(&[1]);
    let gate = cluster.path("gate");
    let command = format!("echo {{index}}; test {{index}} = 0 || until test -e {}; do sleep 0.02; done", gate.display());
    let job = cluster.submit_array("0-1", &[], &command);
    until("the first task has ended", || cluster.count(&job, "succeeded") == 1);
    let path = format!("/v1/jobs/{job}/bundle");
    let early = ask(&cluster.url, "GET", &path, &[]);
    std::fs::write(gate, "").unwrap();
    cluster.ends(&job, 0);
    let late = ask(&cluster.url, "GET", &path, &[]);
    assert_ne!(early.header("etag"), late.header("etag"));
    let rest = ask(&cluster.url, "GET", &path, &[("range", "bytes=20-"), ("if-match", early.header("etag"))]);
    assert_eq!((rest.status, &rest.body[..]), (206, &early.body[20..]));
}

#[test]
fn who_connects_and_says_nothing_or_stops_in_a_word_is_let_go() {
    let mut cluster = Cluster::start(&[]);
    let words = [&b""[..], b"GET /v1/jo", b"GET / HTTP/1.1\r\nhost: x\r\n", b"PRI * HTTP/2.0\r\n"];
    let began = Instant::now();
    let mut sockets: Vec<TcpStream> = words
        .iter()
        .map(|words| {
            let mut socket = socket(&cluster.url);
            socket.write_all(words).unwrap();
            socket
        })
        .collect();
    for (socket, words) in sockets.iter_mut().zip(words) {
        let mut rest = Vec::new();
        // The head closes it; some end in a word of why.
        let _ = socket.read_to_end(&mut rest);
        assert!(began.elapsed() < Duration::from_secs(40), "{:?} is held open", String::from_utf8_lossy(words));
    }
    assert!(cluster.head_is_alive());
}
