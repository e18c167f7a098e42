//! What an attempt left, and where its packed bytes lie.

use super::check::{Within, at_most, between, each, line, message, refuse, shown};
use super::lease::{lease_from_pb, lease_to_pb};
use super::outcome::{outcome_from_pb, outcome_to_pb};
use super::time::{time_from_pb, time_to_pb};
use crate::domain::wire::Lease;
use crate::domain::{Digest, EntryKind, Error, Outcome, Packed, ResultEntry, ResultMeta, ResultRef, Timing, WorkerId};
use crate::limits::{self, RESULT_NAMES_MAX_BYTES};
use crate::rpc::pb;
use crate::rpc::pb::result_entry::Kind;

/// To the message.
pub fn info_to_pb(outcome: &Outcome, timing: Timing, packed: Packed) -> pb::ResultInfo {
    pb::ResultInfo {
        outcome: Some(outcome_to_pb(outcome)),
        started: Some(time_to_pb(timing.started)),
        ended: Some(time_to_pb(timing.ended)),
        entries: packed.entries.into_iter().map(entry_to_pb).collect(),
        digest: packed.digest.map(|digest| digest.0.to_vec().into()).unwrap_or_default(),
    }
}

/// From the message. The times are from a wall clock that may have been set back: the end may lie before the start.
///
/// # Errors
/// `Invalid` for a missing part, and as [`check_packed`].
pub fn info_from_pb(info: pb::ResultInfo) -> Result<(Outcome, Timing, Packed), Error> {
    let outcome = message("outcome", info.outcome, outcome_from_pb)?;
    let started = message("started", info.started, time_from_pb)?;
    let ended = message("ended", info.ended, time_from_pb)?;
    let entries = each("entries", info.entries, limits::RESULT_ENTRIES_MAX, entry_from_pb)?;
    let packed = Packed { entries, digest: digest_from_pb(&info.digest)? };
    check_packed(&packed)?;
    Ok((outcome, Timing { started, ended }, packed))
}

/// To the message.
pub fn receipt_to_pb(at: ResultRef) -> pb::ResultReceipt {
    pb::ResultReceipt { offset: at.offset, len: at.len }
}

/// From the message.
///
/// # Errors
/// `Invalid` for an empty range, or one that ends beyond 2⁶⁴.
pub fn receipt_from_pb(receipt: pb::ResultReceipt) -> Result<ResultRef, Error> {
    let pb::ResultReceipt { offset, len } = receipt;
    between("len", len, 1..=u64::MAX - offset)?;
    Ok(ResultRef { offset, len })
}

/// What a worker says before the bytes of a large result.
pub fn upload_header_to_pb(
    lease: Lease,
    worker: WorkerId,
    outcome: &Outcome,
    timing: Timing,
    packed: Packed,
) -> pb::upload_result_request::Header {
    let info = Some(info_to_pb(outcome, timing, packed));
    pb::upload_result_request::Header { lease: Some(lease_to_pb(lease)), worker: worker.0, info }
}

/// The lease of an uploaded result, and the description for its record.
///
/// # Errors
/// `Invalid` as [`lease_from_pb`] and [`info_from_pb`].
pub fn upload_header_from_pb(header: pb::upload_result_request::Header) -> Result<(Lease, ResultMeta), Error> {
    let lease = message("lease", header.lease, lease_from_pb)?;
    let (outcome, timing, packed) = message("info", header.info, info_from_pb)?;
    let worker = WorkerId(header.worker);
    Ok((lease, ResultMeta { no: lease.no, attempt: lease.attempt, worker, outcome, timing, packed }))
}

/// Whether the other side will take it. A worker asks before it sends, so that a result that can't be told becomes an outcome of its own.
///
/// # Errors
/// `Invalid` for too many entries, wrong order or duplicates, names that are not plain relative paths, names too long (one, or all
/// together), and lengths that can't be.
pub fn check_packed(packed: &Packed) -> Result<(), Error> {
    let entries = &packed.entries;
    at_most("entries", entries.len(), limits::RESULT_ENTRIES_MAX)?;
    for (i, entry) in entries.iter().enumerate() {
        check_entry(entry).within(format_args!("entries[{i}]"))?;
    }
    if let Some(i) = entries.iter().zip(entries.iter().skip(1)).position(|(before, after)| before.kind >= after.kind) {
        let problem = "out of order; standard output, standard error, then files by name are allowed, each once";
        return Err(refuse(format_args!("entries[{}]", i + 1), problem));
    }
    let names: usize = entries.iter().map(|entry| entry_name(entry).len()).sum();
    if names > RESULT_NAMES_MAX_BYTES {
        return Err(refuse("entries", format_args!("{names} bytes of names, at most {RESULT_NAMES_MAX_BYTES} are allowed")));
    }
    if packed.packed_len().is_none() {
        return Err(refuse("entries", "the packed lengths add up to more than 64 bits; they must not"));
    }
    Ok(())
}

fn check_entry(entry: &ResultEntry) -> Result<(), Error> {
    match &entry.kind {
        EntryKind::File(name) => check_path(name)?,
        EntryKind::Stdout | EntryKind::Stderr if entry.len == 0 => return Err(refuse("len", "0; only a file may be empty")),
        EntryKind::Stdout | EntryKind::Stderr => {}
    }
    if entry.len > 0 && entry.packed_len == 0 {
        return Err(refuse("packed_len", format_args!("0 for {} bytes; at least 1 is needed", entry.len)));
    }
    Ok(())
}

fn check_path(path: &str) -> Result<(), Error> {
    line("name", path, limits::OUTPUT_PATH_MAX_BYTES)?;
    if path.split('/').any(|component| matches!(component, "" | "." | "..")) {
        return Err(refuse(
            "name",
            format_args!("{} is not a plain relative path: no empty, `.` or `..` component is allowed", shown(path)),
        ));
    }
    Ok(())
}

fn entry_name(entry: &ResultEntry) -> &str {
    match &entry.kind {
        EntryKind::Stdout | EntryKind::Stderr => "",
        EntryKind::File(name) => name,
    }
}

fn entry_to_pb(entry: ResultEntry) -> pb::ResultEntry {
    let (kind, name) = match entry.kind {
        EntryKind::Stdout => (Kind::Stdout, String::new()),
        EntryKind::Stderr => (Kind::Stderr, String::new()),
        EntryKind::File(name) => (Kind::File, name),
    };
    pb::ResultEntry { kind: kind as i32, name, len: entry.len, packed_len: entry.packed_len, crc32: entry.crc32 }
}

fn entry_from_pb(entry: pb::ResultEntry) -> Result<ResultEntry, Error> {
    let kind = match Kind::try_from(entry.kind) {
        Ok(Kind::File) => EntryKind::File(entry.name),
        Ok(Kind::Stdout | Kind::Stderr) if !entry.name.is_empty() => {
            return Err(refuse("name", format_args!("{}; only a file has a name", shown(&entry.name))));
        }
        Ok(Kind::Stdout) => EntryKind::Stdout,
        Ok(Kind::Stderr) => EntryKind::Stderr,
        Ok(Kind::Unspecified) | Err(_) => {
            return Err(refuse("kind", format_args!("{} is unknown; stdout is 1, stderr 2, file 3", entry.kind)));
        }
    };
    Ok(ResultEntry { kind, len: entry.len, packed_len: entry.packed_len, crc32: entry.crc32 })
}

fn digest_from_pb(bytes: &[u8]) -> Result<Option<Digest>, Error> {
    match bytes {
        [] => Ok(None),
        _ => match bytes.try_into() {
            Ok(digest) => Ok(Some(Digest(digest))),
            Err(_) => Err(refuse("digest", format_args!("{} bytes; none or 32 are allowed", bytes.len()))),
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;

    use super::super::samples;
    use super::*;

    proptest! {
        #[test]
        fn an_upload_header_comes_back_as_it_was(
            lease in samples::lease(), worker: u32, outcome in samples::outcome(), timing in samples::timing(), packed in samples::packed(),
        ) {
            let worker = WorkerId(worker);
            let bytes = upload_header_to_pb(lease, worker, &outcome, timing, packed.clone()).encode_to_vec();
            let read = upload_header_from_pb(pb::upload_result_request::Header::decode(bytes.as_slice()).unwrap());
            prop_assert_eq!(read, Ok((lease, ResultMeta { no: lease.no, attempt: lease.attempt, worker, outcome, timing, packed })));
        }
    }

    fn entry(kind: Kind, name: &str) -> pb::ResultEntry {
        pb::ResultEntry { kind: kind as i32, name: name.into(), len: 1, packed_len: 8, crc32: 0 }
    }

    fn info(entries: Vec<pb::ResultEntry>) -> pb::ResultInfo {
        let info = info_to_pb(&Outcome::Exited { code: 0 }, Timing::default(), Packed::default());
        pb::ResultInfo { entries, ..info }
    }

    #[test]
    fn entries_are_refused_by_place_and_reason() {
        let order = "out of order; standard output, standard error, then files by name are allowed, each once";
        let file = |name: &str| entry(Kind::File, name);
        let plain =
            |name: &str| format!("entries[0].name: {name:?} is not a plain relative path: no empty, `.` or `..` component is allowed");
        for (entries, says) in [
            (vec![file("b"), file("a")], format!("entries[1]: {order}")),
            (vec![file("a"), file("a")], format!("entries[1]: {order}")),
            (vec![file("a"), entry(Kind::Stdout, "")], format!("entries[1]: {order}")),
            (vec![entry(Kind::Stderr, ""), entry(Kind::Stderr, "")], format!("entries[1]: {order}")),
            (vec![file("")], plain("")),
            (vec![file("/etc/passwd")], plain("/etc/passwd")),
            (vec![file("a/../b")], plain("a/../b")),
            (vec![file("./a")], plain("./a")),
            (vec![file("a//b")], plain("a//b")),
            (vec![file("a/")], plain("a/")),
            (vec![file("a\0")], r#"entries[0].name: "a\0" has a control character, none is allowed"#.into()),
            (vec![file(&"x".repeat(1025))], "entries[0].name: 1025 bytes, at most 1024 are allowed".into()),
            (vec![entry(Kind::Stdout, "x")], r#"entries[0].name: "x"; only a file has a name"#.into()),
            (vec![entry(Kind::Unspecified, "")], "entries[0].kind: 0 is unknown; stdout is 1, stderr 2, file 3".into()),
            (vec![pb::ResultEntry { len: 0, ..entry(Kind::Stdout, "") }], "entries[0].len: 0; only a file may be empty".into()),
            (vec![pb::ResultEntry { packed_len: 0, ..file("a") }], "entries[0].packed_len: 0 for 1 bytes; at least 1 is needed".into()),
            (
                vec![pb::ResultEntry { packed_len: u64::MAX, ..file("a") }, file("b")],
                "entries: the packed lengths add up to more than 64 bits; they must not".into(),
            ),
            (vec![file("a"); 10_003], "entries: 10003 items, at most 10002 are allowed".into()),
            (
                (0..3000).map(|i| file(&format!("{i:01000}"))).collect(),
                "entries: 3000000 bytes of names, at most 2097152 are allowed".into(),
            ),
        ] {
            assert_eq!(info_from_pb(info(entries)).unwrap_err().message, says);
        }
    }

    #[test]
    fn a_result_without_its_parts_is_refused() {
        let good = info(vec![]);
        assert_eq!(info_from_pb(pb::ResultInfo { outcome: None, ..good.clone() }).unwrap_err().message, "outcome: missing; it must be set");
        assert_eq!(info_from_pb(pb::ResultInfo { started: None, ..good.clone() }).unwrap_err().message, "started: missing; it must be set");
        assert_eq!(info_from_pb(pb::ResultInfo { ended: None, ..good.clone() }).unwrap_err().message, "ended: missing; it must be set");
        let short = pb::ResultInfo { digest: vec![1; 31].into(), ..good };
        assert_eq!(info_from_pb(short).unwrap_err().message, "digest: 31 bytes; none or 32 are allowed");
        let wraps = pb::ResultReceipt { offset: u64::MAX, len: 1 };
        assert!(receipt_from_pb(wraps).is_err());
    }

    #[test]
    fn the_longest_description_fits_a_message() {
        let entries = (0..limits::OUTPUT_FILES_MAX).map(|i| pb::ResultEntry {
            len: u64::MAX,
            packed_len: 1 << 49,
            crc32: u32::MAX,
            ..entry(Kind::File, &format!("{i:0209}"))
        });
        let info = info(entries.collect());
        assert!(info.encoded_len() + crate::limits::RESULT_INLINE_MAX_BYTES + 1024 < crate::limits::MESSAGE_MAX_BYTES);
        assert!(info_from_pb(info).is_ok());
    }
}
