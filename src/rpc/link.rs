//! The Link: a worker's stream to its head. It connects, says Hello, passes messages on in both directions, and connects again.

use std::time::Duration;

use ractor::ActorRef;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_util::sync::CancellationToken;
use tonic::Streaming;

use crate::actors::worker::{SessionOut, WorkerMsg};
use crate::domain::wire::{FromWorker, Hello, ToWorker};
use crate::domain::{Error, SessionId};
use crate::limits::{CALL_TIMEOUT, LEASE, MESSAGE_MAX_BYTES, SESSION_QUEUE_MAX, WORKER_SLOTS_MAX};

use super::address::HeadAddress;
use super::batches::Flat;
use super::convert::{from_head, to_head};
use super::pb;
use super::pb::worker_service_client::WorkerServiceClient;
use super::status::from_status;

/// The first tries to reconnect come within this.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Later ones wait up to this: however long the head was away, its workers are back within a second of its start.
const PAUSE_MAX: Duration = Duration::from_millis(300);

/// Keeps a worker connected until `stop`.
pub async fn keep_connected(address: HeadAddress, worker: ActorRef<WorkerMsg>, stop: CancellationToken) -> Result<(), Error> {
    let mut pause = FIRST_PAUSE;
    let mut told = None;
    while !stop.is_cancelled() {
        let session = tokio::select! {
            session = session(&address, &worker) => session,
            () = stop.cancelled() => return Ok(()),
        };
        match session {
            Ok(()) => (pause, told) = (FIRST_PAUSE, None),
            // The worker ends, and its actor was sooner than this loop.
            Err(_) if stop.is_cancelled() => return Ok(()),
            Err(error) => {
                // Said once, not with every try.
                if told.as_ref() != Some(&error.message) {
                    tracing::warn!(%error, head = address.url(), "not connected to the head; trying again");
                    told = Some(error.message);
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(jittered(pause)) => {}
            () = stop.cancelled() => return Ok(()),
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
    Ok(())
}

/// Half to one and a half times the pause, so that a thousand workers do not come back at once.
fn jittered(pause: Duration) -> Duration {
    let random = u32::from(uuid::Uuid::new_v4().as_bytes()[0]);
    pause / 2 + pause * random / 256
}

/// One session, from Hello to its end. An error means that it did not begin.
async fn session(address: &HeadAddress, worker: &ActorRef<WorkerMsg>) -> Result<(), Error> {
    let url = address.url();
    let connecting = tokio::time::timeout(CALL_TIMEOUT, address.channel()).await;
    let channel = connecting.map_err(|_| Error::unavailable(format!("no answer from {url}")))?;
    let channel = channel.map_err(|error| super::client::unreachable(url, &error))?;
    let hello = hello(worker).await?;
    let (messages, queue) = mpsc::channel(SESSION_QUEUE_MAX + WORKER_SLOTS_MAX as usize);
    let gone = |_| Error::unavailable("the head hung up");
    messages.send(vec![FromWorker::Hello(hello)]).await.map_err(gone)?;
    let outbound = Flat::new(queue).map(to_head);
    let mut client = WorkerServiceClient::new(channel).max_decoding_message_size(MESSAGE_MAX_BYTES);
    let mut inbound = client.attend(outbound).await.map_err(|status| from_status(&status))?.into_inner();
    let welcome = next(&mut inbound).await?.ok_or_else(|| Error::unavailable("the head hung up"))?;
    let ToWorker::Welcome { session, epoch, worker: id, .. } = welcome else {
        return Err(Error::unavailable("the head did not say Welcome"));
    };
    tracing::info!(head = url, worker = %id, %epoch, "attached");
    let end = CancellationToken::new();
    let out = SessionOut { messages, end: end.clone() };
    let closed = |_| Error::unavailable("the worker is shutting down");
    worker.cast(WorkerMsg::Welcomed { session, welcome, out }).map_err(closed)?;
    tokio::select! {
        () = pump(inbound, session, worker) => {}
        () = end.cancelled() => {}
    }
    worker.cast(WorkerMsg::Disconnected(session)).map_err(closed)
}

async fn hello(worker: &ActorRef<WorkerMsg>) -> Result<Hello, Error> {
    match worker.call(WorkerMsg::Hello, Some(CALL_TIMEOUT)).await {
        Ok(ractor::rpc::CallResult::Success(hello)) => Ok(hello),
        _ => Err(Error::unavailable("the worker is shutting down")),
    }
}

async fn next(inbound: &mut Streaming<pb::HeadMessage>) -> Result<Option<ToWorker>, Error> {
    let message = tokio::time::timeout(LEASE, inbound.message()).await;
    let message = message.map_err(|_| Error::unavailable(format!("nothing heard from the head for {} s", LEASE.as_secs())))?;
    message.map_err(|status| from_status(&status))?.map(from_head).transpose()
}

/// Passes what the head says on, in order, until the stream ends, breaks, or is silent too long.
async fn pump(mut inbound: Streaming<pb::HeadMessage>, session: SessionId, worker: &ActorRef<WorkerMsg>) {
    loop {
        match next(&mut inbound).await {
            Ok(Some(message)) => {
                if worker.cast(WorkerMsg::Said(session, message)).is_err() {
                    return;
                }
            }
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(%error, "the session with the head has ended");
                return;
            }
        }
    }
}
