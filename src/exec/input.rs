//! A slot's own input: a small chunk, in a file that the tasks of a job use one after the other.
//!
//! To make a file and a folder for each chunk, and to remove them, costs as much as to start a process; a file that is there already only gets
//! another name and other bytes. It is one job's own: whatever a task kept of it shows it nothing of another job.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, RawDir, Uid, fchown, fstat, openat, renameat, unlinkat};

use super::trash::is_real;
use super::watched::is;
use crate::domain::JobId;

/// Of the folder.
const FOLDER_MODE: u32 = 0o700;
/// Read-only for tasks, unless they are root's.
const FILE_MODE: u32 = 0o400;

/// Room for the names in a folder that holds one file.
const LIST_BYTES: usize = 1024;

/// A file, open for writing, that was a task's input.
#[derive(Debug)]
pub(super) struct InputFile {
    job: JobId,
    file: File,
    /// The folder that it was put into, whatever a task puts in its place.
    folder: OwnedFd,
    owner: Option<u32>,
    /// Where it is.
    pub path: PathBuf,
    len: u64,
}

impl InputFile {
    /// A new file of this name, in a folder that is empty; `owner`'s, if it is not the worker's own user.
    pub fn create(folder: &Path, job: JobId, name: &str, bytes: &[u8], owner: Option<u32>) -> io::Result<Self> {
        let path = folder.join(name);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = openat(CWD, folder, flags, Mode::empty())?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(openat(&folder, name, flags, Mode::from_raw_mode(FILE_MODE))?);
        if let Some(owner) = owner {
            fchown(&file, Some(Uid::from_raw(owner)), Some(Gid::from_raw(owner)))?;
        }
        file.write_all_at(bytes, 0)?;
        Ok(Self { job, file, folder, owner, path, len: bytes.len() as u64 })
    }

    /// Takes it away.
    pub fn remove(self) -> io::Result<()> {
        Ok(unlinkat(&self.folder, self.path.file_name().unwrap_or_default(), AtFlags::empty())?)
    }

    /// Whether a task of this job may have it.
    pub fn is_of(&self, job: JobId) -> bool {
        self.job == job
    }

    /// Gives it another name and other bytes.
    pub fn becomes(mut self, name: &str, bytes: &[u8]) -> io::Result<Self> {
        let path = self.path.with_file_name(name);
        if path != self.path {
            let old = self.path.file_name().unwrap_or_default();
            renameat(&self.folder, old, &self.folder, name)?;
            self.path = path;
        }
        self.file.write_all_at(bytes, 0)?;
        let len = bytes.len() as u64;
        // Never to nothing and then to something: some file systems bring such a file to the disk when it is closed (`auto_da_alloc` of ext4).
        if len < self.len {
            self.file.set_len(len)?;
        }
        self.len = len;
        Ok(self)
    }

    /// Whether it lies where it was put, alone, under no other name, and is as long as it was. What it holds is written anew for the next task.
    pub fn is_as_left(&self) -> io::Result<bool> {
        let meta = self.file.metadata()?;
        let is_whole = meta.nlink() == 1
            && meta.len() == self.len
            && meta.mode() & 0o7777 == FILE_MODE
            && self.owner.is_none_or(|owner| owner == meta.uid());
        Ok(is_whole && self.is_alone(meta.ino())?)
    }

    fn is_alone(&self, inode: u64) -> io::Result<bool> {
        let (Some(folder), Some(name)) = (self.path.parent(), self.path.file_name()) else { return Ok(false) };
        let name = CString::new(name.as_bytes())?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = openat(CWD, folder, flags, Mode::empty())?;
        let (stat, known) = (fstat(&folder)?, fstat(&self.folder)?);
        let is_the_same = (stat.st_dev, stat.st_ino) == (known.st_dev, known.st_ino);
        if !is_the_same || !is(&stat, FileType::Directory, FOLDER_MODE, self.owner) {
            return Ok(false);
        }
        let mut buffer = [MaybeUninit::uninit(); LIST_BYTES];
        let (mut entries, mut is_there) = (RawDir::new(folder, &mut buffer), false);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            if entry.file_name() == name.as_c_str() && entry.ino() == inode {
                is_there = true;
            } else if is_real(entry.file_name()) {
                return Ok(false);
            }
        }
        Ok(is_there)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    use super::*;

    const JOB: JobId = JobId(7);

    struct Place {
        dir: tempfile::TempDir,
        input: Option<InputFile>,
    }

    impl Place {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            fs::set_permissions(dir.path(), fs::Permissions::from_mode(FOLDER_MODE)).unwrap();
            let input = InputFile::create(dir.path(), JOB, "a-000001.txt", b"first\nlong\n", None).unwrap();
            Self { dir, input: Some(input) }
        }

        fn becomes(&mut self, name: &str, bytes: &[u8]) {
            self.input = Some(self.input.take().unwrap().becomes(name, bytes).unwrap());
        }

        fn is_as_left(&self) -> bool {
            self.input.as_ref().unwrap().is_as_left().unwrap()
        }

        fn does(&self, script: &str) {
            let status = Command::new("/bin/sh").args(["-ec", script]).current_dir(self.dir.path()).status().unwrap();
            assert!(status.success(), "{script}");
        }
    }

    #[test]
    fn it_gets_other_bytes_and_another_name_and_stays_the_same_file() {
        let mut place = Place::new();
        assert!(place.is_as_left());
        let inode = fs::metadata(place.dir.path().join("a-000001.txt")).unwrap().ino();
        for (name, bytes) in [("a-000002.txt", "b\n"), ("a-000003.txt", "something longer than ever before\n"), ("a-000003.txt", "")] {
            place.becomes(name, bytes.as_bytes());
            assert!(place.is_as_left(), "{name}");
            let path = place.dir.path().join(name);
            assert_eq!((fs::read_to_string(&path).unwrap(), fs::metadata(&path).unwrap().ino()), (bytes.to_owned(), inode));
            assert_eq!(fs::read_dir(place.dir.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn whatever_a_task_does_beside_it_or_to_it_shows() {
        for script in [
            ": > a-000001.txt.idx",
            "mkdir d",
            "rm -f a-000001.txt",
            "mv a-000001.txt b.txt",
            "ln a-000001.txt ../kept-by-a-test && mv ../kept-by-a-test b.txt",
            "cp a-000001.txt x && mv -f x a-000001.txt",
            "chmod 600 a-000001.txt",
            "chmod 500 .",
            "chmod 600 a-000001.txt && echo >> a-000001.txt && chmod 400 a-000001.txt",
        ] {
            let place = Place::new();
            place.does(script);
            assert!(!place.is_as_left(), "{script}");
        }
    }
}
