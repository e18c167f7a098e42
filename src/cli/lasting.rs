//! The connection of a command that runs for weeks: made anew before its credentials are over, which are renewed on the way.

use std::time::{Duration, Instant};

use super::entry::World;
use crate::domain::Error;
use crate::rpc::client::Client;

/// A certificate counts for days, and is renewed at half of that.
const CONNECT_EVERY: Duration = Duration::from_secs(6 * 3600);

/// See the module.
pub(crate) struct Lasting {
    client: Client,
    made: Instant,
}

impl Lasting {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, made: Instant::now() }
    }

    /// As it is.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Connects anew, to the same head, if that is due.
    pub(crate) async fn refresh(&mut self, world: &World<'_>) -> Result<(), Error> {
        if self.made.elapsed() >= CONNECT_EVERY {
            *self = Self::new(world.connect_to(self.client.url()).await?);
        }
        Ok(())
    }
}
