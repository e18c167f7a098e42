//! `POST` to an address that is none of ours: of a receiver of notices. Each request has a connection of its own; nothing of the answer counts but
//! its status, and no redirection is followed, so nothing goes where nobody has said.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::Scheme;
use http::{Request, StatusCode, Uri, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use ring::hmac;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::tls::{Speaks, public_config};
use crate::domain::Error;

/// Of the body, by the shared secret: `sha256=` and 64 hexadecimal digits.
pub const SIGNATURE_HEADER: &str = "x-millpond-signature";
/// Where distributions keep the authorities that they trust.
const AUTHORITIES: [&str; 3] = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem"];

/// Who gets what is posted.
#[derive(Clone)]
pub struct Webhook {
    url: Uri,
    host: String,
    port: u16,
    /// Of `https`.
    tls: Option<Arc<ClientConfig>>,
    secret: Option<hmac::Key>,
}

/// Without its path, which may be a secret.
impl fmt::Display for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.url.scheme_str().unwrap_or_default(), self.authority())
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Webhook {
    /// `http://…` or `https://…`, with the authorities of the machine or those of a file, and the secret that bodies are signed with.
    ///
    /// # Errors
    /// `Invalid` for another kind of URL; `NotFound` or `Corrupt` for authorities that can't be read.
    pub fn new(url: &str, authorities: Option<&Path>, secret: Option<&[u8]>) -> Result<Self, Error> {
        let bad = || Error::invalid("a webhook is written as http://HOST[:PORT]/PATH, or https://…");
        let uri: Uri = url.parse().map_err(|_| bad())?;
        let is_https = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(bad()),
        };
        let authority = uri.authority().ok_or_else(bad)?;
        if authority.as_str().contains('@') {
            return Err(Error::invalid(
                "a webhook has no user and password in its address: use a secret path, --webhook-secret-file, or a hook",
            ));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = authority.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        let tls = if is_https { Some(public_config(read_authorities(authorities, "--webhook-ca")?, Speaks::Http1)?) } else { None };
        let secret = secret.map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret));
        Ok(Self { url: uri, host, port, tls, secret })
    }

    /// Posts a document; fine is what is answered with a status of 200 to 299.
    ///
    /// # Errors
    /// What went wrong, for people.
    pub async fn post(&self, body: String, timeout: Duration) -> Result<(), String> {
        let posted = tokio::time::timeout(timeout, self.send(body)).await;
        let status = posted.map_err(|_| format!("no answer within {} s", timeout.as_secs_f64()))??;
        match status {
            status if status.is_success() => Ok(()),
            status if status.is_redirection() => Err(format!("it answers {status}: name the address that it leads to")),
            status => Err(format!("it answers {status}")),
        }
    }

    async fn send(&self, body: String) -> Result<StatusCode, String> {
        let socket = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(|error| format!("no connection: {error}"))?;
        let Some(tls) = &self.tls else { return self.ask(socket, body).await };
        let name = ServerName::try_from(self.host.clone()).map_err(|error| format!("no name for a certificate: {error}"))?;
        let stream = TlsConnector::from(tls.clone()).connect(name, socket).await.map_err(|error| format!("no connection: {error}"))?;
        self.ask(stream, body).await
    }

    async fn ask(&self, socket: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, body: String) -> Result<StatusCode, String> {
        let broken = |error: hyper::Error| format!("the connection is broken: {error}");
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await.map_err(broken)?;
        // It ends with the answer, of which only the beginning is read.
        tokio::spawn(connection);
        let path = self.url.path_and_query().map_or("/", |path| path.as_str());
        let mut request = Request::post(path)
            .header(header::HOST, self.authority())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("millpond/", env!("CARGO_PKG_VERSION")))
            .header(header::CONNECTION, "close");
        if let Some(secret) = &self.secret {
            request = request.header(SIGNATURE_HEADER, signature(secret, body.as_bytes()));
        }
        let request = request.body(Full::new(Bytes::from(body))).map_err(|error| format!("the request can't be made: {error}"))?;
        let answer: http::Response<Incoming> = sender.send_request(request).await.map_err(broken)?;
        Ok(answer.status())
    }

    fn authority(&self) -> &str {
        self.url.authority().map_or("", |authority| authority.as_str())
    }
}

fn signature(secret: &hmac::Key, body: &[u8]) -> String {
    let tag = hmac::sign(secret, body);
    tag.as_ref().iter().fold("sha256=".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

/// Certificates that the machine trusts, or those of the file that an option names.
pub(super) fn read_authorities(file: Option<&Path>, option: &str) -> Result<RootCertStore, Error> {
    let file = match file {
        Some(file) => file.to_owned(),
        None => AUTHORITIES.iter().map(PathBuf::from).find(|file| file.exists()).ok_or_else(|| {
            Error::not_found(format!(
                "no authorities are known on this machine: install ca-certificates, or name a file of them with {option}"
            ))
        })?,
    };
    let text = std::fs::read(&file).map_err(|error| Error::io(&file, &error))?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&text).filter_map(Result::ok).collect();
    let mut roots = RootCertStore::empty();
    // A machine's list may hold one of a kind that is not known here.
    let (added, _) = roots.add_parsable_certificates(certificates);
    match added {
        0 => Err(Error::corrupt(format!("{} holds no certificate of an authority, as PEM", file.display()))),
        _ => Ok(roots),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_checked_and_shown_without_its_path() {
        for bad in ["", "lab", "ftp://lab/x", "/x", "http://", "lab:80", "https:///x", "http://ana:secret@lab/x", "http://la b/"] {
            assert!(Webhook::new(bad, None, None).is_err(), "{bad}");
        }
        let hook = Webhook::new("http://lab/services/T0/secret?token=x", None, None).unwrap();
        assert_eq!((hook.to_string(), hook.port, hook.tls.is_some()), ("http://lab".into(), 80, false));
        let hook = Webhook::new("http://[::1]:8080/x", None, None).unwrap();
        assert_eq!((hook.host.as_str(), hook.port), ("::1", 8080));
    }

    #[test]
    fn a_body_is_signed_as_others_would() {
        // RFC 4231, test case 2.
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"Jefe");
        let expected = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(signature(&key, b"what do ya want for nothing?"), expected);
    }

    #[test]
    fn authorities_are_read_from_a_file_or_it_is_said_that_there_are_none() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ca.pem");
        assert!(Webhook::new("https://lab/", Some(&file), None).unwrap_err().message.contains("ca.pem"));
        std::fs::write(&file, "nothing").unwrap();
        assert!(Webhook::new("https://lab/", Some(&file), None).unwrap_err().message.contains("holds no certificate"));
    }

    /// Answers one request by TLS, and gives what it was; the certificate is its own authority.
    fn receiver(answer: &'static str) -> (u16, tempfile::TempDir, PathBuf, tokio::task::JoinHandle<String>) {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ca.pem");
        std::fs::write(&file, made.cert.pem()).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = tokio::spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let (socket, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = tokio_rustls::TlsAcceptor::from(Arc::new(config)).accept(socket).await else { return String::new() };
            let (mut text, mut buffer) = (String::new(), [0; 4096]);
            while !text.ends_with("the body") {
                let n = stream.read(&mut buffer).await.unwrap();
                text.push_str(std::str::from_utf8(&buffer[..n]).unwrap());
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.flush().await.unwrap();
            text
        });
        (port, dir, file, served)
    }

    #[tokio::test]
    async fn what_is_posted_over_tls_arrives_signed_and_only_where_the_authority_is_known() {
        let long = Duration::from_secs(60);
        let (port, _dir, file, served) = receiver("HTTP/1.1 204 No Content\r\n\r\n");
        let url = format!("https://localhost:{port}/a?b=c");
        let hook = Webhook::new(&url, Some(&file), Some(b"secret")).unwrap();
        assert_eq!(hook.post("the body".into(), long).await, Ok(()));
        let got = served.await.unwrap();
        let signed = signature(&hmac::Key::new(hmac::HMAC_SHA256, b"secret"), b"the body");
        assert!(got.starts_with("POST /a?b=c HTTP/1.1\r\n") && got.contains(&format!("{SIGNATURE_HEADER}: {signed}\r\n")), "{got}");
        let (port, _dir, _, served) = receiver("HTTP/1.1 204 No Content\r\n\r\n");
        let stranger = Webhook::new(&format!("https://localhost:{port}/"), Some(&file), None).unwrap();
        let refused = stranger.post("the body".into(), long).await.unwrap_err();
        assert!(refused.contains("certificate"), "{refused}");
        assert_eq!(served.await.unwrap(), "");
    }

    #[tokio::test]
    async fn what_is_not_answered_well_was_not_delivered() {
        let long = Duration::from_secs(60);
        for (answer, words) in [
            ("HTTP/1.1 500 Oh\r\n\r\n", "it answers 500"),
            ("HTTP/1.1 301 There\r\nlocation: http://127.0.0.1:1/\r\n\r\n", "name the address that it leads to"),
            ("nothing\r\n\r\n", "the connection is broken"),
        ] {
            let (port, _dir, file, _served) = receiver(answer);
            let hook = Webhook::new(&format!("https://localhost:{port}/"), Some(&file), None).unwrap();
            let refused = hook.post("the body".into(), long).await.unwrap_err();
            assert!(refused.contains(words), "{refused}");
        }
        let deaf = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let hook = Webhook::new(&format!("http://{}/", deaf.local_addr().unwrap()), None, None).unwrap();
        let refused = hook.post("the body".into(), Duration::from_millis(50)).await.unwrap_err();
        assert!(refused.contains("no answer within 0.05 s"), "{refused}");
    }
}
