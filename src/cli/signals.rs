//! Ctrl-C and TERM, for the verbs that must end in an orderly way. The others die of them, as programs do.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::domain::Error;

/// Asks to stop, one after the other.
pub(crate) struct Signals {
    queue: Option<mpsc::Receiver<()>>,
}

impl Signals {
    /// The process's own; nothing is caught before [`Signals::catch`].
    pub(crate) fn of_process() -> Self {
        Self { queue: None }
    }

    /// Those that a test sends.
    #[cfg(test)]
    pub(crate) fn scripted(queue: mpsc::Receiver<()>) -> Self {
        Self { queue: Some(queue) }
    }

    /// From here on Ctrl-C and TERM don't end the process.
    pub(crate) fn catch(&mut self) -> Result<(), Error> {
        if self.queue.is_some() {
            return Ok(());
        }
        let failed = |error: std::io::Error| Error::internal(format!("can't catch Ctrl-C: {error}"));
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let (asks, queue) = mpsc::channel(4);
        tokio::spawn(async move {
            loop {
                let alive = tokio::select! {
                    some = interrupt.recv() => some,
                    some = terminate.recv() => some,
                };
                // A full queue already says all that there is to say.
                if alive.is_none() || matches!(asks.try_send(()), Err(mpsc::error::TrySendError::Closed(()))) {
                    return;
                }
            }
        });
        self.queue = Some(queue);
        Ok(())
    }

    /// The next one; never, when there are no more.
    pub(crate) async fn next(&mut self) {
        let got = match &mut self.queue {
            Some(queue) => queue.recv().await,
            None => None,
        };
        if got.is_none() {
            std::future::pending::<()>().await;
        }
    }
}
