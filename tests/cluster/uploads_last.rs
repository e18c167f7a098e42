//! Uploads at whose end, or in whose long middle, something goes wrong: the head dies between the bytes and the journal, an answer is lost, the
//! disk is almost full, nobody says anything.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, SystemTime};

use millpond::domain::ErrorKind;
use millpond::rpc::pb::resume_upload_request::{Begin, End, Request as Part};
use millpond::rpc::pb::resume_upload_response::Response as Answer;
use sha2::{Digest, Sha256};
use tokio_stream::StreamExt;

use super::cluster::Cluster;
use super::process::{until, wait};
use super::proxy::{After, Proxy};
use super::small_disk::SmallDisk;
use super::uploads::{MIB, begin, noise, partial, piece, talk, talk_and};

fn sha256(data: &[u8]) -> String {
    Sha256::digest(data).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// Files of uploads that have not ended.
fn partials(cluster: &Cluster) -> Vec<PathBuf> {
    fs::read_dir(cluster.data_dir.join("datasets/partial")).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// As if nothing had come to an upload for so long.
fn is_silent_for(file: &PathBuf, silence: Duration) {
    fs::File::options().write(true).open(file).unwrap().set_modified(SystemTime::now() - silence).unwrap();
}

fn adds(cluster: &Cluster, url: &str, input: &str, from_stdin: bool) -> Child {
    let mut command = cluster.client(&["--head", url, "data", "add", if from_stdin { "-" } else { input }]);
    if from_stdin {
        command.stdin(fs::File::open(input).unwrap());
    }
    command.stdout(Stdio::null()).spawn().unwrap()
}

/// The head dies at a place, and is started again; the client ends well, and has sent everything once.
fn upload_over_a_death_at(place: &str, sent: &[u8], plain: &[u8], from_stdin: bool, is_first: bool) {
    if !cfg!(debug_assertions) {
        return println!("skipped: a release build has no such places");
    }
    let mut cluster = Cluster::start(&[]);
    if !is_first {
        cluster.ok(&["data", "add", &cluster.write("earlier.txt", "earlier\n")]);
    }
    cluster.head_dies();
    cluster.head_env = vec![("MILLPOND_FAILPOINT".into(), format!("{place}=kill"))];
    cluster.head_starts_again();
    let proxy = Proxy::open_to(&cluster.url);
    let mut client = adds(&cluster, &proxy.url, &cluster.write("in.bin", sent), from_stdin);
    until("the head is dead", || !cluster.head_is_alive());
    cluster.head_env.clear();
    cluster.head_starts_again();
    assert!(wait(&mut client).success(), "{}", cluster.tail("head.log"));
    assert!(proxy.passed() < sent.len() as u64 + MIB, "{} of {} bytes were sent", proxy.passed(), sent.len());
    let list = cluster.json(&["data", "list"]);
    assert!(list["datasets"].as_array().unwrap().iter().any(|data| data["digest"] == sha256(plain).as_str()), "{list}");
    let job = cluster.submit(&["--array", "1", "--with", &cluster.text_path("in.bin"), "--hold", "--", "true"]);
    assert_eq!(cluster.count(&job, "undispatched"), 1);
    cluster.head_dies();
    cluster.head_starts_again();
    assert_eq!(cluster.json(&["data", "show", &sha256(plain)])["len"], plain.len() as u64, "it stays");
    assert_eq!(partial(&cluster), 0);
}

#[test]
fn standard_input_is_stored_though_the_head_dies_before_it_could_note_that() {
    let data = noise(6 * MIB);
    upload_over_a_death_at("upload.after_rename", &data, &data, true, false);
    upload_over_a_death_at("upload.after_rename", &data, &data, true, true);
}

#[test]
fn a_file_is_stored_though_the_head_dies_before_it_could_note_that() {
    let data = noise(6 * MIB);
    upload_over_a_death_at("upload.after_rename", &data, &data, false, false);
    upload_over_a_death_at("upload.before_rename", &data, &data, false, false);
}

#[test]
fn compressed_data_is_stored_though_the_head_dies_before_it_could_note_that() {
    let data = noise(6 * MIB);
    upload_over_a_death_at("upload.after_rename", &gzip(&data), &data, true, false);
    upload_over_a_death_at("upload.after_rename", &gzip(&data), &data, false, true);
}

#[test]
fn an_upload_whose_last_answer_is_lost_gets_it_from_the_next_head() {
    let data = noise(6 * MIB);
    upload_over_a_death_at("upload.before_reply", &data, &data, true, false);
    upload_over_a_death_at("upload.before_reply", &gzip(&data), &data, true, true);
}

#[tokio::test]
async fn what_was_stored_is_answered_to_the_same_begin_until_it_is_deleted() {
    let cluster = Cluster::start(&[]);
    let all = || vec![begin(1, ""), piece(0, b"abc"), Part::End(End { len: 3, digest: String::new() })];
    let (heard, _) = talk(&cluster.url, all()).await;
    let Some(Answer::Dataset(stored)) = heard.last().cloned() else { panic!("{heard:?}") };
    let (heard, _) = talk(&cluster.url, vec![begin(1, "")]).await;
    assert_eq!(heard, [Answer::Dataset(stored.clone())]);
    cluster.ok(&["data", "delete", &stored.digest]);
    until("its bytes are away", || !cluster.data_dir.join("datasets/ba").join(&stored.digest).exists());
    let (heard, _) = talk(&cluster.url, all()).await;
    assert!(matches!(&heard[..], [Answer::Durable(0), Answer::Dataset(again)] if again.digest == stored.digest), "{heard:?}");
}

#[test]
fn a_file_of_which_the_head_has_lost_what_it_had_is_sent_from_its_beginning() {
    let mut cluster = Cluster::start(&[]);
    let data = noise(48 * MIB);
    let (file, folder) = (cluster.write("large.bin", &data), cluster.text_path("folder"));
    fs::create_dir(&folder).unwrap();
    cluster.write("folder/large.bin", &data);
    for input in [file, folder] {
        let proxy = Proxy::open_to(&cluster.url);
        let mut client = adds(&cluster, &proxy.url, &input, false);
        until("some of it is there", || partial(&cluster) >= 8 * MIB);
        proxy.stands_still();
        cluster.head_dies();
        partials(&cluster).iter().for_each(|path| fs::remove_file(path).unwrap());
        cluster.head_starts_again();
        proxy.is_cut();
        proxy.is_mended();
        assert!(wait(&mut client).success(), "{}", cluster.tail("head.log"));
        assert!(proxy.passed() > 56 * MIB, "{} bytes were sent", proxy.passed());
        assert_eq!(partial(&cluster), 0);
    }
}

#[tokio::test]
async fn no_more_and_no_fewer_bytes_are_taken_than_were_announced() {
    let cluster = Cluster::start(&[]);
    let announced = || {
        let Part::Begin(begin) = begin(1, "") else { unreachable!() };
        Part::Begin(Begin { len: Some(5), ..begin })
    };
    let (_, error) = talk(&cluster.url, vec![announced(), piece(0, b"abc"), piece(3, b"def")]).await;
    let error = error.unwrap();
    let says = "the piece of 3 bytes at byte 3 goes beyond the 5 bytes that were announced (len): announce all";
    assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Invalid, says));
    let (heard, error) = talk(&cluster.url, vec![announced(), Part::End(End { len: 3, digest: String::new() })]).await;
    let error = error.unwrap();
    let says = "the upload ends at byte 3, and 5 bytes were announced (len): send the rest, or announce 3";
    assert_eq!((heard, error.kind, error.message.as_str()), (vec![Answer::Durable(3)], ErrorKind::Invalid, says));
    let (heard, _) = talk(&cluster.url, vec![announced(), piece(3, b"de"), Part::End(End { len: 5, digest: String::new() })]).await;
    assert!(matches!(&heard[..], [Answer::Durable(3), Answer::Dataset(data)] if data.len == 5), "{heard:?}");
}

#[tokio::test]
async fn another_digest_than_announced_is_explained_by_what_was_sent() {
    let cluster = Cluster::start(&[]);
    let (plain, packed) = (b"abc\n".to_vec(), gzip(b"abc\n"));
    let (of_plain, of_packed, other) = (sha256(&plain), sha256(&packed), "00".repeat(32));
    for (no, (data, announced, says)) in [
        (&plain, &other, format!("{other} was announced, and what came has the digest {of_plain}: it has changed meanwhile")),
        (
            &packed,
            &of_packed,
            format!(
                "{of_packed} is the digest of the gzip data as it was sent, but with `unpack` that of the plain data is meant: announce \
                 {of_plain}, or none"
            ),
        ),
        (
            &packed,
            &other,
            format!("{other} was announced, and the plain data has the digest {of_plain} (the gzip data, as it was sent: {of_packed})"),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let parts = vec![begin(no as u8, announced), piece(0, data), Part::End(End { len: data.len() as u64, digest: String::new() })];
        let (_, error) = talk(&cluster.url, parts).await;
        let error = error.unwrap();
        assert!(error.kind == ErrorKind::Invalid && error.message.starts_with(&says), "{error}");
        assert_eq!(partial(&cluster), 0, "there is nothing to go on with");
    }
}

#[test]
fn uploads_that_say_nothing_lose_their_places_and_can_be_gone_on_with() {
    let cluster = Cluster::start_with(&[], &["--upload-silence", "1s"]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let silent = (0..64).map(|id| {
        let url = cluster.url.clone();
        runtime.spawn(async move {
            // What holds nothing says nothing.
            let more = tokio_stream::iter(std::iter::repeat(piece(2, b""))).throttle(Duration::from_millis(300));
            talk_and(&url, vec![begin(id, ""), piece(0, b"ab")], more).await
        })
    });
    let silent: Vec<_> = silent.collect();
    until("all have begun", || partial(&cluster) == 128);
    cluster.ok(&["data", "add", &cluster.write("in.txt", "a\nb\n")]);
    for silent in silent {
        let (heard, error) = runtime.block_on(silent).unwrap();
        let error = error.unwrap();
        let says = "nothing has come for 1 s, so the upload has lost its place (--upload-silence): begin again";
        assert_eq!((heard, error.kind, error.message.as_str()), (vec![Answer::Durable(0)], ErrorKind::TimedOut, says));
    }
    let (heard, _) =
        runtime.block_on(talk(&cluster.url, vec![begin(7, ""), piece(2, b"c"), Part::End(End { len: 3, digest: String::new() })]));
    assert!(matches!(&heard[..], [Answer::Durable(2), Answer::Dataset(data)] if data.len == 3), "{heard:?}");
}

#[test]
fn a_pipe_that_is_silent_for_long_is_gone_on_with_when_it_speaks() {
    let cluster = Cluster::start_with(&[], &["--upload-silence", "1s"]);
    let mut client = cluster.client(&["data", "add", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut pipe = client.stdin.take().unwrap();
    let data = noise(3 * MIB);
    for (no, part) in data.chunks(MIB as usize).enumerate() {
        pipe.write_all(part).unwrap();
        until("it has lost its place", || cluster.tail("head.log").matches("has lost its place").count() > no);
    }
    drop(pipe);
    let output = client.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), sha256(&data), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn an_upload_of_which_another_client_has_stored_the_content_is_given_up_at_once() {
    let cluster = Cluster::start(&[]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let digest = sha256(b"abc\n");
    runtime.block_on(talk(&cluster.url, vec![begin(1, &digest), piece(0, b"ab")]));
    runtime.block_on(talk(&cluster.url, vec![begin(2, ""), piece(0, b"another")]));
    assert_eq!(partial(&cluster), 9);
    let input = cluster.write("in.txt", "abc\n");
    assert_eq!(cluster.ok(&["data", "add", &input]), digest);
    until("it is given up", || partial(&cluster) == 7);
}

/// A head on a disk of 96 MiB, yellow at 24 and red at 8.
fn on_a_small_disk() -> Option<(Cluster, SmallDisk)> {
    let mut cluster = Cluster::without_head(&["--disk-yellow", "24M", "--disk-red", "8M"]);
    let disk = SmallDisk::mount(cluster.path("mounted"), 96 * MIB)?;
    cluster.data_dir = cluster.path("mounted/head");
    cluster.head_starts_at("127.0.0.1:0");
    Some((cluster, disk))
}

fn is_yellow(cluster: &Cluster) {
    until("it is yellow", || cluster.tail("head.log").contains("no new uploads until some space is freed"));
}

#[test]
fn an_upload_that_has_begun_goes_on_on_a_disk_that_is_almost_full_and_a_new_one_does_not() {
    let Some((mut cluster, disk)) = on_a_small_disk() else { return };
    let input = cluster.write("large.bin", noise(16 * MIB));
    let proxy = Proxy::to(&cluster.url, 10 * MIB, After::Stall);
    let mut client = adds(&cluster, &proxy.url, &input, false);
    until("half of it is there", || partial(&cluster) >= 8 * MIB);
    client.kill().unwrap();
    client.wait().unwrap();
    proxy.is_cut();
    disk.has_left(20 * MIB);
    is_yellow(&cluster);
    cluster.millpond(&["data", "add", &cluster.write("new.txt", "new\n")]).refused(1, &["no new uploads"]);
    let second = Proxy::open_to(&cluster.url);
    cluster.ok(&["--head", &second.url, "data", "add", &input]);
    assert!(second.passed() < 10 * MIB, "{} bytes were sent again", second.passed());
    assert!(cluster.head_ends().success());
}

#[test]
fn uploads_that_nobody_goes_on_with_make_room_the_longest_silent_first() {
    let Some((mut cluster, disk)) = on_a_small_disk() else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let pieces = |id: u8, mib: u64| {
        let data = vec![id; MIB as usize];
        let mut parts = vec![begin(id, "")];
        parts.extend((0..mib).map(|no| piece(no * MIB, &data)));
        parts
    };
    for id in 1..=3 {
        runtime.block_on(talk(&cluster.url, pieces(id, 8)));
    }
    // One that is open, and has been silent for longest.
    let (_end, more) = tokio::sync::mpsc::channel(1);
    let (url, parts) = (cluster.url.clone(), pieces(4, 8));
    let open = runtime.spawn(async move { talk_and(&url, parts, tokio_stream::wrappers::ReceiverStream::new(more)).await });
    until("all are there", || partial(&cluster) == 32 * MIB);
    let of = |id: u8| partials(&cluster).into_iter().find(|path| path.to_str().unwrap().contains(&format!("90000{id:02x}.")));
    for (id, hours) in [(1, 1), (2, 3), (3, 2), (4, 30)] {
        is_silent_for(&of(id).unwrap(), Duration::from_secs(hours * 3600));
    }
    // To be green it has to have 30 MiB: two of them go.
    disk.has_left(20 * MIB);
    is_yellow(&cluster);
    until("it is green again", || cluster.tail("head.log").contains("everything is taken in"));
    assert_eq!([1, 2, 3, 4].map(|id| of(id).is_some()), [true, false, false, true], "{}", cluster.tail("head.log"));
    cluster.ok(&["data", "add", &cluster.write("new.txt", "new\n")]);
    // A head that ends waits for no silent client, and keeps what has come.
    assert!(cluster.head_ends().success());
    assert!(!cluster.tail("head.log").contains("panicked"), "{}", cluster.tail("head.log"));
    let (heard, _) = runtime.block_on(open).unwrap();
    assert_eq!(heard.last(), Some(&Answer::Durable(8 * MIB)));
}
