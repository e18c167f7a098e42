//! The cutter: turns the ends of records into chunks.

use super::splitter::Summary;
use crate::domain::{Chunk, Cut, Error};
use crate::limits;

/// What a data set may not exceed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// One record, in bytes, with what stands between it and the one before.
    pub(super) record_bytes: u64,
    /// What stands between two quotes, in bytes.
    pub(super) quoted_bytes: u64,
    /// One line, in bytes, where lines have to be whole.
    pub(super) line_bytes: usize,
    /// What is repeated in every chunk, in bytes.
    pub(super) header_bytes: u64,
    /// Chunks, all together.
    pub(super) chunks: u32,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            record_bytes: limits::RECORD_MAX_BYTES,
            quoted_bytes: limits::QUOTED_FIELD_MAX_BYTES,
            line_bytes: limits::PATTERN_LINE_MAX_BYTES,
            header_bytes: limits::HEADER_MAX_BYTES,
            chunks: limits::JOB_TASKS_MAX,
        }
    }
}

/// Collects records into chunks.
///
/// A chunk that is full is closed only when a further record has ended: what follows the last record (blank lines, comments) must go
/// with it, and there must be no empty chunk at the end.
#[derive(Debug)]
pub(super) struct Cutter {
    cut: Cut,
    total_len: u64,
    bounds: Bounds,
    header: u64,
    /// Chunks that are closed.
    chunks: u32,
    /// Records that have ended.
    records: u64,
    /// Where the last one ended; the next one begins there.
    record_start: u64,
    /// The open chunk's first byte and first record.
    start: u64,
    first_record: u64,
    /// The open chunk is full as soon as so many records have ended, or one at or after this offset.
    full_at_records: u64,
    full_at_offset: u64,
    /// Closed chunks that nobody has taken yet.
    ready: Vec<Chunk>,
}

impl Cutter {
    pub(super) fn new(cut: Cut, total_len: u64, bounds: Bounds) -> Self {
        let (chunks, records, record_start, start, first_record) = (0, 0, 0, 0, 0);
        let (full_at_records, full_at_offset) = (u64::MAX, u64::MAX);
        let ready = Vec::new();
        let mut cutter = Self {
            cut,
            total_len,
            bounds,
            header: 0,
            chunks,
            records,
            record_start,
            start,
            first_record,
            full_at_records,
            full_at_offset,
            ready,
        };
        cutter.open();
        cutter
    }

    /// The next record ends at this offset.
    #[inline]
    pub(super) fn record_ends(&mut self, end: u64) -> Result<(), Error> {
        self.reach(end)?;
        if self.records >= self.full_at_records || self.record_start >= self.full_at_offset {
            self.close(self.record_start)?;
            self.open();
        }
        self.records += 1;
        self.record_start = end;
        Ok(())
    }

    /// The record that is open goes at least up to this offset.
    #[inline]
    pub(super) fn reach(&self, offset: u64) -> Result<(), Error> {
        if offset.saturating_sub(self.record_start) > self.bounds.record_bytes { Err(self.record_too_large()) } else { Ok(()) }
    }

    /// The error to return for a fault that the bytes before `offset` prove: a record that is over its limit by then goes first, so that
    /// the error is the same whether the bytes came in one piece or in many.
    pub(super) fn refuse(&self, offset: u64, fault: String) -> Error {
        self.reach(offset).err().unwrap_or_else(|| Error::invalid(fault))
    }

    /// So many bytes from the start of the data set are repeated before every chunk but the first. To be said before a second record ends.
    pub(super) fn set_header(&mut self, len: u64) -> Result<(), Error> {
        if len > self.bounds.header_bytes {
            return Err(Error::exhausted(format!(
                "{len} bytes stand before the first record, and at most {} can be repeated in every chunk (HEADER_MAX_BYTES): shorten them",
                self.bounds.header_bytes
            )));
        }
        self.header = len;
        Ok(())
    }

    /// The longest field between quotes.
    pub(super) fn quoted_bytes(&self) -> u64 {
        self.bounds.quoted_bytes
    }

    /// The longest line, where lines have to be whole.
    pub(super) fn line_bytes(&self) -> usize {
        self.bounds.line_bytes
    }

    /// How many records have ended: the number of the one that is open.
    pub(super) fn records(&self) -> u64 {
        self.records
    }

    /// Where the record that is open begins.
    pub(super) fn record_start(&self) -> u64 {
        self.record_start
    }

    /// The chunks that were closed since this was last asked, to be taken out.
    pub(super) fn ready(&mut self) -> &mut Vec<Chunk> {
        &mut self.ready
    }

    /// Closes the last chunk, at the end of the data set.
    pub(super) fn finish(&mut self) -> Result<Summary, Error> {
        self.close(self.total_len)?;
        Ok(Summary { chunks: self.chunks, records: self.records, header_len: self.header })
    }

    /// Opens a chunk at the end of the last record.
    fn open(&mut self) {
        self.start = self.record_start;
        self.first_record = self.records;
        match self.cut {
            Cut::Records(n) => self.full_at_records = self.records.saturating_add(n.max(1)),
            Cut::Bytes(n) => self.full_at_offset = self.start.saturating_add(n.max(1)),
            Cut::Pieces(n) => self.full_at_offset = next_mark(self.start, self.total_len, n.max(1)),
        }
    }

    fn close(&mut self, end: u64) -> Result<(), Error> {
        if self.chunks >= self.bounds.chunks {
            return Err(Error::exhausted(format!(
                "the data set makes more than {} chunks (JOB_TASKS_MAX): put more records or bytes in a chunk, or ask for fewer chunks",
                self.bounds.chunks
            )));
        }
        self.ready.push(Chunk {
            offset: self.start,
            len: end.saturating_sub(self.start),
            header: if self.chunks == 0 { 0 } else { self.header },
            first_record: self.first_record,
            records: self.records - self.first_record,
        });
        self.chunks += 1;
        Ok(())
    }

    #[cold]
    fn record_too_large(&self) -> Error {
        Error::exhausted(format!(
            "record {}, from byte {} on, has no end within {} bytes (RECORD_MAX_BYTES): choose a split rule that fits the data set",
            self.records, self.record_start, self.bounds.record_bytes
        ))
    }
}

/// The first of the marks `total_len * i / pieces` (i = 1, 2, …), rounded up, that lies after `start`.
fn next_mark(start: u64, total_len: u64, pieces: u32) -> u64 {
    let (start, total, pieces) = (u128::from(start), u128::from(total_len.max(1)), u128::from(pieces));
    let i = start * pieces / total + 1;
    u64::try_from((total * i).div_ceil(pieces)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ErrorKind;

    /// Cuts records of these lengths; the lengths of the chunks in records.
    fn cut(cut: Cut, lens: &[u64]) -> Vec<u64> {
        let total = lens.iter().sum();
        let mut cutter = Cutter::new(cut, total, Bounds::default());
        let mut end = 0;
        for len in lens {
            end += len;
            cutter.record_ends(end).unwrap();
        }
        cutter.finish().unwrap();
        cutter.ready().iter().map(|chunk| chunk.records).collect()
    }

    #[test]
    fn so_many_records_go_in_a_chunk_and_the_rest_in_the_last() {
        assert_eq!(cut(Cut::Records(2), &[1; 5]), [2, 2, 1]);
        assert_eq!(cut(Cut::Records(5), &[1; 5]), [5]);
        assert_eq!(cut(Cut::Records(u64::MAX), &[1; 5]), [5]);
        assert_eq!(cut(Cut::Records(0), &[1; 2]), [1, 1]);
    }

    #[test]
    fn a_chunk_ends_with_the_record_in_which_it_reaches_its_bytes() {
        assert_eq!(cut(Cut::Bytes(10), &[4, 4, 4, 10, 1, 9, 1]), [3, 1, 2, 1]);
        assert_eq!(cut(Cut::Bytes(u64::MAX), &[4, 4]), [2]);
    }

    #[test]
    fn pieces_are_about_equal_and_never_more_than_records() {
        assert_eq!(cut(Cut::Pieces(8), &[5; 8]), [1; 8]);
        assert_eq!(cut(Cut::Pieces(4), &[5; 1000]), [250; 4]);
        assert_eq!(cut(Cut::Pieces(8), &[5; 3]), [1, 1, 1]);
        assert_eq!(cut(Cut::Pieces(3), &[1, 1, 1, 100, 1]), [4, 1]);
        assert_eq!(cut(Cut::Pieces(u32::MAX), &[1, 2]), [1, 1]);
        assert_eq!(cut(Cut::Pieces(0), &[1, 2]), [2]);
    }

    #[test]
    fn a_mark_is_exact_for_the_largest_data_set() {
        assert_eq!(next_mark(0, u64::MAX, 1), u64::MAX);
        assert_eq!(next_mark(u64::MAX - 1, u64::MAX, u32::MAX), u64::MAX);
        assert_eq!(next_mark(0, 10, 3), 4);
        assert_eq!(next_mark(4, 10, 3), 7);
        assert_eq!(next_mark(7, 10, 3), 10);
    }

    #[test]
    fn each_limit_is_named_with_its_value() {
        let bounds = Bounds { record_bytes: 10, header_bytes: 3, chunks: 1, ..Bounds::default() };
        let mut cutter = Cutter::new(Cut::Records(1), 30, bounds);
        let message = |error: Error| {
            assert_eq!(error.kind, ErrorKind::Exhausted);
            error.message
        };
        assert!(message(cutter.set_header(4).unwrap_err()).contains("at most 3 can be repeated in every chunk (HEADER_MAX_BYTES)"));
        assert!(
            message(cutter.record_ends(11).unwrap_err())
                .contains("record 0, from byte 0 on, has no end within 10 bytes (RECORD_MAX_BYTES)")
        );
        cutter.record_ends(10).unwrap();
        cutter.record_ends(20).unwrap();
        assert!(message(cutter.record_ends(30).unwrap_err()).contains("more than 1 chunks (JOB_TASKS_MAX)"));
    }
}
