//! One head, or worker, per folder.
//!
//! The kernel keeps the lock. What the file says of its holder is for a person only: it may be old, or empty on a full disk.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use crate::domain::Error;

/// A process number, and the longest name of a host.
const SIGNATURE_MAX_BYTES: u64 = 300;

/// Holds `lock` in a data folder until it is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct FolderLock {
    file: File,
    /// Its holder stands in the file.
    signed: bool,
}

impl FolderLock {
    /// Takes the lock of `folder`, which must exist. `Conflict` while another process holds it.
    pub fn take(folder: &Path) -> Result<Self, Error> {
        let mut lock = Self::take_to_look(folder)?;
        // The start must not fail for the sake of a message.
        lock.signed = sign(&lock.file).is_ok();
        Ok(lock)
    }

    /// The same for one who changes nothing in the folder, not even this.
    pub fn take_to_look(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("lock");
        let file =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path).map_err(|error| Error::io(&path, &error))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { file, signed: false }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::conflict(format!(
                "folder {} is in use by {}: stop that one, or choose another folder",
                folder.display(),
                holder(&file).unwrap_or_else(|| "another head or worker".into())
            ))),
            Err(error) => Err(Error::io(&path, &error.into())),
        }
    }
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        if self.signed {
            // An old signature is not believed anyhow.
            let _ = self.file.set_len(0);
        }
    }
}

/// Writes who holds the lock: `PID HOST`. The folder may be on a disk that several machines share.
fn sign(mut file: &File) -> std::io::Result<()> {
    file.set_len(0)?;
    writeln!(file, "{} {}", std::process::id(), own_host())
}

fn own_host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Who has signed, as far as it makes sense and, on this machine, still lives.
fn holder(file: &File) -> Option<String> {
    let mut text = String::new();
    file.take(SIGNATURE_MAX_BYTES).read_to_string(&mut text).ok()?;
    let (pid, host) = text.trim_end().split_once(' ')?;
    let pid: u32 = pid.parse().ok()?;
    let plain = !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
    let gone = host == own_host() && !Path::new(&format!("/proc/{pid}")).exists();
    (plain && !gone).then(|| format!("process {pid} on {host}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ErrorKind;

    #[test]
    fn a_folder_has_one_holder_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let lock = FolderLock::take(folder.path()).unwrap();
        let refused = FolderLock::take(folder.path()).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Conflict);
        let me = format!("is in use by process {} on ", std::process::id());
        assert!(refused.message.contains(&me), "{refused}");
        drop(lock);
        FolderLock::take(folder.path()).unwrap();
    }

    #[test]
    fn a_signature_that_makes_no_sense_is_not_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let _lock = FolderLock::take(folder.path()).unwrap();
        let dead = format!("{} {}", u32::MAX, own_host());
        for text in [dead.as_str(), "", "12", "x y", "-1 host", "1 a\nb", "1 \u{1b}[31m", &"1".repeat(999)] {
            std::fs::write(folder.path().join("lock"), text).unwrap();
            let refused = FolderLock::take(folder.path()).unwrap_err();
            assert!(refused.message.contains("is in use by another head or worker"), "{text}: {refused}");
        }
        std::fs::write(folder.path().join("lock"), "4294967295 box-1.lan and more").unwrap();
        assert!(FolderLock::take(folder.path()).unwrap_err().message.contains("another head or worker"));
    }
}
