//! Floor 2: folders and zip archives as tar archives, and the files of a tar.
//!
//! ```text
//! folder, zip ─► Archive: names and lengths ─► write(sink): the canonical tar     a chunk of a tar ─► unpack_files ─► files in a folder ─► Seal
//! ```
//! A data set of files is stored as one plain tar, whatever it came as: so a chunk is what it is everywhere, a byte range. The tar of a folder
//! and of a zip is canonical: sorted by name, without owners, times and permissions. The same files have the same digest.
//!
//! Invariant: what leads out of a folder, a link or a name, is never followed. Memory grows with the number of files, which is limited, not
//! with what they hold.

mod canonical;
mod contents;
mod folder;
#[cfg(test)]
mod properties;
mod seal;
#[cfg(test)]
mod tests;
mod unpack_files;
mod zipped;

pub use canonical::{Sink, tar_name};
pub use contents::{Archive, is_zip};
pub use seal::Seal;
pub use unpack_files::{Layout, unpack_files};
