//! Contents that are too large for memory and no results: packed into a file that the layout keeps open.
//!
//! Several can be written at once into the one file; each remembers its own ranges.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

use sha2::{Digest as _, Sha256};

use super::deflate::{Deflated, Deflater};
use crate::limits;

/// What a writer holds back before it appends to the file.
const HELD_BYTES: usize = 4 * limits::DEFLATE_BLOCK_BYTES;

/// The file. It should be empty, and need not have a name.
#[derive(Debug)]
pub struct Spool {
    file: File,
    end: Cell<u64>,
}

impl Spool {
    /// Takes a file over; what it holds is overwritten.
    pub fn new(file: File) -> Self {
        Self { file, end: Cell::new(0) }
    }

    /// Begins a content.
    pub fn writer(&self) -> SpoolWriter<'_> {
        SpoolWriter { spool: self, deflater: Deflater::new(), held: Vec::new(), digest: Sha256::new(), ranges: Vec::new() }
    }

    /// The file, for the layout to read from.
    pub fn into_file(self) -> File {
        self.file
    }

    fn append(&self, bytes: &[u8]) -> io::Result<u64> {
        let at = self.end.get();
        self.file.write_all_at(bytes, at)?;
        self.end.set(at + bytes.len() as u64);
        Ok(at)
    }
}

/// A content in a spool file.
#[derive(Clone, Debug)]
pub struct Spooled {
    /// Offset and length in the file, in order.
    pub(super) ranges: Vec<(u64, u64)>,
    pub(super) content: Deflated,
    /// Over the unpacked bytes.
    pub(super) digest: [u8; 32],
}

/// Packs what is written to it.
pub struct SpoolWriter<'s> {
    spool: &'s Spool,
    deflater: Deflater,
    held: Vec<u8>,
    digest: Sha256,
    ranges: Vec<(u64, u64)>,
}

impl SpoolWriter<'_> {
    /// Ends the content.
    ///
    /// # Errors
    /// Those of the file.
    pub fn finish(mut self) -> io::Result<Spooled> {
        let content = self.deflater.finish(&mut self.held)?;
        self.let_go()?;
        Ok(Spooled { ranges: self.ranges, content, digest: self.digest.finalize().into() })
    }

    fn let_go(&mut self) -> io::Result<()> {
        if self.held.is_empty() {
            return Ok(());
        }
        let (at, len) = (self.spool.append(&self.held)?, self.held.len() as u64);
        match self.ranges.last_mut() {
            Some((start, before)) if *start + *before == at => *before += len,
            _ => self.ranges.push((at, len)),
        }
        self.held.clear();
        Ok(())
    }
}

impl Write for SpoolWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.digest.update(bytes);
        self.deflater.write(bytes, &mut self.held)?;
        if self.held.len() >= HELD_BYTES {
            self.let_go()?;
        }
        Ok(bytes.len())
    }

    /// Does nothing: only a finished content can be read.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
