//! Floor 1: how persisted values become bytes and come back.
//!
//! ```text
//! version u8 │ CRC-32 (IEEE, little-endian) of the version and the body │ body
//! ```
//! The body of a value is bincode 2, standard configuration. What a version means is its owner's business: every change to a persisted type
//! raises it, and the old reader stays.
//!
//! Invariant: no I/O, no clock. Bytes from the network never come here (bincode is unmaintained, RUSTSEC-2025-0141). Persisted types use no
//! `flatten`, `untagged` or `skip_serializing_if`, and do not contain themselves: nesting is bounded by the type alone.

mod frame;
mod value;

pub use frame::{FRAME_BYTES, open, seal};
pub use value::{VALUE_MAX_BYTES, decode, decode_body, encode};
