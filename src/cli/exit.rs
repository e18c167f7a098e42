//! How a verb ends: the one function that maps errors to exit codes, and the two ends that are no errors.

use crate::domain::{Error, ErrorKind};

/// The exit codes that scripts rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Exit {
    Done = 0,
    Other = 1,
    Usage = 2,
    NotFound = 3,
    Conflict = 4,
    Denied = 5,
    Unreachable = 6,
    TimedOut = 7,
    SomeFailed = 10,
    Killed = 11,
}

impl Exit {
    /// The exit code of an error.
    pub(crate) fn of(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Invalid => Self::Usage,
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::Conflict => Self::Conflict,
            ErrorKind::Denied => Self::Denied,
            ErrorKind::Unavailable => Self::Unreachable,
            ErrorKind::TimedOut => Self::TimedOut,
            ErrorKind::Exhausted | ErrorKind::Corrupt | ErrorKind::Internal => Self::Other,
        }
    }
}

/// Why a verb stops early.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Something went wrong.
    Error(Error),
    /// Nobody reads our output any more (`| head`): the end, and no error.
    OutputClosed,
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// Only writing to our own output gives a bare I/O error in `cli/`: all else goes through [`Error::io`], with its path.
impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Self::Error(Error::internal(format!("can't write the output: {error}"))),
        }
    }
}

/// What a verb comes to.
pub(crate) type Ending = Result<Exit, Stop>;
