//! Who has shown himself on a connection, by a certificate or by the sessions of a browser, and until when that counts.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::actors::clock::wall_now;
use crate::actors::registrar::Registrar;
use crate::domain::{Error, PrincipalId};
use crate::pki::Session;

/// Browsers share a connection among those who log in on it one after the other; more than so many it is not.
const SHOWN_MAX: usize = 16;

/// See the module.
#[derive(Default)]
pub(super) struct Shown {
    all: Mutex<Vec<Session>>,
    more: Notify,
}

impl Shown {
    /// One who has shown a certificate.
    pub fn one(session: Session) -> Self {
        Self { all: Mutex::new(vec![session]), more: Notify::new() }
    }

    /// Another one. To be called before he is looked up: a revocation that comes between would be missed.
    ///
    /// # Errors
    /// `Exhausted` where many have shown themselves on this connection.
    pub fn add(&self, session: Session) -> Result<(), Error> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room = all.len() < SHOWN_MAX;
        match all.iter_mut().find(|known| known.principal == session.principal) {
            Some(known) if known.expires == session.expires => return Ok(()),
            Some(known) => known.expires = session.expires,
            None if has_room => all.push(session),
            None => return Err(Error::exhausted(format!("{SHOWN_MAX} have logged in by this connection: open another"))),
        }
        self.more.notify_one();
        Ok(())
    }

    /// Resolves when somebody has.
    pub async fn anybody(&self) {
        while self.all().is_empty() {
            self.more.notified().await;
        }
    }

    /// Resolves when one of them does not count any more: his time is over, or he was revoked. `revocations`: from before the first was added.
    pub async fn until_over(&self, registrar: &Registrar, mut revocations: Receiver<PrincipalId>) {
        loop {
            let all = self.all();
            let now = wall_now();
            let left = all.iter().map(|shown| u64::try_from(shown.expires.0 - now.0).unwrap_or(0)).min();
            let over = async {
                match left {
                    Some(micros) => tokio::time::sleep(Duration::from_micros(micros)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = over => return,
                () = self.more.notified() => {}
                revoked = revocations.recv() => match revoked {
                    Ok(revoked) if self.all().iter().any(|shown| shown.principal == revoked) => return,
                    Ok(_) => {}
                    Err(RecvError::Lagged(_)) if self.all().iter().any(|shown| registrar.check(shown.principal).is_err()) => return,
                    Err(RecvError::Lagged(_)) => {}
                    // The head ends, and its connections with it.
                    Err(RecvError::Closed) => std::future::pending().await,
                },
            }
        }
    }

    fn all(&self) -> Vec<Session> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
