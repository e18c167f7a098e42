//! What a client knows of a file before it uploads it: the digest under which the head would store it, and so whether it is there.

use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::domain::{Digest, Error, Packing};
use crate::limits::PIECE_BYTES;
use crate::unpack::Unpacker;

/// How a file is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As it is: a shared file.
    AsIs,
    /// Unpacked, if it is compressed: a data set, which is to be split.
    Plain,
}

/// What a file turned out to be.
pub(super) struct Hashed {
    /// Of what the head will store.
    pub digest: Digest,
    /// Of the file, in bytes.
    pub len: u64,
    /// What is undone.
    pub packing: Option<Packing>,
}

impl Hashed {
    /// Reads a file, in a thread of its own.
    pub(super) async fn of_file(path: PathBuf, form: Form) -> Result<Self, Error> {
        let hashing = tokio::task::spawn_blocking(move || hash_file(&path, form));
        hashing.await.map_err(|error| Error::internal(format!("hashing stopped: {error}")))?
    }
}

fn hash_file(path: &Path, form: Form) -> Result<Hashed, Error> {
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::IsADirectory => Error::invalid(format!("{}: is a folder; a file is needed", path.display())),
        _ => Error::io(path, &error),
    };
    let mut file = std::fs::File::open(path).map_err(failed)?;
    let mut buffer = vec![0; PIECE_BYTES];
    let (mut hash, mut len) = (Sha256::new(), 0);
    let mut unpacker = (form == Form::Plain).then(Unpacker::default);
    let mut update = |data: &[u8]| {
        hash.update(data);
        Ok(())
    };
    let damaged = |error: Error| error.context(path.display());
    loop {
        let n = file.read(&mut buffer).map_err(failed)?;
        let Some(data) = buffer.get(..n).filter(|data| !data.is_empty()) else { break };
        match &mut unpacker {
            Some(unpacker) => unpacker.feed(data, &mut update).map_err(damaged)?,
            None => update(data)?,
        }
        len += n as u64;
    }
    let packing = unpacker.map_or(Ok(None), |unpacker| unpacker.finish(&mut update)).map_err(damaged)?;
    Ok(Hashed { digest: Digest(hash.finalize().into()), len, packing })
}
