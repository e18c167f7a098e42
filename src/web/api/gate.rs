//! What comes before and behind every route: who may enter it, with which words; and that each answer is one of ours.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, header};
use hyper::body::Body as _;

use super::ask::{Query, linger};
use super::refusal::Refusal;
use crate::actors::Head;
use crate::domain::{Caller, Error};
use crate::rpc::http::error_response_as;
use crate::rpc::http_upload::{FROM_WHERE_YOU_SAY, UPLOAD_OFFSET};
use crate::rpc::services::Who;

/// Words that may be there more than once.
const REPEATED: &[&str] = &["label"];

/// Stands before one route.
#[derive(Clone)]
pub(super) struct Gate {
    pub(super) head: Head,
    /// As in the table of access.
    pub(super) route: &'static str,
    /// What its query may hold.
    pub(super) words: &'static [&'static str],
}

/// Lets a request into its route, or says why not.
pub(super) async fn enter(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    let Err(refusal) = gate.lets_in(&head, !body.is_end_stream()).await else { return next.run(Request::from_parts(head, body)).await };
    // One who waits for our word has sent nothing, and hears it at once.
    let waits = head.headers.get(UPLOAD_OFFSET).is_some_and(|said| said == FROM_WHERE_YOU_SAY);
    if !waits {
        linger(body).await;
    }
    refusal.into_response()
}

impl Gate {
    async fn lets_in(&self, head: &Parts, has_body: bool) -> Result<(), Refusal> {
        let is_nobody = matches!(head.extensions.get::<Caller>(), None | Some(Caller::Anyone));
        let asked = Who::asks(&head.extensions, &self.head, self.route).await;
        asked.map_err(|error| if is_nobody && self.head.registrar.is_some() { Refusal::of_nobody(error) } else { error.into() })?;
        check_words(&Query::of(head.uri.query().unwrap_or_default()), self.words)?;
        let takes_body = [Method::POST, Method::PUT].contains(&head.method);
        if has_body && !takes_body {
            return Err(Error::invalid("a body is not read here: what is to be said stands in the query").into());
        }
        Ok(())
    }
}

fn check_words(query: &Query, known: &[&str]) -> Result<(), Error> {
    let mut seen: Vec<&str> = Vec::new();
    for word in query.words() {
        if !known.contains(&word) {
            let known = if known.is_empty() { "no word".to_owned() } else { known.join(", ") };
            return Err(Error::invalid(format!("{word}: unknown in the query; known there: {known}")));
        }
        if seen.contains(&word) && !REPEATED.contains(&word) {
            return Err(Error::invalid(format!("{word}: is there twice")));
        }
        seen.push(word);
    }
    Ok(())
}

/// Has no browser guess what an answer is, or keep it.
pub(super) async fn leave(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if !headers.contains_key(header::ETAG) && !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// A verb that an address does not have; `allowed` are those that it has, as `GET, HEAD`.
pub(super) fn not_allowed(verb: &Method, allowed: &str) -> Response {
    let message = format!("{verb} is not possible here: there is {allowed}");
    let mut response = error_response_as(StatusCode::METHOD_NOT_ALLOWED, &Error::invalid(message));
    if let Ok(allowed) = HeaderValue::from_str(allowed) {
        response.headers_mut().insert(header::ALLOW, allowed);
    }
    response
}

/// An address below `/v1/` at which there is nothing.
pub(super) async fn nothing_there() -> Refusal {
    Error::not_found("there is nothing at this address: GET /v1/openapi.json says what there is").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_not_known_or_is_there_twice_is_refused() {
        let check = |query: &str| check_words(&Query::of(query), &["label", "state"]);
        assert!(check("").is_ok() && check("state=failed&label=a=1&label=b=2").is_ok());
        assert_eq!(check("stat=failed").unwrap_err().message, "stat: unknown in the query; known there: label, state");
        assert_eq!(check("state=a&state=b").unwrap_err().message, "state: is there twice");
        assert!(check_words(&Query::of("dry_run=true"), &[]).unwrap_err().message.ends_with("known there: no word"));
    }
}
