//! A folder that is looked at again and again, mostly in vain: what is known of it is not read anew.
//!
//! Whatever is made, renamed or removed in a folder, or done to its permissions, changes the time of its last change (`ctime`), which nobody
//! can set but by setting the machine's clock. File systems count that time in steps, though, some of seconds: within one step a second change
//! does not show. So a folder counts as known only once it was read some seconds after it was first seen with that time.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, Stat, openat, statat};
use rustix::io::Result;

use super::trash::is_real;

/// Longer than a step of any file system's clock (two seconds, on FAT).
const SETTLED_AFTER: Duration = Duration::from_secs(3);

/// Room for the names of an empty folder, or of a few entries.
const LIST_BYTES: usize = 1024;

/// A folder, and what is known of it.
#[derive(Debug)]
pub(super) struct Watched {
    path: PathBuf,
    /// The names that may be in it.
    may_hold: &'static [&'static CStr],
    /// To whom it belongs; none: that is not looked at.
    owner: Option<u32>,
    seen: Option<Seen>,
}

/// As it was seen last.
#[derive(Debug)]
struct Seen {
    version: Version,
    since: Instant,
    /// It was read long enough after the change that made it this version: any further change makes it another one.
    is_known: bool,
}

/// Which folder, and after which change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version {
    device: u64,
    inode: u64,
    changed: (i64, u64),
}

impl Watched {
    /// Nothing is known of it yet.
    pub fn new(path: PathBuf, may_hold: &'static [&'static CStr], owner: Option<u32>) -> Self {
        Self { path, may_hold, owner, seen: None }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is a folder with these permissions, and holds nothing but what it may. One system call, for what is known.
    pub fn is_as_new(&mut self, mode: u32) -> Result<bool> {
        let stat = statat(CWD, &self.path, AtFlags::SYMLINK_NOFOLLOW)?;
        let version = Version::of(&stat);
        let now = Instant::now();
        let mut seen = match self.seen.take() {
            Some(seen) if seen.version == version => seen,
            _ => Seen { version, since: now, is_known: false },
        };
        let is_as_new = is(&stat, FileType::Directory, mode, self.owner) && (seen.is_known || self.holds_only_what_it_may()?);
        seen.is_known = is_as_new && (seen.is_known || now.duration_since(seen.since) >= SETTLED_AFTER);
        self.seen = Some(seen);
        Ok(is_as_new)
    }

    fn holds_only_what_it_may(&self) -> Result<bool> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = openat(CWD, &self.path, flags, Mode::empty())?;
        let mut buffer = [MaybeUninit::uninit(); LIST_BYTES];
        let mut entries = RawDir::new(folder, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            if is_real(entry.file_name()) && !self.may_hold.contains(&entry.file_name()) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Version {
    fn of(stat: &Stat) -> Self {
        Self { device: stat.st_dev, inode: stat.st_ino, changed: (stat.st_ctime, stat.st_ctime_nsec) }
    }
}

/// Whether it is of this kind, with these permissions, and, if one is named, this user's.
pub(super) fn is(stat: &Stat, kind: FileType, mode: u32, owner: Option<u32>) -> bool {
    FileType::from_raw_mode(stat.st_mode) == kind && stat.st_mode & 0o7777 == mode && owner.is_none_or(|owner| owner == stat.st_uid)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::super::testing::until;
    use super::*;

    const MODE: u32 = 0o700;

    struct Place {
        dir: tempfile::TempDir,
        watched: Watched,
    }

    impl Place {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("watched");
            fs::create_dir(&path).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(MODE)).unwrap();
            Self { watched: Watched::new(path, &[c"may"], None), dir }
        }

        /// A folder that was seen as it is for a long time.
        fn known() -> Self {
            let mut place = Self::new();
            assert!(place.is_as_new());
            let seen = place.watched.seen.as_mut().unwrap();
            seen.since = seen.since.checked_sub(SETTLED_AFTER).unwrap();
            assert!(place.is_as_new() && place.is_known());
            place.clock_goes_on();
            place
        }

        fn is_as_new(&mut self) -> bool {
            self.watched.is_as_new(MODE).unwrap()
        }

        fn is_known(&self) -> bool {
            self.watched.seen.as_ref().unwrap().is_known
        }

        fn path(&self) -> PathBuf {
            self.watched.path().to_owned()
        }

        /// Until a change now gets another time than the folder has, as it would after a long time.
        fn clock_goes_on(&self) {
            let changed = |path: &Path| Version::of(&statat(CWD, path, AtFlags::empty()).unwrap()).changed;
            let other = self.dir.path().join("other");
            until("the file system's clock goes on", || {
                fs::write(&other, "").unwrap();
                changed(&other) > changed(self.watched.path())
            });
        }
    }

    #[test]
    fn what_comes_into_a_known_folder_is_noticed_and_so_is_that_it_went() {
        let mut place = Place::known();
        let file = place.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(!place.is_as_new() && !place.is_as_new());
        fs::remove_file(file).unwrap();
        assert!(place.is_as_new() && !place.is_known());
        fs::write(place.path().join("may"), "").unwrap();
        assert!(place.is_as_new());
    }

    #[test]
    fn another_folder_in_the_place_of_a_known_one_is_noticed() {
        let mut place = Place::known();
        let (path, other) = (place.path(), place.dir.path().join("another"));
        fs::create_dir(&other).unwrap();
        fs::set_permissions(&other, fs::Permissions::from_mode(MODE)).unwrap();
        fs::write(other.join("file"), "").unwrap();
        fs::rename(&path, place.dir.path().join("away")).unwrap();
        fs::rename(other, &path).unwrap();
        assert!(!place.is_as_new());
        fs::remove_dir_all(&path).unwrap();
        assert!(place.watched.is_as_new(MODE).is_err());
        std::os::unix::fs::symlink(place.dir.path().join("away"), &path).unwrap();
        assert!(!place.is_as_new());
    }

    #[test]
    fn permissions_of_a_known_folder_that_changed_are_noticed() {
        let mut place = Place::known();
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o500)).unwrap();
        assert!(!place.is_as_new());
    }

    #[test]
    fn a_folder_that_was_made_a_moment_ago_is_read_each_time() {
        let mut place = Place::new();
        for _ in 0..10 {
            assert!(place.is_as_new() && !place.is_known());
        }
        fs::write(place.path().join("file"), "").unwrap();
        assert!(!place.is_as_new());
    }
}
