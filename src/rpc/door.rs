//! The head's port: HTTP/2 (gRPC) and HTTP/1.1 on one listener, each connection in a task of its own.
//!
//! Whoever connects may be anybody: what a connection may hold, and how long it may say nothing before its first request, has a limit.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::limits::{CONNECTIONS_MAX, FRAME_MAX_BYTES};

/// Streams of one HTTP/2 connection.
const STREAMS_MAX: u32 = 256;
/// Headers of one request.
const HEADERS_MAX_BYTES: u32 = 16 * 1024;
const HEADERS_MAX: usize = 64;
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a peer may take for its first words, and for the headers of each request of HTTP/1.1; an open connection that asks for nothing
/// is closed after that, too.
const FIRST_WORDS: Duration = Duration::from_secs(10);
/// Streams that a peer has reset and the head has not looked at yet.
const RESETS_PENDING_MAX: usize = 20;
/// Mistakes of a peer, each answered by a reset, before its connection is closed.
const RESETS_FOR_MISTAKES_MAX: usize = 64;
/// Between two tries to accept while the process has no descriptors left.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(50);
/// What an HTTP/2 connection begins with (RFC 9113, section 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Between two looks at a preface that comes in parts.
const PREFACE_LOOK_EVERY: Duration = Duration::from_millis(5);

/// Where a request comes from: in its extensions.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// Serves until `stop` resolves; then no connection is accepted, each may end what it is at, and with the last one this is over. Dropped
/// before, it ends all of them.
pub async fn serve(listener: TcpListener, routes: Router, stop: impl Future<Output = ()>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let stopping = CancellationToken::new();
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((socket, peer)) => match places.clone().try_acquire_owned() {
                    Ok(place) => {
                        let (routes, stopping) = (routes.clone(), stopping.clone());
                        connections.spawn(async move {
                            converse(socket, Peer(peer), routes, stopping).await;
                            drop(place);
                        });
                    }
                    Err(_) => tracing::warn!(%peer, "refused: {CONNECTIONS_MAX} connections are open"),
                },
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
                }
            },
        }
    }
    drop(listener);
    stopping.cancel();
    while connections.join_next().await.is_some() {}
}

/// One connection, to its end. What goes wrong with it is the peer's to notice.
async fn converse(socket: TcpStream, peer: Peer, routes: Router, stopping: CancellationToken) {
    // Small messages are answers that somebody waits for.
    let _ = socket.set_nodelay(true);
    let Ok(Ok(is_http2)) = tokio::time::timeout(FIRST_WORDS, begins_http2(&socket)).await else { return };
    let service = hyper::service::service_fn(move |request| answer(routes.clone(), request, peer));
    let builder = builder();
    let builder = if is_http2 { builder.http2_only() } else { builder.http1_only() };
    let mut connection = pin!(builder.serve_connection(TokioIo::new(socket), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopping.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(peer = %peer.0, error, "a connection has broken off");
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(FIRST_WORDS).max_headers(HEADERS_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADERS_MAX_BYTES)
        .max_frame_size(FRAME_MAX_BYTES)
        .max_pending_accept_reset_streams(RESETS_PENDING_MAX)
        .max_local_error_reset_streams(RESETS_FOR_MISTAKES_MAX)
        .keep_alive_interval(Some(KEEP_ALIVE_EVERY))
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
    builder
}

async fn answer(routes: Router, mut request: Request<Incoming>, peer: Peer) -> Result<Response<Body>, Infallible> {
    request.extensions_mut().insert(peer);
    routes.oneshot(request).await
}

/// What the peer's first bytes say; they stay in the socket.
async fn begins_http2(socket: &TcpStream) -> std::io::Result<bool> {
    let mut first = [0; HTTP2_PREFACE.len()];
    loop {
        let seen = socket.peek(&mut first).await?;
        match first.get(..seen) {
            Some([]) | None => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            Some(seen) if seen == HTTP2_PREFACE => return Ok(true),
            Some(seen) if !HTTP2_PREFACE.starts_with(seen) => return Ok(false),
            Some(_) => tokio::time::sleep(PREFACE_LOOK_EVERY).await,
        }
    }
}
