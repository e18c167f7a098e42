//! `POST /v1/session`: a token for a browser's session. `DELETE /v1/session` ends it.

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use http::{Extensions, HeaderMap, HeaderValue, header};
use serde::Deserialize;

use crate::actors::clock::wall_now;
use crate::domain::{Error, ErrorKind};
use crate::pki::JoinToken;
use crate::rpc::door::{SESSION_COOKIE, session_in};
use crate::rpc::http::error_response;
use crate::rpc::services::{About, Who, registrar_of};

use super::routes::Web;

/// A token is shorter.
const BODY_MAX_BYTES: usize = 8 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LogIn {
    token: String,
}

pub(super) async fn log_in(State(web): State<Web>, request: Request) -> Response {
    logged_in(&web, request).await.unwrap_or_else(|error| error_response(&error))
}

async fn logged_in(web: &Web, request: Request) -> Result<Response, Error> {
    let (head, body) = request.into_parts();
    let who = Who::asks(&head.extensions, &web.head, "POST /v1/session").await?;
    let registrar = registrar_of(&web.head)?;
    // What another site's page can send without asking first is of another kind.
    let is_json = head.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if !is_json {
        return Err(Error::invalid("content-type: application/json is needed"));
    }
    let body = to_bytes(body, BODY_MAX_BYTES).await.map_err(|error| Error::invalid(format!("the body can't be read: {error}")))?;
    let asked: LogIn = serde_json::from_slice(&body).map_err(|error| Error::invalid(format!("the body: {error}")))?;
    let token: JoinToken = asked.token.parse()?;
    if token.fingerprint != registrar.identity().authority().fingerprint() {
        return Err(Error::denied(format!("this token is for another head, {}", token.head)));
    }
    let about = About::just(format!("{} for a browser", token.id));
    let (known, session) = who.changes(&web.head, about, registrar.log_in(token.id, &token.secret)).await?;
    let left = (known.issued.expires.0 - wall_now().0) / 1_000_000;
    answer(&format!("{SESSION_COOKIE}={session}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={left}"))
}

pub(super) async fn log_out(State(web): State<Web>, request: Request) -> Response {
    let (head, _) = request.into_parts();
    logged_out(&web, &head.headers, &head.extensions).await.unwrap_or_else(|error| error_response(&error))
}

async fn logged_out(web: &Web, headers: &HeaderMap, extensions: &Extensions) -> Result<Response, Error> {
    let who = Who::asks(extensions, &web.head, "DELETE /v1/session").await?;
    let id = who.principal().ok_or_else(|| Error::denied("nobody is logged in"))?.id;
    let registrar = registrar_of(&web.head)?;
    let session = session_in(headers).map(|text| registrar.identity().sessions().read(text, wall_now())).transpose()?;
    if session.is_none_or(|session| session.principal != id) {
        return Err(Error::conflict("this is a certificate and no browser's session: `millpond principal revoke` takes it away"));
    }
    // The session is all that he has: without it nobody can be him.
    match who.changes(&web.head, About::just(id.to_string()), registrar.revoke(id)).await {
        // The last admin is let in as long as he was; his browser forgets it all the same.
        Err(error) if error.kind != ErrorKind::Conflict => Err(error),
        Ok(_) | Err(_) => answer(&format!("{SESSION_COOKIE}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0")),
    }
}

fn answer(cookie: &str) -> Result<Response, Error> {
    let mut response = Response::new(Body::from("{\"version\":1}"));
    let cookie = HeaderValue::from_str(cookie).map_err(|_| Error::internal("a session that is no header"))?;
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
