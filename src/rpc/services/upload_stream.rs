//! `DatasetService.ResumeUpload`: an upload as a stream of messages.

use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::domain::{Digest, Error};
use crate::rpc::pb;
use crate::rpc::pb::resume_upload_request::{self as request, Begin, Request};
use crate::rpc::pb::resume_upload_response::Response;
use crate::rpc::status::to_status;

use super::datasets::message;
use super::pieces::{Patience, PieceStream};
use super::receiving::{Answer, End, Part, Piece, QUEUE_PARTS};
use super::uploads::{Uploads, Wanted};
use super::who::Who;

type Messages = Streaming<pb::ResumeUploadRequest>;

/// Takes an upload; the answers come by the stream.
///
/// # Errors
/// That of the first message, which has to be Begin.
pub(super) async fn take(
    uploads: Uploads,
    patience: Patience,
    who: Who,
    mut messages: Messages,
) -> Result<PieceStream<pb::ResumeUploadResponse>, Status> {
    let wrong = |error: Error| to_status(&error);
    let first = patience.hears(messages.message()).await.map_err(wrong)??;
    let wanted = first.map_or(Err(no_beginning()), |first| begin(&who, first)).map_err(wrong)?;
    let (answers, told) = mpsc::channel(QUEUE_PARTS);
    tokio::spawn(async move {
        let (sender, parts) = mpsc::channel(QUEUE_PARTS);
        // After the end, or a refusal, nobody takes what else comes.
        tokio::select! {
            () = uploads.receive(&who, wanted, parts, &answers) => {}
            () = forward(messages, sender) => {}
        }
    });
    Ok(Box::pin(ReceiverStream::new(told).map(|answer| answer.map(answer_to_pb).map_err(|error| to_status(&error)))))
}

fn no_beginning() -> Error {
    Error::invalid("an upload begins with Begin")
}

fn begin(who: &Who, first: pb::ResumeUploadRequest) -> Result<Wanted, Error> {
    let Some(Request::Begin(Begin { upload_id, header, len })) = first.request else { return Err(no_beginning()) };
    let header = header.ok_or_else(|| Error::invalid("begin.header: missing"))?;
    Wanted::new(who, &upload_id, "begin.upload_id", header, len)
}

/// Hands on what comes, until it breaks off or nobody takes it any more. Then it waits for that.
async fn forward(mut messages: Messages, parts: mpsc::Sender<Result<Part, Error>>) {
    while let Ok(Some(message)) = messages.message().await {
        let Some(request) = message.request else { continue };
        if parts.send(part_of(request)).await.is_err() {
            break;
        }
    }
    drop(parts);
    std::future::pending().await
}

fn part_of(request: Request) -> Result<Part, Error> {
    match request {
        Request::Begin(_) => Err(Error::invalid("a second Begin: an upload has one")),
        Request::Piece(request::Piece { offset, data, crc32 }) => Ok(Part::Piece(Piece { offset: Some(offset), data, crc32: Some(crc32) })),
        Request::End(request::End { len, digest }) => {
            let digest = (!digest.is_empty()).then(|| digest.parse::<Digest>()).transpose();
            Ok(Part::End(End { len: Some(len), digest: digest.map_err(|error| error.context("end.digest"))?, crc32: None }))
        }
    }
}

fn answer_to_pb(answer: Answer) -> pb::ResumeUploadResponse {
    let response = match answer {
        Answer::Durable(len) => Response::Durable(len),
        Answer::Dataset(dataset) => Response::Dataset(message(dataset)),
    };
    pb::ResumeUploadResponse { response: Some(response) }
}
