//! What somebody shows to a head: certificate, key, and the authority that the head has to be of. One PEM file.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::KeyPair;
use rustls_pki_types::pem::{PemObject, SectionKind};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::domain::{Error, ErrorKind};

use super::files;
use super::peer::Peer;

/// See the module.
pub struct Credentials {
    /// The head's address, as whoever joined has reached it; empty if he was not told one.
    pub head: String,
    /// Whose they are.
    pub peer: Peer,
    /// The certificate.
    pub certificate: CertificateDer<'static>,
    /// The private key, PKCS #8.
    pub key: PrivateKeyDer<'static>,
    /// The authority's certificate.
    pub authority: CertificateDer<'static>,
}

const HEAD_LINE: &str = "Millpond-Head: ";

/// One block of a PEM file.
pub(super) fn pem_of(kind: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", lines.join("\n"))
}

impl Credentials {
    /// Of a key that was made here, PEM, and what the head has answered.
    ///
    /// # Errors
    /// `Corrupt` if the certificate is not for this key, or of nobody.
    pub fn new(head: String, key: &str, certificate: Vec<u8>, authority: Vec<u8>) -> Result<Self, Error> {
        let key = KeyPair::from_pem(key).map_err(|_| Error::corrupt("the key can't be read: join again with a new token"))?;
        let certificate = CertificateDer::from(certificate);
        let peer = Peer::of(&certificate)?;
        let digest: [u8; 32] = sha2::Digest::finalize(sha2::Digest::chain_update(
            <sha2::Sha256 as sha2::Digest>::new(),
            rcgen::PublicKeyData::subject_public_key_info(&key),
        ))
        .into();
        if peer.key.0 != digest {
            return Err(Error::corrupt("the certificate is not for the key beside it: join again with a new token"));
        }
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok(Self { head, peer, certificate, key, authority: CertificateDer::from(authority) })
    }

    /// As a file holds them.
    pub fn to_pem(&self) -> String {
        let Self { head, peer, certificate, key, authority } = self;
        let head = if head.is_empty() { String::new() } else { format!("{HEAD_LINE}{head}\n") };
        let key = pem_of("PRIVATE KEY", key.secret_der());
        let (certificate, authority) = (pem_of("CERTIFICATE", certificate), pem_of("CERTIFICATE", authority));
        format!("Millpond credentials of {}: keep them secret\n{head}\n{certificate}{key}{authority}", peer.principal)
    }

    /// Writes the file: for its owner alone, whole or not at all.
    ///
    /// # Errors
    /// That of the disk.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        if let Some(folder) = path.parent().filter(|folder| *folder != Path::new("")) {
            files::create_folder(folder)?;
        }
        files::write(path, &self.to_pem())
    }

    /// Reads the file.
    ///
    /// # Errors
    /// `NotFound`; `Denied` if everybody on the machine can read it; `Corrupt` for what is not whole. Each says what to do.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = files::read_secret(path).map_err(|error| match error.kind {
            ErrorKind::NotFound => Error::not_found(format!(
                "{}: no credentials are there: `millpond login TOKEN`, with a token that an admin has made (`millpond token create`)",
                path.display()
            )),
            _ => error,
        })?;
        Self::from_pem(&text).map_err(|error| error.context(path.display()))
    }

    /// What a file holds.
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn from_pem(text: &str) -> Result<Self, Error> {
        let broken = |what: &str| Error::corrupt(format!("{what}: these are no whole credentials: log in again with a new token"));
        let (mut certificates, mut keys) = (Vec::new(), Vec::new());
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes()) {
            match section.map_err(|_| broken("what is between BEGIN and END can't be read"))? {
                (SectionKind::Certificate, der) => certificates.push(der),
                (SectionKind::PrivateKey, der) => keys.push(der),
                _ => return Err(broken("something else than certificates and a key is in it")),
            }
        }
        let (Ok([certificate, authority]), Ok([key])) = (<[Vec<u8>; 2]>::try_from(certificates), <[Vec<u8>; 1]>::try_from(keys)) else {
            return Err(broken("a certificate, its key and the authority's certificate are needed"));
        };
        let head = text.lines().find_map(|line| line.strip_prefix(HEAD_LINE)).unwrap_or_default().trim().to_owned();
        Self::new(head, &pem_of("PRIVATE KEY", &key), certificate, authority)
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({}, {})", self.peer.principal, self.head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Principal, PrincipalId, Role, WallTime};
    use crate::pki::{Authority, Requested, new_request};
    use std::time::Duration;

    fn credentials(head: &str) -> (Credentials, String) {
        let now = WallTime(1_700_000_000_000_000);
        let (authority, _) = Authority::new(now).unwrap();
        let made = new_request().unwrap();
        let ana = Principal { id: PrincipalId::from_random(7), name: "ana".into(), role: Role::Admin };
        let issued = Authority::next(Duration::from_secs(3600), now).unwrap();
        let certificate = authority.certify(&ana, &Requested::from_der(&made.request).unwrap(), issued, now).unwrap();
        (Credentials::new(head.into(), &made.key, certificate.to_vec(), authority.certificate().to_vec()).unwrap(), made.key)
    }

    #[test]
    fn they_come_back_from_their_file_and_a_part_of_it_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("new/admin.pem");
        for head in ["", "https://lab:7663"] {
            let (made, _) = credentials(head);
            made.write(&file).unwrap();
            let read = Credentials::read(&file).unwrap();
            assert_eq!((read.head.as_str(), &read.peer, &read.authority), (head, &made.peer, &made.authority));
            assert_eq!((read.key.secret_der(), &read.certificate), (made.key.secret_der(), &made.certificate));
        }
        let text = std::fs::read_to_string(&file).unwrap();
        for cut in [0, text.find("-----BEGIN PRIVATE").unwrap(), text.len() - 40] {
            let error = Credentials::from_pem(&text[..cut]).unwrap_err();
            assert!(error.kind == ErrorKind::Corrupt && error.message.contains("log in again"), "{error}");
        }
        assert!(Credentials::from_pem(&format!("{text}{text}")).is_err());
        let error = Credentials::read(&dir.path().join("none.pem")).unwrap_err();
        assert!(error.kind == ErrorKind::NotFound && error.message.contains("millpond login"), "{error}");
    }

    #[test]
    fn a_certificate_of_another_key_is_none() {
        let (made, _) = credentials("");
        let (_, other) = credentials("");
        let mixed = Credentials::new(String::new(), &other, made.certificate.to_vec(), made.authority.to_vec());
        assert!(mixed.is_err_and(|error| error.message.contains("not for the key")));
    }
}
