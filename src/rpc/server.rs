//! What the head answers by gRPC: all services, health and reflection.

use axum::Router;
use http::{HeaderMap, StatusCode, header};
use tonic::service::Routes;

use crate::actors::Head;
use crate::domain::Error;
use crate::limits::MESSAGE_MAX_BYTES;

use super::pb;
use super::pb::audit_service_server::AuditServiceServer;
use super::pb::cluster_service_server::ClusterServiceServer;
use super::pb::dataset_service_server::DatasetServiceServer;
use super::pb::identity_service_server::IdentityServiceServer;
use super::pb::job_service_server::JobServiceServer;
use super::pb::result_service_server::ResultServiceServer;
use super::pb::worker_service_server::WorkerServiceServer;
use super::services::{Audits, Clusters, Datasets, Identities, Jobs, Results, Transfers, Uploads, Workers};

macro_rules! limited {
    ($server:expr) => {
        $server.max_decoding_message_size(MESSAGE_MAX_BYTES).max_encoding_message_size(MESSAGE_MAX_BYTES)
    };
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

/// The services of a head.
pub async fn routes(head: Head, transfers: Transfers, uploads: Uploads) -> Result<Router, Error> {
    let failed = |error: tonic_reflection::server::Error| Error::internal(format!("reflection: {error}"));
    // The old name too: Python's client, among others, asks for no other.
    let (reflection, old_reflection) = (reflection().build_v1().map_err(failed)?, reflection().build_v1alpha().map_err(failed)?);
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<JobServiceServer<Jobs>>().await;
    health.set_serving::<DatasetServiceServer<Datasets>>().await;
    health.set_serving::<ClusterServiceServer<Clusters>>().await;
    health.set_serving::<WorkerServiceServer<Workers>>().await;
    health.set_serving::<ResultServiceServer<Results>>().await;
    health.set_serving::<IdentityServiceServer<Identities>>().await;
    health.set_serving::<AuditServiceServer<Audits>>().await;
    let leases = super::services::Leases::default();
    let routes = Routes::new(reflection)
        .add_service(old_reflection)
        .add_service(health_service)
        .add_service(limited!(JobServiceServer::new(Jobs::new(head.clone(), transfers.clone()))))
        .add_service(limited!(DatasetServiceServer::new(Datasets::new(head.clone(), uploads, leases.clone()))))
        .add_service(limited!(ClusterServiceServer::new(Clusters::new(head.clone()))))
        .add_service(limited!(WorkerServiceServer::new(Workers::new(head.clone(), leases.clone()))))
        .add_service(limited!(IdentityServiceServer::new(Identities::new(head.clone()))))
        .add_service(limited!(AuditServiceServer::new(Audits::new(head.clone(), transfers.clone()))))
        .add_service(limited!(ResultServiceServer::new(Results::new(head, transfers, leases))));
    Ok(routes.prepare().into_axum_router().fallback(nothing_there))
}

/// An unknown method of gRPC, or an unknown page.
async fn nothing_there(headers: HeaderMap) -> http::Response<axum::body::Body> {
    let kind = headers.get(header::CONTENT_TYPE).map(|kind| kind.as_bytes());
    if kind.is_some_and(|kind| kind.starts_with(b"application/grpc")) {
        return tonic::Status::unimplemented("this head has no such method").into_http();
    }
    let mut page = http::Response::new("there is nothing at this address\n".into());
    *page.status_mut() = StatusCode::NOT_FOUND;
    page
}
