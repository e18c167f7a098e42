//! TLS 1.3 between a head and whoever calls it: one authority, which is the head's own, on both sides.
//!
//! Clients ask for the name [`HEAD_NAME`] at whatever address, and trust one authority: so addresses, names and tunnels do not matter.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use sha2::{Digest as _, Sha256};

use crate::domain::{Digest, Error};
use crate::pki::{Credentials, HEAD_NAME, HeadCertificate};

/// What is spoken inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// gRPC.
    Http2,
    /// Bulk data, pages.
    Http1,
}

impl Speaks {
    fn alpn(self) -> Vec<Vec<u8>> {
        match self {
            Self::Http2 => vec![b"h2".to_vec()],
            Self::Http1 => vec![b"http/1.1".to_vec()],
        }
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn unusable(error: &dyn std::fmt::Display) -> Error {
    Error::internal(format!("TLS can't be set up: {error}"))
}

fn roots(authority: &CertificateDer<'static>) -> Result<Arc<RootCertStore>, Error> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone()).map_err(|error| Error::corrupt(format!("the authority's certificate can't be used: {error}")))?;
    Ok(Arc::new(roots))
}

/// The head's end. A certificate of its authority is asked for, and who shows none is not known: what he may do is decided call by call.
///
/// # Errors
/// `Corrupt` for a certificate that can't be used.
pub fn head_config(shown: HeadCertificate) -> Result<Arc<ServerConfig>, Error> {
    let authority = shown.chain.last().ok_or_else(|| Error::corrupt("the head has no certificate of its authority"))?;
    let verifier = WebPkiClientVerifier::builder_with_provider(roots(authority)?, provider()).allow_unauthenticated().build();
    let verifier = verifier.map_err(|error| unusable(&error))?;
    let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13]).map_err(|error| unusable(&error))?;
    let mut config =
        builder.with_client_cert_verifier(verifier).with_single_cert(shown.chain, shown.key).map_err(|error| unusable(&error))?;
    config.alpn_protocols = [Speaks::Http2, Speaks::Http1].into_iter().flat_map(Speaks::alpn).collect();
    // A session that is taken up again would not show its certificate again.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// What a caller shows, and whom it trusts. Cheap to clone; all clones have what was put in last.
#[derive(Clone)]
pub struct Keys {
    configs: Arc<Mutex<Configs>>,
}

#[derive(Clone)]
struct Configs {
    http2: Arc<ClientConfig>,
    http1: Arc<ClientConfig>,
}

impl Configs {
    fn new(make: impl Fn() -> Result<ClientConfig, Error>) -> Result<Self, Error> {
        let speaks = |speaks: Speaks| {
            let mut config = make()?;
            config.alpn_protocols = speaks.alpn();
            Ok::<_, Error>(Arc::new(config))
        };
        Ok(Self { http2: speaks(Speaks::Http2)?, http1: speaks(Speaks::Http1)? })
    }

    fn of(credentials: &Credentials) -> Result<Self, Error> {
        Self::new(|| {
            let key: PrivateKeyDer<'static> = credentials.key.clone_key();
            let builder = builder()?.with_root_certificates(roots(&credentials.authority)?);
            builder.with_client_auth_cert(vec![credentials.certificate.clone()], key).map_err(|error| unusable(&error))
        })
    }
}

fn builder() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, Error> {
    ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13]).map_err(|error| unusable(&error))
}

impl Keys {
    /// Of somebody who is known.
    ///
    /// # Errors
    /// `Corrupt` or `Internal` for what can't be used.
    pub fn of(credentials: &Credentials) -> Result<Self, Error> {
        Ok(Self { configs: Arc::new(Mutex::new(Configs::of(credentials)?)) })
    }

    /// Of somebody who is not known yet, and knows the head's authority by its fingerprint.
    ///
    /// # Errors
    /// `Internal`.
    pub fn pinned(fingerprint: Digest) -> Result<Self, Error> {
        let configs = Configs::new(|| {
            let verifier = Arc::new(Pinned { fingerprint, provider: provider() });
            Ok(builder()?.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
        })?;
        Ok(Self { configs: Arc::new(Mutex::new(configs)) })
    }

    /// From the next connection on these are shown.
    ///
    /// # Errors
    /// As [`Self::of`]; then what was shown before still is.
    pub fn replace(&self, credentials: &Credentials) -> Result<(), Error> {
        *self.configs.lock().unwrap_or_else(PoisonError::into_inner) = Configs::of(credentials)?;
        Ok(())
    }

    /// For a connection.
    pub(super) fn config(&self, speaks: Speaks) -> Arc<ClientConfig> {
        let configs = self.configs.lock().unwrap_or_else(PoisonError::into_inner);
        match speaks {
            Speaks::Http2 => configs.http2.clone(),
            Speaks::Http1 => configs.http1.clone(),
        }
    }
}

/// For servers of others, by authorities of the caller's; nothing is shown to them.
///
/// # Errors
/// `Internal`.
pub(super) fn public_config(roots: RootCertStore, speaks: Speaks) -> Result<Arc<ClientConfig>, Error> {
    let mut config = builder()?.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = speaks.alpn();
    Ok(Arc::new(config))
}

/// The name that a head is asked for.
pub(super) fn head_name() -> Result<ServerName<'static>, Error> {
    ServerName::try_from(HEAD_NAME).map_err(|error| unusable(&error))
}

/// Trusts the one authority that has this fingerprint, which the head sends along.
#[derive(Debug)]
struct Pinned {
    fingerprint: Digest,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let is_ours = |certificate: &&CertificateDer<'_>| Sha256::digest(certificate).as_slice() == self.fingerprint.0;
        let unknown = || rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let authority = intermediates.iter().find(is_ours).ok_or_else(unknown)?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone()).build();
        let verifier = verifier.map_err(|error| rustls::Error::General(error.to_string()))?;
        verifier.verify_server_cert(end_entity, &[], server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::PeerIncompatible(rustls::PeerIncompatible::Tls12NotOffered))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
