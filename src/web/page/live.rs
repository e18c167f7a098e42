//! What is live on a page, as server-sent events: the HTML again, when something has changed, at most once a second.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use http::{StatusCode, Uri};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::domain::Error;
use crate::rpc::http::{error_response, error_response_as};
use crate::web::asker::Asker;
use crate::web::event_stream::event_stream;
use crate::web::routes::Web;

use super::layout::is_stranger;
use super::view::View;

/// Between two.
const RENDER_EVERY: Duration = Duration::from_secs(1);
/// After so long without news something is sent all the same: it shows that the other end is still there, and what grows by itself (how long
/// something has run) is not too old.
const STILL_HERE_AFTER: Duration = Duration::from_secs(15);

pub(super) async fn stream(State(web): State<Web>, asker: Asker, uri: Uri) -> Response {
    if is_stranger(&web, &asker) {
        return error_response_as(StatusCode::UNAUTHORIZED, &Error::denied("log in first"));
    }
    let opened = async {
        let view = View::of(&uri)?;
        let place = web.live.clone().try_acquire_owned();
        let place = place.map_err(|_| Error::exhausted("too many pages are open at this head: close some"))?;
        let first = view.render(&web, &asker).await?.into_string();
        Ok::<_, Error>((view, place, first))
    };
    let (view, place, first) = match opened.await {
        Ok(opened) => opened,
        Err(error) => return error_response(&error),
    };
    // One on its way: who reads slowly gets fewer, and the latest.
    let (events, body) = mpsc::channel(1);
    tokio::spawn(async move {
        tell(&web, &asker, &view, first, &events).await;
        drop(place);
    });
    event_stream(Body::from_stream(ReceiverStream::new(body)))
}

async fn tell(web: &Web, asker: &Asker, view: &View, first: String, events: &mpsc::Sender<Result<Bytes, Infallible>>) {
    let mut changes = web.head.changes();
    let mut last = first;
    let mut next = event(&last);
    loop {
        if events.send(Ok(next)).await.is_err() {
            return;
        }
        tokio::time::sleep(RENDER_EVERY).await;
        next = loop {
            tokio::select! {
                () = events.closed() => return,
                changed = changes.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(STILL_HERE_AFTER) => {}
            }
            match view.render(web, asker).await {
                Ok(text) => {
                    let text = text.into_string();
                    if text != last {
                        last = text;
                        break event(&last);
                    }
                }
                // The page is asked for again, and says what has become of it.
                Err(_) => {
                    let _ = events.send(Ok(Bytes::from_static(b"event: over\ndata:\n\n"))).await;
                    return;
                }
            }
            if events.is_closed() {
                return;
            }
            if !changes.has_changed().unwrap_or(false) {
                break Bytes::from_static(b":\n\n");
            }
            tokio::time::sleep(RENDER_EVERY).await;
        };
    }
}

/// HTML as one event. A line end would end it.
fn event(html: &str) -> Bytes {
    let mut text = String::with_capacity(html.len() + 8);
    for line in html.split(['\r', '\n']) {
        text.push_str("data: ");
        text.push_str(line);
        text.push('\n');
    }
    text.push('\n');
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_ends_where_its_html_does() {
        assert_eq!(event("<p>a</p>"), "data: <p>a</p>\n\n");
        assert_eq!(event("<pre>a\n\nb\r\nc</pre>"), "data: <pre>a\ndata: \ndata: b\ndata: \ndata: c</pre>\n\n");
    }
}
