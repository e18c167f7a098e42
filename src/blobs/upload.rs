//! A data set on its way in.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::datasets::path_of;
use super::folder;
use super::partials::{OpenPartial, UploadKey};
use crate::domain::{Digest, Error, ErrorKind};
use crate::failpoint;
use crate::limits::PIECE_BYTES;

/// What was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The content's name.
    pub digest: Digest,
    /// Its length in bytes.
    pub len: u64,
}

/// A growing file, hashed as it is written. Dropping it removes the file, unless it is kept to go on with.
#[derive(Debug)]
pub struct Upload {
    root: PathBuf,
    path: PathBuf,
    file: File,
    hasher: Sha256,
    /// Of what an earlier upload has written.
    crc_at_first: crc32fast::Hasher,
    len: u64,
    failed: Option<Error>,
    is_kept: bool,
    /// Of one that can be gone on with.
    partial: Option<OpenPartial>,
}

impl Upload {
    /// A new file at `path`, for the data sets under `root`.
    pub(super) fn begin(root: &Path, path: PathBuf) -> Result<Self, Error> {
        let file = File::options().read(true).write(true).create_new(true).open(&path).map_err(|error| Error::io(&path, &error))?;
        let (hasher, crc_at_first) = (Sha256::new(), crc32fast::Hasher::new());
        Ok(Self { root: root.to_owned(), path, file, hasher, crc_at_first, len: 0, failed: None, is_kept: false, partial: None })
    }

    /// A file that stays when it is dropped, with what an earlier upload has written.
    pub(super) fn go_on(root: &Path, partial: OpenPartial) -> Result<Self, Error> {
        let (root, path) = (root.to_owned(), partial.path.clone());
        let file = folder::open_or_create(&path)?;
        let (hasher, crc_at_first) = (Sha256::new(), crc32fast::Hasher::new());
        let mut upload = Self { root, path, file, hasher, crc_at_first, len: 0, failed: None, is_kept: true, partial: Some(partial) };
        let mut reader = upload.file.try_clone().map_err(|error| Error::io(&upload.path, &error))?;
        let mut buffer = vec![0; PIECE_BYTES];
        loop {
            match reader.read(&mut buffer).map_err(|error| Error::io(&upload.path, &error))? {
                0 => break,
                len => {
                    upload.hasher.update(&buffer[..len]);
                    upload.crc_at_first.update(&buffer[..len]);
                    upload.len += len as u64;
                }
            }
        }
        upload.sync()?;
        Ok(upload)
    }

    /// Adds bytes. `Exhausted` if the disk is full; after an error it can only be dropped, and gone on with, if it is kept.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.write_unhashed(bytes)?;
        self.hasher.update(bytes);
        Ok(())
    }

    /// The hash of what was written, for another thread to go on with: all that is written by [`Self::write_unhashed`] until it is given back.
    pub fn hasher(&mut self) -> &mut Sha256 {
        &mut self.hasher
    }

    /// CRC-32 of what an earlier upload has written, to be gone on with.
    pub fn crc_at_first(&self) -> &crc32fast::Hasher {
        &self.crc_at_first
    }

    /// Adds bytes, and leaves it to the caller to hash them: see [`Self::hasher`].
    pub fn write_unhashed(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.usable()?;
        if let Err(error) = self.file.write_all(bytes) {
            // Some of it may have been written: file and hash no longer agree.
            let error = Error::io(&self.path, &error);
            self.failed = Some(error.clone());
            self.is_kept &= error.kind == ErrorKind::Exhausted;
            return Err(error);
        }
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Makes what was written durable.
    pub fn sync(&mut self) -> Result<(), Error> {
        self.usable()?;
        let synced = sync(&self.file, &self.path);
        if let Err(error) = &synced {
            self.sync_failed(error.clone());
        }
        synced
    }

    /// To sync it in another thread, while it is written. The error of that belongs to [`Self::sync_failed`].
    pub fn to_sync(&self) -> Result<ToSync, Error> {
        let file = self.file.try_clone().map_err(|error| Error::io(&self.path, &error))?;
        Ok(ToSync { file, path: self.path.clone() })
    }

    /// A sync has failed: it is not kept, and can only be dropped.
    pub fn sync_failed(&mut self, error: Error) {
        // What the kernel has dropped it says once only: the next sync of the same bytes would succeed, and mean nothing.
        self.failed = Some(error);
        self.is_kept = false;
    }

    /// What was written, to read it again.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Which one it is, if it can be gone on with.
    pub(super) fn key(&self) -> Option<UploadKey> {
        self.partial.as_ref().map(|partial| partial.key)
    }

    /// Nobody is to go on with it: it goes when it is dropped.
    pub fn give_up(&mut self) {
        self.is_kept = false;
    }

    /// Bytes so far.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing was written so far.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Of what was written so far.
    pub fn digest(&self) -> Digest {
        Digest(self.hasher.clone().finalize().into())
    }

    /// Stores the content under its name, durably; nothing can be written afterwards. Where that content is there already it stays, and what
    /// was written lies beside it until this upload is given up.
    pub fn finish(&mut self) -> Result<Stored, Error> {
        self.usable()?;
        let digest = self.digest();
        let target = path_of(&self.root, digest);
        if fs::metadata(&target).is_ok_and(|there| there.len() == self.len) {
            // Another upload may have renamed it a moment ago.
            folder::sync_parent(&target)?;
        } else {
            self.sync()?;
            target.parent().map_or(Ok(()), folder::create)?;
            failpoint::hit("upload.before_rename");
            folder::rename(&self.path, &target)?;
            failpoint::hit("upload.after_rename");
        }
        self.failed = Some(Error::internal("an upload is written to after its end: this is a mistake in Millpond"));
        Ok(Stored { digest, len: self.len })
    }

    fn usable(&self) -> Result<(), Error> {
        self.failed.clone().map_or(Ok(()), Err)
    }
}

/// The file of an [`Upload`], to be synced.
#[derive(Debug)]
pub struct ToSync {
    file: File,
    path: PathBuf,
}

impl ToSync {
    /// Makes durable what was written before this call.
    pub fn sync(&self) -> Result<(), Error> {
        sync(&self.file, &self.path)
    }
}

fn sync(file: &File, path: &Path) -> Result<(), Error> {
    file.sync_data().map_err(|error| Error::io(path, &error))
}

impl Drop for Upload {
    fn drop(&mut self) {
        if !self.is_kept {
            // Gone already if it was renamed; what stays is removed when the head starts.
            let _ = fs::remove_file(&self.path);
        }
    }
}
