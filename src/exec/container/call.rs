//! One call of the container program by the worker: bounded in time, and in what is kept of its answer.

use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use super::super::environment::inherited_env;
use super::super::orphans::{reap_known, spawn_known};
use crate::limits::CONTAINER_SAID_MAX_BYTES;

/// Between two looks whether the answer is still wanted.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// What is kept of the standard output: the ids of some thousand containers.
const OUT_MAX_BYTES: usize = 64 * 1024;
/// One read.
const READ_BYTES: usize = 4096;

/// Ends a call whose answer nobody wants any more.
#[derive(Clone, Debug, Default)]
pub struct GiveUp(Arc<AtomicBool>);

impl GiveUp {
    /// From any thread; the call ends within moments.
    pub fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What it said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub is_success: bool,
    pub out: String,
    /// The end of it.
    pub err: String,
}

impl Said {
    /// Its standard output; or, if it has failed, why, in one line.
    pub fn success(self) -> Result<String, String> {
        if self.is_success { Ok(self.out) } else { Err(last_line(&self.err).unwrap_or("it says nothing").to_owned()) }
    }
}

/// The last line that says something.
pub(super) fn last_line(text: &str) -> Option<&str> {
    text.lines().map(str::trim).rfind(|line| !line.is_empty())
}

/// Calls it and waits; it and all of its process group are killed when the time is over, or nobody wants the answer. An error is one line.
pub(super) fn call(program: &Path, args: &[String], limit: Duration, give_up: &GiveUp) -> Result<Said, String> {
    let mut command = Command::new(program);
    command.args(args).env_clear().envs(inherited_env(std::env::vars_os())).process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", program.display());
    let mut child = spawn_known(&mut command).map_err(|error| failed(&error))?;
    let heard = hear(&mut child, limit, give_up);
    if heard.is_err() {
        // It fails if it has ended meanwhile.
        let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
    }
    let status = reap_known(&mut child);
    let (out, err) = heard?;
    let is_success = status.map_err(|error| failed(&error))?.success();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Said { is_success, out: text(out), err: text(err) })
}

/// Reads until it has ended: what it left behind may hold its output open.
fn hear(child: &mut Child, limit: Duration, give_up: &GiveUp) -> Result<(Vec<u8>, Vec<u8>), String> {
    let deadline = Instant::now() + limit;
    let odd = |error: &dyn std::fmt::Display| format!("it can't be watched: {error}");
    let ended = pidfd_open(Pid::from_child(child), PidfdFlags::empty()).map_err(|error| odd(&error))?;
    let (Some(mut out), Some(mut err)) = (child.stdout.take(), child.stderr.take()) else { return Err("it has no output".to_owned()) };
    for pipe in [out.as_fd(), err.as_fd()] {
        fcntl_setfl(pipe, OFlags::NONBLOCK).map_err(|error| odd(&error))?;
    }
    let (mut said_out, mut said_err, mut open) = (Vec::new(), Vec::new(), [true; 2]);
    loop {
        let has_ended = {
            let mut fds = vec![PollFd::new(&ended, PollFlags::IN)];
            fds.extend(open[0].then(|| PollFd::new(&out, PollFlags::IN)));
            fds.extend(open[1].then(|| PollFd::new(&err, PollFlags::IN)));
            // An interrupted wait is a look.
            let _ = poll(&mut fds, Timespec::try_from(LOOK_EVERY).ok().as_ref());
            fds.first().is_some_and(|ended| !ended.revents().is_empty())
        };
        open = [read_all(&mut out, &mut said_out, OUT_MAX_BYTES), read_all(&mut err, &mut said_err, CONTAINER_SAID_MAX_BYTES)];
        if has_ended {
            return Ok((said_out, said_err));
        }
        if give_up.is_asked() {
            return Err("it is not wanted any more".to_owned());
        }
        if Instant::now() >= deadline {
            let said = String::from_utf8_lossy(&said_err).into_owned();
            let said = last_line(&said).map_or(String::new(), |said| format!("; it said last: {said}"));
            return Err(format!("it did not end within {} s{said}", limit.as_secs()));
        }
    }
}

/// All that is there now, of which the last `max` bytes are kept; whether more may come.
fn read_all(from: &mut impl Read, to: &mut Vec<u8>, max: usize) -> bool {
    let mut piece = [0; READ_BYTES];
    loop {
        match from.read(&mut piece) {
            Ok(0) => return false,
            Ok(len) => {
                to.extend_from_slice(piece.get(..len).unwrap_or_default());
                to.drain(..to.len().saturating_sub(max));
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration, give_up: &GiveUp) -> Result<Said, String> {
        call(Path::new("/bin/sh"), &["-c".to_owned(), script.to_owned()], limit, give_up)
    }

    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn an_answer_is_what_it_says_or_the_last_line_of_why_not() {
        let answer = |script: &str| shell(script, PATIENCE, &GiveUp::default()).and_then(Said::success);
        assert_eq!(answer("echo a; echo b; echo c >&2").unwrap(), "a\nb\n");
        assert_eq!(answer("echo a; echo 'Error: first' >&2; echo ' Error: last ' >&2; exit 125").unwrap_err(), "Error: last");
        assert_eq!(answer("exit 1").unwrap_err(), "it says nothing");
        let long = shell("yes | head -c 1000000; yes n | head -c 100000 >&2", PATIENCE, &GiveUp::default());
        let long = long.unwrap();
        assert_eq!((long.out.len(), long.err.len()), (OUT_MAX_BYTES, CONTAINER_SAID_MAX_BYTES));
    }

    #[test]
    fn what_holds_its_output_open_is_not_waited_for() {
        let said = shell("sleep 5 & echo here", PATIENCE, &GiveUp::default()).unwrap();
        assert_eq!((said.is_success, said.out.as_str()), (true, "here\n"));
    }

    #[test]
    fn a_call_that_takes_too_long_or_is_not_wanted_any_more_is_ended() {
        let late = shell("echo slow >&2; sleep 300", Duration::from_millis(300), &GiveUp::default()).unwrap_err();
        assert_eq!(late, "it did not end within 0 s; it said last: slow");
        let give_up = GiveUp::default();
        give_up.ask();
        assert_eq!(shell("sleep 300", PATIENCE, &give_up).unwrap_err(), "it is not wanted any more");
    }
}
