//! Keeps somebody's credentials from expiring: at half of their life the head gives others.

use std::path::PathBuf;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::address::HeadAddress;
use super::enroll::renew;
use super::tls::Keys;
use crate::actors::clock::wall_now;
use crate::domain::Error;
use crate::pki::Credentials;

/// The clock may jump, and a machine may sleep: it is looked at so often.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Credentials in a file, and the keys made of them, of which every connection has a clone.
pub struct Renewal {
    path: PathBuf,
    credentials: Credentials,
    keys: Keys,
}

impl Renewal {
    /// Of a file.
    ///
    /// # Errors
    /// As [`Credentials::read`].
    pub fn of(path: PathBuf) -> Result<Self, Error> {
        let credentials = Credentials::read(&path)?;
        let keys = Keys::of(&credentials)?;
        Ok(Self { path, credentials, keys })
    }

    /// The head that they are for, as whoever joined has reached it; empty if that is not known.
    pub fn head(&self) -> &str {
        &self.credentials.head
    }

    /// The head at this address, reached with these.
    ///
    /// # Errors
    /// `Invalid` for what is no address, `Denied` for a plaintext one.
    pub fn address(&self, url: &str) -> Result<HeadAddress, Error> {
        HeadAddress::new(url, Some(self.keys.clone()))
    }

    /// Whether half of their life is over.
    pub fn is_due(&self) -> bool {
        self.credentials.peer.renew_at() <= wall_now()
    }

    /// Gets others, keeps them in the file, and shows them from the next connection on.
    ///
    /// # Errors
    /// Of the head, or of the disk; the old ones count on.
    pub async fn renew(&mut self, address: &HeadAddress) -> Result<(), Error> {
        let new = renew(address.lazy_channel(), &self.credentials).await?;
        new.write(&self.path)?;
        self.keys.replace(&new)?;
        self.credentials = new;
        Ok(())
    }

    /// Does that whenever it is due, until `stop`.
    pub async fn keep(mut self, address: HeadAddress, stop: CancellationToken) {
        let mut told = false;
        loop {
            if self.is_due() {
                match self.renew(&address).await {
                    Ok(()) => {
                        tracing::info!("the credentials were renewed");
                        told = false;
                    }
                    // Said once, not with every try.
                    Err(error) if !told => {
                        tracing::warn!(%error, "the credentials can't be renewed; trying again");
                        told = true;
                    }
                    Err(_) => {}
                }
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = stop.cancelled() => return,
            }
        }
    }
}
