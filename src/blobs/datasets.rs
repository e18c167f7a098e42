//! Data sets and shared files: content stored once, under its digest.
//!
//! ```text
//! <root>/ab/abcdef…     one file per content
//! <root>/tmp/17         an upload
//! <root>/partial/<id>.… an upload that can be gone on with
//! <root>/stored/<id>    what became of one that was stored within the last day
//! <root>/aside/abcdef…  one that was deleted a moment ago
//! ```

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::folder;
use super::partials::{Partials, UploadKey};
use super::receipts::{Receipt, Receipts};
use super::upload::Upload;
use crate::domain::{Digest, Error, ErrorKind};

/// Uploads that can be gone on with, below the root.
const PARTIAL: &str = "partial";

/// What became of uploads that were stored.
const STORED: &str = "stored";

/// Where contents lie that were deleted a moment ago.
const ASIDE: &str = "aside";

/// All stored contents. Shared by threads; callers see to it that nothing is removed that is used or uploaded at the time.
#[derive(Debug)]
pub struct DatasetStore {
    root: PathBuf,
    next_upload: AtomicU64,
    partials: Partials,
    receipts: Receipts,
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
        let (partials, receipts) = (Partials::open_folder(root.join(PARTIAL))?, Receipts::open_folder(root.join(STORED))?);
        let store = Self { root: root.to_owned(), next_upload: AtomicU64::new(0), partials, receipts };
        store.sweep(0, Duration::MAX)?;
        Ok(store)
    }

    /// Goes on with an upload, or begins it. One at a time for each id: that is the caller's business.
    ///
    /// # Errors
    /// `Conflict` if something else was said of this id before; `Exhausted` for too many uploads that have not ended.
    pub fn go_on_with_upload(&self, key: UploadKey) -> Result<Upload, Error> {
        Upload::go_on(&self.root, self.partials.open(key)?)
    }

    /// How many bytes have come of an upload that has not ended; none of one that is not known.
    pub fn len_of_upload(&self, id: u128) -> Result<Option<u64>, Error> {
        self.partials.len(id)
    }

    /// Gives up what nobody has asked for within a day; and, if so many bytes are lacking on the disk, uploads that are not open and have been
    /// silent for `idle_after`, the longest first.
    pub fn sweep(&self, lacking: u64, idle_after: Duration) -> Result<(), Error> {
        self.partials.give_up_old(lacking, idle_after)?;
        self.receipts.forget_old()
    }

    /// Gives up uploads that are not open and whose content is known.
    pub fn give_up_known(&self, is_known: impl Fn(Digest) -> bool) -> Result<(), Error> {
        self.partials.give_up_known(is_known)
    }

    /// Notes, durably, as what an upload is about to be stored, if it is one that can be gone on with.
    pub fn note_receipt(&self, upload: &Upload, digest: Digest, name: &str) -> Result<(), Error> {
        let Some(UploadKey { id, about, .. }) = upload.key() else { return Ok(()) };
        self.receipts.note(id, &Receipt { about, came: upload.digest(), digest, name: name.to_owned() })
    }

    /// As what an upload was stored, if its content is there.
    pub fn receipt(&self, key: UploadKey) -> Option<Receipt> {
        let receipt = self.receipts.find(&key)?;
        let is_there = self.contains(receipt.digest);
        if !is_there {
            // It was deleted since, or never came so far.
            self.receipts.forget(key.id);
        }
        is_there.then_some(receipt)
    }

    /// Makes contents that are not known uploads again that have not ended: the head died before it could note them. What was made of an
    /// upload is not that upload, which lies beside it. Only while nobody stores anything.
    pub fn take_back(&self, is_known: impl Fn(Digest) -> bool) -> Result<(), Error> {
        for (id, Receipt { about, came, digest, .. }) in self.receipts.all()?.into_iter().filter(|(_, receipt)| !is_known(receipt.digest)) {
            if came == digest {
                self.partials.take_in(UploadKey { id, about, digest: None }, &path_of(&self.root, digest))?;
            }
            self.receipts.forget(id);
        }
        Ok(())
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

impl DatasetStore {
    /// Where a content lies, if it is there.
    pub fn path(&self, digest: Digest) -> PathBuf {
        path_of(&self.root, digest)
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
        assert_eq!(upload.finish().unwrap(), Stored { digest, len: 3 });
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
            upload.finish().unwrap()
        };
        let first = upload();
        assert_eq!(upload(), first);
        let path = folder.path().join("ba").join(ABC);
        fs::write(&path, "a").unwrap();
        assert_eq!(upload(), first);
        assert_eq!(fs::read(&path).unwrap(), b"abc");
        assert_eq!(uploads(&folder), 0);
    }

    fn key(id: u128) -> UploadKey {
        UploadKey { id, about: Digest([7; 32]), digest: None }
    }

    #[test]
    fn what_was_stored_and_never_noted_is_an_upload_again_with_all_its_bytes() {
        let (folder, store) = opened();
        // Two of the same content: the second lies beside the first.
        let abc = ABC.parse().unwrap();
        for id in [1, 2] {
            let mut upload = store.go_on_with_upload(key(id)).unwrap();
            upload.write(b"abc").unwrap();
            store.note_receipt(&upload, upload.digest(), "x.txt").unwrap();
            upload.finish().unwrap();
        }
        assert_eq!(store.receipt(key(1)).unwrap(), Receipt { about: Digest([7; 32]), came: abc, digest: abc, name: "x.txt".into() });
        assert_eq!((store.len_of_upload(1).unwrap(), store.len_of_upload(2).unwrap()), (None, Some(3)));
        // The head dies here.
        let store = DatasetStore::open(folder.path()).unwrap();
        store.take_back(|digest| digest == abc).unwrap();
        assert!(store.contains(abc) && store.receipt(key(1)).is_some(), "what is known stays");
        store.take_back(|_| false).unwrap();
        assert!(!store.contains(abc) && store.receipt(key(1)).is_none());
        for id in [1, 2] {
            let mut upload = store.go_on_with_upload(key(id)).unwrap();
            assert_eq!((upload.len(), upload.finish().unwrap().digest), (3, abc));
        }
    }

    #[test]
    fn what_was_made_of_an_upload_never_becomes_that_upload() {
        let (_folder, store) = opened();
        let mut upload = store.go_on_with_upload(key(1)).unwrap();
        upload.write(b"packed").unwrap();
        let mut made = store.begin_upload().unwrap();
        made.write(b"abc").unwrap();
        store.note_receipt(&upload, made.digest(), "x.txt").unwrap();
        made.finish().unwrap();
        // It was journalled, and deleted; and the head died before its bytes were away.
        upload.give_up();
        drop(upload);
        store.take_back(|_| false).unwrap();
        assert_eq!((store.len_of_upload(1).unwrap(), store.receipt(key(1))), (None, None));
    }

    #[test]
    fn a_receipt_for_what_was_deleted_is_none() {
        let (_folder, store) = opened();
        let mut upload = store.go_on_with_upload(key(1)).unwrap();
        upload.write(b"abc").unwrap();
        store.note_receipt(&upload, upload.digest(), "x.txt").unwrap();
        let digest = upload.finish().unwrap().digest;
        assert!(upload.write(b"d").is_err(), "its end has come");
        store.put_aside(digest).unwrap();
        assert_eq!(store.receipt(key(1)), None);
        store.bring_back(digest).unwrap();
        assert_eq!(store.receipt(key(1)), None, "it does not come back");
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
            upload.finish().unwrap()
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
        let stored = store.begin_upload().unwrap().finish().unwrap();
        assert!(store.open_dataset(stored.digest).unwrap().is_empty());
    }
}
