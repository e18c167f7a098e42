//! A bundle's way to a client: by plain HTTP, going on where the connection, or the head, was lost.

use ::http::{StatusCode, header};
use bytes::Bytes;
use hyper::body::Incoming;

use super::client::{Client, TRIES_MAX, pause_after};
use super::{http, plain};
use crate::domain::{Error, ErrorKind};

/// How often a download starts from the beginning because the bundle has changed.
const RESTARTS_MAX: u32 = 5;

/// What comes out of a [`BundleDownload`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BundlePiece {
    /// What came before, if anything, is void: the bundle begins here.
    Start {
        /// Length of the whole, in bytes.
        total_len: u64,
    },
    /// The next bytes.
    Data(Bytes),
}

/// A download that goes on at its offset when the connection breaks.
#[derive(Debug)]
pub struct BundleDownload<'a> {
    client: &'a Client,
    path: String,
    /// Reached.
    offset: u64,
    /// Met at the beginning.
    etag: String,
    total_len: u64,
    started: bool,
    body: Option<Incoming>,
    tries: u32,
    restarts: u32,
}

impl<'a> BundleDownload<'a> {
    pub(super) fn new(client: &'a Client, job: &str) -> Self {
        let path = http::bundle_path(job);
        Self { client, path, offset: 0, etag: String::new(), total_len: 0, started: false, body: None, tries: 0, restarts: 0 }
    }

    /// The next piece; none at the end. An error is final: what can be tried again has been.
    pub async fn next(&mut self) -> Result<Option<BundlePiece>, Error> {
        loop {
            if self.started && self.offset == self.total_len {
                return Ok(None);
            }
            let came = match &mut self.body {
                None => self.open().await,
                Some(body) => plain::next(body).await.and_then(|data| {
                    let ended = || Error::unavailable(format!("the bundle ended at {} of {} bytes", self.offset, self.total_len));
                    data.ok_or_else(ended).map(|data| Some(BundlePiece::Data(data)))
                }),
            };
            match came {
                Ok(None) => {}
                Ok(Some(BundlePiece::Data(data))) => return self.count(data).map(Some),
                Ok(start) => return Ok(start),
                Err(error) => self.recover(error).await?,
            }
        }
    }

    /// Asks for the rest. The first answer is the start.
    async fn open(&mut self) -> Result<Option<BundlePiece>, Error> {
        let headers = if self.started {
            vec![(header::IF_MATCH, format!("\"{}\"", self.etag)), (header::RANGE, format!("bytes={}-", self.offset))]
        } else {
            Vec::new()
        };
        let answer = plain::get(self.client.address(), &self.path, &headers).await?;
        let said = |name: header::HeaderName| answer.headers().get(name).and_then(|value| value.to_str().ok());
        if self.started {
            if answer.status() != StatusCode::PARTIAL_CONTENT {
                return Err(Error::corrupt(format!(
                    "asked for the bundle from byte {} on, the head answers {}",
                    self.offset,
                    answer.status()
                )));
            }
            self.body = Some(answer.into_body());
            return Ok(None);
        }
        let (len, etag) = (said(header::CONTENT_LENGTH).and_then(|len| len.parse().ok()), said(header::ETAG));
        let (Some(len), Some(etag)) = (len, etag) else {
            return Err(Error::corrupt("the head sent a bundle without its length and etag"));
        };
        (self.total_len, self.etag) = (len, etag.trim_matches('"').to_owned());
        self.started = true;
        self.body = Some(answer.into_body());
        Ok(Some(BundlePiece::Start { total_len: self.total_len }))
    }

    fn count(&mut self, data: Bytes) -> Result<BundlePiece, Error> {
        self.tries = 0;
        self.offset += data.len() as u64;
        if self.offset > self.total_len {
            return Err(Error::corrupt(format!("the head sent more than the {} bytes of the bundle", self.total_len)));
        }
        Ok(BundlePiece::Data(data))
    }

    async fn recover(&mut self, error: Error) -> Result<(), Error> {
        self.body = None;
        match error.kind {
            ErrorKind::Conflict if self.started => self.start_again(),
            ErrorKind::Unavailable if self.tries + 1 < TRIES_MAX => {
                self.tries += 1;
                pause_after(self.tries).await;
                Ok(())
            }
            _ => Err(error),
        }
    }

    fn start_again(&mut self) -> Result<(), Error> {
        self.restarts += 1;
        if self.restarts > RESTARTS_MAX {
            return Err(Error::unavailable("the bundle changes faster than it can be fetched; try again when the job has ended"));
        }
        (self.offset, self.started) = (0, false);
        Ok(())
    }
}
