//! Streams of messages, taken and given in batches: what comes together is handled together.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::sync::mpsc;
use tokio_stream::Stream;
use tonic::{Status, Streaming};

use crate::limits::SESSION_QUEUE_MAX;

/// Messages in one batch that was read, at most.
const BATCH_MAX: usize = 512;
// It is taken in as a whole.
const _: () = assert!(BATCH_MAX <= SESSION_QUEUE_MAX);

/// Waits for a message, and takes what else has arrived by then, up to some number of messages and `bytes_max`, as `weight` counts them; nothing
/// at the stream's end.
///
/// # Errors
/// As the stream's, if it comes first; behind other messages it is an end.
pub async fn next_batch<T>(inbound: &mut Streaming<T>, bytes_max: usize, weight: fn(&T) -> usize) -> Result<Vec<T>, Status> {
    let Some(first) = inbound.message().await? else { return Ok(Vec::new()) };
    let mut bytes = weight(&first);
    let mut batch = vec![first];
    poll_fn(|context| {
        while batch.len() < BATCH_MAX
            && bytes < bytes_max
            && let Poll::Ready(Some(Ok(message))) = Pin::new(&mut *inbound).poll_next(context)
        {
            bytes += weight(&message);
            batch.push(message);
        }
        Poll::Ready(())
    })
    .await;
    Ok(batch)
}

/// The messages of batches, one after the other, as one stream.
pub struct Flat<T> {
    batches: mpsc::Receiver<Vec<T>>,
    batch: std::vec::IntoIter<T>,
}

impl<T> Flat<T> {
    /// Of what a channel brings; ends when its sender is gone.
    pub fn new(batches: mpsc::Receiver<Vec<T>>) -> Self {
        Self { batches, batch: Vec::new().into_iter() }
    }
}

impl<T: Unpin> Stream for Flat<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        loop {
            if let Some(message) = self.batch.next() {
                return Poll::Ready(Some(message));
            }
            match ready!(self.batches.poll_recv(context)) {
                Some(batch) => self.batch = batch.into_iter(),
                None => return Poll::Ready(None),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio_stream::StreamExt;

    use super::*;

    #[tokio::test]
    async fn batches_come_out_one_by_one() {
        let (sender, receiver) = mpsc::channel(3);
        for batch in [vec![1, 2], vec![], vec![3]] {
            sender.send(batch).await.unwrap();
        }
        drop(sender);
        assert_eq!(Flat::new(receiver).collect::<Vec<_>>().await, [1, 2, 3]);
    }
}
