//! The head's port: HTTP/2 (gRPC) and HTTP/1.1 on one listener, each connection in a task of its own; over TLS if the head has an identity.
//!
//! Whoever connects may be anybody: what a connection may hold, and how long it may say nothing before its first request, has a limit. What a
//! certificate says of a caller is put into each of his requests, and the table of who may what is asked before any method is entered.

mod browser;
mod shown;

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{Request, Response, Version, header};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use rustix::process::{Resource, getrlimit};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::http::error_response;
use super::services::{CameFrom, note_refusal};
use super::status::to_status;
use super::tls;
use crate::actors::Head;
use crate::actors::clock::{Clock, wall_now};
use crate::actors::registrar::Registrar;
use crate::domain::{Caller, Error, Instant};
use crate::engine::meters::Ended;
use crate::engine::turnstile::{Turn, Turnstile};
use crate::engine::{Meters, access};
use crate::limits::{ARRIVALS_AT_ONCE, ARRIVALS_EVERY, CONNECTIONS_MAX, FRAME_MAX_BYTES, STRANGER_STAYS_MAX};
use crate::pki::{Peer, Session};

use browser::check_site;
pub use browser::{SESSION_COOKIE, session_in};
use shown::Shown;

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
/// Who was logged out, or revoked, may still hear of it.
const LAST_WORDS: Duration = Duration::from_millis(250);
/// Between two tries to accept while the process has no descriptors left.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(50);
/// What an HTTP/2 connection begins with (RFC 9113, section 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Between two looks at a preface that comes in parts.
const PREFACE_LOOK_EVERY: Duration = Duration::from_millis(5);

/// What a door opens to.
#[derive(Clone)]
pub struct Door {
    head: Head,
    routes: Router,
    /// None: everybody, in plaintext.
    tls: Option<Arc<ServerConfig>>,
    /// What it may be called.
    names: Arc<[String]>,
}

impl Door {
    /// That of a head, which may be called by these names.
    ///
    /// # Errors
    /// `Corrupt` for an identity that can't be used.
    pub fn new(head: Head, routes: Router, names: Vec<String>) -> Result<Self, Error> {
        let tls = head.registrar.as_ref().map(|registrar| tls::head_config(registrar.identity().head()?)).transpose()?;
        Ok(Self { head, routes, tls, names: names.into() })
    }

    /// How its addresses begin.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// Serves until `stop` resolves; then no connection is accepted, each may end what it is at, and with the last one this is over. Dropped
    /// before, it ends all of them.
    pub async fn serve(self, listener: TcpListener, stop: impl Future<Output = ()>) {
        // A connection is a file, and the other half of those is for what is stored.
        let files = usize::try_from(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
        let count = CONNECTIONS_MAX.min(files / 2);
        let places = Arc::new(Semaphore::new(count));
        let (turnstile, meters) = (Mutex::new(Turnstile::before(count)), self.head.meters.clone());
        let entrance = Arc::new(Entrance { clock: Clock::start(), count, turnstile, meters });
        let mut told = None;
        let stopping = CancellationToken::new();
        let mut connections = JoinSet::new();
        let mut stop = pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                Some(_) = connections.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((socket, peer)) => match entrance.pass(&places, peer.ip()) {
                        Ok((inside, wait)) => {
                            let (door, stopping) = (self.clone(), stopping.clone());
                            connections.spawn(async move {
                                // A timer takes a millisecond, also for nothing.
                                if !wait.is_zero() {
                                    tokio::time::sleep(wait).await;
                                }
                                door.open(socket, peer, stopping).await;
                                drop(inside);
                            });
                        }
                        // Of a flood one line a second is enough.
                        Err(why) => {
                            self.head.meters.connections_refused.add(1);
                            let now = entrance.clock.now().mono;
                            if told.is_none_or(|told: Instant| now.since(told) >= Duration::from_secs(1)) {
                                tracing::warn!(%peer, "a connection was refused: {why}");
                                told = Some(now);
                            }
                        }
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

    /// Somebody without a certificate: unless he logs in, he is asked to go after a while, and has some time to end what he is at.
    async fn host(self, stream: TlsStream<TcpStream>, peer: SocketAddr, is_http2: bool, stopping: CancellationToken) {
        let (over, shown) = (stopping.child_token(), Arc::new(Shown::default()));
        let registrar = self.head.registrar.clone();
        let revocations = registrar.as_ref().map(Registrar::revocations);
        let visitor = Visitor { door: self, peer, caller: Ok(Caller::Anyone), shown: shown.clone() };
        let stay = async {
            tokio::select! {
                () = tokio::time::sleep(STRANGER_STAYS_MAX) => {
                    over.cancel();
                    tokio::time::sleep(FIRST_WORDS).await;
                }
                () = shown.anybody() => {
                    if let Some((registrar, revocations)) = registrar.zip(revocations) {
                        shown.until_over(&registrar, revocations).await;
                        tokio::time::sleep(LAST_WORDS).await;
                    }
                }
            }
        };
        tokio::select! {
            () = visitor.converse(stream, is_http2, over.clone()) => {}
            () = stay => {}
        }
    }

    /// One connection, to its end. What goes wrong with it is the peer's to notice.
    async fn open(self, socket: TcpStream, peer: SocketAddr, stopping: CancellationToken) {
        // Small messages are answers that somebody waits for.
        let _ = socket.set_nodelay(true);
        let Some(config) = self.tls.clone() else {
            if let Ok(Ok(is_http2)) = tokio::time::timeout(FIRST_WORDS, begins_http2(&socket)).await {
                let visitor = Visitor { door: self, peer, caller: Ok(Caller::Anyone), shown: Arc::default() };
                visitor.converse(socket, is_http2, stopping).await;
            }
            return;
        };
        let stream = match tokio::time::timeout(FIRST_WORDS, TlsAcceptor::from(config).accept(socket)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                // Also one whose certificate is of another authority, or over: the handshake itself says so to the peer.
                let error = Error::denied(format!("the TLS handshake failed: {error}"));
                note_refusal(&self.head, &Caller::Anyone, peer.to_string(), "connect", &error).await;
                return;
            }
            Err(_) => return,
        };
        let session = stream.get_ref().1;
        let is_http2 = session.alpn_protocol() == Some(b"h2");
        let shown = session.peer_certificates().and_then(|certificates| certificates.first()).map(|shown| shown.to_vec());
        let Some((shown, registrar)) = shown.zip(self.head.registrar.clone()) else {
            return self.host(stream, peer, is_http2, stopping).await;
        };
        let Ok(of) = Peer::of(&shown) else { return };
        let shown_here = Arc::new(Shown::one(Session { principal: of.principal.id, expires: of.issued.expires }));
        // From before he is looked up: what comes between would be missed.
        let revocations = registrar.revocations();
        let caller = registrar.caller(&shown).map(Caller::Known);
        let visitor = Visitor { door: self, peer, caller, shown: shown_here.clone() };
        tokio::select! {
            () = visitor.converse(stream, is_http2, stopping) => {}
            () = shown_here.until_over(&registrar, revocations) => {}
        }
    }
}

/// Where connections come in.
struct Entrance {
    clock: Clock,
    /// Places in all.
    count: usize,
    turnstile: Mutex<Turnstile>,
    meters: Arc<Meters>,
}

/// A connection's place, as long as it is held.
struct Inside {
    entrance: Arc<Entrance>,
    from: IpAddr,
    _place: OwnedSemaphorePermit,
}

impl Entrance {
    /// A place for somebody who comes, and how long he waits for it; or why there is none.
    fn pass(self: &Arc<Self>, places: &Arc<Semaphore>, from: IpAddr) -> Result<(Inside, Duration), String> {
        let place = places.clone().try_acquire_owned().map_err(|_| format!("{} are open", self.count))?;
        match self.turnstile().arrives(from, self.clock.now().mono) {
            Turn::In(wait) => {
                self.meters.connections.up();
                Ok((Inside { entrance: self.clone(), from, _place: place }, wait))
            }
            Turn::TooMany(count) => Err(format!("{count} are open from its address")),
            Turn::TooOften => Err(format!("its address opens more than one every {ARRIVALS_EVERY:?}, after {ARRIVALS_AT_ONCE} at once")),
        }
    }

    fn turnstile(&self) -> MutexGuard<'_, Turnstile> {
        self.turnstile.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.entrance.meters.connections.down();
        self.entrance.turnstile().leaves(self.from, self.entrance.clock.now().mono);
    }
}

/// Whether the table is asked of what a request is for, whatever the request says that it is. Pages ask for themselves, when their route is known;
/// an unknown method is answered as such where everybody may ask.
fn is_method(path: &str, is_grpc: bool, has_identities: bool) -> bool {
    access::row(path).is_some() || is_grpc && has_identities
}

/// Whoever is at the other end of a connection.
#[derive(Clone)]
struct Visitor {
    door: Door,
    peer: SocketAddr,
    /// By his certificate; or why what he shows does not count.
    caller: Result<Caller, Error>,
    /// All who have shown themselves by this connection.
    shown: Arc<Shown>,
}

impl Visitor {
    async fn converse(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, is_http2: bool, stopping: CancellationToken) {
        let peer = self.peer;
        let service = hyper::service::service_fn(move |request| self.clone().answer(request));
        let builder = builder();
        let builder = if is_http2 { builder.http2_only() } else { builder.http1_only() };
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stopping.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, error, "a connection has broken off");
        }
    }

    async fn answer(self, mut request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let is_grpc = request.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
        let place = access::place(request.method().as_str(), request.uri().path());
        let meters = self.door.head.meters.clone();
        // A browser speaks HTTP/1.1 where nothing is encrypted, whatever a page has it say of the content.
        let is_browsers = !is_grpc || request.version() != Version::HTTP_2;
        let caller = if is_browsers { self.browses(&request) } else { self.caller.clone() };
        let let_in = self.let_in(caller, request.uri().path(), is_grpc).await;
        let answer = match let_in {
            Ok(caller) => {
                request.extensions_mut().insert(CameFrom(self.peer));
                request.extensions_mut().insert(caller);
                self.door.routes.oneshot(request).await?
            }
            Err(error) if is_grpc => to_status(&error).into_http(),
            Err(error) => error_response(&error),
        };
        meters.calls.count(place, ended(&answer));
        Ok(answer)
    }

    /// Who sends something that may be a browser's.
    fn browses(&self, request: &Request<Incoming>) -> Result<Caller, Error> {
        let registrar = self.door.head.registrar.as_ref();
        let names = registrar.is_none().then_some(&*self.door.names);
        check_site(request.method(), request.uri(), request.headers(), names)?;
        let caller = self.caller.clone()?;
        match (caller, registrar, session_in(request.headers())) {
            (Caller::Anyone, Some(registrar), Some(text)) => {
                // One that is over is none: who sends it is asked to log in.
                let Ok(session) = registrar.identity().sessions().read(text, wall_now()) else { return Ok(Caller::Anyone) };
                // So is one that was revoked: whoever has it stays as long as a stranger does.
                if registrar.check(session.principal).is_err() {
                    return Ok(Caller::Anyone);
                }
                self.shown.add(session)?;
                // Again: he may have been revoked since, and before anybody listened for it.
                Ok(registrar.check(session.principal).map_or(Caller::Anyone, Caller::Known))
            }
            (caller, _, _) => Ok(caller),
        }
    }

    /// Whether a method may be entered.
    async fn let_in(&self, caller: Result<Caller, Error>, method: &str, is_grpc: bool) -> Result<Caller, Error> {
        let (head, has_identities) = (&self.door.head, self.door.head.registrar.is_some());
        let shown = caller.clone().unwrap_or(Caller::Anyone);
        let decided = caller.and_then(|caller| {
            if is_method(method, is_grpc, has_identities) {
                access::decide(method, &caller, has_identities)?;
            }
            Ok(caller)
        });
        if let Err(error) = &decided {
            note_refusal(head, &shown, self.peer.to_string(), method, error).await;
        }
        decided
    }
}

/// What came of a call, by the head of its answer: a status of gRPC stands there where it is all that there is.
fn ended<T>(answer: &Response<T>) -> Ended {
    let status = answer.headers().get(tonic::Status::GRPC_STATUS).map(|code| match tonic::Code::from_bytes(code.as_bytes()) {
        tonic::Code::Ok => Ended::Ok,
        tonic::Code::Unknown | tonic::Code::Internal | tonic::Code::Unavailable | tonic::Code::DataLoss => Ended::Failed,
        _ => Ended::Refused,
    });
    status.unwrap_or(match answer.status().as_u16() {
        ..400 => Ended::Ok,
        400..500 => Ended::Refused,
        500.. => Ended::Failed,
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_of_a_call_is_known_by_the_head_of_its_answer() {
        let of = |error: &Error| (ended(&to_status(error).into_http::<Body>()), ended(&error_response(error)));
        assert_eq!(of(&Error::denied("no")), (Ended::Refused, Ended::Refused));
        assert_eq!(of(&Error::exhausted("later")), (Ended::Refused, Ended::Refused));
        assert_eq!(of(&Error::internal("our bug")), (Ended::Failed, Ended::Failed));
        assert_eq!(of(&Error::corrupt("stop")), (Ended::Failed, Ended::Failed));
        assert_eq!(ended(&Response::new(())), Ended::Ok);
    }

    #[test]
    fn a_method_is_one_whatever_the_request_says_that_it_is() {
        for method in ["/millpond.v1.JobService/KillJob", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"] {
            for (is_grpc, has_identities) in [(true, true), (false, true), (true, false), (false, false)] {
                assert!(is_method(method, is_grpc, has_identities), "{method}");
            }
        }
        assert!(is_method("/millpond.v1.JobService/NoSuchJob", true, true) && !is_method("/millpond.v1.JobService/NoSuchJob", true, false));
        assert!(!is_method("/v1/jobs/j1/bundle", false, true), "a page asks for itself");
    }
}
