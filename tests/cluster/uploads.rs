//! Uploads that break and go on: what the head has acknowledged is not sent again.

use std::process::Stdio;

use millpond::domain::{Error, ErrorKind};
use millpond::rpc::client::Client;
use millpond::rpc::pb;
use millpond::rpc::pb::resume_upload_request::{Begin, End, Piece, Request as Part};
use millpond::rpc::pb::resume_upload_response::Response as Answer;
use millpond::rpc::status::from_status;
use tokio_stream::{Stream, StreamExt};

use super::cluster::Cluster;
use super::process::{until, wait};
use super::proxy::{After, Proxy};

pub const MIB: u64 = 1 << 20;

/// So many bytes that no compression would help, and no part is like another.
pub fn noise(len: u64) -> Vec<u8> {
    (0..len / 8).flat_map(|no| no.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29).to_le_bytes()).collect()
}

/// What lies at the head of uploads that have not ended, in bytes.
pub fn partial(cluster: &Cluster) -> u64 {
    let entries = std::fs::read_dir(cluster.data_dir.join("datasets/partial")).unwrap();
    entries.map(|entry| entry.unwrap().metadata().map_or(0, |data| data.len())).sum()
}

/// Kills the head in the middle of an upload through a proxy, starts it again, and says how much came through until the end.
fn upload_over_a_death_of_the_head(len: u64, from_stdin: bool) {
    let mut cluster = Cluster::start(&[]);
    let input = cluster.write("large.bin", noise(len));
    let proxy = Proxy::open_to(&cluster.url);
    let mut command = cluster.client(&["--head", &proxy.url, "data", "add", if from_stdin { "-" } else { &input }]);
    if from_stdin {
        command.stdin(std::fs::File::open(&input).unwrap());
    }
    let mut client = command.stdout(Stdio::piped()).spawn().unwrap();
    until("half of it is there", || partial(&cluster) >= len / 2);
    cluster.head_dies();
    let there = partial(&cluster);
    cluster.head_starts_again();
    assert!(wait(&mut client).success(), "{}", cluster.tail("head.log"));
    // What was on its way, or in buffers, when the head died came to nobody.
    let passed = proxy.passed();
    assert!(there >= len / 2 && passed < len + 12 * MIB, "{there} bytes were there, {passed} of {len} were sent");
    let list = cluster.json(&["data", "list"]);
    let sum = cluster.command("sha256sum").arg(&input).output().unwrap().stdout;
    assert!(list["datasets"][0]["digest"].as_str().is_some_and(|digest| sum.starts_with(digest.as_bytes())), "{list}");
    assert_eq!(partial(&cluster), 0);
}

#[test]
fn a_file_is_sent_once_though_the_head_dies_in_the_middle() {
    upload_over_a_death_of_the_head(100 * MIB, false);
}

#[test]
fn standard_input_goes_on_too_when_the_head_dies_in_the_middle() {
    upload_over_a_death_of_the_head(40 * MIB, true);
}

#[test]
fn a_file_is_gone_on_with_by_the_next_client() {
    let cluster = Cluster::start(&[]);
    let input = half_an_upload(&cluster);
    let second = Proxy::open_to(&cluster.url);
    cluster.ok(&["--head", &second.url, "data", "add", &input]);
    assert!(second.passed() < 15 * MIB, "{} bytes were sent again", second.passed());
    assert_eq!(partial(&cluster), 0);
}

/// A file of which half is at the head, and nobody there to send the rest; the file's path.
fn half_an_upload(cluster: &Cluster) -> String {
    let input = cluster.write("large.bin", noise(24 * MIB));
    let proxy = Proxy::to(&cluster.url, 12 * MIB, After::Stall);
    let mut client = cluster.client(&["--head", &proxy.url, "data", "add", &input]).spawn().unwrap();
    until("half of it is there", || partial(cluster) >= 11 * MIB);
    client.kill().unwrap();
    client.wait().unwrap();
    proxy.is_cut();
    input
}

#[test]
fn a_file_that_has_changed_since_another_client_sent_half_of_it_is_sent_from_the_start() {
    let cluster = Cluster::start(&[]);
    let input = half_an_upload(&cluster);
    let mut other = noise(24 * MIB);
    other[5] ^= 1;
    cluster.write("large.bin", other);
    let digest = cluster.ok(&["data", "add", &input]);
    let sum = cluster.command("sha256sum").arg(&input).output().unwrap().stdout;
    assert!(sum.starts_with(digest.as_bytes()), "{digest}");
    assert_eq!(cluster.json(&["data", "list"])["datasets"].as_array().unwrap().len(), 1);
    assert_eq!(partial(&cluster), 0);
}

#[test]
fn a_file_that_is_written_to_while_it_is_sent_is_refused() {
    let cluster = Cluster::start(&[]);
    let input = cluster.write("large.bin", noise(48 * MIB));
    let proxy = Proxy::to(&cluster.url, 4 * MIB, After::Stall);
    let client = cluster.client(&["--head", &proxy.url, "data", "add", &input]).stderr(Stdio::piped()).spawn().unwrap();
    until("some of it is there", || partial(&cluster) >= 3 * MIB);
    // Of the same length: only its time tells.
    let file = std::fs::File::options().write(true).open(&input).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"other", 40 * MIB).unwrap();
    proxy.is_mended();
    let said = client.wait_with_output().unwrap();
    let error = String::from_utf8(said.stderr).unwrap();
    assert!(!said.status.success() && error.contains("large.bin: has changed while it was sent"), "{error}");
    assert_eq!(cluster.json(&["data", "list"])["datasets"], serde_json::json!([]));
    // What came of it is of no file any more: it is found out, and given up.
    let digest = cluster.ok(&["data", "add", &input]);
    let sum = cluster.command("sha256sum").arg(&input).output().unwrap().stdout;
    assert!(sum.starts_with(digest.as_bytes()), "{digest}");
    assert_eq!(partial(&cluster), 0);
}

#[tokio::test]
async fn the_digest_may_be_said_at_the_end_and_has_to_fit() {
    let cluster = Cluster::start(&[]);
    let (abc, other) = ("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "00".repeat(32));
    let end = |digest: &str| Part::End(End { len: 3, digest: digest.into() });
    for (digest, says) in [(other.as_str(), "was announced, and what came has the digest ba7816bf"), ("x", "end.digest")] {
        let (_, error) = talk(&cluster.url, vec![begin(1, ""), piece(0, b"abc"), end(digest)]).await;
        assert!(error.as_ref().is_some_and(|error| error.kind == ErrorKind::Invalid && error.message.contains(says)), "{error:?}");
        let (heard, _) = talk(&cluster.url, vec![begin(1, "")]).await;
        // What can't be of the file is given up; a slip of the pen is not that.
        assert_eq!(heard, [Answer::Durable(if digest == "x" { 3 } else { 0 })]);
    }
    let (_, error) = talk(&cluster.url, vec![begin(2, abc), piece(0, b"abc"), end(&other)]).await;
    assert!(error.is_some_and(|error| error.message.contains("and ba7816bf")));
    let (heard, _) = talk(&cluster.url, vec![begin(1, ""), end(abc)]).await;
    assert!(matches!(&heard[..], [Answer::Durable(3), Answer::Dataset(data)] if data.digest == abc), "{heard:?}");
}

#[test]
fn two_clients_with_the_same_file_send_it_once() {
    let cluster = Cluster::start(&[]);
    let input = cluster.write("large.bin", noise(16 * MIB));
    let proxy = Proxy::open_to(&cluster.url);
    let clients: Vec<_> =
        (0..3).map(|_| cluster.client(&["--head", &proxy.url, "data", "add", &input]).stdout(Stdio::null()).spawn().unwrap()).collect();
    for mut client in clients {
        assert!(wait(&mut client).success());
    }
    assert!(proxy.passed() < 30 * MIB, "{} bytes were sent", proxy.passed());
    assert_eq!(cluster.json(&["data", "list"])["datasets"].as_array().unwrap().len(), 1);
}

/// Parts of an upload by hand; what the head answers, and how it ends.
pub async fn talk(url: &str, parts: Vec<Part>) -> (Vec<Answer>, Option<Error>) {
    talk_and(url, parts, tokio_stream::empty()).await
}

/// The same, and more that comes afterwards.
pub async fn talk_and(url: &str, parts: Vec<Part>, more: impl Stream<Item = Part> + Send + 'static) -> (Vec<Answer>, Option<Error>) {
    let requests = tokio_stream::iter(parts).chain(more).map(|part| pb::ResumeUploadRequest { request: Some(part) });
    let mut client = Client::connect(&url.parse().unwrap()).await.unwrap().datasets();
    let mut answers = match client.resume_upload(requests).await {
        Ok(answers) => answers.into_inner(),
        Err(status) => return (Vec::new(), Some(from_status(&status))),
    };
    let mut heard = Vec::new();
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(answer) => heard.extend(answer.response),
            Err(status) => return (heard, Some(from_status(&status))),
        }
    }
    (heard, None)
}

pub fn begin(id: u8, digest: &str) -> Part {
    let header = pb::upload_dataset_request::Header { name: "x.txt".into(), digest: digest.into(), unpack: true };
    Part::Begin(Begin { upload_id: format!("01234567-89ab-cdef-0123-4567890000{id:02x}"), header: Some(header), len: None })
}

pub fn piece(offset: u64, data: &[u8]) -> Part {
    Part::Piece(Piece { offset, data: data.to_vec().into(), crc32: crc32fast::hash(data) })
}

#[tokio::test]
async fn a_damaged_piece_is_refused_with_its_offset_and_what_came_before_stays() {
    let cluster = Cluster::start(&[]);
    let damaged = |offset| Part::Piece(Piece { offset, data: b"cde".as_slice().into(), crc32: 7 });
    let (heard, error) = talk(&cluster.url, vec![begin(1, ""), piece(0, b"ab"), damaged(2)]).await;
    let error = error.unwrap();
    assert_eq!((heard, error.kind), (vec![Answer::Durable(0)], ErrorKind::Unavailable));
    assert_eq!(error.message, "the piece of 3 bytes at byte 2 was damaged on its way: begin again");
    // A hole, or what came already, is refused likewise; the end has to fit.
    for (part, says) in [
        (piece(5, b"x"), "for byte 5 came where byte 2 is due"),
        (Part::End(End { len: 3, digest: String::new() }), "ends at byte 3, and 2 have come"),
    ] {
        let (heard, error) = talk(&cluster.url, vec![begin(1, ""), part]).await;
        assert_eq!(heard, [Answer::Durable(2)]);
        assert!(error.as_ref().is_some_and(|error| error.message.contains(says)), "{error:?}");
    }
    let (heard, error) = talk(&cluster.url, vec![begin(1, ""), piece(2, b"cde\n"), Part::End(End { len: 6, digest: String::new() })]).await;
    assert_eq!(error, None);
    assert!(matches!(&heard[..], [Answer::Durable(2), Answer::Dataset(data)] if data.len == 6), "{heard:?}");
}

#[tokio::test]
async fn an_upload_is_bound_to_what_was_said_of_it() {
    let cluster = Cluster::start(&[]);
    let (abc, other) = ("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "00".repeat(32));
    let (_, error) = talk(&cluster.url, vec![begin(1, abc), piece(0, b"a")]).await;
    assert_eq!(error, None);
    let (_, error) = talk(&cluster.url, vec![begin(1, &other)]).await;
    assert_eq!(error.unwrap().kind, ErrorKind::Conflict);
    let (_, error) = talk(&cluster.url, vec![begin(1, abc), piece(1, b"x"), Part::End(End { len: 2, digest: String::new() })]).await;
    assert_eq!(error.unwrap().kind, ErrorKind::Invalid, "another content");
    let (heard, _) = talk(&cluster.url, vec![begin(1, abc), piece(0, b"abc"), Part::End(End { len: 3, digest: String::new() })]).await;
    assert!(matches!(&heard[..], [Answer::Durable(0), Answer::Dataset(_)]), "{heard:?}");
    // What is there by now is answered at once.
    let (heard, _) = talk(&cluster.url, vec![begin(2, abc)]).await;
    assert!(matches!(&heard[..], [Answer::Dataset(_)]), "{heard:?}");
    for part in [piece(0, b"a"), Part::End(End { len: 0, digest: String::new() }), Part::Begin(Begin::default())] {
        let (_, error) = talk(&cluster.url, vec![part]).await;
        assert_eq!(error.unwrap().kind, ErrorKind::Invalid);
    }
}

#[test]
fn an_upload_to_which_nothing_came_for_a_day_is_given_up() {
    let mut cluster = Cluster::start(&[]);
    let folder = cluster.data_dir.join("datasets/partial");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(talk(&cluster.url, vec![begin(1, ""), piece(0, b"old")]));
    runtime.block_on(talk(&cluster.url, vec![begin(2, ""), piece(0, b"new")]));
    assert_eq!(partial(&cluster), 6);
    let day = std::time::Duration::from_secs(25 * 3600);
    let old = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).find(|path| std::fs::read(path).unwrap() == b"old");
    std::fs::File::options().write(true).open(old.unwrap()).unwrap().set_modified(std::time::SystemTime::now() - day).unwrap();
    cluster.head_dies();
    cluster.head_starts_again();
    assert_eq!(partial(&cluster), 3);
}
