//! The client's end of an upload: what is sent, and going on where the connection, or the head, was lost.
//!
//! What is not durable at the head is kept in memory, up to a limit: so standard input, too, can be gone on with. A file is also gone on with
//! by another process, later: its upload has the same id each time.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use bytes::{Bytes, BytesMut};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::client::{Client, pause_after};
use super::pb;
use super::pb::resume_upload_request::{Begin, End, Piece, Request as Part};
use super::pb::resume_upload_response::Response as Answer;
use crate::archive::Archive;
use crate::domain::{Error, ErrorKind};
use crate::limits::{PIECE_BYTES, UPLOAD_UNSURE_MAX_BYTES};

/// Messages, or pieces, that wait.
const QUEUE_MAX: usize = 4;
/// How often in a row an upload that gets nowhere is begun again: with growing pauses, some 25 s.
const TRIES_MAX: u32 = 8;

type Pieces = mpsc::Receiver<Result<Bytes, Error>>;

/// What is sent.
pub(super) enum Source {
    /// A file as it is.
    File(PathBuf),
    /// A folder, as a tar.
    Folder(Archive),
    /// What can be read only once.
    Reader(Box<dyn AsyncRead + Send + Unpin>),
}

impl Source {
    /// Its bytes from an offset on, made as they are taken. An empty piece is the end.
    fn pieces(self, from: u64) -> Pieces {
        let (sender, pieces) = mpsc::channel(QUEUE_MAX);
        match self {
            Self::Reader(reader) => drop(tokio::spawn(read(reader, sender))),
            Self::File(path) => drop(tokio::task::spawn_blocking(move || {
                produce(&sender, |take| {
                    let failed = |error| Error::io(&path, &error);
                    let mut file = File::open(&path).map_err(failed)?;
                    file.seek(SeekFrom::Start(from)).map_err(failed)?;
                    let mut buffer = vec![0; PIECE_BYTES];
                    loop {
                        match file.read(&mut buffer).map_err(failed)? {
                            0 => return Ok(()),
                            len => take(&buffer[..len])?,
                        }
                    }
                });
            })),
            Self::Folder(mut archive) => drop(tokio::task::spawn_blocking(move || {
                let mut skip = from;
                produce(&sender, |take| {
                    let mut piece = BytesMut::with_capacity(PIECE_BYTES);
                    archive.write(&mut |mut bytes| {
                        let skipped = usize::try_from(skip).unwrap_or(usize::MAX).min(bytes.len());
                        skip -= skipped as u64;
                        bytes = &bytes[skipped..];
                        // The headers of many small files would make many small pieces.
                        while !bytes.is_empty() {
                            let (now, later) = bytes.split_at(bytes.len().min(PIECE_BYTES - piece.len()));
                            piece.extend_from_slice(now);
                            bytes = later;
                            if piece.len() == PIECE_BYTES {
                                take(&piece)?;
                                piece.clear();
                            }
                        }
                        Ok(())
                    })?;
                    if piece.is_empty() { Ok(()) } else { take(&piece) }
                });
            })),
        }
        pieces
    }
}

/// Runs what gives its bytes to a sink, until nobody takes them any more.
fn produce(
    sender: &mpsc::Sender<Result<Bytes, Error>>,
    work: impl FnOnce(&mut dyn FnMut(&[u8]) -> Result<(), Error>) -> Result<(), Error>,
) {
    let mut take = |bytes: &[u8]| {
        sender.blocking_send(Ok(Bytes::copy_from_slice(bytes))).map_err(|_| Error::internal("nobody takes the data to upload any more"))
    };
    let last = work(&mut take).map(|()| Bytes::new());
    let _ = sender.blocking_send(last);
}

async fn read(mut reader: Box<dyn AsyncRead + Send + Unpin>, sender: mpsc::Sender<Result<Bytes, Error>>) {
    loop {
        let mut piece = BytesMut::with_capacity(PIECE_BYTES);
        let mut limited = (&mut reader).take(PIECE_BYTES as u64);
        let mut failed = None;
        while piece.len() < PIECE_BYTES {
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

/// The id of a file's upload: the same for the same content of the same file on the same machine, packed as it was.
pub(super) fn upload_id(path: &std::path::Path, digest: &str, as_is: bool) -> uuid::Uuid {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let len = std::fs::metadata(&path).ok().filter(std::fs::Metadata::is_file).map_or(0, |file| file.len());
    let hash: [u8; 32] = Sha256::digest(format!("{digest} {as_is} {len} {host} {}", path.display())).into();
    uuid::Uuid::from_bytes(hash.first_chunk().copied().unwrap_or_default())
}

/// An upload on its way.
pub(super) struct Sending<'a> {
    client: &'a Client,
    begin: Begin,
    /// Until the head has said where to begin.
    source: Option<Source>,
    pieces: Option<Pieces>,
    /// What is not durable, in order, the first at offset `durable`.
    unsure: VecDeque<Bytes>,
    unsure_bytes: usize,
    durable: u64,
    /// The whole length, once the end of the data was met.
    len: Option<u64>,
}

impl<'a> Sending<'a> {
    pub(super) fn new(client: &'a Client, begin: Begin, source: Source) -> Self {
        let (pieces, unsure) = (None, VecDeque::new());
        Self { client, begin, source: Some(source), pieces, unsure, unsure_bytes: 0, durable: 0, len: None }
    }

    /// Sends all of it, however often it has to begin again; `progress` hears how many bytes are at the head.
    pub(super) async fn run(mut self, mut progress: impl FnMut(u64)) -> Result<pb::Dataset, Error> {
        let mut tries = 0;
        loop {
            let before = self.durable;
            let error = match self.once(&mut progress).await {
                Ok(dataset) => return Ok(dataset),
                Err(error) => error,
            };
            tries = if self.durable > before { 1 } else { tries + 1 };
            if error.kind != ErrorKind::Unavailable || tries == TRIES_MAX {
                return Err(error);
            }
            pause_after(tries).await;
        }
    }

    /// One stream, to its end.
    async fn once(&mut self, progress: &mut impl FnMut(u64)) -> Result<pb::Dataset, Error> {
        let (requests, queue) = mpsc::channel(QUEUE_MAX);
        let begin = pb::ResumeUploadRequest { request: Some(Part::Begin(self.begin.clone())) };
        requests.try_send(begin).map_err(|_| Error::internal("a queue is full before anything is in it"))?;
        let answers = self.client.datasets().resume_upload(ReceiverStream::new(queue)).await;
        let mut answers = answers.map_err(|status| self.client.error(&status))?.into_inner();
        // Pieces of `unsure` that this stream has had, and whether it has had the end.
        let (mut sent, mut is_ended, mut is_open) = (0, false, false);
        loop {
            let is_due = is_open && (sent < self.unsure.len() || self.len.is_some() && !is_ended);
            let wants_more = is_open && self.len.is_none() && sent == self.unsure.len() && self.unsure_bytes < UPLOAD_UNSURE_MAX_BYTES;
            tokio::select! {
                biased;
                answer = answers.message() => match answer.map_err(|status| self.client.error(&status))?.and_then(|answer| answer.response) {
                    Some(Answer::Dataset(dataset)) => return Ok(dataset),
                    Some(Answer::Durable(durable)) => {
                        sent = if is_open { sent - self.forget(durable)? } else { self.open(durable)? };
                        is_open = true;
                        progress(self.durable + self.unsure.iter().take(sent).map(Bytes::len).sum::<usize>() as u64);
                    }
                    None => return Err(Error::unavailable(format!("the upload broke off at byte {}", self.durable))),
                },
                Ok(permit) = requests.reserve(), if is_due => {
                    let request = match self.unsure.get(sent) {
                        Some(piece) => {
                            sent += 1;
                            let offset = self.durable + self.unsure.iter().take(sent - 1).map(Bytes::len).sum::<usize>() as u64;
                            Part::Piece(Piece { offset, data: piece.clone(), crc32: crc32fast::hash(piece) })
                        }
                        None => {
                            is_ended = true;
                            Part::End(End { len: self.len.unwrap_or_default() })
                        }
                    };
                    permit.send(pb::ResumeUploadRequest { request: Some(request) });
                }
                piece = next(&mut self.pieces), if wants_more => self.take(piece?)?,
            }
        }
    }

    /// The next piece of the source, the last one empty.
    fn take(&mut self, piece: Bytes) -> Result<(), Error> {
        if !piece.is_empty() {
            self.unsure_bytes += piece.len();
            self.unsure.push_back(piece);
            return Ok(());
        }
        let len = self.durable + self.unsure_bytes as u64;
        let is_known = self.begin.header.as_ref().is_some_and(|header| !header.digest.is_empty());
        if len == 0 && !is_known {
            return Err(Error::invalid("there is no data: nothing came before its end"));
        }
        self.len = Some(len);
        Ok(())
    }

    /// A stream has begun: from where on the head wants the bytes.
    fn open(&mut self, offset: u64) -> Result<usize, Error> {
        if let Some(source) = self.source.take() {
            if offset > 0 && matches!(source, Source::Reader(_)) {
                return Err(Error::conflict("the head has an upload of this id that this one did not begin"));
            }
            (self.pieces, self.durable) = (Some(source.pieces(offset)), offset);
            return Ok(0);
        }
        self.forget(offset)?;
        Ok(0)
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

async fn next(pieces: &mut Option<Pieces>) -> Result<Bytes, Error> {
    let Some(pieces) = pieces else { return Err(Error::internal("an upload has no source: this is a mistake in Millpond")) };
    pieces.recv().await.unwrap_or_else(|| Err(Error::internal("reading the data to upload broke off")))
}
