//! A copy of the audit, for a backup: from its first line to one that is durable, byte by byte, while the audit goes on.

use std::fs::{DirBuilder, File};
use std::io::{BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use crate::domain::Error;
use crate::limits::AUDIT_LINE_MAX_BYTES;

use super::chain::{Link, numbers};
use super::mark::Mark;
use super::reader::{bytes_of, file_name, files};

/// How long the files of an audit are, in bytes.
///
/// # Errors
/// That of the disk.
pub fn len(dir: &Path) -> Result<u64, Error> {
    let len = |(_, path)| std::fs::metadata(&path).map(|file| file.len()).map_err(|error| Error::io(&path, &error));
    files(dir)?.into_iter().map(len).sum()
}

/// Makes `to`, which must not exist, an audit with the lines of `from` up to `end`, durably. Who opens it goes on with the same chain; what is not
/// whole in it is copied as it is, and found there as well.
///
/// # Errors
/// That of the disk.
pub fn copy(from: &Path, end: Link, to: &Path) -> Result<(), Error> {
    let failed = |error: std::io::Error| Error::io(to, &error);
    DirBuilder::new().mode(0o700).create(to).map_err(failed)?;
    for (first, path) in files(from)? {
        if first > end.seq {
            break;
        }
        let copy = to.join(file_name(first));
        let failed = |error: std::io::Error| Error::io(&copy, &error);
        let file = File::options().create_new(true).write(true).mode(0o600).open(&copy).map_err(failed)?;
        let (mut out, mut written) = (BufWriter::new(file), Ok(()));
        bytes_of(&path, &mut |line| {
            // Being written just now: it has no end yet, or is not durable.
            let (text, is_cut) = line.strip_suffix(b"\n").map_or((line, line.len() <= AUDIT_LINE_MAX_BYTES), |text| (text, false));
            let is_ours = !is_cut && numbers(text).is_none_or(|(seq, _)| seq <= end.seq);
            if is_ours {
                written = out.write_all(line);
            }
            is_ours && written.is_ok()
        })?;
        let done = written.and_then(|()| out.into_inner().map_err(std::io::IntoInnerError::into_error)).and_then(|file| file.sync_all());
        done.map_err(failed)?;
    }
    Mark::open(to)?.put(end)?;
    File::open(to).and_then(|dir| dir.sync_all()).map_err(failed)
}
