//! The worker's end of a launcher: runs tasks one after the other, blocking.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::launcher::LAUNCHER_ARG;
use super::line::{Line, Stopper};
use super::orphans::{reap_known, spawn_known};
use super::protocol::{Answer, End, Ended, Frames, Request, Start, encode};
use super::tree::ended_within;
use crate::domain::Error;
use crate::limits;

/// How long a launcher may take to end its task, and itself, once its input ends.
const EXIT_TIMEOUT: Duration = limits::KILL_TIMEOUT.saturating_add(Duration::from_secs(2));
/// How often it is looked at whether a launcher stands still while its task runs.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// One read of answers.
const READ_BYTES: usize = 1024;

/// A launcher process. Dropping it ends its task and the process; that blocks, mostly for milliseconds, at most twelve seconds.
pub struct Launcher {
    child: Child,
    answers: ChildStdout,
    frames: Frames,
    line: Arc<Line>,
    /// Of the next task.
    seq: u64,
}

/// The launcher is gone, or makes no sense and was killed. What ran below it is now this process's:
/// [`adopt_and_kill_orphans`](super::adopt_and_kill_orphans).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("launcher {pid} died: {reason}")]
pub struct LauncherDied {
    /// Its process number, by now free again.
    pub pid: u32,
    /// One line.
    pub reason: String,
}

impl From<LauncherDied> for Error {
    fn from(died: LauncherDied) -> Self {
        Error::unavailable(died.to_string())
    }
}

impl Launcher {
    /// Starts `exe __launcher extra_args…` in `dir`, in a process group of its own (with a sandbox in its arguments: in a session, which it makes
    /// itself), with an environment that all its tasks find, besides
    /// what each is told: a task can read its launcher's, too, and what else the worker's holds (a token) is no business of tasks.
    ///
    /// `exe` must be absolute and call [`launcher_main`](super::launcher_main) when its first argument is [`LAUNCHER_ARG`];
    /// `/proc/self/exe` stays right when the binary is replaced on disk.
    pub fn spawn(exe: &Path, extra_args: &[&str], dir: &Path, env: &[(String, String)]) -> Result<Self, Error> {
        if !exe.is_absolute() {
            return Err(Error::invalid(format!("launcher `{}`: give an absolute path", exe.display())));
        }
        let mut command = Command::new(exe);
        command.arg(LAUNCHER_ARG).args(extra_args).current_dir(dir).env_clear().envs(env.iter().cloned());
        if extra_args.is_empty() {
            command.process_group(0);
        }
        Self::start(command).map_err(|error| Error::io(exe, &error))
    }

    /// Starts any command that speaks the protocol.
    pub(super) fn start(mut command: Command) -> io::Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = spawn_known(&mut command)?;
        let parts = pidfd_open(Pid::from_child(&child), PidfdFlags::empty());
        match (parts, child.stdin.take(), child.stdout.take()) {
            (Ok(pidfd), Some(requests), Some(answers)) => {
                let line = Arc::new(Line::new(pidfd, requests));
                Ok(Self { child, answers, frames: Frames::default(), line, seq: 1 })
            }
            (pidfd, ..) => {
                // Its input is closed by now, so it ends by itself; this makes sure.
                let _ = child.kill().and_then(|()| reap_known(&mut child));
                Err(pidfd.err().map_or_else(|| io::Error::other("no pipes"), io::Error::from))
            }
        }
    }

    /// The launcher's process number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Stops the task of the next [`run`](Self::run), and no other.
    pub fn stopper(&self) -> Stopper {
        Stopper::new(&self.line, self.seq)
    }

    /// Runs one task to its end. When this returns, everything below the launcher is gone (but for `leftover`). What can't be started is an
    /// `Ended` too. Where `is_overdue` says so, in the first second or later, the launcher is killed: a task can make it deaf.
    pub fn run(&mut self, start: &Start, is_overdue: impl Fn() -> bool) -> Result<Ended, LauncherDied> {
        let seq = self.seq;
        self.seq += 1;
        let ended = match encode(&Request::Start { seq, start: Cow::Borrowed(start) }) {
            Ok(frame) => match self.line.begin(seq, &frame) {
                Ok(true) => self.until_end(seq, is_overdue),
                Ok(false) => Ok(Ended::without_process(End::NotStarted, true)),
                Err(error) => Err(format!("it can't be told to start: {error}")),
            },
            Err(error) => Ok(Ended::without_process(End::SpawnFailed { reason: error.message }, false)),
        };
        self.line.finish(seq);
        ended.map_err(|reason| {
            self.bury();
            LauncherDied { pid: self.pid(), reason }
        })
    }

    /// Waits for the task's end; an error is one line.
    fn until_end(&mut self, seq: u64, is_overdue: impl Fn() -> bool) -> Result<Ended, String> {
        let mut piece = [0; READ_BYTES];
        loop {
            if let Some(answer) = self.frames.next::<Answer>().map_err(|error| error.message)? {
                return if answer.seq == seq { Ok(answer.ended) } else { Err(format!("it speaks of another task than {seq}: {answer:?}")) };
            }
            if !self.answer_waits()? {
                if is_overdue() {
                    self.line.kill_launcher();
                }
                continue;
            }
            match self.answers.read(&mut piece) {
                Ok(0) => return Err("it ended its output".into()),
                Ok(len) => self.frames.push(piece.get(..len).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(format!("its output can't be read: {error}")),
            }
        }
    }

    /// Blocks; whether there is something to read. Its death counts even if somebody else holds its output open: a task could.
    fn answer_waits(&self) -> Result<bool, String> {
        let mut fds = [PollFd::new(&self.answers, PollFlags::IN), PollFd::new(&self.line.pidfd, PollFlags::IN)];
        match poll(&mut fds, Timespec::try_from(LOOK_EVERY).ok().as_ref()) {
            Ok(0) => {
                self.line.rouse();
                return Ok(false);
            }
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(false),
            Err(error) => return Err(format!("it can't be watched: {error}")),
        }
        let [readable, dead] = fds.map(|fd| !fd.revents().is_empty());
        if dead && !readable { Err("its process ended".into()) } else { Ok(readable) }
    }

    /// Makes sure that it is dead, and its children ours, and reaps it.
    fn bury(&mut self) {
        self.line.hang_up();
        self.line.kill_launcher();
        ended_within(&self.line.pidfd, EXIT_TIMEOUT);
        // It fails only if somebody else has reaped it.
        let _ = reap_known(&mut self.child);
    }
}

impl Drop for Launcher {
    fn drop(&mut self) {
        self.line.hang_up();
        ended_within(&self.line.pidfd, EXIT_TIMEOUT);
        self.bury();
    }
}

impl fmt::Debug for Launcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Launcher").field("pid", &self.pid()).field("seq", &self.seq).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{PATIENCE, Slot, in_role, launcher, marked, marker, own_role, until, wait_for};
    use super::*;

    const DEAF: &str = "trap '' TERM; : > ready; while :; do sleep 300; done";

    #[test]
    fn a_stopped_task_may_end_by_itself_within_its_grace() {
        let mut slot = Slot::new();
        let start = slot.shell("trap 'exit 7' TERM; : > ready; while :; do sleep 0.01; done");
        let stopper = slot.launcher.stopper();
        let ended = slot.run_until_ready(&start, || stopper.stop(PATIENCE)).unwrap();
        assert_eq!((ended.end, ended.stopped), (End::Exited { code: 7 }, true));
    }

    #[test]
    fn a_deaf_task_is_killed_after_its_grace() {
        let mut slot = Slot::new();
        let start = slot.shell(DEAF);
        let stopper = slot.launcher.stopper();
        let grace = Duration::from_millis(100);
        let began = std::time::Instant::now();
        let ended = slot.run_until_ready(&start, || stopper.stop(grace)).unwrap();
        assert_eq!((ended.end, ended.stopped, ended.leftover), (End::Signalled { signal: 9 }, true, 0));
        assert!(began.elapsed() >= grace);
        assert!(slot.processes().is_empty());
    }

    #[test]
    fn a_launcher_that_another_task_has_stopped_before_its_next_start_goes_on() {
        let mut slot = Slot::new();
        assert_eq!(slot.run("exit 3").end, End::Exited { code: 3 });
        for _ in 0..2 {
            let pid = Pid::from_raw(slot.launcher.pid().cast_signed()).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
            assert_eq!(slot.run("exit 4").end, End::Exited { code: 4 });
        }
    }

    #[test]
    fn a_kill_does_not_wait_for_the_grace_of_a_stop() {
        let mut slot = Slot::new();
        let start = slot.shell(DEAF);
        let stopper = slot.launcher.stopper();
        let ended = slot.run_until_ready(&start, || {
            stopper.stop(10 * PATIENCE);
            stopper.stop(20 * PATIENCE);
            stopper.clone().kill();
            stopper.stop(PATIENCE);
        });
        assert_eq!(ended.unwrap().end, End::Signalled { signal: 9 });
    }

    #[test]
    fn a_stop_before_the_start_prevents_it_and_one_after_the_end_hits_nobody() {
        let mut slot = Slot::new();
        let stopper = slot.launcher.stopper();
        stopper.stop(PATIENCE);
        assert_eq!(slot.run("exit 3"), Ended::without_process(End::NotStarted, true));
        let late = slot.launcher.stopper();
        assert_eq!(slot.run("exit 4").end, End::Exited { code: 4 });
        late.kill();
        let start = slot.shell(": > ready; while [ ! -e go ]; do sleep 0.01; done; exit 5");
        let go = slot.dir.join("go");
        let ended = slot.run_until_ready(&start, || {
            stopper.kill();
            late.kill();
            std::fs::write(go, "").unwrap();
        });
        let ended = ended.unwrap();
        assert_eq!((ended.end, ended.stopped), (End::Exited { code: 5 }, false));
    }

    #[test]
    fn a_stop_counts_whatever_moment_of_the_start_it_meets() {
        let mut slot = Slot::new();
        for round in 0..40 {
            let start = slot.shell("sleep 300");
            let stopper = slot.launcher.stopper();
            let ended = std::thread::scope(|scope| {
                scope.spawn(move || {
                    std::thread::sleep(Duration::from_micros(50 * round));
                    stopper.kill();
                });
                slot.launcher.run(&start, || false).unwrap()
            });
            assert!(ended.stopped && matches!(ended.end, End::NotStarted | End::Signalled { signal: 9 }), "{ended:?}");
            assert!(slot.processes().is_empty());
        }
    }

    /// A loop that counts into the file `count`, in a process of a session of its own.
    const COUNTS: &str =
        "setsid sh -c 'i=0; while [ ! -e go ]; do i=$((i+1)); echo $i > count.new; mv count.new count; done' & : > ready; wait";

    #[test]
    fn what_is_frozen_stands_still_with_all_its_processes_and_its_time_limit_and_goes_on() {
        let mut slot = Slot::new();
        let dir = slot.dir.clone();
        let start = Start { timeout_ms: Some(3_000), ..slot.shell(COUNTS) };
        let stopper = slot.launcher.stopper();
        let marker = slot.marker.clone();
        let ended = slot.run_until_ready(&start, || {
            wait_for(&dir.join("count"));
            stopper.freeze(true);
            // A shell that was met between `vfork` and its child's `exec` waits for that child, in state D, and can't stop before it.
            let all_stopped = || marked(&marker).iter().all(|pid| ["T", "D"].contains(&&*state_of(*pid)));
            until("all have stopped", all_stopped);
            let count = std::fs::read_to_string(dir.join("count")).unwrap();
            std::thread::sleep(Duration::from_millis(3_200));
            assert_eq!(std::fs::read_to_string(dir.join("count")).unwrap(), count);
            assert!(all_stopped() && !marked(&marker).is_empty());
            stopper.freeze(false);
            until("it counts on", || std::fs::read_to_string(dir.join("count")).is_ok_and(|now| now != count));
            std::fs::write(dir.join("go"), "").unwrap();
        });
        assert_eq!(ended.unwrap().end, End::Exited { code: 0 });
    }

    fn state_of(pid: u32) -> String {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").map_or_else(String::new, |(_, rest)| rest.chars().take(1).collect())
    }

    #[test]
    fn what_is_frozen_can_be_stopped_and_killed_and_a_freeze_before_the_start_counts() {
        let mut slot = Slot::new();
        let trap = "trap 'exit 7' TERM; : > ready; while :; do sleep 0.01; done";
        for (kill, end) in [(false, End::Exited { code: 7 }), (true, End::Signalled { signal: 9 })] {
            let start = slot.shell(trap);
            let stopper = slot.launcher.stopper();
            let ended = slot.run_until_ready(&start, || {
                stopper.freeze(true);
                if kill { stopper.kill() } else { stopper.stop(PATIENCE) }
            });
            assert_eq!(ended.unwrap().end, end);
            std::fs::remove_file(slot.dir.join("ready")).unwrap();
        }
        let stopper = slot.launcher.stopper();
        stopper.freeze(true);
        let start = slot.shell("exec sleep 300");
        let ended = std::thread::scope(|scope| {
            let marker = slot.marker.clone();
            scope.spawn(move || {
                until("it stands still", || marked(&marker).iter().any(|pid| state_of(*pid) == "T"));
                stopper.kill();
            });
            slot.launcher.run(&start, || false).unwrap()
        });
        assert_eq!(ended.end, End::Signalled { signal: 9 });
        assert_eq!(slot.run("exit 3").end, End::Exited { code: 3 }, "the next one is not frozen");
    }

    #[test]
    fn a_launcher_that_is_told_nonsense_ends_and_says_so() {
        let mut slot = Slot::new();
        slot.launcher.line.state().write(b"\xff\xff\xff\xff nonsense").unwrap();
        let start = slot.shell("exit 0");
        let died = slot.launcher.run(&start, || false).unwrap_err();
        assert_eq!(died.pid, slot.launcher.pid());
        assert_eq!(slot.launcher.run(&start, || false).unwrap_err().pid, died.pid, "and stays dead");
        assert_eq!(Error::from(died).kind, crate::domain::ErrorKind::Unavailable);
    }

    #[test]
    fn an_overdue_launcher_is_killed_with_its_task() {
        let mut slot = Slot::new();
        let start = slot.shell("exec sleep 300");
        let died = slot.launcher.run(&start, || true).unwrap_err();
        assert_eq!(died.pid, slot.launcher.pid());
    }

    #[test]
    fn a_launcher_goes_with_its_handle() {
        let launcher = launcher();
        let proc = format!("/proc/{}", launcher.pid());
        assert!(Path::new(&proc).exists());
        drop(launcher);
        assert!(!Path::new(&proc).exists());
    }

    #[test]
    fn a_launcher_is_given_by_an_absolute_path_to_something() {
        let spawn = |exe: &str| Launcher::spawn(Path::new(exe), &[], Path::new("/"), &[]).unwrap_err().kind;
        assert_eq!(spawn("millpond"), crate::domain::ErrorKind::Invalid);
        assert_eq!(spawn("/no/millpond"), crate::domain::ErrorKind::NotFound);
    }

    #[test]
    fn when_the_worker_is_killed_its_launcher_and_tasks_go_too() {
        let dir = tempfile::tempdir().unwrap();
        let mut worker = in_role(module_path!(), "doomed_worker", dir.path()).stdout(Stdio::null()).spawn().unwrap();
        wait_for(&dir.path().join("ready"));
        let launcher = std::fs::read_to_string(dir.path().join("launcher")).unwrap();
        // One that is about to become another program has no environment for a moment.
        until("all tasks run", || marked(&marker(dir.path())).len() >= 3);
        worker.kill().unwrap();
        worker.wait().unwrap();
        until("all tasks are gone", || marked(&marker(dir.path())).is_empty());
        // A zombie has no command line.
        until("the launcher is gone", || std::fs::read(format!("/proc/{launcher}/cmdline")).unwrap_or_default().is_empty());
    }

    #[test]
    #[ignore = "not a test: the worker that the test above kills"]
    fn doomed_worker() {
        if let Some(dir) = own_role() {
            let mut slot = Slot::at(&dir);
            std::fs::write(dir.join("launcher"), slot.launcher.pid().to_string()).unwrap();
            slot.run("trap '' TERM; (setsid sleep 300 &) ; setsid sleep 300 & : > ready; while :; do sleep 300; done");
        }
    }
}
