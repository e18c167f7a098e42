//! What an attempt left behind becomes a description and packed bytes. Runs on the worker, with blocking I/O.
//!
//! To stop a pack that takes long, let the writer fail.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::deflate::Deflater;
use super::folder::{self, Folder};
use super::pack_error::PackError;
use crate::domain::{Digest, EntryKind, Error, Packed, ResultEntry};
use crate::limits::{self, OUTPUT_MAX_BYTES};

/// What a description takes for an entry besides its name, at most (a kind, three numbers, a checksum); and what it takes besides entries.
const ENTRY_HEADER_MAX_BYTES: usize = 40;
const OTHER_HEADER_MAX_BYTES: usize = 64 * 1024;

/// Where that lies which an attempt left. What is known to be empty need not be named.
#[derive(Clone, Copy, Debug, Default)]
pub struct Left<'p> {
    /// The captured standard output; the file may be missing.
    pub stdout: Option<&'p Path>,
    /// The captured standard error; the file may be missing.
    pub stderr: Option<&'p Path>,
    /// The output folder.
    pub output: Option<&'p Path>,
    /// The user whose files these are, if that is not this process's: what is somebody else's, a hard link say, is not the task's to give away.
    pub owner: Option<u32>,
}

/// What it takes to pack, made when it is first needed (some hundred kilobytes) and kept from one attempt to the next. It does not show in
/// the packed bytes.
#[derive(Default)]
pub struct Press {
    /// None while it is in use, and after a failure in the midst of a content.
    deflater: Option<Deflater>,
    buffer: Vec<u8>,
}

/// Packs the standard output, the last [`limits::STDERR_KEPT_BYTES`] of the standard error, and every regular file below the output folder,
/// and writes the packed bytes one behind the other. A symbolic link to a file of the folder is packed as its content; what is left out
/// stands behind the standard error, with the reason.
///
/// The same contents give the same bytes and the same digest. The digest is a SHA-256 over, for standard output (its name is empty here)
/// and each file in order: the name's length (u32), the name, the content's length (u64), the content; numbers little endian.
///
/// # Errors
/// [`PackError::Bad`] if the output folder is missing or can't be read, or holds more than [`limits::OUTPUT_FILES_MAX`] files, a path over
/// 1024 bytes, folders nested deeper than 64, or more than 64 GiB in all; [`PackError::Io`] if this machine failed, or the writer did.
/// What was written by then is of no use.
pub fn pack(left: &Left<'_>, press: &mut Press, to: &mut impl Write) -> Result<Packed, PackError> {
    let folder = left.output.map(|output| Folder::list(output, left.owner)).transpose()?;
    let mut packer = Packer::new(press, to);
    packer.streams(left, folder.as_ref().map(|folder| folder.left_out.as_slice()).unwrap_or_default())?;
    if let Some(folder) = &folder {
        for found in &folder.files {
            let (file, len) = folder.open(found)?;
            packer.content(EntryKind::File(found.name.clone()), file, len)?;
        }
    }
    Ok(packer.finish())
}

/// The same without the files, which can't be a result, or which there is no room for: behind the standard error stands why.
///
/// # Errors
/// As for [`pack`].
pub fn pack_streams(left: &Left<'_>, why: &str, press: &mut Press, to: &mut impl Write) -> Result<Packed, PackError> {
    let mut packer = Packer::new(press, to);
    packer.streams(left, &[format!("all files: {why}")])?;
    Ok(packer.finish())
}

/// The lines that are added to the standard error of a task that left what is no result.
fn said_of(left_out: &[String]) -> String {
    let mut lines: String =
        left_out.iter().take(limits::LEFT_OUT_NAMED_MAX).map(|line| format!("millpond: left out of the result: {line}\n")).collect();
    if left_out.len() > limits::LEFT_OUT_NAMED_MAX {
        lines += &format!("millpond: left out of the result: {} more\n", left_out.len() - limits::LEFT_OUT_NAMED_MAX);
    }
    lines
}

struct Packer<'w, W> {
    press: &'w mut Press,
    to: &'w mut W,
    digest: Sha256,
    entries: Vec<ResultEntry>,
    total: u64,
    header: usize,
}

impl<'w, W: Write> Packer<'w, W> {
    fn new(press: &'w mut Press, to: &'w mut W) -> Self {
        Self { press, to, digest: Sha256::new(), entries: Vec::new(), total: 0, header: OTHER_HEADER_MAX_BYTES }
    }

    /// Packs the captured streams, and behind them what is said of what was left out.
    fn streams(&mut self, left: &Left<'_>, left_out: &[String]) -> Result<(), PackError> {
        let open = |path: Option<&Path>, name| path.map_or(Ok(None), |path| folder::open_stream(path, name, left.owner));
        if let Some((file, len)) = open(left.stdout, "standard output")?.filter(|(_, len)| *len > 0) {
            self.content(EntryKind::Stdout, file, len)?;
        }
        self.stderr(open(left.stderr, "standard error")?, &said_of(left_out))
    }

    /// Packs the end of a task's standard error, if there is one, and behind it what is to be said.
    fn stderr(&mut self, captured: Option<(File, u64)>, said: &str) -> Result<(), PackError> {
        let kind = EntryKind::Stderr;
        let Some((mut file, len)) = captured else {
            return if said.is_empty() { Ok(()) } else { self.content(kind, said.as_bytes(), said.len() as u64) };
        };
        let kept = len.min(limits::STDERR_KEPT_BYTES.saturating_sub(said.len()) as u64);
        if kept == 0 && said.is_empty() {
            return Ok(());
        }
        file.seek(SeekFrom::Start(len - kept)).map_err(|error| Error::io(label(&kind), &error))?;
        self.content(kind, file.take(kept).chain(said.as_bytes()), kept + said.len() as u64)
    }

    /// Packs the next `len` bytes of a file. More may have come since it was opened: they don't count. Fewer is an error.
    fn content(&mut self, kind: EntryKind, mut file: impl Read, len: u64) -> Result<(), PackError> {
        self.announce(&kind, len)?;
        let is_hashed = kind != EntryKind::Stderr;
        let mut deflater = self.press.deflater.take().unwrap_or_else(Deflater::new);
        if self.press.buffer.is_empty() {
            self.press.buffer = vec![0; limits::DEFLATE_BLOCK_BYTES];
        }
        let mut left = len;
        while left > 0 {
            let room = self.press.buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let buffer = self.press.buffer.get_mut(..room).unwrap_or_default();
            let read = read_some(&mut file, buffer).map_err(|error| Error::io(label(&kind), &error))?;
            let bytes = buffer.get(..read).unwrap_or_default();
            if bytes.is_empty() {
                return Err(PackError::bad(format!("{} shrank while it was read", label(&kind))));
            }
            if is_hashed {
                self.digest.update(bytes);
            }
            deflater.write(bytes, self.to).map_err(|error| Error::io("packed result", &error))?;
            left -= bytes.len() as u64;
        }
        let deflated = deflater.finish(self.to).map_err(|error| Error::io("packed result", &error))?;
        self.press.deflater = Some(deflater);
        self.entries.push(ResultEntry { kind, len: deflated.len, packed_len: deflated.packed_len, crc32: deflated.crc32 });
        Ok(())
    }

    /// Checks an entry against the limits, and begins its part of the digest.
    fn announce(&mut self, kind: &EntryKind, len: u64) -> Result<(), PackError> {
        let name = if let EntryKind::File(name) = kind { name.as_str() } else { "" };
        self.total = self.total.saturating_add(len);
        if self.total > OUTPUT_MAX_BYTES {
            return Err(PackError::bad(format!("it left more than {OUTPUT_MAX_BYTES} bytes")));
        }
        self.header += name.len() + ENTRY_HEADER_MAX_BYTES;
        if self.header > limits::RESULT_HEADER_MAX_BYTES {
            return Err(PackError::bad(format!("the names of its files take more than {} bytes", limits::RESULT_HEADER_MAX_BYTES)));
        }
        if *kind != EntryKind::Stderr {
            self.digest.update((name.len() as u32).to_le_bytes());
            self.digest.update(name.as_bytes());
            self.digest.update(len.to_le_bytes());
        }
        Ok(())
    }

    fn finish(self) -> Packed {
        Packed { entries: self.entries, digest: Some(Digest(self.digest.finalize().into())) }
    }
}

fn label(kind: &EntryKind) -> &str {
    match kind {
        EntryKind::Stdout => "standard output",
        EntryKind::Stderr => "standard error",
        EntryKind::File(name) => name,
    }
}

fn read_some(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match file.read(buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

#[cfg(test)]
mod tests;
