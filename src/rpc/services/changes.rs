//! `WatchCluster`: that something has changed, and not what. What it costs does not depend on how much there is.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::domain::Error;
use crate::limits::CLUSTER_WATCHERS_MAX;
use crate::rpc::pb;

use super::pieces::PieceStream;

/// Places for those who are told.
pub(super) struct Watchers(Arc<Semaphore>);

impl Default for Watchers {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(CLUSTER_WATCHERS_MAX)))
    }
}

impl Watchers {
    /// A place, if one is left.
    ///
    /// # Errors
    /// `Exhausted`.
    pub(super) fn place(&self) -> Result<OwnedSemaphorePermit, Error> {
        let place = self.0.clone().try_acquire_owned();
        place.map_err(|_| Error::exhausted(format!("{CLUSTER_WATCHERS_MAX} watch this cluster already: close some `millpond top`")))
    }
}

/// A word at once, and one after each change, or after several: no more often than `every` so long. The place is given back when the
/// reader goes, or the head.
pub(super) fn told(mut changes: watch::Receiver<()>, place: OwnedSemaphorePermit, every: Duration) -> PieceStream<pb::ClusterChange> {
    // One on its way: who reads slowly hears of several changes at once.
    let (words, stream) = mpsc::channel::<Result<_, Status>>(1);
    tokio::spawn(async move {
        let _place = place;
        loop {
            // Before the word, so that what changes while it is on its way is told too.
            changes.mark_unchanged();
            if words.send(Ok(pb::ClusterChange {})).await.is_err() {
                return;
            }
            tokio::time::sleep(every).await;
            tokio::select! {
                () = words.closed() => return,
                changed = changes.changed() => if changed.is_err() { return },
            }
        }
    });
    Box::pin(ReceiverStream::new(stream))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;
    use tokio_stream::StreamExt;

    const EVERY: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn changes_are_told_together_and_the_last_one_too() {
        let (changed, changes) = watch::channel(());
        let began = Instant::now();
        let mut stream = told(changes, Watchers::default().place().unwrap(), EVERY);
        assert!(stream.next().await.is_some(), "a word at once");
        let mut words = 1;
        while words < 6 {
            changed.send_replace(());
            if tokio::time::timeout(EVERY / 20, stream.next()).await.is_ok_and(|word| word.is_some()) {
                words += 1;
            }
        }
        assert!(began.elapsed() >= EVERY * (words - 1), "{:?}", began.elapsed());
        // What came behind the last word is told, and then nothing more until there is something.
        changed.send_replace(());
        assert!(stream.next().await.is_some());
        assert!(tokio::time::timeout(EVERY * 3, stream.next()).await.is_err());
        changed.send_replace(());
        assert!(stream.next().await.is_some());
        drop(changed);
        assert!(stream.next().await.is_none(), "it ends with the head");
    }

    #[tokio::test]
    async fn a_place_is_given_back_when_the_reader_has_gone() {
        let watchers = Watchers(Arc::new(Semaphore::new(1)));
        let (changed, changes) = watch::channel(());
        let stream = told(changes, watchers.place().unwrap(), EVERY);
        assert_eq!(watchers.place().unwrap_err().kind, crate::domain::ErrorKind::Exhausted);
        drop(stream);
        assert!(watchers.0.clone().acquire_owned().await.is_ok());
        changed.closed().await;
    }
}
