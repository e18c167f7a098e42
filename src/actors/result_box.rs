//! Results on a worker, kept until the head has acknowledged them: small ones in memory, larger ones as files.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::domain::wire::{Finished, Lease, ResultBytes};
use crate::domain::{Error, ErrorKind, Outcome, Packed, ResultRef, Timing, WorkerId};
use crate::limits::{RESULT_IN_MEMORY_MAX_BYTES, RESULT_INLINE_MAX_BYTES};

use super::clock::wall_now;
use super::data_port::ResultHeader;

/// A result that waits.
#[derive(Debug)]
pub struct KeptResult {
    /// How the attempt ended.
    pub outcome: Outcome,
    /// When.
    pub timing: Timing,
    /// What it left.
    pub packed: Packed,
    /// Its packed bytes.
    pub bytes: KeptBytes,
    /// Where the head has them, once it has.
    pub receipt: Option<ResultRef>,
    /// How many of them, of a file, are on the way in a message of this session: [`crate::limits::RESULTS_RIDING_MAX_BYTES`] bounds the sum.
    pub riding_bytes: usize,
}

impl KeptResult {
    /// One of an attempt that left nothing, as of now.
    pub fn without_bytes(outcome: Outcome) -> Self {
        let now = wall_now();
        let timing = Timing { started: now, ended: now };
        Self { outcome, timing, packed: Packed::default(), bytes: KeptBytes::Memory(Vec::new()), receipt: None, riding_bytes: 0 }
    }

    /// What is said of it, with its bytes or where the head has them; none as long as they are more than may be said.
    ///
    /// # Errors
    /// If the file can't be read that has them.
    pub fn finished(&self, lease: Lease, room_bytes: usize) -> Result<Option<Finished>, Error> {
        let bytes = match (&self.bytes, self.receipt) {
            (KeptBytes::Memory(bytes), _) => ResultBytes::Inline(bytes.clone()),
            (KeptBytes::Disk(_), Some(receipt)) => ResultBytes::Stored(receipt),
            (KeptBytes::Disk(file), None) if self.packed_len() <= room_bytes.min(RESULT_INLINE_MAX_BYTES) as u64 => {
                ResultBytes::Inline(file.read(self.packed_len())?)
            }
            (KeptBytes::Disk(_), None) => return Ok(None),
        };
        Ok(Some(Finished { lease, outcome: self.outcome.clone(), timing: self.timing, packed: self.packed.clone(), bytes }))
    }

    /// The length of its packed bytes.
    pub fn packed_len(&self) -> u64 {
        self.packed.packed_len().unwrap_or(u64::MAX)
    }

    /// What goes before its bytes.
    pub fn header(&self, lease: Lease, worker: WorkerId) -> ResultHeader {
        ResultHeader { lease, worker, outcome: self.outcome.clone(), timing: self.timing, packed: self.packed.clone() }
    }

    /// The head does not take its bytes; whether that is for good: then it goes without them.
    pub fn refused(&mut self, error: &Error) -> bool {
        match error.kind {
            // The job has ended, or does not exist: nobody wants the bytes; the head says so once it hears of the end.
            ErrorKind::NotFound | ErrorKind::Conflict => {
                self.packed = Packed::default();
                self.bytes = KeptBytes::Memory(Vec::new());
            }
            ErrorKind::Invalid | ErrorKind::Denied => {
                *self = Self::without_bytes(Outcome::OutputMissing { reason: error.message.clone() });
            }
            ErrorKind::Unavailable | ErrorKind::TimedOut | ErrorKind::Exhausted | ErrorKind::Corrupt | ErrorKind::Internal => return false,
        }
        true
    }
}

/// Packed bytes on a worker.
#[derive(Debug)]
pub enum KeptBytes {
    /// At most [`RESULT_IN_MEMORY_MAX_BYTES`].
    Memory(Vec<u8>),
    /// A file, removed with this.
    Disk(KeptFile),
}

/// A file that goes when its owner goes.
#[derive(Debug)]
pub struct KeptFile(PathBuf);

impl KeptFile {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// All of it, which has so many bytes.
    fn read(&self, len: u64) -> Result<Vec<u8>, Error> {
        let bytes = std::fs::read(&self.0).map_err(|error| Error::io(&self.0, &error))?;
        if bytes.len() as u64 != len {
            return Err(Error::corrupt(format!("{} has {} bytes, and {len} were written", self.0.display(), bytes.len())));
        }
        Ok(bytes)
    }
}

impl Drop for KeptFile {
    fn drop(&mut self) {
        // What can't be removed is removed with the folder at the next start.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Takes packed bytes in: memory up to the limit, then a file.
pub struct ResultWriter {
    path: PathBuf,
    memory: Vec<u8>,
    file: Option<(File, KeptFile)>,
}

impl ResultWriter {
    /// The file is made at `path` only if it is needed.
    pub fn new(path: PathBuf) -> Self {
        Self { path, memory: Vec::new(), file: None }
    }

    /// All that was written.
    pub fn finish(self) -> KeptBytes {
        match self.file {
            Some((_, kept)) => KeptBytes::Disk(kept),
            None => KeptBytes::Memory(self.memory),
        }
    }
}

impl Write for ResultWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.file.is_none() && self.memory.len() + bytes.len() > RESULT_IN_MEMORY_MAX_BYTES {
            let mut file = File::create(&self.path)?;
            let kept = KeptFile(self.path.clone());
            file.write_all(&self.memory)?;
            self.memory = Vec::new();
            self.file = Some((file, kept));
        }
        match &mut self.file {
            Some((file, _)) => file.write(bytes),
            None => self.memory.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), |(file, _)| file.flush())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Attempt, EntryKind, Epoch, JobId, ResultEntry, TaskNo};

    const LEASE: Lease = Lease { job: JobId(1), no: TaskNo(2), attempt: Attempt(1), epoch: Epoch(1) };

    /// A result of so many packed bytes, as its slot leaves it.
    fn kept(dir: &Path, len: usize) -> KeptResult {
        let mut writer = ResultWriter::new(dir.join("result"));
        writer.write_all(&vec![7; len]).unwrap();
        let entry = ResultEntry { kind: EntryKind::Stdout, len: len as u64, packed_len: len as u64, crc32: 0 };
        let packed = Packed { entries: vec![entry], digest: None };
        KeptResult { packed, bytes: writer.finish(), ..KeptResult::without_bytes(Outcome::Exited { code: 0 }) }
    }

    fn says(kept: &KeptResult, room_bytes: usize) -> Option<ResultBytes> {
        kept.finished(LEASE, room_bytes).unwrap().map(|finished| finished.bytes)
    }

    #[test]
    fn a_file_rides_where_there_is_room_for_it_and_is_said_by_its_receipt_once_the_head_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut medium = kept(dir.path(), 70_000);
        assert_eq!(says(&medium, 70_000), Some(ResultBytes::Inline(vec![7; 70_000])));
        assert_eq!(says(&medium, 69_999), None);
        let receipt = ResultRef { offset: 5, len: 70_100 };
        medium.receipt = Some(receipt);
        assert_eq!(says(&medium, 70_000), Some(ResultBytes::Stored(receipt)));
        drop(medium);
        assert_eq!(says(&kept(dir.path(), RESULT_INLINE_MAX_BYTES + 1), usize::MAX), None, "more than a message takes");
        assert!(says(&kept(dir.path(), RESULT_IN_MEMORY_MAX_BYTES), 0).is_some(), "what is in memory needs no room");
    }

    #[test]
    fn a_file_that_has_changed_is_not_sent() {
        let dir = tempfile::tempdir().unwrap();
        let medium = kept(dir.path(), 70_000);
        std::fs::write(dir.path().join("result"), [7; 60_000]).unwrap();
        assert_eq!(medium.finished(LEASE, 70_000).unwrap_err().kind, ErrorKind::Corrupt);
        std::fs::remove_file(dir.path().join("result")).unwrap();
        assert!(medium.finished(LEASE, 70_000).is_err());
    }

    #[test]
    fn a_small_result_stays_in_memory_and_a_large_one_becomes_a_file_that_goes_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("result");
        let mut small = ResultWriter::new(path.clone());
        small.write_all(&[1; RESULT_IN_MEMORY_MAX_BYTES]).unwrap();
        assert!(matches!(small.finish(), KeptBytes::Memory(bytes) if bytes.len() == RESULT_IN_MEMORY_MAX_BYTES));
        let mut large = ResultWriter::new(path.clone());
        large.write_all(&[1; RESULT_IN_MEMORY_MAX_BYTES]).unwrap();
        large.write_all(&[2; 5]).unwrap();
        let kept = large.finish();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), RESULT_IN_MEMORY_MAX_BYTES as u64 + 5);
        drop(kept);
        assert!(!path.exists());
    }
}
