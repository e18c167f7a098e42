//! What became of uploads that were stored within the last day, for clients that have not heard of it.
//!
//! ```text
//! <folder>/<id>     "<about> <came> <digest> <name>\n"
//! ```
//! A receipt is durable before the content gets its place, so it says where the bytes of an upload are, whenever the head dies.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::PathBuf;
use std::time::Duration;

use super::folder;
use super::partials::UploadKey;
use crate::domain::{Digest, Error};
use crate::limits::{PARTIAL_UPLOAD_KEPT, UPLOAD_RECEIPT_MAX_BYTES, UPLOAD_RECEIPTS_MAX};

/// What an upload was stored as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Of all that the client said of it, a digest.
    pub about: Digest,
    /// What came. It is not what was stored where that was unpacked, or made a tar.
    pub came: Digest,
    /// What was stored.
    pub digest: Digest,
    /// Its name.
    pub name: String,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Receipts {
    folder: PathBuf,
}

impl Receipts {
    pub(super) fn open_folder(folder: PathBuf) -> Result<Self, Error> {
        folder::create(&folder)?;
        Ok(Self { folder })
    }

    /// Writes one, durably.
    pub(super) fn note(&self, id: u128, receipt: &Receipt) -> Result<(), Error> {
        let Receipt { about, came, digest, name } = receipt;
        let path = self.path(id);
        let write = || {
            let mut file = File::create(&path)?;
            file.write_all(format!("{about} {came} {digest} {name}\n").as_bytes())?;
            file.sync_data()
        };
        write().map_err(|error| Error::io(&path, &error))?;
        folder::sync_parent(&path)
    }

    /// The one of an upload, if the same was said of it.
    pub(super) fn find(&self, key: &UploadKey) -> Option<Receipt> {
        self.read(key.id).filter(|receipt| receipt.about == key.about)
    }

    /// That of an upload which is no more.
    pub(super) fn forget(&self, id: u128) {
        let path = self.path(id);
        if let Err(error) = fs::remove_file(&path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %error, "an upload's receipt can't be removed");
        }
    }

    /// Forgets those that nobody has asked for within a day, and of too many the oldest.
    pub(super) fn forget_old(&self) -> Result<(), Error> {
        let age = |id: u128| Some((fs::metadata(self.path(id)).ok()?.modified().ok()?.elapsed().unwrap_or_default(), id));
        let mut all: Vec<(Duration, u128)> = self.ids()?.into_iter().filter_map(age).collect();
        all.sort_unstable();
        let old = all.iter().enumerate().filter(|(no, (age, _))| *no >= UPLOAD_RECEIPTS_MAX || *age > PARTIAL_UPLOAD_KEPT);
        old.for_each(|(_, (_, id))| self.forget(*id));
        Ok(())
    }

    /// All that can be read.
    pub(super) fn all(&self) -> Result<Vec<(u128, Receipt)>, Error> {
        Ok(self.ids()?.into_iter().filter_map(|id| Some((id, self.read(id)?))).collect())
    }

    fn ids(&self) -> Result<Vec<u128>, Error> {
        Ok(folder::names(&self.folder)?.iter().filter_map(|name| u128::from_str_radix(name, 16).ok()).collect())
    }

    /// None for one that was cut by a crash: its content has not got its place then.
    fn read(&self, id: u128) -> Option<Receipt> {
        let mut text = String::new();
        File::open(self.path(id)).ok()?.take(UPLOAD_RECEIPT_MAX_BYTES).read_to_string(&mut text).ok()?;
        let parts: Vec<&str> = text.strip_suffix('\n')?.splitn(4, ' ').collect();
        let [about, came, digest, name] = parts[..] else { return None };
        Some(Receipt { about: about.parse().ok()?, came: came.parse().ok()?, digest: digest.parse().ok()?, name: name.to_owned() })
    }

    fn path(&self, id: u128) -> PathBuf {
        self.folder.join(format!("{id:032x}"))
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn receipt(name: &str) -> Receipt {
        Receipt { about: Digest([1; 32]), came: Digest([2; 32]), digest: Digest([3; 32]), name: name.into() }
    }

    fn opened() -> (tempfile::TempDir, Receipts) {
        let folder = tempfile::tempdir().unwrap();
        let receipts = Receipts::open_folder(folder.path().join("stored")).unwrap();
        (folder, receipts)
    }

    #[test]
    fn what_was_noted_is_found_for_the_same_upload_only() {
        let (_folder, receipts) = opened();
        let key = UploadKey { id: 5, about: Digest([1; 32]), digest: None };
        let noted = receipt(&"a name with ü ".repeat(17));
        receipts.note(5, &receipt("first")).unwrap();
        receipts.note(5, &noted).unwrap();
        assert_eq!(receipts.find(&key), Some(noted));
        assert_eq!(receipts.find(&UploadKey { id: 6, ..key }), None);
        assert_eq!(receipts.find(&UploadKey { about: Digest([3; 32]), ..key }), None);
        receipts.forget(5);
        receipts.forget(5);
        assert_eq!(receipts.find(&key), None);
    }

    #[test]
    fn one_that_is_cut_is_none() {
        let (_folder, receipts) = opened();
        receipts.note(5, &receipt("x.txt")).unwrap();
        let text = fs::read(receipts.path(5)).unwrap();
        for len in 0..text.len() {
            fs::write(receipts.path(5), &text[..len]).unwrap();
            assert_eq!(receipts.all().unwrap(), [], "{len}");
        }
        fs::write(receipts.path(5), &text).unwrap();
        assert_eq!(receipts.all().unwrap(), [(5, receipt("x.txt"))]);
    }

    #[test]
    fn they_go_after_a_day() {
        let (_folder, receipts) = opened();
        [5, 6].iter().for_each(|id| receipts.note(*id, &receipt("x")).unwrap());
        let file = File::options().write(true).open(receipts.path(5)).unwrap();
        file.set_modified(SystemTime::now() - PARTIAL_UPLOAD_KEPT - Duration::from_secs(60)).unwrap();
        receipts.forget_old().unwrap();
        assert_eq!(receipts.all().unwrap(), [(6, receipt("x"))]);
    }
}
