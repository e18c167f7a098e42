//! `GET /v1/jobs/{id}/events`: what happens to a job, as server-sent events, as `EventSource` of a browser reads them.
//!
//! ```text
//! id: 1099511627777
//! event: progress
//! data: {"version":1,"cursor":1099511627777,"kind":"progress",…}
//! ```
//! It ends behind the event `ended`. A client that comes again says the last id that it has seen (`Last-Event-ID`, or `?cursor=`), and misses
//! nothing. A line that begins with a colon says that the head is still there.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::State;
use bytes::Bytes;
use http::{HeaderMap, HeaderName};
use tokio::time::{Instant, interval_at};
use tokio_stream::StreamExt;
use tonic::Status;

use super::ask::{Id, Query};
use super::refusal::Answer;
use crate::domain::Error;
use crate::limits::EVENTS_HEARTBEAT_EVERY;
use crate::rpc::document::Event;
use crate::rpc::http::ErrorText;
use crate::rpc::pb;
use crate::rpc::pb::job_service_server::JobService;
use crate::rpc::status::from_status;
use crate::web::asker::{Asker, answered};
use crate::web::event_stream::event_stream;
use crate::web::routes::Web;

/// Sent by a browser that comes again.
pub(super) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

pub(super) const WORDS: &[&str] = &["cursor"];

pub(super) async fn follow(State(web): State<Web>, asker: Asker, Id(id): Id, query: Query, headers: HeaderMap) -> Answer {
    let cursor = cursor(&headers, &query)?;
    let events = answered(web.jobs.watch_job(asker.asks(pb::WatchJobRequest { id, cursor })).await)?;
    let beats = interval_at(Instant::now() + EVENTS_HEARTBEAT_EVERY, EVENTS_HEARTBEAT_EVERY);
    let texts = events.timeout_repeating(beats).map(|next| Ok::<_, Infallible>(next.map_or(Bytes::from_static(b":\n\n"), text)));
    Ok(event_stream(Body::from_stream(texts)))
}

/// Of the last event seen. An address stays as it is when a browser comes again, so what it says then counts more.
fn cursor(headers: &HeaderMap, query: &Query) -> Result<u64, Error> {
    let asked = query.number("cursor")?.unwrap_or_default();
    let Some(said) = headers.get(LAST_EVENT_ID) else { return Ok(asked) };
    let said = said.to_str().ok().and_then(|said| said.parse().ok());
    said.ok_or_else(|| Error::invalid("last-event-id: not one of ours; take it from the last event as it is"))
}

fn text(event: Result<pb::JobEvent, Status>) -> Bytes {
    let text = match event {
        Ok(event) => {
            let data = serde_json::to_string(&Event::of(&event)).unwrap_or_default();
            format!("id: {}\nevent: {}\ndata: {data}\n\n", event.cursor, event.kind)
        }
        Err(status) => return error_event(&status),
    };
    text.into()
}

/// Why no more comes.
pub(super) fn error_event(status: &Status) -> Bytes {
    let error = ErrorText::of(&from_status(status));
    format!("event: error\ndata: {}\n\n", serde_json::json!({ "version": crate::rpc::document::VERSION, "error": error })).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn an_event_is_lines_that_end_with_an_empty_one() {
        let event = pb::JobEvent { cursor: 7, kind: "control".into(), text: "two\nlines".into(), ..Default::default() };
        let data = r#"{"version":1,"cursor":7,"time":null,"kind":"control","text":"two\nlines","job":null}"#;
        assert_eq!(text(Ok(event)), format!("id: 7\nevent: control\ndata: {data}\n\n"));
        let behind = text(Err(crate::rpc::status::to_status(&Error::exhausted("too far"))));
        assert_eq!(behind, "event: error\ndata: {\"error\":{\"kind\":\"Exhausted\",\"message\":\"too far\"},\"version\":1}\n\n");
    }

    #[test]
    fn what_a_browser_says_when_it_comes_again_counts_more_than_its_address() {
        let headers = |id: &'static str| [(LAST_EVENT_ID, HeaderValue::from_static(id))].into_iter().collect::<HeaderMap>();
        assert_eq!(cursor(&headers("9"), &Query::of("cursor=7")), Ok(9));
        assert_eq!(cursor(&HeaderMap::new(), &Query::of("cursor=7")), Ok(7));
        assert_eq!(cursor(&HeaderMap::new(), &Query::of("")), Ok(0));
        assert!(cursor(&headers("9"), &Query::of("cursor=x")).is_err(), "it is not overlooked either");
        assert!(cursor(&headers("x"), &Query::of("")).is_err() && cursor(&HeaderMap::new(), &Query::of("cursor=-1")).is_err());
    }
}
