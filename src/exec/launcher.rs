//! The main of a launcher process: the parent of one slot's tasks, and of all they leave behind.
//!
//! One thread, one poll over its input and the running task. It ends when its input does, for then its worker has died. What is decided
//! stands in [`super::machine`]; this file asks the kernel and does as it is told.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, WaitStatus, getpgid, kill_process, pidfd_open};

use super::capture::Capture;
use super::container::Grip;
use super::machine::{Happened, Status, Step, TaskMachine};
use super::orphans::become_subreaper;
use super::protocol::{Answer, End, Ended, Frames, Request, Start, encode};
use super::sandbox::confinement::{Confined, enter};
use super::spawn::Spawner;
use super::{signals, tree};
use crate::domain::{Error, ErrorKind, Instant};
use crate::limits;

/// The argument that makes a binary of ours a launcher.
pub const LAUNCHER_ARG: &str = "__launcher";

/// How often the size of the outputs is checked, and ended orphans are reaped, while a task runs.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// From here on an exit code may be the container program's own, or tell of a signal: a container may be left.
const CONTAINER_FAULT_CODE: i32 = 125;
/// One read from the input: more than most tasks need to be told.
const READ_BYTES: usize = 4 * 1024;

/// Enters the sandbox that its arguments name, and serves one worker over standard input and output until the input ends (success) or makes no
/// sense (failure).
///
/// Call it before anything else in `main`: no thread, no handler and no other child may exist. Its parent starts it in a process group
/// of its own, so that Ctrl-C in a terminal doesn't reach it.
pub fn launcher_main() -> ExitCode {
    let served = enter(std::env::args_os()).and_then(|confined| {
        let input = std::io::stdin().as_fd().try_clone_to_owned();
        let output = std::io::stdout().as_fd().try_clone_to_owned();
        let pipes = input.and_then(|input| Ok((input, output?))).map_err(|error| Error::io("standard input", &error));
        pipes.and_then(|(input, output)| serve(input, output, confined))
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind == ErrorKind::Unavailable => ExitCode::SUCCESS,
        Err(error) => {
            // Its worker may be gone, and standard error with it.
            let _ = writeln!(std::io::stderr(), "launcher: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The launcher on any pair of pipes. `Unavailable` means that the worker went away while a task ran.
pub(super) fn serve(input: OwnedFd, output: OwnedFd, confined: Confined) -> Result<(), Error> {
    become_subreaper()?;
    signals::ignore_none();
    let (spawner, began) = (Spawner::new(&confined)?, std::time::Instant::now());
    let mut desk = Desk { input: input.into(), output: output.into(), frames: Frames::default(), spawner, confined, began };
    loop {
        match desk.next()? {
            Some(Request::Start { seq, start }) => desk.run(seq, &start)?,
            // Meant for a task that has ended meanwhile.
            Some(Request::Stop { .. } | Request::Kill { .. } | Request::Freeze { .. }) => {}
            None if desk.read()? => {}
            None => return Ok(()),
        }
    }
}

/// The launcher's two pipes and its clock.
struct Desk {
    input: File,
    output: File,
    frames: Frames,
    spawner: Spawner,
    confined: Confined,
    began: std::time::Instant,
}

/// A task that runs.
struct Running {
    seq: u64,
    main: Pid,
    pidfd: OwnedFd,
    capture: Capture,
    machine: TaskMachine,
    frozen: Frozen,
    /// The program and what it is called with, for what signals don't reach.
    grip: Option<(PathBuf, Grip)>,
}

/// How much of a task stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frozen {
    Not,
    /// It forks faster than it is stopped: that is tried again.
    InPart,
    Whole,
}

impl Desk {
    fn now(&self) -> Instant {
        Instant(self.began.elapsed().as_millis() as u64)
    }

    fn next(&mut self) -> Result<Option<Request<'static>>, Error> {
        self.frames.next()
    }

    /// Takes in what the worker has written, waiting for it if need be; false at its end.
    fn read(&mut self) -> Result<bool, Error> {
        let mut piece = [0; READ_BYTES];
        let len = loop {
            match self.input.read(&mut piece) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                result => break result.map_err(|error| Error::io("standard input", &error))?,
            }
        };
        self.frames.push(piece.get(..len).unwrap_or_default());
        Ok(len > 0)
    }

    fn answer(&mut self, seq: u64, ended: Ended) -> Result<(), Error> {
        self.output.write_all(&encode(&Answer { seq, ended })?).map_err(|error| match error.kind() {
            std::io::ErrorKind::BrokenPipe => Error::unavailable("the worker is gone"),
            _ => Error::io("standard output", &error),
        })
    }

    /// Runs one task to its end. On an error the task and all below it are gone as well.
    fn run(&mut self, seq: u64, start: &Start) -> Result<(), Error> {
        let grip = start.grip.as_ref().map(|grip| (start.program.clone(), grip.clone()));
        let (main, capture) = match self.spawner.spawn(start) {
            Ok(spawned) => spawned,
            Err(end) => return self.answer(seq, Ended::without_process(end, false)),
        };
        let timeout = start.timeout_ms.map(Duration::from_millis);
        let machine = TaskMachine::started(self.now(), timeout, Duration::from_millis(start.grace_ms));
        let watched = pidfd_open(main, PidfdFlags::empty())
            .map_err(|error| Error::internal(format!("process {main:?} can't be watched: {error}")))
            .map(|pidfd| Running { seq, main, pidfd, capture, machine, frozen: Frozen::Not, grip })
            .and_then(|running| self.watch(running));
        let mut cleared = tree::clear(main, limits::KILL_TIMEOUT, || self.confined.kill_all());
        if !self.confined.empty_private() {
            // Then this launcher, with which the folders go, is not used again.
            cleared.leftover = cleared.leftover.saturating_add(1);
        }
        let told = watched.map(|running| running.told(cleared));
        let told = release(start, told);
        self.answer(seq, told?)
    }

    /// Until the task is to be cleared away. An error means that the worker is gone, or makes no sense.
    fn watch(&mut self, mut running: Running) -> Result<Running, Error> {
        loop {
            let happened = self.wait(&running)?;
            let step = running.machine.on(happened, self.now());
            match step {
                Step::Wait if running.frozen == Frozen::InPart => running.freeze(),
                Step::Wait => {}
                Step::Terminate => running.terminate(),
                Step::Freeze => running.freeze(),
                Step::Thaw => running.thaw(),
                Step::Finish => return Ok(running),
            }
        }
    }

    /// Waits for what happens next.
    fn wait(&mut self, running: &Running) -> Result<Happened, Error> {
        if let Some(happened) = self.requested(running.seq)? {
            return Ok(happened);
        }
        let now = self.now();
        let until_deadline = running.machine.wake_at().map_or(CHECK_EVERY, |at| at.since(now));
        let timeout = Timespec::try_from(until_deadline.min(CHECK_EVERY)).ok();
        let mut fds = [PollFd::new(&running.pidfd, PollFlags::IN), PollFd::new(&self.input, PollFlags::IN)];
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(Error::internal(format!("poll failed: {error}"))),
        }
        let [ended, asked] = fds.map(|fd| !fd.revents().is_empty());
        if ended {
            return Ok(Happened::MainEnded);
        }
        if asked && !self.read()? {
            return Err(Error::unavailable("the worker is gone"));
        }
        tree::reap_strays(running.main);
        Ok(running.capture.exceeded().map_or(Happened::Tick, |reason| Happened::OutputExceeded { reason }))
    }

    /// What was asked about the running task.
    fn requested(&mut self, running: u64) -> Result<Option<Happened>, Error> {
        while let Some(request) = self.next()? {
            match request {
                Request::Stop { seq, grace_ms } if seq == running => {
                    return Ok(Some(Happened::StopAsked { grace: Duration::from_millis(grace_ms) }));
                }
                Request::Kill { seq } if seq == running => return Ok(Some(Happened::KillAsked)),
                Request::Freeze { seq, frozen } if seq == running => return Ok(Some(Happened::FreezeAsked { frozen })),
                Request::Stop { .. } | Request::Kill { .. } | Request::Freeze { .. } => {}
                Request::Start { seq, .. } => return Err(Error::invalid(format!("start {seq} while start {running} still runs"))),
            }
        }
        Ok(None)
    }
}

impl Running {
    /// TERM, and CONT so that a stopped process can act on it; all of them, if they were frozen. A main process may have gone to another
    /// group, and the rest not.
    fn terminate(&mut self) {
        let left_its_group = getpgid(Some(self.main)).is_ok_and(|group| group != self.main);
        for signal in [Signal::TERM, Signal::CONT] {
            tree::signal_group(self.main, signal);
            if left_its_group {
                // It fails if it has ended meanwhile.
                let _ = kill_process(self.main, signal);
            }
        }
        if self.frozen != Frozen::Not {
            self.thaw();
        }
    }

    fn freeze(&mut self) {
        // First what is not below: the client that is stopped says nothing to it.
        let is_held = self.grip.as_ref().is_none_or(|(program, grip)| grip.freeze(program, true));
        self.frozen = if tree::freeze(limits::FREEZE_TIMEOUT) && is_held { Frozen::Whole } else { Frozen::InPart };
    }

    fn thaw(&mut self) {
        tree::thaw();
        if let Some((program, grip)) = &self.grip {
            // It fails if it has ended, or never stood still.
            grip.freeze(program, false);
        }
        self.frozen = Frozen::Not;
    }

    /// The task's end in words of the protocol. What was written since the last check counts too.
    fn told(mut self, cleared: tree::Cleared) -> Ended {
        if let Some(reason) = self.capture.exceeded() {
            self.machine.on(Happened::OutputExceeded { reason }, Instant::default());
        }
        let (end, stopped) = self.machine.end(cleared.main.and_then(status));
        Ended { end, stopped, leftover: cleared.leftover }
    }
}

/// Removes the container of a task that did not end by itself, or may have left it; also when the worker is gone. All below this process is dead by now.
fn release(start: &Start, told: Result<Ended, Error>) -> Result<Ended, Error> {
    let Some(grip) = &start.grip else { return told };
    let is_over =
        |ended: &Ended| matches!(ended.end, End::Exited { code: ..CONTAINER_FAULT_CODE }) && !ended.stopped && ended.leftover == 0;
    if told.as_ref().is_ok_and(is_over) || grip.remove(&start.program) {
        return told;
    }
    told.map(|ended| Ended { leftover: ended.leftover.saturating_add(1), ..ended })
}

fn status(status: WaitStatus) -> Option<Status> {
    let exited = status.exit_status().map(Status::Exited);
    exited.or_else(|| status.terminating_signal().map(Status::Signalled))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::super::testing::{Slot, script};
    use super::*;

    const ALL_GONE: [u32; 0] = [];

    fn start_program(slot: &Slot, program: impl AsRef<Path>) -> Start {
        Start { program: program.as_ref().into(), args: vec![], ..slot.shell("") }
    }

    #[test]
    fn exit_codes_and_signals_are_told() {
        let mut slot = Slot::new();
        assert_eq!(slot.run("exit 0").end, End::Exited { code: 0 });
        assert_eq!(slot.run("exit 255").end, End::Exited { code: 255 });
        assert_eq!(slot.run("kill -KILL $$").end, End::Signalled { signal: 9 });
        for signal in [1, 3] {
            assert_eq!(slot.run(&format!("kill -{signal} $$")).end, End::Signalled { signal }, "however its worker was started");
        }
        let ended = slot.run("kill -TERM $$");
        assert_eq!((ended.end, ended.stopped, ended.leftover), (End::Signalled { signal: 15 }, false, 0));
    }

    #[test]
    fn what_cannot_be_started_says_why() {
        let mut slot = Slot::new();
        let (dir, shell) = (slot.dir.clone(), slot.shell("exit 0"));
        script(&dir.join("no_interpreter"), "#!/no/such/thing\n");
        script(&dir.join("no_program"), "just text\n");
        fs::write(dir.join("not_executable"), "#!/bin/sh\n").unwrap();
        let mut refused = |start: Start| match slot.launcher.run(&start, || false).unwrap().end {
            End::SpawnFailed { reason } | End::MachineFailed { reason } => reason.replace(&format!("{}/", dir.display()), ""),
            other => panic!("{other:?}"),
        };
        let named = |name: &str| Start { program: dir.join(name), args: vec![], ..shell.clone() };
        assert_eq!(refused(named("missing")), "missing: no such file or directory");
        assert_eq!(refused(named("not_executable")), "not_executable: not executable");
        assert!(refused(named("no_interpreter")).contains("its interpreter"));
        assert!(refused(named("no_program")).contains("not a program for this machine"));
        assert_eq!(refused(Start { program: "/usr".into(), ..shell.clone() }), "/usr: is a directory");
        assert_eq!(refused(Start { program: "sh".into(), ..shell.clone() }), "sh: not an absolute path");
        assert_eq!(refused(Start { cwd: dir.join("away"), ..shell.clone() }), "working folder away: no such folder");
        assert_eq!(refused(Start { stdin: Some(dir.join("in")), ..shell.clone() }), "standard input in: no such file or directory");
        assert_eq!(refused(Start { stdout: dir.join("a/b"), ..shell.clone() }), "standard output a/b: no such file or directory");
        assert!(refused(Start { args: vec!["x".repeat(200_000)], ..shell.clone() }).contains("argument list too long"));
        assert!(refused(Start { args: vec!["x".repeat(5_000_000)], ..shell.clone() }).contains("more than 4194304"));
        assert_eq!(slot.run("exit 4").end, End::Exited { code: 4 });
    }

    #[test]
    fn a_machine_that_cannot_start_a_task_does_not_blame_it() {
        let mut slot = Slot::new();
        let (dir, shell) = (slot.dir.clone(), slot.shell("exit 0"));
        let mut blames = |start: Start| slot.launcher.run(&start, || false).unwrap().fault().is_none();
        assert!(blames(Start { program: dir.join("missing"), ..shell.clone() }));
        assert!(!blames(Start { cwd: dir.join("away"), ..shell.clone() }));
        assert!(!blames(Start { stdin: Some(dir.join("in")), ..shell.clone() }));
        assert!(!blames(Start { stderr: dir.join("a/b"), ..shell.clone() }));
        assert_eq!(slot.run("exit 4").outcome(), crate::domain::Outcome::Exited { code: 4 });
    }

    #[test]
    fn input_and_outputs_are_files() {
        let mut slot = Slot::new();
        fs::write(slot.dir.join("in"), "chunk").unwrap();
        let mut start = slot.shell("cat; echo err >&2");
        start.stdin = Some(slot.dir.join("in"));
        slot.launcher.run(&start, || false).unwrap();
        assert_eq!((slot.read("stdout").as_str(), slot.read("stderr").as_str()), ("chunk", "err\n"));
        slot.run("cat");
        assert_eq!((slot.read("stdout").as_str(), slot.read("stderr").as_str()), ("", ""), "no input is empty input; files are truncated");
    }

    #[test]
    fn the_task_gets_its_own_environment_folder_and_process_group() {
        let mut slot = Slot::new();
        slot.run("env | sort; pwd; set -- $$ $(cat /proc/$$/stat); echo $(($1 - $2)) $(($1 - $6))");
        let expected = format!("INHERITED=1\n{}\nPATH=/usr/bin:/bin\n{}\n0 0\n", slot.marker, slot.dir.display());
        let told = slot.read("stdout");
        // These come of the shells here and of the test's launcher.
        let is_other = |line: &&str| !["PWD=", "OLDPWD=", "MILLPOND_TEST_ROLE="].iter().any(|name| line.starts_with(name));
        let told: Vec<&str> = told.lines().filter(is_other).collect();
        assert_eq!(told, expected.lines().collect::<Vec<_>>());
    }

    #[test]
    fn a_closed_pipe_ends_a_program_as_in_a_shell() {
        let mut slot = Slot::new();
        slot.run("yes | head -n 1; echo done");
        assert_eq!((slot.read("stdout").as_str(), slot.read("stderr").as_str()), ("y\ndone\n", ""));
    }

    #[test]
    fn the_time_limit_holds_for_the_obedient_the_deaf_and_the_stopped() {
        let mut slot = Slot::new();
        for task in ["exec sleep 300", "trap '' TERM; while :; do sleep 300; done", "kill -STOP $$; sleep 300", "setsid sleep 300 & wait"] {
            let start = Start { timeout_ms: Some(100), ..slot.shell(task) };
            let ended = slot.launcher.run(&start, || false).unwrap();
            assert_eq!((ended.end, ended.stopped, ended.leftover), (End::TimedOut, false, 0), "{task}");
            assert_eq!(slot.processes(), ALL_GONE, "{task}");
        }
    }

    #[test]
    fn too_much_output_ends_a_task_while_it_runs_and_after_it() {
        let mut slot = Slot::new();
        let limit = |stream: &str| End::OutputLimit {
            reason: format!("standard {stream} is larger than 1048576 bytes: let it write to a file in {{output}}"),
        };
        assert_eq!(slot.run("exec head -c 1048577 /dev/zero").end, limit("output"));
        assert_eq!(slot.run("exec head -c 1048577 /dev/zero >&2").end, limit("error"));
        assert_eq!(slot.run("exec head -c 1048576 /dev/zero").end, End::Exited { code: 0 });
        assert_eq!(slot.run("head -c 2000000 /dev/zero; trap '' TERM; while :; do sleep 300; done").end, limit("output"));
        assert_eq!(slot.processes(), ALL_GONE);
    }

    #[test]
    fn nothing_outlives_its_task() {
        let mut slot = Slot::new();
        script(&slot.dir.join("again"), "#!/bin/sh\nsetsid \"$0\" &\n");
        script(&slot.dir.join("daemon"), "#!/bin/sh\ntrap '' TERM HUP\n: > $1\nexec sleep 300\n");
        let wait = "while ! [ -e $f ]; do sleep 0.01; done; rm $f; exit 5";
        for task in [
            "./daemon $f & ",
            "(setsid ./daemon $f &) ; ",
            "(setsid sh -c '(setsid ./daemon '$f' &) ; sleep 300' &) ; ",
            "(setsid sh -c 'while :; do (setsid ./daemon '$f' &); sleep 0.01; done' &) ; ",
            "setsid $PWD/again & : > $f; ",
            "setsid sh -c 'kill -STOP $$; sleep 300' & : > $f; ",
            "i=0; while [ $i -lt 100 ]; do setsid sleep 300 & i=$((i+1)); done; : > $f; ",
        ] {
            let ended = slot.run(&format!("f=made; {task} {wait}"));
            assert_eq!((ended.end, ended.leftover), (End::Exited { code: 5 }, 0), "{task}");
            assert_eq!(slot.processes(), ALL_GONE, "{task}");
        }
    }

    #[test]
    fn an_output_that_is_a_link_is_not_followed() {
        let mut slot = Slot::new();
        std::os::unix::fs::symlink("elsewhere", slot.dir.join("stdout")).unwrap();
        let ended = slot.launcher.run(&start_program(&slot, "/bin/true"), || false).unwrap();
        assert!(matches!(ended.end, End::MachineFailed { .. }));
        assert!(!slot.dir.join("elsewhere").exists());
    }
}
