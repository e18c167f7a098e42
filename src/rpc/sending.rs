//! The client's end of an upload: what is sent, and going on where the connection, or the head, was lost.
//!
//! What is not durable at the head is kept in memory, up to a limit: so standard input, too, can be gone on with. A file is also gone on with
//! by another process, later: its upload has the same id each time.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::client::{Client, pause_after};
use super::hashed::{Found, Stamp};
use super::http_upload::{StoredText, UploadAsk, UploadLine};
use super::pb;
use super::upload_call;
use crate::archive::{Archive, Sink};
use crate::domain::{Error, ErrorKind};
use crate::limits::{PIECE_MAX_BYTES, UPLOAD_UNSURE_MAX_BYTES};

/// Pieces that wait.
const QUEUE_MAX: usize = 4;
/// How often in a row an upload that gets nowhere is begun again: with growing pauses, some 25 s.
const TRIES_MAX: u32 = 8;
/// How often an upload is sent from an earlier byte on, because the head has lost what it had confirmed.
const RESTARTS_MAX: u32 = 5;

type Pieces = mpsc::Receiver<Result<Bytes, Error>>;

/// What is sent.
pub(super) enum Source {
    /// A file as it is. With a stamp it has to be, at its end, as it was then: nobody knows its digest.
    File(PathBuf, Option<Stamp>),
    /// A folder, as a tar. Whoever reads it holds it.
    Folder(Arc<Mutex<Archive>>),
    /// What can be read only once; none when it is being read.
    Reader(Option<Box<dyn AsyncRead + Send + Unpin>>),
}

impl Source {
    /// Its bytes from an offset on, made as they are taken. An empty piece is the end. None if it can't be read from there.
    fn pieces(&mut self, from: u64) -> Option<Pieces> {
        let (sender, pieces) = mpsc::channel(QUEUE_MAX);
        match self {
            Self::Reader(reader) => drop(tokio::spawn(read(reader.take_if(|_| from == 0)?, sender))),
            Self::File(path, stamp) => drop(tokio::task::spawn_blocking({
                let (path, stamp) = (path.clone(), *stamp);
                move || {
                    produce(&sender, |take| {
                        let failed = |error| Error::io(&path, &error);
                        let mut file = File::open(&path).map_err(failed)?;
                        file.seek(SeekFrom::Start(from)).map_err(failed)?;
                        loop {
                            let mut piece = Vec::with_capacity(PIECE_MAX_BYTES);
                            match (&mut file).take(PIECE_MAX_BYTES as u64).read_to_end(&mut piece).map_err(failed)? {
                                0 => return stamp.map_or(Ok(()), |stamp| stamp.still_fits(&file)),
                                _ => take(piece.into())?,
                            }
                        }
                    });
                }
            })),
            Self::Folder(archive) => drop(tokio::task::spawn_blocking({
                let archive = archive.clone();
                move || {
                    produce(&sender, |take| {
                        let mut archive = archive.lock().unwrap_or_else(PoisonError::into_inner);
                        write_from(&mut archive, from, &mut |bytes| take(Bytes::copy_from_slice(bytes)))
                    });
                }
            })),
        }
        Some(pieces)
    }
}

/// An archive's bytes from an offset on.
fn write_from(archive: &mut Archive, mut skip: u64, take: Sink<'_>) -> Result<(), Error> {
    let mut piece = BytesMut::with_capacity(PIECE_MAX_BYTES);
    archive.write(&mut |mut bytes| {
        let skipped = usize::try_from(skip).unwrap_or(usize::MAX).min(bytes.len());
        skip -= skipped as u64;
        bytes = &bytes[skipped..];
        // The headers of many small files would make many small pieces.
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(PIECE_MAX_BYTES - piece.len()));
            piece.extend_from_slice(now);
            bytes = later;
            if piece.len() == PIECE_MAX_BYTES {
                take(&piece)?;
                piece.clear();
            }
        }
        Ok(())
    })?;
    if piece.is_empty() { Ok(()) } else { take(&piece) }
}

/// Runs what gives its bytes to a sink, until nobody takes them any more.
fn produce(
    sender: &mpsc::Sender<Result<Bytes, Error>>,
    work: impl FnOnce(&mut dyn FnMut(Bytes) -> Result<(), Error>) -> Result<(), Error>,
) {
    let mut take = |bytes: Bytes| sender.blocking_send(Ok(bytes)).map_err(|_| Error::internal("nobody takes the data to upload any more"));
    let last = work(&mut take).map(|()| Bytes::new());
    let _ = sender.blocking_send(last);
}

async fn read(mut reader: Box<dyn AsyncRead + Send + Unpin>, sender: mpsc::Sender<Result<Bytes, Error>>) {
    loop {
        let mut piece = BytesMut::with_capacity(PIECE_MAX_BYTES);
        let mut limited = (&mut reader).take(PIECE_MAX_BYTES as u64);
        let mut failed = None;
        while piece.len() < PIECE_MAX_BYTES {
            match limited.read_buf(&mut piece).await {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => {
                    failed = Some(Error::internal(format!("can't read the data to upload: {error}")));
                    break;
                }
            }
        }
        let is_last = piece.is_empty() || failed.is_some();
        let sent = sender.send(failed.map_or(Ok(piece.freeze()), Err)).await;
        if is_last || sent.is_err() {
            return;
        }
    }
}

/// The id of a file's upload: the same for the same file on the same machine, packed as it was. It is known before the file is read.
pub(super) fn upload_id(path: &std::path::Path, len: u64, as_is: bool) -> Uuid {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    id_from(&format!("{as_is} {len} {host} {}", path.display()))
}

/// Where that is the id of an upload of what the file held before.
pub(super) fn other_upload_id(id: Uuid, digest: &str) -> Uuid {
    id_from(&format!("{id} {digest}"))
}

fn id_from(text: &str) -> Uuid {
    let hash: [u8; 32] = Sha256::digest(text).into();
    Uuid::from_bytes(hash.first_chunk().copied().unwrap_or_default())
}

/// An upload on its way.
pub(super) struct Sending<'a> {
    client: &'a Client,
    id: Uuid,
    /// An id to begin by where something else has begun by the first.
    other_id: Option<Uuid>,
    ask: UploadAsk,
    /// To hash it, where the digest was not known at the beginning and turns out to be needed.
    unread: Option<Found>,
    source: Source,
    /// Of the source, once the head has said where to begin.
    pieces: Option<Pieces>,
    /// What is not durable, in order, the first at offset `durable`.
    unsure: VecDeque<Bytes>,
    unsure_bytes: usize,
    durable: u64,
    /// Of all that the source has given; none where some of the upload did not come from here.
    crc: Option<crc32fast::Hasher>,
    /// The whole length, once the end of the data was met.
    len: Option<u64>,
    restarts: u32,
}

impl<'a> Sending<'a> {
    pub(super) fn new(client: &'a Client, id: Uuid, ask: UploadAsk, source: Source) -> Self {
        Self {
            client,
            id,
            other_id: None,
            ask,
            unread: None,
            source,
            pieces: None,
            unsure: VecDeque::new(),
            unsure_bytes: 0,
            durable: 0,
            crc: None,
            len: None,
            restarts: 0,
        }
    }

    /// Begun without a digest: what the head has of it without having it from here has to be of the same file, which is hashed then.
    pub(super) fn hashing_if_need_be(self, file: Found) -> Self {
        Self { unread: Some(file), ..self }
    }

    /// By another id where something else has begun by the first.
    pub(super) fn or_by_id(self, id: Uuid) -> Self {
        Self { other_id: Some(id), ..self }
    }

    /// Sends all of it, however often it has to begin again; `progress` hears how many bytes are at the head.
    pub(super) async fn run(mut self, mut progress: impl FnMut(u64)) -> Result<pb::Dataset, Error> {
        let mut tries = 0;
        loop {
            let before = self.durable;
            let error = match self.once(&mut progress).await {
                Ok(Some(stored)) => return self.is_ours(stored),
                Ok(None) => {
                    self.hash().await?;
                    continue;
                }
                Err(error) => error,
            };
            tries = if self.durable > before { 1 } else { tries + 1 };
            match error.kind {
                ErrorKind::Unavailable | ErrorKind::TimedOut if tries < TRIES_MAX => {}
                ErrorKind::Conflict
                    if self.pieces.is_none()
                        && let Some(id) = self.other_id.take() =>
                {
                    self.id = id;
                    continue;
                }
                // What is refused for its digest is given up: the part that came from elsewhere was of other data.
                ErrorKind::Invalid if !self.ask.end_digest.is_empty() && self.len.is_some() => {
                    return Err(Error::conflict(error.message));
                }
                _ => return Err(error),
            }
            if error.kind == ErrorKind::TimedOut && self.pieces.is_some() && self.unsure.is_empty() && self.len.is_none() {
                // It had nothing to say: only once there is something does it need a place again.
                let piece = next(&mut self.pieces).await?;
                self.take(piece)?;
            }
            pause_after(tries).await;
        }
    }

    /// No stream is open meanwhile: a large file takes longer than the head waits.
    async fn hash(&mut self) -> Result<(), Error> {
        if let Some(file) = self.unread.take() {
            self.ask.end_digest = file.hash("").await?.digest.to_string();
        }
        Ok(())
    }

    /// `Conflict` for what another client has stored by this id, if it had other data.
    fn is_ours(&self, StoredText { digest, name, len }: StoredText) -> Result<pb::Dataset, Error> {
        if self.ask.end_digest.is_empty() || self.ask.end_digest == digest {
            return Ok(pb::Dataset { digest, name, len, ..pb::Dataset::default() });
        }
        Err(Error::conflict("the file has changed since an upload of it was stored"))
    }

    /// One request, to its end. None if the digest is needed first.
    async fn once(&mut self, progress: &mut impl FnMut(u64)) -> Result<Option<StoredText>, Error> {
        let (body, mut lines) = upload_call::open(self.client.address(), &self.ask.path(&self.id.to_string())).await?;
        // Pieces of `unsure` that this request has had, and whether it has had the end.
        let (mut sent, mut is_ended, mut is_open) = (0, false, false);
        loop {
            let is_due = is_open && (sent < self.unsure.len() || self.len.is_some() && !is_ended);
            let wants_more = is_open && self.len.is_none() && sent == self.unsure.len() && self.unsure_bytes < UPLOAD_UNSURE_MAX_BYTES;
            tokio::select! {
                biased;
                line = lines.next() => match line? {
                    // Stored before anything was sent from here.
                    Some(UploadLine::Dataset(_)) if self.pieces.is_none() && self.unread.is_some() => return Ok(None),
                    Some(UploadLine::Dataset(stored)) => return Ok(Some(stored)),
                    Some(UploadLine::Durable(durable)) if durable > self.so_far() && self.unread.is_some() => return Ok(None),
                    Some(UploadLine::Durable(durable)) => {
                        sent = if is_open { still_sent(sent, self.forget(durable)?)? } else { self.open(durable)? };
                        is_open = true;
                        if self.crc.is_none() && self.unread.is_some() {
                            return Ok(None);
                        }
                        progress(self.durable + self.unsure.iter().take(sent).map(Bytes::len).sum::<usize>() as u64);
                    }
                    Some(UploadLine::Error(_)) | None => {
                        return Err(Error::unavailable(format!("the upload broke off at byte {}", self.durable)));
                    }
                },
                Some(room) = body.room(), if is_due => match self.unsure.get(sent) {
                    Some(piece) => {
                        sent += 1;
                        room.send(piece.clone());
                    }
                    None => {
                        is_ended = true;
                        room.end(self.crc.clone().map(crc32fast::Hasher::finalize));
                    }
                },
                piece = next(&mut self.pieces), if wants_more => self.take(piece?)?,
            }
        }
    }

    /// The next piece of the source, the last one empty.
    fn take(&mut self, piece: Bytes) -> Result<(), Error> {
        if !piece.is_empty() {
            self.unsure_bytes += piece.len();
            if let Some(crc) = &mut self.crc {
                crc.update(&piece);
            }
            self.unsure.push_back(piece);
            return self.is_as_announced(self.so_far());
        }
        let len = self.so_far();
        if len == 0 && self.ask.digest.is_empty() {
            return Err(Error::invalid("there is no data: nothing came before its end"));
        }
        self.len = Some(len);
        self.is_as_announced(len)
    }

    /// What the source has given.
    fn so_far(&self) -> u64 {
        self.durable + self.unsure_bytes as u64
    }

    /// `Invalid` if the source has not the length that it had when it was looked at.
    fn is_as_announced(&self, len: u64) -> Result<(), Error> {
        match self.ask.len.filter(|announced| len > *announced || self.len.is_some() && len < *announced) {
            Some(announced) if len > announced => Err(Error::invalid(format!(
                "has more than the {announced} bytes that it had: wait until it is complete, and upload it again"
            ))),
            Some(announced) => Err(Error::invalid(format!(
                "has only {len} of the {announced} bytes that it had: wait until it is complete, and upload it again"
            ))),
            None => Ok(()),
        }
    }

    /// A stream has begun: from where on the head wants the bytes.
    fn open(&mut self, offset: u64) -> Result<usize, Error> {
        let is_here = self.pieces.is_some() && (self.durable..=self.so_far()).contains(&offset);
        if is_here {
            return self.forget(offset).map(|_| 0);
        }
        // It begins; or the head has lost what it had confirmed; or another client has gone on with it meanwhile.
        self.restarts += u32::from(offset < self.durable);
        match self.source.pieces(offset).filter(|_| self.restarts <= RESTARTS_MAX) {
            Some(pieces) => {
                (self.pieces, self.durable, self.len) = (Some(pieces), offset, None);
                self.crc = (offset == 0).then(crc32fast::Hasher::new);
                (self.unsure, self.unsure_bytes) = (VecDeque::new(), 0);
                Ok(0)
            }
            None if self.pieces.is_none() => Err(Error::conflict("the head has an upload of this id that this one did not begin")),
            None => Err(Error::corrupt(format!(
                "the head has {offset} bytes of an upload of which it had confirmed {}, and what was sent can't be read again: upload it again",
                self.durable
            ))),
        }
    }

    /// So much is durable: how many pieces need not be kept any more.
    fn forget(&mut self, durable: u64) -> Result<usize, Error> {
        let mut forgotten = 0;
        while let Some(first) = self.unsure.front()
            && self.durable + first.len() as u64 <= durable
        {
            self.durable += first.len() as u64;
            self.unsure_bytes -= first.len();
            self.unsure.pop_front();
            forgotten += 1;
        }
        // A head that was killed may have been in the middle of one.
        if let Some(first) = self.unsure.front_mut()
            && let Some(part) = durable.checked_sub(self.durable)
        {
            let gone = first.split_to(part as usize);
            (self.durable, self.unsure_bytes) = (durable, self.unsure_bytes - gone.len());
        }
        if self.durable != durable {
            return Err(Error::corrupt(format!(
                "the head has {durable} bytes of an upload of which it had confirmed {}: upload it again",
                self.durable
            )));
        }
        Ok(forgotten)
    }
}

/// How many pieces of a stream are not confirmed. `Corrupt` if the head confirms what it was not sent.
fn still_sent(sent: usize, confirmed: usize) -> Result<usize, Error> {
    let more = || Error::corrupt("the head has confirmed bytes of an upload that it was not sent: upload it again");
    sent.checked_sub(confirmed).ok_or_else(more)
}

async fn next(pieces: &mut Option<Pieces>) -> Result<Bytes, Error> {
    let Some(pieces) = pieces else { return Err(Error::internal("an upload has no source: this is a mistake in Millpond")) };
    pieces.recv().await.unwrap_or_else(|| Err(Error::internal("reading the data to upload broke off")))
}
