//! Symbolic links in an output folder: one that leads to a regular file in the same folder stands for its content, all others are left out.
//!
//! The kernel follows them, with `openat2` and `RESOLVE_BENEATH`, so that no step ever leaves the folder, whatever is changed meanwhile.

use std::fs::File;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

/// The kernel asks for another try when something moves in the folder meanwhile.
const TRIES: usize = 8;

/// Why a link is left out.
#[derive(Debug)]
pub(super) enum Unfollowed {
    /// By its own fault, for a person: `points to nothing`.
    LeftOut(&'static str),
    /// The system could not say.
    Failed(Errno),
}

/// An open folder, and the path by which its task knows it.
pub(super) struct Root<'f> {
    pub folder: BorrowedFd<'f>,
    pub path: &'f Path,
}

impl Root<'_> {
    /// The regular file that a link leads to, without any right to read it yet; the link by its path in the folder.
    pub fn follow(&self, link: &[u8]) -> Result<(OwnedFd, Stat), Unfollowed> {
        let inside = self.as_relative(link)?;
        let passage = self.open_beneath(inside.as_deref().unwrap_or(link)).map_err(unfollowed)?;
        let stat = rustix::fs::fstat(&passage).map_err(Unfollowed::Failed)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Ok((passage, stat)),
            FileType::Directory => Err(Unfollowed::LeftOut("points to a folder")),
            _ => Err(Unfollowed::LeftOut("points to something that is no file")),
        }
    }

    /// Where an absolute link points to, seen from the folder, if it lies in it.
    fn as_relative(&self, link: &[u8]) -> Result<Option<Vec<u8>>, Unfollowed> {
        let target = rustix::fs::readlinkat(self.folder, link, Vec::new()).map_err(unfollowed)?.into_bytes();
        if !target.starts_with(b"/") {
            return Ok(None);
        }
        let inside = target.strip_prefix(self.path.as_os_str().as_encoded_bytes()).and_then(|rest| rest.strip_prefix(b"/"));
        inside.map(|inside| Some(inside.to_vec())).ok_or(Unfollowed::LeftOut(OUTSIDE))
    }

    fn open_beneath(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let open = || rustix::fs::openat2(self.folder, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve);
        let mut opened = open();
        for _ in 1..TRIES {
            if !matches!(opened, Err(Errno::AGAIN | Errno::INTR)) {
                break;
            }
            opened = open();
        }
        opened
    }
}

const OUTSIDE: &str = "points out of the output folder";

fn unfollowed(errno: Errno) -> Unfollowed {
    Unfollowed::LeftOut(match errno {
        Errno::XDEV => OUTSIDE,
        Errno::NOENT | Errno::NOTDIR => "points to nothing",
        Errno::LOOP => "leads in a circle",
        Errno::NAMETOOLONG => "points to too long a name",
        Errno::ACCESS | Errno::PERM => "can't be followed: permissions forbid it",
        Errno::NOSYS => "can't be followed: this needs Linux 5.6",
        Errno::AGAIN | Errno::INTR => "can't be followed: something changes the folder all the time",
        errno => return Unfollowed::Failed(errno),
    })
}

/// Opens for reading what is open already; a name that was changed meanwhile plays no part.
pub(super) fn reopen(passage: &OwnedFd) -> std::io::Result<File> {
    File::open(format!("/proc/self/fd/{}", passage.as_raw_fd()))
}
