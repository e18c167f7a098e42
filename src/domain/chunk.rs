//! A chunk: a byte range of a data set, with what is repeated before it.

use serde::{Deserialize, Serialize};

/// One piece of a data set. Nothing is copied: a worker reads `header` bytes from the start of the data set, then `len` bytes from `offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// Where it begins, in bytes.
    pub offset: u64,
    /// How long it is, in bytes, without the header.
    pub len: u64,
    /// How many bytes from the start of the data set are repeated before it; 0 for the chunk that holds them itself.
    pub header: u64,
    /// The number of its first record, from 0.
    pub first_record: u64,
    /// How many records it holds.
    pub records: u64,
}
