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

use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::actors::Head;
use crate::actors::intake::{Intake, Label};
use crate::blobs::{ToSync, Upload};
use crate::domain::{Digest, Error, ErrorKind};
use crate::limits::{PIECE_MAX_BYTES, UPLOAD_DURABLE_EVERY_BYTES};
use crate::rpc::pb;
use crate::rpc::pb::resume_upload_request::{Begin, Piece, Request as Part};
use crate::rpc::pb::resume_upload_response::Response as Answer;
use crate::rpc::status::to_status;

use super::datasets::{label_of, message};
use super::pieces::Transfers;

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
    fn of(begin: Begin) -> Result<Self, Error> {
        let id = begin.upload_id.parse::<uuid::Uuid>().map_err(|_| Error::invalid("begin.upload_id: a UUID is needed"))?.as_u128();
        let header = begin.header.ok_or_else(|| Error::invalid("begin.header: missing"))?;
        Ok(Self { id, label: label_of(header)?, len: begin.len })
    }

    /// Of all that has to be the same for an upload to be gone on with.
    fn about(&self) -> Digest {
        let Self { label, len, .. } = self;
        let text = format!("{:?} {} {len:?}", label.digest.map(|digest| digest.to_string()), label.unpack);
        Digest(Sha256::digest(text).into())
    }
}

impl Uploads {
    pub(super) fn new(head: Head, transfers: Transfers, intake: Arc<Intake>) -> Self {
        Self { head, transfers, doors: Arc::default(), intake }
    }

    /// Takes an upload; the answers come by the stream.
    pub(super) fn take(&self, requests: Streaming<pb::ResumeUploadRequest>) -> ReceiverStream<Result<pb::ResumeUploadResponse, Status>> {
        let (answers, stream) = mpsc::channel(QUEUE_MESSAGES);
        let uploads = self.clone();
        tokio::spawn(async move {
            let last = uploads.receive(requests, &answers).await;
            if let Some(last) = last.transpose() {
                let _ = answers.send(last.map(|dataset| answer(Answer::Dataset(dataset)))).await;
            }
        });
        ReceiverStream::new(stream)
    }

    /// The data set; none if the stream has ended before.
    async fn receive(&self, mut requests: Streaming<pb::ResumeUploadRequest>, answers: &Answers) -> Result<Option<pb::Dataset>, Status> {
        let wrong = |error: Error| to_status(&error);
        let Some(Part::Begin(begin)) = requests.message().await?.and_then(|first| first.request) else {
            return Err(wrong(Error::invalid("an upload begins with Begin")));
        };
        let wanted = Wanted::of(begin).map_err(wrong)?;
        let door = self.doors().entry(wanted.id).or_default().clone();
        let passed = door.lock().await;
        let stored = self.receive_one(&wanted, requests, answers).await;
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
        wanted: &Wanted,
        mut requests: Streaming<pb::ResumeUploadRequest>,
        answers: &Answers,
    ) -> Result<Option<pb::Dataset>, Status> {
        let wrong = |error: Error| to_status(&error);
        // Another upload may have stored it while this one waited; or this one, before its connection broke.
        if let Some(digest) = wanted.label.digest
            && let Ok((_, known)) = self.head.dataset(digest).await
        {
            return Ok(Some(message((digest, known))));
        }
        let permit = self.transfers.begin().await.map_err(wrong)?;
        let (parts, queue) = mpsc::channel(QUEUE_MESSAGES);
        let (label, len, id, about) = (wanted.label.clone(), wanted.len, wanted.id, wanted.about());
        let (intake, out) = (self.intake.clone(), answers.clone());
        let mut work = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let upload = begin(&intake, id, about, len)?;
            let came = Receiver { upload, intake: &intake, unsure: 0, answers: &out }.all(queue)?;
            came.map(|upload| intake.store(upload, &label)).transpose()
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
        let stored = done.unwrap_or_else(|_| Err(Error::internal("storing broke off: this is a mistake in Millpond"))).map_err(wrong)?;
        let Some((stored, name)) = stored else { return Ok(None) };
        self.head.add_dataset(stored, name).await.map(message).map(Some).map_err(wrong)
    }
}

/// Opens what is there of it. Space is checked before anything is taken; an upload that has begun goes on at yellow.
fn begin(intake: &Intake, id: u128, about: Digest, len: Option<u64>) -> Result<Upload, Error> {
    let Intake { datasets, disk, .. } = intake;
    let upload = disk.noting(datasets.go_on_with_upload(id, about))?;
    let gauge = disk.gauge();
    let room = if upload.is_empty() { gauge.takes_uploads() } else { gauge.lets_uploads_go_on() };
    let room = room.and_then(|()| gauge.has_room_for(len.unwrap_or_default().saturating_sub(upload.len())));
    match room {
        Err(error) if upload.is_empty() => {
            upload.discard();
            Err(error)
        }
        room => room.map(|()| upload),
    }
}

struct Receiver<'a> {
    upload: Upload,
    intake: &'a Intake,
    /// Bytes that are not durable yet.
    unsure: u64,
    answers: &'a Answers,
}

impl Receiver<'_> {
    /// All of it; none if the stream ended before. What came is durable then, too.
    fn all(mut self, mut parts: mpsc::Receiver<pb::ResumeUploadRequest>) -> Result<Option<Upload>, Error> {
        let file = self.upload.to_sync()?;
        let (marks, due) = std::sync::mpsc::sync_channel(MARKS_MAX);
        let answers = self.answers;
        let (received, synced) = std::thread::scope(|scope| {
            let syncing = scope.spawn(move || make_durable(&file, &due, answers));
            let received = self.parts(&mut parts, marks);
            let synced = syncing.join().unwrap_or_else(|_| Err(Error::internal("syncing broke off: this is a mistake in Millpond")));
            (received, self.intake.disk.noting(synced))
        });
        if let Err(error) = synced {
            self.upload.sync_failed(error.clone());
            return Err(error);
        }
        if matches!(&received, Err(Error { kind: ErrorKind::Exhausted, .. })) {
            // The room is needed more by others.
            self.upload.discard();
            return received.map(|_| None);
        }
        match received? {
            true => Ok(Some(self.upload)),
            false => self.upload.sync().map(|()| None),
        }
    }

    /// Whether the end has come.
    fn parts(&mut self, parts: &mut mpsc::Receiver<pb::ResumeUploadRequest>, marks: SyncSender<u64>) -> Result<bool, Error> {
        says_durable(self.answers, self.upload.len());
        while let Some(part) = parts.blocking_recv() {
            match part.request {
                Some(Part::Piece(piece)) => self.piece(&piece, &marks)?,
                Some(Part::End(end)) if end.len == self.upload.len() => return Ok(true),
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

    fn piece(&mut self, piece: &Piece, marks: &SyncSender<u64>) -> Result<(), Error> {
        let (offset, len) = (piece.offset, piece.data.len());
        if len > PIECE_MAX_BYTES {
            return Err(Error::invalid(format!("the piece at byte {offset} has {len} bytes: at most {PIECE_MAX_BYTES} are allowed")));
        }
        if offset != self.upload.len() {
            return Err(Error::unavailable(format!("a piece for byte {offset} came where byte {} is due: begin again", self.upload.len())));
        }
        if crc32fast::hash(&piece.data) != piece.crc32 {
            return Err(Error::unavailable(format!("the piece of {len} bytes at byte {offset} was damaged on its way: begin again")));
        }
        self.intake.write(&mut self.upload, &piece.data)?;
        self.unsure += len as u64;
        if self.unsure >= UPLOAD_DURABLE_EVERY_BYTES {
            self.unsure = 0;
            marks.send(self.upload.len()).map_err(|_| Error::internal("a failed sync, which says why, has ended an upload"))?;
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
