//! Results on a worker, kept until the head has acknowledged them: small ones in memory, larger ones as files.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::domain::wire::{Finished, Lease, ResultBytes};
use crate::domain::{Error, ErrorKind, Outcome, Packed, ResultRef, Timing, WorkerId};
use crate::limits::RESULT_INLINE_MAX_BYTES;

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
}

impl KeptResult {
    /// One of an attempt that left nothing, as of now.
    pub fn without_bytes(outcome: Outcome) -> Self {
        let now = wall_now();
        let timing = Timing { started: now, ended: now };
        Self { outcome, timing, packed: Packed::default(), bytes: KeptBytes::Memory(Vec::new()), receipt: None }
    }

    /// What is said of it; none as long as the head does not have its bytes, which are too many to say.
    pub fn finished(&self, lease: Lease) -> Option<Finished> {
        let bytes = match (&self.bytes, self.receipt) {
            (KeptBytes::Memory(bytes), _) => ResultBytes::Inline(bytes.clone()),
            (KeptBytes::Disk(_), receipt) => ResultBytes::Stored(receipt?),
        };
        Some(Finished { lease, outcome: self.outcome.clone(), timing: self.timing, packed: self.packed.clone(), bytes })
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
    /// At most [`RESULT_INLINE_MAX_BYTES`].
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
        if self.file.is_none() && self.memory.len() + bytes.len() > RESULT_INLINE_MAX_BYTES {
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

    #[test]
    fn a_small_result_stays_in_memory_and_a_large_one_becomes_a_file_that_goes_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("result");
        let mut small = ResultWriter::new(path.clone());
        small.write_all(&[1; RESULT_INLINE_MAX_BYTES]).unwrap();
        assert!(matches!(small.finish(), KeptBytes::Memory(bytes) if bytes.len() == RESULT_INLINE_MAX_BYTES));
        let mut large = ResultWriter::new(path.clone());
        large.write_all(&[1; RESULT_INLINE_MAX_BYTES]).unwrap();
        large.write_all(&[2; 5]).unwrap();
        let kept = large.finish();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), RESULT_INLINE_MAX_BYTES as u64 + 5);
        drop(kept);
        assert!(!path.exists());
    }
}
