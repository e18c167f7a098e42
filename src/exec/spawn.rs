//! The start of a task's main process.

use std::ffi::{CStr, CString, OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::Pid as SpawnedPid;
use rustix::io::Errno;
use rustix::process::{Pid, chdir};

use super::capture::{Capture, open_input, plain};
use super::protocol::{End, Start};
use super::sandbox::confinement::Confined;
use crate::domain::Error;

/// What the kernel says when the machine, not the program, is in trouble.
const MACHINE_FAILED: [Errno; 7] = [Errno::IO, Errno::NOSPC, Errno::NOMEM, Errno::AGAIN, Errno::MFILE, Errno::NFILE, Errno::STALE];

/// As much of a script's first line as the kernel looks at.
const INTERPRETER_LINE_MAX_BYTES: u64 = 256;

/// Starts tasks with `posix_spawn`: with what is the same for all of them, made once.
///
/// The standard library's way to it costs twice as much with an environment of usual length: it puts it into a map, and copies that.
pub(super) struct Spawner {
    attributes: PosixSpawnAttr,
    /// Standard input where there is none.
    null: File,
    /// The launcher's own variables: each with its name.
    inherited: Vec<(OsString, CString)>,
    /// Descriptors that tasks don't get.
    closed: Vec<RawFd>,
}

impl Spawner {
    /// With the environment that this process has.
    pub fn new(confined: &Confined) -> Result<Self, Error> {
        let null = File::open("/dev/null").map_err(|error| Error::io("/dev/null", &error))?;
        let attributes = attributes().map_err(|errno| Error::internal(format!("tasks can't be started: {errno}")))?;
        let inherited = std::env::vars_os().filter_map(|(name, value)| Some((name.clone(), variable(&name, &value)?))).collect();
        Ok(Self { attributes, null, inherited, closed: confined.closed_to_tasks.clone() })
    }

    /// Starts it in its own process group; or says how it ended before it began. Leaves this process in the task's working folder.
    pub fn spawn(&self, start: &Start) -> Result<(Pid, Capture), End> {
        if !start.program.is_absolute() {
            return Err(End::SpawnFailed { reason: format!("{}: not an absolute path", start.program.display()) });
        }
        // What the worker has made for the task is the worker's affair.
        let machine = |reason| End::MachineFailed { reason };
        let input = start.stdin.as_deref().map(open_input).transpose().map_err(machine)?;
        let capture = Capture::open(start).map_err(machine)?;
        chdir(&start.cwd).map_err(|errno| machine(format!("working folder {}: {}", start.cwd.display(), folder_fault(errno))))?;
        let [stdout, stderr] = capture.descriptors();
        let (Some(args), Some(told)) = (arguments(start), told(start)) else {
            return Err(End::SpawnFailed { reason: "a NUL character is in its arguments or its environment".into() });
        };
        let env: Vec<&CStr> = self.left_to_inherit(start).chain(told.iter().map(CString::as_c_str)).collect();
        let spawned = redirected([input.as_ref().unwrap_or(&self.null).as_raw_fd(), stdout, stderr], &self.closed)
            .and_then(|actions| posix_spawn(start.program.as_path(), &actions, &self.attributes, &args, &env));
        let pid = spawned.map_err(|errno| why(&errno.into(), start))?;
        let pid = Pid::from_raw(pid.as_raw()).ok_or_else(|| machine("a process without a number was started".into()))?;
        Ok((pid, capture))
    }

    /// What the task is told takes the place of what it would inherit.
    fn left_to_inherit(&self, start: &Start) -> impl Iterator<Item = &CStr> {
        let is_told = |inherited: &OsStr| start.env.iter().any(|(name, _)| OsStr::new(name) == inherited);
        self.inherited.iter().filter(move |(name, _)| !is_told(name)).map(|(_, variable)| variable.as_c_str())
    }
}

/// A process group of its own, and signals as by default: Rust ignores PIPE, and nothing is to be blocked.
fn attributes() -> nix::Result<PosixSpawnAttr> {
    let mut attributes = PosixSpawnAttr::init()?;
    let flags = [PosixSpawnFlags::POSIX_SPAWN_SETPGROUP, PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF, PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK];
    attributes.set_flags(flags.into_iter().collect())?;
    attributes.set_pgroup(SpawnedPid::from_raw(0))?;
    attributes.set_sigdefault(&SigSet::from_iter([Signal::SIGPIPE]))?;
    attributes.set_sigmask(&SigSet::empty())?;
    Ok(attributes)
}

/// These as standard input, output and error.
fn redirected(descriptors: [RawFd; 3], closed: &[RawFd]) -> nix::Result<PosixSpawnFileActions> {
    let mut actions = PosixSpawnFileActions::init()?;
    for (descriptor, standard) in descriptors.into_iter().zip(0..) {
        actions.add_dup2(descriptor, standard)?;
    }
    for descriptor in closed {
        actions.add_close(*descriptor)?;
    }
    Ok(actions)
}

/// What the task is told in its environment. None if no process can have it.
fn told(start: &Start) -> Option<Vec<CString>> {
    start.env.iter().map(|(name, value)| variable(OsStr::new(name), OsStr::new(value))).collect()
}

/// `NAME=VALUE`.
fn variable(name: &OsStr, value: &OsStr) -> Option<CString> {
    CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()).ok()
}

/// A program is called by its path.
fn arguments(start: &Start) -> Option<Vec<CString>> {
    let program = CString::new(start.program.as_os_str().to_owned().into_vec());
    std::iter::once(program).chain(start.args.iter().map(|arg| CString::new(arg.as_bytes()))).collect::<Result<_, _>>().ok()
}

fn folder_fault(errno: Errno) -> String {
    if matches!(errno, Errno::NOENT | Errno::NOTDIR) { "no such folder".into() } else { plain(&errno.into()) }
}

/// The kernel's answer doesn't say whether it means the program or its interpreter.
fn why(error: &io::Error, start: &Start) -> End {
    let program = start.program.display();
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
