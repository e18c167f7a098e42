//! The processes below this one: found, killed, reaped.
//!
//! This process is a subreaper, so whoever below it loses its parent becomes its child. It signals its own children only: a child's
//! number stays taken until it is waited for, so no stranger can be hit. The rest of the tree comes up as its parents die.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, getpid, kill_process, kill_process_group, pidfd_open, pidfd_send_signal, wait,
    waitpid,
};

/// The pause between two rounds of killing, unless a process ends earlier.
const ROUND: Duration = Duration::from_millis(10);
/// A tree of processes deeper than this is not followed to its end.
const PARENTS_MAX: u32 = 10_000;

/// What is left after everything was killed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cleared {
    /// How the main process ended; none if it can't be killed.
    pub main: Option<WaitStatus>,
    /// Processes that can't be killed.
    pub leftover: u32,
}

/// Kills and reaps every child, those that come up meanwhile too, for at most `limit`. For single-purpose processes: waits for any child.
///
/// `main` must not be reaped yet. Its process group is killed in one stroke first, which a fork bomb can't outrun.
///
/// `kill_all` may know of a way to hit all of them at once.
pub(super) fn clear(main: Pid, limit: Duration, kill_all: impl Fn()) -> Cleared {
    let deadline = Instant::now() + limit;
    let mut status = None;
    kill_with_group(main);
    loop {
        if !reap_any(main, &mut status) {
            return Cleared { main: status, leftover: 0 };
        }
        let left = children();
        if Instant::now() >= deadline {
            return Cleared { main: status, leftover: (left.len() as u32).max(1) };
        }
        kill_all();
        left.iter().copied().for_each(kill_with_group);
        wait_a_round(&left);
    }
}

/// Reaps all that has ended; whether children are left.
fn reap_any(main: Pid, status: &mut Option<WaitStatus>) -> bool {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, ended))) if pid == main => *status = Some(ended),
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

/// Reaps the children that have ended, but not `main`, whose number (and group) must stay taken.
pub(super) fn reap_strays(main: Pid) {
    for pid in children().into_iter().filter(|&pid| pid != main) {
        reap(pid);
    }
}

/// Reaps this child if it has ended; whether it is gone.
pub(super) fn reap(pid: Pid) -> bool {
    loop {
        match waitpid(Some(pid), WaitOptions::NOHANG) {
            Err(Errno::INTR) => {}
            Ok(None) => return false,
            Ok(Some(_)) | Err(_) => return true,
        }
    }
}

/// KILL to a child that was not reaped yet, and to the group it leads, if it leads one: only it or its parent can have made that group.
pub(super) fn kill_with_group(pid: Pid) {
    signal_group(pid, Signal::KILL);
    // It fails if the process has ended or belongs to someone else; waiting shows which.
    let _ = kill_process(pid, Signal::KILL);
}

/// STOP to everything below this process, until nothing new comes up: what was forked meanwhile is found in the next round. For at most
/// `limit`; whether nothing new came up at last.
pub(super) fn freeze(limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    let mut stopped = BTreeSet::new();
    loop {
        let fresh: Vec<i32> = descendants().into_iter().filter(|pid| stopped.insert(*pid)).collect();
        fresh.iter().for_each(|pid| signal_descendant(*pid, Signal::STOP));
        if fresh.is_empty() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
    }
}

/// CONT to everything below this process: children before their parents, which may end, or stop again, because of them; and once more.
pub(super) fn thaw() {
    for _ in 0..2 {
        descendants().into_iter().rev().for_each(|pid| signal_descendant(pid, Signal::CONT));
    }
}

/// Everything below this process, by asking each process for its parent. Parents come before their children.
fn descendants() -> Vec<i32> {
    let mut of: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for pid in fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| pid_of(entry.file_name().to_str()?)) {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid())).unwrap_or_default();
        if let Some(parent) = parent_in(&stat) {
            of.entry(parent.as_raw_pid()).or_default().push(pid.as_raw_pid());
        }
    }
    let mut found = vec![getpid().as_raw_pid()];
    let mut at = 0;
    while let Some(children) = found.get(at).map(|pid| of.remove(pid).unwrap_or_default()) {
        found.extend(children);
        at += 1;
    }
    found.split_off(1)
}

/// Between the look and the signal the process may have ended and its number be another's: a descriptor holds on to the process, and a
/// second look at its parent shows whether it is the one that was meant.
fn signal_descendant(pid: i32, signal: Signal) {
    let Some(process) = Pid::from_raw(pid) else { return };
    let Ok(held) = pidfd_open(process, PidfdFlags::empty()) else { return };
    if descendant(pid) {
        // It fails if it has ended, or belongs to someone else.
        let _ = pidfd_send_signal(&held, signal);
    }
}

/// Whether this process is above that one.
fn descendant(pid: i32) -> bool {
    let own = getpid().as_raw_pid();
    let mut at = pid;
    for _ in 0..PARENTS_MAX {
        let stat = fs::read_to_string(format!("/proc/{at}/stat")).unwrap_or_default();
        match parent_in(&stat).map(Pid::as_raw_pid) {
            Some(parent) if parent == own => return true,
            Some(parent) if parent > 1 => at = parent,
            _ => return false,
        }
    }
    false
}

/// A signal to the process group that a child leads which was not reaped yet.
pub(super) fn signal_group(leader: Pid, signal: Signal) {
    if !leader.is_init() {
        // It fails where there is no such group.
        let _ = kill_process_group(leader, signal);
    }
}

/// Waits until one of these has ended, for at most a round.
pub(super) fn wait_a_round(left: &[Pid]) {
    match left.first().and_then(|&pid| pidfd_open(pid, PidfdFlags::empty()).ok()) {
        Some(pidfd) => {
            ended_within(&pidfd, ROUND);
        }
        None => std::thread::sleep(ROUND / 10),
    }
}

/// Waits until a process has ended; whether it has.
pub(super) fn ended_within(pidfd: &OwnedFd, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        let left = Timespec::try_from(deadline.saturating_duration_since(Instant::now())).ok();
        match poll(&mut [PollFd::new(pidfd, PollFlags::IN)], left.as_ref()) {
            Err(Errno::INTR) => {}
            ready => return ready.is_ok_and(|ready| ready > 0),
        }
    }
}

/// The children of all threads of this process, ended ones too. It can miss some while others end: call it again.
pub(super) fn children() -> Vec<Pid> {
    listed_children().or_else(|_| scanned_children()).unwrap_or_default()
}

/// As the kernel lists them, if it was built with `CONFIG_PROC_CHILDREN`.
fn listed_children() -> io::Result<Vec<Pid>> {
    fs::metadata("/proc/thread-self/children")?;
    let mut pids = Vec::new();
    for thread in fs::read_dir("/proc/self/task")? {
        // A thread may be gone by now.
        let list = fs::read_to_string(thread?.path().join("children")).unwrap_or_default();
        pids.extend(list.split_ascii_whitespace().filter_map(pid_of));
    }
    Ok(pids)
}

/// By asking each process for its parent.
fn scanned_children() -> io::Result<Vec<Pid>> {
    let own = getpid();
    let is_child = |pid: &Pid| {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid())).unwrap_or_default();
        parent_in(&stat) == Some(own)
    };
    let all = fs::read_dir("/proc")?.flatten().filter_map(|entry| pid_of(entry.file_name().to_str()?));
    Ok(all.filter(is_child).collect())
}

/// The fourth field. The second, the name, may contain anything; the last parenthesis ends it.
fn parent_in(stat: &str) -> Option<Pid> {
    pid_of(stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?)
}

fn pid_of(text: &str) -> Option<Pid> {
    text.parse().ok().filter(|&pid: &i32| pid > 0).and_then(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_parent_is_read_behind_a_name_with_parentheses() {
        assert_eq!(parent_in("42 (a) b (c) S 17 42"), Pid::from_raw(17));
        for bad in ["", "42 (a", "42 (a) S", "42 (a) S x", "42 (a) S 0", "42 (a) S -1"] {
            assert_eq!(parent_in(bad), None, "{bad}");
        }
    }

    #[test]
    fn both_ways_find_the_same_child() {
        let mut child = Command::new("/bin/cat").stdin(Stdio::piped()).spawn().unwrap();
        let pid = Pid::from_child(&child);
        assert!(scanned_children().unwrap().contains(&pid));
        assert!(listed_children().map_or(true, |list| list.contains(&pid)));
        assert!(!reap(pid));
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(!children().contains(&pid));
    }
}
