//! Who may do what: principals, their roles, the tokens by which they join, and whoever makes a call.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::error::Error;
use super::ids::Digest;
use super::time::WallTime;

/// What a principal is for. Persisted: a new one comes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Sees everything, changes nothing.
    Reader,
    /// Submits jobs, and steers its own.
    Submitter,
    /// Runs tasks: a machine.
    Worker,
    /// May do everything that a person may do.
    Admin,
}

impl Role {
    /// All of them, in the order of the table in `engine/access.rs`.
    pub const ALL: [Self; 4] = [Self::Reader, Self::Submitter, Self::Worker, Self::Admin];

    /// As on the command line and in a certificate.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Submitter => "submitter",
            Self::Worker => "worker",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let found = Self::ALL.into_iter().find(|role| role.name() == text);
        found.ok_or_else(|| Error::invalid(format!("`{text}` is not a role: there are reader, submitter, worker and admin")))
    }
}

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $what:literal) => {
        $(#[$doc])*
        ///
        /// 48 random bits, and not a counter: after the head was put back to a backup a number would come again, and with it whoever holds a
        /// certificate that bears it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        pub struct $name(u64);

        impl $name {
            /// Of random bits, of which 48 count.
            pub fn from_random(bits: u64) -> Self {
                Self(bits & 0xffff_ffff_ffff)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{:012x}"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self, Error> {
                let digits = text.strip_prefix($prefix).filter(|digits| digits.len() == 12);
                let digits = digits.filter(|digits| digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')));
                let number = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
                number.map(Self).ok_or_else(|| {
                    let form = concat!("write it as ", $prefix, "0123456789ab");
                    Error::invalid(format!("`{text}` is not {}: {form}", $what))
                })
            }
        }
    };
}

random_id!(
    /// A principal, shown as `p` and twelve hexadecimal digits.
    PrincipalId, "p", "a principal");
random_id!(
    /// A token, shown as `t` and twelve hexadecimal digits. No secret.
    TokenId, "t", "a token");

/// Somebody, or some machine, that the head knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// Its own, however it is called.
    pub id: PrincipalId,
    /// What the admin who made its token calls it; of a worker, its machine's. What a submitter's jobs belong to: whoever is given the same
    /// name is the same person, on another machine or with a later certificate.
    pub name: String,
    /// What it may do.
    pub role: Role,
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} {})", self.name, self.role, self.id)
    }
}

/// Whoever makes a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Not known: on a head without identities everybody, on one with them whoever has shown no certificate.
    Anyone,
    /// Of a certificate that counts.
    Known(Principal),
}

impl Caller {
    /// The principal, if it is known.
    pub fn principal(&self) -> Option<&Principal> {
        match self {
            Self::Anyone => None,
            Self::Known(principal) => Some(principal),
        }
    }
}

/// A certificate that was given to a principal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issued {
    /// Its number: random.
    pub serial: u128,
    /// From then on it does not count.
    pub expires: WallTime,
}

/// A principal as the head remembers it. Persisted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admitted {
    /// Who.
    pub principal: Principal,
    /// The token it came by; none for those that were made on the head's machine.
    pub token: Option<TokenId>,
    /// SHA-256 of the public key with which it came: the same request again, whose answer was lost, is answered again.
    pub key: Digest,
    /// When it came.
    pub at: WallTime,
    /// Its latest certificate.
    pub issued: Issued,
    /// When it was revoked.
    pub revoked: Option<WallTime>,
}

/// A token as the head remembers it. Persisted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Its name.
    pub id: TokenId,
    /// SHA-256 of the secret, which the head does not know.
    pub secret: Digest,
    /// Of those who come by it.
    pub role: Role,
    /// Of those who come by it; empty for workers, each of which is called as its machine.
    pub name: String,
    /// When it was made.
    pub created: WallTime,
    /// Who made it, for people.
    pub by: String,
    /// From then on it does not count.
    pub expires: WallTime,
    /// How many may come by it.
    pub uses: u32,
    /// How many have come.
    pub used: u32,
    /// When it was revoked.
    pub revoked: Option<WallTime>,
}

/// One fact about identities. Persisted: a new kind comes last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IdentityEntry {
    /// A token was made.
    TokenCreated(Box<Token>),
    /// It does not count any more.
    TokenRevoked {
        /// Which.
        token: TokenId,
        /// When.
        at: WallTime,
    },
    /// Somebody is known from now on; came by a token, if it says so, which is used once more by that.
    Admitted(Box<Admitted>),
    /// A new certificate was given out.
    Renewed {
        /// To whom.
        principal: PrincipalId,
        /// Which.
        issued: Issued,
        /// SHA-256 of its public key.
        key: Digest,
        /// When.
        at: WallTime,
    },
    /// Somebody is not let in any more.
    Revoked {
        /// Who.
        principal: PrincipalId,
        /// When.
        at: WallTime,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_and_an_id_survive_their_text() {
        for role in Role::ALL {
            assert_eq!(role.name().parse::<Role>().unwrap(), role);
        }
        assert!("Admin".parse::<Role>().is_err() && "".parse::<Role>().is_err());
        for bits in [0, 1, u64::MAX, 0x1234_5678_9abc] {
            let (principal, token) = (PrincipalId::from_random(bits), TokenId::from_random(bits));
            assert_eq!((principal.to_string().parse(), token.to_string().parse()), (Ok(principal), Ok(token)));
        }
        for bad in ["", "p", "p1", "P0123456789ab", "p0123456789AB", "p+123456789ab", "p0123456789abc", "t0123456789ab", "pé123456789ab"] {
            assert!(bad.parse::<PrincipalId>().is_err(), "{bad}");
        }
    }
}
