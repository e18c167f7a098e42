//! What sled's `flush` leaves out: it ends in `sync_file_range`, which survives a crash of the process but not a loss of power, and it never
//! syncs the files in its `blobs/` folder.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{File, read_dir};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::domain::Error;

/// Makes durable what sled has written, through descriptors that stay open.
#[derive(Debug)]
pub(super) struct DiskSync {
    db: File,
    db_path: PathBuf,
    blobs: File,
    blobs_path: PathBuf,
    synced: BTreeSet<OsString>,
    /// A test's disk that fails.
    #[cfg(test)]
    pub broken: bool,
}

impl DiskSync {
    /// For the store in `folder`, which sled has opened before: syncs everything in it, and the folder itself.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let (db_path, blobs_path) = (folder.join("db"), folder.join("blobs"));
        let mut sync = Self {
            db: open(&db_path)?,
            blobs: open(&blobs_path)?,
            db_path,
            blobs_path,
            synced: BTreeSet::new(),
            #[cfg(test)]
            broken: false,
        };
        sync.sync_blobs()?;
        sync_all(&sync.blobs, &sync.blobs_path)?;
        sync_path(&folder.join("conf"))?;
        sync_all(&sync.db, &sync.db_path)?;
        sync_path(folder)?;
        Ok(sync)
    }

    /// Makes durable what was flushed. An error is fatal: the kernel may have dropped the pages, and a second try would find nothing to do.
    pub fn sync(&mut self) -> Result<(), Error> {
        #[cfg(test)]
        if self.broken {
            return Err(Error::internal("a broken disk"));
        }
        self.sync_blobs()?;
        self.db.sync_data().map_err(|error| Error::io(&self.db_path, &error))
    }

    fn sync_blobs(&mut self) -> Result<(), Error> {
        let mut present = BTreeSet::new();
        let mut grown = false;
        let io = |error| Error::io(&self.blobs_path, &error);
        for entry in read_dir(&self.blobs_path).map_err(io)? {
            let name = entry.map_err(io)?.file_name();
            if !self.synced.contains(&name) {
                match File::open(self.blobs_path.join(&name)) {
                    Ok(file) => sync_all(&file, &self.blobs_path.join(&name))?,
                    Err(error) if error.kind() == ErrorKind::NotFound => continue,
                    Err(error) => return Err(Error::io(self.blobs_path.join(&name), &error)),
                }
                grown = true;
            }
            present.insert(name);
        }
        self.synced = present;
        if grown { sync_all(&self.blobs, &self.blobs_path) } else { Ok(()) }
    }
}

/// Makes `path`, with its parents, and makes that durable.
pub(super) fn create_folder(path: &Path) -> Result<(), Error> {
    let parent = path.parent().map(|parent| if parent == Path::new("") { Path::new(".") } else { parent });
    match (std::fs::create_dir(path), parent) {
        (Ok(()), Some(parent)) => sync_path(parent),
        (Ok(()), None) => Ok(()),
        (Err(error), _) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        (Err(error), Some(parent)) if error.kind() == ErrorKind::NotFound && !parent.exists() => {
            create_folder(parent)?;
            create_folder(path)
        }
        (Err(error), _) => Err(Error::io(path, &error)),
    }
}

fn open(path: &Path) -> Result<File, Error> {
    File::open(path).map_err(|error| Error::io(path, &error))
}

fn sync_path(path: &Path) -> Result<(), Error> {
    sync_all(&open(path)?, path)
}

fn sync_all(file: &File, path: &Path) -> Result<(), Error> {
    file.sync_all().map_err(|error| Error::io(path, &error))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_new_file_in_blobs_is_synced_once_and_forgotten_when_it_goes() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("blobs")).unwrap();
        for name in ["db", "conf", "blobs/1"] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        let mut sync = DiskSync::open(folder.path()).unwrap();
        assert_eq!(sync.synced.len(), 1);
        fs::write(folder.path().join("blobs/2"), "2").unwrap();
        sync.sync().unwrap();
        assert_eq!(sync.synced.len(), 2);
        fs::remove_file(folder.path().join("blobs/1")).unwrap();
        sync.sync().unwrap();
        assert_eq!(sync.synced.len(), 1);
    }

    #[test]
    fn folders_are_made_with_their_parents() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b/c");
        create_folder(&deep).unwrap();
        create_folder(&deep).unwrap();
        assert!(deep.is_dir());
        fs::write(folder.path().join("file"), "").unwrap();
        assert!(create_folder(&folder.path().join("file")).is_err());
    }
}
