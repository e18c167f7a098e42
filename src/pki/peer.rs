//! Who a certificate says that somebody is. That it counts (signed by our authority, not expired) was checked before.

use sha2::{Digest as _, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::domain::identity::Issued;
use crate::domain::{Digest, Error, Principal, WallTime};

/// Whose a certificate is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// As the certificate has it. Only the id is to be believed: name and role are in the head's journal.
    pub principal: Principal,
    /// Its number and its end.
    pub issued: Issued,
    /// When it began to count.
    pub begins: WallTime,
    /// SHA-256 of its public key.
    pub key: Digest,
}

impl Peer {
    /// Reads a certificate, DER.
    ///
    /// # Errors
    /// `Denied` for one that is not of our making: it may be signed by ours, as the head's own is, and name nobody.
    pub fn of(certificate: &[u8]) -> Result<Self, Error> {
        let strange = |what: &str| Error::denied(format!("the certificate is none of a principal ({what}): log in again with a new token"));
        let (rest, read) = X509Certificate::from_der(certificate).map_err(|_| strange("it can't be read"))?;
        if !rest.is_empty() {
            return Err(strange("something follows it"));
        }
        let subject = read.subject();
        let only = |mut values: Box<dyn Iterator<Item = Option<String>> + '_>| values.next().flatten().filter(|_| values.next().is_none());
        let name = only(Box::new(subject.iter_common_name().map(|value| value.as_str().ok().map(str::to_owned))));
        let role = only(Box::new(subject.iter_organizational_unit().map(|value| value.as_str().ok().map(str::to_owned))));
        let name = name.ok_or_else(|| strange("it has no name"))?;
        let (id, name) = name.split_once(' ').ok_or_else(|| strange("its name is of another form"))?;
        let principal = Principal {
            id: id.parse().map_err(|_| strange("it names no id"))?,
            name: name.to_owned(),
            role: role.and_then(|role| role.parse().ok()).ok_or_else(|| strange("it names no role"))?,
        };
        let time = |seconds: i64| WallTime(seconds.saturating_mul(1_000_000));
        let issued = Issued {
            serial: serial(read.raw_serial()).ok_or_else(|| strange("its number is too long"))?,
            expires: time(read.validity().not_after.timestamp()),
        };
        let key = Digest(Sha256::digest(read.public_key().raw).into());
        Ok(Self { principal, issued, begins: time(read.validity().not_before.timestamp()), key })
    }

    /// When to ask for the next one: at half of its life.
    pub fn renew_at(&self) -> WallTime {
        WallTime(self.begins.0 + (self.issued.expires.0 - self.begins.0) / 2)
    }
}

fn serial(bytes: &[u8]) -> Option<u128> {
    let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    let digits = bytes.get(first..).filter(|digits| digits.len() <= 16)?;
    Some(digits.iter().fold(0, |serial, byte| serial << 8 | u128::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_whatever_zeros_stand_before_it() {
        assert_eq!((serial(&[0, 0, 1, 2]), serial(&[]), serial(&[0xff; 16])), (Some(0x102), Some(0), Some(u128::MAX)));
        assert_eq!((serial(&[0; 40]), serial(&[1; 17])), (Some(0), None));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            proptest::prop_assert!(Peer::of(&bytes).is_err());
        }
    }
}
