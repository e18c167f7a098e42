//! What a task prints, followed across broken connections and restarts of the head: each new call goes on behind the last byte seen.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tonic::Streaming;

use super::exit::{Ending, Exit, Stop};
use super::follow::PATIENCE;
use super::task_ref::TaskRef;
use super::ui::{Ui, printable};
use crate::domain::{Error, ErrorKind};
use crate::rpc::client::Client;
use crate::rpc::pb;
use crate::rpc::pb::get_task_log_request::Stream;

/// Pieces that wait to be written.
const QUEUE_PIECES: usize = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(3);
/// A head that is back sooner than this was hardly away.
const LOST_AFTER: Duration = Duration::from_secs(1);

/// What there is to write.
enum Heard {
    Piece(Stream, pb::LogPiece),
    /// For a person.
    Note(String),
    /// The same, of the task's end: the last word, behind all that either output still has.
    End(String),
}

/// One or both outputs, to the task's end.
pub(crate) async fn run(task: TaskRef, streams: &[Stream], tail: Option<u64>, client: &Client, ui: &mut Ui) -> Ending {
    let (out, heard) = mpsc::channel(QUEUE_PIECES);
    // What is said for a person is said once, though both are followed.
    let of = |at: usize| streams.get(at).map(|stream| Output::new(task, *stream, tail, client, at == 0, out.clone()));
    let (first, second) = (of(0), of(1));
    drop(out);
    tokio::try_join!(write_all(heard, ui), follow_to_the_end(first), follow_to_the_end(second))?;
    Ok(Exit::Done)
}

async fn follow_to_the_end(output: Option<Output<'_>>) -> Result<(), Stop> {
    match output {
        Some(output) => Ok(output.follow_to_the_end().await?),
        None => Ok(()),
    }
}

async fn write_all(mut heard: mpsc::Receiver<Heard>, ui: &mut Ui) -> Result<(), Stop> {
    let mut end = None;
    while let Some(heard) = heard.recv().await {
        match heard {
            Heard::Note(text) => ui.note(printable(&text)),
            Heard::End(text) => end = Some(text),
            Heard::Piece(stream, piece) => {
                let name = if stream == Stream::Stderr { "error" } else { "output" };
                if piece.left_out > 0 {
                    ui.note(format_args!("… {} bytes of standard {name} left out before byte {} …", piece.left_out, piece.offset));
                }
                let out = if stream == Stream::Stderr { &mut ui.err } else { &mut ui.out };
                out.write_all(&piece.data)?;
                out.flush()?;
            }
        }
    }
    end.iter().for_each(|text| ui.note(printable(text)));
    Ok(())
}

/// One output.
struct Output<'a> {
    client: &'a Client,
    request: pb::FollowTaskLogRequest,
    stream: Stream,
    /// Whether what is for a person is said.
    speaks: bool,
    out: mpsc::Sender<Heard>,
    /// Since when nothing was heard; none while it is.
    lost_since: Option<Instant>,
    has_told_lost: bool,
    pause: Duration,
}

impl<'a> Output<'a> {
    fn new(task: TaskRef, stream: Stream, tail: Option<u64>, client: &'a Client, speaks: bool, out: mpsc::Sender<Heard>) -> Self {
        let request = pb::FollowTaskLogRequest { id: task.to_string(), stream: stream.into(), tail_bytes: tail, ..Default::default() };
        Self { client, request, stream, speaks, out, lost_since: None, has_told_lost: false, pause: FIRST_PAUSE }
    }

    /// Until the task has ended, or nobody writes it any more.
    async fn follow_to_the_end(mut self) -> Result<(), Error> {
        loop {
            let asked = self.client.job_data().follow_task_log(self.request.clone()).await;
            let error = match asked.map_err(|status| self.client.error(&status)) {
                Ok(reply) => match self.pieces(reply.into_inner()).await {
                    Ok(()) => return Ok(()),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            self.recover(error).await?;
        }
    }

    /// An error: it broke off.
    async fn pieces(&mut self, mut pieces: Streaming<pb::LogPiece>) -> Result<(), Error> {
        while let Some(piece) = pieces.message().await.map_err(|status| self.client.error(&status))? {
            (self.lost_since, self.has_told_lost, self.pause) = (None, false, FIRST_PAUSE);
            if piece.attempt > 0 {
                (self.request.attempt, self.request.offset) = (piece.attempt, piece.offset + piece.data.len() as u64);
            }
            let ended = piece.ended;
            let note = if ended { Heard::End } else { Heard::Note };
            let note = (self.speaks && !piece.text.is_empty()).then(|| note(piece.text.clone()));
            let data = (!piece.data.is_empty() || piece.left_out > 0).then_some(Heard::Piece(self.stream, piece));
            for heard in note.into_iter().chain(data) {
                if self.out.send(heard).await.is_err() {
                    return Ok(());
                }
            }
            if ended {
                return Ok(());
            }
        }
        Err(Error::unavailable("the head ended the stream of the output before the task's end"))
    }

    async fn recover(&mut self, error: Error) -> Result<(), Error> {
        let lost_since = *self.lost_since.get_or_insert_with(Instant::now);
        if error.kind != ErrorKind::Unavailable || lost_since.elapsed() >= PATIENCE {
            return Err(error);
        }
        if !self.has_told_lost && lost_since.elapsed() >= LOST_AFTER {
            self.has_told_lost = true;
            let (url, seconds) = (self.client.url(), PATIENCE.as_secs());
            let text = format!("the head at {url} can't be reached; trying again for {seconds} s, the task goes on meanwhile");
            if self.speaks && self.out.send(Heard::Note(text)).await.is_err() {
                return Ok(());
            }
        }
        tokio::time::sleep(self.pause).await;
        self.pause = LAST_PAUSE.min(self.pause * 2);
        Ok(())
    }
}
