//! A slot's folders and files, made once and used by one task after the other: making a folder costs a tenth of starting a process.
//!
//! ```text
//! root/slot-3/work/    a task's working folder, empty at its start
//!            /out/     `{output}`, empty at its start
//!            /stdout   its standard output
//!            /stderr   its standard error
//!            /trash/   what is being removed; there only as long as that takes
//! ```
//! Tasks run as the worker's own user, so anything here can have been changed, deleted, locked or replaced when a task has ended.

use std::ffi::{CStr, CString};
use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, openat, statat};
use rustix::io::{Errno, Result as SysResult};

use super::trash::{TRASH, Trash, is_real, make_folder, open_folder};
use crate::domain::Error;

const WORK: &CStr = c"work";
const OUT: &CStr = c"out";
const STDOUT: &CStr = c"stdout";
const STDERR: &CStr = c"stderr";
/// The permissions of everything here are for the owner only.
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// The folders of one slot.
#[derive(Clone, Debug)]
pub struct SlotFolders {
    root: PathBuf,
    slot: PathBuf,
    name: CString,
}

impl SlotFolders {
    /// Makes them below `root` (absolute), or takes them over and cleans up what a crash has left there.
    pub fn new(root: &Path, slot_no: u32) -> Result<Self, Error> {
        if !root.is_absolute() {
            return Err(Error::invalid(format!("folder `{}` for slots: give an absolute path", root.display())));
        }
        let name = format!("slot-{slot_no}");
        let slot = root.join(&name);
        let name = CString::new(name).map_err(|_| Error::internal("a number holds a NUL character"))?;
        let folders = Self { root: root.to_owned(), slot, name };
        folders.reset()?;
        Ok(folders)
    }

    /// The folder of all of them.
    pub fn slot(&self) -> &Path {
        &self.slot
    }

    /// A task's working folder.
    pub fn work(&self) -> PathBuf {
        self.slot.join("work")
    }

    /// A task's output folder.
    pub fn out(&self) -> PathBuf {
        self.slot.join("out")
    }

    /// Where a task's standard output goes.
    pub fn stdout(&self) -> PathBuf {
        self.slot.join("stdout")
    }

    /// Where a task's standard error goes.
    pub fn stderr(&self) -> PathBuf {
        self.slot.join("stderr")
    }

    /// Makes them as new, after a task whose result has been taken in. A few system calls where nothing was left.
    ///
    /// An error means that the slot can't be used. What merely can't be removed (another user's, immutable) is logged and stays in the
    /// trash, to be tried again by the next call that finds it.
    pub fn reset(&self) -> Result<(), Error> {
        fs::create_dir_all(&self.root).map_err(|error| Error::io(&self.root, &error))?;
        self.reset_slot().map_err(|errno| Error::io(&self.slot, &io::Error::from(errno)))
    }

    /// Whether a task that starts now finds all as new; a few system calls less than [`reset`](Self::reset).
    pub fn are_as_new(&self) -> bool {
        // What can't be looked at is a matter for a reset.
        self.look().unwrap_or(false)
    }

    fn look(&self) -> SysResult<bool> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let slot = openat(rustix::fs::CWD, &self.slot, flags, Mode::empty())?;
        let mut folders = 0;
        for entry in Dir::read_from(&slot)? {
            let entry = entry?;
            let name = entry.file_name();
            if is_real(name) && !is_as_new(slot.as_fd(), name)? {
                return Ok(false);
            }
            folders += usize::from(name == WORK || name == OUT);
        }
        Ok(folders == 2)
    }

    /// Whether the disk has room for so many bytes, and takes and keeps them; what is tried is removed.
    pub fn probe(&self, bytes: u64) -> Result<(), Error> {
        let path = self.slot.join("probe");
        // Nothing that lies there by this name is written to.
        let tried = fs::File::create_new(&path).and_then(|mut file| {
            file.write_all(&vec![0; bytes as usize])?;
            file.sync_all()
        });
        // It goes with the next reset if not now.
        let _ = fs::remove_file(&path);
        tried.map_err(|error| Error::io(&self.slot, &error))
    }

    /// Bytes that are free on the disk; without end where it does not say.
    pub fn free_bytes(&self) -> u64 {
        rustix::fs::statvfs(&self.slot).map_or(u64::MAX, |stat| stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn reset_slot(&self) -> SysResult<()> {
        let root = openat(rustix::fs::CWD, &self.root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        make_folder(root.as_fd(), &self.name)?;
        let slot = open_folder(root.as_fd(), &*self.name)?;
        let slot = slot.as_fd();
        let mut trash = None;
        for entry in Dir::read_from(slot)? {
            let entry = entry?;
            let name = entry.file_name();
            if name == TRASH || (is_real(name) && !is_as_new(slot, name)?) {
                throw_away(slot, name, &mut trash)?;
            }
        }
        make_folder(slot, WORK)?;
        make_folder(slot, OUT)?;
        if let Some(Err(errno)) = trash.map(|trash| trash.empty(slot)) {
            tracing::warn!(folder = %self.slot.display(), error = %errno, "what a task left can't be removed; it stays in the trash");
        }
        Ok(())
    }
}

/// Into the trash with it, which is opened if it isn't yet.
fn throw_away(slot: BorrowedFd<'_>, name: &CStr, trash: &mut Option<Trash>) -> SysResult<()> {
    let trash = match trash {
        Some(trash) => trash,
        None => trash.insert(Trash::open(slot)?),
    };
    if name == TRASH { Ok(()) } else { trash.take(slot, name) }
}

/// Whether the next task can't tell that there was one before.
fn is_as_new(slot: BorrowedFd<'_>, name: &CStr) -> SysResult<bool> {
    let stat = match statat(slot, name, AtFlags::SYMLINK_NOFOLLOW) {
        // Removed since the folder was read; or a name of the trash's, seen while it came and went.
        Err(Errno::NOENT) => return Ok(true),
        result => result?,
    };
    if name == WORK || name == OUT {
        return Ok(is(&stat, FileType::Directory, FOLDER_MODE) && is_empty(slot, name)?);
    }
    // A second link would make it part of some task's output.
    Ok((name == STDOUT || name == STDERR) && is(&stat, FileType::RegularFile, FILE_MODE) && stat.st_nlink == 1 && stat.st_size == 0)
}

fn is(stat: &Stat, kind: FileType, mode: u32) -> bool {
    FileType::from_raw_mode(stat.st_mode) == kind && stat.st_mode & 0o7777 == mode
}

fn is_empty(slot: BorrowedFd<'_>, name: &CStr) -> SysResult<bool> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    for entry in Dir::new(openat(slot, name, flags, Mode::empty())?)? {
        if is_real(entry?.file_name()) {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::process::Command;

    use super::*;

    struct Place {
        root: tempfile::TempDir,
        folders: SlotFolders,
    }

    impl Place {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            let folders = SlotFolders::new(&root.path().join("slots"), 3).unwrap();
            Self { root, folders }
        }

        /// Does what a task could do, in its working folder; then resets, and all must be as new.
        fn after(self, script: &str) -> Self {
            let status = Command::new("/bin/sh").args(["-ec", script]).current_dir(self.folders.work()).status().unwrap();
            assert!(status.success(), "{script}");
            assert_eq!(self.folders.are_as_new(), script == ":", "{script}");
            self.folders.reset().unwrap();
            self.is_as_new();
            self
        }

        fn is_as_new(&self) {
            let mut names: Vec<_> = fs::read_dir(self.folders.slot()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            names.retain(|name| name != "stdout" && name != "stderr");
            names.sort();
            assert_eq!(names, ["out", "work"]);
            for folder in [self.folders.work(), self.folders.out()] {
                let meta = fs::symlink_metadata(&folder).unwrap();
                assert!(meta.is_dir() && meta.permissions().mode() & 0o7777 == 0o700);
                assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
            }
            for file in [self.folders.stdout(), self.folders.stderr()] {
                assert!(fs::symlink_metadata(&file).map_or(true, |meta| meta.is_file() && meta.len() == 0 && meta.nlink() == 1));
            }
            assert!(self.folders.are_as_new());
        }
    }

    #[test]
    fn folders_that_were_not_used_stay_the_same() {
        let place = Place::new();
        let inode = |path: PathBuf| fs::metadata(path).unwrap().ino();
        let before = [inode(place.folders.work()), inode(place.folders.out())];
        let place = place.after(":");
        assert_eq!(before, [inode(place.folders.work()), inode(place.folders.out())]);
    }

    #[test]
    fn files_folders_and_outputs_are_removed() {
        Place::new()
            .after(
                "mkdir -p a/b/c ../out/d; echo > a/b/c/f; echo > ../out/d/g; echo > .hidden; mkfifo p; echo > ../stdout; mkdir ../stderr",
            )
            .after("i=0; while [ $i -lt 500 ]; do : > f$i; mkdir d$i; : > d$i/f; i=$((i+1)); done")
            .after("ln -s loop loop; ln -s / root; echo x > ../junk; mkdir -p ../more/junk")
            .after("mkdir -p ../trash/0/1 ../trash/18446744073709551615/2; : > ../trash/1");
    }

    #[test]
    fn locked_folders_are_removed() {
        Place::new().after("mkdir -p a/b/c ../out/d/e; : > a/b/c/f; chmod 000 a/b/c a/b a ../out/d/e ../out/d ../out $PWD ${PWD%/work}");
    }

    #[test]
    fn what_links_point_to_is_left_alone() {
        let place = Place::new();
        let precious = place.root.path().join("precious");
        fs::create_dir(&precious).unwrap();
        fs::write(precious.join("file"), "x").unwrap();
        fs::set_permissions(&precious, fs::Permissions::from_mode(0o755)).unwrap();
        let place = place
            .after("ln -s ../../../precious a; mkdir b; ln -s ../../../../precious/file b/c")
            .after("rmdir ../work; ln -s ../../precious ../work; rmdir ../out; ln -s ../../precious ../out")
            .after("ln -sf ../../precious/file ../stdout; ln -sfn ../../precious ../trash")
            .after("ln -f ../../../precious/file ../stdout");
        fs::remove_dir_all(place.folders.slot()).unwrap();
        symlink(&precious, place.folders.slot()).unwrap();
        place.folders.reset().unwrap();
        place.is_as_new();
        assert_eq!(fs::read_to_string(precious.join("file")).unwrap(), "x");
        assert_eq!(fs::metadata(&precious).unwrap().permissions().mode() & 0o777, 0o755);
    }

    #[test]
    fn folders_that_were_removed_or_replaced_come_back() {
        Place::new()
            .after("rmdir ../work ../out")
            .after("rmdir ../work ../out; : > ../work; mkfifo ../out; mkfifo ../stdout")
            .after("rm -rf ../../slot-3")
            .after("rm -rf ../../slot-3; : > ../../slot-3")
            .after("rm -rf ../../../slots");
    }

    #[test]
    fn an_output_that_is_linked_elsewhere_is_not_used_again() {
        let place = Place::new().after(": > ../stdout; chmod 600 ../stdout; ln ../stdout ../../kept");
        assert!(!place.folders.stdout().exists());
    }

    #[test]
    fn a_tree_deeper_than_any_path_is_removed() {
        let place = Place::new();
        let mut at = openat(rustix::fs::CWD, place.folders.work(), OFlags::PATH, Mode::empty()).unwrap();
        for _ in 0..2000 {
            rustix::fs::mkdirat(&at, "d", Mode::RWXU).unwrap();
            at = openat(&at, "d", OFlags::PATH, Mode::empty()).unwrap();
        }
        place.folders.reset().unwrap();
        place.is_as_new();
    }
}
