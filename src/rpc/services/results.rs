//! `ResultService`: results too large for a Finished message.

use tokio_stream::StreamExt;
use tonic::{Request, Response, Status, Streaming};

use crate::actors::Head;
use crate::domain::Error;
use crate::failpoint;
use crate::rpc::convert::{output_piece_from_pb, receipt_to_pb, upload_header_from_pb};
use crate::rpc::pb;
use crate::rpc::pb::result_service_server::ResultService;
use crate::rpc::status::to_status;

use super::leases::Leases;
use super::pieces::{self, Transfers};
use super::who::{About, Who};

/// See `proto/millpond/v1/worker.proto`.
pub struct Results {
    head: Head,
    transfers: Transfers,
    leases: Leases,
}

impl Results {
    /// The service of a head.
    pub fn new(head: Head, transfers: Transfers, leases: Leases) -> Self {
        Self { head, transfers, leases }
    }

    async fn upload(&self, who: &Who, mut requests: Streaming<pb::UploadResultRequest>) -> Result<pb::ResultReceipt, Status> {
        let wrong = |error: Error| to_status(&error);
        let first = requests.message().await?.ok_or_else(|| wrong(Error::invalid("a result begins with a message that has the header")))?;
        let header = first.header.ok_or_else(|| wrong(Error::invalid("header: missing in the first message")))?;
        let (lease, meta) = upload_header_from_pb(header).map_err(wrong)?;
        if let Some(worker) = who.principal()
            && let Err(error) = self.leases.may_send(worker.id, &lease)
        {
            who.turns_away(&self.head, About::just(lease.job.to_string()), &error).await;
            return Err(wrong(error));
        }
        let permit = self.transfers.begin().await.map_err(wrong)?;
        let (mut reservation, segment) = self.head.reserve(lease.job, &meta).await.map_err(wrong)?;
        let rest = requests.map(|request| request.map(|request| request.data));
        let (disk, head) = (self.head.disk.clone(), self.head.clone());
        let result = pieces::receive(permit, self.transfers.patience, first.data, rest, move |inflow| {
            // A full disk is `Exhausted`: the worker keeps the result, and offers it again.
            disk.noting(inflow.by_ref().try_for_each(|piece| reservation.write(&piece)))?;
            if !inflow.is_whole() {
                return Err(pieces::broke_off());
            }
            let result = disk.noting(reservation.finish())?;
            // The receipt says that the bytes are durable.
            failpoint::hit("result.before_sync");
            head.sync(&segment)?;
            failpoint::hit("result.before_receipt");
            Ok(result)
        });
        result.await.map(receipt_to_pb)
    }
}

#[tonic::async_trait]
impl ResultService for Results {
    async fn upload_result(&self, request: Request<Streaming<pb::UploadResultRequest>>) -> Result<Response<pb::ResultReceipt>, Status> {
        let who = Who::of(&request, &self.head, "/millpond.v1.ResultService/UploadResult").await?;
        self.upload(&who, request.into_inner()).await.map(Response::new)
    }

    async fn send_output(&self, request: Request<pb::SendOutputRequest>) -> Result<Response<pb::SendOutputResponse>, Status> {
        let who = Who::of(&request, &self.head, "/millpond.v1.ResultService/SendOutput").await?;
        let piece = output_piece_from_pb(request.into_inner()).map_err(|error| to_status(&error))?;
        if let Some(worker) = who.principal()
            && let Err(error) = self.leases.may_send(worker.id, &piece.lease)
        {
            who.turns_away(&self.head, About::just(piece.lease.job.to_string()), &error).await;
            return Err(to_status(&error));
        }
        Ok(Response::new(pb::SendOutputResponse { go_on: self.head.audience.takes(piece).await }))
    }
}
