//! Sends what a running task prints to the head, piece by piece, for one who follows it: the next piece goes when the last one was taken.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep};

use crate::domain::ErrorKind;
use crate::domain::wire::{Follow, OutputPiece, Over};
use crate::limits::{FOLLOW_ASK_EVERY, FOLLOW_BEGINS_WITHIN, FOLLOW_LOOK_EVERY, FOLLOW_PIECES_PER_SECOND_MAX};

use super::data_port::{DataPort, TransferError};
use super::sights::{Sights, Watcher, empty};

/// Between two tries to give a piece to the head.
const AGAIN_AFTER: Duration = Duration::from_millis(500);
/// How often it is tried.
const TRIES_MAX: u32 = 20;

/// How fast the outputs of a worker go, all together. Cheap to clone.
#[derive(Clone)]
pub(super) struct Pace(Arc<Mutex<Interval>>);

impl Pace {
    /// As [`FOLLOW_PIECES_PER_SECOND_MAX`] says. In a runtime.
    pub fn new() -> Self {
        let mut ticks = interval(Duration::from_secs(1) / FOLLOW_PIECES_PER_SECOND_MAX);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self(Arc::new(Mutex::new(ticks)))
    }

    async fn waits(&self) {
        self.0.lock().await.tick().await;
    }
}

/// Until the attempt has ended and all was given, or nobody follows any more.
pub(super) async fn send(follow: Follow, sights: Arc<Sights>, port: Arc<dyn DataPort>, pace: Pace) {
    let sender = Sender { follow, port, pace };
    match found(&follow, &sights).await {
        Ok(watcher) => sender.all_of(Arc::new(watcher)).await,
        Err(over) => {
            sender.give(OutputPiece { over: Some(over), ..empty(follow.id, follow.lease, 0) }).await;
        }
    }
}

/// What the head calls started may not be with its slot's thread yet.
async fn found(follow: &Follow, sights: &Arc<Sights>) -> Result<Watcher, Over> {
    let asked = Instant::now();
    loop {
        if let Some(watcher) = sights.watch(follow)? {
            return Ok(watcher);
        }
        if asked.elapsed() >= FOLLOW_BEGINS_WITHIN {
            return Err(Over::NotHere);
        }
        sleep(FOLLOW_LOOK_EVERY).await;
    }
}

struct Sender {
    follow: Follow,
    port: Arc<dyn DataPort>,
    pace: Pace,
}

impl Sender {
    async fn all_of(&self, watcher: Arc<Watcher>) {
        let mut heard = Instant::now();
        loop {
            let eyes = watcher.clone();
            let looked = tokio::task::spawn_blocking(move || eyes.look()).await;
            let piece = match looked {
                Ok(Ok(Some(piece))) => piece,
                Ok(Ok(None)) if heard.elapsed() >= FOLLOW_ASK_EVERY => empty(self.follow.id, self.follow.lease, 0),
                Ok(Ok(None)) => {
                    sleep(FOLLOW_LOOK_EVERY).await;
                    continue;
                }
                Ok(Err(error)) => {
                    tracing::warn!(job = %self.follow.lease.job, task = self.follow.lease.no.0, %error, "what a task prints can't be read");
                    OutputPiece { over: Some(Over::NotHere), ..empty(self.follow.id, self.follow.lease, 0) }
                }
                // The worker ends.
                Err(_) => return,
            };
            let is_over = piece.over.is_some();
            if !self.give(piece).await || is_over {
                return;
            }
            heard = Instant::now();
        }
    }

    /// Whether somebody wants more.
    async fn give(&self, piece: OutputPiece) -> bool {
        for _ in 0..TRIES_MAX {
            self.pace.waits().await;
            match self.port.give_output(piece.clone()).await {
                Ok(goes_on) => return goes_on,
                Err(TransferError::Head(error)) if error.kind == ErrorKind::Unavailable => sleep(AGAIN_AFTER).await,
                Err(error) => {
                    tracing::warn!(job = %piece.lease.job, task = piece.lease.no.0, %error, "what a task prints is not taken by the head");
                    return false;
                }
            }
        }
        false
    }
}
