//! `FollowTaskLog`: what a task prints, to its end: while it waits that it does, while it runs what its worker sends, and when it has ended
//! what is kept of it, behind what was seen. An attempt that follows is followed, too.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::actors::Head;
use crate::actors::audience::Seat;
use crate::domain::wire::{Follow, FromWhere, Lease, OutputPiece, Over, Printed};
use crate::domain::{Attempt, EntryKind, Error, ErrorKind, JobId, TaskNo, WorkerId};
use crate::engine::job::{Hands, Whereabouts};
use crate::limits::{FOLLOW_LAST_WORDS_WITHIN, FOLLOW_SILENCE_MAX, STDERR_KEPT_BYTES};
use crate::rpc::pb;
use crate::rpc::status::{from_status, to_status};

use super::logs;
use super::pieces::{PieceStream, Transfers};

/// Pieces between the head and the call: with what HTTP/2 takes, all that is kept of who takes them slowly.
const QUEUE_PIECES: usize = 2;
/// A look at where the task is, though nothing was said of a change.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Changes of the cluster gather for so long before a look.
const GATHER_FOR: Duration = Duration::from_millis(250);

/// One who follows a task.
pub(super) struct Following {
    pub(super) head: Head,
    pub(super) transfers: Transfers,
    pub(super) job: JobId,
    /// As users count.
    pub(super) index: u64,
    pub(super) no: TaskNo,
    pub(super) printed: Printed,
    /// Only so much of what was printed before.
    pub(super) tail: Option<u64>,
    pub(super) seen: Seen,
}

/// How far one has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// None: nothing yet.
    pub(super) attempt: Option<Attempt>,
    /// All of that attempt before this byte was seen, or left out.
    pub(super) at: u64,
    /// Once the attempt is over at its worker: how many bytes it had printed, if it has said so.
    pub(super) over: Option<Option<u64>>,
}

/// Why no more is sent.
enum Halt {
    /// Nobody takes it any more.
    Gone,
    /// To be said.
    Error(Error),
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// To whoever follows.
type Out = mpsc::Sender<Result<pb::LogPiece, Status>>;

impl Following {
    /// What comes, until the task has ended or nobody takes it.
    pub(super) fn stream(mut self, seat: Seat) -> PieceStream<pb::LogPiece> {
        let (out, pieces) = mpsc::channel(QUEUE_PIECES);
        tokio::spawn(async move {
            let closed = out.clone();
            let ended = tokio::select! {
                ended = self.follow_to_the_end(&seat, &out) => ended,
                () = closed.closed() => Err(Halt::Gone),
            };
            if let Err(Halt::Error(error)) = ended {
                let _ = out.send(Err(to_status(&error))).await;
            }
        });
        Box::pin(ReceiverStream::new(pieces))
    }

    async fn follow_to_the_end(&mut self, seat: &Seat, out: &Out) -> Result<(), Halt> {
        let mut changes = self.head.changes();
        let mut said = None;
        loop {
            changes.mark_unchanged();
            let at = self.head.whereabouts(self.job, self.no).await?;
            match at {
                Whereabouts::Ended { .. } => return self.ended(out).await,
                Whereabouts::Dropped => {
                    self.misses(out).await?;
                    let what = if self.seen.attempt.is_some() { "was stopped" } else { "will not run" };
                    return self.say(out, true, format!("{}.{} {what}", self.job, self.index)).await;
                }
                Whereabouts::Out { attempt, worker, hands, .. }
                    if has_started(hands) && (self.seen.attempt != Some(attempt) || self.seen.over.is_none()) =>
                {
                    said = None;
                    self.attempt(seat, attempt, worker, out).await?;
                }
                Whereabouts::Out { attempt, .. } if self.seen.attempt == Some(attempt) => {}
                waits => {
                    // Once for each reason, since numbers in it change all the time.
                    let reason = std::mem::discriminant(&waits);
                    if said.replace(reason) != Some(reason) {
                        let (_, explanation) = self.head.explain_task(self.job, self.index).await?;
                        self.say(out, false, explanation.sentence).await?;
                    }
                }
            }
            let _ = timeout(LOOK_EVERY, changes.changed()).await;
            sleep(GATHER_FOR).await;
        }
    }

    /// What an attempt prints, until its worker says that it has ended, or the head does and nothing more comes, or nothing is heard.
    async fn attempt(&mut self, seat: &Seat, attempt: Attempt, worker: WorkerId, out: &Out) -> Result<(), Halt> {
        let is_next = self.seen.attempt.is_some_and(|seen| seen != attempt);
        let goes_on = self.seen.attempt == Some(attempt);
        let from = match self.tail {
            Some(bytes) if self.seen.attempt.is_none() => FromWhere::Last(bytes),
            _ => FromWhere::Offset(if goes_on { self.seen.at } else { 0 }),
        };
        let lease = Lease { job: self.job, no: self.no, attempt, epoch: self.head.epoch };
        let mut listening = seat.listens(lease);
        let asked = self.head.follow(worker, Follow { id: listening.id, lease, printed: self.printed, from }).await;
        match asked {
            Ok(()) => {}
            // It may be back before the head gives the task to another.
            Err(error) if error.kind == ErrorKind::Unavailable => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        if is_next {
            self.misses(out).await?;
            let last = if self.seen.over == Some(None) { ", and the end of what the last one printed may be missing" } else { "" };
            self.seen = Seen { attempt: Some(attempt), ..Seen::default() };
            self.say(out, false, format!("{}.{}: attempt {} begins on {worker}{last}", self.job, self.index, attempt.0)).await?;
        }
        let (mut heard, mut last_words) = (Instant::now(), None);
        loop {
            let until = last_words.unwrap_or(Instant::now() + LOOK_EVERY);
            match timeout_at(until, listening.pieces.recv()).await {
                Ok(Some(piece)) => {
                    heard = Instant::now();
                    if self.takes(attempt, worker, piece, out).await? {
                        return Ok(());
                    }
                }
                Ok(None) => return Ok(()),
                Err(_) if last_words.is_some() => {
                    if self.seen.attempt == Some(attempt) {
                        self.seen.over = Some(None);
                    }
                    return Ok(());
                }
                // It is asked anew.
                Err(_) if heard.elapsed() >= FOLLOW_SILENCE_MAX => return Ok(()),
                Err(_) => {
                    let now = self.head.whereabouts(self.job, self.no).await?;
                    let is_it = matches!(now, Whereabouts::Out { attempt: now, hands, .. } if now == attempt && has_started(hands));
                    last_words = (!is_it).then(|| Instant::now() + FOLLOW_LAST_WORDS_WITHIN);
                }
            }
        }
    }

    /// Whether no more comes.
    async fn takes(&mut self, attempt: Attempt, worker: WorkerId, piece: OutputPiece, out: &Out) -> Result<bool, Halt> {
        let over = match piece.over {
            Some(Over::TooMany) => {
                return Err(Error::exhausted(format!("{worker} sends too many outputs already: try again later")).into());
            }
            // Its end is on the way here, or its beginning to the slot's thread.
            Some(Over::NotHere) => return Ok(true),
            Some(Over::Ended(len)) => Some(Some(len)),
            None if piece.data.is_empty() => return Ok(false),
            None => None,
        };
        if self.seen.attempt != Some(attempt) {
            // Of what is before the last bytes that were asked for nothing was left out.
            self.seen = Seen { attempt: Some(attempt), at: piece.offset.saturating_sub(piece.left_out), over: None };
        }
        self.seen.over = over;
        // One that came twice, since its answer was lost, was seen.
        if !piece.data.is_empty() && piece.offset >= self.seen.at {
            self.gives(out, piece.offset, piece.data).await?;
        }
        Ok(over.is_some())
    }

    /// Sends what an attempt has printed from a byte on; what is between that and what was seen is left out.
    async fn gives(&mut self, out: &Out, offset: u64, data: bytes::Bytes) -> Result<(), Halt> {
        let left_out = offset.saturating_sub(self.seen.at);
        self.seen.at = offset + data.len() as u64;
        let attempt = self.seen.attempt.map_or(0, |attempt| attempt.0);
        send(out, pb::LogPiece { data, offset, left_out, attempt, ..Default::default() }).await
    }

    /// What an attempt that is over has printed last, and nobody has any more, is left out.
    async fn misses(&mut self, out: &Out) -> Result<(), Halt> {
        match self.seen.over {
            Some(Some(len)) if self.seen.at < len => self.gives(out, len, bytes::Bytes::new()).await,
            _ => Ok(()),
        }
    }

    async fn say(&self, out: &Out, ended: bool, text: String) -> Result<(), Halt> {
        let attempt = self.seen.attempt.map_or(0, |attempt| attempt.0);
        send(out, pb::LogPiece { offset: self.seen.at, ended, attempt, text, ..Default::default() }).await
    }

    /// What is kept, behind what was seen of the same attempt; and how it ended.
    async fn ended(&mut self, out: &Out) -> Result<(), Halt> {
        let snapshot = self.head.snapshot(self.job).await?;
        let Some(result) = self.head.result(&snapshot, self.no).await? else {
            return self.say(out, true, format!("{}.{} has ended, without a result", self.job, self.index)).await;
        };
        let (attempt, outcome) = (result.meta.attempt, result.meta.outcome.describe());
        let kind = if self.printed == Printed::Stdout { EntryKind::Stdout } else { EntryKind::Stderr };
        let kept = result.meta.packed.entries.iter().find(|entry| entry.kind == kind).map_or(0, |entry| entry.len);
        if self.seen.attempt.is_some_and(|seen| seen != attempt) {
            self.seen = Seen { attempt: Some(attempt), ..Seen::default() };
            self.say(out, false, format!("{}.{}: attempt {} has run", self.job, self.index, attempt.0)).await?;
        }
        let kept_from = self.kept_from(kept);
        if self.seen.attempt.is_none() {
            self.seen = Seen { attempt: Some(attempt), at: kept_from, over: None };
        }
        if kept_from < kept && kept_from < self.seen.at {
            let text = format!("{}.{}: this is the end of its standard error, of which some was seen", self.job, self.index);
            self.say(out, false, text).await?;
        }
        if kept_from < kept {
            let mut pieces = logs::log(result, kind, self.transfers.begin().await?);
            let mut at = 0;
            while let Some(piece) = pieces.next().await {
                let mut data = piece.map_err(|status| from_status(&status))?.data;
                let end = at + data.len() as u64;
                if end > kept_from {
                    let before = kept_from.saturating_sub(at);
                    // Shorter than a piece.
                    let data = data.split_off(before as usize);
                    self.gives(out, at + before, data).await?;
                }
                at = end;
            }
        }
        self.misses(out).await?;
        self.say(out, true, format!("{}.{} has ended: {outcome}", self.job, self.index)).await
    }

    /// From where on what is kept was not seen. Of standard error that is the end of all that was printed, and where it begins is not known if
    /// the worker has not said it.
    fn kept_from(&self, kept: u64) -> u64 {
        match (self.seen.attempt, self.printed) {
            (None, _) => kept.saturating_sub(self.tail.unwrap_or(u64::MAX)),
            (Some(_), Printed::Stdout) => self.seen.at.min(kept),
            (Some(_), Printed::Stderr) => match self.seen.over {
                Some(Some(len)) if self.seen.at >= len => kept,
                _ if kept < STDERR_KEPT_BYTES as u64 => self.seen.at.min(kept),
                _ => 0,
            },
        }
    }
}

/// As far as the head knows.
fn has_started(hands: Hands) -> bool {
    match hands {
        Hands::Runs | Hands::Frozen | Hands::Adrift(true) => true,
        Hands::Sent | Hands::Doubtful | Hands::Adrift(false) => false,
    }
}

async fn send(out: &Out, piece: pb::LogPiece) -> Result<(), Halt> {
    out.send(Ok(piece)).await.map_err(|_| Halt::Gone)
}
