//! The Registrar: whom the head lets in, and the one place where that changes.
//!
//! A lock and no actor: the door asks it at every call, and must not wait behind a mailbox. A decision is made and handed to the journal under
//! the lock, so that the journal has the entries in the order of the decisions; it is answered once it is durable. What takes something away
//! counts at once.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::{broadcast, oneshot};

use crate::audit::{AUDIT_DIR, AuditLog, Record};
use crate::domain::entry::Entry;
use crate::domain::identity::{Admitted, IdentityEntry, Issued, Token};
use crate::domain::{Error, ErrorKind, Principal, PrincipalId, Role, TokenId, WallTime};
use crate::engine::Tokens;
use crate::engine::tokens::{NewToken, Redemption};
use crate::limits::CERTIFICATE_LIFE;
use crate::pki::{Authority, IdentityFolder, NewRequest, Peer, Requested, Session, digest_of, new_request, random_bits};

use super::clock::wall_now;
use super::journal::JournalRef;

/// Revocations that a door may be behind before it looks at everybody.
const REVOCATIONS_QUEUE: usize = 256;

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Registrar(Arc<Inner>);

struct Inner {
    tokens: RwLock<Tokens>,
    identity: IdentityFolder,
    journal: JournalRef,
    audit: AuditLog,
    revoked: broadcast::Sender<PrincipalId>,
}

/// A certificate for somebody.
pub struct Certified {
    /// Who.
    pub who: Admitted,
    /// DER.
    pub certificate: Vec<u8>,
    /// Of the authority, DER.
    pub authority: Vec<u8>,
    /// When to ask for the next one.
    pub renew: WallTime,
}

/// What a head on a data folder begins with; none if it has no identities.
///
/// # Errors
/// `Conflict` if it had some, and the keys are gone: it must not serve everybody because of that.
pub(super) fn open(data_dir: &Path, names: &[String], tokens: &Tokens, now: WallTime) -> Result<Option<(IdentityFolder, AuditLog)>, Error> {
    let Some(identity) = IdentityFolder::open(data_dir, names, now)? else {
        if tokens.is_empty() {
            return Ok(None);
        }
        return Err(Error::conflict(format!(
            "{0} knows principals, and its folder `identity` is gone: put it back from a backup, or make another with `millpond-head init \
             --data-dir {0}`, and everybody has to join again",
            data_dir.display()
        )));
    };
    let audit = AuditLog::open(&data_dir.join(AUDIT_DIR), now)?;
    Ok(Some((identity, audit)))
}

impl Registrar {
    /// Takes over what is durable; returns once the admins that were made on this machine are known durably, too: from then on a data folder
    /// without its keys is known as one that had some.
    pub(super) async fn start(identity: IdentityFolder, audit: AuditLog, tokens: Tokens, journal: JournalRef) -> Result<Self, Error> {
        let (revoked, _) = broadcast::channel(REVOCATIONS_QUEUE);
        let registrar = Self(Arc::new(Inner { tokens: RwLock::new(tokens), identity, journal, audit, revoked }));
        let now = wall_now();
        for made in registrar.0.identity.all_made_here(now) {
            Self::durable(registrar.take_in(made, now)).await?;
        }
        Ok(registrar)
    }

    fn read(&self) -> RwLockReadGuard<'_, Tokens> {
        self.0.tokens.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Tokens> {
        self.0.tokens.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes it so, and durable; resolves when it is. Called with the lock held.
    fn append(&self, tokens: &mut Tokens, entry: IdentityEntry) -> oneshot::Receiver<()> {
        tokens.apply(&entry);
        let (told, done) = oneshot::channel();
        self.0.journal.append(Entry::Identity(entry), None, move || {
            // Who asked may have gone.
            let _ = told.send(());
        });
        done
    }

    async fn durable(done: Option<oneshot::Receiver<()>>) -> Result<(), Error> {
        match done {
            None => Ok(()),
            Some(done) => done.await.map_err(|_| Error::unavailable("the head is shutting down: try again")),
        }
    }

    fn take_in(&self, made: Admitted, now: WallTime) -> Option<oneshot::Receiver<()>> {
        let mut tokens = self.write();
        let entry = tokens.take_in(made, now)?;
        Some(self.append(&mut tokens, entry))
    }

    /// The keys of the head and its authority.
    pub fn identity(&self) -> &IdentityFolder {
        &self.0.identity
    }

    /// What is noted of changes.
    pub fn audit(&self) -> &AuditLog {
        &self.0.audit
    }

    /// Notes something in the audit; returns once that is durable.
    ///
    /// # Errors
    /// `Exhausted` on a full disk. If a sync fails nothing can be noted any more, and the head stops.
    pub async fn note(&self, record: Record) -> Result<(), Error> {
        let (told, done) = oneshot::channel();
        self.0.audit.note(
            record,
            Box::new(move |written| {
                let _ = told.send(written);
            }),
        );
        let written = done.await.unwrap_or_else(|_| Err(Error::unavailable("the head is shutting down")));
        written.inspect_err(|error| {
            if error.kind == ErrorKind::Internal {
                self.0.journal.sync_failed(error.clone());
            }
        })
    }

    /// Whose a certificate is, that is signed by our authority and has not expired: what the head knows of him now.
    ///
    /// # Errors
    /// `Denied` for one that is revoked, or not known any more.
    pub fn caller(&self, certificate: &[u8]) -> Result<Principal, Error> {
        self.check(Peer::of(certificate)?.principal.id)
    }

    /// Whether somebody is (still) let in, and as whom.
    ///
    /// # Errors
    /// `Denied`.
    pub fn check(&self, id: PrincipalId) -> Result<Principal, Error> {
        if let Some(known) = self.read().principal(id) {
            return match known.revoked {
                None => Ok(known.principal.clone()),
                Some(_) => self.read().admitted(id).cloned(),
            };
        }
        // Perhaps made a moment ago, on this machine.
        let now = wall_now();
        if let Some(made) = self.0.identity.made_here(id, now) {
            // Nobody waits: if it does not become durable, it is taken in again.
            drop(self.take_in(made, now));
        }
        self.read().admitted(id).cloned()
    }

    /// Hears of everybody who is revoked, so that his streams can be closed. Who is too slow misses some, and has to check all that he holds.
    pub fn revocations(&self) -> broadcast::Receiver<PrincipalId> {
        self.0.revoked.subscribe()
    }

    /// Trades a token for a certificate.
    ///
    /// # Errors
    /// As [`Tokens::redeem`]; `Invalid` for a request that is none.
    pub async fn enroll(&self, token: TokenId, secret: &[u8], request: &[u8], host: String) -> Result<Certified, Error> {
        let (requested, now) = (Requested::from_der(request)?, wall_now());
        let issued = Authority::next(CERTIFICATE_LIFE, now)?;
        let principal = PrincipalId::from_random(random_bits()?);
        let shown = Redemption { token, secret: digest_of(secret), key: requested.digest(), host, principal, issued };
        let (who, done) = {
            let mut tokens = self.write();
            let (who, entry) = tokens.redeem(shown, now)?;
            let done = self.append(&mut tokens, entry);
            (who, done)
        };
        Self::durable(Some(done)).await?;
        self.certify(&who, &requested, issued, now)
    }

    /// Trades a token for a browser's session: whose it is, and its sealed text. It counts as long as a certificate would.
    ///
    /// # Errors
    /// As [`Self::enroll`]; `Invalid` for a worker's token.
    pub async fn log_in(&self, token: TokenId, secret: &[u8]) -> Result<(Admitted, String), Error> {
        let role = self.read().shown(token, digest_of(secret))?.role;
        if role == Role::Worker {
            return Err(Error::invalid("this token is for a worker (`millpond-worker --join`): ask an admin for one for a person"));
        }
        // Somebody is known by a key; nobody keeps this one, so that the session is all there is.
        let NewRequest { request, .. } = new_request()?;
        let Certified { who, .. } = self.enroll(token, secret, &request, String::new()).await?;
        let session = Session { principal: who.principal.id, expires: who.issued.expires };
        let text = self.0.identity.sessions().seal(session);
        Ok((who, text))
    }

    /// A new certificate for somebody who is let in.
    ///
    /// # Errors
    /// As [`Tokens::renew`]; `Invalid` for a request that is none.
    pub async fn renew(&self, principal: PrincipalId, request: &[u8]) -> Result<Certified, Error> {
        let (requested, now) = (Requested::from_der(request)?, wall_now());
        let issued = Authority::next(CERTIFICATE_LIFE, now)?;
        let (who, done) = {
            let mut tokens = self.write();
            let (who, entry) = tokens.renew(principal, requested.digest(), issued, now)?;
            let done = self.append(&mut tokens, entry);
            (who, done)
        };
        Self::durable(Some(done)).await?;
        self.certify(&who, &requested, issued, now)
    }

    fn certify(&self, who: &Principal, requested: &Requested, issued: Issued, now: WallTime) -> Result<Certified, Error> {
        let authority = self.0.identity.authority();
        let certificate = authority.certify(who, requested, issued, now)?.to_vec();
        let renew = Peer::of(&certificate)?.renew_at();
        let known = self.read().principal(who.id).cloned();
        let who = known.ok_or_else(|| Error::denied(format!("{who} is not known any more")))?;
        Ok(Certified { who, certificate, authority: authority.certificate().to_vec(), renew })
    }

    /// A token; returns once it is durable.
    ///
    /// # Errors
    /// As [`Tokens::create`].
    pub async fn create_token(&self, new: NewToken) -> Result<Token, Error> {
        let (token, done) = {
            let mut tokens = self.write();
            let (token, entry) = tokens.create(new, wall_now())?.parts();
            (token, entry.map(|entry| self.append(&mut tokens, entry)))
        };
        Self::durable(done).await?;
        Ok(token)
    }

    /// Nobody comes by a token any more; returns once that is durable.
    ///
    /// # Errors
    /// As [`Tokens::revoke_token`].
    pub async fn revoke_token(&self, id: TokenId) -> Result<Token, Error> {
        let (token, done) = {
            let mut tokens = self.write();
            let (token, entry) = tokens.revoke_token(id, wall_now())?.parts();
            (token, entry.map(|entry| self.append(&mut tokens, entry)))
        };
        Self::durable(done).await?;
        Ok(token)
    }

    /// Somebody is not let in any more; returns once that is durable, and counts before.
    ///
    /// # Errors
    /// As [`Tokens::revoke`].
    pub async fn revoke(&self, id: PrincipalId) -> Result<Admitted, Error> {
        let (who, done) = {
            let mut tokens = self.write();
            let (who, entry) = tokens.revoke(id, wall_now())?.parts();
            (who, entry.map(|entry| self.append(&mut tokens, entry)))
        };
        // Nobody may listen.
        let _ = self.0.revoked.send(id);
        Self::durable(done).await?;
        Ok(who)
    }

    /// Tokens behind the one of this id, in the order of their ids.
    pub fn tokens(&self, after: Option<TokenId>, limit: usize) -> Vec<Token> {
        self.read().tokens().filter(|token| after.is_none_or(|after| token.id > after)).take(limit).cloned().collect()
    }

    /// Principals behind the one of this id, in the order of their ids.
    pub fn principals(&self, after: Option<PrincipalId>, limit: usize) -> Vec<Admitted> {
        self.read().principals().filter(|known| after.is_none_or(|after| known.principal.id > after)).take(limit).cloned().collect()
    }

    /// One of them.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn principal(&self, id: PrincipalId) -> Result<Admitted, Error> {
        self.read().principal(id).cloned().ok_or_else(|| Error::not_found(format!("there is no principal {id}")))
    }

    /// Where the audit's files are.
    pub fn audit_dir(&self) -> PathBuf {
        self.0.audit.dir().to_owned()
    }
}
