//! How far the journal had come, beside the store: `<data folder>/journal.mark`, so that a store that has lost its end does not pass for whole.
//!
//! sled takes the first damaged byte of its file for the end of what was ever written, and goes on from there without a word. The mark is
//! written after each batch is durable, and not synced: after a loss of power it may say too little, but never too much.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::codec;
use crate::domain::{Epoch, Error};

const VERSION: u8 = 1;
const MARK_BYTES: usize = codec::FRAME_BYTES + 16;

/// An epoch and a batch that are surely durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct HighWater {
    /// The epoch.
    pub epoch: Epoch,
    /// The batch.
    pub last: u64,
}

impl HighWater {
    /// That of a data folder. One that is not there, or cut short by a loss of power, says nothing.
    pub fn read(data_folder: &Path) -> Self {
        let Some(bytes) = std::fs::read(path(data_folder)).ok().filter(|bytes| !bytes.is_empty()) else { return Self::default() };
        let body = codec::open(&bytes).ok().filter(|(version, _)| *version == VERSION).map(|(_, body)| body);
        let numbers = body.and_then(|body| body.split_first_chunk::<8>()).and_then(|(epoch, last)| Some((*epoch, last.try_into().ok()?)));
        match numbers {
            Some((epoch, last)) => Self { epoch: Epoch(u64::from_le_bytes(epoch)), last: u64::from_le_bytes(last) },
            None => {
                tracing::warn!(file = %path(data_folder).display(), "can't be read: a journal that lost its end would not be noticed at this start");
                Self::default()
            }
        }
    }

    /// `Corrupt` if a store is not as far as this.
    pub fn admit(self, epoch: Epoch, last: u64) -> Result<(), Error> {
        if last < self.last {
            let lost = last + 1;
            return Err(Error::corrupt(format!(
                "journal batch {lost} is missing, and so are all up to batch {}, the last that was written",
                self.last
            )));
        }
        if epoch < self.epoch {
            return Err(Error::corrupt(format!("the record of the epoch says {epoch}, but epoch {} had begun", self.epoch)));
        }
        Ok(())
    }
}

/// The file of a [`HighWater`], open to write.
pub(super) struct HighWaterFile(File);

impl HighWaterFile {
    /// Opens it, or makes it.
    pub fn open(data_folder: &Path) -> Result<Self, Error> {
        let path = path(data_folder);
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(|error| Error::io(&path, &error))?;
        Ok(Self(file))
    }

    /// Notes what is durable.
    pub fn put(&self, HighWater { epoch, last }: HighWater) -> Result<(), Error> {
        let bytes = codec::seal(VERSION, &[epoch.0.to_le_bytes(), last.to_le_bytes()].concat());
        debug_assert_eq!(bytes.len(), MARK_BYTES, "always as long, so that each write replaces the last");
        self.0.write_all_at(&bytes, 0).map_err(|error| Error::io("journal.mark", &error))
    }
}

fn path(data_folder: &Path) -> std::path::PathBuf {
    data_folder.join("journal.mark")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_back_and_damage_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(HighWater::read(folder.path()), HighWater::default());
        let file = HighWaterFile::open(folder.path()).unwrap();
        for last in [7, u64::MAX, 300] {
            let mark = HighWater { epoch: Epoch(2), last };
            file.put(mark).unwrap();
            assert_eq!(HighWater::read(folder.path()), mark);
        }
        file.0.write_all_at(&[9], 8).unwrap();
        assert_eq!(HighWater::read(folder.path()), HighWater::default());
    }
}
