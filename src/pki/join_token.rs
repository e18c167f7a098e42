//! What an admin hands to somebody who is to join: where the head is, which authority it has to be of, and a secret. One string.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::domain::{Digest, Error, TokenId};

use super::random::random_bytes;

/// See the module. Shown as `mp1.` and base64url of: id (6 bytes, as in its text), fingerprint (32), secret (32), the head's URL, and the first
/// four bytes of the SHA-256 of all that, so that half a string is known as such before anything is sent.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// The head's address, as those who join reach it.
    pub head: String,
    /// SHA-256 of the authority's certificate.
    pub fingerprint: Digest,
    /// Which token.
    pub id: TokenId,
    /// What makes it one.
    pub secret: [u8; 32],
}

const PREFIX: &str = "mp1.";
const HEAD_MAX_BYTES: usize = 512;
const FIXED_BYTES: usize = 6 + 32 + 32;
const CHECK_BYTES: usize = 4;

/// A new secret, and what the head is told of it.
///
/// # Errors
/// `Internal` if the system gives no random bytes.
pub fn new_secret() -> Result<([u8; 32], Digest), Error> {
    let secret = random_bytes()?;
    Ok((secret, digest_of(&secret)))
}

/// What the head knows of a secret.
pub fn digest_of(secret: &[u8]) -> Digest {
    Digest(Sha256::digest(secret).into())
}

fn check(bytes: &[u8]) -> [u8; CHECK_BYTES] {
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    std::array::from_fn(|at| digest[at])
}

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.id.to_string();
        let id = (0..6).filter_map(|at| u8::from_str_radix(id.get(1 + 2 * at..3 + 2 * at)?, 16).ok());
        let mut bytes: Vec<u8> = id.chain(self.fingerprint.0).chain(self.secret).chain(self.head.bytes()).collect();
        bytes.extend(check(&bytes));
        write!(f, "{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }
}

/// Without the secret: it may come into a log.
impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinToken({} for {})", self.id, self.head)
    }
}

impl FromStr for JoinToken {
    type Err = Error;

    /// Reads one; blanks and line ends around it, and within it where a mail program has broken the line, don't count.
    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = |why: &str| Error::invalid(format!("this is no token ({why}): copy all of what `millpond token create` has printed"));
        let text: String = text.split_whitespace().collect();
        let coded = text.strip_prefix(PREFIX).ok_or_else(|| bad("it does not begin with mp1."))?;
        if coded.len() > 2 * (FIXED_BYTES + HEAD_MAX_BYTES) {
            return Err(bad("it is too long"));
        }
        let bytes = URL_SAFE_NO_PAD.decode(coded).map_err(|_| bad("it has a character that is none of a token's"))?;
        let (bytes, sum) = bytes.split_last_chunk::<CHECK_BYTES>().ok_or_else(|| bad("it is too short"))?;
        if check(bytes) != *sum {
            return Err(bad("a part of it is missing or changed"));
        }
        let (id, rest) = bytes.split_first_chunk::<6>().ok_or_else(|| bad("it is too short"))?;
        let (fingerprint, rest) = rest.split_first_chunk::<32>().ok_or_else(|| bad("it is too short"))?;
        let (secret, head) = rest.split_first_chunk::<32>().ok_or_else(|| bad("it is too short"))?;
        let head = std::str::from_utf8(head).ok().filter(|head| !head.chars().any(char::is_control)).ok_or_else(|| bad("its address"))?;
        let id = id.iter().fold(0, |bits, byte| bits << 8 | u64::from(*byte));
        Ok(Self { head: head.to_owned(), fingerprint: Digest(*fingerprint), id: TokenId::from_random(id), secret: *secret })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn token() -> JoinToken {
        let id = TokenId::from_random(0x0123_4567_89ab);
        JoinToken { head: "https://lab.example:7663".into(), fingerprint: Digest([7; 32]), id, secret: [9; 32] }
    }

    #[test]
    fn it_survives_a_copy_and_half_of_it_is_known_as_such() {
        let text = token().to_string();
        assert_eq!(text.parse::<JoinToken>().unwrap(), token());
        assert_eq!(format!(" {}\n  {}\n", &text[..70], &text[70..]).parse::<JoinToken>().unwrap(), token());
        for cut in 0..text.len() {
            assert!(text[..cut].parse::<JoinToken>().is_err(), "{cut}");
        }
        assert!(text.to_uppercase().parse::<JoinToken>().is_err());
        assert_eq!(format!("{:?}", token()), "JoinToken(t0123456789ab for https://lab.example:7663)");
        let (secret, digest) = new_secret().unwrap();
        assert_eq!(digest, digest_of(&secret));
    }

    proptest! {
        #[test]
        fn every_token_survives_its_text_and_no_text_panics(bits: u64, secret: [u8; 32], head in "https://[a-zé.]{0,40}:[0-9]{1,5}", text in "mp1\\.[A-Za-z0-9_é-]{0,200}") {
            let token = JoinToken { head, fingerprint: Digest(secret), id: TokenId::from_random(bits), secret };
            prop_assert_eq!(token.to_string().parse::<JoinToken>().unwrap(), token);
            prop_assert!(text.parse::<JoinToken>().is_err());
        }

        #[test]
        fn a_changed_character_is_noticed(at in 4usize..150, to in "[A-Za-z0-9_-]") {
            let mut text = token().to_string();
            let at = at.min(text.len() - 2);
            if text[at..=at] != to {
                text.replace_range(at..=at, &to);
                prop_assert!(text.parse::<JoinToken>().is_err());
            }
        }
    }
}
