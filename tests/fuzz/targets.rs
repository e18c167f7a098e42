//! The targets: each takes any bytes, and says whether they were in order.

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::ffi::OsStringExt;
use std::sync::Arc;

use millpond::archive::{Archive, Layout, unpack_files};
use millpond::blobs::{ChunkIndex, ChunkIndexWriter, IndexedResult, ResultIndex, Segment};
use millpond::domain::entry::Entry;
use millpond::domain::{ArrayRange, Error, ResultRef, SplitRule, TaskNo};
use millpond::engine::Ledger;
use millpond::engine::ledger::LedgerPart;
use millpond::rpc::{convert, pb};
use millpond::split::Splitter;
use millpond::store::BATCH_MAX_BYTES;
use millpond::unpack::Unpacker;
use millpond::{bundle, cli, codec};
use prost::Message;

use crate::seeds;

pub struct Target {
    pub name: &'static str,
    pub seeds: fn() -> Vec<Vec<u8>>,
    pub run: fn(&[u8]) -> bool,
}

pub const TARGETS: &[Target] = &[
    Target { name: "split_lines", seeds: data_sets, run: |bytes| split("lines:3", bytes) },
    Target { name: "split_bytes", seeds: data_sets, run: |bytes| split("bytes:64", bytes) },
    Target { name: "split_chunks", seeds: data_sets, run: |bytes| split("chunks:7", bytes) },
    Target { name: "split_fasta", seeds: data_sets, run: |bytes| split("fasta:2", bytes) },
    Target { name: "split_fasta_chunks", seeds: data_sets, run: |bytes| split("fasta/chunks:3", bytes) },
    Target { name: "split_mgf", seeds: data_sets, run: |bytes| split("mgf:2", bytes) },
    Target { name: "split_fastq", seeds: data_sets, run: |bytes| split("fastq:2", bytes) },
    Target { name: "split_jsonl", seeds: data_sets, run: |bytes| split("jsonl:2", bytes) },
    Target { name: "split_csv", seeds: data_sets, run: |bytes| split("csv:1", bytes) },
    Target { name: "split_starts", seeds: data_sets, run: |bytes| split("records:2/start=^[>@B]", bytes) },
    Target { name: "split_ends", seeds: data_sets, run: |bytes| split("records/chunks:3/end=S$", bytes) },
    Target { name: "split_files", seeds: tars, run: |bytes| split("files:1", bytes) },
    Target { name: "files_of_a_chunk", seeds: tars, run: files_of_a_chunk },
    Target { name: "zip", seeds: zips, run: zip },
    Target { name: "split_rule", seeds: rules, run: split_rule },
    Target { name: "unpack", seeds: packed, run: unpack },
    Target { name: "array_range", seeds: ranges, run: array_range },
    Target { name: "journal_batch", seeds: seeds::batches, run: journal_batch },
    Target { name: "snapshot_part", seeds: seeds::parts, run: snapshot_part },
    Target { name: "result_record", seeds: segments, run: result_record },
    Target { name: "result_index", seeds: result_indexes, run: result_index },
    Target { name: "chunk_index", seeds: chunk_indexes, run: chunk_index },
    Target { name: "worker_message", seeds: seeds::from_workers, run: worker_message },
    Target { name: "head_message", seeds: seeds::from_heads, run: head_message },
    Target { name: "job_spec", seeds: seeds::specs, run: job_spec },
    Target { name: "command_line", seeds: command_lines, run: command_line },
];

fn data_sets() -> Vec<Vec<u8>> {
    seeds::texts(&[
        "a\nb\nc\nd\ne\nf\n",
        "a\r\nb\r\n\r\nno end",
        ">P1 one\nMKV\nLLA\n>P2\nMA\n\n>P3\nAAAAAA\n",
        "COM=x\n# note\nBEGIN IONS\nTITLE=1\n100.5 3\nEND IONS\nBEGIN IONS\nTITLE=2\nEND IONS\n\nBEGIN IONS\nEND IONS\n",
        "@a\nACGT\n+\nII@I\n@b\nAC\nGT\n+b\n@I\nII\n\n@c\nA\n+\nI\n",
        "{\"a\": 1}\n\n{\"b\": 2}\n[3]\n",
        "name;text\r\n1;\"two\r\n\"\"lines\"\"\"\r\n\r\n3;4\"\r\n5;6\r\n",
    ])
}

/// Splits in pieces of different lengths; what comes out covers the input, in order.
fn split(rule: &str, bytes: &[u8]) -> bool {
    let mut splitter = Splitter::new(rule.parse().unwrap(), bytes.len() as u64);
    let mut chunks = Vec::new();
    let (first, rest) = bytes.split_at(bytes.len() / 3);
    let fed = splitter.feed(first, &mut chunks).and_then(|()| splitter.feed(rest, &mut chunks));
    let done = fed.and_then(|()| splitter.finish(&mut chunks)).is_ok();
    let ordered = chunks.windows(2).all(|pair| pair[0].offset + pair[0].len <= pair[1].offset);
    let inside = chunks.iter().all(|chunk| chunk.offset + chunk.len <= bytes.len() as u64 && chunk.header <= bytes.len() as u64);
    assert!(ordered && inside, "{chunks:?}");
    done
}

fn tars() -> Vec<Vec<u8>> {
    let long = "deep/".repeat(30) + "x";
    let with = |set: fn(&mut tar::Header), names: &[&str]| {
        let mut builder = tar::Builder::new(Vec::new());
        for (no, name) in names.iter().enumerate() {
            let mut header = tar::Header::new_gnu();
            header.set_size(no as u64 * 300);
            set(&mut header);
            builder.append_data(&mut header, name, &vec![b'x'; no * 300][..]).unwrap();
        }
        builder.append_pax_extensions([("path", &b"long name"[..]), ("mtime", b"1.5")]).unwrap();
        let mut header = tar::Header::new_ustar();
        header.set_path("short").unwrap();
        header.set_size(3);
        header.set_cksum();
        builder.append(&header, &b"abc"[..]).unwrap();
        builder.into_inner().unwrap()
    };
    vec![with(|_| {}, &["a", "b/c", "d"]), with(|header| header.set_mode(0o600), &[&long, "b/c/d"])]
}

/// Nothing appears but in the folder.
fn files_of_a_chunk(bytes: &[u8]) -> bool {
    let (dir, part) = file_of(bytes);
    let folder = dir.path().join("folder");
    [Layout::Tree, Layout::OneFile].map(|layout| {
        std::fs::create_dir(&folder).unwrap();
        let done = unpack_files(&part, &folder, layout).is_ok();
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "only what was there before");
        done
    })[0]
}

fn zips() -> Vec<Vec<u8>> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (no, name) in ["a", "b/c", "long ".repeat(30).trim()].iter().enumerate() {
        writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(&b"text ".repeat(no * 100)).unwrap();
    }
    vec![writer.finish().unwrap().into_inner()]
}

/// The tar of what is taken can be split.
fn zip(bytes: &[u8]) -> bool {
    let (_dir, path) = file_of(bytes);
    let Ok(Some(mut archive)) = Archive::open(&path) else { return false };
    let mut tar = Vec::new();
    let made = archive.write(&mut |bytes| {
        tar.extend_from_slice(bytes);
        if tar.len() > 1 << 24 { Err(Error::exhausted("a bomb")) } else { Ok(()) }
    });
    made.is_ok_and(|()| {
        assert!(split("files:1", &tar) && tar.len() as u64 == archive.tar_len());
        true
    })
}

fn rules() -> Vec<Vec<u8>> {
    seeds::texts(&[
        "lines:1000",
        "bytes:1000",
        "chunks:8",
        "fasta:10",
        "fasta/chunks:8",
        "mgf:200",
        "mgf/chunks:4",
        "fastq/bytes:9",
        "csv:10",
        "jsonl/chunks:8",
        "records:2/start=^>",
        "records/chunks:8/end=^(//|--)$",
        "files:1",
    ])
}

/// A rule that is taken is written as it is read.
fn split_rule(bytes: &[u8]) -> bool {
    let Ok(rule) = String::from_utf8_lossy(bytes).parse::<SplitRule>() else { return false };
    assert_eq!(rule.to_string().parse::<SplitRule>().ok(), Some(rule));
    true
}

fn packed() -> Vec<Vec<u8>> {
    let text = b">a\nACGT\n".repeat(30);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&text).unwrap();
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
    bzip2.write_all(&text).unwrap();
    let (gzip, bzip2, zstd) = (gzip.finish().unwrap(), bzip2.finish().unwrap(), zstd::encode_all(&text[..], 3).unwrap());
    vec![[&gzip[..], &gzip].concat(), zstd.repeat(2), bzip2, gzip, zstd]
}

/// What comes out does not depend on the pieces. It is broken off where it grows out of bounds.
fn unpack(bytes: &[u8]) -> bool {
    let plain = |piece: usize| {
        let (mut unpacker, mut plain) = (Unpacker::default(), Vec::new());
        let mut sink = |bytes: &[u8]| {
            plain.extend_from_slice(bytes);
            if plain.len() > 1 << 24 { Err(Error::exhausted("a bomb")) } else { Ok(()) }
        };
        bytes
            .chunks(piece)
            .try_for_each(|piece| unpacker.feed(piece, &mut sink))
            .and_then(|()| unpacker.finish(&mut sink))
            .is_ok()
            .then_some(plain)
    };
    let whole = plain(usize::MAX);
    assert!(plain(7) == whole);
    whole.is_some()
}

fn ranges() -> Vec<Vec<u8>> {
    seeds::texts(&["0-99", "7", "1-10:3", "5-5", "0-18446744073709551615"])
}

fn array_range(bytes: &[u8]) -> bool {
    String::from_utf8_lossy(bytes).parse::<ArrayRange>().is_ok_and(|range| range.count() > 0)
}

/// What decodes can be taken in.
fn journal_batch(bytes: &[u8]) -> bool {
    let Ok((_, entries)) = codec::decode::<Vec<Entry>>(bytes, BATCH_MAX_BYTES) else { return unsealed(bytes) };
    let mut ledger = Ledger::default();
    entries.iter().for_each(|entry| ledger.apply(entry));
    true
}

/// The checksum stops nearly all damage; what lies behind it must bear it as well.
fn unsealed(bytes: &[u8]) -> bool {
    let body = bytes.get(codec::FRAME_BYTES..).unwrap_or_default();
    if let Ok(entries) = codec::decode_body::<Vec<Entry>>(body, BATCH_MAX_BYTES) {
        let mut ledger = Ledger::default();
        entries.iter().for_each(|entry| ledger.apply(entry));
    }
    if let Ok(part) = codec::decode_body::<LedgerPart>(body, BATCH_MAX_BYTES) {
        Ledger::default().put(part);
    }
    false
}

fn snapshot_part(bytes: &[u8]) -> bool {
    match codec::decode::<LedgerPart>(bytes, BATCH_MAX_BYTES) {
        Ok((_, part)) => {
            Ledger::default().put(part);
            true
        }
        Err(_) => unsealed(bytes),
    }
}

/// A file with this content, and the folder that it goes with.
fn file_of(bytes: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    std::fs::write(&path, bytes).unwrap();
    (dir, path)
}

fn segments() -> Vec<Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("segment");
    let segment = Arc::new(Segment::open(&path).unwrap());
    segment.append(&seeds::meta(), &[0; 14]).unwrap();
    vec![std::fs::read(&path).unwrap()]
}

fn result_record(bytes: &[u8]) -> bool {
    let (_dir, path) = file_of(bytes);
    let Ok(segment) = Segment::open(&path) else { return false };
    [(0, bytes.len() as u64), (0, u64::MAX), (u64::MAX, u64::MAX), (1, 20)]
        .map(|(offset, len)| segment.read_meta(ResultRef { offset, len }).is_ok_and(|(meta, _)| bundle::check_packed(&meta.packed).is_ok()))
        .contains(&true)
}

fn result_indexes() -> Vec<Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("results.idx");
    let index = ResultIndex::open(&path).unwrap();
    for no in [0, 1, 5] {
        let indexed = IndexedResult { success: true, result: ResultRef { offset: 9, len: 7 } };
        index.put(TaskNo(no), indexed).unwrap();
    }
    vec![std::fs::read(&path).unwrap()]
}

fn result_index(bytes: &[u8]) -> bool {
    let (_dir, path) = file_of(bytes);
    let Ok(index) = ResultIndex::open(&path) else { return false };
    let _ = index.get(TaskNo(u32::MAX));
    index.read(TaskNo(0), 10).is_ok_and(|all| all.iter().any(|one| matches!(one, Ok(Some(_)))))
}

fn chunk_indexes() -> Vec<Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    let rule: SplitRule = "lines:2".parse().unwrap();
    let data = b"a\nb\nc\nd\ne\n";
    let mut splitter = Splitter::new(rule, data.len() as u64);
    let mut chunks = Vec::new();
    splitter.feed(data, &mut chunks).unwrap();
    splitter.finish(&mut chunks).unwrap();
    let path = dir.path().join("chunks");
    let mut writer = ChunkIndexWriter::create(&path).unwrap();
    chunks.iter().for_each(|chunk| writer.push(chunk).unwrap());
    drop(writer.finish().unwrap());
    vec![std::fs::read(&path).unwrap()]
}

fn chunk_index(bytes: &[u8]) -> bool {
    let (_dir, path) = file_of(bytes);
    let Ok(index) = ChunkIndex::open(&path) else { return false };
    let _ = (index.get(TaskNo(0)), index.get(TaskNo(u32::MAX)));
    index.verify().is_ok()
}

/// What is taken is written as it is read.
fn worker_message(bytes: &[u8]) -> bool {
    let Some(message) = pb::WorkerMessage::decode(bytes).ok().and_then(|message| convert::from_worker(message).ok()) else { return false };
    assert_eq!(convert::from_worker(convert::to_head(message.clone())).as_ref(), Ok(&message));
    true
}

fn head_message(bytes: &[u8]) -> bool {
    let Some(message) = pb::HeadMessage::decode(bytes).ok().and_then(|message| convert::from_head(message).ok()) else { return false };
    assert_eq!(convert::from_head(convert::to_worker(message.clone())).as_ref(), Ok(&message));
    true
}

fn by_lines(_: &str) -> SplitRule {
    "lines:1".parse().unwrap()
}

fn job_spec(bytes: &[u8]) -> bool {
    let Some(spec) = pb::JobSpec::decode(bytes).ok().and_then(|spec| convert::spec_from_pb(spec, by_lines).ok()) else { return false };
    assert_eq!(convert::spec_from_pb(convert::spec_to_pb(&spec), by_lines).as_ref(), Ok(&spec));
    true
}

fn command_lines() -> Vec<Vec<u8>> {
    seeds::texts(&[
        "submit\n--array\n0-99\n--retries\n3\n--timeout\n1h30m\n--\ntrue",
        "run\nin.mgf\n--split\nmgf:200\n--with\na.fasta\n--mem\n4G\n-o\nout.zip\n--\nsearch\n{input}",
        "kill\n3-9\n--running\nstop\n--reason\nenough",
        "--head\nhttp://h:1\nlist\n--format\njson",
        "priority\nj7\n-5",
        "limit\nj7\n--max-running\n9",
        "worker\ndrain\nw3",
        "data\nadd\nx.txt",
        "split\n--dry-run\nx.csv\n--split\nrecords/chunks:4/end=^//$",
    ])
}

/// Arguments, one per line.
fn command_line(bytes: &[u8]) -> bool {
    let args = bytes.split(|byte| *byte == b'\n').map(|arg| OsString::from_vec(arg.to_vec()));
    cli::check_line(std::iter::once("millpond".into()).chain(args)).is_ok()
}
