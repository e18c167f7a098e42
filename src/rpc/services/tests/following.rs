//! What a running task prints, between a worker that a test plays and who follows it.

use std::sync::Arc;

use bytes::Bytes;
use ractor::ActorRef;
use tokio::sync::{Semaphore, mpsc};

use super::*;
use crate::actors::proxy::ProxyMsg;
use crate::domain::wire::{Dial, Follow, FromWhere, FromWorker, Hello, Lease, OutputPiece, Over, Printed, Run, ToWorker};
use crate::domain::{Epoch, Instant, Resources, Room};
use crate::rpc::convert::{lease_to_pb, output_piece_to_pb};
use crate::rpc::pb::result_service_server::ResultService;
use crate::rpc::services::Results;
use crate::rpc::services::pieces::PieceStream;

/// A worker with one slot, by hand.
struct Worker {
    proxy: ActorRef<ProxyMsg>,
    heard: mpsc::Receiver<ToWorker>,
}

impl Worker {
    async fn joins(head: &Head, follows: bool) -> Self {
        let (out, heard) = mpsc::channel(100);
        let hello = Hello {
            key: "k".into(),
            host: "mill".into(),
            slots: 1,
            total: Resources::default(),
            confines: None,
            follows,
            epoch_seen: Epoch(0),
            dial: Dial { start: 1, number: 1 },
            stamp: Instant(0),
            held: Vec::new(),
        };
        let worker = Self { proxy: head.attach(hello, out).await.unwrap(), heard };
        worker.says(FromWorker::Room { room: Room { free: 1, ahead: 0 }, last_run_seen: 0 }).await;
        worker
    }

    async fn says(&self, message: FromWorker) {
        let room = Arc::new(Semaphore::new(1));
        let (permit, bytes) = (room.clone().acquire_owned().await.unwrap(), Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap());
        self.proxy.cast(ProxyMsg::Said(vec![message], permit, Arc::new(bytes))).unwrap();
    }

    /// The first for which there is an answer.
    async fn hears<T>(&mut self, is_it: impl Fn(ToWorker) -> Option<T>) -> T {
        loop {
            let message = tokio::time::timeout(Duration::from_secs(20), self.heard.recv()).await.expect("in time").expect("a session");
            if let Some(found) = is_it(message) {
                return found;
            }
        }
    }

    /// Takes the next run, and says that it has started.
    async fn starts(&mut self) -> Lease {
        let first = |runs: Vec<Run>| runs.first().map(|run| run.lease);
        let lease = self.hears(|message| if let ToWorker::Runs(runs) = message { first(runs) } else { None }).await;
        self.says(FromWorker::Started(vec![lease])).await;
        lease
    }

    async fn is_to_follow(&mut self) -> Follow {
        self.hears(|message| if let ToWorker::Follow(follow) = message { Some(follow) } else { None }).await
    }
}

async fn follow(jobs: &Jobs, who: &Principal, request: pb::FollowTaskLogRequest) -> PieceStream<pb::LogPiece> {
    jobs.follow_task_log(by(who, request)).await.unwrap().into_inner()
}

async fn next(pieces: &mut PieceStream<pb::LogPiece>) -> Result<pb::LogPiece, Status> {
    tokio::time::timeout(Duration::from_secs(20), pieces.next()).await.expect("in time").expect("a piece")
}

/// The next one that has data, or is without a word.
async fn data(pieces: &mut PieceStream<pb::LogPiece>) -> (u64, u64, String) {
    loop {
        let piece = next(pieces).await.unwrap();
        if piece.text.is_empty() {
            return (piece.offset, piece.left_out, String::from_utf8(piece.data.to_vec()).unwrap());
        }
    }
}

fn asked(id: &str) -> pb::FollowTaskLogRequest {
    pb::FollowTaskLogRequest { id: id.to_owned(), ..Default::default() }
}

fn piece(follow: &Follow, offset: u64, left_out: u64, data: &'static str) -> OutputPiece {
    OutputPiece { follow: follow.id, lease: follow.lease, offset, left_out, data: Bytes::from_static(data.as_bytes()), over: None }
}

#[tokio::test]
async fn each_byte_is_given_once_or_left_out_and_who_comes_again_goes_on() {
    let world = World::new().await;
    let (jobs, head) = (world.jobs(), world.head());
    let job = world.submits(&world.admin, "").await.unwrap().id;
    let id = format!("{job}.1");
    let mut pieces = follow(&jobs, &world.admin, asked(&id)).await;
    assert!(next(&mut pieces).await.unwrap().text.starts_with(&format!("{id} has not started")), "it waits");
    let mut worker = Worker::joins(&head, true).await;
    worker.starts().await;
    let first = worker.is_to_follow().await;
    assert_eq!((first.printed, first.from), (Printed::Stdout, FromWhere::Offset(0)));
    assert!(head.audience.takes(piece(&first, 0, 0, "ab")).await);
    assert_eq!(data(&mut pieces).await, (0, 0, "ab".into()));
    assert!(head.audience.takes(piece(&first, 0, 0, "ab")).await, "its answer was lost, so it comes again");
    assert!(head.audience.takes(piece(&first, 0, 0, "")).await, "whether he is still there");
    assert!(head.audience.takes(piece(&first, 9, 7, "cd")).await);
    assert_eq!(data(&mut pieces).await, (9, 7, "cd".into()));
    drop(pieces);
    let gone = async {
        while head.audience.takes(piece(&first, 11, 0, "e")).await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.expect("the worker hears that he has gone");

    let mut pieces =
        follow(&jobs, &world.admin, pb::FollowTaskLogRequest { attempt: 1, offset: 11, tail_bytes: Some(3), ..asked(&id) }).await;
    let second = worker.is_to_follow().await;
    assert_eq!(second.from, FromWhere::Offset(11), "he has seen some of it, so the tail does not count");
    assert!(head.audience.takes(OutputPiece { over: Some(Over::NotHere), ..piece(&second, 0, 0, "") }).await);
    let third = worker.is_to_follow().await;
    assert_eq!(third.from, FromWhere::Offset(11), "asked anew");
    assert!(head.audience.takes(OutputPiece { over: Some(Over::TooMany), ..piece(&third, 0, 0, "") }).await);
    let error = next(&mut pieces).await.unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::ResourceExhausted, "w1 sends too many outputs already: try again later"));
}

#[tokio::test]
async fn a_worker_that_can_t_is_named_and_a_stranger_is_refused() {
    let world = World::new().await;
    let jobs = world.jobs();
    let id = format!("{}.1", world.submits(&world.admin, "").await.unwrap().id);
    let ben = world.joins(Role::Submitter, "ben").await;
    refused(jobs.follow_task_log(by(&ben, asked(&id))).await, Code::PermissionDenied);
    let mut worker = Worker::joins(&world.head(), false).await;
    worker.starts().await;
    let mut pieces = follow(&jobs, &world.admin, asked(&id)).await;
    let error = loop {
        if let Err(error) = next(&mut pieces).await {
            break error;
        }
    };
    assert_eq!(error.code(), Code::FailedPrecondition);
    assert!(error.message().starts_with("w1 is of a version that does not send what its tasks print"), "{}", error.message());
}

#[tokio::test]
async fn a_worker_sends_output_of_its_own_attempts_and_of_no_other() {
    let world = World::new().await;
    let leases = Leases::default();
    let results = Results::new(world.head(), Transfers::new(Duration::from_secs(60)), leases.clone());
    let worker = world.joins(Role::Worker, "mill").await;
    let lease = Lease { job: "j1".parse().unwrap(), no: crate::domain::TaskNo(0), attempt: crate::domain::Attempt(1), epoch: Epoch(1) };
    let follow = Follow { id: 7, lease, printed: Printed::Stdout, from: FromWhere::Offset(0) };
    let sends = || results.send_output(by(&worker, output_piece_to_pb(piece(&follow, 0, 0, "x"))));
    let session = leases.begin(worker.id);
    refused(sends().await, Code::PermissionDenied);
    session.sent(&ToWorker::Runs(vec![Run { seq: 1, lease, chunk: None }]));
    assert!(!sends().await.unwrap().into_inner().go_on, "nobody follows");
    let large = pb::SendOutputRequest { lease: Some(lease_to_pb(lease)), data: vec![0; 1 << 20].into(), ..Default::default() };
    refused(results.send_output(by(&worker, large)).await, Code::InvalidArgument);
}
