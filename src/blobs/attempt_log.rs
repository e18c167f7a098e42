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
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::folder;
use super::sync_mark::SyncMark;
use crate::domain::{Error, ResultRef, TaskNo};
use crate::limits::ATTEMPTS_KEPT_MAX;

const RECORD_BYTES: usize = 24;
/// Read at once: whole records.
const READ_BYTES: usize = 2730 * RECORD_BYTES;

/// A job's log of attempts. Shared by threads; one at a time of a file that is written to.
#[derive(Debug)]
pub struct AttemptLog {
    path: PathBuf,
    /// Open to append, once there was something; and how many records it has.
    file: Mutex<Option<(Arc<File>, u64)>>,
    mark: SyncMark,
}

impl AttemptLog {
    /// The log at `path`, whether there is one or not; touches nothing.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), file: Mutex::default(), mark: SyncMark::default() }
    }

    /// Notes attempts, in their order; durable after the next [`Self::sync`]. Those beyond the first [`ATTEMPTS_KEPT_MAX`] are not.
    pub fn note(&self, attempts: &[(TaskNo, ResultRef)]) -> Result<(), Error> {
        if attempts.is_empty() {
            return Ok(());
        }
        let mut file = self.file();
        if file.is_none() {
            *file = Some(open(&self.path)?);
        }
        let Some((open, count)) = file.as_mut() else { return Ok(()) };
        let room = ATTEMPTS_KEPT_MAX.saturating_sub(*count).min(attempts.len() as u64);
        let records: Vec<[u8; RECORD_BYTES]> = attempts.iter().take(room as usize).map(|(no, result)| to_bytes(*no, *result)).collect();
        if let Err(error) = (&**open).write_all(records.as_flattened()) {
            // Behind a record that was cut none would be in its place: opened anew, the file ends with the last whole one.
            *file = None;
            return Err(Error::io(&self.path, &error));
        }
        *count += room;
        self.mark.written();
        Ok(())
    }

    /// All of them, in the order in which they were noted.
    pub fn all(&self) -> Result<Vec<(TaskNo, ResultRef)>, Error> {
        let mut all = Vec::new();
        self.each(|record| all.extend(from_bytes(record)))?;
        Ok(all)
    }

    /// The same for whoever can do without: a log that can't be read is no reason to lose all else, and is said in the log of the program.
    pub fn all_if_readable(&self) -> Vec<(TaskNo, ResultRef)> {
        self.all().unwrap_or_else(|error| {
            tracing::warn!(%error, "what became of earlier attempts can't be read");
            Vec::new()
        })
    }

    /// Those of one task. Reads the whole file.
    pub fn of(&self, no: TaskNo) -> Result<Vec<ResultRef>, Error> {
        let (mut found, wanted) = (Vec::new(), no.0.to_le_bytes());
        self.each(|record| {
            if record.starts_with(&wanted) {
                found.extend(from_bytes(record).map(|(_, result)| result));
            }
        })?;
        Ok(found)
    }

    fn each(&self, mut look: impl FnMut(&[u8; RECORD_BYTES])) -> Result<(), Error> {
        let io = |error| Error::io(&self.path, &error);
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(io(error)),
        };
        let mut left = file.take(ATTEMPTS_KEPT_MAX * RECORD_BYTES as u64);
        let mut window = Vec::with_capacity(READ_BYTES);
        loop {
            window.clear();
            let read = left.by_ref().take(READ_BYTES as u64).read_to_end(&mut window).map_err(io)?;
            window.as_chunks::<RECORD_BYTES>().0.iter().for_each(&mut look);
            if read < READ_BYTES {
                return Ok(());
            }
        }
    }

    /// Makes everything that was noted before this call durable. A failure is for good.
    pub fn sync(&self) -> Result<(), Error> {
        // Whoever notes more meanwhile does not wait for the disk.
        let file = self.file().as_ref().map(|(file, _)| file.clone());
        file.map_or(Ok(()), |file| self.mark.sync(&file, &self.path))
    }

    fn file(&self) -> MutexGuard<'_, Option<(Arc<File>, u64)>> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens the file to append, or makes it, durably; and how many records it has. What a crash has cut goes, so that the next is in its place.
fn open(path: &Path) -> Result<(Arc<File>, u64), Error> {
    folder::open_or_create(path)?;
    let io = |error| Error::io(path, &error);
    let file = File::options().append(true).open(path).map_err(io)?;
    let count = file.metadata().map_err(io)?.len() / RECORD_BYTES as u64;
    file.set_len(count * RECORD_BYTES as u64).map_err(io)?;
    Ok((Arc::new(file), count))
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
        let many: Vec<_> = (0..10_000).map(|at| self::at(9, at)).collect();
        log.note(&many).unwrap();
        assert_eq!((of(9), log.all().unwrap().len()), ((0..10_000).collect(), 10_003));
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

    #[test]
    fn one_that_can_t_be_read_is_none_for_whoever_can_do_without() {
        let folder = tempfile::tempdir().unwrap();
        let log = AttemptLog::new(folder.path());
        assert!(log.all().is_err() && log.all_if_readable().is_empty());
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
