//! What tasks leave behind, from a worker's folder to one zip archive.
//!
//! ```text
//! worker:  stdout, stderr, output folder ── pack ──► Packed + packed bytes
//! head:    result records in a segment file ── assemble ──► Layout ── read_at ──► any byte range of the archive
//! ```
//! Contents are compressed once, where they arise, and never again: the archive is *virtual*. A [`Layout`] holds its headers and knows
//! where everything else lies.
//!
//! Invariant: it knows nothing of stores, blobs, processes or actors: paths, files, writers and [`ReadAt`] come in as arguments.
//! It never extracts an archive.

mod archive;
mod assemble;
mod check;
mod deflate;
mod folder;
mod headers;
mod layout;
mod link;
mod manifest;
mod names;
mod pack;
mod pack_error;
mod run;
mod spool;
mod task;
#[cfg(test)]
mod testing;

pub use archive::{LayoutBuilder, Piece};
pub use assemble::assemble;
pub use check::check_packed;
pub use layout::{Layout, ReadAt};
pub use names::archive_file_name;
pub use pack::{Left, Press, pack, pack_streams};
pub use pack_error::PackError;
pub use spool::{Spool, SpoolWriter, Spooled};
pub use task::{BundleJob, BundleTask, TaskState};
