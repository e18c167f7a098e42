//! A folder or a zip archive, as the tar that it is stored as.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::canonical::Sink;
use super::folder::Folder;
use super::zipped::Zipped;
use crate::domain::Error;

/// Something that is stored as a tar. It was looked through when it was opened: what is refused of it is known by then, but for damaged data.
#[derive(Debug)]
pub enum Archive {
    /// A folder's files.
    Folder(Folder),
    /// A zip archive's.
    Zip(Zipped),
}

impl Archive {
    /// What lies at a path, if it is a folder or a zip archive.
    ///
    /// # Errors
    /// `NotFound`; `Invalid`, with the name of what can't be taken; `Exhausted` for too much of it.
    pub fn open(path: &Path) -> Result<Option<Self>, Error> {
        let failed = |error| Error::io(path, &error);
        let file = File::open(path).map_err(failed)?;
        if file.metadata().map_err(failed)?.is_dir() {
            return Folder::scan(path).map(Self::Folder).map(Some);
        }
        let mut head = [0; 4];
        let len = file.read_at(&mut head, 0).map_err(failed)?;
        if is_zip(&head[..len]) { Zipped::open(file).map(Self::Zip).map(Some) } else { Ok(None) }
    }

    /// The tar's length in bytes.
    pub fn tar_len(&self) -> u64 {
        match self {
            Self::Folder(folder) => folder.tar_len(),
            Self::Zip(zip) => zip.tar_len(),
        }
    }

    /// Gives the tar to `sink`, the same each time.
    ///
    /// # Errors
    /// `Invalid` for a file that has changed, or is damaged; what the sink says.
    pub fn write(&mut self, sink: Sink<'_>) -> Result<(), Error> {
        match self {
            Self::Folder(folder) => folder.write(sink),
            Self::Zip(zip) => zip.write(sink),
        }
    }
}

/// Whether a file that begins like this is a zip archive; the second is an empty one's.
pub fn is_zip(head: &[u8]) -> bool {
    head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06")
}
