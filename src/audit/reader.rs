//! Reads the lines of the audit, over all its files.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::domain::Error;
use crate::limits::AUDIT_LINE_MAX_BYTES;

use super::chain::{Chain, Link, numbers};
use super::mark::Mark;

/// The name of a file by its first line.
pub(super) fn file_name(first: u64) -> String {
    format!("audit-{first:020}.jsonl")
}

/// The files, by their first lines.
pub(super) fn files(dir: &Path) -> Result<Vec<(u64, PathBuf)>, Error> {
    let failed = |error: std::io::Error| Error::io(dir, &error);
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let first = name.strip_prefix("audit-").and_then(|rest| rest.strip_suffix(".jsonl")).and_then(|first| first.parse().ok());
        files.extend(first.map(|first| (first, path)));
    }
    files.sort();
    Ok(files)
}

/// Each line of a file, without its end; one that is longer than any of ours in pieces. Whether `each` wants more.
pub(super) fn lines_of(path: &Path, each: &mut dyn FnMut(&[u8]) -> bool) -> Result<bool, Error> {
    bytes_of(path, &mut |line| each(line.strip_suffix(b"\n").unwrap_or(line)))
}

/// The same, with the ends that are there.
pub(super) fn bytes_of(path: &Path, each: &mut dyn FnMut(&[u8]) -> bool) -> Result<bool, Error> {
    let failed = |error: std::io::Error| Error::io(path, &error);
    let mut file = BufReader::with_capacity(128 * 1024, File::open(path).map_err(failed)?);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = file.by_ref().take(AUDIT_LINE_MAX_BYTES as u64 + 1).read_until(b'\n', &mut line).map_err(failed)?;
        if read == 0 {
            return Ok(true);
        }
        if !each(&line) {
            return Ok(false);
        }
    }
}

/// Gives every line from number `first` on, up to `end`, to `each`, which says whether it wants more. Lines that can't be read come too.
///
/// # Errors
/// That of the disk.
pub fn read(dir: &Path, first: u64, end: Link, each: &mut dyn FnMut(&[u8]) -> bool) -> Result<(), Error> {
    let files = files(dir)?;
    let begin = files.iter().rposition(|(file, _)| *file <= first.max(1)).unwrap_or(0);
    for (_, path) in files.iter().skip(begin) {
        let goes_on = lines_of(path, &mut |line| match numbers(line) {
            // Written since, perhaps not durable yet.
            Some((seq, _)) if seq > end.seq => false,
            Some((seq, _)) if seq < first => true,
            Some(_) | None => each(line),
        })?;
        if !goes_on {
            break;
        }
    }
    Ok(())
}

/// What in a folder of an audit is not whole: nothing, where it is. `end`: where it has to end; without one, where its mark says.
///
/// # Errors
/// That of the disk.
pub fn verify(dir: &Path, end: Option<Link>) -> Result<(Chain, Vec<String>), Error> {
    let mut chain = Chain::new(1);
    let mut lost_mark = None;
    for (_, path) in files(dir)? {
        lines_of(&path, &mut |line| {
            chain.line(line);
            true
        })?;
    }
    let end = end.or_else(|| Mark::read(dir)).unwrap_or_else(|| {
        lost_mark = chain.last().map(|_| "the file `mark` is missing or damaged: whether the end is whole can't be known".to_owned());
        Link::START
    });
    let findings = chain.clone().finish(end);
    Ok((chain, findings.into_iter().chain(lost_mark).collect()))
}
