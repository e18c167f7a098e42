//! Sends the ways of tasks to a collector of OpenTelemetry, by OTLP over gRPC. Nobody waits for it: while it is slow or gone what comes gathers, up
//! to a bound, and what finds no room there is dropped. It is reached again by itself, and the log says once that it is gone.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use super::address::HeadStream;
use super::otlp::trace_service_client::TraceServiceClient;
use super::tls::{Speaks, public_config};
use super::webhook::read_authorities;
use crate::actors::tracer::SpanQueue;
use crate::domain::Error;
use crate::engine::Meters;
use crate::engine::trail::Span;
use crate::limits;

mod message;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Where a collector is, and how a head calls itself there.
#[derive(Clone, Debug)]
pub struct Collector {
    url: String,
    endpoint: Endpoint,
    host: String,
    port: u16,
    /// Of `https`.
    tls: Option<Arc<ClientConfig>>,
    service: String,
}

impl Collector {
    /// `http://HOST:PORT`, or `https://…`, with the authorities of the machine or those of a file.
    ///
    /// # Errors
    /// `Invalid` for another kind of URL; `NotFound` or `Corrupt` for authorities that can't be read.
    pub fn new(url: &str, authorities: Option<&Path>, service: &str) -> Result<Self, Error> {
        let bad =
            || Error::invalid(format!("`{url}` is not the address of a collector: write it as http://HOST:4317, or https://HOST:4317"));
        let (scheme, authority) = url.trim_end_matches('/').split_once("://").ok_or_else(bad)?;
        let tls = match scheme {
            "http" => None,
            "https" => Some(public_config(read_authorities(authorities, "--traces-ca")?, Speaks::Http2)?),
            _ => return Err(bad()),
        };
        // The library is to leave TLS to us.
        let endpoint = Endpoint::from_shared(format!("http://{authority}")).map_err(|_| bad())?;
        let uri = endpoint.uri();
        let host = uri.host().filter(|_| uri.path() == "/" && !authority.contains('@')).ok_or_else(bad)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = uri.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 });
        let endpoint = endpoint.user_agent(concat!("millpond/", env!("CARGO_PKG_VERSION"))).map_err(|_| bad())?;
        Ok(Self { url: url.to_owned(), endpoint, host, port, tls, service: service.to_owned() })
    }

    /// Made when it is first used, and made again when it is lost. Without pings, which collectors don't suffer from strangers.
    fn client(&self) -> TraceServiceClient<Channel> {
        let collector = self.clone();
        let open = move |_| {
            let collector = collector.clone();
            async move { timeout(CONNECT_TIMEOUT, collector.open()).await?.map(TokioIo::new) }
        };
        TraceServiceClient::new(self.endpoint.connect_with_connector_lazy(tower::service_fn(open)))
    }

    async fn open(&self) -> std::io::Result<HeadStream> {
        let socket = TcpStream::connect((self.host.as_str(), self.port)).await?;
        let Some(tls) = &self.tls else { return Ok(HeadStream::Plain(socket)) };
        let name = ServerName::try_from(self.host.clone()).map_err(std::io::Error::other)?;
        let stream = TlsConnector::from(tls.clone()).connect(name, socket).await?;
        Ok(HeadStream::Tls(Box::new(stream)))
    }

    /// Sends what comes out of a queue until it is told to stop, and what is left then if that takes no longer than
    /// [`limits::TRACE_FLUSH_WITHIN`].
    pub async fn gets(self, queue: SpanQueue, meters: Arc<Meters>, stop: CancellationToken) {
        let client = self.client();
        let mut sender = Sender { collector: self, client, queue, meters, stop: stop.clone(), batch: Vec::new(), is_lost: false };
        let too_long = async {
            stop.cancelled().await;
            sleep(limits::TRACE_FLUSH_WITHIN).await;
        };
        tokio::select! {
            () = sender.forward() => {}
            () = too_long => {}
        }
        let left = sender.batch.len() + sender.queue.spans.len();
        if left > 0 {
            tracing::warn!(left, "spans were not sent to the collector of traces");
        }
    }
}

/// What became of a batch that the collector has not taken.
enum Failed {
    /// It can be sent again.
    Away(String),
    /// The collector does not want it.
    Refused(String),
}

struct Sender {
    collector: Collector,
    client: TraceServiceClient<Channel>,
    queue: SpanQueue,
    meters: Arc<Meters>,
    /// The head ends: nothing comes any more, and nothing is waited for.
    stop: CancellationToken,
    /// What is sent next, or again.
    batch: Vec<Span>,
    /// The last one was not taken, and the log says so.
    is_lost: bool,
}

impl Sender {
    async fn forward(&mut self) {
        let mut next = Instant::now();
        while self.gather().await {
            self.rest(sleep_until(next)).await;
            next = Instant::now() + limits::TRACE_BATCH_EVERY;
            if !self.deliver().await {
                return;
            }
        }
    }

    /// Waits, unless the head ends.
    async fn rest(&self, wait: impl Future<Output = ()>) {
        tokio::select! {
            () = wait => {}
            () = self.stop.cancelled() => {}
        }
    }

    /// Waits for something to send; false when nothing can come any more.
    async fn gather(&mut self) -> bool {
        let max = limits::TRACE_BATCH_SPANS_MAX;
        if self.receive().await == 0 {
            return false;
        }
        let until = Instant::now() + limits::TRACE_GATHER_FOR;
        while self.batch.len() < max {
            match timeout_at(until, self.receive()).await {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
        true
    }

    /// Takes what there is, or waits for something; how much it was.
    async fn receive(&mut self) -> usize {
        let room = limits::TRACE_BATCH_SPANS_MAX - self.batch.len();
        tokio::select! {
            count = self.queue.spans.recv_many(&mut self.batch, room) => return count,
            () = self.stop.cancelled() => {}
        }
        self.queue.spans.close();
        self.queue.spans.recv_many(&mut self.batch, room).await
    }

    /// Sends the batch until it is taken, or refused; false where the head ends before that.
    async fn deliver(&mut self) -> bool {
        let mut pause = FIRST_PAUSE;
        // One that is gone is not waited for.
        while !(self.is_lost && self.stop.is_cancelled()) {
            match self.send().await {
                Ok(()) => {
                    self.found();
                    return true;
                }
                Err(Failed::Away(why)) => {
                    self.lose(&why);
                    // The connection that there was may be dead without a word.
                    self.client = self.collector.client();
                    self.rest(sleep(pause)).await;
                    pause = (2 * pause).min(LONGEST_PAUSE);
                }
                Err(Failed::Refused(why)) => {
                    self.meters.spans_dropped.add(self.batch.len() as u64);
                    self.batch.clear();
                    self.lose(&why);
                    return true;
                }
            }
        }
        false
    }

    async fn send(&mut self) -> Result<(), Failed> {
        let request = message::request(&self.batch, &self.queue.hosts, &self.collector.service);
        let answer = timeout(limits::TRACE_ANSWER_WITHIN, self.client.export(request)).await;
        let seconds = limits::TRACE_ANSWER_WITHIN.as_secs();
        let answer = answer.map_err(|_| Failed::Away(format!("no answer within {seconds} s")))?.map_err(failed)?;
        let rejected = answer.into_inner().partial_success.map_or(0, |part| u64::try_from(part.rejected_spans).unwrap_or(0));
        let count = self.batch.len() as u64;
        self.batch.clear();
        self.meters.spans_sent.add(count.saturating_sub(rejected));
        self.meters.spans_dropped.add(rejected.min(count));
        Ok(())
    }

    fn lose(&mut self, why: &str) {
        if !std::mem::replace(&mut self.is_lost, true) {
            tracing::warn!(
                collector = self.collector.url,
                why,
                "the collector of traces does not take them: what finds no room is dropped"
            );
        }
    }

    fn found(&mut self) {
        if std::mem::take(&mut self.is_lost) {
            tracing::info!(collector = self.collector.url, "the collector of traces takes them again");
        }
    }
}

/// What OTLP says of trying again.
fn failed(status: Status) -> Failed {
    let why = std::iter::successors(std::error::Error::source(&status), |error| error.source()).last();
    let why = why.map_or_else(|| status.message().to_owned(), ToString::to_string);
    match status.code() {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => Failed::Away(why),
        // Of a connection that broke, too, where no status came.
        Code::Unknown | Code::Internal if std::error::Error::source(&status).is_some() => Failed::Away(why),
        code => Failed::Refused(format!("it answers {code:?}: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_checked() {
        for bad in
            ["", "lab:4317", "lab", "ftp://lab:4317", "http://", "http://lab:4317/v1/traces", "http://ana:x@lab:4317", "http://la b/"]
        {
            assert!(Collector::new(bad, None, "x").is_err(), "{bad}");
        }
        for (url, host, port) in [("http://lab:4317/", "lab", 4317), ("http://[::1]:4317", "::1", 4317), ("http://lab", "lab", 80)] {
            let collector = Collector::new(url, None, "x").unwrap();
            assert_eq!((collector.host.as_str(), collector.port, collector.tls.is_some()), (host, port, false), "{url}");
        }
        let missing = Collector::new("https://lab:4317", Some(Path::new("/nowhere/ca.pem")), "x").unwrap_err();
        assert!(missing.message.contains("/nowhere/ca.pem"), "{missing}");
    }

    #[tokio::test]
    async fn a_collector_behind_tls_is_known_by_its_authority() {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let stranger = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut config = config.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        for (certificate, is_known) in [(&made, true), (&stranger, false)] {
            let file = dir.path().join("ca.pem");
            std::fs::write(&file, certificate.cert.pem()).unwrap();
            let collector = Collector::new(&url, Some(&file), "x").unwrap();
            let accepts = async { acceptor.accept(listener.accept().await.unwrap().0).await };
            let (opened, accepted) = tokio::join!(collector.open(), accepts);
            assert_eq!((opened.is_ok(), accepted.is_ok()), (is_known, is_known), "{:?}", opened.err());
            if let Ok(stream) = accepted {
                assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
            }
        }
    }
}
