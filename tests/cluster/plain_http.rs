//! Plain HTTP on the head's port, as a browser or a script speaks it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::bundle::Bundle;
use super::cluster::Cluster;
use super::process::until;
use super::uploads::partial;

/// An answer of HTTP/1.1.
pub struct Answer {
    pub status: u16,
    /// Names in small letters.
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Of an upload, in order.
    fn lines(&self) -> Vec<serde_json::Value> {
        self.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(|line| serde_json::from_slice(line).unwrap()).collect()
    }
}

fn socket(url: &str) -> TcpStream {
    let socket = TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    socket
}

/// Asks, on a connection of its own, and reads the answer to its end.
pub fn ask(url: &str, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    ask_with(url, method, path, headers, b"")
}

/// The same, with a body; its headers are the caller's.
fn ask_with(url: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut socket = socket(url);
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    write!(socket, "{method} {path} HTTP/1.1\r\nhost: head\r\nconnection: close\r\n{headers}\r\n").unwrap();
    socket.write_all(body).unwrap();
    read(&mut socket)
}

fn read(socket: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    socket.read_to_end(&mut bytes).unwrap();
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or_else(|| panic!("{:?}", String::from_utf8_lossy(&bytes)));
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines.map(|line| line.split_once(": ").unwrap()).map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
    let mut answer = Answer { status, headers, body: bytes[end + 4..].to_vec() };
    if answer.header("transfer-encoding") == "chunked" {
        answer.body = whole(&answer.body);
    }
    answer
}

/// What was sent in chunks.
fn whole(mut chunks: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = chunks.windows(2).position(|window| window == b"\r\n").unwrap();
        let len = usize::from_str_radix(std::str::from_utf8(&chunks[..end]).unwrap(), 16).unwrap();
        if len == 0 {
            return body;
        }
        body.extend_from_slice(&chunks[end + 2..end + 2 + len]);
        chunks = &chunks[end + 4 + len..];
    }
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

/// Of an upload of this number.
fn upload_path(no: u8, query: &str) -> String {
    format!("/v1/uploads/01234567-89ab-cdef-0123-4567890001{no:02x}?name=x.txt{query}")
}

const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

#[test]
fn a_script_uploads_a_file_and_goes_on_where_it_broke_off() {
    let cluster = Cluster::start(&[]);
    let put = |no, query: &str, headers: &[(&str, &str)], body: &[u8]| {
        let len = body.len().to_string();
        ask_with(&cluster.url, "PUT", &upload_path(no, query), &[headers, &[("content-length", &len)]].concat(), body)
    };
    let stored = serde_json::json!({"dataset": {"digest": ABC, "name": "x.txt", "len": 3}});
    let done = put(1, "", &[], b"abc");
    assert_eq!((done.status, done.header("content-type")), (200, "application/x-ndjson"));
    assert_eq!(done.lines(), [serde_json::json!({"durable": 0}), stored.clone()]);
    assert_eq!(put(1, "", &[], b"abc").lines(), std::slice::from_ref(&stored), "stored by this id");
    assert_eq!(put(2, &format!("&digest={ABC}"), &[], b"abc").lines(), std::slice::from_ref(&stored), "stored by another");

    // A connection that breaks in the middle of a body is no end of it.
    let mut socket = socket(&cluster.url);
    write!(socket, "PUT {} HTTP/1.1\r\nhost: head\r\ncontent-length: 6\r\n\r\ndef", upload_path(3, "&unpack=true")).unwrap();
    until("half of it is there", || partial(&cluster) == 3);
    drop(socket);
    let again = put(3, "&unpack=true", &[], b"defghi");
    assert_eq!((again.status, again.json()["error"]["kind"].as_str()), (409, Some("Conflict")));
    assert!(again.json()["error"]["message"].as_str().unwrap().starts_with("3 bytes of this upload are here"), "{}", again.json());
    let other = put(3, "", &[("upload-offset", "3")], b"ghi");
    assert_eq!(other.status, 409, "what it was said to be is not the same");
    let rest = put(3, "&unpack=true", &[("upload-offset", "3")], b"ghi");
    assert_eq!((rest.lines()[0].clone(), rest.lines()[1]["dataset"]["len"].as_u64()), (serde_json::json!({"durable": 3}), Some(6)));
    assert_eq!(partial(&cluster), 0);

    for (path, headers, says) in [
        (upload_path(4, "&nmae=x"), vec![], "nmae: unknown"),
        (upload_path(4, "&len=many"), vec![], "len=many"),
        (upload_path(4, "&digest=x"), vec![], "digest"),
        (upload_path(4, "").replace("x.txt", "..%2Fx"), vec![], "a file name"),
        ("/v1/uploads/4?name=x".into(), vec![], "a UUID is needed"),
        (upload_path(4, ""), vec![("upload-offset", "-1")], "upload-offset: -1"),
    ] {
        let refused = ask_with(&cluster.url, "PUT", &path, &[&headers[..], &[("content-length", "1")]].concat(), b"x");
        assert_eq!((refused.status, refused.json()["error"]["kind"].as_str()), (400, Some("Invalid")), "{path}");
        assert!(refused.json()["error"]["message"].as_str().unwrap().contains(says), "{}", refused.json());
    }
    assert_eq!(partial(&cluster), 0);
}

#[test]
fn a_checksum_behind_the_last_byte_has_to_fit() {
    let cluster = Cluster::start(&[]);
    let put = |crc: &str| {
        let headers = [("transfer-encoding", "chunked"), ("trailer", "upload-crc32"), ("upload-offset", "*")];
        let body = format!("3\r\nabc\r\n0\r\nupload-crc32: {crc}\r\n\r\n");
        ask_with(&cluster.url, "PUT", &upload_path(1, ""), &headers, body.as_bytes()).lines().pop().unwrap()
    };
    let damaged = put("00000007");
    assert_eq!(damaged["error"]["kind"], "Unavailable");
    assert!(damaged["error"]["message"].as_str().unwrap().contains("damaged on its way"), "{damaged}");
    assert_eq!(partial(&cluster), 0, "nobody knows what of it is damaged");
    assert_eq!(put("7")["error"]["kind"], "Invalid");
    // By then three bytes are there, and the body brings three more: it is the checksum of all of them.
    assert_eq!(put("726e994c")["dataset"]["len"], 6);
}

#[test]
fn a_refusal_in_the_middle_of_a_body_is_heard_by_one_who_goes_on_sending() {
    let cluster = Cluster::start(&[]);
    let body = vec![b'x'; 24 << 20];
    let len = body.len().to_string();
    let refused = ask_with(&cluster.url, "PUT", &upload_path(1, "&len=1000"), &[("content-length", &len)], &body);
    let last = refused.lines().pop().unwrap();
    assert_eq!(last["error"]["kind"], "Invalid");
    assert!(last["error"]["message"].as_str().unwrap().contains("1000 bytes that were announced"), "{last}");
    // Before anything was taken, too.
    let refused = ask_with(&cluster.url, "PUT", &upload_path(2, "&digest=x"), &[("content-length", &len)], &body);
    assert_eq!(refused.status, 400);
}

#[test]
fn who_sends_and_does_not_listen_holds_nothing_up() {
    let cluster = Cluster::start(&[]);
    let mut socket = socket(&cluster.url);
    let piece = vec![b'x'; 1 << 20];
    let len = 200 << 20;
    write!(socket, "PUT {} HTTP/1.1\r\nhost: head\r\nconnection: close\r\ncontent-length: {len}\r\n\r\n", upload_path(1, "")).unwrap();
    for _ in 0..200 {
        socket.write_all(&piece).unwrap();
    }
    assert_eq!(read(&mut socket).lines().pop().unwrap()["dataset"]["len"], len);
}

#[tokio::test]
async fn an_address_that_floods_the_door_is_kept_out_for_a_while_and_nobody_else() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let cluster = Cluster::start(&[]);
    let head: std::net::SocketAddr = cluster.url.strip_prefix("http://").unwrap().parse().unwrap();
    // What comes back on a connection from there; nothing if it was closed.
    let ask_from = async |from: &str| {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
        let mut socket = socket.connect(head).await.unwrap();
        let mut answer = Vec::new();
        if socket.write_all(b"GET /nothing HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.is_ok() {
            let _ = socket.read_to_end(&mut answer).await;
        }
        answer
    };
    assert!(ask_from("127.0.0.3").await.starts_with(b"HTTP/1.1 404"));
    let log = || std::fs::read_to_string(cluster.path("head.log")).unwrap_or_default();
    // More than the head lets in at once and within a second, and what it lets in meanwhile.
    for _ in 0..20_000 {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.3:0".parse().unwrap()).unwrap();
        let _ = socket.connect(head).await;
        if log().contains("opens more than one every 1ms, after 2000 at once") {
            break;
        }
    }
    assert!(ask_from("127.0.0.2").await.starts_with(b"HTTP/1.1 404"), "another address is none of that");
    assert!(log().contains("opens more than one every 1ms"), "nobody was kept out");
    // It pays for no more than it was let in for.
    while !ask_from("127.0.0.3").await.starts_with(b"HTTP/1.1 404") {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
