//! A data set on its way in.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::datasets::path_of;
use super::folder;
use crate::domain::{Digest, Error};
use crate::failpoint;

/// What was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The content's name.
    pub digest: Digest,
    /// Its length in bytes.
    pub len: u64,
}

/// A growing temporary file, hashed as it is written. Dropping it removes the file.
#[derive(Debug)]
pub struct Upload {
    root: PathBuf,
    path: PathBuf,
    file: File,
    hasher: Sha256,
    len: u64,
    failed: Option<Error>,
}

impl Upload {
    /// A new file at `path`, for the data sets under `root`.
    pub(super) fn begin(root: &Path, path: PathBuf) -> Result<Self, Error> {
        let file = File::create_new(&path).map_err(|error| Error::io(&path, &error))?;
        Ok(Self { root: root.to_owned(), path, file, hasher: Sha256::new(), len: 0, failed: None })
    }

    /// Adds bytes. `Exhausted` if the disk is full; after an error the upload is lost.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.usable()?;
        if let Err(error) = self.file.write_all(bytes) {
            // Some of it may have been written: file and hash no longer agree.
            let error = Error::io(&self.path, &error);
            self.failed = Some(error.clone());
            return Err(error);
        }
        self.hasher.update(bytes);
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Bytes so far.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing was written so far.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Stores the content under its name, durably; content that is there already is kept. `Invalid` if it is not what was `expected`.
    pub fn finish(mut self, expected: Option<Digest>) -> Result<Stored, Error> {
        self.usable()?;
        let digest = Digest(std::mem::take(&mut self.hasher).finalize().into());
        if let Some(expected) = expected.filter(|expected| *expected != digest) {
            return Err(Error::invalid(format!("the data set's digest is {digest}, not {expected}: upload it again")));
        }
        let target = path_of(&self.root, digest);
        if fs::metadata(&target).is_ok_and(|there| there.len() == self.len) {
            // Another upload may have renamed it a moment ago.
            folder::sync_parent(&target)?;
        } else {
            self.file.sync_data().map_err(|error| Error::io(&self.path, &error))?;
            target.parent().map_or(Ok(()), folder::create)?;
            failpoint::hit("upload.before_rename");
            folder::rename(&self.path, &target)?;
            failpoint::hit("upload.after_rename");
        }
        Ok(Stored { digest, len: self.len })
    }

    fn usable(&self) -> Result<(), Error> {
        self.failed.clone().map_or(Ok(()), Err)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // Gone already if it was renamed; what stays is removed when the head starts.
        let _ = fs::remove_file(&self.path);
    }
}
