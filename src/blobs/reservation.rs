//! Room in a segment for one result that comes in pieces.

use std::sync::Arc;

use super::segment::Segment;
use crate::domain::{Error, ResultRef};

/// A range of a segment that one result will fill. Dropped unfinished, it is given back, or stays as a hole.
#[derive(Debug)]
pub struct Reservation {
    segment: Arc<Segment>,
    range: ResultRef,
    /// Magic, length and description. With a small result they are written together; before a large one at its end, so that an unfinished
    /// range does not look like a record.
    head: Vec<u8>,
    written: u64,
    held: Vec<u8>,
    finished: bool,
}

/// Up to here the packed bytes wait for the description, to be written in one go.
const HELD_MAX_BYTES: u64 = 64 * 1024;

impl Reservation {
    pub(super) fn new(segment: Arc<Segment>, range: ResultRef, head: Vec<u8>) -> Self {
        Self { segment, range, head, written: 0, held: Vec::new(), finished: false }
    }

    /// Adds packed bytes. `Invalid`, and nothing is added, if they are more than promised.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let len = bytes.len() as u64;
        if len > self.missing() {
            return Err(Error::invalid(format!("a result has {} bytes more than its description says", len - self.missing())));
        }
        if self.data_len() <= HELD_MAX_BYTES {
            self.held.extend_from_slice(bytes);
        } else {
            self.segment.write_at(self.range.offset + self.head.len() as u64 + self.written, bytes)?;
        }
        self.written += len;
        Ok(())
    }

    /// How many bytes are still to come.
    pub fn missing(&self) -> u64 {
        self.data_len() - self.written
    }

    /// Completes the record; durable after the next [`Segment::sync`]. `Invalid` if bytes are missing.
    pub fn finish(mut self) -> Result<ResultRef, Error> {
        if self.missing() > 0 {
            return Err(Error::invalid(format!("a result has {} bytes fewer than its description says", self.missing())));
        }
        let head = [std::mem::take(&mut self.head), std::mem::take(&mut self.held)].concat();
        self.segment.write_at(self.range.offset, &head)?;
        self.segment.finished();
        self.finished = true;
        Ok(self.range)
    }

    fn data_len(&self) -> u64 {
        self.range.len.saturating_sub(self.head.len() as u64)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.finished {
            self.segment.give_back(self.range);
        }
    }
}
