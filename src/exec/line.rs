//! The way from a worker to a launcher: what is asked of the task that runs, or of the next one, from any thread.

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::ChildStdin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};

use super::protocol::{Request, encode};

/// Stops the one task it was made for, from any thread, before, while and after it runs; after its end it does nothing.
#[derive(Clone)]
pub struct Stopper {
    line: Arc<Line>,
    seq: u64,
}

/// The way to the launcher, shared with stoppers.
pub(super) struct Line {
    pub pidfd: OwnedFd,
    state: Mutex<LineState>,
}

pub(super) struct LineState {
    /// None once the launcher is to end.
    requests: Option<ChildStdin>,
    /// The task that runs.
    running: Option<u64>,
    /// All tasks below this number have ended.
    next: u64,
    /// What was asked of the running or the next task.
    asked: Option<Ask>,
    /// Whether the running or the next task is to stand still.
    frozen: bool,
}

/// How soon a task is to end. The lesser one wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Ask {
    Kill,
    Stop { grace_ms: u64 },
}

impl Ask {
    fn request(self, seq: u64) -> Request<'static> {
        match self {
            Self::Kill => Request::Kill { seq },
            Self::Stop { grace_ms } => Request::Stop { seq, grace_ms },
        }
    }
}

impl Line {
    /// To a launcher of which nothing was asked yet.
    pub fn new(pidfd: OwnedFd, requests: ChildStdin) -> Self {
        let state = LineState { requests: Some(requests), running: None, next: 1, asked: None, frozen: false };
        Self { pidfd, state: Mutex::new(state) }
    }

    pub fn state(&self) -> MutexGuard<'_, LineState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a Start, unless the task was stopped before; whether it was sent.
    pub fn begin(&self, seq: u64, frame: &[u8]) -> io::Result<bool> {
        let mut state = self.state();
        if state.asked.is_some() {
            return Ok(false);
        }
        state.write(frame)?;
        state.running = Some(seq);
        if state.frozen
            && let Ok(frame) = encode(&Request::Freeze { seq, frozen: true })
        {
            state.write(&frame)?;
        }
        Ok(true)
    }

    pub fn finish(&self, seq: u64) {
        let mut state = self.state();
        state.running = None;
        state.next = seq + 1;
        state.asked = None;
        state.frozen = false;
    }

    fn ask(&self, seq: u64, ask: Ask) {
        let mut state = self.state();
        if seq < state.next || state.asked.is_some_and(|asked| asked <= ask) {
            return;
        }
        state.asked = Some(ask);
        if state.running == Some(seq)
            && let Ok(frame) = encode(&ask.request(seq))
        {
            // If it fails the launcher is gone, and the task's end is told by `run`.
            let _ = state.write(&frame);
        }
    }

    fn freeze(&self, seq: u64, frozen: bool) {
        let mut state = self.state();
        if seq < state.next || state.frozen == frozen {
            return;
        }
        state.frozen = frozen;
        if state.running == Some(seq)
            && let Ok(frame) = encode(&Request::Freeze { seq, frozen })
        {
            // If it fails the launcher is gone, and the task's end is told by `run`.
            let _ = state.write(&frame);
        }
    }

    pub fn hang_up(&self) {
        self.state().requests = None;
    }

    /// Lets it go on, if a task has stopped it by a signal.
    pub fn rouse(&self) {
        let stopped = waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::STOPPED | WaitIdOptions::NOHANG);
        if stopped.is_ok_and(|stopped| stopped.is_some()) {
            // It fails if it is dead by now, which shows.
            let _ = pidfd_send_signal(&self.pidfd, Signal::CONT);
        }
    }

    pub fn kill_launcher(&self) {
        // It fails if it is dead already.
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
    }
}

impl LineState {
    pub fn write(&mut self, frame: &[u8]) -> io::Result<()> {
        self.requests.as_mut().ok_or(io::ErrorKind::BrokenPipe)?.write_all(frame)
    }
}

impl Stopper {
    /// Of the task of this number.
    pub(super) fn new(line: &Arc<Line>, seq: u64) -> Self {
        Self { line: Arc::clone(line), seq }
    }

    /// TERM to the task's process group now, KILL to all of it after the grace. A second call can only shorten the grace.
    pub fn stop(&self, grace: Duration) {
        self.line.ask(self.seq, Ask::Stop { grace_ms: u64::try_from(grace.as_millis()).unwrap_or(u64::MAX) });
    }

    /// KILL to all of it now.
    pub fn kill(&self) {
        self.line.ask(self.seq, Ask::Kill);
    }

    /// STOP to all of it, and its time limit stands still; or CONT, and both go on. A stop or kill acts on what stands still, too.
    pub fn freeze(&self, frozen: bool) {
        self.line.freeze(self.seq, frozen);
    }
}
