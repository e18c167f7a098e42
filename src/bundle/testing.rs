//! What the tests of this module share: sources in memory, and readers of archives that are not ours.

use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::Path;
use std::process::Command;

use super::archive::Piece;
use super::deflate::Deflater;
use super::layout::{Layout, ReadAt};

/// A source in memory.
#[derive(Default)]
pub(super) struct Bytes(pub Vec<u8>);

impl ReadAt for Bytes {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let start = offset as usize;
        buf.copy_from_slice(self.0.get(start..start + buf.len()).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

impl Bytes {
    /// Packs a content behind what is there, with a gap as between records.
    pub fn add(&mut self, content: &[u8]) -> Piece {
        self.0.extend(b"gap");
        let offset = self.0.len() as u64;
        let mut deflater = Deflater::new();
        deflater.write(content, &mut self.0).unwrap();
        let deflated = deflater.finish(&mut self.0).unwrap();
        Piece { offset, packed_len: deflated.packed_len, len: deflated.len, crc32: deflated.crc32 }
    }
}

/// A layout as a file that can be read and sought.
pub(super) struct Reader<'a> {
    pub layout: &'a Layout,
    pub source: &'a dyn ReadAt,
    pub at: u64,
}

impl Read for Reader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.layout.read_at(self.at, buf, self.source)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for Reader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.at = match to {
            SeekFrom::Start(at) => at,
            SeekFrom::End(by) => self.layout.len().checked_add_signed(by).ok_or(io::ErrorKind::InvalidInput)?,
            SeekFrom::Current(by) => self.at.checked_add_signed(by).ok_or(io::ErrorKind::InvalidInput)?,
        };
        Ok(self.at)
    }
}

pub(super) fn whole(layout: &Layout, source: &dyn ReadAt) -> Vec<u8> {
    let mut bytes = Vec::new();
    Reader { layout, source, at: 0 }.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.len() as u64, layout.len());
    bytes
}

/// Names and contents, in order, as the crate `zip` reads them; it checks the checksums.
pub(super) fn unpack(archive: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = zip::ZipArchive::new(Cursor::new(archive)).unwrap();
    let mut entries = Vec::new();
    for number in 0..archive.len() {
        let mut entry = archive.by_index(number).unwrap();
        assert_eq!(entry.unix_mode(), Some(0o100_644));
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        entries.push((entry.name().unwrap().into_owned(), content));
    }
    entries
}

/// `unzip` and Python test every entry without a word of complaint; either may be missing here.
pub(super) fn other_readers_accept(path: &Path, entries: usize) {
    let python = "import sys, zipfile; z = zipfile.ZipFile(sys.argv[1]); assert z.testzip() is None; print(len(z.namelist()))";
    accepts(Command::new("unzip").arg("-tqq").arg(path), "");
    accepts(Command::new("python3").args(["-c", python]).arg(path), &format!("{entries}\n"));
}

fn accepts(command: &mut Command, says: &str) {
    match command.output() {
        Err(error) => eprintln!("{:?} can't be asked: {error}", command.get_program()),
        Ok(output) => {
            assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
            assert_eq!(String::from_utf8_lossy(&output.stdout), says);
        }
    }
}
