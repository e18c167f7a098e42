//! Bulk data in pieces: between a stream of a call and a thread that may wait for the disk.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::Status;

use crate::domain::Error;
use crate::limits::{PIECE_MAX_BYTES, TRANSFERS_MAX, UPLOAD_SILENCE_LOOKED_AT_EVERY, UPLOAD_SILENCE_MAX_IF_AWAITED};
use crate::rpc::status::to_status;

/// Pieces on the way between call and thread.
const QUEUE_PIECES: usize = 4;

/// What a server sends piece by piece.
pub type PieceStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// How many transfers go on at once, over all services.
#[derive(Clone)]
pub struct Transfers {
    places: Arc<Semaphore>,
    /// With what comes in.
    pub patience: Patience,
}

impl Transfers {
    /// Places for all transfers of a head. An upload that brings nothing for so long loses its own.
    pub fn new(silence_max: Duration) -> Self {
        Self { places: Arc::new(Semaphore::new(TRANSFERS_MAX)), patience: Patience(silence_max) }
    }

    /// A place for one more transfer, when there is one.
    pub async fn begin(&self) -> Result<OwnedSemaphorePermit, Error> {
        self.places.clone().acquire_owned().await.map_err(|_| Error::unavailable("the head is shutting down"))
    }
}

/// How long an upload may say nothing.
#[derive(Clone, Copy)]
pub struct Patience(Duration);

impl Patience {
    /// What comes next.
    ///
    /// # Errors
    /// `TimedOut` if nothing does.
    pub async fn hears<T>(self, next: impl Future<Output = T>) -> Result<T, Error> {
        let silence = |_| {
            let seconds = self.0.as_secs_f64();
            Error::timed_out(format!("nothing has come for {seconds} s, so the upload has lost its place (--upload-silence): begin again"))
        };
        tokio::time::timeout(self.0, next).await.map_err(silence)
    }

    /// The same; sooner, if somebody waits for this upload to end.
    ///
    /// # Errors
    /// `TimedOut` if nothing comes.
    pub async fn hears_if_awaited<T>(self, is_awaited: impl Fn() -> bool, next: impl Future<Output = T>) -> Result<T, Error> {
        let mut next = pin!(next);
        let began = Instant::now();
        let waits_in_vain = async {
            loop {
                tokio::time::sleep(UPLOAD_SILENCE_LOOKED_AT_EVERY).await;
                if is_awaited() && began.elapsed() >= UPLOAD_SILENCE_MAX_IF_AWAITED {
                    break;
                }
            }
        };
        tokio::select! {
            biased;
            heard = self.hears(&mut next) => heard,
            () = waits_in_vain => {
                let seconds = UPLOAD_SILENCE_MAX_IF_AWAITED.as_secs();
                Err(Error::timed_out(format!("nothing has come for {seconds} s, and another client waits to go on with this upload: begin again")))
            }
        }
    }
}

/// Sends what `produce` makes, from a thread of its own; `send` is false once nobody listens any more.
pub fn send<T: Send + 'static>(
    permit: OwnedSemaphorePermit,
    produce: impl FnOnce(&mut dyn FnMut(T) -> bool) -> Result<(), Error> + Send + 'static,
) -> PieceStream<T> {
    let (pieces, stream) = mpsc::channel(QUEUE_PIECES);
    tokio::task::spawn_blocking(move || {
        let _permit = permit;
        if let Err(error) = produce(&mut |piece| pieces.blocking_send(Ok(piece)).is_ok()) {
            let _ = pieces.blocking_send(Err(to_status(&error)));
        }
    });
    Box::pin(ReceiverStream::new(stream))
}

/// Feeds what comes in to `consume`, in a thread of its own, and gives its answer.
///
/// `rest` is the data of the messages after the first. A stream that breaks off reaches `consume` as an end of its input without
/// [`Inflow::is_whole`]: half an upload must not look like a whole one.
pub async fn receive<T: Send + 'static>(
    permit: OwnedSemaphorePermit,
    patience: Patience,
    first: Bytes,
    mut rest: impl Stream<Item = Result<Bytes, Status>> + Send + Unpin,
    consume: impl FnOnce(&mut Inflow) -> Result<T, Error> + Send + 'static,
) -> Result<T, Status> {
    let (pieces, queue) = mpsc::channel(QUEUE_PIECES);
    let work = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        consume(&mut Inflow { queue, whole: false })
    });
    let mut data = Some(first);
    while let Some(piece) = data {
        if piece.len() > PIECE_MAX_BYTES {
            return Err(to_status(&Error::invalid(format!("a piece of {} bytes: at most {PIECE_MAX_BYTES} are allowed", piece.len()))));
        }
        if !piece.is_empty() && pieces.send(Some(piece)).await.is_err() {
            // The thread has given up, and says why.
            break;
        }
        data = patience.hears(rest.next()).await.map_err(|error| to_status(&error))?.transpose()?;
    }
    let _ = pieces.send(None).await;
    let answer = work.await.unwrap_or_else(|_| Err(Error::internal("storing broke off: this is a mistake in Millpond")));
    answer.map_err(|error| to_status(&error))
}

/// What comes in, for the thread.
pub struct Inflow {
    queue: mpsc::Receiver<Option<Bytes>>,
    whole: bool,
}

impl Inflow {
    /// Whether the end that was met is the sender's.
    pub fn is_whole(&self) -> bool {
        self.whole
    }
}

impl Iterator for Inflow {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        match self.queue.blocking_recv() {
            Some(Some(piece)) => Some(piece),
            Some(None) => {
                self.whole = true;
                None
            }
            None => None,
        }
    }
}

/// The error of an upload that broke off.
pub fn broke_off() -> Error {
    Error::unavailable("the upload broke off: nothing was kept; send it again")
}
