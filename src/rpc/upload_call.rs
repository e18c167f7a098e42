//! The client's end of one `PUT /v1/uploads/{id}`: what goes up, and the lines that come down beside it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, header};
use hyper::body::{Body, Frame, Incoming};
use tokio::sync::mpsc;

use super::address::HeadAddress;
use super::http_upload::{FROM_WHERE_YOU_SAY, UPLOAD_CRC32, UPLOAD_OFFSET, UploadLine};
use super::plain;
use crate::domain::Error;

/// Pieces that wait for the connection.
const QUEUE_PIECES: usize = 4;
/// Of an answer: what is longer is none of ours.
const LINE_MAX_BYTES: usize = 64 * 1024;

/// What a body consists of.
enum Part {
    Data(Bytes),
    /// The end, and the CRC-32 of all of it, if that is known.
    End(Option<u32>),
}

/// Where pieces go. If it is dropped before its end the connection breaks: half an upload does not look like a whole one.
pub(super) struct UploadBody(mpsc::Sender<Part>);

/// Room for one part.
pub(super) struct Room<'a>(mpsc::Permit<'a, Part>);

impl UploadBody {
    /// Waits until a part can be sent. None once the connection takes nothing any more: its answer says why.
    pub(super) async fn room(&self) -> Option<Room<'_>> {
        self.0.reserve().await.ok().map(Room)
    }
}

impl Room<'_> {
    pub(super) fn send(self, piece: Bytes) {
        self.0.send(Part::Data(piece));
    }

    /// That was all, and this is the CRC-32 of the whole upload, if it is known.
    pub(super) fn end(self, crc32: Option<u32>) {
        self.0.send(Part::End(crc32));
    }
}

/// Begins an upload from wherever the head says: in the first line.
///
/// # Errors
/// What the head says; `Unavailable` if it can't be reached.
pub(super) async fn open(address: &HeadAddress, path: &str) -> Result<(UploadBody, UploadLines), Error> {
    let (sender, parts) = mpsc::channel(QUEUE_PIECES);
    let request = Request::put(path).header(UPLOAD_OFFSET, FROM_WHERE_YOU_SAY).header(header::TRAILER, HeaderValue::from(UPLOAD_CRC32));
    let answer = plain::ask(address, request, Sent { parts, has_ended: false }).await?.into_body();
    Ok((UploadBody(sender), UploadLines { answer, read: BytesMut::new() }))
}

/// What the head says of an upload.
pub(super) struct UploadLines {
    answer: Incoming,
    read: BytesMut,
}

impl UploadLines {
    /// The next line; none if the answer has ended. What it has read stays where this is dropped.
    ///
    /// # Errors
    /// What the head says; `Unavailable` if the connection breaks, or brings nothing any more; `Corrupt` for what is no line of an upload.
    pub(super) async fn next(&mut self) -> Result<Option<UploadLine>, Error> {
        loop {
            while let Some(end) = memchr::memchr(b'\n', &self.read) {
                let line = self.read.split_to(end + 1);
                if line.trim_ascii().is_empty() {
                    continue;
                }
                let line = serde_json::from_slice(&line)
                    .map_err(|error| Error::corrupt(format!("the head answers an upload with what is no line of it: {error}")))?;
                return match line {
                    UploadLine::Error(text) => {
                        Err(text.error().unwrap_or_else(|| Error::internal("the head has refused an upload, and does not say why")))
                    }
                    line => Ok(Some(line)),
                };
            }
            if self.read.len() > LINE_MAX_BYTES {
                return Err(Error::corrupt("the head answers an upload with a line that does not end"));
            }
            match plain::next(&mut self.answer).await? {
                Some(more) => self.read.extend_from_slice(&more),
                None => return Ok(None),
            }
        }
    }
}

/// The body of the request.
struct Sent {
    parts: mpsc::Receiver<Part>,
    has_ended: bool,
}

impl Body for Sent {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(match ready!(self.parts.poll_recv(context)) {
            Some(Part::Data(piece)) => Ok(Frame::data(piece)),
            Some(Part::End(crc)) => {
                self.has_ended = true;
                let crc = crc.map(|crc| HeaderValue::from_str(&format!("{crc:08x}"))).transpose().map_err(std::io::Error::other)?;
                Ok(Frame::trailers(HeaderMap::from_iter(crc.map(|crc| (UPLOAD_CRC32, crc)))))
            }
            None => Err(std::io::Error::other("the upload was given up")),
        }))
    }
}
