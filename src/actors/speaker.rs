//! What a worker says to its head: gathered for a moment, in one session at a time.

use std::time::Duration;

use ractor::ActorRef;
use tokio_util::sync::CancellationToken;

use crate::domain::SessionId;
use crate::domain::wire::FromWorker;
use crate::engine::Outbox;
use crate::failpoint;

use super::reminder::Reminder;
use super::worker::WorkerMsg;

/// What is said to the head gathers for so long, as long as there are tasks that were sent ahead: then no slot waits for the answer.
const GATHER_FOR: Duration = Duration::from_millis(8);

/// The way to the head, in one session.
#[derive(Clone)]
pub struct SessionOut {
    /// Messages for the head.
    pub messages: tokio::sync::mpsc::Sender<Vec<FromWorker>>,
    /// Ends the session.
    pub end: CancellationToken,
}

/// See the module.
#[derive(Default)]
pub(super) struct Speaker {
    out: Option<(SessionId, SessionOut)>,
    outbox: Outbox,
    /// Of [`WorkerMsg::Flush`].
    flush_due: Reminder,
}

impl Speaker {
    /// What was not said in an earlier session is not said in this one.
    pub fn begins(&mut self, session: SessionId, out: SessionOut) {
        self.out = Some((session, out));
        self.outbox = Outbox::default();
    }

    /// The session's stream has ended.
    pub fn ended(&mut self, session: SessionId) {
        self.out.take_if(|(present, _)| *present == session);
    }

    /// Ends a session, if it is the present one.
    pub fn end(&mut self, session: SessionId) {
        if let Some((_, out)) = self.out.take_if(|(present, _)| *present == session) {
            out.end.cancel();
        }
    }

    /// Whether there is a head to hear it.
    pub fn is_heard(&self) -> bool {
        self.out.is_some()
    }

    /// Says it with what gathers.
    pub fn say(&mut self, message: FromWorker) {
        self.outbox.push(message);
    }

    /// At once, if somebody waits for it: a slot that could be given a task, as none was sent ahead, or whoever has asked something.
    pub fn flush_in_time(&mut self, myself: &ActorRef<WorkerMsg>, has_ahead: bool) {
        if self.outbox.is_due() || !has_ahead {
            self.flush();
        } else if !self.outbox.is_empty() {
            self.flush_due.ask(myself, GATHER_FOR, || WorkerMsg::Flush);
        }
    }

    /// It has gathered for long enough.
    pub fn flush_now(&mut self) {
        self.flush_due.came();
        self.flush();
    }

    /// Says what has gathered to the head. A stream that does not take it is over: nothing is ever skipped.
    pub fn flush(&mut self) {
        let messages = self.outbox.take();
        let Some((_, out)) = self.out.as_ref().filter(|_| !messages.is_empty()) else { return };
        let end = messages.iter().any(|message| matches!(message, FromWorker::Finished(_)));
        if end {
            failpoint::hit("worker.before_finished");
        }
        if out.messages.try_send(messages).is_err() {
            out.end.cancel();
        }
        if end {
            failpoint::hit("worker.after_finished");
        }
    }
}
