//! The client's end of the gRPC services: connecting, uploads that skip what the head has, downloads that go on where they broke.
//!
//! Verbs and data have connections of their own, so that a gigabyte of results can't delay a kill.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::AsyncRead;
use tonic::Status;
use tonic::transport::Channel;

use super::address::HeadAddress;
use super::download::{BundleDownload, BundlePiece};
use super::file_writer::FileWriter;
use super::hashed::{Form, Found, Hashed};
use super::http_upload::UploadAsk;
use super::pb;
use super::pb::audit_service_client::AuditServiceClient;
use super::pb::cluster_service_client::ClusterServiceClient;
use super::pb::dataset_service_client::DatasetServiceClient;
use super::pb::identity_service_client::IdentityServiceClient;
use super::pb::job_service_client::JobServiceClient;
use super::sending::{self, Sending, Source};
use super::status::{from_status, own_kind};
use crate::domain::{Error, ErrorKind};
use crate::limits::MESSAGE_MAX_BYTES;

/// How often in a row a call or download that brings nothing new is tried again.
pub(super) const TRIES_MAX: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// A connection to a head. Cheap to clone; it reconnects by itself.
#[derive(Clone, Debug)]
pub struct Client {
    address: HeadAddress,
    control: Channel,
    data: Channel,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// `Unavailable` when nobody answers there within 5 s; `Denied` where the head, or its authority, is another than the credentials are of.
    pub async fn connect(address: &HeadAddress) -> Result<Self, Error> {
        let control = address.channel().await.map_err(|error| unreachable(address.url(), &error))?;
        Ok(Self { address: address.clone(), control, data: address.lazy_channel() })
    }

    /// Where the head is.
    pub fn url(&self) -> &str {
        self.address.url()
    }

    /// The same, to open connections to.
    pub(super) fn address(&self) -> &HeadAddress {
        &self.address
    }

    /// Jobs and verbs.
    pub fn jobs(&self) -> JobServiceClient<Channel> {
        jobs_on(self.control.clone())
    }

    /// Data sets. On the connection for data.
    pub fn datasets(&self) -> DatasetServiceClient<Channel> {
        DatasetServiceClient::new(self.data.clone())
            .max_decoding_message_size(MESSAGE_MAX_BYTES)
            .max_encoding_message_size(MESSAGE_MAX_BYTES)
    }

    /// Workers.
    pub fn cluster(&self) -> ClusterServiceClient<Channel> {
        ClusterServiceClient::new(self.control.clone())
            .max_decoding_message_size(MESSAGE_MAX_BYTES)
            .max_encoding_message_size(MESSAGE_MAX_BYTES)
    }

    /// Tokens and principals.
    pub fn identities(&self) -> IdentityServiceClient<Channel> {
        IdentityServiceClient::new(self.control.clone())
            .max_decoding_message_size(MESSAGE_MAX_BYTES)
            .max_encoding_message_size(MESSAGE_MAX_BYTES)
    }

    /// The audit. On the connection for data.
    pub fn audit(&self) -> AuditServiceClient<Channel> {
        AuditServiceClient::new(self.data.clone()).max_decoding_message_size(MESSAGE_MAX_BYTES).max_encoding_message_size(MESSAGE_MAX_BYTES)
    }

    /// Logs and bundles: jobs on the connection for data.
    pub fn job_data(&self) -> JobServiceClient<Channel> {
        jobs_on(self.data.clone())
    }

    /// The error of a call's status; one that the head did not send says that the head can't be reached.
    pub fn error(&self, status: &Status) -> Error {
        let error = from_status(status);
        if own_kind(status).is_some() {
            return error;
        }
        // A status made on this side has a source: the connection failed, whatever its code.
        match std::error::Error::source(status) {
            Some(source) if matches!(error.kind, ErrorKind::Unavailable | ErrorKind::Internal) => unreachable(self.url(), source),
            _ => error,
        }
    }

    /// Makes a call that may be repeated (it reads, or carries a request id) until the head answers, a few times.
    pub async fn repeat<T>(&self, call: impl AsyncFn() -> Result<tonic::Response<T>, Status>) -> Result<T, Error> {
        let mut tries = 1;
        loop {
            let error = match call().await {
                Ok(reply) => return Ok(reply.into_inner()),
                Err(status) => self.error(&status),
            };
            if error.kind != ErrorKind::Unavailable || tries == TRIES_MAX {
                return Err(error);
            }
            pause_after(tries).await;
            tries += 1;
        }
    }

    /// Stores a file or a folder, unless the head has it; `progress` hears how many bytes are sent, of how many. `form`: whether it is stored
    /// plain. The name that is answered is the one that it then has, though the head may know it under another. An upload that broke off,
    /// also of another process, is gone on with.
    ///
    /// Errors: `NotFound` for a missing file; `Invalid` for what can't be taken, or is damaged, or changes meanwhile; `Exhausted` without room.
    pub async fn upload_file(&self, path: &Path, name: &str, form: Form, mut progress: impl FnMut(u64, u64)) -> Result<pb::Dataset, Error> {
        let found = Found::at(path.to_owned(), form).await?;
        let len = found.len;
        // Before it is read: a bomb, or a file that fits no disk, is not.
        let upload_id = sending::upload_id(path, len, form == Form::AsIs);
        let mut is_new = false;
        if let Some(len) = found.stored_len {
            let request = pb::CheckUploadRequest { len, upload_id: upload_id.to_string() };
            let check = self.repeat(async || self.datasets().check_upload(request.clone()).await).await;
            is_new = check.map_err(|error| error.context(path.display()))?.is_new;
        }
        if let Some((stamp, file)) = found.as_file().filter(|_| is_new) {
            // It is read once: the head says the digest.
            let ask = UploadAsk { name: name.to_owned(), unpack: form == Form::Plain, len: Some(len), ..UploadAsk::default() };
            let source = Source::File(path.to_owned(), Some(stamp));
            let sending = Sending::new(self, upload_id, ask, source).hashing_if_need_be(file);
            match sending.run(|sent| progress(sent, len)).await {
                // Something else has begun by this id; or what came of an earlier upload is not of this file, and is given up by now.
                Err(error) if error.kind == ErrorKind::Conflict => {}
                sent => {
                    return sent.map(|data| pb::Dataset { name: name.to_owned(), ..data }).map_err(|error| error.context(path.display()));
                }
            }
        }
        let Hashed { digest, name: stored_name, folder } = found.hash(name).await?;
        let digest = digest.to_string();
        let request = pb::GetDatasetRequest { digest: digest.clone() };
        match self.repeat(async || self.datasets().get_dataset(request.clone()).await).await {
            Err(error) if error.kind == ErrorKind::NotFound => {}
            Ok(known) => return Ok(pb::Dataset { name: stored_name, ..known }),
            failed => return failed,
        }
        let other_id = sending::other_upload_id(upload_id, &digest);
        let name = if folder.is_some() { stored_name.clone() } else { name.to_owned() };
        let ask = UploadAsk { name, digest, unpack: form == Form::Plain, len: Some(len), ..UploadAsk::default() };
        let source = folder.map_or_else(|| Source::File(path.to_owned(), None), |folder| Source::Folder(Arc::new(Mutex::new(folder))));
        let stored = Sending::new(self, upload_id, ask, source).or_by_id(other_id).run(|sent| progress(sent, len)).await;
        stored.map(|data| pb::Dataset { name: stored_name, ..data }).map_err(|error| error.context(path.display()))
    }

    /// Stores what a reader gives, plain; its length and digest are not known before.
    pub async fn upload_reader(
        &self,
        reader: impl AsyncRead + Send + Unpin + 'static,
        name: &str,
        progress: impl FnMut(u64),
    ) -> Result<pb::Dataset, Error> {
        let ask = UploadAsk { name: name.to_owned(), unpack: true, ..UploadAsk::default() };
        Sending::new(self, uuid::Uuid::new_v4(), ask, Source::Reader(Some(Box::new(reader)))).run(progress).await
    }

    /// Fetches a job's bundle to `file`: first to `FILE.part`, renamed when complete. Returns its length in bytes.
    ///
    /// A broken connection goes on at the offset; a bundle that has changed meanwhile starts again.
    pub async fn download_bundle(&self, job: &str, file: &Path, progress: impl FnMut(u64, u64)) -> Result<u64, Error> {
        let part = PathBuf::from([file.as_os_str(), ".part".as_ref()].into_iter().collect::<std::ffi::OsString>());
        let result = self.download_to(job, &part, progress).await;
        let renamed = match result {
            Ok(len) => tokio::fs::rename(&part, file).await.map(|()| len).map_err(|error| Error::io(file, &error)),
            Err(error) => Err(error),
        };
        if renamed.is_err() {
            // Nothing that could go on with it: the etag is lost with this process.
            tokio::fs::remove_file(&part).await.ok();
        }
        renamed
    }

    async fn download_to(&self, job: &str, part: &Path, mut progress: impl FnMut(u64, u64)) -> Result<u64, Error> {
        let mut out: Option<FileWriter> = None;
        let (mut done, mut total) = (0, 0);
        let mut bundle = self.bundle(job);
        while let Some(piece) = bundle.next().await? {
            match piece {
                BundlePiece::Start { total_len } => {
                    (done, total) = (0, total_len);
                    if let Some(begun) = out.take() {
                        begun.finish().await?;
                    }
                    // Made anew only now, so that an unknown job leaves nothing behind, not even for a moment.
                    out = Some(FileWriter::create(part)?);
                }
                BundlePiece::Data(data) => {
                    done += data.len() as u64;
                    let file = out.as_mut().ok_or_else(|| Error::internal("a bundle has data before its start"))?;
                    if !file.write(data).await {
                        break;
                    }
                }
            }
            progress(done, total);
        }
        if let Some(file) = out {
            file.finish().await?;
        }
        Ok(done)
    }

    /// A job's bundle, piece by piece.
    pub fn bundle(&self, job: &str) -> BundleDownload<'_> {
        BundleDownload::new(self, job)
    }
}

fn jobs_on(channel: Channel) -> JobServiceClient<Channel> {
    JobServiceClient::new(channel).max_decoding_message_size(MESSAGE_MAX_BYTES).max_encoding_message_size(MESSAGE_MAX_BYTES)
}

/// Waits, longer with each try.
pub(super) async fn pause_after(tries: u32) {
    tokio::time::sleep(FIRST_PAUSE * 2u32.saturating_pow(tries.min(6))).await;
}

/// The error of a connection that could not be made, in a person's words.
pub(super) fn unreachable(url: &str, error: &(dyn std::error::Error + 'static)) -> Error {
    let (mut io, mut tls) = (None, None);
    let (mut next, mut last) = (Some(error), error);
    while let Some(error) = next {
        io = error.downcast_ref::<std::io::Error>().or(io);
        // An I/O error does not name what it wraps as its source.
        tls = io.and_then(std::io::Error::get_ref).and_then(|inner| inner.downcast_ref::<rustls::Error>()).or(tls);
        (next, last) = (error.source(), error);
    }
    if let Some(error) = tls {
        return tls_error(url, error);
    }
    match io.map(std::io::Error::kind) {
        Some(kind @ (std::io::ErrorKind::ConnectionRefused | std::io::ErrorKind::TimedOut)) => {
            Error::unavailable(format!("can't reach the head at {url}: {kind}; is it running? (millpond-head, or `millpond up`)"))
        }
        _ => Error::unavailable(format!("can't reach the head at {url}: {last}; is the address right?")),
    }
}

/// The error of a TLS handshake, in a person's words.
fn tls_error(url: &str, error: &rustls::Error) -> Error {
    match error {
        rustls::Error::InvalidCertificate(_) => Error::denied(format!(
            "{url} is not the head that the credentials are for ({error}): is the address right? if it is, somebody stands between"
        )),
        rustls::Error::AlertReceived(alert) => Error::denied(format!(
            "the head at {url} does not take the credentials ({alert:?}): they may have expired; `millpond login TOKEN` gets others"
        )),
        rustls::Error::InvalidMessage(_) => {
            Error::unavailable(format!("{url} does not speak TLS: a head without an identity is reached by http://"))
        }
        _ => Error::unavailable(format!("no encrypted connection to {url}: {error}")),
    }
}
