//! A small disk of its own for a test to fill: a tmpfs. Needs root; without it, it says so.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

pub const MIB: u64 = 1 << 20;

/// A tmpfs; gone with this.
pub struct SmallDisk {
    at: PathBuf,
}

impl SmallDisk {
    /// None, with a word, where it can't be mounted.
    pub fn mount(at: PathBuf, size: u64) -> Option<Self> {
        Self::mount_with(at, &format!("size={size}"))
    }

    /// The same, with options of tmpfs.
    pub fn mount_with(at: PathBuf, options: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: only root can mount a disk");
            return None;
        }
        fs::create_dir_all(&at).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&at).output().unwrap();
        if !mounted.status.success() {
            println!("skipped: no disk of its own: {}", String::from_utf8_lossy(&mounted.stderr).trim());
            return None;
        }
        Some(Self { at })
    }

    pub fn free(&self) -> u64 {
        let stat = rustix::fs::statvfs(&self.at).unwrap();
        stat.f_bavail * stat.f_frsize
    }

    /// Leaves so many bytes free, by a file of the test's.
    pub fn has_left(&self, bytes: u64) {
        let filler = self.at.join("filler");
        let _ = fs::remove_file(&filler);
        let mut file = File::create(filler).unwrap();
        let page = vec![1; 4096];
        while self.free() > bytes && file.write_all(&page).is_ok() {}
    }

    /// Takes all inodes by empty files: nothing new can be made, though there is room.
    pub fn has_no_inode_left(&self) {
        let fillers = self.at.join("fillers");
        fs::create_dir(&fillers).unwrap();
        while File::create(fillers.join(rustix::fs::statvfs(&self.at).unwrap().f_ffree.to_string())).is_ok() {}
    }

    /// Gives them back.
    pub fn has_inodes_again(&self) {
        fs::remove_dir_all(self.at.join("fillers")).unwrap();
    }

    /// Removes the file of [`Self::has_left`].
    pub fn is_cleared(&self) {
        fs::remove_file(self.at.join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(&self.at).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            // Something still runs there, after a failure: the test says what.
            let _ = Command::new("umount").arg("--lazy").arg(&self.at).status();
        }
    }
}
