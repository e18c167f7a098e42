//! Gets rid of whatever a task left, however deep, wide or unreadable it is.
//!
//! The standard library's `remove_dir_all` holds a descriptor for each level, so a tree of a few thousand levels exhausts a worker's
//! descriptors, and it stops at a folder that it may not read. Here each folder that is met moves up into the trash, under a number; so
//! three descriptors are enough, and no memory grows. Nothing is followed through a symbolic link.

use std::collections::BTreeSet;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, chmod, mkdirat, openat, renameat, statat, unlinkat};
use rustix::io::{Errno, Result};
use rustix::path::Arg;

use crate::domain::Error;

/// The trash's name in its slot's folder.
pub(super) const TRASH: &CStr = c"trash";
/// Beside the slots' folders, where no task comes: what a slot's own user has left, by the user's number.
const TRASH_OF: &str = "trash-";

/// A folder of things to be removed.
pub(super) struct Trash {
    name: CString,
    folder: OwnedFd,
    /// The name of the next folder that is moved in.
    next: u64,
    /// Things removed or moved so far.
    changes: u64,
    /// Only what is this user's is removed with all that is in it: a task could have moved another's folder here, for its worker, who may do
    /// anything, to remove.
    owner: Option<u32>,
}

/// Removes a file, or a folder with all that is in it, whatever its permissions are. In the folder beside it there must not be two at a time.
///
/// # Errors
/// Those of the file system; what could not be removed may then lie in a folder `trash` beside it.
pub fn remove_tree(path: &Path) -> std::result::Result<(), Error> {
    let removed = || {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let name = path.file_name().ok_or(Errno::INVAL)?.as_bytes();
        let name = CString::new(name).map_err(|_| Errno::INVAL)?;
        let folder = openat(CWD, parent, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        match unlinkat(&folder, &name, AtFlags::empty()) {
            Err(Errno::ISDIR | Errno::PERM) => {}
            result => return result,
        }
        let mut trash = Trash::open(folder.as_fd())?;
        let taken = trash.take(folder.as_fd(), &name);
        trash.empty(folder.as_fd()).and(taken)
    };
    removed().map_err(|errno: Errno| Error::io(path, &errno.into()))
}

/// Removes what earlier users of the slots have left, also what an earlier sweep did not get to. Goes on after a failure, and returns the last.
pub(super) fn sweep(slots: BorrowedFd<'_>) -> Result<()> {
    let mut swept = Ok(());
    for entry in Dir::read_from(slots)? {
        let name = entry?.file_name().to_owned();
        let owner = name.to_str().ok().and_then(|name| name.strip_prefix(TRASH_OF)?.parse().ok());
        if owner.is_some() || name.as_c_str() == TRASH {
            swept = Trash::open_as(name, slots, owner).and_then(|trash| trash.empty(slots)).and(swept);
        }
    }
    swept
}

/// The names in a folder.
pub(super) fn names_in(path: &Path) -> Result<BTreeSet<CString>> {
    let folder = openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    Dir::new(folder)?.map(|entry| entry.map(|entry| entry.file_name().to_owned())).collect()
}

/// Removes all that is in a folder, but what was there before.
pub(super) fn empty_folder(path: &Path, before: &BTreeSet<CString>) -> Result<()> {
    let folder = openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    let mut trash = None;
    for entry in Dir::read_from(&folder)? {
        let entry = entry?;
        if !before.contains(entry.file_name()) {
            let trash = match &mut trash {
                Some(trash) => trash,
                None => trash.insert(Trash::open(folder.as_fd())?),
            };
            if entry.file_name() != TRASH {
                trash.take(folder.as_fd(), entry.file_name())?;
            }
        }
    }
    trash.map_or(Ok(()), |trash| trash.empty(folder.as_fd()))
}

/// Renames a file or a folder, whatever its permissions are.
///
/// # Errors
/// Those of the file system.
pub fn move_tree(from: &Path, to: &Path) -> std::result::Result<(), Error> {
    let moved = match renameat(CWD, from, CWD, to) {
        // A folder that moves gets another `..`, which needs the permission to write in it.
        Err(Errno::ACCESS) => unlock(CWD, from).and_then(|()| renameat(CWD, from, CWD, to)),
        result => result,
    };
    moved.map_err(|errno| Error::io(from, &errno.into()))
}

impl Trash {
    /// The trash in a folder, for whatever is there; made, if need be.
    pub fn open(folder: BorrowedFd<'_>) -> Result<Self> {
        Self::open_as(TRASH.to_owned(), folder, None)
    }

    /// That of a user who has a slot for himself, beside the slots: in the slot he could put another's folder in its place, or change it
    /// meanwhile.
    pub fn of_user(slots: BorrowedFd<'_>, owner: u32) -> Result<Self> {
        let name = CString::new(format!("{TRASH_OF}{owner}")).map_err(|_| Errno::INVAL)?;
        Self::open_as(name, slots, Some(owner))
    }

    fn open_as(name: CString, slot: BorrowedFd<'_>, owner: Option<u32>) -> Result<Self> {
        make_folder(slot, &name)?;
        let folder = open_folder(slot, &*name)?;
        let mut next = 0;
        for entry in Dir::read_from(&folder)? {
            let number = entry?.file_name().to_str().ok().and_then(|name| name.parse::<u32>().ok());
            next = next.max(number.map_or(0, |number| u64::from(number) + 1));
        }
        Ok(Self { name, folder, next, changes: 0, owner })
    }

    /// Takes something away from where it is: a file, or an empty folder, is removed, another folder waits for [`empty`](Self::empty).
    pub fn take(&mut self, at: BorrowedFd<'_>, name: &CStr) -> Result<()> {
        match unlinkat(at, name, AtFlags::empty()) {
            // For a folder Linux says ISDIR and POSIX says PERM, which can mean other things too.
            Err(Errno::ISDIR | Errno::PERM) => unlinkat(at, name, AtFlags::REMOVEDIR).or_else(|_| self.move_in(at, name)),
            result => result,
        }?;
        self.changes += 1;
        Ok(())
    }

    fn move_in(&mut self, at: BorrowedFd<'_>, name: &CStr) -> Result<()> {
        let number = self.next.to_string();
        self.next = self.next.saturating_add(1);
        match renameat(at, name, &self.folder, &number) {
            // A folder that moves gets another `..`, which needs the permission to write in it.
            Err(Errno::ACCESS) => unlock(at, name).and_then(|()| renameat(at, name, &self.folder, &number)),
            result => result,
        }
    }

    /// Removes all that it holds, and the trash from the slot's folder. Goes on after a failure; what could not be removed stays, and
    /// the last failure is returned.
    pub fn empty(mut self, slot: BorrowedFd<'_>) -> Result<()> {
        loop {
            let before = self.changes;
            let passed = self.pass();
            // A pass that changed something may have moved folders in behind its back.
            if self.changes == before {
                return passed.and_then(|()| unlinkat(slot, &self.name, AtFlags::REMOVEDIR));
            }
        }
    }

    /// Once over everything in it.
    fn pass(&mut self) -> Result<()> {
        let mut removed = Ok(());
        for entry in Dir::read_from(&self.folder)? {
            let entry = entry?;
            if is_real(entry.file_name()) {
                removed = self.remove(entry.file_name()).and(removed);
            }
        }
        removed
    }

    /// Removes one thing in the trash, after its folders have moved beside it.
    fn remove(&mut self, name: &CStr) -> Result<()> {
        match unlinkat(&self.folder, name, AtFlags::empty()) {
            Err(Errno::ISDIR | Errno::PERM) => self.remove_folder(name),
            result => result,
        }?;
        self.changes += 1;
        Ok(())
    }

    fn remove_folder(&mut self, name: &CStr) -> Result<()> {
        let is_strange = |owner| Ok(statat(&self.folder, name, AtFlags::SYMLINK_NOFOLLOW)?.st_uid != owner);
        if self.owner.map_or(Ok(false), is_strange)? {
            return Err(Errno::PERM);
        }
        let folder = open_folder(self.folder.as_fd(), name)?;
        let mut taken = Ok(());
        for entry in Dir::read_from(&folder)? {
            let entry = entry?;
            if is_real(entry.file_name()) {
                taken = self.take(folder.as_fd(), entry.file_name()).and(taken);
            }
        }
        taken.and_then(|()| unlinkat(&self.folder, name, AtFlags::REMOVEDIR))
    }
}

/// Whether it is an entry, and not the folder itself or its parent.
pub(super) fn is_real(name: &CStr) -> bool {
    !matches!(name.to_bytes(), b"." | b"..")
}

/// Makes a folder that only its owner can use. What stands in the way and is no folder is removed.
pub(super) fn make_folder(at: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    match mkdirat(at, name, Mode::RWXU) {
        Err(Errno::EXIST) => match unlock(at, name) {
            Err(Errno::NOTDIR | Errno::LOOP) => unlinkat(at, name, AtFlags::empty()).and_then(|()| mkdirat(at, name, Mode::RWXU)),
            result => result,
        },
        result => result,
    }
}

/// Opens a folder, not through a symbolic link, and makes it usable if it isn't.
pub(super) fn open_folder<P: Arg + Copy>(at: BorrowedFd<'_>, name: P) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    unlock(at, name)?;
    openat(at, name, flags, Mode::empty())
}

/// Gives a folder's owner all permissions, and nobody else any. By a descriptor that can't be a symbolic link's target: `chmod` follows.
fn unlock<P: Arg>(at: BorrowedFd<'_>, name: P) -> Result<()> {
    let folder = openat(at, name, OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    chmod(format!("/proc/self/fd/{}", folder.as_raw_fd()), Mode::RWXU)
}
