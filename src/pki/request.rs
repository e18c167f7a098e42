//! A request for a certificate: made beside a new key by whoever joins, read by the head.

use rcgen::{CertificateParams, CertificateSigningRequestParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PublicKeyData};
use sha2::{Digest as _, Sha256};

use crate::domain::{Digest, Error};
use crate::limits::CERTIFICATE_FILE_MAX_BYTES;

/// A new key, and the request that shows that one holds it.
pub struct NewRequest {
    /// The private key, PEM. It stays here.
    pub key: String,
    /// PKCS #10, DER.
    pub request: Vec<u8>,
}

/// Makes a key (ECDSA P-256), and a request for it.
///
/// # Errors
/// `Internal` if the system gives no random bytes.
pub fn new_request() -> Result<NewRequest, Error> {
    let failed = |error: rcgen::Error| Error::internal(format!("a key can't be made: {error}"));
    let key = KeyPair::generate().map_err(failed)?;
    let request = CertificateParams::default().serialize_request(&key).map_err(failed)?;
    Ok(NewRequest { key: key.serialize_pem(), request: request.der().to_vec() })
}

/// The key that somebody wants a certificate for; he has shown that he holds the private one.
#[derive(Debug)]
pub struct Requested {
    pub(super) key: rcgen::PublicKey,
}

impl Requested {
    /// Reads a request. Of what else it asks for (names, uses) nothing counts.
    ///
    /// # Errors
    /// `Invalid` for what is no request, is not signed by its own key, or of a kind of key that is not ours.
    pub fn from_der(request: &[u8]) -> Result<Self, Error> {
        if request.len() > CERTIFICATE_FILE_MAX_BYTES {
            let len = request.len();
            return Err(Error::invalid(format!("certificate_request: {len} bytes, at most {CERTIFICATE_FILE_MAX_BYTES} are allowed")));
        }
        let read = CertificateSigningRequestParams::from_der(&request.into());
        let read = read.map_err(|error| Error::invalid(format!("certificate_request: {error}: PKCS #10 in DER is needed")))?;
        let key = read.public_key;
        let is_ours = key.algorithm() == &PKCS_ECDSA_P256_SHA256 && key.der_bytes().len() == 65
            || key.algorithm() == &PKCS_ED25519 && key.der_bytes().len() == 32;
        if is_ours { Ok(Self { key }) } else { Err(Error::invalid("certificate_request: a key of ECDSA P-256 or Ed25519 is needed")) }
    }

    /// SHA-256 of the key, by which it is known again.
    pub fn digest(&self) -> Digest {
        Digest(Sha256::digest(self.key.subject_public_key_info()).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_back_and_a_changed_one_is_not() {
        let made = new_request().unwrap();
        let read = Requested::from_der(&made.request).unwrap();
        assert_eq!(read.digest(), Requested::from_der(&made.request).unwrap().digest());
        assert_ne!(read.digest(), Requested::from_der(&new_request().unwrap().request).unwrap().digest());
        let mut refused = 0;
        for at in 0..made.request.len() {
            let mut bad = made.request.clone();
            bad[at] ^= 1;
            // A change of what it asks for, of its key or of its signature breaks the signature; of what is around these little can be read.
            assert!(Requested::from_der(&bad).is_ok_and(|other| other.digest() == read.digest()) || Requested::from_der(&bad).is_err());
            refused += usize::from(Requested::from_der(&bad).is_err());
        }
        assert!(refused + 4 > made.request.len(), "{refused} of {}", made.request.len());
        assert!(Requested::from_der(&[]).is_err() && Requested::from_der(&vec![0x30; CERTIFICATE_FILE_MAX_BYTES + 1]).is_err());
    }

    #[test]
    fn only_keys_of_our_kinds_are_taken() {
        let request = |algorithm| {
            let key = KeyPair::generate_for(algorithm).unwrap();
            CertificateParams::default().serialize_request(&key).unwrap().der().to_vec()
        };
        assert!(Requested::from_der(&request(&PKCS_ED25519)).is_ok());
        assert!(Requested::from_der(&request(&rcgen::PKCS_ECDSA_P384_SHA384)).is_err());
    }
}
