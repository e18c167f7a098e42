//! The regular files of a folder that nobody trusts: found and opened without ever following a link.
//!
//! Each step goes from an open folder to a name in it (`openat` with `O_NOFOLLOW`), so that a link, even one that is put in place between
//! two looks, leads nowhere out of it. A symbolic link to a regular file of the folder stands for its content ([`super::link`]); other links,
//! sockets, pipes and devices are left out, which is said. A hard link is a file like any other: what a task could link to is the kernel's
//! business (`fs.protected_hardlinks`); but where the task had a user of its own, who may read less than this process, only that user's files
//! are read.

use std::fs::{File, Permissions};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::link::{self, Root, Unfollowed};
use super::names;
use super::pack_error::PackError;
use crate::domain::Error;
use crate::limits::{self, OUTPUT_DEPTH_MAX_FOLDERS, OUTPUT_PATH_MAX_BYTES, OUTPUT_THINGS_MAX};

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// Without blocking: opening a pipe would wait for its other end.
const FILE: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);
const PASSAGE: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A regular file below the folder.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Its sanitised path, relative to the folder.
    pub name: String,
    /// Its path as it is.
    raw: Vec<u8>,
    /// It is a symbolic link to a file of the folder.
    link: bool,
}

/// An opened folder and the regular files below it.
pub(super) struct Folder {
    root: OwnedFd,
    path: PathBuf,
    owner: Option<u32>,
    /// By sanitised name, all unlike each other; none is a folder of another.
    pub files: Vec<Found>,
    /// What is left out, and why: `name: points to nothing`; by name.
    pub left_out: Vec<String>,
}

impl Folder {
    /// Opens a folder and lists it. What its owner may not read is made readable first.
    pub fn list(path: &Path, owner: Option<u32>) -> Result<Self, PackError> {
        let root = open_readable(CWD, path.as_os_str().as_encoded_bytes(), FOLDER, "the output folder", owner)?;
        let mut walk = Walk { root: Root { folder: root.as_fd(), path }, owner, found: Vec::new(), left_out: Vec::new(), things: 0 };
        walk.visit(root.as_fd(), &Found { name: String::new(), raw: Vec::new(), link: false }, 0)?;
        let (mut files, mut left_out) = (walk.found, walk.left_out);
        files.sort_unstable_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
        left_out.sort_unstable();
        Ok(Self { root, path: path.to_owned(), owner, files, left_out })
    }

    /// Opens one of its files for reading; with its length.
    pub fn open(&self, found: &Found) -> Result<(File, u64), PackError> {
        if found.link {
            return self.open_link(found);
        }
        let mut parts = found.raw.split(|&b| b == b'/').collect::<Vec<_>>();
        let last = parts.pop().unwrap_or_default();
        let mut folder = None;
        for part in parts {
            let from = folder.as_ref().map_or(self.root.as_fd(), OwnedFd::as_fd);
            folder = Some(
                rustix::fs::openat(from, part, PASSAGE | OFlags::DIRECTORY, Mode::empty()).map_err(|errno| refused(&found.name, errno))?,
            );
        }
        let from = folder.as_ref().map_or(self.root.as_fd(), OwnedFd::as_fd);
        regular(open_readable(from, last, FILE, &found.name, self.owner)?, &found.name)
    }
}

impl Folder {
    fn open_link(&self, found: &Found) -> Result<(File, u64), PackError> {
        let root = Root { folder: self.root.as_fd(), path: &self.path };
        let (passage, stat) = root.follow(&found.raw).map_err(|error| match error {
            Unfollowed::LeftOut(why) => PackError::bad(format!("{} {why} since it was first read", found.name)),
            Unfollowed::Failed(errno) => refused(&found.name, errno),
        })?;
        check_owner(&stat, self.owner, &found.name)?;
        let file = link::reopen(&passage).or_else(|error| {
            if error.kind() == std::io::ErrorKind::PermissionDenied {
                unlock(&passage, stat.st_mode | 0o400)?;
                return link::reopen(&passage);
            }
            Err(error)
        });
        let file = file.map_err(|error| refused(&found.name, Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
        regular(file.into(), &found.name)
    }
}

/// Opens a single file that should be a regular one (a captured stream); with its length. None if there is none.
pub(super) fn open_stream(path: &Path, name: &str, owner: Option<u32>) -> Result<Option<(File, u64)>, PackError> {
    match rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(refused(name, errno)),
        Ok(_) => regular(open_readable(CWD, path.as_os_str().as_encoded_bytes(), FILE, name, owner)?, name).map(Some),
    }
}

fn regular(fd: OwnedFd, name: &str) -> Result<(File, u64), PackError> {
    let stat = rustix::fs::fstat(&fd).map_err(|errno| refused(name, errno))?;
    if kind_of(&stat) != FileType::RegularFile {
        return Err(PackError::bad(format!("{name} is no regular file")));
    }
    Ok((File::from(fd), u64::try_from(stat.st_size).unwrap_or(0)))
}

struct Walk<'f> {
    root: Root<'f>,
    owner: Option<u32>,
    found: Vec<Found>,
    left_out: Vec<String>,
    things: usize,
}

impl Walk<'_> {
    /// `at` is the folder's own path, empty for the root; `depth` how many folders it lies below it.
    fn visit(&mut self, folder: BorrowedFd<'_>, at: &Found, depth: usize) -> Result<(), PackError> {
        if depth > OUTPUT_DEPTH_MAX_FOLDERS {
            return Err(PackError::bad(format!("its folders are nested deeper than {OUTPUT_DEPTH_MAX_FOLDERS}")));
        }
        let children = self.children(folder, at)?;
        let raw: Vec<Vec<u8>> = children.iter().map(|(raw, _)| raw.clone()).collect();
        for ((raw, kind), name) in children.into_iter().zip(names::assign(&raw)) {
            let below = Found { link: kind == FileType::Symlink, ..at.join(&name, &raw) };
            if kind == FileType::Directory {
                let child = open_readable(folder, &raw, FOLDER, &below.name, self.owner)?;
                self.visit(child.as_fd(), &below, depth + 1)?;
            } else {
                self.push(below)?;
            }
        }
        Ok(())
    }

    fn push(&mut self, file: Found) -> Result<(), PackError> {
        if file.name.len() > OUTPUT_PATH_MAX_BYTES {
            let start: String = file.name.chars().take(40).collect();
            return Err(PackError::bad(format!("the name of {start}… is longer than {OUTPUT_PATH_MAX_BYTES} bytes")));
        }
        if self.found.len() >= limits::OUTPUT_FILES_MAX {
            return Err(PackError::bad(format!(
                "it left more than {} files: let it put them into an archive (tar, zip)",
                limits::OUTPUT_FILES_MAX
            )));
        }
        self.found.push(file);
        Ok(())
    }

    /// Why something that is neither a regular file nor a folder is left out; none for a link that stands for a file.
    fn leaves_out(&self, at: &Found, raw: &[u8], kind: FileType) -> Result<Option<&'static str>, PackError> {
        if kind != FileType::Symlink {
            return Ok(Some("is no file"));
        }
        match self.root.follow(&at.join("", raw).raw) {
            Ok(_) => Ok(None),
            Err(Unfollowed::LeftOut(why)) => Ok(Some(why)),
            Err(Unfollowed::Failed(errno)) => Err(refused(at.shown(), errno)),
        }
    }

    /// The regular files, folders and links to files in a folder, by raw name.
    fn children(&mut self, folder: BorrowedFd<'_>, at: &Found) -> Result<Vec<(Vec<u8>, FileType)>, PackError> {
        let mut children = Vec::new();
        for entry in Dir::read_from(folder).map_err(|errno| refused(at.shown(), errno))? {
            let entry = entry.map_err(|errno| refused(at.shown(), errno))?;
            let raw = entry.file_name().to_bytes();
            if matches!(raw, b"." | b"..") {
                continue;
            }
            self.things += 1;
            if self.things > OUTPUT_THINGS_MAX {
                return Err(PackError::bad(format!("more than {OUTPUT_THINGS_MAX} things lie in its output folder")));
            }
            let kind = match entry.file_type() {
                FileType::Unknown => {
                    let stat = rustix::fs::statat(folder, raw, AtFlags::SYMLINK_NOFOLLOW);
                    kind_of(&stat.map_err(|errno| refused(at.shown(), errno))?)
                }
                known => known,
            };
            let left_out = match kind {
                FileType::RegularFile | FileType::Directory => None,
                kind => self.leaves_out(at, raw, kind)?,
            };
            match left_out {
                None => children.push((raw.to_vec(), kind)),
                Some(why) => self.left_out.push(format!("{} {why}", at.join(&names::sanitise(raw), raw).name)),
            }
        }
        children.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Ok(children)
    }
}

impl Found {
    fn join(&self, name: &str, raw: &[u8]) -> Self {
        if self.raw.is_empty() {
            return Self { name: name.to_owned(), raw: raw.to_vec(), link: false };
        }
        Self { name: format!("{}/{name}", self.name), raw: [&self.raw, &b"/"[..], raw].concat(), link: false }
    }

    fn shown(&self) -> &str {
        if self.name.is_empty() { "the output folder" } else { &self.name }
    }
}

fn kind_of(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// Opens a name in a folder; what its permissions forbid is tried again after its owner got them.
fn open_readable(from: BorrowedFd<'_>, raw: &[u8], flags: OFlags, name: &str, owner: Option<u32>) -> Result<OwnedFd, PackError> {
    let open = || rustix::fs::openat(from, raw, flags, Mode::empty());
    let opened = match open() {
        Err(Errno::ACCESS) => make_readable(from, raw, name, owner).and_then(|()| open().map_err(|errno| refused(name, errno)))?,
        opened => opened.map_err(|errno| refused(name, errno))?,
    };
    let is_folder = flags.contains(OFlags::DIRECTORY);
    let stat = rustix::fs::fstat(&opened).map_err(|errno| refused(name, errno))?;
    check_owner(&stat, owner, name)?;
    let mode = stat.st_mode;
    if is_folder && mode & 0o700 != 0o700 {
        // It can be listed, but perhaps not entered. If this fails, what lies in it can't be opened, and that is reported.
        let _ = rustix::fs::fchmod(&opened, Mode::from_raw_mode(mode | 0o700));
    }
    Ok(opened)
}

/// Refuses what is not this user's, if one is named.
fn check_owner(stat: &Stat, owner: Option<u32>, name: &str) -> Result<(), PackError> {
    match owner {
        Some(owner) if owner != stat.st_uid => {
            Err(PackError::bad(format!("{name} belongs to another user than the task's: let it copy that")))
        }
        _ => Ok(()),
    }
}

/// Gives the owner of a file or folder the right to read it. Through `/proc`, since a plain `chmod` would follow a link.
fn make_readable(from: BorrowedFd<'_>, raw: &[u8], name: &str, owner: Option<u32>) -> Result<(), PackError> {
    let passage = rustix::fs::openat(from, raw, PASSAGE, Mode::empty()).map_err(|errno| refused(name, errno))?;
    let stat = rustix::fs::fstat(&passage).map_err(|errno| refused(name, errno))?;
    check_owner(&stat, owner, name)?;
    let more = match kind_of(&stat) {
        FileType::RegularFile => 0o400,
        FileType::Directory => 0o700,
        _ => return Err(PackError::bad(format!("{name} is no regular file"))),
    };
    unlock(&passage, stat.st_mode | more).map_err(|error| refused(name, Errno::from_io_error(&error).unwrap_or(Errno::IO)))
}

fn unlock(passage: &OwnedFd, mode: u32) -> std::io::Result<()> {
    std::fs::set_permissions(format!("/proc/self/fd/{}", passage.as_raw_fd()), Permissions::from_mode(mode & 0o7777))
}

/// What a refusal of the system means: either the task left something odd, or this machine is in trouble.
fn refused(name: &str, errno: Errno) -> PackError {
    match errno {
        Errno::ACCESS | Errno::PERM => PackError::bad(format!("{name} can't be read: its permissions forbid it")),
        Errno::NOENT => PackError::bad(format!("{name} is missing, or vanished while it was read")),
        Errno::LOOP | Errno::NOTDIR | Errno::NXIO => PackError::bad(format!("{name} is a link or something else that is not read")),
        Errno::NAMETOOLONG => PackError::bad(format!("{name} has too long a name")),
        errno => PackError::Io(Error::io(name, &errno.into())),
    }
}
