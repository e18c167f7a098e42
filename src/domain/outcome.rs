//! How an attempt ended, and where its result lies.

use serde::{Deserialize, Serialize};

use super::ids::{Attempt, TaskNo, WorkerId};
use super::time::WallTime;

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The main process ended by itself.
    Exited {
        /// Its exit code; 0 is success.
        code: i32,
    },
    /// A signal ended it.
    Signalled {
        /// The signal's number.
        signal: i32,
    },
    /// It ran longer than its time limit and was stopped.
    TimedOut,
    /// The program could not be started.
    SpawnFailed {
        /// Why, for a person.
        reason: String,
    },
    /// It ran, but its result could not be taken in (too large, a broken output folder).
    OutputMissing {
        /// Why, for a person.
        reason: String,
    },
    /// Its worker went away.
    Lost,
    /// It was stopped because its job was killed, or because another attempt holds the task.
    Revoked,
    /// Too many workers went away while they ran it, or could not take it through: it is not tried again.
    Poison {
        /// How many.
        workers: u32,
    },
}

impl Outcome {
    /// Whether the task is done.
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Exited { code: 0 })
    }

    /// The exit code as a shell would show it (128 + signal); none where no process ended.
    pub fn exit_code(&self) -> Option<i32> {
        match self {
            Self::Exited { code } => Some(*code),
            Self::Signalled { signal } => Some(128 + signal),
            Self::TimedOut | Self::SpawnFailed { .. } | Self::OutputMissing { .. } => None,
            Self::Lost | Self::Revoked | Self::Poison { .. } => None,
        }
    }

    /// In words, for `tasks`, `run.json` and people.
    pub fn describe(&self) -> String {
        match self {
            Self::Exited { code } => format!("exit code {code}"),
            Self::Signalled { signal } => match signal_name(*signal) {
                Some(name) => format!("ended by signal {signal} ({name})"),
                None => format!("ended by signal {signal}"),
            },
            Self::TimedOut => "ran longer than its time limit".into(),
            Self::SpawnFailed { reason } => format!("could not be started: {reason}"),
            Self::OutputMissing { reason } => format!("its output could not be taken in: {reason}"),
            Self::Lost => "its worker went away".into(),
            Self::Revoked => "stopped".into(),
            Self::Poison { workers } => format!("{workers} workers went away or failed while they ran it, so it is not tried again"),
        }
    }
}

/// What people call a signal: those that end a process by default, by their numbers on Linux (signal(7)).
fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL, an instruction that this machine does not know",
        5 => "SIGTRAP",
        6 => "SIGABRT, it gave up by itself",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL, by a person, or because the machine's memory was used up",
        10 => "SIGUSR1",
        11 => "SIGSEGV, it crashed",
        12 => "SIGUSR2",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        31 => "SIGSYS",
        _ => return None,
    })
}

/// When an attempt began and ended, on its worker's wall clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// When the process was started.
    pub started: WallTime,
    /// When it had ended.
    pub ended: WallTime,
}

impl Timing {
    /// How long it took, in microseconds; nothing where the clock was set back meanwhile.
    pub fn micros(&self) -> u64 {
        u64::try_from(self.ended.0.saturating_sub(self.started.0)).unwrap_or(0)
    }
}

/// Where a task's result record lies in its job's segment file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultRef {
    /// From the start of the file, in bytes.
    pub offset: u64,
    /// The whole record, in bytes.
    pub len: u64,
}

/// The end of a task within its round, as it is journalled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskEnd {
    /// Which task.
    pub no: TaskNo,
    /// Which attempt counted.
    pub attempt: Attempt,
    /// On which worker.
    pub worker: WorkerId,
    /// Whether the task succeeded.
    pub success: bool,
    /// Its record in the segment file.
    pub result: ResultRef,
}
