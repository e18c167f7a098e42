//! A zip archive's files. Crate `zip` reads it; nothing of it is ever extracted to where its names lead.
//!
//! Its directory stands at its end and is held in memory, so it has a limit. A file that has not the length that the directory states is
//! refused as soon as it has more: what a bomb makes is known before it is made.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use super::canonical::{Member, Sink, sorted, tar_len, write_end, write_file};
use crate::domain::Error;
use crate::limits::{ARCHIVE_FILE_MAX_BYTES, PIECE_BYTES, ZIP_DIRECTORY_MAX_BYTES};
use crate::split::member::{MemberPath, shown};

/// What may be read besides the directory to find it: its end is looked for backwards, behind a comment of up to 64 KiB.
const SEARCH_BYTES: u64 = 1 << 20;
/// The kind of a file in a Unix mode, and of a regular one.
const MODE_KIND: u32 = 0o170_000;
const MODE_FILE: u32 = 0o100_000;
const MODE_LINK: u32 = 0o120_000;

/// The files of a zip archive, by name.
#[derive(Debug)]
pub struct Zipped {
    archive: ZipArchive<BufReader<Metered>>,
    /// From which entry.
    files: Vec<Member<usize>>,
}

impl Zipped {
    /// Reads the directory.
    pub(super) fn open(file: File) -> Result<Self, Error> {
        let left = Arc::new(AtomicU64::new(ZIP_DIRECTORY_MAX_BYTES + SEARCH_BYTES));
        let archive =
            ZipArchive::new(BufReader::new(Metered { file, left: left.clone() })).map_err(|error| match left.load(Ordering::Relaxed) {
                0 => Error::exhausted(format!(
                    "the zip archive's directory is larger than {ZIP_DIRECTORY_MAX_BYTES} bytes (ZIP_DIRECTORY_MAX_BYTES), or has no end: \
                 unpack it and give the folder, or a tar"
                )),
                _ => damaged(&error),
            })?;
        left.store(u64::MAX, Ordering::Relaxed);
        if archive.has_duplicate_names() {
            let name = duplicate(archive).unwrap_or_default();
            return Err(Error::invalid(format!("`{}` is there twice: which of them is meant?", shown(&name))));
        }
        let mut files = Vec::with_capacity(archive.len());
        for index in 0..archive.len() {
            let entry = archive.by_index_data(index).map_err(|error| damaged(&error))?;
            let refuse = |fault: &str| Error::invalid(format!("`{}` {fault}", shown(entry.name_raw())));
            let kind = entry.unix_mode().unwrap_or_default() & MODE_KIND;
            if entry.name_raw().ends_with(b"/") {
                continue;
            }
            match kind {
                0 | MODE_FILE => {}
                MODE_LINK => return Err(refuse("is a symbolic link, and only files and folders are taken: make the zip without `-y`")),
                _ => return Err(refuse("is neither a file nor a folder: leave it out")),
            }
            if entry.encrypted() {
                return Err(refuse("is encrypted: give the archive without a password"));
            }
            if !matches!(entry.compression(), CompressionMethod::Stored | CompressionMethod::Deflated) {
                return Err(refuse(&format!("is compressed by {}: only deflate is taken", entry.compression())));
            }
            if entry.size() > ARCHIVE_FILE_MAX_BYTES {
                return Err(refuse("is said to be larger than 1 TiB (ARCHIVE_FILE_MAX_BYTES)"));
            }
            let path = MemberPath::new(entry.name_raw()).map_err(|fault| refuse(&fault))?;
            files.push(Member { path, len: entry.size(), from: index });
        }
        Ok(Self { archive, files: sorted(files)? })
    }

    pub(super) fn tar_len(&self) -> u64 {
        tar_len(&self.files)
    }

    pub(super) fn write(&mut self, sink: Sink<'_>) -> Result<(), Error> {
        let mut buffer = vec![0; PIECE_BYTES];
        for member in &self.files {
            let about = |error: &dyn std::fmt::Display| {
                Error::invalid(format!("`{}` is damaged in the zip archive: {error}: get or make it again", shown(member.path.as_bytes())))
            };
            let mut data = self.archive.by_index(member.from).map_err(|error| about(&error))?;
            write_file(member, "is damaged in the zip archive: get or make it again", sink, |sink| {
                loop {
                    // Its checksum is compared at its end.
                    let len = data.read(&mut buffer).map_err(|error| about(&error))?;
                    if len == 0 {
                        return Ok(());
                    }
                    sink(&buffer[..len])?;
                }
            })?;
        }
        write_end(sink)
    }
}

fn damaged(error: &ZipError) -> Error {
    Error::invalid(format!("the zip archive is damaged: {}: get or make it again", error.to_string().to_lowercase().trim_end_matches('.')))
}

/// The name that is there twice: the library has kept only one of them, so the directory is read once more.
fn duplicate(archive: ZipArchive<BufReader<Metered>>) -> Option<Vec<u8>> {
    let start = archive.central_directory_start();
    let mut directory = archive.into_inner();
    directory.seek(SeekFrom::Start(start)).ok()?;
    let mut names = BTreeSet::new();
    loop {
        let mut header = [0; 46];
        directory.read_exact(&mut header).ok()?;
        let len_at = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
        let mut name = vec![0; len_at(28).into()];
        directory.read_exact(&mut name).ok()?;
        directory.seek_relative(i64::from(len_at(30)) + i64::from(len_at(32))).ok()?;
        if !header.starts_with(b"PK\x01\x02") || names.contains(&name) {
            return Some(name);
        }
        names.insert(name);
    }
}

/// A file of which, until it is told otherwise, only so much is read.
#[derive(Debug)]
struct Metered {
    file: File,
    left: Arc<AtomicU64>,
}

impl Read for Metered {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.left.load(Ordering::Relaxed);
        let max = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        if max == 0 && !buffer.is_empty() {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        let len = self.file.read(&mut buffer[..max])?;
        if left < u64::MAX {
            self.left.store(left - len as u64, Ordering::Relaxed);
        }
        Ok(len)
    }
}

impl Seek for Metered {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}
