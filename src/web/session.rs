//! `POST /v1/session`: a token for a browser's session. `DELETE /v1/session` ends it.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, header};
use serde::Deserialize;

use crate::actors::clock::wall_now;
use crate::domain::{Error, ErrorKind};
use crate::pki::JoinToken;
use crate::rpc::door::{SESSION_COOKIE, session_in};
use crate::rpc::services::{About, registrar_of};

use super::api::{Answer, Sent};
use super::asker::Asker;
use super::routes::Web;

/// What is sent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogIn {
    token: String,
}

pub(super) async fn log_in(State(web): State<Web>, asker: Asker, Sent(asked): Sent<LogIn>) -> Answer {
    let who = asker.who(&web.head, "POST /v1/session").await?;
    let registrar = registrar_of(&web.head)?;
    let token: JoinToken = asked.token.parse()?;
    if token.fingerprint != registrar.identity().authority().fingerprint() {
        return Err(Error::denied(format!("this token is for another head, {}", token.head)).into());
    }
    let about = About::just(format!("{} for a browser", token.id));
    let (known, session) = who.changes(&web.head, about, registrar.log_in(token.id, &token.secret)).await?;
    let left = (known.issued.expires.0 - wall_now().0) / 1_000_000;
    answer(&format!("{SESSION_COOKIE}={session}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={left}"))
}

pub(super) async fn log_out(State(web): State<Web>, asker: Asker, headers: HeaderMap) -> Answer {
    let who = asker.who(&web.head, "DELETE /v1/session").await?;
    let id = who.principal().ok_or_else(|| Error::denied("nobody is logged in"))?.id;
    let registrar = registrar_of(&web.head)?;
    let session = session_in(&headers).map(|text| registrar.identity().sessions().read(text, wall_now())).transpose()?;
    if session.is_none_or(|session| session.principal != id) {
        return Err(Error::conflict("this is a certificate and no browser's session: `millpond principal revoke` takes it away").into());
    }
    // The session is all that he has: without it nobody can be him.
    match who.changes(&web.head, About::just(id.to_string()), registrar.revoke(id)).await {
        // The last admin is let in as long as he was; his browser forgets it all the same.
        Err(error) if error.kind != ErrorKind::Conflict => Err(error.into()),
        Ok(_) | Err(_) => answer(&format!("{SESSION_COOKIE}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0")),
    }
}

fn answer(cookie: &str) -> Answer {
    let mut response = Response::new(Body::from("{\"version\":1}"));
    let cookie = HeaderValue::from_str(cookie).map_err(|_| Error::internal("a session that is no header"))?;
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
