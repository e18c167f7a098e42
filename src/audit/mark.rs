//! How far the audit had come, beside it, so that one that has lost its end does not pass for whole.
//!
//! Written after each group of lines is durable, and not synced: after a loss of power it may say too little, but never too much.

use std::fs::File;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use crate::codec;
use crate::domain::{Digest, Error};

use super::chain::Link;

const VERSION: u8 = 1;
const NAME: &str = "mark";

/// The file, open to write.
pub struct Mark(File);

impl Mark {
    /// Opens it, or makes it.
    pub(super) fn open(dir: &Path) -> Result<Self, Error> {
        let path = dir.join(NAME);
        let mut options = File::options();
        let opened = options.create(true).truncate(false).write(true).mode(0o600).open(&path);
        opened.map(Self).map_err(|error| Error::io(&path, &error))
    }

    /// What it says; none where there is none, or a loss of power has cut it short.
    pub fn read(dir: &Path) -> Option<Link> {
        let bytes = std::fs::read(dir.join(NAME)).ok()?;
        let (_, body) = codec::open(&bytes).ok().filter(|(version, _)| *version == VERSION)?;
        let (seq, hash) = body.split_first_chunk::<8>()?;
        Some(Link { seq: u64::from_le_bytes(*seq), hash: Digest(hash.try_into().ok()?) })
    }

    /// Notes what is durable.
    pub(super) fn put(&self, link: Link) -> Result<(), Error> {
        let bytes = codec::seal(VERSION, &[link.seq.to_le_bytes().as_slice(), &link.hash.0].concat());
        self.0.write_all_at(&bytes, 0).map_err(|error| Error::io(NAME, &error))
    }
}
