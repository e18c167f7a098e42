//! Data sets and shared files: content stored once, under its digest.
//!
//! ```text
//! <root>/ab/abcdef…     one file per content
//! <root>/tmp/17         an upload
//! <root>/partial/<id>.… an upload that can be gone on with
//! <root>/aside/abcdef…  one that was deleted a moment ago
//! ```

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::folder;
use super::upload::Upload;
use crate::domain::{Digest, Error, ErrorKind};
use crate::limits::{PARTIAL_UPLOAD_KEPT, PARTIAL_UPLOADS_MAX};

/// Uploads that can be gone on with, below the root.
const PARTIAL: &str = "partial";

/// Where contents lie that were deleted a moment ago.
const ASIDE: &str = "aside";

/// All stored contents. Shared by threads; callers see to it that nothing is removed that is used or uploaded at the time.
#[derive(Debug)]
pub struct DatasetStore {
    root: PathBuf,
    next_upload: AtomicU64,
}

impl DatasetStore {
    /// Opens or makes the store in `root`, and removes what unfinished uploads left. One store per folder at a time.
    pub fn open(root: &Path) -> Result<Self, Error> {
        let aside = root.join(ASIDE);
        folder::create(&aside)?;
        for name in folder::names(&aside)? {
            let path = aside.join(name);
            fs::remove_file(&path).map_err(|error| Error::io(&path, &error))?;
        }
        let uploads = root.join("tmp");
        folder::create(&uploads)?;
        for entry in fs::read_dir(&uploads).map_err(|error| Error::io(&uploads, &error))? {
            let path = entry.map_err(|error| Error::io(&uploads, &error))?.path();
            fs::remove_file(&path).map_err(|error| Error::io(&path, &error))?;
            tracing::info!(path = %path.display(), "removed: an upload that was never finished");
        }
        folder::create(&root.join(PARTIAL))?;
        let store = Self { root: root.to_owned(), next_upload: AtomicU64::new(0) };
        store.give_up_old()?;
        Ok(store)
    }

    /// Removes uploads to which nothing has come for a day; how many are left.
    fn give_up_old(&self) -> Result<usize, Error> {
        let (folder, mut left) = (self.root.join(PARTIAL), 0);
        for name in folder::names(&folder)? {
            let path = folder.join(name);
            let age = fs::metadata(&path).and_then(|data| data.modified()).map(|at| at.elapsed().unwrap_or_default());
            if age.is_ok_and(|age| age > PARTIAL_UPLOAD_KEPT) && fs::remove_file(&path).is_ok() {
                tracing::info!(path = %path.display(), "removed: an upload to which nothing has come for a day");
            } else {
                left += 1;
            }
        }
        Ok(left)
    }

    /// Goes on with an upload, or begins it. `about` is a digest of what the uploader says of it. One at a time for each id: that is the
    /// caller's business.
    ///
    /// # Errors
    /// `Conflict` if something else was said of this id before; `Exhausted` for too many uploads that have not ended.
    pub fn go_on_with_upload(&self, id: u128, about: Digest) -> Result<Upload, Error> {
        let left = self.give_up_old()?;
        let (folder, about) = (self.root.join(PARTIAL), about.to_string());
        let (id, name) = (format!("{id:032x}"), format!("{id:032x}.{about}"));
        match folder::names(&folder)?.iter().find(|there| there.starts_with(&id)) {
            Some(there) if *there != name => {
                Err(Error::conflict("another upload has begun by this upload_id, with another digest, length or form: choose a new one"))
            }
            None if left >= PARTIAL_UPLOADS_MAX => Err(Error::exhausted(format!(
                "{left} uploads have begun and not ended, no more are taken (PARTIAL_UPLOADS_MAX): those to which nothing comes go after a day"
            ))),
            _ => Upload::go_on(&self.root, folder.join(name)),
        }
    }

    /// Begins an upload, next to the stored contents.
    pub fn begin_upload(&self) -> Result<Upload, Error> {
        let no = self.next_upload.fetch_add(1, Ordering::Relaxed);
        Upload::begin(&self.root, self.root.join("tmp").join(no.to_string()))
    }

    /// Opens a stored content; `NotFound` if it is not there.
    pub fn open_dataset(&self, digest: Digest) -> Result<Dataset, Error> {
        let path = path_of(&self.root, digest);
        let open = File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
        match open {
            Ok((len, file)) => Ok(Dataset { file, len, path }),
            Err(error) => match Error::io(&path, &error) {
                Error { kind: ErrorKind::NotFound, .. } => Err(Error::not_found(format!("no data set {digest}: upload it"))),
                error => Err(error),
            },
        }
    }

    /// All contents; what else lies there is passed over.
    pub fn list(&self) -> Result<Vec<Digest>, Error> {
        let mut found = Vec::new();
        for folder in folder::names(&self.root)?.into_iter().map(|name| self.root.join(name)).filter(|path| path.is_dir()) {
            let digests = folder::names(&folder)?.into_iter().filter_map(|name| name.parse::<Digest>().ok());
            found.extend(digests.filter(|digest| path_of(&self.root, *digest).starts_with(&folder)));
        }
        Ok(found)
    }

    /// Whether a content is there.
    pub fn contains(&self, digest: Digest) -> bool {
        path_of(&self.root, digest).is_file()
    }

    /// Takes a content away, durably, so that it can be brought back for a while; fine if it is not there. Whoever has it open reads on.
    pub fn put_aside(&self, digest: Digest) -> Result<(), Error> {
        let path = path_of(&self.root, digest);
        match fs::rename(&path, self.aside(digest)) {
            Ok(()) => folder::sync_parent(&path),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(Error::io(&path, &error)),
        }
    }

    /// Brings a content back, durably, if it was put aside and is not there again. `Unavailable` if it is not there in the end.
    pub fn bring_back(&self, digest: Digest) -> Result<(), Error> {
        let path = path_of(&self.root, digest);
        if self.contains(digest) {
            return Ok(());
        }
        folder::rename(&self.aside(digest), &path).map_err(|error| {
            Error::unavailable(format!("data set {digest} was deleted while it was stored again ({error}): upload it again"))
        })
    }

    /// Removes a content that was put aside, for good.
    pub fn discard(&self, digest: Digest) -> Result<(), Error> {
        let path = self.aside(digest);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io(&path, &error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn aside(&self, digest: Digest) -> PathBuf {
        self.root.join(ASIDE).join(digest.to_string())
    }

    /// Removes a content, durably; fine if it is not there. Whoever has it open reads on.
    pub fn remove(&self, digest: Digest) -> Result<(), Error> {
        let path = path_of(&self.root, digest);
        match fs::remove_file(&path) {
            Ok(()) => folder::sync_parent(&path),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(Error::io(&path, &error)),
        }
    }
}

/// A stored content, open to read.
#[derive(Debug)]
pub struct Dataset {
    file: File,
    len: u64,
    path: PathBuf,
}

impl Dataset {
    /// Its file, for reading by position or `sendfile`.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Its length in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Fills `buf` from `offset` on; returns how many bytes there were, fewer only at the end.
    pub fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize, Error> {
        // Also keeps an absurd offset from the kernel, which refuses it.
        let wanted = self.len.saturating_sub(offset).min(buf.len() as u64) as usize;
        let mut filled = 0;
        while let Some(rest) = buf.get_mut(filled..wanted).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, offset.saturating_add(filled as u64)) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io(&self.path, &error)),
            }
        }
        Ok(filled)
    }
}

/// Where a content lies.
pub(super) fn path_of(root: &Path, digest: Digest) -> PathBuf {
    let [first, ..] = digest.0;
    root.join(format!("{first:02x}")).join(digest.to_string())
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::super::upload::Stored;
    use super::*;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn opened() -> (TempDir, DatasetStore) {
        let folder = tempfile::tempdir().unwrap();
        let store = DatasetStore::open(folder.path()).unwrap();
        (folder, store)
    }

    fn uploads(folder: &TempDir) -> usize {
        fs::read_dir(folder.path().join("tmp")).unwrap().count()
    }

    #[test]
    fn content_is_stored_under_its_sha256_and_read_by_position() {
        let (folder, store) = opened();
        let mut upload = store.begin_upload().unwrap();
        upload.write(b"a").unwrap();
        upload.write(b"bc").unwrap();
        let digest = ABC.parse().unwrap();
        assert_eq!(upload.finish(Some(digest)).unwrap(), Stored { digest, len: 3 });
        assert!(folder.path().join("ba").join(ABC).is_file());
        assert_eq!(uploads(&folder), 0);

        let store = DatasetStore::open(folder.path()).unwrap();
        let dataset = store.open_dataset(digest).unwrap();
        let mut buf = [0; 9];
        assert_eq!(dataset.len(), 3);
        assert_eq!((dataset.read_at(1, &mut buf).unwrap(), &buf[..2]), (2, &b"bc"[..]));
        for beyond in [3, 4, u64::MAX / 2, u64::MAX] {
            assert_eq!(dataset.read_at(beyond, &mut buf).unwrap(), 0);
        }
    }

    #[test]
    fn the_same_content_is_stored_once_and_damage_is_replaced() {
        let (folder, store) = opened();
        let upload = || {
            let mut upload = store.begin_upload().unwrap();
            upload.write(b"abc").unwrap();
            upload.finish(None).unwrap()
        };
        let first = upload();
        assert_eq!(upload(), first);
        let path = folder.path().join("ba").join(ABC);
        fs::write(&path, "a").unwrap();
        assert_eq!(upload(), first);
        assert_eq!(fs::read(&path).unwrap(), b"abc");
        assert_eq!(uploads(&folder), 0);
    }

    #[test]
    fn other_content_than_expected_is_refused_and_leaves_nothing() {
        let (folder, store) = opened();
        let mut upload = store.begin_upload().unwrap();
        upload.write(b"abd").unwrap();
        assert_eq!(upload.finish(Some(ABC.parse().unwrap())).unwrap_err().kind, ErrorKind::Invalid);
        assert_eq!(uploads(&folder), 0);
        assert!(!store.contains(ABC.parse().unwrap()));
    }

    #[test]
    fn an_upload_that_is_dropped_or_left_behind_goes_away() {
        let (folder, store) = opened();
        drop(store.begin_upload().unwrap());
        assert_eq!(uploads(&folder), 0);
        std::mem::forget(store.begin_upload().unwrap());
        assert_eq!(uploads(&folder), 1);
        DatasetStore::open(folder.path()).unwrap();
        assert_eq!(uploads(&folder), 0);
    }

    #[test]
    fn what_is_removed_is_gone_for_new_readers_only() {
        let (_folder, store) = opened();
        let Stored { digest, .. } = {
            let mut upload = store.begin_upload().unwrap();
            upload.write(b"abc").unwrap();
            upload.finish(None).unwrap()
        };
        let dataset = store.open_dataset(digest).unwrap();
        assert!(store.contains(digest));
        store.remove(digest).unwrap();
        store.remove(digest).unwrap();
        assert!(!store.contains(digest));
        assert_eq!(store.open_dataset(digest).unwrap_err().kind, ErrorKind::NotFound);
        assert_eq!(dataset.read_at(0, &mut [0; 3]).unwrap(), 3);
    }

    #[test]
    fn an_empty_content_is_one_too() {
        let (_folder, store) = opened();
        let stored = store.begin_upload().unwrap().finish(None).unwrap();
        assert!(store.open_dataset(stored.digest).unwrap().is_empty());
    }
}
