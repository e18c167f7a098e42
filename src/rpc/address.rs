//! Where a head is, and how it is reached: in plaintext (`http://`), or with credentials over TLS (`https://`).

use std::pin::Pin;
use std::str::FromStr;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};

use super::tls::{Keys, Speaks, head_name};
use crate::domain::{Digest, Error, ErrorKind};
use crate::limits::FRAME_MAX_BYTES;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct HeadAddress {
    url: String,
    endpoint: Endpoint,
    keys: Option<Keys>,
}

impl std::fmt::Debug for HeadAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.url)
    }
}

impl FromStr for HeadAddress {
    type Err = Error;

    /// Of a head without identities.
    fn from_str(url: &str) -> Result<Self, Error> {
        Self::new(url, None)
    }
}

impl HeadAddress {
    /// `http://HOST:PORT`; with keys `https://HOST:PORT`.
    ///
    /// # Errors
    /// `Invalid` for another kind of URL; `Denied` for `https` without keys, and for keys without `https`.
    pub fn new(url: &str, keys: Option<Keys>) -> Result<Self, Error> {
        let url = url.trim_end_matches('/');
        let bad = || Error::invalid(format!("`{url}` is not the address of a head: write it as http://HOST:PORT, or https://HOST:PORT"));
        let (scheme, authority) = url.split_once("://").ok_or_else(bad)?;
        match (scheme, &keys) {
            ("http", None) | ("https", Some(_)) => {}
            ("http", Some(_)) => {
                return Err(Error::denied(format!(
                    "{url} would be asked in plaintext, and credentials are given for it: write https://{authority}"
                )));
            }
            ("https", None) => {
                return Err(Error::denied(format!(
                    "{url} wants credentials, and there are none: `millpond login TOKEN`, or --credentials FILE"
                )));
            }
            _ => return Err(bad()),
        }
        // The library is to leave TLS to us.
        let endpoint = Endpoint::from_shared(format!("http://{authority}")).map_err(|_| bad())?;
        if endpoint.uri().host().is_none() || endpoint.uri().path() != "/" {
            return Err(bad());
        }
        let endpoint = endpoint
            .max_frame_size(FRAME_MAX_BYTES)
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEP_ALIVE_EVERY)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true);
        Ok(Self { url: url.to_owned(), endpoint, keys })
    }

    /// A head that is not known yet, but for the fingerprint of its authority: to join it.
    ///
    /// # Errors
    /// `Invalid` for what is no address, `Denied` for a plaintext one.
    pub fn pinned(url: &str, authority: Digest) -> Result<Self, Error> {
        Self::new(url, Some(Keys::pinned(authority)?))
    }

    /// `Invalid` for what can't be a head's address.
    pub fn check(url: &str) -> Result<(), Error> {
        match Self::new(url, None) {
            // It is one, and lacks credentials.
            Err(error) if error.kind == ErrorKind::Denied => Ok(()),
            checked => checked.map(drop),
        }
    }

    /// As it was written, without a `/` at its end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Host and port.
    pub(super) fn authority(&self) -> &str {
        self.endpoint.uri().authority().map_or("", |authority| authority.as_str())
    }

    /// A connection for gRPC.
    ///
    /// # Errors
    /// Those of connecting, after five seconds at most.
    pub(super) async fn channel(&self) -> Result<Channel, tonic::transport::Error> {
        let address = self.clone();
        self.endpoint
            .connect_with_connector(tower::service_fn(move |_| {
                let address = address.clone();
                async move { address.open(Speaks::Http2).await.map(TokioIo::new) }
            }))
            .await
    }

    /// The same, made when it is first used, and made again when it is lost.
    pub(super) fn lazy_channel(&self) -> Channel {
        let address = self.clone();
        self.endpoint.connect_with_connector_lazy(tower::service_fn(move |_| {
            let address = address.clone();
            async move { address.open(Speaks::Http2).await.map(TokioIo::new) }
        }))
    }

    /// A connection of its own.
    pub(super) async fn open(&self, speaks: Speaks) -> std::io::Result<HeadStream> {
        let uri = self.endpoint.uri();
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let port = uri.port_u16().unwrap_or(if self.keys.is_some() { 443 } else { 80 });
        let socket = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect((host, port))).await??;
        socket.set_nodelay(true)?;
        let Some(keys) = &self.keys else { return Ok(HeadStream::Plain(socket)) };
        let name = head_name().map_err(std::io::Error::other)?;
        let stream = TlsConnector::from(keys.config(speaks)).connect(name, socket);
        let stream = tokio::time::timeout(CONNECT_TIMEOUT, stream).await??;
        Ok(HeadStream::Tls(Box::new(stream)))
    }
}

/// A connection to a head.
pub(super) enum HeadStream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for HeadStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for HeadStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[std::io::IoSlice<'_>]) -> Poll<std::io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}
