//! Whether a file has anything to sync, for many writers and many who wait.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::domain::Error;

/// Counts finished writes, and how many of them are durable. A sync covers every write that had finished when it began.
#[derive(Debug, Default)]
pub(super) struct SyncMark {
    written: AtomicU64,
    synced: Mutex<Synced>,
}

/// How many writes are durable, or why no more ever will be.
#[derive(Debug)]
struct Synced(Result<u64, Error>);

impl Default for Synced {
    fn default() -> Self {
        Self(Ok(0))
    }
}

impl SyncMark {
    /// Says that a write has finished.
    pub fn written(&self) {
        self.written.fetch_add(1, Ordering::SeqCst);
    }

    /// Makes every write that had finished before this call durable. Does nothing if they are; waits for another thread's sync that may cover them.
    ///
    /// A failed sync fails for good: the kernel may have dropped the pages, and a second try would find nothing to do.
    pub fn sync(&self, file: &File, path: &Path) -> Result<(), Error> {
        let wanted = self.written.load(Ordering::SeqCst);
        let mut synced = self.synced.lock().unwrap_or_else(PoisonError::into_inner);
        if synced.0.clone()? >= wanted {
            return Ok(());
        }
        // Read before the sync: what is written meanwhile may not be covered.
        let covered = self.written.load(Ordering::SeqCst);
        synced.0 =
            file.sync_data().map(|()| covered).map_err(|error| Error::io(path, &error).context("a sync failed: start the head again"));
        synced.0.clone().map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_sync_fails_for_good() {
        let (_reader, writer) = std::io::pipe().unwrap();
        let pipe = File::from(std::os::fd::OwnedFd::from(writer));
        let file = tempfile::tempfile().unwrap();
        let mark = SyncMark::default();
        let path = Path::new("pipe");
        mark.sync(&pipe, path).unwrap();
        mark.written();
        assert!(mark.sync(&pipe, path).is_err());
        assert!(mark.sync(&file, path).is_err());
    }

    #[test]
    fn only_what_was_written_is_synced() {
        let (_reader, writer) = std::io::pipe().unwrap();
        let pipe = File::from(std::os::fd::OwnedFd::from(writer));
        let file = tempfile::tempfile().unwrap();
        let mark = SyncMark::default();
        mark.written();
        mark.sync(&file, Path::new("file")).unwrap();
        // A pipe can't be synced: nothing was tried.
        mark.sync(&pipe, Path::new("pipe")).unwrap();
    }
}
