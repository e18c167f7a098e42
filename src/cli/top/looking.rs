//! The one that looks at the head: at once when it says that something has changed, and again after it was away.

use std::pin::pin;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tonic::Streaming;

use super::model::Event;
use super::sight::{Sight, Wanted, look};
use crate::domain::Error;
use crate::rpc::client::Client;
use crate::rpc::pb;

/// From the end of a look to the next at the earliest, unless something else is wanted.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// After so long without a word there is a look all the same: forecasts change by themselves.
const LOOK_ANYWAY_AFTER: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(3);

/// Looks for as long as somebody hears of it.
pub(super) async fn keep_looking(client: Client, mut wanted: watch::Receiver<Wanted>, events: mpsc::Sender<Event>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let lost = match follow(&client, &mut wanted, &events, &mut pause).await {
            Ok(()) => return,
            Err(error) => error,
        };
        if events.send(Event::Lost(lost)).await.is_err() {
            return;
        }
        tokio::time::sleep(pause).await;
        pause = LAST_PAUSE.min(pause * 2);
    }
}

/// Ends when nobody hears of it any more. Errors: the head can't be reached, or says no.
async fn follow(
    client: &Client,
    wanted: &mut watch::Receiver<Wanted>,
    events: &mpsc::Sender<Event>,
    pause: &mut Duration,
) -> Result<(), Error> {
    let words = client.cluster().watch_cluster(pb::WatchClusterRequest {}).await;
    let mut words = words.map_err(|status| client.error(&status))?.into_inner();
    loop {
        let now_wanted = wanted.borrow_and_update().clone();
        let (sight, mut is_stale) = look_and_listen(client, &now_wanted, &mut words).await?;
        *pause = FIRST_PAUSE;
        if events.send(Event::Seen(Box::new(sight))).await.is_err() {
            return Ok(());
        }
        let earliest = tokio::time::Instant::now() + LOOK_EVERY;
        loop {
            let due = if is_stale { earliest } else { earliest + LOOK_ANYWAY_AFTER };
            tokio::select! {
                word = words.message() => {
                    heard(client, word)?;
                    is_stale = true;
                }
                changed = wanted.changed() => match changed {
                    Ok(()) => break,
                    Err(_) => return Ok(()),
                },
                () = tokio::time::sleep_until(due) => break,
            }
        }
    }
}

/// One look, and whether something has changed since it began. Words are taken while it goes on, so that they don't pile up.
async fn look_and_listen(client: &Client, wanted: &Wanted, words: &mut Streaming<pb::ClusterChange>) -> Result<(Sight, bool), Error> {
    let mut looking = pin!(look(client, wanted));
    let mut is_stale = false;
    loop {
        tokio::select! {
            sight = &mut looking => return sight.map(|sight| (sight, is_stale)),
            word = words.message() => heard(client, word)?,
        }
        is_stale = true;
    }
}

/// Errors: it was no word, but the end.
fn heard(client: &Client, word: Result<Option<pb::ClusterChange>, tonic::Status>) -> Result<(), Error> {
    match word {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(Error::unavailable("the head has gone")),
        Err(status) => Err(client.error(&status)),
    }
}
