//! How far the journal was durable, noted in a file beside it.
//!
//! sled cuts its log off at the first damaged message, and goes on as if nothing had ever stood behind it: acknowledged batches, or all of them,
//! would be gone without a word. So what the store has called durable is noted outside of sled as well.
//!
//! ```text
//! one frame of `codec/`: epoch u64 │ last batch u64, little-endian
//! ```
//! Written after each commit and synced once per epoch only: after a loss of power it may say less than was durable, never more.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::ledger::Ledger;
use crate::codec;
use crate::domain::{Epoch, Error};

const VERSION: u8 = 1;
const BYTES: usize = codec::FRAME_BYTES + 16;

/// The file.
pub(super) struct Witness {
    file: File,
    path: PathBuf,
}

impl Witness {
    /// Opens or makes the file.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        Ok(Self { file: file.map_err(|error| Error::io(path, &error))?, path: path.to_owned() })
    }

    /// Notes what is durable.
    pub fn note(&self, ledger: &Ledger) -> Result<(), Error> {
        let body = [ledger.epoch.0.to_le_bytes(), ledger.last.to_le_bytes()].concat();
        self.file.write_all_at(&codec::seal(VERSION, &body), 0).map_err(|error| Error::io(&self.path, &error))
    }

    /// Makes the note durable.
    pub fn sync(&self) -> Result<(), Error> {
        self.file.sync_all().map_err(|error| Error::io(&self.path, &error))
    }

    /// `Corrupt` if more was durable once than `found`.
    pub fn check(&self, found: &Ledger) -> Result<(), Error> {
        let Some((epoch, last)) = self.read()? else { return Ok(()) };
        if epoch <= found.epoch && last <= found.last {
            return Ok(());
        }
        let path = self.path.display();
        Err(Error::corrupt(format!(
            "the journal is damaged: it ends at batch {} of {}, but batch {last} of {epoch} was durable: restore a backup of the data folder, \
             or remove {path} to go on without what is lost",
            found.last, found.epoch
        )))
    }

    /// None before the first note.
    fn read(&self) -> Result<Option<(Epoch, u64)>, Error> {
        let len = self.file.metadata().map_err(|error| Error::io(&self.path, &error))?.len();
        if len == 0 {
            return Ok(None);
        }
        let mut bytes = [0; BYTES];
        let whole = len == BYTES as u64 && self.file.read_exact_at(&mut bytes, 0).is_ok();
        let note = codec::open(&bytes).ok().filter(|(version, _)| whole && *version == VERSION).and_then(|(_, body)| {
            let (epoch, last) = body.split_first_chunk::<8>()?;
            Some((Epoch(u64::from_le_bytes(*epoch)), u64::from_le_bytes(last.try_into().ok()?)))
        });
        let path = self.path.display();
        note.map(Some).ok_or_else(|| {
            Error::corrupt(format!("{path} is damaged, which says how far the journal goes: remove it to start without this check"))
        })
    }
}
