//! `PUT /v1/uploads/{id}`: an upload, whose answer goes on beside it. How it looks is in `rpc/http_upload.rs`.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Version, header};
use http_body_util::BodyExt;
use hyper::body::Body as _;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;

use super::api::Id;
use super::routes::Web;
use crate::domain::{Digest, Error};
use crate::limits::{PIECE_MAX_BYTES, UPLOAD_SILENCE_MAX};
use crate::rpc::http::{ErrorText, error_response};
use crate::rpc::http_upload::{FROM_WHERE_YOU_SAY, LINES, StoredText, UPLOAD_CRC32, UPLOAD_OFFSET, UploadAsk, UploadLine};
use crate::rpc::pb::upload_dataset_request::Header;
use crate::rpc::services::{Answer, End, Part, Piece, QUEUE_PARTS, Wanted, Who};

/// Lines on their way.
const QUEUE_LINES: usize = 4;
/// Without anything to say the answer begins, or an empty line comes, after so long: the client knows that the head is at it.
const STILL_HERE_AFTER: Duration = Duration::from_secs(10);
/// So long what still comes after a refusal is read and dropped: a connection that is closed over unread bytes takes the refusal with it.
const LINGER: Duration = Duration::from_secs(2);

/// What its query may hold, as `UploadAsk` reads it.
pub(super) const WORDS: &[&str] = &["name", "unpack", "len", "digest", "end_digest"];

type Answers = mpsc::Receiver<Result<Answer, Error>>;

pub(super) async fn put(State(web): State<Web>, Id(id): Id, request: Request) -> Response {
    answer(&web, &id, request).await.unwrap_or_else(|error| error_response(&error))
}

async fn answer(web: &Web, id: &str, request: Request) -> Result<Response, Error> {
    let (head, body) = request.into_parts();
    let waits = head.headers.get(UPLOAD_OFFSET).is_some_and(|said| said == FROM_WHERE_YOU_SAY);
    let (sender, parts) = mpsc::channel(QUEUE_PARTS);
    let begun = begin(web, id, &head).await.map(|(who, wanted, digest)| (web.uploads.take(who, wanted, parts), digest));
    let digest = begun.as_ref().ok().and_then(|(_, digest)| *digest);
    let mut coming = tokio::spawn(forward(body, head.version, digest, sender));
    // As long as nothing is said it can be the page of an error.
    let first = match begun {
        Err(error) => Err(error),
        Ok((mut answers, _)) => match tokio::time::timeout(STILL_HERE_AFTER, answers.recv()).await {
            Ok(Some(Err(error))) => Err(error),
            first => Ok((first.ok().flatten(), answers)),
        },
    };
    let (first, answers) = match first {
        Ok(first) => first,
        Err(error) => {
            // One who waits has sent nothing, and hears it at once.
            let ended = async move { end(&mut coming).await };
            if waits {
                tokio::spawn(ended);
            } else {
                ended.await;
            }
            return Err(error);
        }
    };
    let (lines, body) = mpsc::channel(QUEUE_LINES);
    tokio::spawn(tell(first, answers, lines, coming));
    let mut response = Response::new(Body::from_stream(ReceiverStream::new(body)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(LINES));
    Ok(response)
}

/// Who asks, for what, and what its digest has to be at its end.
async fn begin(web: &Web, id: &str, head: &Parts) -> Result<(Who, Wanted, Option<Digest>), Error> {
    let who = Who::asks(&head.extensions, &web.head, "PUT /v1/uploads/{id}").await?;
    let UploadAsk { name, unpack, len, digest, end_digest } = UploadAsk::of_query(head.uri.query().unwrap_or_default())?;
    let end_digest = (!end_digest.is_empty()).then(|| end_digest.parse()).transpose();
    let wanted = Wanted::new(&who, id, "the upload's id", Header { name, digest, unpack }, len)?;
    let said = head.headers.get(UPLOAD_OFFSET).map_or(Ok("0"), |said| said.to_str()).unwrap_or_default();
    let wanted = if said == FROM_WHERE_YOU_SAY {
        wanted
    } else {
        let wrong = |_| Error::invalid(format!("{UPLOAD_OFFSET}: {said}: a number of bytes, or *, is needed"));
        wanted.sent_from(said.parse().map_err(wrong)?)
    };
    Ok((who, wanted, end_digest.map_err(|error: Error| error.context("end_digest"))?))
}

/// Hands on what comes. A body that breaks off is not at its end.
async fn forward(mut body: Body, version: Version, digest: Option<Digest>, parts: mpsc::Sender<Result<Part, Error>>) {
    let mut crc32 = None;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return };
        match frame.into_data() {
            Ok(mut data) => {
                while !data.is_empty() {
                    let data = data.split_to(data.len().min(PIECE_MAX_BYTES));
                    if parts.send(Ok(Part::Piece(Piece { offset: None, data, crc32: None }))).await.is_err() {
                        while let Some(Ok(_)) = body.frame().await {}
                        return;
                    }
                }
            }
            Err(frame) => match frame.into_trailers().map(|trailers| crc32_in(&trailers)) {
                Ok(Ok(said)) => crc32 = said,
                Ok(Err(error)) => return drop(parts.send(Err(error)).await),
                Err(_) => {}
            },
        }
    }
    // A stream of HTTP/2 that was reset without an error looks like an end, too.
    if version != Version::HTTP_2 || body.is_end_stream() {
        let _ = parts.send(Ok(Part::End(End { len: None, digest, crc32 }))).await;
    }
}

fn crc32_in(trailers: &HeaderMap) -> Result<Option<u32>, Error> {
    let Some(said) = trailers.get(UPLOAD_CRC32) else { return Ok(None) };
    let number = said.to_str().ok().filter(|said| said.len() == 8).and_then(|said| u32::from_str_radix(said, 16).ok());
    number.map(Some).ok_or_else(|| Error::invalid(format!("{UPLOAD_CRC32}: eight hexadecimal digits are needed")))
}

/// Waits, not for long, until nothing comes any more.
async fn end(coming: &mut JoinHandle<()>) {
    if tokio::time::timeout(LINGER, &mut *coming).await.is_err() {
        coming.abort();
    }
}

/// Tells the client what comes of it. One who does not listen hears only the last of it: nothing waits for him.
async fn tell(
    mut first: Option<Result<Answer, Error>>,
    mut answers: Answers,
    lines: mpsc::Sender<Result<Bytes, Infallible>>,
    mut coming: JoinHandle<()>,
) {
    let mut is_first = true;
    loop {
        let next = match first.take() {
            Some(first) => Ok(Some(first)),
            None => tokio::time::timeout(STILL_HERE_AFTER, answers.recv()).await,
        };
        let passing = match next {
            Ok(None) => break,
            Err(_) => Bytes::from_static(b"\n"),
            Ok(Some(Ok(Answer::Durable(len)))) if !is_first => line(&UploadLine::Durable(len)),
            Ok(Some(answer)) => {
                is_first = false;
                match tokio::time::timeout(UPLOAD_SILENCE_MAX, lines.send(Ok(line(&line_of(answer))))).await {
                    Ok(Ok(())) => continue,
                    Ok(Err(_)) | Err(_) => break,
                }
            }
        };
        if let Err(mpsc::error::TrySendError::Closed(_)) = lines.try_send(Ok(passing)) {
            break;
        }
    }
    end(&mut coming).await;
}

fn line_of(answer: Result<Answer, Error>) -> UploadLine {
    match answer {
        Ok(Answer::Durable(len)) => UploadLine::Durable(len),
        Ok(Answer::Dataset((digest, record))) => {
            UploadLine::Dataset(StoredText { digest: digest.to_string(), name: record.name, len: record.len })
        }
        Err(error) => UploadLine::Error(ErrorText::of(&error)),
    }
}

fn line(line: &UploadLine) -> Bytes {
    let mut text = serde_json::to_vec(line).unwrap_or_default();
    text.push(b'\n');
    text.into()
}
