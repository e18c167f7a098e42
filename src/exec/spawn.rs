//! The start of a task's main process.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rustix::io::Errno;
use rustix::process::Pid;

use super::capture::{Capture, open_input, plain};
use super::protocol::{End, Start};

/// What the kernel says when the machine, not the program, is in trouble.
const MACHINE_FAILED: [Errno; 7] = [Errno::IO, Errno::NOSPC, Errno::NOMEM, Errno::AGAIN, Errno::MFILE, Errno::NFILE, Errno::STALE];

/// As much of a script's first line as the kernel looks at.
const INTERPRETER_LINE_MAX_BYTES: u64 = 256;

/// Starts it in its own process group; or says how it ended before it began.
///
/// Nothing here may leave the standard library's `posix_spawn` path: no `pre_exec`, no user or group ids, only absolute programs.
pub(super) fn spawn(start: &Start) -> Result<(Pid, Capture), End> {
    if !start.program.is_absolute() {
        return Err(End::SpawnFailed { reason: format!("{}: not an absolute path", start.program.display()) });
    }
    // What the worker has made for the task is the worker's affair.
    let machine = |reason| End::MachineFailed { reason };
    let stdin = open_input(start.stdin.as_deref()).map_err(machine)?;
    let capture = Capture::open(start).map_err(machine)?;
    let [stdout, stderr] = capture.handles().map_err(|error| machine(plain(&error)))?;
    let mut command = Command::new(&start.program);
    command.args(&start.args).env_clear().envs(start.env.iter().map(|(name, value)| (name, value)));
    command.current_dir(&start.cwd).process_group(0).stdin(stdin).stdout(stdout).stderr(stderr);
    // Dropping the handle neither kills nor reaps: that is done by process number.
    let child = command.spawn().map_err(|error| why(&error, start))?;
    Ok((Pid::from_child(&child), capture))
}

/// The kernel's answer doesn't say whether it means the folder, the program, or its interpreter.
fn why(error: &io::Error, start: &Start) -> End {
    let program = start.program.display();
    if !start.cwd.is_dir() {
        return End::MachineFailed { reason: format!("working folder {}: no such folder", start.cwd.display()) };
    }
    if MACHINE_FAILED.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error())) {
        return End::MachineFailed { reason: format!("{program}: {}", plain(error)) };
    }
    let reason = match (start.program.metadata(), error.kind()) {
        (Ok(meta), _) if meta.is_dir() => format!("{program}: is a directory"),
        (Ok(meta), io::ErrorKind::PermissionDenied) if meta.permissions().mode() & 0o111 == 0 => format!("{program}: not executable"),
        (Ok(_), io::ErrorKind::NotFound) => format!("{program}: {}", interpreter_missing(&start.program)),
        (Ok(meta), _) if is_no_program(error) && meta.len() == 0 => format!("{program}: it is empty"),
        (Ok(_), _) if is_no_program(error) => {
            format!("{program}: not a program for this machine, nor a script with a `#!` line: start it with its interpreter")
        }
        (Ok(_) | Err(_), _) => format!("{program}: {}", plain(error)),
    };
    End::SpawnFailed { reason }
}

fn is_no_program(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::NOEXEC.raw_os_error())
}

/// Of a program that is there, and that the kernel yet does not find.
fn interpreter_missing(program: &Path) -> String {
    match interpreter_of(program) {
        Some(name) if name.ends_with('\r') => "its lines end in CR LF, so its interpreter is not found: convert it (dos2unix)".into(),
        Some(name) => format!("its interpreter `{name}` does not exist"),
        None => "the loader of its shared libraries does not exist: it is made for another system".into(),
    }
}

/// The program that a script names behind `#!`.
fn interpreter_of(script: &Path) -> Option<String> {
    let mut start = Vec::new();
    File::open(script).ok()?.take(INTERPRETER_LINE_MAX_BYTES).read_to_end(&mut start).ok()?;
    let line = start.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let line = String::from_utf8_lossy(line);
    line.split([' ', '\t']).find(|word| !word.is_empty()).map(str::to_owned)
}
