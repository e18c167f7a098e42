//! Floor 1: cuts a data set into chunks at record boundaries, while it streams past.
//!
//! ```text
//! feed(bytes) ─► Splitter ─► Scanner (one per format) ─► record_ends(offset) ─► Cutter ─► chunks
//! ```
//! A scanner knows what a record is and nothing of chunks; the `Cutter` knows what a chunk is and nothing of formats. To add a
//! format: one file with a `Scanner`, and its line in `scanner::for_record`.
//!
//! In messages lines count from 1, bytes and records from 0 (as in a bundle's manifest).
//!
//! Invariant: no I/O, no clock, nothing async; memory does not grow with the data set or a record; with a line only where a pattern looks
//! at it, and with the names of an archive's files, up to a limit. What comes out depends only on the bytes, never on the pieces in which they came. It does not check what is inside
//! a record: that is the command's business.

mod csv;
mod cutter;
mod fasta;
mod fastq;
mod files;
mod jsonl;
mod line;
mod line_head;
pub mod member;
mod mgf;
mod pattern;
#[cfg(test)]
pub(crate) mod properties;
mod scanner;
mod splitter;
pub mod tar;

pub use splitter::{Splitter, Summary, refuse_other_kind};
