//! One head, or worker, per folder.

use std::fs::{File, OpenOptions};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use crate::domain::Error;

/// Holds `lock` in a data folder until it is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Takes the lock of `folder`, which must exist. `Conflict` while another process holds it.
    pub fn take(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(|error| Error::io(&path, &error))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { _file: file }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::conflict(format!(
                "folder {} is in use by another head or worker: stop that one, or choose another folder",
                folder.display()
            ))),
            Err(error) => Err(Error::io(&path, &error.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ErrorKind;

    #[test]
    fn a_folder_has_one_holder_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let lock = FolderLock::take(folder.path()).unwrap();
        let refused = FolderLock::take(folder.path()).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Conflict);
        assert!(refused.message.contains("is in use by another head or worker"));
        drop(lock);
        FolderLock::take(folder.path()).unwrap();
    }
}
