//! The files of a chunk, on a worker: out of a part of a tar into a folder.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::domain::{Error, ErrorKind};
use crate::limits::PIECE_BYTES;
use crate::split::member::MemberPath;
use crate::split::tar::{Fault, TarReader, Visitor};

/// Where files go in the folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layout {
    /// One file, by its own name alone. In a name that is not UTF-8 the bytes that are not become `_`, since it has to stand in a command.
    OneFile,
    /// Any number, each by its path in the archive.
    Tree,
}

/// Unpacks a part of a tar into `folder`, which is empty: how many bytes that made, and the path of the last file.
///
/// The files can only be read. Nothing is written outside the folder, whatever the names are, and nothing is written over: where the file
/// system takes two names for one, the second file is an error.
///
/// # Errors
/// `Corrupt` for what is no tar; those of the file system.
pub fn unpack_files(part: &Path, folder: &Path, layout: Layout) -> Result<(u64, PathBuf), Error> {
    let mut tar = File::open(part).map_err(|error| Error::io(part, &error))?;
    let (mut reader, mut buffer) = (TarReader::default(), vec![0; PIECE_BYTES]);
    let mut writer = Writer { folder, layout, open: None, made: 0, last: folder.to_owned(), failed: None };
    loop {
        let len = tar.read(&mut buffer).map_err(|error| Error::io(part, &error))?;
        if len == 0 {
            reader.finish(&writer)?;
            return Ok((writer.made, writer.last));
        }
        let fed = reader.feed(&buffer[..len], &mut writer);
        // What the file system said, and not what the reader makes of it.
        fed.map_err(|error| writer.failed.take().unwrap_or(error))?;
    }
}

struct Writer<'a> {
    folder: &'a Path,
    layout: Layout,
    open: Option<File>,
    made: u64,
    last: PathBuf,
    failed: Option<Error>,
}

impl Writer<'_> {
    fn create(&mut self, path: &MemberPath) -> Result<(), Error> {
        let to = match self.layout {
            Layout::OneFile => self.folder.join(base_name(path)),
            Layout::Tree => self.folder.join(std::ffi::OsStr::from_bytes(path.as_bytes())),
        };
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent).map_err(|error| Error::io(parent, &error))?;
        }
        let file = File::options().write(true).create_new(true).mode(0o444).open(&to).map_err(|error| Error::io(&to, &error))?;
        (self.open, self.last) = (Some(file), to);
        Ok(())
    }
}

/// With one `_` for each byte that is not UTF-8, so that it is not longer than it was.
fn base_name(path: &MemberPath) -> String {
    path.base_name().utf8_chunks().map(|chunk| chunk.valid().to_owned() + &"_".repeat(chunk.invalid().len())).collect()
}

impl Visitor for Writer<'_> {
    fn file(&mut self, path: MemberPath, _: u64) -> Result<(), Fault> {
        self.create(&path).map_err(|error| self.failed.insert(error).message.clone())
    }

    fn data(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.made += bytes.len() as u64;
        let Some(file) = &mut self.open else { return Err(Error::internal("data of no file: this is a mistake in Millpond")) };
        file.write_all(bytes).map_err(|error| Error::io(&self.last, &error))
    }

    fn end(&mut self, _: u64) -> Result<(), Error> {
        self.open = None;
        Ok(())
    }

    fn refuse(&self, _: u64, fault: Fault) -> Error {
        Error { kind: ErrorKind::Corrupt, message: fault }
    }
}
