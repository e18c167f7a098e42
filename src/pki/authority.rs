//! The head's own authority: one key that signs the head's certificate and those of all who join. Nobody else trusts it.

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PublicKeyData, SerialNumber, date_time_ymd,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest as _, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::domain::identity::Issued;
use crate::domain::{Digest, Error, Principal, WallTime};
use crate::limits::{AUTHORITY_LIFE, CERTIFICATE_BACKDATED, HEAD_CERTIFICATE_LIFE};

use super::random::random_serial;
use super::request::Requested;

/// The name that every head's certificate has, and every client asks for, whatever the address: it is the authority that is trusted, and that
/// is one head's own.
pub const HEAD_NAME: &str = "millpond-head";

/// See the module.
pub struct Authority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// What the head shows to whoever connects.
pub struct HeadCertificate {
    /// Its own, and behind it the authority's.
    pub chain: Vec<CertificateDer<'static>>,
    /// PKCS #8.
    pub key: PrivateKeyDer<'static>,
}

fn broken(error: rcgen::Error) -> Error {
    Error::internal(format!("a certificate can't be made: {error}"))
}

/// A certificate of these names that counts for so long.
fn params(names: &[String], subject: &[(DnType, &str)], life: Duration, now: WallTime) -> Result<(CertificateParams, Issued), Error> {
    let serial = random_serial()?;
    let mut params = CertificateParams::new(names).map_err(|error| Error::invalid(format!("a name of the head: {error}")))?;
    params.distinguished_name = DistinguishedName::new();
    subject.iter().for_each(|(kind, value)| params.distinguished_name.push(kind.clone(), *value));
    params.serial_number = Some(SerialNumber::from_slice(&serial.to_be_bytes()));
    let second = |time: WallTime| Duration::from_secs(u64::try_from(time.0.div_euclid(1_000_000)).unwrap_or(0));
    let expires = now.after(life);
    params.not_before = date_time_ymd(1970, 1, 1) + second(now.before(CERTIFICATE_BACKDATED));
    params.not_after = date_time_ymd(1970, 1, 1) + second(expires);
    // A certificate knows whole seconds.
    Ok((params, Issued { serial, expires: WallTime(expires.0.div_euclid(1_000_000) * 1_000_000) }))
}

impl Authority {
    /// A new one, and its key as PEM.
    ///
    /// # Errors
    /// `Internal` if the system gives no random bytes.
    pub fn new(now: WallTime) -> Result<(Self, String), Error> {
        let (mut params, _) = params(&[], &[(DnType::CommonName, "millpond authority")], AUTHORITY_LIFE, now)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().map_err(broken)?;
        let certificate = params.self_signed(&key).map_err(broken)?.der().clone();
        let pem = key.serialize_pem();
        Ok((Self { certificate, issuer: Issuer::new(params, key) }, pem))
    }

    /// Of what was kept.
    ///
    /// # Errors
    /// `Corrupt` for what can't be read, or a key that is another's.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, Error> {
        let unreadable = |what: &str| Error::corrupt(format!("{what} can't be read: put the file back from a backup"));
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(|_| unreadable("the certificate"))?;
        let key = KeyPair::from_pem(key).map_err(|_| unreadable("the key"))?;
        let (_, read) = X509Certificate::from_der(&certificate).map_err(|_| unreadable("the certificate"))?;
        if read.public_key().raw != key.subject_public_key_info() {
            return Err(Error::corrupt("the key is not that of the certificate: put both files back from the same backup"));
        }
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(|_| unreadable("the certificate"))?;
        Ok(Self { certificate, issuer })
    }

    /// Its certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// SHA-256 of its certificate: what a token names it by.
    pub fn fingerprint(&self) -> Digest {
        Digest(Sha256::digest(&self.certificate).into())
    }

    /// Whether this certificate, DER, is of its making; whether it counts now is another question.
    pub fn has_signed(&self, certificate: &[u8]) -> bool {
        let ours = X509Certificate::from_der(&self.certificate);
        let theirs = X509Certificate::from_der(certificate);
        match (ours, theirs) {
            (Ok((_, ours)), Ok((_, theirs))) => theirs.verify_signature(Some(ours.public_key())).is_ok(),
            _ => false,
        }
    }

    /// A certificate for somebody who may call the head, DER. The serial number and the end are to be written down before it is given away.
    ///
    /// # Errors
    /// `Internal`.
    pub fn certify(
        &self,
        principal: &Principal,
        requested: &Requested,
        issued: Issued,
        now: WallTime,
    ) -> Result<CertificateDer<'static>, Error> {
        let (subject, role) = (format!("{} {}", principal.id, principal.name), principal.role.name());
        let subject = [(DnType::CommonName, subject.as_str()), (DnType::OrganizationalUnitName, role)];
        let life = Duration::from_micros(u64::try_from(issued.expires.0 - now.0).unwrap_or(0));
        let (mut params, _) = params(&[], &subject, life, now)?;
        params.serial_number = Some(SerialNumber::from_slice(&issued.serial.to_be_bytes()));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // For nothing else: nobody who may call a head may pass for one.
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        params.signed_by(&requested.key, &self.issuer).map(Into::into).map_err(broken)
    }

    /// A number and an end for the next certificate.
    ///
    /// # Errors
    /// `Internal` if the system gives no random bytes.
    pub fn next(life: Duration, now: WallTime) -> Result<Issued, Error> {
        let seconds = now.after(life).0.div_euclid(1_000_000);
        Ok(Issued { serial: random_serial()?, expires: WallTime(seconds * 1_000_000) })
    }

    /// A certificate and a key for the head itself: of [`HEAD_NAME`], and of `names` (host names and addresses), for browsers. PEM, both.
    ///
    /// # Errors
    /// `Invalid` for a name that can't be one.
    pub fn certify_head(&self, names: &[String], now: WallTime) -> Result<(String, String), Error> {
        let names: Vec<String> = std::iter::once(HEAD_NAME.to_owned()).chain(names.iter().cloned()).collect();
        let (mut params, _) = params(&names, &[(DnType::CommonName, HEAD_NAME)], HEAD_CERTIFICATE_LIFE, now)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().map_err(broken)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(broken)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }

    /// The head's certificate, as it is shown.
    ///
    /// # Errors
    /// `Corrupt` for what can't be read, is not signed by this authority, or has another key.
    pub fn head_certificate(&self, certificate: &str, key: &str) -> Result<HeadCertificate, Error> {
        let unusable = |why: &str| Error::corrupt(format!("{why}: remove it and its key, and the head makes new ones at its next start"));
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(|_| unusable("can't be read"))?;
        let (_, read) = X509Certificate::from_der(&certificate).map_err(|_| unusable("can't be read"))?;
        let key = KeyPair::from_pem(key).map_err(|_| unusable("its key can't be read"))?;
        if read.public_key().raw != key.subject_public_key_info() {
            return Err(unusable("its key is another's"));
        }
        if !self.has_signed(&certificate) {
            return Err(unusable("it is not signed by the authority beside it"));
        }
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok(HeadCertificate { chain: vec![certificate, self.certificate.clone()], key })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{PrincipalId, Role};
    use crate::pki::{Peer, new_request};

    const NOW: WallTime = WallTime(1_700_000_000_123_456);

    fn ana() -> Principal {
        Principal { id: PrincipalId::from_random(0xabc), name: "Ana B. Çelik, lab 3".into(), role: Role::Submitter }
    }

    #[test]
    fn a_certificate_says_who_it_is_for_until_when_and_who_has_signed_it() {
        let (authority, key) = Authority::new(NOW).unwrap();
        let made = new_request().unwrap();
        let requested = Requested::from_der(&made.request).unwrap();
        let issued = Authority::next(Duration::from_secs(7 * 86_400), NOW).unwrap();
        let certificate = authority.certify(&ana(), &requested, issued, NOW).unwrap();
        let peer = Peer::of(&certificate).unwrap();
        assert_eq!((peer.principal.clone(), peer.issued, peer.key), (ana(), issued, requested.digest()));
        assert!(peer.begins < NOW && peer.renew_at() > NOW && peer.renew_at() < issued.expires);
        assert!(authority.has_signed(&certificate));
        let again = Authority::from_pem(&pem_of(&authority), &key).unwrap();
        assert_eq!(again.fingerprint(), authority.fingerprint());
        assert!(again.has_signed(&again.certify(&ana(), &requested, issued, NOW).unwrap()));
        let (other, _) = Authority::new(NOW).unwrap();
        assert!(!other.has_signed(&certificate) && !authority.has_signed(&[1, 2, 3]));
        let (_, read) = X509Certificate::from_der(&certificate).unwrap();
        let uses = read.extended_key_usage().unwrap().unwrap().value;
        assert!(uses.client_auth && !uses.server_auth && !uses.any, "nobody who may call a head may pass for one");
        assert!(read.subject_alternative_name().unwrap().is_none() && !read.is_ca());
    }

    fn pem_of(authority: &Authority) -> String {
        crate::pki::credentials::pem_of("CERTIFICATE", authority.certificate())
    }

    #[test]
    fn the_head_bears_the_name_that_clients_ask_for_and_is_no_principal() {
        let (authority, _) = Authority::new(NOW).unwrap();
        let (certificate, key) = authority.certify_head(&["lab.example".into(), "10.0.0.7".into()], NOW).unwrap();
        let shown = authority.head_certificate(&certificate, &key).unwrap();
        let [own, behind] = shown.chain.as_slice() else { panic!("{} certificates", shown.chain.len()) };
        assert_eq!(behind, authority.certificate());
        let (_, read) = X509Certificate::from_der(own).unwrap();
        let names = format!("{:?}", read.subject_alternative_name().unwrap().unwrap().value);
        assert!(names.contains("millpond-head") && names.contains("lab.example") && names.contains("[10, 0, 0, 7]"), "{names}");
        assert!(Peer::of(own).is_err() && Peer::of(authority.certificate()).is_err());
        let (other, other_key) = Authority::new(NOW).unwrap();
        assert!(other.head_certificate(&certificate, &key).is_err_and(|error| error.message.contains("not signed by")));
        assert!(authority.head_certificate(&certificate, &other_key).is_err_and(|error| error.message.contains("another's")));
        assert!(Authority::from_pem(&pem_of(&authority), &other_key).is_err_and(|error| error.message.contains("is not that of")));
        assert!(Authority::from_pem("nonsense", &other_key).is_err_and(|error| error.message.contains("put the file back")));
        assert!(authority.certify_head(&["no such\u{1}name é".into()], NOW).is_err());
    }
}
