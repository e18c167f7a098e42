//! Floor 1: makes compressed data plain, while it streams past.
//!
//! ```text
//! feed(bytes) ─► Unpacker: looks at the first bytes ─► plain: passed on │ compressed: a Decoder per member ─► sink(bytes)
//! ```
//! What comes in decides, never a name. Data that is compressed twice is unpacked once.
//!
//! Invariant: no I/O, no clock, nothing async; memory does not grow with the data (zstd may ask for a window of 8 MiB, not more). How far the
//! data grows is the sink's business: it sees each piece before the next one is made.

mod decoder;
mod unpacker;

pub use unpacker::Unpacker;
