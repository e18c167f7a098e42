//! `AuditService`.

use bytes::Bytes;
use tonic::{Request, Response, Status};

use crate::actors::Head;
use crate::audit;
use crate::domain::Error;
use crate::limits::PIECE_BYTES;
use crate::rpc::pb;
use crate::rpc::pb::audit_service_server::AuditService;
use crate::rpc::status::to_status;

use super::identities::registrar_of;
use super::pieces::{self, PieceStream, Transfers};
use super::who::Who;

/// See `proto/millpond/v1/identity.proto`.
pub struct Audits {
    head: Head,
    transfers: Transfers,
}

impl Audits {
    /// The service of a head.
    pub fn new(head: Head, transfers: Transfers) -> Self {
        Self { head, transfers }
    }

    async fn lines(&self, first: u64) -> Result<PieceStream<pb::AuditLines>, Error> {
        let log = registrar_of(&self.head)?.audit().clone();
        let permit = self.transfers.begin().await?;
        Ok(pieces::send(permit, move |send| {
            let end = log.last();
            let mut piece = pb::AuditLines { lines: Bytes::new(), last: end.seq, last_sha256: end.hash.0.to_vec().into() };
            // Also without a line: where it has to end.
            if !send(piece.clone()) {
                return Ok(());
            }
            let (mut text, mut listens) = (Vec::with_capacity(PIECE_BYTES), true);
            audit::read(log.dir(), first.max(1), end, &mut |line| {
                text.extend_from_slice(line);
                text.push(b'\n');
                if text.len() >= PIECE_BYTES {
                    piece.lines = std::mem::take(&mut text).into();
                    listens = send(piece.clone());
                }
                listens
            })?;
            if listens && !text.is_empty() {
                send(pb::AuditLines { lines: text.into(), ..piece });
            }
            Ok(())
        }))
    }
}

#[tonic::async_trait]
impl AuditService for Audits {
    type ReadAuditStream = PieceStream<pb::AuditLines>;

    async fn read_audit(&self, request: Request<pb::ReadAuditRequest>) -> Result<Response<Self::ReadAuditStream>, Status> {
        Who::of(&request, &self.head, "/millpond.v1.AuditService/ReadAudit").await?;
        self.lines(request.get_ref().first).await.map(Response::new).map_err(|error| to_status(&error))
    }
}
