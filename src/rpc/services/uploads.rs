//! Uploads that go on where they broke off.
//!
//! ```text
//! Begin ─► durable(offset) · Piece… ─► durable(…) · End ─► dataset           lost? the same Begin again
//! ```
//! Each piece has a CRC-32: it is cheap, every language's standard library has it, and with the digest of the whole that most uploads state, it
//! need not be more: it only has to say early, and where, that something between was damaged.

use std::collections::BTreeMap;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::actors::Head;
use crate::actors::intake::{Intake, Label};
use crate::blobs::{Receipt, Stored, ToSync, Upload, UploadKey};
use crate::domain::{Digest, Error, ErrorKind};
use crate::failpoint;
use crate::limits::{PIECE_MAX_BYTES, UPLOAD_DURABLE_EVERY_BYTES};
use crate::rpc::pb;
use crate::rpc::pb::resume_upload_request::{Begin, End, Piece, Request as Part};
use crate::rpc::pb::resume_upload_response::Response as Answer;
use crate::rpc::status::to_status;

use super::datasets::{label_of, message, stored_by};
use super::pieces::{Patience, Transfers};
use super::who::Who;

/// Messages on the way between call and thread, each way.
const QUEUE_MESSAGES: usize = 4;
/// Syncs that may be due at once; they are done as one.
const MARKS_MAX: usize = 4;

type Answers = mpsc::Sender<Result<pb::ResumeUploadResponse, Status>>;

/// The uploads that go on now, and what they need.
#[derive(Clone)]
pub(super) struct Uploads {
    head: Head,
    transfers: Transfers,
    /// One stream at a time for each id.
    doors: Arc<Mutex<BTreeMap<u128, Arc<tokio::sync::Mutex<()>>>>>,
    intake: Arc<Intake>,
}

/// An upload as its Begin says.
struct Wanted {
    id: u128,
    label: Label,
    len: Option<u64>,
}

impl Wanted {
    fn of(begin: Begin, who: &Who) -> Result<Self, Error> {
        let id = id_of(&begin.upload_id, "begin.upload_id", who)?;
        let header = begin.header.ok_or_else(|| Error::invalid("begin.header: missing"))?;
        Ok(Self { id, label: label_of(header)?, len: begin.len })
    }

    /// With all that has to be the same for an upload to be gone on with.
    fn key(&self) -> UploadKey {
        let Self { id, label, len } = self;
        let text = format!("{:?} {} {len:?}", label.digest.map(|digest| digest.to_string()), label.unpack);
        UploadKey { id: *id, about: Digest(Sha256::digest(text).into()), digest: label.digest }
    }
}

/// A client's id of an upload, as `field` has it. Where callers are known each has his own ids: nobody goes on with another's upload, or is
/// told what came of it.
pub(super) fn id_of(text: &str, field: &str, who: &Who) -> Result<u128, Error> {
    let id = text.parse::<uuid::Uuid>().map(|id| id.as_u128()).map_err(|_| Error::invalid(format!("{field}: a UUID is needed")))?;
    Ok(who.owner().map_or(id, |owner| {
        let digest: [u8; 32] = Sha256::new().chain_update(id.to_be_bytes()).chain_update(owner).finalize().into();
        digest.iter().take(16).fold(0, |id, byte| id << 8 | u128::from(*byte))
    }))
}

impl Uploads {
    pub(super) fn new(head: Head, transfers: Transfers, intake: Arc<Intake>) -> Self {
        Self { head, transfers, doors: Arc::default(), intake }
    }

    /// Takes an upload; the answers come by the stream.
    pub(super) fn take(
        &self,
        who: Who,
        requests: Streaming<pb::ResumeUploadRequest>,
    ) -> ReceiverStream<Result<pb::ResumeUploadResponse, Status>> {
        let (answers, stream) = mpsc::channel(QUEUE_MESSAGES);
        let uploads = self.clone();
        tokio::spawn(async move {
            let last = uploads.receive(&who, requests, &answers).await;
            if let Some(last) = last.transpose() {
                let _ = answers.send(last.map(|dataset| answer(Answer::Dataset(dataset)))).await;
            }
        });
        ReceiverStream::new(stream)
    }

    /// The data set; none if the stream has ended before.
    async fn receive(
        &self,
        who: &Who,
        mut requests: Streaming<pb::ResumeUploadRequest>,
        answers: &Answers,
    ) -> Result<Option<pb::Dataset>, Status> {
        let wrong = |error: Error| to_status(&error);
        let first = self.transfers.patience.hears(requests.message()).await.map_err(wrong)??;
        let Some(Part::Begin(begin)) = first.and_then(|first| first.request) else {
            return Err(wrong(Error::invalid("an upload begins with Begin")));
        };
        let wanted = Wanted::of(begin, who).map_err(wrong)?;
        let door = self.doors().entry(wanted.id).or_default().clone();
        let passed = door.lock().await;
        let stored = self.receive_one(who, &wanted, requests, answers).await;
        drop(passed);
        drop(door);
        self.doors().retain(|_, door| Arc::strong_count(door) > 1);
        stored
    }

    fn doors(&self) -> std::sync::MutexGuard<'_, BTreeMap<u128, Arc<tokio::sync::Mutex<()>>>> {
        self.doors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn receive_one(
        &self,
        who: &Who,
        wanted: &Wanted,
        mut requests: Streaming<pb::ResumeUploadRequest>,
        answers: &Answers,
    ) -> Result<Option<pb::Dataset>, Status> {
        let wrong = |error: Error| to_status(&error);
        // Another upload may have stored it while this one waited; or this one, before its connection broke.
        if let Some(dataset) = self.stored_before(who, wanted).await.map_err(wrong)? {
            return Ok(Some(dataset));
        }
        let permit = self.transfers.begin().await.map_err(wrong)?;
        let (parts, queue) = mpsc::channel(QUEUE_MESSAGES);
        let (label, len, key) = (wanted.label.clone(), wanted.len, wanted.key());
        let (intake, out, patience) = (self.intake.clone(), answers.clone(), self.transfers.patience);
        let mut work = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let upload = begin(&intake, key, len)?;
            let digest = label.digest;
            let mut receiver = Receiver { upload, intake: &intake, announced: len, digest, patience, unsure: 0, answers: &out };
            if !receiver.all(queue)? {
                return Ok(None);
            }
            let Receiver { mut upload, digest, .. } = receiver;
            let (stored, name) = intake.store(&mut upload, &Label { digest, ..label })?;
            Ok(Some((stored, name, upload)))
        });
        let forward = async move {
            while let Ok(Some(request)) = requests.message().await {
                if parts.send(request).await.is_err() {
                    break;
                }
            }
        };
        // After End, or a refusal, the thread is done, whatever else comes.
        let done = tokio::select! {
            done = &mut work => done,
            () = forward => work.await,
        };
        let stored = done.unwrap_or_else(|_| Err(Error::internal("storing broke off: this is a mistake in Millpond")));
        let Ok(Some((stored, name, mut came))) = stored else {
            self.give_up_if_known(who, wanted).await;
            return stored.map(|_| None).map_err(wrong);
        };
        let dataset = stored_by(&self.head, who, stored, name).await.map_err(wrong)?;
        // From here on it is known by its receipt.
        came.give_up();
        let _ = tokio::task::spawn_blocking(move || drop(came)).await;
        failpoint::hit("upload.before_reply");
        Ok(Some(message(dataset)))
    }

    /// What is stored of this already.
    async fn stored_before(&self, who: &Who, wanted: &Wanted) -> Result<Option<pb::Dataset>, Error> {
        // Whoever only knows a digest has to show that he has the bytes.
        if let Some(digest) = wanted.label.digest
            && who.reaches_dataset(&self.head, digest).await.is_ok()
            && let Ok(known) = self.head.dataset(digest).await
        {
            if let Some(owner) = who.owner() {
                self.head.own_dataset(digest, owner, true).await?;
            }
            return Ok(Some(message(known)));
        }
        let Some(Receipt { digest, name, .. }) = self.head.datasets.receipt(wanted.key()) else { return Ok(None) };
        if let Ok(known) = self.head.dataset(digest).await {
            if let Some(owner) = who.owner() {
                self.head.own_dataset(digest, owner, true).await?;
            }
            return Ok(Some(message(known)));
        }
        // Its bytes have their place, and the journal did not say that it knows of them.
        let len = self.head.datasets.open_dataset(digest)?.len();
        stored_by(&self.head, who, Stored { digest, len }, name).await.map(message).map(Some)
    }

    /// Another client may have stored the same while this one was sending it.
    async fn give_up_if_known(&self, who: &Who, wanted: &Wanted) {
        if let Some(digest) = wanted.label.digest
            && who.reaches_dataset(&self.head, digest).await.is_ok()
            && self.head.dataset(digest).await.is_ok()
            && let Err(error) = self.head.datasets.give_up_known(|known| known == digest)
        {
            tracing::warn!(%error, "an upload whose content is stored stays for a day");
        }
    }
}

/// What holds nothing says nothing.
fn is_empty(request: &pb::ResumeUploadRequest) -> bool {
    match &request.request {
        Some(Part::Piece(piece)) => piece.data.is_empty(),
        Some(Part::Begin(_) | Part::End(_)) => false,
        None => true,
    }
}

/// Opens what is there of it. Space is checked before anything is taken; an upload that has begun goes on at yellow.
fn begin(intake: &Intake, key: UploadKey, len: Option<u64>) -> Result<Upload, Error> {
    let Intake { datasets, disk, .. } = intake;
    let mut upload = disk.noting(datasets.go_on_with_upload(key))?;
    let gauge = disk.gauge();
    let room = if upload.is_empty() { gauge.takes_uploads() } else { gauge.lets_uploads_go_on() };
    let room = room.and_then(|()| gauge.has_room_for(len.unwrap_or_default().saturating_sub(upload.len())));
    match room {
        Err(error) if upload.is_empty() => {
            upload.give_up();
            Err(error)
        }
        room => room.map(|()| upload),
    }
}

struct Receiver<'a> {
    upload: Upload,
    intake: &'a Intake,
    /// How many bytes will come, if Begin has said it.
    announced: Option<u64>,
    /// Of what is to be stored, once Begin or End has said it.
    digest: Option<Digest>,
    /// While it is the client's turn.
    patience: Patience,
    /// Bytes that are not durable yet.
    unsure: u64,
    answers: &'a Answers,
}

/// To the threads beside the one that writes: each takes half as long as what comes in, or longer.
struct Ways {
    /// Up to here it is to be synced.
    marks: SyncSender<u64>,
    /// What was written, to be hashed, in order.
    pieces: SyncSender<Bytes>,
}

impl Receiver<'_> {
    /// Whether all of it has come; no if the stream ended before. What came is durable then, too.
    fn all(&mut self, mut parts: mpsc::Receiver<pb::ResumeUploadRequest>) -> Result<bool, Error> {
        let file = self.upload.to_sync()?;
        let (marks, due) = std::sync::mpsc::sync_channel(MARKS_MAX);
        let (pieces, to_hash) = std::sync::mpsc::sync_channel::<Bytes>(QUEUE_MESSAGES);
        let (answers, mut hasher) = (self.answers, self.upload.hasher().clone());
        let (received, synced, hashed) = std::thread::scope(|scope| {
            let syncing = scope.spawn(move || make_durable(&file, &due, answers));
            let hashing = scope.spawn(move || {
                to_hash.iter().for_each(|piece| hasher.update(&piece));
                hasher
            });
            // Both threads end with these ways to them.
            let received = self.parts(&mut parts, Ways { marks, pieces });
            let synced = syncing.join().unwrap_or_else(|_| Err(Error::internal("syncing broke off: this is a mistake in Millpond")));
            (received, self.intake.disk.noting(synced), hashing.join())
        });
        match hashed {
            Ok(hasher) => *self.upload.hasher() = hasher,
            Err(_) => return Err(Error::internal("hashing broke off: this is a mistake in Millpond")),
        }
        if let Err(error) = synced {
            self.upload.sync_failed(error.clone());
            return Err(error);
        }
        if matches!(&received, Err(Error { kind: ErrorKind::Exhausted, .. })) {
            // The room is needed more by others.
            self.upload.give_up();
            return received;
        }
        if !received? {
            return self.upload.sync().map(|()| false);
        }
        Ok(true)
    }

    /// Whether the end has come.
    fn parts(&mut self, parts: &mut mpsc::Receiver<pb::ResumeUploadRequest>, ways: Ways) -> Result<bool, Error> {
        says_durable(self.answers, self.upload.len());
        while let Some(part) = self.next(parts)? {
            match part.request {
                Some(Part::Piece(piece)) => self.piece(piece, &ways)?,
                Some(Part::End(end)) if end.len == self.upload.len() => {
                    self.has_all()?;
                    self.digest = self.digest_of(&end)?;
                    return Ok(true);
                }
                Some(Part::End(end)) => {
                    return Err(Error::unavailable(format!(
                        "the upload ends at byte {}, and {} have come: begin again",
                        end.len,
                        self.upload.len()
                    )));
                }
                Some(Part::Begin(_)) => return Err(Error::invalid("a second Begin: an upload has one")),
                None => {}
            }
        }
        Ok(false)
    }

    /// What comes next that says something; none if the stream has ended.
    fn next(&self, parts: &mut mpsc::Receiver<pb::ResumeUploadRequest>) -> Result<Option<pb::ResumeUploadRequest>, Error> {
        let next = async {
            loop {
                match parts.recv().await {
                    Some(part) if is_empty(&part) => {}
                    next => break next,
                }
            }
        };
        let next = Handle::current().block_on(self.patience.hears(next));
        next.inspect_err(|_| tracing::info!(bytes = self.upload.len(), "an upload that brings nothing has lost its place"))
    }

    /// `Invalid` at an end that comes before what was announced.
    fn has_all(&self) -> Result<(), Error> {
        let len = self.upload.len();
        match self.announced.filter(|announced| *announced != len) {
            Some(announced) => Err(Error::invalid(format!(
                "the upload ends at byte {len}, and Begin has announced {announced} bytes (begin.len): send the rest, or announce {len}"
            ))),
            None => Ok(()),
        }
    }

    /// What Begin or this says; the digest itself is checked with what is stored.
    fn digest_of(&self, end: &End) -> Result<Option<Digest>, Error> {
        if end.digest.is_empty() {
            return Ok(self.digest);
        }
        let said = end.digest.parse().map_err(|error: Error| error.context("end.digest"))?;
        match self.digest.filter(|before| *before != said) {
            Some(before) => Err(Error::invalid(format!("end.digest: {said}, and Begin has announced {before}: announce one of them"))),
            None => Ok(Some(said)),
        }
    }

    fn piece(&mut self, piece: Piece, ways: &Ways) -> Result<(), Error> {
        let (offset, len) = (piece.offset, piece.data.len());
        if len > PIECE_MAX_BYTES {
            return Err(Error::invalid(format!("the piece at byte {offset} has {len} bytes: at most {PIECE_MAX_BYTES} are allowed")));
        }
        if offset != self.upload.len() {
            return Err(Error::unavailable(format!("a piece for byte {offset} came where byte {} is due: begin again", self.upload.len())));
        }
        if let Some(announced) = self.announced.filter(|announced| offset.saturating_add(len as u64) > *announced) {
            return Err(Error::invalid(format!(
                "the piece of {len} bytes at byte {offset} goes beyond the {announced} bytes that Begin has announced (begin.len): announce all"
            )));
        }
        if crc32fast::hash(&piece.data) != piece.crc32 {
            return Err(Error::unavailable(format!("the piece of {len} bytes at byte {offset} was damaged on its way: begin again")));
        }
        self.intake.write_unhashed(&mut self.upload, &piece.data)?;
        ways.pieces.send(piece.data).map_err(|_| Error::internal("hashing broke off: this is a mistake in Millpond"))?;
        self.unsure += len as u64;
        if self.unsure >= UPLOAD_DURABLE_EVERY_BYTES {
            self.unsure = 0;
            ways.marks.send(self.upload.len()).map_err(|_| Error::internal("a failed sync, which says why, has ended an upload"))?;
        }
        Ok(())
    }
}

/// Makes durable what was written up to each mark, and says so, while more comes in.
fn make_durable(file: &ToSync, due: &std::sync::mpsc::Receiver<u64>, answers: &Answers) -> Result<(), Error> {
    while let Ok(mark) = due.recv() {
        let mark = due.try_iter().last().unwrap_or(mark);
        file.sync()?;
        says_durable(answers, mark);
    }
    Ok(())
}

fn says_durable(answers: &Answers, len: u64) {
    // Who does not listen any more will ask again.
    let _ = answers.blocking_send(Ok(answer(Answer::Durable(len))));
}

fn answer(response: Answer) -> pb::ResumeUploadResponse {
    pb::ResumeUploadResponse { response: Some(response) }
}
