//! What several tasks read one after the other: nothing in it can be written, and what was changed all the same is noticed.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use crate::limits::DISK_BLOCK_BYTES;

/// How a file, or a folder with all that is in it, looked when it was sealed.
///
/// Whatever became of the content, the names or the permissions since shows: by what was written when, for files, and by what was changed when,
/// for folders. A further link to a file, as `cp -al` makes it, is no change. Not protected by it is what a task does that runs as root, or that
/// gives itself the permission: that is noticed, unless it comes within the same step of the file system's clock, and leaves the length, or sets the
/// time back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seal {
    entries: u64,
    /// Times of all of it, in ns, and permissions, added up.
    times: i128,
    modes: u64,
    /// Of all files.
    len: u64,
    /// What it takes on a disk: files of whole blocks, and a block for what is noted of each file and folder.
    pub disk_bytes: u64,
}

impl Seal {
    /// Takes the permission to write away from all that is there.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn put(path: &Path) -> io::Result<Self> {
        walk(path, &mut |path, seen| match seen.mode() & 0o7777 {
            mode if mode & 0o222 == 0 || seen.is_symlink() => Ok(()),
            mode => fs::set_permissions(path, fs::Permissions::from_mode(mode & !0o222)),
        })?;
        Self::look(path)
    }

    /// Whether nothing was changed since.
    pub fn holds(&self, path: &Path) -> bool {
        Self::look(path).is_ok_and(|seen| seen == *self)
    }

    fn look(path: &Path) -> io::Result<Self> {
        let mut seal = Self::default();
        walk(path, &mut |_, seen| {
            seal.add(seen);
            Ok(())
        })?;
        Ok(seal)
    }

    fn add(&mut self, seen: &Metadata) {
        self.entries += 1;
        let (seconds, nanos) = if seen.is_dir() { (seen.ctime(), seen.ctime_nsec()) } else { (seen.mtime(), seen.mtime_nsec()) };
        self.times = self.times.wrapping_add(i128::from(seconds) * 1_000_000_000 + i128::from(nanos));
        self.modes = self.modes.wrapping_add(u64::from(seen.mode()));
        self.len = self.len.wrapping_add(if seen.is_dir() { 0 } else { seen.len() });
        let content = if seen.is_dir() { 0 } else { seen.len().next_multiple_of(DISK_BLOCK_BYTES) };
        self.disk_bytes = self.disk_bytes.saturating_add(content + DISK_BLOCK_BYTES);
    }
}

/// Everything that is there, without following links.
fn walk(path: &Path, visit: &mut dyn FnMut(&Path, &Metadata) -> io::Result<()>) -> io::Result<()> {
    let mut paths = vec![path.to_owned()];
    while let Some(path) = paths.pop() {
        let seen = fs::symlink_metadata(&path)?;
        if seen.is_dir() {
            for entry in fs::read_dir(&path)? {
                let entry = entry?;
                // Only folders wait, since a folder may have a million files.
                if entry.file_type()?.is_dir() {
                    paths.push(entry.path());
                } else {
                    visit(&entry.path(), &entry.metadata()?)?;
                }
            }
        }
        visit(&path, &seen)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// A folder `in` with a file in a folder.
    fn tree(dir: &Path) -> [PathBuf; 3] {
        let paths = ["in", "in/sub", "in/sub/a"].map(|path| dir.join(path));
        fs::create_dir_all(&paths[1]).unwrap();
        fs::write(&paths[2], "abc").unwrap();
        paths
    }

    #[test]
    fn nothing_can_be_written_and_all_of_it_counts() {
        let dir = tempfile::tempdir().unwrap();
        let paths = tree(dir.path());
        let seal = Seal::put(&paths[0]).unwrap();
        for path in &paths {
            assert_eq!(fs::metadata(path).unwrap().mode() & 0o222, 0, "{}", path.display());
        }
        assert_eq!((seal.entries, seal.disk_bytes), (3, 4 * DISK_BLOCK_BYTES));
        fs::read(&paths[2]).unwrap();
        assert!(seal.holds(&paths[0]), "reading is no change");
        paths.iter().for_each(|path| fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap());
    }

    #[test]
    fn whatever_is_changed_shows() {
        type Change = fn(&Path, &Path);
        let changes: [Change; 6] = [
            |file, _| fs::write(file, "abcd").unwrap(),
            |file, _| fs::write(file, "xyz").unwrap(),
            |_, other| fs::write(other, "").unwrap(),
            |file, _| fs::remove_file(file).unwrap(),
            |file, other| fs::rename(file, other).unwrap(),
            |file, _| fs::set_permissions(file, fs::Permissions::from_mode(0o400)).unwrap(),
        ];
        for (no, change) in changes.into_iter().enumerate() {
            let dir = tempfile::tempdir().unwrap();
            let [root, sub, file] = tree(dir.path());
            let seal = Seal::look(&root).unwrap();
            // Times go by a coarse clock.
            let time = |path: &Path| fs::metadata(path).map_or((0, 0), |seen| (seen.ctime(), seen.ctime_nsec()));
            let (clock, mut ticks) = (dir.path().join("clock"), 0);
            while time(&clock) <= [&root, &sub, &file].map(|path| time(path)).into_iter().max().unwrap() {
                ticks += 1;
                fs::write(&clock, ticks.to_string()).unwrap();
            }
            change(&file, &sub.join("b"));
            assert!(!seal.holds(&root), "change {no}");
        }
    }

    #[test]
    fn a_link_to_a_file_is_no_change() {
        let dir = tempfile::tempdir().unwrap();
        let [root, _, file] = tree(dir.path());
        let [whole, alone] = [&root, &file].map(|path| Seal::look(path).unwrap());
        let link = dir.path().join("link");
        fs::hard_link(&file, &link).unwrap();
        assert!(whole.holds(&root) && alone.holds(&file));
        fs::remove_file(&link).unwrap();
        assert!(whole.holds(&root) && alone.holds(&file));
    }
}
