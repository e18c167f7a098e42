//! A slot's folders and files, made once and used by one task after the other: making a folder costs a tenth of starting a process.
//!
//! ```text
//! root/slot-3/work/    a task's working folder, empty at its start
//!            /out/     `{output}`, empty at its start
//!            /in/      its chunk, if that is small
//!            /stdout   its standard output
//!            /stderr   its standard error
//!            /trash/   what is being removed; there only as long as that takes
//!     /trash-70001/     the same, of this user's, where slots have users of their own: no task comes here
//! ```
//! Anything here can have been changed, deleted, locked or replaced when a task has ended. In a sandbox all of it belongs to the slot's own user,
//! and the worker, who may do anything, handles nothing that is somebody else's: it goes from folder to folder, and follows no link.

use std::ffi::{CStr, CString};
use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, Uid, chownat, openat, statat};
use rustix::io::{Errno, Result as SysResult};
use rustix::path::Arg;

use super::input::InputFile;
use super::trash::{TRASH, Trash, is_real, make_folder, open_folder, remove_tree, sweep};
use super::watched::{Watched, is};
use crate::domain::{Error, JobId};

const WORK: &CStr = c"work";
const OUT: &CStr = c"out";
const IN: &CStr = c"in";
const STDOUT: &CStr = c"stdout";
const STDERR: &CStr = c"stderr";
/// The permissions of everything here are for the owner only.
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// The folders of one slot.
#[derive(Debug)]
pub struct SlotFolders {
    root: PathBuf,
    name: CString,
    /// To whom all of it belongs; none: to the worker's own user.
    owner: Option<u32>,
    slot: Watched,
    work: Watched,
    out: Watched,
    input_folder: Watched,
    input: Option<InputFile>,
    stdout: PathBuf,
    stderr: PathBuf,
}

/// What lies in a slot's folders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing but what was printed, in files that the next task can use as well.
    Printed {
        /// Something is in the standard output.
        stdout: bool,
        /// Something is in the standard error.
        stderr: bool,
    },
    /// Something else; or they can't be looked at.
    More,
}

impl Found {
    /// The next task can't tell that there was one before.
    pub const NOTHING: Self = Self::Printed { stdout: false, stderr: false };
}

impl SlotFolders {
    /// Makes them below `root` (absolute), or takes them over and cleans up what a crash has left there. They belong to `owner`, if it is not the
    /// worker's own user; what an earlier owner has left is removed.
    pub fn new(root: &Path, slot_no: u32, owner: Option<u32>) -> Result<Self, Error> {
        if !root.is_absolute() {
            return Err(Error::invalid(format!("folder `{}` for slots: give an absolute path", root.display())));
        }
        let name = format!("slot-{slot_no}");
        let slot = root.join(&name);
        let mut folders = Self {
            root: root.to_owned(),
            name: CString::new(name).map_err(|_| Error::internal("a number holds a NUL character"))?,
            owner,
            work: Watched::new(slot.join("work"), &[], owner),
            out: Watched::new(slot.join("out"), &[], owner),
            input_folder: Watched::new(slot.join("in"), &[], owner),
            input: None,
            stdout: slot.join("stdout"),
            stderr: slot.join("stderr"),
            slot: Watched::new(slot, &[WORK, OUT, IN, STDOUT, STDERR], owner),
        };
        folders.evict()?;
        folders.reset()?;
        // The first of two looks, from which on they are known.
        folders.look();
        Ok(folders)
    }

    /// Removes a slot's folder that belongs to somebody else: of an earlier start, whose slot had another user.
    fn evict(&self) -> Result<(), Error> {
        let Ok(slots) = openat(CWD, &self.root, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) else { return Ok(()) };
        let ours = self.owner.unwrap_or_else(|| rustix::process::geteuid().as_raw());
        match statat(&slots, &*self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if stat.st_uid == ours => {}
            // What root's tasks have left can be anybody's.
            Ok(stat) if stat.st_uid == 0 => remove_tree(self.slot())?,
            // He may still be at it.
            Ok(stat) => {
                let moved = Trash::of_user(slots.as_fd(), stat.st_uid).and_then(|mut trash| trash.take(slots.as_fd(), &self.name));
                moved.map_err(|errno| Error::io(self.slot(), &errno.into()))?;
            }
            Err(_) => {}
        }
        if let Err(errno) = sweep(slots.as_fd()) {
            tracing::warn!(folder = %self.root.display(), error = %errno, "what earlier tasks left can't be removed; it stays in the trash");
        }
        Ok(())
    }

    /// The folder of all of them.
    pub fn slot(&self) -> &Path {
        self.slot.path()
    }

    /// A task's working folder.
    pub fn work(&self) -> &Path {
        self.work.path()
    }

    /// A task's output folder.
    pub fn out(&self) -> &Path {
        self.out.path()
    }

    /// Where a task's chunk is, if that is small.
    pub fn input(&self) -> &Path {
        self.input_folder.path()
    }

    /// Where a task's standard output goes.
    pub fn stdout(&self) -> &Path {
        &self.stdout
    }

    /// Where a task's standard error goes.
    pub fn stderr(&self) -> &Path {
        &self.stderr
    }

    /// Puts a task's chunk there, where it stays until the next one comes, or a reset. Only while no task runs here.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn put_input(&mut self, job: JobId, name: &str, bytes: &[u8]) -> Result<PathBuf, Error> {
        let folder = self.input_folder.path();
        let put = match self.input.take() {
            Some(input) if input.is_of(job) => input.becomes(name, bytes),
            Some(input) => input.remove().and_then(|()| InputFile::create(folder, job, name, bytes, self.owner)),
            None => InputFile::create(folder, job, name, bytes, self.owner),
        };
        let input = put.map_err(|error| Error::io(folder.join(name), &error))?;
        Ok(self.input.insert(input).path.clone())
    }

    /// Nobody gets the file of the last task's chunk again: something of that task is still alive.
    pub fn abandon_input(&mut self) {
        self.input = None;
    }

    /// What lies there. Six system calls, if nothing was done to the folders for some seconds.
    pub fn look(&mut self) -> Found {
        // What can't be looked at is a matter for a reset.
        self.try_look().unwrap_or(Found::More)
    }

    fn try_look(&mut self) -> SysResult<Found> {
        for folder in [&mut self.slot, &mut self.work, &mut self.out] {
            if !folder.is_as_new(FOLDER_MODE)? {
                return Ok(Found::More);
            }
        }
        if !self.input_is_as_left()? {
            return Ok(Found::More);
        }
        Ok(match (printed(CWD, &self.stdout, self.owner)?, printed(CWD, &self.stderr, self.owner)?) {
            (Some(stdout), Some(stderr)) => Found::Printed { stdout, stderr },
            _ => Found::More,
        })
    }

    /// Whether there is nothing but the last task's chunk, if it had one.
    fn input_is_as_left(&mut self) -> SysResult<bool> {
        match &self.input {
            Some(input) => Ok(input.is_as_left().unwrap_or(false)),
            None => self.input_folder.is_as_new(FOLDER_MODE),
        }
    }

    /// Makes them as new, if that is what lies there.
    ///
    /// # Errors
    /// As for [`reset`](Self::reset).
    pub fn clean(&mut self, found: Found) -> Result<(), Error> {
        let cut = |printed: bool, path: &Path| if printed { cut(CWD, path) } else { Ok(()) };
        match found {
            Found::Printed { stdout, stderr } => {
                cut(stdout, &self.stdout).and_then(|()| cut(stderr, &self.stderr)).or_else(|_| self.reset())
            }
            Found::More => self.reset(),
        }
    }

    /// Makes them as new, after a task whose result has been taken in, whatever it left.
    ///
    /// An error means that the slot can't be used. What merely can't be removed (another user's, immutable) is logged and stays in the
    /// trash, to be tried again by the next call that finds it.
    pub fn reset(&mut self) -> Result<(), Error> {
        fs::create_dir_all(&self.root).map_err(|error| Error::io(&self.root, &error))?;
        self.input.take_if(|input| !input.is_as_left().unwrap_or(false));
        self.reset_slot().map_err(|errno| Error::io(self.slot(), &io::Error::from(errno)))
    }

    /// Whether the disk has room for so many bytes, and takes and keeps them; what is tried is removed.
    pub fn probe(&self, bytes: u64) -> Result<(), Error> {
        let path = self.slot().join("probe");
        // Nothing that lies there by this name is written to.
        let tried = fs::File::create_new(&path).and_then(|mut file| {
            file.write_all(&vec![0; bytes as usize])?;
            file.sync_all()
        });
        // It goes with the next reset if not now.
        let _ = fs::remove_file(&path);
        tried.map_err(|error| Error::io(self.slot(), &error))
    }

    /// Bytes that are free on the disk; without end where it does not say.
    pub fn free_bytes(&self) -> u64 {
        rustix::fs::statvfs(self.slot()).map_or(u64::MAX, |stat| stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// To the slot's own user.
    fn give(&self, at: BorrowedFd<'_>, name: &CStr) -> SysResult<()> {
        let Some(owner) = self.owner else { return Ok(()) };
        chownat(at, name, Some(Uid::from_raw(owner)), Some(Gid::from_raw(owner)), AtFlags::SYMLINK_NOFOLLOW)
    }

    fn reset_slot(&self) -> SysResult<()> {
        let root = openat(CWD, &self.root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        make_folder(root.as_fd(), &self.name)?;
        self.give(root.as_fd(), &self.name)?;
        let slot = open_folder(root.as_fd(), &*self.name)?;
        let slot = slot.as_fd();
        let mut trash = None;
        for entry in Dir::read_from(slot)? {
            let entry = entry?;
            let name = entry.file_name();
            let stays = name == IN && self.input.is_some();
            let is_trash = self.owner.is_none() && name == TRASH;
            if is_trash || (is_real(name) && !stays && !is_as_new(slot, name, self.owner)?) {
                let trash = match &mut trash {
                    Some(trash) => trash,
                    None => trash.insert(self.owner.map_or_else(|| Trash::open(slot), |owner| Trash::of_user(root.as_fd(), owner))?),
                };
                if !is_trash {
                    trash.take(slot, name)?;
                }
            }
        }
        for name in [WORK, OUT, IN] {
            make_folder(slot, name)?;
            self.give(slot, name)?;
        }
        let place = if self.owner.is_some() { root.as_fd() } else { slot };
        if let Some(Err(errno)) = trash.map(|trash| trash.empty(place)) {
            tracing::warn!(folder = %self.slot().display(), error = %errno, "what a task left can't be removed; it stays in the trash");
        }
        Ok(())
    }
}

/// Whether the next task can't tell that there was one before; what it printed is cut off.
fn is_as_new(slot: BorrowedFd<'_>, name: &CStr, owner: Option<u32>) -> SysResult<bool> {
    if name == STDOUT || name == STDERR {
        return match printed(slot, name, owner)? {
            Some(true) => cut(slot, name).map(|()| true),
            Some(false) => Ok(true),
            None => Ok(false),
        };
    }
    let stat = match statat(slot, name, AtFlags::SYMLINK_NOFOLLOW) {
        // Removed since the folder was read; or a name of the trash's, seen while it came and went.
        Err(Errno::NOENT) => return Ok(true),
        result => result?,
    };
    Ok((name == WORK || name == OUT || name == IN) && is(&stat, FileType::Directory, FOLDER_MODE, owner) && is_empty(slot, name)?)
}

/// Whether something is in an output's file; none if it is no file that a task can use after another one.
fn printed<P: Arg>(at: BorrowedFd<'_>, name: P, owner: Option<u32>) -> SysResult<Option<bool>> {
    match statat(at, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(Some(false)),
        Err(errno) => Err(errno),
        // A second link would make it part of some task's output.
        Ok(stat) if is(&stat, FileType::RegularFile, FILE_MODE, owner) && stat.st_nlink == 1 => Ok(Some(stat.st_size > 0)),
        Ok(_) => Ok(None),
    }
}

/// Empties an output's file where it is: to make another one takes three times as long.
///
/// It is closed at once, before anything is written to it: a file that was cut while it was open is brought to the disk when it is closed, by
/// some file systems (`auto_da_alloc` of ext4), and each task would wait for it.
fn cut<P: Arg>(at: BorrowedFd<'_>, name: P) -> SysResult<()> {
    let flags = OFlags::WRONLY | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    openat(at, name, flags, Mode::empty()).map(drop)
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
mod tests;
