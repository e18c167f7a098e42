//! The events of a job, across broken connections and restarts of the head: each new stream goes on at the last cursor.

use std::time::Duration;

use tokio::time::Instant;
use tonic::Streaming;

use super::job_text::is_final;
use crate::domain::{Error, ErrorKind, JobId};
use crate::rpc::client::Client;
use crate::rpc::pb;

/// How long a head may be unreachable before a watcher gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(3);
/// A head that is back sooner than this was hardly away.
const LOST_AFTER: Duration = Duration::from_secs(1);

/// What a watcher hears.
pub(crate) enum News {
    /// Something happened.
    Event(Box<pb::JobEvent>),
    /// The head has been out of reach for a while, and is tried again. Said once for each time that it is.
    Lost,
}

/// A job's events, to its end.
pub(crate) struct Follow<'a> {
    client: &'a Client,
    request: pb::WatchJobRequest,
    patience: Duration,
    stream: Option<Streaming<pb::JobEvent>>,
    has_ended: bool,
    /// Since when nothing was heard; none while a stream gives events.
    lost_since: Option<Instant>,
    has_told_lost: bool,
    pause: Duration,
}

impl<'a> Follow<'a> {
    /// From now on, beginning with the job as it is.
    pub(crate) fn new(client: &'a Client, job: JobId, patience: Duration) -> Self {
        let request = pb::WatchJobRequest { id: job.to_string(), cursor: 0 };
        Self { client, request, patience, stream: None, has_ended: false, lost_since: None, has_told_lost: false, pause: FIRST_PAUSE }
    }

    /// For people: that it is out of reach.
    pub(crate) fn lost_text(&self) -> String {
        let how_long = if self.patience == Duration::MAX { String::new() } else { format!(" for {} s", self.patience.as_secs()) };
        format!("the head at {} can't be reached; trying again{how_long}, its jobs go on meanwhile", self.client.url())
    }

    /// Whether the head is out of reach now.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost_since.is_some()
    }

    /// The next event; none after that of the job's end. May be dropped and called again: nothing is lost.
    ///
    /// Errors: what the head answers (`NotFound`…); `Unavailable` when it could not be reached for the whole patience.
    pub(crate) async fn next(&mut self) -> Result<Option<News>, Error> {
        while !self.has_ended {
            match self.receive().await {
                Ok(event) => {
                    self.request.cursor = event.cursor;
                    self.has_ended = event.kind == "ended" || event.job.as_ref().is_some_and(is_final);
                    (self.lost_since, self.has_told_lost, self.pause) = (None, false, FIRST_PAUSE);
                    return Ok(Some(News::Event(Box::new(event))));
                }
                Err(error) => self.recover(error).await?,
            }
            if !self.has_told_lost && self.lost_since.is_some_and(|since| since.elapsed() >= LOST_AFTER) {
                self.has_told_lost = true;
                return Ok(Some(News::Lost));
            }
        }
        Ok(None)
    }

    async fn receive(&mut self) -> Result<pb::JobEvent, Error> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            empty => {
                let reply = self.client.jobs().watch_job(self.request.clone()).await;
                empty.insert(reply.map_err(|status| self.client.error(&status))?.into_inner())
            }
        };
        match stream.message().await {
            Ok(Some(event)) => Ok(event),
            Ok(None) => Err(Error::unavailable("the head ended the stream of events before the job's end")),
            Err(status) => Err(self.client.error(&status)),
        }
    }

    async fn recover(&mut self, error: Error) -> Result<(), Error> {
        self.stream = None;
        let now = Instant::now();
        let lost_since = *self.lost_since.get_or_insert(now);
        match error.kind {
            // A head whose history does not reach back to the cursor: what counts is the job as it is.
            ErrorKind::Invalid if self.request.cursor > 0 => self.request.cursor = 0,
            // Exhausted: this watcher was too slow, and was cut.
            ErrorKind::Unavailable | ErrorKind::Exhausted if now - lost_since < self.patience => {}
            _ => return Err(error),
        }
        let pause = self.pause;
        self.pause = LAST_PAUSE.min(pause * 2);
        tokio::time::sleep(pause).await;
        Ok(())
    }
}
