//! The attempts of a job's tasks that have ended otherwise than well: where the record of each lies, in the order in which they came.
//!
//! ```text
//! record, 24 bytes: task u32 │ CRC-32 of the other bytes u32 │ offset u64 │ length u64
//! ```
//! Little-endian. The file is made when there is the first. It is for looking at, and nothing is decided by it: a record that a crash has cut or
//! damaged is passed over.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::folder;
use super::sync_mark::SyncMark;
use crate::domain::{Error, ResultRef, TaskNo};
use crate::limits::ATTEMPTS_KEPT_MAX;

const RECORD_BYTES: usize = 24;

/// A job's log of attempts. Shared by threads; one at a time of a file that is written to.
#[derive(Debug)]
pub struct AttemptLog {
    path: PathBuf,
    /// Open to append, once there was something; and how many records it has.
    file: Mutex<Option<(File, u64)>>,
    mark: SyncMark,
}

impl AttemptLog {
    /// The log at `path`, whether there is one or not; touches nothing.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), file: Mutex::default(), mark: SyncMark::default() }
    }

    /// Notes attempts, in their order; durable after the next [`Self::sync`]. Those beyond [`ATTEMPTS_KEPT_MAX`] are not.
    pub fn note(&self, attempts: &[(TaskNo, ResultRef)]) -> Result<(), Error> {
        if attempts.is_empty() {
            return Ok(());
        }
        let mut file = self.file();
        if file.is_none() {
            *file = Some(open(&self.path)?);
        }
        let Some((file, count)) = file.as_mut() else { return Ok(()) };
        let room = ATTEMPTS_KEPT_MAX.saturating_sub(*count).min(attempts.len() as u64);
        let records: Vec<[u8; RECORD_BYTES]> = attempts.iter().take(room as usize).map(|(no, result)| to_bytes(*no, *result)).collect();
        file.write_all(records.as_flattened()).map_err(|error| Error::io(&self.path, &error))?;
        *count += room;
        self.mark.written();
        Ok(())
    }

    /// All of them, in the order in which they were noted.
    pub fn all(&self) -> Result<Vec<(TaskNo, ResultRef)>, Error> {
        let io = |error| Error::io(&self.path, &error);
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(io(error)),
        };
        let mut bytes = Vec::new();
        file.take(ATTEMPTS_KEPT_MAX * RECORD_BYTES as u64).read_to_end(&mut bytes).map_err(io)?;
        Ok(bytes.as_chunks::<RECORD_BYTES>().0.iter().filter_map(from_bytes).collect())
    }

    /// Those of one task.
    pub fn of(&self, no: TaskNo) -> Result<Vec<ResultRef>, Error> {
        Ok(self.all()?.into_iter().filter(|(of, _)| *of == no).map(|(_, result)| result).collect())
    }

    /// Makes everything that was noted before this call durable. A failure is for good.
    pub fn sync(&self) -> Result<(), Error> {
        self.file().as_ref().map_or(Ok(()), |(file, _)| self.mark.sync(file, &self.path))
    }

    fn file(&self) -> MutexGuard<'_, Option<(File, u64)>> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens the file to append, or makes it, durably; and how many records it has. What a crash has cut goes, so that the next is in its place.
fn open(path: &Path) -> Result<(File, u64), Error> {
    folder::open_or_create(path)?;
    let io = |error| Error::io(path, &error);
    let file = File::options().append(true).open(path).map_err(io)?;
    let count = file.metadata().map_err(io)?.len() / RECORD_BYTES as u64;
    file.set_len(count * RECORD_BYTES as u64).map_err(io)?;
    Ok((file, count))
}

fn to_bytes(no: TaskNo, result: ResultRef) -> [u8; RECORD_BYTES] {
    let mut bytes = [0; RECORD_BYTES];
    bytes[..4].copy_from_slice(&no.0.to_le_bytes());
    bytes[8..16].copy_from_slice(&result.offset.to_le_bytes());
    bytes[16..].copy_from_slice(&result.len.to_le_bytes());
    let crc = crc_of(&bytes);
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn from_bytes(bytes: &[u8; RECORD_BYTES]) -> Option<(TaskNo, ResultRef)> {
    let u32_at = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let u64_at = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    let is_whole = u32_at(4)? == crc_of(bytes);
    let record = (TaskNo(u32_at(0)?), ResultRef { offset: u64_at(8)?, len: u64_at(16)? });
    is_whole.then_some(record)
}

/// Of all but the checksum itself.
fn crc_of(bytes: &[u8; RECORD_BYTES]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&bytes[..4]);
    crc.update(&bytes[8..]);
    crc.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(no: u32, offset: u64) -> (TaskNo, ResultRef) {
        (TaskNo(no), ResultRef { offset, len: 7 })
    }

    #[test]
    fn there_is_no_file_before_the_first_and_what_is_noted_is_there_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("attempts");
        let log = AttemptLog::new(&path);
        log.note(&[]).unwrap();
        log.sync().unwrap();
        assert_eq!((log.all().unwrap(), path.exists()), (vec![], false));
        log.note(&[at(3, 0), at(4, 7)]).unwrap();
        AttemptLog::new(&path).note(&[at(3, 14)]).unwrap();
        log.sync().unwrap();
        let of = |no| log.of(TaskNo(no)).unwrap().iter().map(|result| result.offset).collect::<Vec<_>>();
        assert_eq!((of(3), of(4), of(5)), (vec![0, 14], vec![7], vec![]));
    }

    #[test]
    fn beyond_the_limit_nothing_is_noted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("attempts");
        let full = File::create(&path).unwrap();
        full.set_len((ATTEMPTS_KEPT_MAX - 1) * RECORD_BYTES as u64).unwrap();
        let log = AttemptLog::new(&path);
        log.note(&[at(1, 0), at(2, 7)]).unwrap();
        log.note(&[at(3, 14)]).unwrap();
        assert_eq!(full.metadata().unwrap().len(), ATTEMPTS_KEPT_MAX * RECORD_BYTES as u64);
        assert_eq!(log.all().unwrap().last(), Some(&at(1, 0)));
    }

    proptest! {
        #[test]
        fn what_is_damaged_or_cut_is_passed_over(
            offsets in proptest::collection::vec(any::<u64>(), 1..20),
            cut in 0usize..RECORD_BYTES,
            flipped in any::<prop::sample::Index>(),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("attempts");
            let all: Vec<_> = offsets.iter().zip(0..).map(|(offset, no)| at(no, *offset)).collect();
            AttemptLog::new(&path).note(&all).unwrap();
            let mut bytes = std::fs::read(&path).unwrap();
            let damaged = flipped.index(bytes.len());
            bytes[damaged] ^= 1;
            bytes.extend(vec![9; cut]);
            std::fs::write(&path, bytes).unwrap();
            let log = AttemptLog::new(&path);
            log.note(&[at(77, 5)]).unwrap();
            let mut expected = all;
            expected.remove(damaged / RECORD_BYTES);
            expected.push(at(77, 5));
            prop_assert_eq!(log.all().unwrap(), expected);
        }
    }
}
