//! A task's standard input, output and error: opened by path, watched for their size.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Stdio;

use rustix::fs::OFlags;

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
    /// Creates or truncates both files; an error is one line.
    pub fn open(start: &Start) -> Result<Self, String> {
        let stdout = Output::open("standard output", &start.stdout, start.stdout_max_bytes)?;
        let stderr = Output::open("standard error", &start.stderr, start.stderr_max_bytes)?;
        Ok(Self { outputs: [stdout, stderr] })
    }

    /// Standard output and error for a process.
    pub fn handles(&self) -> io::Result<[Stdio; 2]> {
        let [stdout, stderr] = &self.outputs;
        Ok([stdout.file.try_clone()?.into(), stderr.file.try_clone()?.into()])
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
    fn open(what: &'static str, path: &Path, max_bytes: u64) -> Result<Self, String> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600).custom_flags(OFlags::NOFOLLOW.bits() as i32);
        let file = options.open(path).map_err(|error| format!("{what} {}: {}", path.display(), plain(&error)))?;
        Ok(Self { what, file, max_bytes })
    }
}

/// Standard input for a process; an error is one line.
pub(super) fn open_input(path: Option<&Path>) -> Result<Stdio, String> {
    let Some(path) = path else { return Ok(Stdio::null()) };
    let file = File::open(path).map_err(|error| format!("standard input {}: {}", path.display(), plain(&error)))?;
    Ok(file.into())
}

/// An I/O error without its number, in lowercase.
pub(super) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}
