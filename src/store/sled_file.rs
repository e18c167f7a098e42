//! One sled database used as a plain ordered file that is durable when it says so, and that dies of its first error.

use std::ops::RangeBounds;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::disk_sync::{DiskSync, create_folder};
use crate::domain::{Error, ErrorKind};
use crate::limits;

/// sled's threads may hold its files for a moment after the last handle is gone.
const REOPEN_MAX: Duration = Duration::from_secs(5);
const REOPEN_EVERY: Duration = Duration::from_millis(20);

/// A sled database with the syncs that it leaves out.
pub(super) struct SledFile {
    /// None once dead: sled syncs when it is dropped, and must not after a failure.
    db: Option<sled::Db>,
    folder: PathBuf,
    disk: DiskSync,
    dead: Option<Error>,
}

impl SledFile {
    /// Opens or makes the database in `folder`. The caller holds the data folder's lock.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        create_folder(folder)?;
        let since = Instant::now();
        let db = loop {
            match open_once(folder) {
                Err(error) if error.kind == ErrorKind::Conflict && since.elapsed() < REOPEN_MAX => std::thread::sleep(REOPEN_EVERY),
                result => break result.map_err(|error| error.context(folder.display()))?,
            }
        };
        Ok(Self { db: Some(db), folder: folder.to_owned(), disk: DiskSync::open(folder)?, dead: None })
    }

    /// The value of `key`.
    pub fn get(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.call(|db| Ok(db.get(key)?.map(|value| value.to_vec())))
    }

    /// Sets `key`; durable with the next [`Self::commit`].
    pub fn insert(&mut self, key: &[u8], value: Vec<u8>) -> Result<(), Error> {
        self.call(|db| db.insert(key, value).map(drop))
    }

    /// Removes `keys`; durable with the next [`Self::commit`].
    pub fn remove(&mut self, keys: impl IntoIterator<Item = Vec<u8>>) -> Result<(), Error> {
        self.call(|db| keys.into_iter().try_for_each(|key| db.remove(key).map(drop)))
    }

    /// The last key within `range`.
    pub fn last_key<K: AsRef<[u8]>>(&mut self, range: impl RangeBounds<K>) -> Result<Option<Vec<u8>>, Error> {
        self.call(|db| Ok(db.range(range).next_back().transpose()?.map(|(key, _)| key.to_vec())))
    }

    /// The keys within `range`.
    pub fn keys<K: AsRef<[u8]>>(&mut self, range: impl RangeBounds<K>) -> Result<Vec<Vec<u8>>, Error> {
        self.call(|db| db.range(range).keys().map(|key| key.map(|key| key.to_vec())).collect())
    }

    /// Shows `each` every key and value within `range`, in order. An error of `each` ends it, and harms nothing.
    pub fn scan<K: AsRef<[u8]>>(
        &mut self,
        range: impl RangeBounds<K>,
        mut each: impl FnMut(&[u8], &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.call(|db| {
            for entry in db.range(range) {
                let (key, value) = entry?;
                if let Err(error) = each(&key, &value) {
                    return Ok(Err(error));
                }
            }
            Ok(Ok(()))
        })?
    }

    /// Makes everything so far durable.
    pub fn commit(&mut self) -> Result<(), Error> {
        self.call(|db| db.flush().map(drop))?;
        let result = self.disk.sync();
        self.or_die(result)
    }

    /// Breaks the disk, for a test.
    #[cfg(test)]
    pub fn break_disk(&mut self) {
        self.disk.broken = true;
    }

    /// Calls sled, and dies of its error. sled asserts much about what it reads: a panic of its is damage.
    fn call<T>(&mut self, act: impl FnOnce(&sled::Db) -> sled::Result<T>) -> Result<T, Error> {
        let Some(db) = &self.db else { return Err(self.dead.clone().unwrap_or_else(|| Error::internal("the store is closed"))) };
        let result = guarded(|| act(db)).map_err(|error| error.context(self.folder.display()));
        self.or_die(result)
    }

    fn or_die<T>(&mut self, result: Result<T, Error>) -> Result<T, Error> {
        result.map_err(|error| {
            let error = error.context("the store failed and takes nothing more: look after the disk, then start the head again");
            self.dead = Some(error.clone());
            std::mem::forget(self.db.take());
            error
        })
    }
}

impl Drop for SledFile {
    fn drop(&mut self) {
        // sled asserts that its last sync works; nothing acknowledged depends on it.
        let db = self.db.take();
        let _ = catch_unwind(AssertUnwindSafe(move || drop(db)));
    }
}

fn open_once(folder: &Path) -> Result<sled::Db, Error> {
    guarded(|| {
        sled::Config::new().path(folder).cache_capacity(limits::STORE_CACHE_BYTES).flush_every_ms(None).use_compression(false).open()
    })
}

fn guarded<T>(act: impl FnOnce() -> sled::Result<T>) -> Result<T, Error> {
    match catch_unwind(AssertUnwindSafe(act)) {
        Ok(result) => result.map_err(|error| translate(&error)),
        Err(_) => Err(Error::corrupt("sled stopped at something it did not expect in its files")),
    }
}

fn translate(error: &sled::Error) -> Error {
    match error {
        // sled makes one text of the refused lock.
        sled::Error::Io(io) if io.to_string().starts_with("could not acquire lock") => Error::conflict("in use by another process"),
        sled::Error::Io(io) => Error::io("sled", io),
        sled::Error::Corruption { .. } => Error::corrupt(error.to_string()),
        sled::Error::CollectionNotFound(_) | sled::Error::Unsupported(_) | sled::Error::ReportableBug(_) => {
            Error::internal(error.to_string())
        }
    }
}
