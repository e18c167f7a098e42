//! How a launcher gets hold of a container that its signals don't reach, or that is left when all below it is gone.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};

use super::super::tree::{ended_within, kill_with_group};
use crate::limits::{CONTAINER_CALL_TIMEOUT, CONTAINER_PROBE_TIMEOUT};

/// What the program that runs a task is called with, besides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grip {
    /// One after the other when the task has ended, but by itself; the last of them must succeed.
    pub remove: Vec<Vec<String>>,
    /// To let it stand still; empty: signals do that.
    pub pause: Vec<String>,
    /// To let it go on.
    pub unpause: Vec<String>,
}

impl Grip {
    /// Removes it; whether it is gone. Blocks, for half a minute at most for each call.
    pub(in crate::exec) fn remove(&self, program: &Path) -> bool {
        self.remove.iter().fold(true, |_, args| helped(program, args, CONTAINER_CALL_TIMEOUT))
    }

    /// Lets it stand still, or go on; whether it does. Blocks, for some seconds at most.
    pub(in crate::exec) fn freeze(&self, program: &Path, frozen: bool) -> bool {
        let args = if frozen { &self.pause } else { &self.unpause };
        args.is_empty() || helped(program, args, CONTAINER_PROBE_TIMEOUT)
    }
}

/// Runs it as a child of its own, and nothing else meanwhile; whether it succeeded in time.
fn helped(program: &Path, args: &[String], limit: Duration) -> bool {
    let mut command = Command::new(program);
    command.args(args).process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(mut child) = command.spawn() else { return false };
    let pid = Pid::from_child(&child);
    if !pidfd_open(pid, PidfdFlags::empty()).is_ok_and(|pidfd| ended_within(&pidfd, limit)) {
        kill_with_group(pid);
    }
    child.wait().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::super::super::protocol::{End, Start};
    use super::super::super::testing::Slot;
    use super::*;

    fn shell(script: &str) -> Vec<String> {
        vec!["-c".to_owned(), script.to_owned()]
    }

    #[test]
    fn the_last_call_says_whether_it_is_gone() {
        let remove = |scripts: &[&str]| {
            let grip = Grip { remove: scripts.iter().map(|script| shell(script)).collect(), ..Grip::default() };
            grip.remove(Path::new("/bin/sh"))
        };
        assert!(remove(&["exit 1", "exit 0"]) && !remove(&["exit 0", "exit 1"]) && remove(&[]));
    }

    #[test]
    fn without_a_call_signals_are_enough() {
        let program = Path::new("/bin/sh");
        assert!(Grip::default().freeze(program, true));
        let grip = Grip { pause: shell("exit 0"), unpause: shell("exit 1"), ..Grip::default() };
        assert!(grip.freeze(program, true) && !grip.freeze(program, false));
        assert!(!grip.freeze(Path::new("/no/such/program"), true));
    }

    #[test]
    fn a_launcher_removes_what_did_not_end_by_itself() {
        let mut slot = Slot::new();
        let log = slot.dir.join("log");
        let lines = || std::fs::read_to_string(&log).unwrap_or_default().lines().count();
        let remove = |code: i32| Grip { remove: vec![shell(&format!("echo gone >> {}; exit {code}", log.display()))], ..Grip::default() };
        let mut run = |script: &str, code: i32| {
            let start = Start { grip: Some(remove(code)), ..slot.shell(script) };
            slot.launcher.run(&start, || false).unwrap()
        };
        assert_eq!((run("exit 124", 0).end, lines()), (End::Exited { code: 124 }, 0));
        assert_eq!((run("exit 125", 0).leftover, lines()), (0, 1));
        assert_eq!((run("kill -9 $$", 0).end, lines()), (End::Signalled { signal: 9 }, 2));
        assert_eq!((run("exit 137", 1).leftover, lines()), (1, 3), "it may be there still");
        // What was stopped may have said of itself that it is well.
        let start = Start { grip: Some(remove(0)), ..slot.shell(": > ready; sleep 300") };
        let stopper = slot.launcher.stopper();
        slot.run_until_ready(&start, || stopper.stop(Duration::ZERO)).unwrap();
        assert_eq!(lines(), 4);
    }
}
