//! A worker's bulk data over gRPC, on a connection of its own.

use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

use crate::actors::data_port::{BoxFuture, DataPort, ResultHeader, TransferError};
use crate::domain::wire::OutputPiece;
use crate::domain::{Digest, Error, ResultRef};
use crate::limits::{MESSAGE_MAX_BYTES, PIECE_BYTES};

use super::address::HeadAddress;
use super::convert::{output_piece_to_pb, receipt_from_pb, upload_header_to_pb};
use super::pb;
use super::pb::dataset_service_client::DatasetServiceClient;
use super::pb::result_service_client::ResultServiceClient;
use super::status::from_call;

/// Pieces of an upload that wait for the connection.
const QUEUE_PIECES: usize = 4;

/// See the module.
#[derive(Clone)]
pub struct DataClient {
    channel: Channel,
    /// What tasks print: whoever takes that slowly holds up nothing else.
    outputs: Channel,
}

impl DataClient {
    /// Connects to a head when it is first used, and again whenever that is lost.
    pub fn new(address: &HeadAddress) -> Self {
        Self { channel: address.lazy_channel(), outputs: address.lazy_channel() }
    }

    async fn pieces(self, digest: Digest, ranges: Vec<(u64, u64)>) -> Result<Streaming<pb::ReadDatasetResponse>, TransferError> {
        let ranges = ranges.into_iter().map(|(offset, len)| pb::ByteRange { offset, len }).collect();
        let request = pb::ReadDatasetRequest { digest: digest.to_string(), ranges };
        let mut client = DatasetServiceClient::new(self.channel).max_decoding_message_size(MESSAGE_MAX_BYTES);
        Ok(client.read_dataset(request).await.map_err(|status| from_call(&status))?.into_inner())
    }

    async fn read_range(self, digest: Digest, range: (u64, u64)) -> Result<Bytes, TransferError> {
        let expected = range.1;
        let mut pieces = self.pieces(digest, vec![range]).await?;
        let mut all = BytesMut::with_capacity(expected as usize);
        while let Some(piece) = pieces.message().await.map_err(|status| from_call(&status))? {
            if (all.len() + piece.data.len()) as u64 > expected {
                return Err(other_length((all.len() + piece.data.len()) as u64, expected));
            }
            all.extend_from_slice(&piece.data);
        }
        if all.len() as u64 == expected { Ok(all.freeze()) } else { Err(other_length(all.len() as u64, expected)) }
    }

    async fn fetch_to(self, digest: Digest, ranges: Vec<(u64, u64)>, to: PathBuf) -> Result<u64, TransferError> {
        let expected = (!ranges.is_empty()).then(|| ranges.iter().map(|(_, len)| len).sum::<u64>());
        let mut pieces = self.pieces(digest, ranges).await?;
        let failed = |error: std::io::Error| TransferError::Here(Error::io(&to, &error));
        let mut file = File::create(&to).await.map_err(failed)?;
        let mut len = 0;
        while let Some(piece) = pieces.message().await.map_err(|status| from_call(&status))? {
            len += piece.data.len() as u64;
            file.write_all(&piece.data).await.map_err(failed)?;
        }
        file.flush().await.map_err(failed)?;
        match expected.filter(|expected| *expected != len) {
            Some(expected) => Err(other_length(len, expected)),
            None => Ok(len),
        }
    }

    async fn upload_from(self, header: ResultHeader, from: PathBuf) -> Result<ResultRef, TransferError> {
        let ResultHeader { lease, worker, outcome, timing, packed } = header;
        let header = upload_header_to_pb(lease, worker, &outcome, timing, packed);
        let (pieces, queue) = mpsc::channel(QUEUE_PIECES);
        // Only an explicit `None` ends the upload: a read error must not look like the end of the data.
        let stream = ReceiverStream::new(queue).chain(tokio_stream::pending()).map_while(|piece| piece);
        let mut client = ResultServiceClient::new(self.channel).max_encoding_message_size(MESSAGE_MAX_BYTES);
        let mut call = std::pin::pin!(client.upload_result(stream));
        let reply = tokio::select! {
            biased;
            reply = &mut call => reply,
            fed = feed(header, &from, &pieces) => {
                fed?;
                call.await
            }
        };
        Ok(receipt_from_pb(reply.map_err(|status| from_call(&status))?.into_inner())?)
    }
}

async fn send_output(channel: Channel, piece: OutputPiece) -> Result<bool, TransferError> {
    let mut client = ResultServiceClient::new(channel);
    let reply = client.send_output(output_piece_to_pb(piece)).await;
    Ok(reply.map_err(|status| from_call(&status))?.into_inner().go_on)
}

fn other_length(len: u64, expected: u64) -> TransferError {
    Error::unavailable(format!("a chunk arrived with {len} bytes, {expected} were asked for")).into()
}

async fn feed(
    header: pb::upload_result_request::Header,
    from: &Path,
    pieces: &mpsc::Sender<Option<pb::UploadResultRequest>>,
) -> Result<(), TransferError> {
    let failed = |error: std::io::Error| TransferError::Here(Error::io(from, &error));
    let mut file = File::open(from).await.map_err(failed)?;
    let mut header = Some(header);
    loop {
        let mut data = BytesMut::with_capacity(PIECE_BYTES);
        let read = file.read_buf(&mut data).await.map_err(failed)?;
        if read == 0 && header.is_none() {
            break;
        }
        let request = pb::UploadResultRequest { header: header.take(), data: data.freeze() };
        if pieces.send(Some(request)).await.is_err() {
            return Ok(());
        }
    }
    let _ = pieces.send(None).await;
    Ok(())
}

impl DataPort for DataClient {
    fn read(&self, digest: Digest, range: (u64, u64)) -> BoxFuture<Result<Bytes, TransferError>> {
        Box::pin(self.clone().read_range(digest, range))
    }

    fn fetch(&self, digest: Digest, ranges: Vec<(u64, u64)>, to: PathBuf) -> BoxFuture<Result<u64, TransferError>> {
        Box::pin(self.clone().fetch_to(digest, ranges, to))
    }

    fn upload(&self, header: ResultHeader, from: PathBuf) -> BoxFuture<Result<ResultRef, TransferError>> {
        Box::pin(self.clone().upload_from(header, from))
    }

    fn give_output(&self, piece: OutputPiece) -> BoxFuture<Result<bool, TransferError>> {
        Box::pin(send_output(self.outputs.clone(), piece))
    }
}
