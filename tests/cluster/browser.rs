//! What a browser does at a head with an identity: logs in by a token, looks, is thrown out. Pages themselves are tried in a real browser
//! (`tests/browser/`).

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};

use super::cluster::Cluster;
use super::identities::{audited, token};
use super::process::until;

/// A browser, as far as a head can tell.
struct Browser<'a> {
    cluster: &'a Cluster,
    cookie: Option<String>,
}

struct Page {
    status: u16,
    head: String,
    text: String,
}

impl Page {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        let is_it = |line: &&str| line.to_ascii_lowercase().starts_with(&format!("{name}: "));
        self.head.lines().find(is_it).map_or("", |line| &line[name.len() + 2..])
    }
}

type Tls = StreamOwned<ClientConnection, TcpStream>;

impl<'a> Browser<'a> {
    fn new(cluster: &'a Cluster) -> Self {
        Self { cluster, cookie: None }
    }

    fn connect(&self) -> Tls {
        let authority = std::fs::read(self.cluster.path("head/identity/ca.pem")).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&authority).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
        let socket = TcpStream::connect(self.cluster.url.strip_prefix("https://").unwrap()).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        StreamOwned::new(ClientConnection::new(config, ServerName::try_from("millpond-head").unwrap()).unwrap(), socket)
    }

    fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Tls {
        let mut stream = self.connect();
        let cookie = self.cookie.iter().map(|cookie| format!("cookie: {cookie}\r\n"));
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).chain(cookie).collect();
        let len = body.len();
        write!(stream, "{method} {path} HTTP/1.1\r\nhost: head:7663\r\nconnection: close\r\ncontent-length: {len}\r\n{headers}\r\n{body}")
            .unwrap();
        stream
    }

    fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Page {
        let mut bytes = Vec::new();
        // A peer that closes without a goodbye has said all that it had to say.
        let _ = self.send(method, path, headers, body).read_to_end(&mut bytes);
        let answer = String::from_utf8_lossy(&bytes).into_owned();
        let (head, text) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
        Page { status: head.split(' ').nth(1).unwrap().parse().unwrap(), head: head.to_owned(), text: text.to_owned() }
    }

    fn get(&self, path: &str) -> Page {
        self.ask("GET", path, &[], "")
    }

    fn log_in(&mut self, token: &str) -> Page {
        let page = self.ask("POST", "/v1/session", &[("content-type", "application/json")], &json!({"token": token}).to_string());
        self.cookie = Some(page.header("set-cookie").split(';').next().unwrap().to_owned()).filter(|cookie| !cookie.is_empty());
        page
    }
}

#[test]
fn who_has_a_token_logs_in_once_and_sees_what_is_his() {
    let cluster = Cluster::with_identity();
    let job = cluster.submit_array("0-0", &["--hold"], "true");
    let mut ana = Browser::new(&cluster);
    let first = ana.get("/jobs/j1?x");
    assert_eq!((first.status, first.header("location")), (303, "/login?to=%2Fjobs%2Fj1%3Fx"));
    assert_eq!(ana.get("/login").status, 200);
    assert_eq!(ana.get("/live/jobs/j1").status, 401);
    assert!(audited(&cluster, "GetJob").is_empty(), "to look for the login is nothing to be written down");

    let paper = token(&cluster, &["--role", "submitter", "--name", "ana"]);
    let form = ana.ask("POST", "/v1/session", &[("content-type", "text/plain")], &json!({"token": paper}).to_string());
    assert_eq!(form.status, 415, "{}", form.text);
    let elsewhere = [("content-type", "application/json"), ("origin", "https://evil.example")];
    assert_eq!(ana.ask("POST", "/v1/session", &elsewhere, &json!({"token": paper}).to_string()).status, 403);
    let done = ana.log_in(&paper);
    assert_eq!(done.status, 200, "{}", done.text);
    let cookie = done.header("set-cookie");
    for part in ["__Host-millpond=p", "; Path=/", "; Secure", "; HttpOnly", "; SameSite=Lax", "; Max-Age="] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert_eq!(audited(&cluster, "/v1/session").last().unwrap(), &("ok".to_owned(), String::new()));
    let page = ana.get("/");
    assert_eq!(page.status, 200);
    assert!(page.text.contains("ana (submitter)") && !page.text.contains(&format!("/jobs/{job}")), "the admin's job is not hers");
    assert_eq!(ana.get(&format!("/jobs/{job}")).status, 403);
    assert!(page.header("content-security-policy").starts_with("default-src 'none'; script-src 'self'"));

    let again = Browser::new(&cluster).log_in(&paper);
    assert!(again.status == 403 && again.json()["error"]["message"].as_str().unwrap().contains("as often as it may be"), "{}", again.text);
    let machine = Browser::new(&cluster).log_in(&token(&cluster, &["--role", "worker"]));
    assert!(machine.status == 400 && machine.text.contains("is for a worker"), "{}", machine.text);
    // A text that is not quite a session is none.
    let whole = ana.cookie.clone().unwrap();
    ana.cookie = Some(format!("{}x", &whole[..whole.len() - 1]));
    assert_eq!(ana.get("/").status, 303);
    ana.cookie = Some(whole);
    assert_eq!(ana.get("/").status, 200);
}

#[test]
fn a_session_outlives_the_head_and_ends_with_its_principal_or_by_logging_out() {
    let mut cluster = Cluster::with_identity();
    let [first, second] = ["ana", "ben"].map(|name| token(&cluster, &["--role", "submitter", "--name", name]));
    let cookies = [first, second].map(|token| {
        let mut browser = Browser::new(&cluster);
        assert_eq!(browser.log_in(&token).status, 200);
        browser.cookie
    });
    cluster.head_dies();
    cluster.head_starts_again();
    let [ana, ben] = cookies.map(|cookie| Browser { cluster: &cluster, cookie });
    // What is open is closed when she is revoked.
    let mut stream = ana.send("GET", "/live", &[], "");
    let mut some = [0; 64];
    assert!(stream.read(&mut some).unwrap() > 0);
    let known = cluster.json(&["principal", "list"]);
    let id =
        known["principals"].as_array().unwrap().iter().find(|known| known["name"] == "ana").unwrap()["id"].as_str().unwrap().to_owned();
    cluster.ok(&["principal", "revoke", &id, "--reason", "left"]);
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert_eq!(ana.get("/").status, 303);

    let other = ben.ask("DELETE", "/v1/session", &[("sec-fetch-site", "cross-site")], "");
    assert_eq!(other.status, 403, "another site's page logs nobody out");
    let out = ben.ask("DELETE", "/v1/session", &[], "");
    assert!(out.status == 200 && out.header("set-cookie").contains("Max-Age=0"), "{} {}", out.head, out.text);
    // Also for who has kept the cookie.
    assert_eq!(ben.get("/").status, 303);
    until("he is revoked", || {
        let known = cluster.json(&["principal", "list"]);
        known["principals"].as_array().unwrap().iter().any(|known| known["name"] == "ben" && known["revoked"].is_string())
    });
}
