//! TERM and INT.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::domain::Error;

/// Both signals that ask a daemon to end.
pub struct Signals {
    term: Signal,
    int: Signal,
}

impl Signals {
    /// From now on they do not end the process by themselves.
    pub fn listen() -> Result<Self, Error> {
        let listen = |kind| signal(kind).map_err(|error| Error::internal(format!("signals can't be received: {error}")));
        Ok(Self { term: listen(SignalKind::terminate())?, int: listen(SignalKind::interrupt())? })
    }

    /// The next of them.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}
