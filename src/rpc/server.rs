//! The head's port: all services, health and reflection on one listener.

use std::time::Duration;

use tokio::net::TcpListener;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;

use crate::actors::Head;
use crate::domain::Error;
use crate::limits::{FRAME_MAX_BYTES, MESSAGE_MAX_BYTES};

use super::pb;
use super::pb::cluster_service_server::ClusterServiceServer;
use super::pb::dataset_service_server::DatasetServiceServer;
use super::pb::job_service_server::JobServiceServer;
use super::pb::result_service_server::ResultServiceServer;
use super::pb::worker_service_server::WorkerServiceServer;
use super::services::{Clusters, Datasets, Jobs, Results, Workers};

/// Streams of one connection.
const STREAMS_MAX: u32 = 256;
const HEADERS_MAX_BYTES: u32 = 16 * 1024;
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

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

/// Serves a head until `stop` resolves.
pub async fn serve(head: Head, listener: TcpListener, stop: impl Future<Output = ()>) -> Result<(), Error> {
    let failed = |error: tonic_reflection::server::Error| Error::internal(format!("reflection: {error}"));
    // The old name too: Python's client, among others, asks for no other.
    let (reflection, old_reflection) = (reflection().build_v1().map_err(failed)?, reflection().build_v1alpha().map_err(failed)?);
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<JobServiceServer<Jobs>>().await;
    health.set_serving::<DatasetServiceServer<Datasets>>().await;
    health.set_serving::<ClusterServiceServer<Clusters>>().await;
    health.set_serving::<WorkerServiceServer<Workers>>().await;
    health.set_serving::<ResultServiceServer<Results>>().await;
    let transfers = super::services::Transfers::new(head.upload_silence);
    // tonic sets TCP_NODELAY only on listeners of its own.
    let incoming = TcpListenerStream::new(listener).map(|accepted| accepted.inspect(|socket| drop(socket.set_nodelay(true))));
    Server::builder()
        .max_concurrent_streams(STREAMS_MAX)
        .http2_max_header_list_size(HEADERS_MAX_BYTES)
        .max_frame_size(FRAME_MAX_BYTES)
        .http2_keepalive_interval(Some(KEEP_ALIVE_EVERY))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
        .add_service(reflection)
        .add_service(old_reflection)
        .add_service(health_service)
        .add_service(limited!(JobServiceServer::new(Jobs::new(head.clone(), transfers.clone()))))
        .add_service(limited!(DatasetServiceServer::new(Datasets::new(head.clone(), transfers.clone()))))
        .add_service(limited!(ClusterServiceServer::new(Clusters::new(head.clone()))))
        .add_service(limited!(WorkerServiceServer::new(Workers::new(head.clone()))))
        .add_service(limited!(ResultServiceServer::new(Results::new(head, transfers))))
        .serve_with_incoming_shutdown(incoming, stop)
        .await
        .map_err(|error| Error::internal(format!("the server has failed: {error}")))
}
