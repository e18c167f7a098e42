//! Reads the lines of the audit, over all its files.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::domain::Error;
use crate::limits::AUDIT_LINE_MAX_BYTES;

use super::chain::{Chain, Link, numbers};
use super::mark::Mark;

/// Where a line is looked for that is so near is read from there on.
const SEARCHED_BYTES: u64 = 4 * AUDIT_LINE_MAX_BYTES as u64;

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
    bytes_from(path, 0, each)
}

/// The same, from a line's beginning on, by its byte.
fn bytes_from(path: &Path, begin: u64, each: &mut dyn FnMut(&[u8]) -> bool) -> Result<bool, Error> {
    let failed = |error: std::io::Error| Error::io(path, &error);
    let mut file = File::open(path).map_err(failed)?;
    file.seek(SeekFrom::Start(begin)).map_err(failed)?;
    let mut file = BufReader::with_capacity(128 * 1024, file);
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

/// Where in a file a line begins that is not behind number `first`, and not far before it: the numbers of lines grow.
pub(super) fn not_behind(path: &Path, first: u64) -> Result<u64, Error> {
    let failed = |error: std::io::Error| Error::io(path, &error);
    let file = File::open(path).map_err(failed)?;
    let (mut low, mut high) = (0, file.metadata().map_err(failed)?.len());
    while high - low > SEARCHED_BYTES {
        let middle = low + (high - low) / 2;
        // What can't be read is nowhere before it.
        match line_behind(&file, middle).map_err(failed)? {
            Some((begin, line)) if numbers(&line).is_some_and(|(seq, _)| seq < first) => low = begin,
            Some(_) | None => high = middle,
        }
    }
    Ok(low)
}

/// The first line that begins behind a byte, and where; none if none ends within what two of the longest take.
fn line_behind(file: &File, at: u64) -> std::io::Result<Option<(u64, Vec<u8>)>> {
    let mut bytes = vec![0; 2 * AUDIT_LINE_MAX_BYTES];
    let read = file.read_at(&mut bytes, at)?;
    let mut lines = bytes.get(..read).unwrap_or_default().split(|byte| *byte == b'\n');
    let (Some(cut), Some(line), Some(_)) = (lines.next(), lines.next(), lines.next()) else { return Ok(None) };
    Ok(Some((at + cut.len() as u64 + 1, line.to_vec())))
}

/// Gives every line from number `first` on, up to `end`, to `each`, which says whether it wants more. Lines that can't be read come too.
///
/// # Errors
/// That of the disk.
pub fn read(dir: &Path, first: u64, end: Link, each: &mut dyn FnMut(&[u8]) -> bool) -> Result<(), Error> {
    let files = files(dir)?;
    let begin = files.iter().rposition(|(file, _)| *file <= first.max(1)).unwrap_or(0);
    if first > end.seq {
        return Ok(());
    }
    for (at, (_, path)) in files.iter().enumerate().skip(begin) {
        let from = if at == begin { not_behind(path, first)? } else { 0 };
        let goes_on = bytes_from(path, from, &mut |line| {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            match numbers(line) {
                // Written since, perhaps not durable yet.
                Some((seq, _)) if seq > end.seq => false,
                Some((seq, _)) if seq < first => true,
                Some(_) | None => each(line),
            }
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
