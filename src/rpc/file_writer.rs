//! A file that is written by a thread of its own, while more comes in.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::domain::Error;

/// Pieces that wait for the disk.
const QUEUE_PIECES: usize = 8;

/// See the module.
pub(super) struct FileWriter {
    pieces: mpsc::Sender<Bytes>,
    work: JoinHandle<Result<(), Error>>,
}

impl FileWriter {
    /// A new file, or an empty one instead of what is there.
    pub fn create(path: &Path) -> Result<Self, Error> {
        let file = File::create(path).map_err(|error| Error::io(path, &error))?;
        let (pieces, queue) = mpsc::channel(QUEUE_PIECES);
        let path = path.to_owned();
        Ok(Self { pieces, work: tokio::task::spawn_blocking(move || write(file, &path, queue)) })
    }

    /// Adds bytes. Whether it goes on; else [`Self::finish`] says why not.
    pub async fn write(&self, piece: Bytes) -> bool {
        self.pieces.send(piece).await.is_ok()
    }

    /// Returns once all of it is on the disk.
    pub async fn finish(self) -> Result<(), Error> {
        drop(self.pieces);
        self.work.await.unwrap_or_else(|_| Err(Error::internal("writing a file broke off: this is a mistake in Millpond")))
    }
}

fn write(mut file: File, path: &PathBuf, mut queue: mpsc::Receiver<Bytes>) -> Result<(), Error> {
    let failed = |error: std::io::Error| Error::io(path, &error);
    while let Some(piece) = queue.blocking_recv() {
        file.write_all(&piece).map_err(failed)?;
    }
    file.sync_all().map_err(failed)
}
