//! What an attempt leaves behind: a description, and packed bytes that go from worker to bundle untouched.

use serde::{Deserialize, Serialize};

use super::ids::{Attempt, Digest, TaskNo, WorkerId};
use super::outcome::{Outcome, Timing};

/// An empty final block: what a reader needs behind the last piece (RFC 1951: BFINAL = 1, BTYPE = 01, end of block).
pub const FINAL_BLOCK: [u8; 2] = [0x03, 0x00];

/// One stream or file of a result.
///
/// Its packed bytes are raw deflate that ends in a full flush and has no final block: pieces can be joined as they are, and a reader adds
/// `03 00` (an empty final block) behind the last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultEntry {
    /// What it is.
    pub kind: EntryKind,
    /// Length before packing, in bytes.
    pub len: u64,
    /// Length as packed, in bytes.
    pub packed_len: u64,
    /// CRC-32 (IEEE) of the unpacked bytes.
    pub crc32: u32,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum EntryKind {
    /// The task's standard output.
    Stdout,
    /// The end of its standard error.
    Stderr,
    /// A file in its output folder: the relative path, `/` between components, sanitised.
    File(String),
}

/// What a worker packed of one attempt: the entries in order, their packed bytes lie one behind the other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packed {
    /// Standard output, then standard error, then files by name; nothing empty but files.
    pub entries: Vec<ResultEntry>,
    /// SHA-256 over all of standard output and files (name, length, bytes); standard error does not count, so that it may differ between runs.
    pub digest: Option<Digest>,
}

impl Packed {
    /// The length of all packed bytes; none if the lengths add up to nonsense.
    pub fn packed_len(&self) -> Option<u64> {
        self.entries.iter().try_fold(0u64, |sum, entry| sum.checked_add(entry.packed_len))
    }
}

/// The description at the head of a result record in a segment file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultMeta {
    /// Which task.
    pub no: TaskNo,
    /// Which attempt.
    pub attempt: Attempt,
    /// On which worker.
    pub worker: WorkerId,
    /// How it ended.
    pub outcome: Outcome,
    /// When.
    pub timing: Timing,
    /// What it left.
    pub packed: Packed,
}
