//! What a browser keeps instead of a certificate: whose it is, until when it counts, and a seal that only the head can make.
//!
//! The head keeps nothing of it but its key, which follows from that of the authority: so a session outlives a restart, and goes with the
//! authority. Whether whose it is may still come in is another question, asked at each request.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;

use crate::domain::{Error, PrincipalId, WallTime};

/// Longer texts are none of ours.
const TEXT_MAX_BYTES: usize = 128;

/// Seals sessions, and knows its own seal.
pub struct SessionKey(hmac::Key);

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// Whose.
    pub principal: PrincipalId,
    /// From then on it does not count.
    pub expires: WallTime,
}

impl SessionKey {
    /// The one that follows from a secret. It tells nothing of the secret.
    pub fn of(secret: &str) -> Self {
        let parent = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        Self(hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&parent, b"millpond: sessions of browsers, version 1").as_ref()))
    }

    /// As `p0123456789ab.1795896000000000.SEAL`: whose, microseconds since 1970, and HMAC-SHA256 of both in base64url.
    pub fn seal(&self, session: Session) -> String {
        let said = format!("{}.{}", session.principal, session.expires.0);
        let seal = URL_SAFE_NO_PAD.encode(hmac::sign(&self.0, said.as_bytes()));
        format!("{said}.{seal}")
    }

    /// The session of a text that this key has sealed.
    ///
    /// # Errors
    /// `Denied` for any other, and for one that is over.
    pub fn read(&self, text: &str, now: WallTime) -> Result<Session, Error> {
        let session = self.sealed(text).ok_or_else(|| Error::denied("this browser's session is not one of this head's: log in again"))?;
        if session.expires <= now {
            return Err(Error::denied("this browser's session is over: log in again"));
        }
        Ok(session)
    }

    fn sealed(&self, text: &str) -> Option<Session> {
        if text.len() > TEXT_MAX_BYTES {
            return None;
        }
        let (said, seal) = text.rsplit_once('.')?;
        let seal = URL_SAFE_NO_PAD.decode(seal).ok()?;
        hmac::verify(&self.0, said.as_bytes(), &seal).ok()?;
        let (principal, expires) = said.split_once('.')?;
        Some(Session { principal: principal.parse().ok()?, expires: WallTime(expires.parse().ok()?) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_session_counts_where_it_was_sealed_and_until_it_is_over() {
        let key = SessionKey::of("secret");
        let session = Session { principal: PrincipalId::from_random(7), expires: WallTime(1_000) };
        let text = key.seal(session);
        assert_eq!(SessionKey::of("secret").read(&text, WallTime(999)), Ok(session));
        assert!(key.read(&text, WallTime(1_000)).is_err_and(|error| error.message.contains("is over")));
        assert!(SessionKey::of("another").read(&text, WallTime(0)).is_err_and(|error| error.message.contains("not one of this head's")));
    }

    proptest! {
        #[test]
        fn no_other_text_is_a_session(bits: u64, expires: i64, at in 0usize..128, other in "[ -~]{0,160}") {
            let key = SessionKey::of("secret");
            let session = Session { principal: PrincipalId::from_random(bits), expires: WallTime(expires) };
            let text = key.seal(session);
            prop_assert_eq!(key.sealed(&text), Some(session));
            prop_assert_eq!(key.sealed(&other), None);
            let mut changed = text.clone().into_bytes();
            let at = at % changed.len();
            changed[at] ^= 1;
            prop_assert_ne!(key.sealed(&String::from_utf8_lossy(&changed)), Some(session));
            prop_assert_eq!(key.sealed(&text[..at]), None);
        }
    }
}
