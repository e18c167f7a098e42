//! Who is known to the head, and who may become so: tokens and the principals that came by them.
//!
//! ```text
//! token:      created ─► redeemed, `uses` times ─► used up, revoked or expired ─► forgotten
//! principal:  admitted ─► renewed … ─► revoked or expired ─► forgotten
//! ```
//! A question (`create`, `redeem`, …) changes nothing and gives the entry that would; [`Tokens::apply`] changes, here and in the ledger. Time
//! and everything random comes in. A secret never does: only its SHA-256.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::domain::identity::{Admitted, IdentityEntry, Issued, Token};
use crate::domain::{Digest, Error, Principal, PrincipalId, Role, TokenId, WallTime};
use crate::limits::{IDENTITY_KNOWN_AFTER_END, NAME_MAX_BYTES, PRINCIPALS_MAX, TOKEN_TTL_MAX, TOKEN_USES_MAX, TOKENS_MAX};

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    tokens: BTreeMap<TokenId, Token>,
    principals: BTreeMap<PrincipalId, Admitted>,
}

/// A token that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewToken {
    /// Random, made for this request.
    pub id: TokenId,
    /// SHA-256 of the secret. The same again is the same request again.
    pub secret: Digest,
    /// Of those who come by it.
    pub role: Role,
    /// Of those who come by it; of workers it may be empty.
    pub name: String,
    /// How long it may be redeemed.
    pub ttl: Duration,
    /// How often.
    pub uses: u32,
    /// Who asks.
    pub by: String,
}

/// What becomes of a question whose answer is an entry, if it was not answered before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decided<T> {
    /// This entry makes it so.
    New(T, IdentityEntry),
    /// It is so already.
    Before(T),
}

impl<T> Decided<T> {
    /// What the question was about, and the entry that has to be durable before it is answered.
    pub fn parts(self) -> (T, Option<IdentityEntry>) {
        match self {
            Self::New(what, entry) => (what, Some(entry)),
            Self::Before(what) => (what, None),
        }
    }
}

/// Somebody who shows a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redemption {
    /// As the token says.
    pub token: TokenId,
    /// SHA-256 of what it says is its secret.
    pub secret: Digest,
    /// SHA-256 of the public key that the certificate is for; he has shown that he holds the private one.
    pub key: Digest,
    /// His machine's name.
    pub host: String,
    /// Random, made for this request.
    pub principal: PrincipalId,
    /// The certificate that he is to get.
    pub issued: Issued,
}

/// One line of text that a person can tell from others.
fn check_name(what: &str, name: &str) -> Result<(), Error> {
    let usable = !name.trim().is_empty() && name.trim() == name && name.len() <= NAME_MAX_BYTES && !name.chars().any(char::is_control);
    if usable { Ok(()) } else { Err(Error::invalid(format!("{what}: one line of 1 to {NAME_MAX_BYTES} bytes is needed"))) }
}

/// What whoever guesses is told: not whether there is such a token.
fn not_a_token() -> Error {
    Error::denied("this token is not known here, or was not copied whole: ask an admin for a new one (`millpond token create`)")
}

impl Tokens {
    /// A token, made or, of a request that came before, found.
    ///
    /// # Errors
    /// `Invalid` for a name, a time or a number of uses that can't be; `Conflict` if the secret is another token's; `Exhausted` at a limit.
    pub fn create(&self, new: NewToken, now: WallTime) -> Result<Decided<Token>, Error> {
        let NewToken { id, secret, role, name, ttl, uses, by } = new;
        if let Some(known) = self.tokens.values().find(|token| token.secret == secret) {
            let same = (known.role, known.name.as_str(), known.uses) == (role, name.as_str(), uses);
            return if same {
                Ok(Decided::Before(known.clone()))
            } else {
                Err(Error::conflict(format!("the secret is that of token {}, which is another: make a new one", known.id)))
            };
        }
        match role {
            Role::Worker if name.is_empty() => {}
            Role::Worker => check_name("name", &name)?,
            Role::Reader | Role::Submitter | Role::Admin if name.is_empty() => {
                return Err(Error::invalid(format!("name: a {role} needs one (--name): what its jobs and its lines in the audit go by")));
            }
            Role::Reader | Role::Submitter | Role::Admin => check_name("name", &name)?,
        }
        if ttl < Duration::from_secs(1) || ttl > TOKEN_TTL_MAX {
            let days = TOKEN_TTL_MAX.as_secs() / 86_400;
            return Err(Error::invalid(format!("ttl: {} s, from 1 s to {days} days is allowed", ttl.as_secs())));
        }
        if uses == 0 || uses > TOKEN_USES_MAX {
            return Err(Error::invalid(format!("uses: {uses}, from 1 to {TOKEN_USES_MAX} is allowed")));
        }
        if self.tokens.contains_key(&id) {
            return Err(Error::unavailable(format!("token {id} is there already, by chance: try again")));
        }
        if self.tokens.values().filter(|token| !is_past(token, now)).count() >= TOKENS_MAX {
            return Err(Error::exhausted(format!("{TOKENS_MAX} tokens can be redeemed, and no more are made: revoke some")));
        }
        let expires = now.after(ttl);
        let token = Token { id, secret, role, name, created: now, by, expires, uses, used: 0, revoked: None };
        Ok(Decided::New(token.clone(), IdentityEntry::TokenCreated(Box::new(token))))
    }

    /// The token that somebody shows, whatever became of it.
    ///
    /// # Errors
    /// `Denied` where there is none, or its secret is another.
    pub fn shown(&self, id: TokenId, secret: Digest) -> Result<&Token, Error> {
        let token = self.tokens.get(&id);
        // Whether there is such a token must not show in the time that it takes.
        let expected = token.map_or(Digest([0; 32]), |token| token.secret);
        let is_right = bool::from(expected.0.ct_eq(&secret.0));
        token.filter(|_| is_right).ok_or_else(not_a_token)
    }

    /// Whether somebody who shows a token is let in, and as whom. The same again with the same key, since the answer was lost, is the same
    /// principal, and no further use.
    ///
    /// # Errors
    /// `Denied` for a token that is wrong, used up, revoked or expired, or of a principal that is revoked; `Invalid` for a machine's name that
    /// can't be one; `Exhausted` at a limit.
    pub fn redeem(&self, shown: Redemption, now: WallTime) -> Result<(Principal, IdentityEntry), Error> {
        let Redemption { token: id, secret, key, host, principal, issued } = shown;
        let token = self.shown(id, secret)?;
        if token.revoked.is_some() {
            return Err(Error::denied(format!("token {id} was revoked: ask an admin for a new one")));
        }
        if token.expires <= now {
            return Err(Error::denied(format!("token {id} has expired: ask an admin for a new one")));
        }
        if let Some(known) = self.principals.values().find(|known| known.token == Some(id) && known.key == key) {
            let who = self.admitted(known.principal.id)?.clone();
            let again = IdentityEntry::Renewed { principal: who.id, issued, key, at: now };
            return Ok((who, again));
        }
        if token.used >= token.uses {
            let uses = token.uses;
            return Err(Error::denied(format!("token {id} was used {uses} times, as often as it may be: ask an admin for a new one")));
        }
        if self.principals.contains_key(&principal) {
            return Err(Error::unavailable(format!("principal {principal} is there already, by chance: try again")));
        }
        if self.principals.len() >= PRINCIPALS_MAX
            && self.principals.values().filter(|known| !is_forgotten(known, now)).count() >= PRINCIPALS_MAX
        {
            let max = PRINCIPALS_MAX;
            return Err(Error::exhausted(format!(
                "{max} principals are known, and no more are let in: they go as their certificates expire"
            )));
        }
        let name = if token.name.is_empty() {
            check_name("host", &host)?;
            host
        } else {
            token.name.clone()
        };
        let principal = Principal { id: principal, name, role: token.role };
        let admitted = Admitted { principal: principal.clone(), token: Some(id), key, at: now, issued, revoked: None };
        Ok((principal, IdentityEntry::Admitted(Box::new(admitted))))
    }

    /// A new certificate for somebody who is known.
    ///
    /// # Errors
    /// `Denied` for a principal that is revoked, or not known.
    pub fn renew(&self, principal: PrincipalId, key: Digest, issued: Issued, now: WallTime) -> Result<(Principal, IdentityEntry), Error> {
        let who = self.admitted(principal)?.clone();
        Ok((who, IdentityEntry::Renewed { principal, issued, key, at: now }))
    }

    /// Takes in somebody who was made on the head's machine; none if he is known, or would be forgotten.
    pub fn take_in(&self, made: Admitted, now: WallTime) -> Option<IdentityEntry> {
        let is_news = !self.principals.contains_key(&made.principal.id) && made.issued.expires > now;
        is_news.then(|| IdentityEntry::Admitted(Box::new(made)))
    }

    /// A token that is not to count any more.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn revoke_token(&self, id: TokenId, now: WallTime) -> Result<Decided<Token>, Error> {
        let unknown = || Error::not_found(format!("there is no token {id}: `millpond token list` shows them"));
        let token = self.tokens.get(&id).ok_or_else(unknown)?;
        Ok(match token.revoked {
            Some(_) => Decided::Before(token.clone()),
            None => {
                let revoked = Token { revoked: Some(now), ..token.clone() };
                Decided::New(revoked, IdentityEntry::TokenRevoked { token: id, at: now })
            }
        })
    }

    /// A principal that is not to be let in any more.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` for the last admin, without whom nobody could let in another.
    pub fn revoke(&self, id: PrincipalId, now: WallTime) -> Result<Decided<Admitted>, Error> {
        let unknown = || Error::not_found(format!("there is no principal {id}: `millpond principal list` shows them"));
        let known = self.principals.get(&id).ok_or_else(unknown)?;
        if known.revoked.is_some() {
            return Ok(Decided::Before(known.clone()));
        }
        let is_admin = |known: &&Admitted| known.principal.role == Role::Admin && known.revoked.is_none() && known.issued.expires > now;
        if is_admin(&known) && self.principals.values().filter(is_admin).count() == 1 {
            return Err(Error::conflict(format!(
                "{} is the last admin: let in another first (`millpond token create --role admin`)",
                known.principal
            )));
        }
        let revoked = Admitted { revoked: Some(now), ..known.clone() };
        Ok(Decided::New(revoked, IdentityEntry::Revoked { principal: id, at: now }))
    }

    /// The principal of this id, if it is let in. What its certificate says beside the id does not count.
    ///
    /// # Errors
    /// `Denied`.
    pub fn admitted(&self, id: PrincipalId) -> Result<&Principal, Error> {
        match self.principals.get(&id) {
            None => Err(Error::denied(format!("principal {id} is not known here (any more): join again with a new token"))),
            Some(Admitted { principal, revoked: Some(_), .. }) => Err(Error::denied(format!("{principal} was revoked"))),
            Some(Admitted { principal, .. }) => Ok(principal),
        }
    }

    /// One principal, whatever became of it.
    pub fn principal(&self, id: PrincipalId) -> Option<&Admitted> {
        self.principals.get(&id)
    }

    /// All principals that are remembered.
    pub fn principals(&self) -> impl Iterator<Item = &Admitted> {
        self.principals.values()
    }

    /// One token, whatever became of it.
    pub fn token(&self, id: TokenId) -> Option<&Token> {
        self.tokens.get(&id)
    }

    /// All tokens that are remembered.
    pub fn tokens(&self) -> impl Iterator<Item = &Token> {
        self.tokens.values()
    }

    /// Whether nobody was ever let in.
    pub fn is_empty(&self) -> bool {
        self.principals.is_empty() && self.tokens.is_empty()
    }

    /// Takes one fact in. Those whose time is over go with it.
    pub fn apply(&mut self, entry: &IdentityEntry) {
        match entry {
            IdentityEntry::TokenCreated(token) => {
                self.forget(token.created);
                self.put_token(token.as_ref().clone());
            }
            IdentityEntry::TokenRevoked { token, at } => {
                if let Some(token) = self.tokens.get_mut(token) {
                    token.revoked.get_or_insert(*at);
                }
            }
            IdentityEntry::Admitted(admitted) => {
                if self.principals.len() >= PRINCIPALS_MAX {
                    self.forget(admitted.at);
                }
                if let Some(token) = admitted.token.and_then(|token| self.tokens.get_mut(&token)) {
                    token.used = token.used.saturating_add(1);
                }
                self.put_principal(admitted.as_ref().clone());
            }
            IdentityEntry::Renewed { principal, issued, key, at: _ } => {
                if let Some(known) = self.principals.get_mut(principal) {
                    known.issued = *issued;
                    known.key = *key;
                }
            }
            IdentityEntry::Revoked { principal, at } => {
                if let Some(known) = self.principals.get_mut(principal) {
                    known.revoked.get_or_insert(*at);
                }
            }
        }
    }

    /// Of a snapshot.
    pub fn put_token(&mut self, token: Token) {
        self.tokens.insert(token.id, token);
    }

    /// Of a snapshot.
    pub fn put_principal(&mut self, admitted: Admitted) {
        self.principals.insert(admitted.principal.id, admitted);
    }

    fn forget(&mut self, now: WallTime) {
        self.tokens.retain(|_, token| token.expires.after(IDENTITY_KNOWN_AFTER_END) > now);
        self.principals.retain(|_, known| !is_forgotten(known, now));
    }
}

/// Whether nobody can come by it any more.
fn is_past(token: &Token, now: WallTime) -> bool {
    token.revoked.is_some() || token.expires <= now || token.used >= token.uses
}

/// Whether its certificates have been of no use for so long that nobody asks for it.
fn is_forgotten(known: &Admitted, now: WallTime) -> bool {
    known.issued.expires.after(IDENTITY_KNOWN_AFTER_END) <= now
}

#[cfg(test)]
mod tests;
