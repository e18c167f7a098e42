//! What a client knows of a file or folder before it uploads it: the digest under which the head would store it, and so whether it is there.

use std::fs::{File, Metadata};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};

use crate::archive::{Archive, tar_name};
use crate::domain::{Digest, Error, Packing};
use crate::limits::PIECE_BYTES;
use crate::unpack::Unpacker;

/// How a file is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As it is: a shared file.
    AsIs,
    /// A data set, which is to be split: unpacked, if it is compressed; a folder and a zip archive as a tar.
    Plain,
}

/// What stands at a path, before its content is read.
pub(super) struct Found {
    path: PathBuf,
    form: Form,
    /// What is stored as a tar.
    archive: Option<Archive>,
    /// What is sent, in bytes.
    pub len: u64,
    /// What is stored, in bytes, if that is known.
    pub stored_len: Option<u64>,
    stamp: Stamp,
}

/// What tells that a file was written to: its length, and when that was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    len: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    fn of(data: &Metadata) -> Self {
        Self { len: data.len(), modified: data.modified().ok() }
    }

    /// `Invalid` if the file was written to since.
    pub(super) fn still_fits(&self, file: &File) -> Result<(), Error> {
        let now = file.metadata().map_err(|error| Error::internal(format!("can't look at a file that is open: {error}")))?;
        if Self::of(&now) == *self {
            return Ok(());
        }
        Err(Error::invalid("has changed while it was sent: wait until it is complete, and upload it again"))
    }
}

/// What a file turned out to be.
pub(super) struct Hashed {
    /// Of what the head will store.
    pub digest: Digest,
    /// What it is called then.
    pub name: String,
    /// Of a folder.
    pub folder: Option<Archive>,
}

impl Found {
    /// Looks, in a thread of its own.
    pub(super) async fn at(path: PathBuf, form: Form) -> Result<Self, Error> {
        in_thread(move || {
            let archive = if form == Form::Plain { Archive::open(&path).map_err(|error| about(&path, error))? } else { None };
            let data = std::fs::metadata(&path).map_err(|error| Error::io(&path, &error))?;
            if form == Form::AsIs && data.is_dir() {
                return Err(Error::invalid(format!("{}: is a folder; a file is needed", path.display())));
            }
            let tar_len = archive.as_ref().map(Archive::tar_len);
            let len = if let Some(Archive::Folder(_)) = &archive { tar_len.unwrap_or_default() } else { data.len() };
            let is_packed = form == Form::Plain && archive.is_none() && Packing::of(&head_of(&path)?).is_some();
            let stored_len = if is_packed { None } else { tar_len.or(Some(len)) };
            Ok(Self { path, form, archive, len, stored_len, stamp: Stamp::of(&data) })
        })
        .await
    }

    /// A file that is stored byte for byte, whose digest the head can say as well: when it was written, and the same again, should it have to be
    /// read here after all. None for what becomes something else.
    pub(super) fn as_file(&self) -> Option<(Stamp, Self)> {
        let is_plain = self.archive.is_none() && self.stored_len.is_some();
        let (path, form, len, stored_len, stamp) = (self.path.clone(), self.form, self.len, self.stored_len, self.stamp);
        is_plain.then(|| (stamp, Self { path, form, archive: None, len, stored_len, stamp }))
    }

    /// Reads all of it, in a thread of its own.
    pub(super) async fn hash(self, name: &str) -> Result<Hashed, Error> {
        let name = name.to_owned();
        in_thread(move || {
            let path = self.path.clone();
            self.hash_now(name).map_err(|error| about(&path, error))
        })
        .await
    }

    fn hash_now(self, name: String) -> Result<Hashed, Error> {
        let mut hash = Sha256::new();
        let mut update = |data: &[u8]| {
            hash.update(data);
            Ok(())
        };
        if let Some(mut archive) = self.archive {
            archive.write(&mut update)?;
            let folder = if let Archive::Folder(_) = archive { Some(archive) } else { None };
            return Ok(Hashed { digest: Digest(hash.finalize().into()), name: tar_name(&name), folder });
        }
        let failed = |error: std::io::Error| Error::io(&self.path, &error);
        let mut file = File::open(&self.path).map_err(failed)?;
        let mut buffer = vec![0; PIECE_BYTES];
        let mut unpacker = (self.form == Form::Plain).then(Unpacker::default);
        loop {
            let n = file.read(&mut buffer).map_err(failed)?;
            let Some(data) = buffer.get(..n).filter(|data| !data.is_empty()) else { break };
            match &mut unpacker {
                Some(unpacker) => unpacker.feed(data, &mut update)?,
                None => update(data)?,
            }
        }
        let packing = unpacker.map_or(Ok(None), |unpacker| unpacker.finish(&mut update))?;
        let name = if packing.is_some() { Packing::plain_name(&name).into_owned() } else { name };
        Ok(Hashed { digest: Digest(hash.finalize().into()), name, folder: None })
    }
}

fn head_of(path: &Path) -> Result<Vec<u8>, Error> {
    let (mut head, failed) = (Vec::new(), |error| Error::io(path, &error));
    File::open(path).map_err(failed)?.take(Packing::HEAD_BYTES as u64).read_to_end(&mut head).map_err(failed)?;
    Ok(head)
}

/// Names the file, unless the error does.
fn about(path: &Path, error: Error) -> Error {
    let path = path.display().to_string();
    if error.message.starts_with(&path) { error } else { error.context(path) }
}

async fn in_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Error::internal(format!("hashing stopped: {error}")))?
}
