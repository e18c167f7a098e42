//! What every binary does first and last.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::cli;
use crate::domain::{Error, ErrorKind};
use crate::exec;

use super::logging::{LogFormat, last_words};

/// Whether this process was started as a slot's launcher: the same binary, re-executed.
pub fn launcher_asked_for() -> bool {
    std::env::args_os().nth(1).as_deref() == Some(OsStr::new(exec::LAUNCHER_ARG))
}

/// Runs a slot's launcher until its worker is gone.
pub fn launcher_main() -> ExitCode {
    exec::launcher_main()
}

/// The binary to re-execute: the running one, also when its file was replaced meanwhile.
pub(super) fn launcher_binary() -> PathBuf {
    PathBuf::from("/proc/self/exe")
}

/// The arguments of a daemon; without them, for help or a wrong line, it has said why, and ends like this.
pub(super) fn arguments<T: Parser>(name: &str) -> Result<T, ExitCode> {
    T::try_parse().map_err(|error| {
        if !error.use_stderr() {
            // A closed standard output is no failure.
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        eprintln!("{name}: {}", cli::in_one_line(&error));
        ExitCode::from(code(ErrorKind::Invalid))
    })
}

/// Says how a daemon ended.
pub(super) fn exit(name: &str, format: LogFormat, outcome: Result<(), Error>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            last_words(name, format, &error);
            ExitCode::from(code(error.kind))
        }
    }
}

fn code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Invalid => 2,
        ErrorKind::NotFound => 3,
        ErrorKind::Conflict => 4,
        ErrorKind::Denied => 5,
        ErrorKind::Unavailable => 6,
        ErrorKind::TimedOut => 7,
        ErrorKind::Exhausted | ErrorKind::Corrupt | ErrorKind::Internal => 1,
    }
}

/// Lets this process open as many files as it may: a connection is one, and shells give their children few by default.
pub(super) fn may_open_many_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    if let Err(error) = raised {
        tracing::warn!(%error, "no more files can be open at once than {:?}", limit.current);
    }
}

/// The runtime of a daemon.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Error> {
    let built = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    built.map_err(|error| Error::internal(format!("the async runtime can't start: {error}")))
}
