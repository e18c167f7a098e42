//! Floor 4: gRPC services and clients, and the conversions between wire and domain.
//!
//! Invariant: nothing here touches the store or an actor's insides.

pub mod address;
mod batches;
pub mod client;
pub mod collector;
pub mod convert;
pub mod data_client;
pub(crate) mod document;
pub mod door;
pub mod download;
pub mod enroll;
mod file_writer;
pub mod hashed;
pub mod http;
pub mod http_upload;
pub mod link;
mod plain;
pub mod renewal;
mod sending;
pub mod server;
pub mod services;
pub mod status;
pub mod tls;
pub(crate) mod units;
mod upload_call;
pub mod webhook;

#[expect(missing_docs, clippy::all, reason = "generated; the documentation is in proto/otlp/")]
pub mod otlp {
    tonic::include_proto!("opentelemetry.proto.collector.trace.v1");
}

#[expect(missing_docs, clippy::all, reason = "generated; the documentation is in proto/")]
pub mod pb {
    tonic::include_proto!("millpond.v1");
    /// All proto files, for server reflection.
    pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/millpond_descriptor.bin"));
}
