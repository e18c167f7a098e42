//! A file that takes room which the head may need: on a full disk it goes, and the journal has room for what has to be written still.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate, statvfs};

use super::folder;
use crate::domain::{DiskRoom, Error};
use crate::limits::DISK_RESERVE_BYTES;

/// `<data folder>/reserve`.
#[derive(Debug)]
pub struct Reserve {
    folder: PathBuf,
    path: PathBuf,
    len: u64,
}

impl Reserve {
    /// Of this data folder, which is made, durably, if it is not there.
    pub fn new(data_folder: &Path) -> Result<Self, Error> {
        folder::create(data_folder)?;
        let mut reserve = Self { folder: data_folder.to_owned(), path: data_folder.join("reserve"), len: 0 };
        reserve.len = DISK_RESERVE_BYTES.min(disk_room(data_folder)?.total / 100);
        Ok(reserve)
    }

    /// The disk's room. The reserve does not count as free: so taking or leaving it changes nothing.
    pub fn room(&self) -> Result<DiskRoom, Error> {
        let there = fs::metadata(&self.path).map_or(0, |file| file.len());
        let room = disk_room(&self.folder)?;
        Ok(DiskRoom { free: room.free.saturating_sub(self.len.saturating_sub(there)), ..room })
    }

    /// Takes the room; fine if it is taken.
    pub fn take(&self) -> Result<(), Error> {
        if self.len == 0 || fs::metadata(&self.path).is_ok_and(|file| file.len() == self.len) {
            return Ok(());
        }
        let file = File::create(&self.path).map_err(|error| Error::io(&self.path, &error))?;
        let taken = fallocate(&file, FallocateFlags::empty(), 0, self.len);
        taken.map_err(|error| {
            let _ = fs::remove_file(&self.path);
            Error::io(&self.path, &error.into())
        })
    }

    /// Leaves it to others; fine if it is not taken. Whether it was.
    pub fn leave(&self) -> Result<bool, Error> {
        match fs::remove_file(&self.path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::io(&self.path, &error)),
        }
    }
}

/// The room of the disk that a folder lies on.
pub fn disk_room(folder: &Path) -> Result<DiskRoom, Error> {
    let stat = statvfs(folder).map_err(|error| Error::io(folder, &error.into()))?;
    Ok(DiskRoom { free: stat.f_bavail.saturating_mul(stat.f_frsize), total: stat.f_blocks.saturating_mul(stat.f_frsize) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_taken_and_left() {
        let folder = tempfile::tempdir().unwrap();
        let reserve = Reserve { len: 1 << 20, ..Reserve::new(folder.path()).unwrap() };
        reserve.take().unwrap();
        reserve.take().unwrap();
        assert_eq!(fs::metadata(folder.path().join("reserve")).unwrap().len(), 1 << 20);
        assert!(reserve.room().unwrap().free <= reserve.room().unwrap().total);
        assert!(reserve.leave().unwrap());
        assert!(!reserve.leave().unwrap());
        assert!(!folder.path().join("reserve").exists());
    }

    #[test]
    fn a_file_of_another_length_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let reserve = Reserve { len: 8192, ..Reserve::new(folder.path()).unwrap() };
        fs::write(folder.path().join("reserve"), "short").unwrap();
        reserve.take().unwrap();
        assert_eq!(fs::metadata(folder.path().join("reserve")).unwrap().len(), 8192);
    }
}
