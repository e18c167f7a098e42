//! A task's standard input, output and error: opened by path, watched for their size.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{Gid, OFlags, Uid, fchown};

use super::protocol::Start;

/// The files that a running task writes to, held open so that their size can be asked whatever becomes of their names.
pub(super) struct Capture {
    outputs: [Output; 2],
}

struct Output {
    what: &'static str,
    file: File,
    max_bytes: u64,
}

impl Capture {
    /// Creates or empties both files; an error is one line.
    pub fn open(start: &Start) -> Result<Self, String> {
        let stdout = Output::open("standard output", &start.stdout, start.stdout_max_bytes, start.owner)?;
        let stderr = Output::open("standard error", &start.stderr, start.stderr_max_bytes, start.owner)?;
        Ok(Self { outputs: [stdout, stderr] })
    }

    /// Standard output and error for a process, as long as this lives.
    pub fn descriptors(&self) -> [RawFd; 2] {
        self.outputs.each_ref().map(|output| output.file.as_raw_fd())
    }

    /// Which of them is too large, in one line.
    pub fn exceeded(&self) -> Option<String> {
        self.outputs.iter().find_map(|output| {
            // A file that was open a moment ago always has a size.
            let len = output.file.metadata().map_or(0, |meta| meta.len());
            (len > output.max_bytes)
                .then(|| format!("{} is larger than {} bytes: let it write to a file in {{output}}", output.what, output.max_bytes))
        })
    }
}

impl Output {
    /// Not through a symbolic link: the name stands in a folder that tasks can write to. Not appending: some programs seek in their output.
    /// Cut only if there is something: even to cut off nothing changes the file, and some file systems then bring it to the disk when it is closed.
    fn open(what: &'static str, path: &Path, max_bytes: u64, owner: Option<u32>) -> Result<Self, String> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600).custom_flags(OFlags::NOFOLLOW.bits() as i32);
        let opened = options.open(path).and_then(|file| if file.metadata()?.len() > 0 { file.set_len(0).map(|()| file) } else { Ok(file) });
        let opened = opened.and_then(|file| give(&file, owner).map(|()| file));
        let file = opened.map_err(|error| format!("{what} {}: {}", path.display(), plain(&error)))?;
        Ok(Self { what, file, max_bytes })
    }
}

/// A file that nobody else has a name for, to the slot's user, where the launcher has another one.
fn give(file: &File, owner: Option<u32>) -> io::Result<()> {
    let Some(owner) = owner else { return Ok(()) };
    let meta = file.metadata()?;
    if !meta.is_file() || meta.nlink() != 1 {
        return Err(io::Error::other("it is no file of this task alone"));
    }
    Ok(fchown(file, Some(Uid::from_raw(owner)), Some(Gid::from_raw(owner)))?)
}

/// Standard input for a process; an error is one line.
pub(super) fn open_input(path: &Path) -> Result<File, String> {
    File::open(path).map_err(|error| format!("standard input {}: {}", path.display(), plain(&error)))
}

/// An I/O error without its number, in lowercase.
pub(super) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}
