//! `WorkerService`: a worker's session, between its stream and its proxy.

use std::sync::Arc;

use ractor::ActorRef;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::actors::Head;
use crate::actors::proxy::ProxyMsg;
use crate::domain::Error;
use crate::domain::wire::{FromWorker, Hello};
use crate::limits::{CALL_TIMEOUT, RESULTS_RIDING_MAX_BYTES, SESSION_QUEUE_MAX, SESSION_RESULTS_MAX_BYTES, WORKER_SLOTS_MAX};
use crate::rpc::batches::next_batch;
use crate::rpc::convert::{from_worker, to_worker};
use crate::rpc::pb;
use crate::rpc::pb::worker_message::Body;
use crate::rpc::pb::worker_service_server::WorkerService;
use crate::rpc::status::to_status;

use super::leases::{Leases, Session};
use super::pieces::PieceStream;
use super::who::{About, Who};

/// See `proto/millpond/v1/worker.proto`.
pub struct Workers {
    head: Head,
    leases: Leases,
}

impl Workers {
    /// The service of a head.
    pub fn new(head: Head, leases: Leases) -> Self {
        Self { head, leases }
    }
}

async fn hello(inbound: &mut Streaming<pb::WorkerMessage>) -> Result<Hello, Status> {
    let first = tokio::time::timeout(CALL_TIMEOUT, inbound.message()).await;
    let first = first.map_err(|_| to_status(&Error::timed_out("a worker says Hello at once")))??;
    let first = first.ok_or_else(|| to_status(&Error::invalid("a worker says Hello first")))?;
    match from_worker(first).map_err(|error| to_status(&error))? {
        FromWorker::Hello(hello) if (1..=WORKER_SLOTS_MAX).contains(&hello.slots) => Ok(hello),
        FromWorker::Hello(_) => Err(to_status(&Error::invalid(format!("slots: 1 to {WORKER_SLOTS_MAX} are allowed")))),
        _ => Err(to_status(&Error::invalid("a worker says Hello first"))),
    }
}

/// What a message brings of a result.
fn riding_bytes(message: &pb::WorkerMessage) -> usize {
    match &message.body {
        Some(Body::Finished(finished)) => finished.inline.len(),
        _ => 0,
    }
}

/// Passes what the worker says to its proxy, in order. The proxy takes in no more than the queue holds before the stream waits, and the jobs
/// no more of results than they can store.
async fn pump(mut inbound: Streaming<pb::WorkerMessage>, proxy: ActorRef<ProxyMsg>, session: Option<Arc<Session>>) {
    let queue = Arc::new(Semaphore::new(SESSION_QUEUE_MAX));
    let room = Arc::new(Semaphore::new(SESSION_RESULTS_MAX_BYTES));
    while let Ok(batch) = next_batch(&mut inbound, RESULTS_RIDING_MAX_BYTES, riding_bytes).await {
        let bytes: usize = batch.iter().map(riding_bytes).sum();
        let messages = match batch.into_iter().map(from_worker).collect::<Result<Vec<_>, Error>>() {
            Ok(messages) if messages.is_empty() => break,
            Ok(messages) => messages,
            Err(error) => {
                tracing::error!(%error, "a worker said something that can't be: its session ends");
                break;
            }
        };
        if let Some(session) = &session {
            messages.iter().for_each(|message| session.said(message));
        }
        let Ok(permit) = queue.clone().acquire_many_owned(messages.len() as u32).await else { break };
        let Ok(bytes) = room.clone().acquire_many_owned(bytes.min(SESSION_RESULTS_MAX_BYTES) as u32).await else { break };
        if proxy.cast(ProxyMsg::Said(messages, permit, Arc::new(bytes))).is_err() {
            return;
        }
    }
    // An end without a goodbye is a loss, whatever it looks like.
    let _ = proxy.cast(ProxyMsg::StreamEnded);
}

#[tonic::async_trait]
impl WorkerService for Workers {
    type AttendStream = PieceStream<pb::HeadMessage>;

    async fn attend(&self, request: Request<Streaming<pb::WorkerMessage>>) -> Result<Response<Self::AttendStream>, Status> {
        let who = Who::of(&request, &self.head, "/millpond.v1.WorkerService/Attend").await?;
        let mut inbound = request.into_inner();
        let hello = hello(&mut inbound).await?;
        let about = About::just(format!("{}, {} slots", hello.host, hello.slots));
        let (hello, session) = match who.principal() {
            None => (hello, None),
            Some(principal) => {
                let session = self.leases.begin(principal.id);
                // What another worker calls itself is not believed: who is known by a key is known by his certificate first.
                let hello = Hello { key: format!("{} {}", principal.id, hello.key), ..hello };
                session.said(&FromWorker::Hello(hello.clone()));
                (hello, Some(Arc::new(session)))
            }
        };
        let (out, messages) = mpsc::channel(SESSION_QUEUE_MAX);
        let attached = who.changes(&self.head, about, self.head.attach(hello, out)).await;
        let proxy = attached.map_err(|error| to_status(&error))?;
        tokio::spawn(pump(inbound, proxy, session.clone()));
        let outbound = ReceiverStream::new(messages).map(move |message| {
            if let Some(session) = &session {
                session.sent(&message);
            }
            Ok(to_worker(message))
        });
        Ok(Response::new(Box::pin(outbound)))
    }
}
