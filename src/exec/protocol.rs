//! What a worker and a launcher say to each other: frames of a little-endian `u32` length and a value by `codec/`.
//!
//! Both ends are the same binary, so there is one version. A frame that can't be read ends the connection: neither end guesses.

use std::borrow::Cow;
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::container::Grip;
use crate::codec;
use crate::domain::{Error, Outcome};
use crate::limits::LAUNCHER_FRAME_MAX_BYTES;

/// The length before each frame.
const PREFIX_BYTES: usize = 4;
/// Nothing of it is kept.
const VERSION: u8 = 1;

/// A program to run, and within which limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// An absolute path: `posix_spawn` looks for nothing.
    pub program: PathBuf,
    /// What follows the program's name.
    pub args: Vec<String>,
    /// What it finds in its environment besides, or instead of, what the launcher has in its own.
    pub env: Vec<(String, String)>,
    /// Its working folder.
    pub cwd: PathBuf,
    /// Opened for reading; without it standard input is empty.
    pub stdin: Option<PathBuf>,
    /// Created, or truncated.
    pub stdout: PathBuf,
    /// Created, or truncated.
    pub stderr: PathBuf,
    /// The longest it may run, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// From TERM to KILL when the time is up, in milliseconds.
    pub grace_ms: u64,
    /// Above it the task is killed.
    pub stdout_max_bytes: u64,
    /// Above it the task is killed.
    pub stderr_max_bytes: u64,
    /// To whom its standard output and error belong; none: to the launcher's user.
    pub owner: Option<u32>,
    /// For a program whose container the launcher's signals don't reach, or that leaves one.
    pub grip: Option<Grip>,
}

/// From worker to launcher. `seq` says which Start is meant, so that a late Stop can't hit the next task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "nearly all of them are starts, and there is one at a time")]
pub(super) enum Request<'s> {
    /// Run this. Allowed only while nothing runs.
    Start { seq: u64, start: Cow<'s, Start> },
    /// TERM to the task's process group; after the grace KILL to all below the launcher.
    Stop { seq: u64, grace_ms: u64 },
    /// KILL to all below the launcher.
    Kill { seq: u64 },
    /// STOP to all below the launcher, and the time limit stands still; or, false, CONT to all, and it goes on.
    Freeze { seq: u64, frozen: bool },
}

/// From launcher to worker, once for each Start: the task has ended, and so has everything below it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Answer {
    pub seq: u64,
    pub ended: Ended,
}

/// How a task ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// How the main process ended.
    pub end: End,
    /// Whether it was asked to stop before that; what it says about its success is then worth nothing.
    pub stopped: bool,
    /// Processes that survived KILL for ten seconds (in uninterruptible sleep, or another user's). They are still the launcher's children.
    pub leftover: u32,
}

/// How the main process of a task ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// By itself.
    Exited {
        /// 0 to 255.
        code: i32,
    },
    /// By a signal.
    Signalled {
        /// Its number.
        signal: i32,
    },
    /// It was stopped at its time limit.
    TimedOut,
    /// It was killed for writing too much.
    OutputLimit {
        /// One line: which output, and how much is allowed.
        reason: String,
    },
    /// It never ran.
    SpawnFailed {
        /// One line.
        reason: String,
    },
    /// It never ran, since this machine failed: its folders, its output files, too little memory. It says nothing about the task.
    MachineFailed {
        /// One line.
        reason: String,
    },
    /// A stop came before it was started.
    NotStarted,
}

impl Ended {
    /// An end without a process.
    pub(super) fn without_process(end: End, stopped: bool) -> Self {
        Self { end, stopped, leftover: 0 }
    }

    /// Why this machine could not start it, if that is so.
    pub fn fault(&self) -> Option<&str> {
        match &self.end {
            End::MachineFailed { reason } => Some(reason),
            End::Exited { .. }
            | End::Signalled { .. }
            | End::TimedOut
            | End::OutputLimit { .. }
            | End::SpawnFailed { .. }
            | End::NotStarted => None,
        }
    }

    /// The same as an attempt's outcome. What was stopped is revoked, whatever its exit code.
    pub fn outcome(&self) -> Outcome {
        match &self.end {
            End::NotStarted => Outcome::Revoked,
            End::MachineFailed { .. } => Outcome::Lost,
            End::Exited { .. } | End::Signalled { .. } if self.stopped => Outcome::Revoked,
            End::Exited { code } => Outcome::Exited { code: *code },
            End::Signalled { signal } => Outcome::Signalled { signal: *signal },
            End::TimedOut => Outcome::TimedOut,
            End::OutputLimit { reason } => Outcome::OutputMissing { reason: reason.clone() },
            End::SpawnFailed { reason } => Outcome::SpawnFailed { reason: reason.clone() },
        }
    }
}

/// The bytes of one frame. Refuses paths that are not UTF-8, and what is too long for a frame.
pub(super) fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, Error> {
    let value = codec::encode(VERSION, message).map_err(|error| error.context("a launcher can't be told"))?;
    let prefix =
        u32::try_from(value.len()).ok().filter(|_| value.len() <= LAUNCHER_FRAME_MAX_BYTES).ok_or_else(|| too_long(value.len()))?;
    Ok([&prefix.to_le_bytes(), value.as_slice()].concat())
}

fn too_long(len: usize) -> Error {
    Error::exhausted(format!("command and environment take {len} bytes as a message, more than {LAUNCHER_FRAME_MAX_BYTES}: shorten them"))
}

/// Puts frames together from whatever pieces a pipe delivers.
#[derive(Default)]
pub(super) struct Frames {
    bytes: Vec<u8>,
}

impl Frames {
    /// Takes in what was read.
    pub fn push(&mut self, piece: &[u8]) {
        self.bytes.extend_from_slice(piece);
    }

    /// The next whole message; none while it is incomplete. After an error nothing that follows can be trusted.
    pub fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Error> {
        let Some((prefix, rest)) = self.bytes.split_first_chunk::<PREFIX_BYTES>() else { return Ok(None) };
        let len = u32::from_le_bytes(*prefix) as usize;
        if len > LAUNCHER_FRAME_MAX_BYTES {
            return Err(Error::corrupt(format!("a launcher's message of {len} bytes: at most {LAUNCHER_FRAME_MAX_BYTES} are allowed")));
        }
        let Some(body) = rest.get(..len) else { return Ok(None) };
        let (_, message) = codec::decode(body, LAUNCHER_FRAME_MAX_BYTES).map_err(|error| error.context("a launcher's message"))?;
        self.bytes.drain(..PREFIX_BYTES + len);
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn start() -> impl Strategy<Value = Start> {
        let limits = (any::<Option<u64>>(), any::<u64>(), any::<u64>(), any::<u64>());
        let paths = prop::collection::vec("\\PC{0,20}", 4);
        let texts = (prop::collection::vec(".*", 0..4), prop::collection::vec((".*", ".*"), 0..4));
        let grip = prop::collection::vec(".*", 0..3).prop_map(|pause| Grip { remove: vec![pause.clone()], pause, ..Grip::default() });
        let who = (any::<Option<u32>>(), prop::option::of(grip));
        (paths, texts, limits, who).prop_map(|(paths, (args, env), limits, (owner, grip))| Start {
            program: paths[0].clone().into(),
            args,
            env,
            cwd: paths[1].clone().into(),
            stdin: None,
            stdout: paths[2].clone().into(),
            stderr: paths[3].clone().into(),
            timeout_ms: limits.0,
            grace_ms: limits.1,
            stdout_max_bytes: limits.2,
            stderr_max_bytes: limits.3,
            owner,
            grip,
        })
    }

    fn request() -> impl Strategy<Value = Request<'static>> {
        prop_oneof![
            (any::<u64>(), start()).prop_map(|(seq, start)| Request::Start { seq, start: Cow::Owned(start) }),
            (any::<u64>(), any::<u64>()).prop_map(|(seq, grace_ms)| Request::Stop { seq, grace_ms }),
            any::<u64>().prop_map(|seq| Request::Kill { seq }),
            (any::<u64>(), any::<bool>()).prop_map(|(seq, frozen)| Request::Freeze { seq, frozen }),
        ]
    }

    proptest! {
        #[test]
        fn requests_survive_the_pipe_in_any_pieces(requests in prop::collection::vec(request(), 0..5), piece in 1usize..70) {
            let bytes: Vec<u8> = requests.iter().flat_map(|request| encode(request).unwrap()).collect();
            let mut frames = Frames::default();
            let mut seen = Vec::new();
            for piece in bytes.chunks(piece) {
                frames.push(piece);
                while let Some(request) = frames.next::<Request>().unwrap() {
                    seen.push(request);
                }
            }
            prop_assert_eq!(seen, requests);
            prop_assert!(frames.bytes.is_empty());
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut frames = Frames::default();
            frames.push(&bytes);
            while let Ok(Some(_)) = frames.next::<Request>() {}
        }
    }

    #[test]
    fn an_answer_survives_the_pipe() {
        let answer = Answer { seq: 1, ended: Ended { end: End::Signalled { signal: 9 }, stopped: true, leftover: 3 } };
        let mut frames = Frames::default();
        frames.push(&encode(&answer).unwrap());
        assert_eq!(frames.next::<Answer>().unwrap(), Some(answer));
    }

    #[test]
    fn a_frame_that_is_too_long_is_refused_at_both_ends() {
        let request = "x".repeat(LAUNCHER_FRAME_MAX_BYTES);
        assert!(encode(&request).unwrap_err().message.contains("more than 4194304"));
        let mut frames = Frames::default();
        frames.push(&(LAUNCHER_FRAME_MAX_BYTES as u32 + 1).to_le_bytes());
        assert!(frames.next::<Request>().is_err());
    }

    #[test]
    fn what_was_stopped_is_revoked_whatever_it_says() {
        let mut ended = Ended::without_process(End::Exited { code: 0 }, false);
        assert_eq!(ended.outcome(), Outcome::Exited { code: 0 });
        ended.stopped = true;
        assert_eq!(ended.outcome(), Outcome::Revoked);
    }
}
