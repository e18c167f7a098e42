//! An answer of server-sent events.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, header};

/// The answer whose body they are.
pub fn event_stream(body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // For proxies that would gather it.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}
