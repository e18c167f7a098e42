//! Takes an upload's parts in as they come: each is written, hashed and made durable in threads of their own.

use std::sync::Weak;
use std::sync::mpsc::SyncSender;

use bytes::Bytes;
use sha2::Digest as _;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::actors::ingest::DatasetEntry;
use crate::actors::intake::Intake;
use crate::blobs::{ToSync, Upload};
use crate::domain::{Digest, Error, ErrorKind};
use crate::limits::{PIECE_MAX_BYTES, UPLOAD_DURABLE_EVERY_BYTES, UPLOAD_UNSURE_MAX_BYTES};

use super::pieces::Patience;
use super::stored_room::Room;

/// Parts, or answers, on their way.
pub const QUEUE_PARTS: usize = 4;
/// Syncs that may be due at once; they are done as one.
const MARKS_MAX: usize = 4;
// Our own client waits, once it has sent so much that is not durable: all that it waits for has room on its way.
const _: () = assert!(UPLOAD_UNSURE_MAX_BYTES as u64 / UPLOAD_DURABLE_EVERY_BYTES <= QUEUE_PARTS as u64);

/// What comes of an upload after its beginning. Where the parts end without [`Part::End`] it has broken off.
#[derive(Debug)]
pub enum Part {
    /// The next bytes.
    Piece(Piece),
    /// That was all.
    End(End),
}

/// Bytes of an upload.
#[derive(Debug)]
pub struct Piece {
    /// Of the first, if the client has said it.
    pub offset: Option<u64>,
    /// At most [`PIECE_MAX_BYTES`].
    pub data: Bytes,
    /// Of the data, as the client has said it; none where it says one of all that it sends.
    pub crc32: Option<u32>,
}

/// The end of an upload.
#[derive(Debug)]
pub struct End {
    /// Of all of it, if the client has said it.
    pub len: Option<u64>,
    /// Of what is to be stored, if it has become known since the beginning.
    pub digest: Option<Digest>,
    /// Of all of it.
    pub crc32: Option<u32>,
}

/// What the client of an upload is told.
#[derive(Debug)]
pub enum Answer {
    /// So many bytes are durable. The first one is also the offset to go on from.
    Durable(u64),
    /// Stored: the last one.
    Dataset(DatasetEntry),
}

/// One stream at a time of an upload goes through it.
pub type Door = tokio::sync::Mutex<()>;
/// To whoever tells the client.
pub type Answers = mpsc::Sender<Result<Answer, Error>>;
/// From whoever hears the client; an error is a mistake of his.
pub type Parts = mpsc::Receiver<Result<Part, Error>>;

/// An upload that goes on. Lives in a thread that may wait for the disk.
pub(super) struct Receiver<'a> {
    pub upload: Upload,
    pub intake: &'a Intake,
    /// How many bytes will come, if Begin has said it.
    pub announced: Option<u64>,
    /// Of what is to be stored, once Begin or End has said it.
    pub digest: Option<Digest>,
    /// While it is the client's turn.
    patience: Patience,
    door: Weak<Door>,
    /// Of its owner's quota.
    pub room: Room,
    /// Bytes that are not durable yet.
    unsure: u64,
    /// Of all that has come, where the pieces have none of their own.
    crc: crc32fast::Hasher,
    answers: &'a Answers,
}

/// To the threads beside the one that writes: each takes half as long as what comes in, or longer.
struct Ways {
    /// Up to here it is to be synced.
    marks: SyncSender<u64>,
    /// What was written, to be hashed, in order.
    pieces: SyncSender<Bytes>,
}

impl<'a> Receiver<'a> {
    pub(super) fn new(
        upload: Upload,
        intake: &'a Intake,
        (announced, digest): (Option<u64>, Option<Digest>),
        room: Room,
        (patience, door): (Patience, Weak<Door>),
        answers: &'a Answers,
    ) -> Self {
        let crc = upload.crc_at_first().clone();
        Self { upload, intake, announced, digest, patience, door, room, unsure: 0, crc, answers }
    }

    /// Whether all of it has come; no if the stream ended before. What came is durable then, too.
    pub(super) fn all(&mut self, mut parts: Parts) -> Result<bool, Error> {
        let file = self.upload.to_sync()?;
        let (marks, due) = std::sync::mpsc::sync_channel(MARKS_MAX);
        let (pieces, to_hash) = std::sync::mpsc::sync_channel::<Bytes>(QUEUE_PARTS);
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
    fn parts(&mut self, parts: &mut Parts, ways: Ways) -> Result<bool, Error> {
        says_durable(self.answers, self.upload.len());
        while let Some(part) = self.next(parts)? {
            match part {
                Part::Piece(piece) => self.piece(piece, &ways)?,
                Part::End(end) => return self.end(&end).map(|()| true),
            }
        }
        Ok(false)
    }

    /// What comes next that says something; none if the stream has ended.
    fn next(&self, parts: &mut Parts) -> Result<Option<Part>, Error> {
        let next = async {
            loop {
                match parts.recv().await {
                    Some(Ok(Part::Piece(piece))) if piece.data.is_empty() => {}
                    next => break next,
                }
            }
        };
        // The door is held by the call of this upload, by whoever waits for it, and where all of them find it.
        let is_awaited = || self.door.strong_count() > 2;
        let next = Handle::current().block_on(self.patience.hears_if_awaited(is_awaited, next));
        next.inspect_err(|_| tracing::info!(bytes = self.upload.len(), "an upload that brings nothing has lost its place"))?.transpose()
    }

    fn end(&mut self, end: &End) -> Result<(), Error> {
        let len = self.upload.len();
        if let Some(said) = end.len.filter(|said| *said != len) {
            return Err(Error::unavailable(format!("the upload ends at byte {said}, and {len} have come: begin again")));
        }
        self.has_all()?;
        if end.crc32.is_some_and(|said| said != self.crc.clone().finalize()) {
            // Nobody knows where.
            self.upload.give_up();
            return Err(Error::unavailable("what was sent was damaged on its way: begin again"));
        }
        self.digest = self.digest_of(end)?;
        Ok(())
    }

    /// `Invalid` at an end that comes before what was announced.
    fn has_all(&self) -> Result<(), Error> {
        let len = self.upload.len();
        match self.announced.filter(|announced| *announced != len) {
            Some(announced) => Err(Error::invalid(format!(
                "the upload ends at byte {len}, and {announced} bytes were announced (len): send the rest, or announce {len}"
            ))),
            None => Ok(()),
        }
    }

    /// What Begin or this says; the digest itself is checked with what is stored.
    fn digest_of(&self, end: &End) -> Result<Option<Digest>, Error> {
        let Some(said) = end.digest else { return Ok(self.digest) };
        match self.digest.filter(|before| *before != said) {
            Some(before) => {
                Err(Error::invalid(format!("end.digest: {said}, and {before} was announced at the beginning: announce one of them")))
            }
            None => Ok(Some(said)),
        }
    }

    fn piece(&mut self, piece: Piece, ways: &Ways) -> Result<(), Error> {
        let (offset, len) = (self.upload.len(), piece.data.len());
        if let Some(said) = piece.offset.filter(|said| *said != offset) {
            return Err(Error::unavailable(format!("a piece for byte {said} came where byte {offset} is due: begin again")));
        }
        if len > PIECE_MAX_BYTES {
            return Err(Error::invalid(format!("the piece at byte {offset} has {len} bytes: at most {PIECE_MAX_BYTES} are allowed")));
        }
        if let Some(announced) = self.announced.filter(|announced| offset.saturating_add(len as u64) > *announced) {
            return Err(Error::invalid(format!(
                "the piece of {len} bytes at byte {offset} goes beyond the {announced} bytes that were announced (len): announce all"
            )));
        }
        self.room.takes(offset.saturating_add(len as u64))?;
        match piece.crc32 {
            None => self.crc.update(&piece.data),
            Some(said) if said == crc32fast::hash(&piece.data) => {}
            Some(_) => {
                return Err(Error::unavailable(format!("the piece of {len} bytes at byte {offset} was damaged on its way: begin again")));
            }
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
    // Who does not listen any more will ask again; who does not listen now hears a later one, and holds nobody up meanwhile.
    let _ = answers.try_send(Ok(Answer::Durable(len)));
}
