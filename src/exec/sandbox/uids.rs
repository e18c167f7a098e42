//! A user for each slot, which nobody else on this machine has: a number that another worker's slot uses, that has a name, or a process,
//! is left alone.
//!
//! ```text
//! /run/millpond/task-uids/70000       held by the worker whose slot has it, as long as that lives
//!                        /70000.run   held by the slot's launcher, which may live longer while it clears away its task
//! ```

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

use super::options::UidRange;
use crate::domain::Error;
use crate::limits::{KILL_TIMEOUT, TASK_UID_RANGES};

/// Who has which number. On a file system that a restart of the machine empties.
const FOLDER: &str = "/run/millpond/task-uids";
/// Between two looks whether an earlier launcher is gone.
const AGAIN_AFTER: Duration = Duration::from_millis(5);

/// A user (and a group of the same number) that is a slot's own while this is held.
#[derive(Debug)]
pub(super) struct TaskUid {
    pub uid: u32,
    /// What its launcher holds.
    pub launcher_lock: PathBuf,
    _lock: File,
}

/// So many users, of a range or of the first of ours that this process may take them from.
///
/// # Errors
/// `Invalid` if the range is not there for this process (in a container), `Exhausted` if too few of it are free.
pub(super) fn take(asked: Option<&UidRange>, count: u32) -> Result<Vec<TaskUid>, Error> {
    let range = range(asked, &fs::read_to_string("/proc/self/uid_map").unwrap_or_default())?;
    let folder = Path::new(FOLDER);
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| Error::io(folder, &error))?;
    let taken = taken(&fs::read_to_string("/etc/passwd").unwrap_or_default(), with_processes());
    take_in(folder, &range, count, &taken)
}

/// The range that is meant.
pub(super) fn range(asked: Option<&UidRange>, uid_map: &str) -> Result<UidRange, Error> {
    let ours = || TASK_UID_RANGES.iter().map(|(first, last)| UidRange(*first..=*last)).find(|range| is_mapped(range, uid_map));
    match asked {
        Some(range) if is_mapped(range, uid_map) => Ok(range.clone()),
        Some(range) => {
            Err(Error::invalid(format!("the users {range} of --task-uids do not exist in this container: see /proc/self/uid_map")))
        }
        None => ours().ok_or_else(|| {
            Error::invalid("this container has no users to spare for tasks: name some with --task-uids, or use --sandbox none")
        }),
    }
}

/// Whether each of them exists for this process. Lines of `/proc/self/uid_map`: the first here, the first outside, how many.
fn is_mapped(range: &UidRange, uid_map: &str) -> bool {
    uid_map.lines().any(|line| {
        let numbers: Vec<u64> = line.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [first, _, count] = numbers.as_slice() else { return false };
        *first <= u64::from(*range.0.start()) && u64::from(*range.0.end()) < first.saturating_add(*count)
    })
}

/// Those that somebody has.
fn taken(passwd: &str, with_processes: BTreeSet<u32>) -> BTreeSet<u32> {
    let named = passwd.lines().filter_map(|line| line.split(':').nth(2)?.parse().ok());
    named.chain(with_processes).collect()
}

fn with_processes() -> BTreeSet<u32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let processes = processes.filter(|entry| entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit));
    // An ended one belongs to nobody by now.
    processes.filter_map(|process| Some(process.metadata().ok()?.uid())).collect()
}

fn take_in(folder: &Path, range: &UidRange, count: u32, taken: &BTreeSet<u32>) -> Result<Vec<TaskUid>, Error> {
    let mut uids = Vec::new();
    for uid in range.0.clone().filter(|uid| !taken.contains(uid)) {
        if uids.len() >= count as usize {
            break;
        }
        uids.extend(take_one(folder, uid).map_err(|error| Error::io(folder, &error))?);
    }
    if uids.len() < count as usize {
        let have = uids.len();
        return Err(Error::exhausted(format!(
            "of the users {range} {have} are free, and {count} slots need one each: name more with --task-uids"
        )));
    }
    Ok(uids)
}

/// None if somebody has it.
fn take_one(folder: &Path, uid: u32) -> io::Result<Option<TaskUid>> {
    let launcher_lock = folder.join(format!("{uid}.run"));
    let Some(lock) = try_hold(&folder.join(uid.to_string()))? else { return Ok(None) };
    // Let go again: its launcher is to hold it.
    let is_free = try_hold(&launcher_lock)?.is_some();
    Ok(is_free.then_some(TaskUid { uid, launcher_lock, _lock: lock }))
}

fn open(path: &Path) -> io::Result<File> {
    File::options().write(true).create(true).truncate(false).mode(0o600).custom_flags(OFlags::NOFOLLOW.bits() as i32).open(path)
}

/// None if another process holds it.
fn try_hold(path: &Path) -> io::Result<Option<File>> {
    let file = open(path)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Holds a launcher's lock, once an earlier launcher of the slot is gone.
pub(super) fn hold(path: &Path) -> Result<File, Error> {
    let deadline = Instant::now() + KILL_TIMEOUT;
    loop {
        match try_hold(path) {
            Ok(Some(file)) => return Ok(file),
            Ok(None) if Instant::now() < deadline => std::thread::sleep(AGAIN_AFTER),
            Ok(None) => return Err(Error::unavailable(format!("{}: an earlier launcher of the slot does not end", path.display()))),
            Err(error) => return Err(Error::io(path, &error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uids(held: &[TaskUid]) -> Vec<u32> {
        held.iter().map(|held| held.uid).collect()
    }

    #[test]
    fn two_workers_have_no_user_in_common_and_what_one_gives_back_is_free() {
        let dir = tempfile::tempdir().unwrap();
        // Others than workers beside this test may have.
        let no = |at: u32| 1_000_000 + std::process::id() * 8 + at;
        let range = UidRange(no(0)..=no(4));
        let take = |count, taken: &[u32]| take_in(dir.path(), &range, count, &taken.iter().copied().collect());
        let one = take(2, &[no(1)]).unwrap();
        assert_eq!(uids(&one), [no(0), no(2)]);
        let two = take(2, &[]).unwrap();
        assert_eq!(uids(&two), [no(1), no(3)]);
        let refused = take(2, &[]).unwrap_err().message;
        let (first, last) = (no(0), no(4));
        assert_eq!(refused, format!("of the users {first}-{last} 1 are free, and 2 slots need one each: name more with --task-uids"));
        drop(one);
        let running = hold(&dir.path().join(format!("{first}.run"))).unwrap();
        assert_eq!(uids(&take(2, &[]).unwrap()), [no(2), no(4)], "a launcher of the worker that is gone still runs");
        drop(running);
        assert_eq!(uids(&take(1, &[]).unwrap()), [no(0)]);
    }

    #[test]
    fn a_user_with_a_name_or_a_process_is_taken() {
        let taken = taken("root:x:0:0:root:/:/bin/sh\nada:x:70000:70000::/home/ada:/bin/sh\nodd\n", BTreeSet::from([70_007]));
        assert_eq!(taken, BTreeSet::from([0, 70_000, 70_007]));
        assert!(with_processes().contains(&rustix::process::getuid().as_raw()));
    }

    #[test]
    fn a_container_with_few_users_has_another_range() {
        let all = "         0          0 4294967295\n";
        let few = "         0     100000      65536\n";
        let asked: UidRange = "70000-70009".parse().unwrap();
        assert_eq!(range(None, all).unwrap(), UidRange(70_000..=79_999));
        assert_eq!(range(None, few).unwrap(), UidRange(61_184..=65_519));
        assert_eq!(range(Some(&asked), all).unwrap(), asked);
        assert!(range(Some(&asked), few).unwrap_err().message.contains("do not exist in this container"));
        assert!(range(None, "0 1000 1\n").is_err() && range(None, "").is_err());
    }
}
