//! The client's end of plain HTTP: bulk data at half the cost of gRPC. Each request has a connection of its own.

use std::time::Duration;

use bytes::Bytes;
use http::request::Builder;
use http::{HeaderName, Request, Response, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::{Body, Incoming};
use hyper_util::rt::TokioIo;

use super::address::HeadAddress;
use super::client::unreachable;
use super::http::error_of;
use super::tls::Speaks;
use crate::domain::Error;

/// While an answer brings nothing for so long the connection is taken for dead.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// What is read of a page that says an error.
const ERROR_PAGE_MAX_BYTES: usize = 64 * 1024;

/// Asks a head for what is at `path`. The answer is there; its body comes when it is read.
///
/// # Errors
/// What the head says; `Unavailable` if it can't be reached.
pub(super) async fn get(address: &HeadAddress, path: &str, headers: &[(HeaderName, String)]) -> Result<Response<Incoming>, Error> {
    let request = headers.iter().fold(Request::get(path), |request, (name, value)| request.header(name, value));
    ask(address, request, Empty::<Bytes>::new()).await
}

/// The same for any request. The answer can begin before the body that is sent has ended; without it the connection breaks.
pub(super) async fn ask<B>(address: &HeadAddress, request: Builder, body: B) -> Result<Response<Incoming>, Error>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let broken = |error: &dyn std::fmt::Display| Error::unavailable(format!("no connection to the head at {}: {error}", address.url()));
    let socket = address.open(Speaks::Http1).await.map_err(|error| unreachable(address.url(), &error))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await.map_err(|error| broken(&error))?;
    // It ends with the answer's body.
    tokio::spawn(connection);
    let request = request
        .header(header::HOST, address.authority())
        .body(body)
        .map_err(|error| Error::internal(format!("a request can't be made: {error}")))?;
    let answer = tokio::time::timeout(SILENCE_MAX, sender.send_request(request)).await;
    let answer = answer.map_err(|_| broken(&"it does not answer"))?.map_err(|error| broken(&error))?;
    if answer.status().is_success() {
        return Ok(answer);
    }
    let status = answer.status();
    let page = tokio::time::timeout(SILENCE_MAX, Limited::new(answer.into_body(), ERROR_PAGE_MAX_BYTES).collect()).await;
    // Without its page an error has at least a status.
    let page = page.ok().and_then(Result::ok).map(http_body_util::Collected::to_bytes);
    Err(error_of(status, &page.unwrap_or_default()))
}

/// The next bytes of an answer; none at its end.
///
/// # Errors
/// `Unavailable` if the connection breaks, or brings nothing any more.
pub(super) async fn next(body: &mut Incoming) -> Result<Option<Bytes>, Error> {
    loop {
        let frame = tokio::time::timeout(SILENCE_MAX, body.frame()).await;
        let frame = frame.map_err(|_| Error::unavailable("the head sends nothing any more"))?.transpose();
        match frame.map_err(|error| Error::unavailable(format!("the connection to the head has broken off: {error}")))? {
            None => return Ok(None),
            Some(frame) => match frame.into_data() {
                Ok(data) if !data.is_empty() => return Ok(Some(data)),
                _ => {}
            },
        }
    }
}
