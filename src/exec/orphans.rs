//! What a killed launcher leaves: its tasks become children of the worker, which kills and reaps them.

use std::collections::BTreeSet;
use std::io;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rustix::process::{Pid, getpid, set_child_subreaper};

use super::tree;
use crate::domain::Error;
use crate::limits;

/// The launchers of this process, and calls of a container program. Held while one is started, so that it can't be taken for an orphan before it
/// is known.
static LAUNCHERS: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

/// What was found and done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swept {
    /// Orphans that were killed and reaped.
    pub ended: u32,
    /// Orphans that survived KILL for ten seconds (in uninterruptible sleep, or another user's).
    pub leftover: u32,
}

/// Makes this process the parent of every process below it that loses its own. A worker calls it once, before its first launcher.
pub fn become_subreaper() -> Result<(), Error> {
    set_child_subreaper(Some(getpid())).map_err(|error| Error::internal(format!("orphans can't be adopted: {error}")))
}

/// Kills and reaps every child of this process but its launchers and those in `except` (process numbers), and what comes up below them.
///
/// To be called after a launcher died. Blocks, mostly for milliseconds, at most ten seconds. Waits only for the processes it found, so
/// the standard library's and tokio's children, if named in `except`, are left alone.
pub fn adopt_and_kill_orphans(except: &[u32]) -> Swept {
    let deadline = Instant::now() + limits::KILL_TIMEOUT;
    let mut ended = 0;
    loop {
        let orphans = orphans(except);
        if orphans.is_empty() {
            return Swept { ended, leftover: 0 };
        }
        orphans.iter().copied().for_each(tree::kill_with_group);
        // Those that are gone may have left children of their own: only a round that finds nobody is the last.
        let left: Vec<Pid> = orphans.iter().copied().filter(|&pid| !tree::reap(pid)).collect();
        ended += (orphans.len() - left.len()) as u32;
        if Instant::now() >= deadline {
            return Swept { ended, leftover: left.len() as u32 };
        }
        if !left.is_empty() {
            tree::wait_a_round(&left);
        }
    }
}

/// The children that are nobody's. Looks twice, for a list can miss some while others end.
fn orphans(except: &[u32]) -> Vec<Pid> {
    let launchers = launchers();
    let mut orphans = tree::children();
    orphans.extend(tree::children());
    orphans.sort_unstable_by_key(|pid| pid.as_raw_pid());
    orphans.dedup();
    orphans.retain(|pid| {
        let number = pid.as_raw_pid().unsigned_abs();
        !launchers.contains(&number) && !except.contains(&number)
    });
    orphans
}

/// Starts a child that somebody waits for, and notes it.
pub(super) fn spawn_known(command: &mut Command) -> io::Result<Child> {
    let mut launchers = launchers();
    let child = command.spawn()?;
    launchers.insert(child.id());
    Ok(child)
}

/// Reaps a child that has ended, or is about to, and forgets it, in one step: its number may be given to the next one at once.
pub(super) fn reap_known(child: &mut Child) -> io::Result<ExitStatus> {
    let mut launchers = launchers();
    // It fails only if somebody else has reaped it.
    let status = child.wait();
    launchers.remove(&child.id());
    status
}

fn launchers() -> MutexGuard<'static, BTreeSet<u32>> {
    LAUNCHERS.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use rustix::process::{Signal, kill_process};

    use super::super::protocol::End;
    use super::super::testing::{Slot, in_role, own_role};
    use super::*;

    #[test]
    fn what_a_killed_launcher_leaves_is_ended_by_the_worker() {
        let dir = tempfile::tempdir().unwrap();
        // In a process of its own: it kills all children but those it is told to spare.
        let output = in_role(module_path!(), "bereaved_worker", dir.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }

    #[test]
    #[ignore = "not a test: the worker of the test above"]
    fn bereaved_worker() {
        if own_role().is_none() {
            return;
        }
        become_subreaper().unwrap();
        let mut other = Slot::new();
        let mut bystander = Command::new("/bin/cat").stdin(Stdio::piped()).spawn().unwrap();
        for task in ["", "(setsid sh -c 'trap \"\" TERM; (setsid sleep 300 &) ; sleep 300' &) ; setsid sleep 300 & kill -STOP $!;"] {
            let mut slot = Slot::new();
            let start = slot.shell(&format!("trap '' TERM; {task} : > ready; while :; do sleep 300; done"));
            let launcher = Pid::from_raw(slot.launcher.pid() as i32).unwrap();
            let died = slot.run_until_ready(&start, || kill_process(launcher, Signal::KILL).unwrap()).unwrap_err();
            assert_eq!(died.pid, slot.launcher.pid());
            let swept = adopt_and_kill_orphans(&[bystander.id()]);
            assert!(swept.ended >= 1 && swept.leftover == 0, "{swept:?}");
            assert!(slot.processes().is_empty());
        }
        assert_eq!(adopt_and_kill_orphans(&[bystander.id()]), Swept { ended: 0, leftover: 0 });
        assert_eq!(other.run("exit 6").end, End::Exited { code: 6 });
        assert!(bystander.try_wait().unwrap().is_none());
        drop(bystander.stdin.take());
        assert!(bystander.wait().unwrap().success());
    }
}
