//! The start of a task's main process.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::Pid;

use super::capture::{Capture, open_input, plain};
use super::protocol::Start;

/// Starts it in its own process group; an error is one line.
///
/// Nothing here may leave the standard library's `posix_spawn` path: no `pre_exec`, no user or group ids, only absolute programs.
pub(super) fn spawn(start: &Start) -> Result<(Pid, Capture), String> {
    if !start.program.is_absolute() {
        return Err(format!("{}: not an absolute path", start.program.display()));
    }
    let stdin = open_input(start.stdin.as_deref())?;
    let capture = Capture::open(start)?;
    let [stdout, stderr] = capture.handles().map_err(|error| plain(&error))?;
    let mut command = Command::new(&start.program);
    command.args(&start.args).env_clear().envs(start.env.iter().map(|(name, value)| (name, value)));
    command.current_dir(&start.cwd).process_group(0).stdin(stdin).stdout(stdout).stderr(stderr);
    // Dropping the handle neither kills nor reaps: that is done by process number.
    let child = command.spawn().map_err(|error| why(&error, start))?;
    Ok((Pid::from_child(&child), capture))
}

/// The kernel's answer doesn't say whether it means the folder, the program, or its interpreter.
fn why(error: &io::Error, start: &Start) -> String {
    let program = start.program.display();
    if !start.cwd.is_dir() {
        return format!("working folder {}: no such folder", start.cwd.display());
    }
    match (start.program.metadata(), error.kind()) {
        (Ok(meta), _) if meta.is_dir() => format!("{program}: is a directory"),
        (Ok(meta), io::ErrorKind::PermissionDenied) if meta.permissions().mode() & 0o111 == 0 => format!("{program}: not executable"),
        (Ok(_), io::ErrorKind::NotFound) => format!("{program}: its interpreter (first line, or dynamic loader) does not exist"),
        (Ok(_), _) if error.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error()) => {
            format!("{program}: not a program for this machine, nor a script with a `#!` line")
        }
        (Ok(_) | Err(_), _) => format!("{program}: {}", plain(error)),
    }
}
