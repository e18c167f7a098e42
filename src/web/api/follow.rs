//! `GET /v1/tasks/{id}/follow`: what a task prints, as it does, as server-sent events, as `EventSource` of a browser reads them.
//!
//! ```text
//! id: 1-4096
//! event: output
//! data: {"version":1,"attempt":1,"offset":4080,"left_out":0,"data":"16 bytes of text","text":"","ended":false}
//! ```
//! `note` says that the task waits, or that an attempt begins; it ends behind the event `ended`. The id is an attempt and the byte behind the
//! last one that was sent: a client that comes again says it (`Last-Event-ID`), and goes on there.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::State;
use bytes::Bytes;
use http::HeaderMap;
use tokio::time::{Instant, interval_at};
use tokio_stream::StreamExt;
use tonic::Status;

use super::ask::{Id, Query};
use super::events::{LAST_EVENT_ID, error_event};
use super::refusal::Answer;
use crate::domain::Error;
use crate::limits::EVENTS_HEARTBEAT_EVERY;
use crate::rpc::document::LogPiece;
use crate::rpc::pb;
use crate::rpc::pb::get_task_log_request::Stream;
use crate::rpc::pb::job_service_server::JobService;
use crate::rpc::units::parse_size;
use crate::web::asker::{Asker, answered};
use crate::web::event_stream::event_stream;
use crate::web::routes::Web;

pub(super) const WORDS: &[&str] = &["stream", "tail"];

pub(super) async fn follow(State(web): State<Web>, asker: Asker, Id(id): Id, query: Query, headers: HeaderMap) -> Answer {
    let stream = match query.get("stream") {
        None | Some("stdout") => Stream::Stdout,
        Some("stderr") => Stream::Stderr,
        Some(_) => return Err(Error::invalid("stream: stdout or stderr is needed").into()),
    };
    let tail_bytes = query.get("tail").map(parse_size).transpose().map_err(|error| error.context("tail"))?;
    let (attempt, offset) = last_seen(&headers)?;
    let request = pb::FollowTaskLogRequest { id, stream: stream.into(), tail_bytes, attempt, offset };
    let pieces = answered(web.jobs.follow_task_log(asker.asks(request)).await)?;
    let beats = interval_at(Instant::now() + EVENTS_HEARTBEAT_EVERY, EVENTS_HEARTBEAT_EVERY);
    let mut letters = Letters::default();
    let texts = pieces.timeout_repeating(beats).map(move |next| Ok::<_, Infallible>(event(&mut letters, next.ok())));
    Ok(event_stream(Body::from_stream(texts)))
}

/// The attempt, and the byte behind the last one seen of it; zeros for who has seen nothing.
fn last_seen(headers: &HeaderMap) -> Result<(u32, u64), Error> {
    let Some(said) = headers.get(LAST_EVENT_ID) else { return Ok((0, 0)) };
    let parts = said.to_str().ok().and_then(|said| said.split_once('-'));
    let seen = parts.and_then(|(attempt, offset)| Some((attempt.parse().ok()?, offset.parse().ok()?)));
    seen.ok_or_else(|| Error::invalid("last-event-id: not one of ours; take it from the last event as it is"))
}

/// None: nothing has come for a while.
fn event(letters: &mut Letters, next: Option<Result<pb::LogPiece, Status>>) -> Bytes {
    let piece = match next {
        None => return Bytes::from_static(b":\n\n"),
        Some(Err(status)) => return error_event(&status),
        Some(Ok(piece)) => piece,
    };
    let (offset, data) = letters.of(&piece);
    let kind = match (piece.ended, piece.text.is_empty()) {
        (true, _) => "ended",
        (false, false) => "note",
        (false, true) => "output",
    };
    let seen = offset + data.len_before;
    let json = serde_json::to_string(&LogPiece::of(&piece, offset, &data.text)).unwrap_or_default();
    format!("id: {}-{seen}\nevent: {kind}\ndata: {json}\n\n", piece.attempt).into()
}

/// Whole characters out of bytes that come in pieces.
#[derive(Default)]
struct Letters {
    attempt: u32,
    /// The beginning of a character, of which the rest has not come.
    begun: Vec<u8>,
    /// Where that begins.
    at: u64,
}

/// Some of them.
#[derive(Debug, PartialEq, Eq)]
struct Text {
    text: String,
    /// How many bytes they were.
    len_before: u64,
}

impl Letters {
    /// The characters that are whole with this piece, and where they begin.
    fn of(&mut self, piece: &pb::LogPiece) -> (u64, Text) {
        let goes_on = piece.attempt == self.attempt && piece.offset == self.at + self.begun.len() as u64;
        // What is cut off by something that is left out, or by the end, will never be whole.
        let mut bytes = std::mem::take(&mut self.begun);
        let is_next = goes_on || piece.data.is_empty();
        let offset = if is_next { piece.offset.saturating_sub(bytes.len() as u64) } else { piece.offset };
        if !is_next {
            bytes.clear();
        }
        bytes.extend_from_slice(&piece.data);
        let whole = if piece.ended { bytes.len() } else { whole_len(&bytes) };
        let text = String::from_utf8_lossy(bytes.get(..whole).unwrap_or_default()).into_owned();
        self.begun = bytes.split_off(whole);
        (self.attempt, self.at) = (piece.attempt, offset + whole as u64);
        (offset, Text { text, len_before: whole as u64 })
    }
}

/// Without the beginning of a character at the end.
fn whole_len(bytes: &[u8]) -> usize {
    for back in 1..=bytes.len().min(3) {
        let at = bytes.len() - back;
        let len = match bytes.get(at) {
            Some(0xc2..=0xdf) => 2,
            Some(0xe0..=0xef) => 3,
            Some(0xf0..=0xf4) => 4,
            Some(0x80..=0xbf) => continue,
            _ => return bytes.len(),
        };
        return if len > back { at } else { bytes.len() };
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rpc::status::to_status;
    use http::HeaderValue;

    fn piece(attempt: u32, offset: u64, data: &[u8]) -> pb::LogPiece {
        pb::LogPiece { attempt, offset, data: data.to_vec().into(), ..Default::default() }
    }

    #[test]
    fn an_event_has_whole_characters_and_says_where_to_go_on() {
        let mut letters = Letters::default();
        let mut next = |piece| event(&mut letters, Some(Ok(piece)));
        let line = |data: &str, offset| {
            format!(r#"data: {{"version":1,"attempt":1,"offset":{offset},"left_out":0,"data":"{data}","text":"","ended":false}}"#)
        };
        assert_eq!(next(piece(1, 0, b"a\xe2\x82")), format!("id: 1-1\nevent: output\n{}\n\n", line("a", 0)));
        assert_eq!(next(piece(1, 3, b"\xac\n")), format!("id: 1-5\nevent: output\n{}\n\n", line("€\\n", 1)));
        let note = pb::LogPiece { text: "j1.0: attempt 2 begins on w1".into(), ..piece(2, 0, b"") };
        assert!(next(note).starts_with(b"id: 2-0\nevent: note\n"));
        let end = pb::LogPiece { text: "j1.0 has ended: exit code 0".into(), ended: true, ..piece(2, 0, b"") };
        assert!(next(end).starts_with(b"id: 2-0\nevent: ended\n"));
        assert_eq!(event(&mut Letters::default(), None), ":\n\n");
        let error = event(&mut Letters::default(), Some(Err(to_status(&Error::not_found("j1 is gone")))));
        assert!(error.starts_with(b"event: error\n"));
    }

    #[test]
    fn who_comes_again_says_what_he_has_seen() {
        let seen = |id: &'static str| last_seen(&[(LAST_EVENT_ID, HeaderValue::from_static(id))].into_iter().collect());
        assert_eq!((seen("2-77"), last_seen(&HeaderMap::new())), (Ok((2, 77)), Ok((0, 0))));
        assert!(["", "2", "2-", "-2", "a-1", "1-99999999999999999999"].iter().all(|bad| seen(bad).is_err()));
    }

    proptest! {
        #[test]
        fn however_a_text_is_cut_it_comes_whole(text in "[a-zä€😀\n]{0,40}", cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..9)) {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let mut letters = Letters::default();
            let (mut got, mut at) = (String::new(), 0);
            for cut in cuts.windows(2) {
                let (offset, data) = letters.of(&piece(1, cut[0] as u64, &text.as_bytes()[cut[0]..cut[1]]));
                prop_assert_eq!((offset, data.text.len() as u64), (at, data.len_before));
                at += data.len_before;
                got += &data.text;
            }
            prop_assert_eq!(got, text);
        }
    }
}
