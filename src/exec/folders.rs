//! A slot's folders and files, made once and used by one task after the other: making a folder costs a tenth of starting a process.
//!
//! ```text
//! root/slot-3/work/    a task's working folder, empty at its start
//!            /out/     `{output}`, empty at its start
//!            /in/      its chunk, if that is small
//!            /stdout   its standard output
//!            /stderr   its standard error
//!            /trash/   what is being removed; there only as long as that takes
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
use super::trash::{TRASH, Trash, is_real, make_folder, open_folder, remove_tree_of};
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

    /// Removes a slot's folder that belongs to somebody else: of a start with another sandbox.
    fn evict(&self) -> Result<(), Error> {
        let ours = self.owner.unwrap_or_else(|| rustix::process::geteuid().as_raw());
        match statat(CWD, self.slot(), AtFlags::SYMLINK_NOFOLLOW) {
            // What root's tasks have left can be anybody's.
            Ok(stat) if stat.st_uid != ours => remove_tree_of(self.slot(), Some(stat.st_uid).filter(|owner| *owner != 0)),
            _ => Ok(()),
        }
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
            if name == TRASH || (is_real(name) && !stays && !is_as_new(slot, name, self.owner)?) {
                throw_away(slot, name, &mut trash, self.owner)?;
            }
        }
        for name in [WORK, OUT, IN] {
            make_folder(slot, name)?;
            self.give(slot, name)?;
        }
        if let Some(Err(errno)) = trash.map(|trash| trash.empty(slot)) {
            tracing::warn!(folder = %self.slot().display(), error = %errno, "what a task left can't be removed; it stays in the trash");
        }
        Ok(())
    }
}

/// Into the trash with it, which is opened if it isn't yet.
fn throw_away(slot: BorrowedFd<'_>, name: &CStr, trash: &mut Option<Trash>, owner: Option<u32>) -> SysResult<()> {
    let trash = match trash {
        Some(trash) => trash,
        None => trash.insert(Trash::open(slot, owner)?),
    };
    if name == TRASH { Ok(()) } else { trash.take(slot, name) }
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
            let folders = SlotFolders::new(&root.path().join("slots"), 3, None).unwrap();
            Self { root, folders }
        }

        /// Does what a task could do, in its working folder; then resets, and all must be as new.
        fn after(mut self, script: &str) -> Self {
            self.does(script);
            assert_eq!(self.folders.look() == Found::NOTHING, script == ":", "{script}");
            self.folders.reset().unwrap();
            self.is_as_new();
            self
        }

        fn does(&self, script: &str) {
            let status = Command::new("/bin/sh").args(["-ec", script]).current_dir(self.folders.work()).status().unwrap();
            assert!(status.success(), "{script}");
        }

        fn is_as_new(&mut self) {
            let mut names: Vec<_> = fs::read_dir(self.folders.slot()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            names.retain(|name| name != "stdout" && name != "stderr");
            names.sort();
            assert_eq!(names, ["in", "out", "work"]);
            for folder in [self.folders.work(), self.folders.out(), &self.folders.slot().join("in")] {
                let meta = fs::symlink_metadata(folder).unwrap();
                assert!(meta.is_dir() && meta.permissions().mode() & 0o7777 == 0o700);
                assert_eq!(fs::read_dir(folder).unwrap().count(), 0);
            }
            for file in [self.folders.stdout(), self.folders.stderr()] {
                assert!(fs::symlink_metadata(file).map_or(true, |meta| meta.is_file() && meta.len() == 0 && meta.nlink() == 1));
            }
            assert_eq!(self.folders.look(), Found::NOTHING);
        }
    }

    #[test]
    fn folders_that_were_not_used_stay_the_same() {
        let place = Place::new();
        let inode = |path: &Path| fs::metadata(path).unwrap().ino();
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
        let mut place = place
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
    fn what_was_printed_is_cut_where_it_is() {
        let mut place = Place::new();
        place.does("umask 077; echo out > ../stdout; : > ../stderr");
        let inode = fs::metadata(place.folders.stdout()).unwrap().ino();
        for (script, printed) in [(":", (true, false)), ("echo err > ../stderr", (false, true)), ("echo out > ../stdout", (true, false))] {
            place.does(script);
            let found = place.folders.look();
            assert_eq!(found, Found::Printed { stdout: printed.0, stderr: printed.1 });
            place.folders.clean(found).unwrap();
            place.is_as_new();
        }
        place.does("echo out > ../stdout");
        place.folders.reset().unwrap();
        place.is_as_new();
        assert_eq!(fs::metadata(place.folders.stdout()).unwrap().ino(), inode);
    }

    #[test]
    fn an_output_that_became_something_else_since_the_look_is_made_anew() {
        let mut place = Place::new();
        place.does("umask 077; echo out > ../stdout; echo precious > ../../precious");
        let found = place.folders.look();
        place.does("ln -sf ../precious ../stdout");
        place.folders.clean(found).unwrap();
        place.is_as_new();
        assert_eq!(fs::read_to_string(place.root.path().join("slots/precious")).unwrap(), "precious\n");
    }

    #[test]
    fn an_output_that_is_linked_elsewhere_is_not_used_again() {
        let place = Place::new().after(": > ../stdout; chmod 600 ../stdout; ln ../stdout ../../kept");
        assert!(!place.folders.stdout().exists());
    }

    #[test]
    fn where_a_slot_has_a_user_of_its_own_all_of_it_is_that_user_s_and_nothing_of_others_is_used_or_removed() {
        if !rustix::process::geteuid().is_root() {
            return println!("only root can give files away");
        }
        const OWNER: u32 = 70_123;
        let root = tempfile::tempdir().unwrap();
        let slots = root.path().join("slots");
        // Of a start without a sandbox.
        let before = SlotFolders::new(&slots, 3, None).unwrap();
        fs::write(before.work().join("left"), "x").unwrap();
        let mut folders = SlotFolders::new(&slots, 3, Some(OWNER)).unwrap();
        let input = folders.put_input(JobId(7), "a.txt", b"chunk").unwrap();
        let all =
            [folders.slot(), folders.work(), folders.out(), &folders.slot().join("in"), &input].map(|path| fs::metadata(path).unwrap());
        assert!(all.iter().all(|meta| (meta.uid(), meta.gid()) == (OWNER, OWNER)));
        assert!(!folders.work().join("left").exists());
        let give = |path: &Path| std::os::unix::fs::chown(path, Some(OWNER), Some(OWNER)).unwrap();
        // An output and a folder that are root's, as if a task had found some and moved them here.
        fs::write(folders.stdout(), "").unwrap();
        fs::set_permissions(folders.stdout(), fs::Permissions::from_mode(FILE_MODE)).unwrap();
        assert_eq!(folders.look(), Found::More);
        give(folders.stdout());
        assert_eq!(folders.look(), Found::NOTHING);
        let theirs = folders.work().join("mine/theirs");
        fs::create_dir_all(&theirs).unwrap();
        fs::write(theirs.join("precious"), "x").unwrap();
        give(&folders.work().join("mine"));
        folders.reset().unwrap();
        assert_eq!(fs::read_dir(folders.work()).unwrap().count(), 0);
        let kept: Vec<_> =
            fs::read_dir(folders.slot().join("trash")).unwrap().map(|entry| entry.unwrap().path().join("precious")).collect();
        assert!(kept.len() == 1 && kept[0].exists(), "{kept:?}");
        // The next job's chunk does not go through a link that stands where the folder was.
        fs::rename(folders.slot().join("in"), folders.slot().join("old")).unwrap();
        symlink(root.path(), folders.slot().join("in")).unwrap();
        folders.abandon_input();
        assert!(folders.put_input(JobId(8), "b.txt", b"chunk").is_err() && !root.path().join("b.txt").exists());
    }

    #[test]
    fn a_tree_deeper_than_any_path_is_removed() {
        let mut place = Place::new();
        let mut at = openat(CWD, place.folders.work(), OFlags::PATH, Mode::empty()).unwrap();
        for _ in 0..2000 {
            rustix::fs::mkdirat(&at, "d", Mode::RWXU).unwrap();
            at = openat(&at, "d", OFlags::PATH, Mode::empty()).unwrap();
        }
        place.folders.reset().unwrap();
        place.is_as_new();
    }
}
