//! A small file of a worker's own: who it is, which epoch it has obeyed.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::domain::Error;
use crate::failpoint;

/// Writes it durably, whole or not at all.
pub(super) fn write(path: &Path, text: &str) -> Result<(), Error> {
    let io = |error: io::Error| Error::io(path, &error);
    let temp = path.with_extension("new");
    // For this user alone, whatever is to be kept from tasks.
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&temp).map_err(io)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io)?;
    failpoint::hit("worker.before_rename");
    fs::rename(&temp, path).map_err(io)?;
    let folder = path.parent().map(File::open).transpose().map_err(io)?;
    folder.map_or(Ok(()), |folder| folder.sync_all()).map_err(io)
}
