//! What is asked: the one name in the path, the words of the query, the body.

use std::collections::HashMap;
use std::str::FromStr;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use axum::response::Response;
use form_urlencoded::parse;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::BodyExt;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::refusal::{Answer, Refusal};
use super::values::Object;
use crate::domain::Error;
use crate::limits::{BODY_MAX_BYTES, BODY_WITHIN, PAGE_MAX_ITEMS};
use crate::rpc::units::parse_pair;

/// So long what still comes of a body that is too long is read and dropped: a connection that is closed over unread bytes takes the refusal
/// with it.
const LINGER: Duration = Duration::from_secs(2);

/// What stands in the place of `{id}` in a route.
pub(in crate::web) struct Id(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let params = RawPathParams::from_request_parts(parts, state).await;
        let params = params.map_err(|_| Error::invalid("the address is not valid UTF-8, once it is decoded"))?;
        let id = params.iter().next().map(|(_, value)| value.to_owned());
        Ok(Self(id.ok_or_else(|| Error::internal("a route without a name in it"))?))
    }
}

/// The words of a query. That the route knows each of them, and that none is there twice, is seen to by the gate.
pub(super) struct Query(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        Ok(Self::of(parts.uri.query().unwrap_or_default()))
    }
}

impl Query {
    /// Reads a query.
    pub(super) fn of(query: &str) -> Self {
        Self(parse(query.as_bytes()).into_owned().collect())
    }

    /// The words that are there, in their order.
    pub(super) fn words(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(word, _)| word.as_str())
    }

    /// What is said by a word.
    pub(super) fn get(&self, word: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == word).map(|(_, value)| value.as_str())
    }

    /// The same as a text; empty if nothing is said.
    pub(super) fn text(&self, word: &str) -> String {
        self.get(word).unwrap_or_default().to_owned()
    }

    /// A whole number.
    pub(super) fn number<T: FromStr>(&self, word: &str) -> Result<Option<T>, Error> {
        let number = |text: &str| {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|_| digits).ok_or_else(|| Error::invalid(format!("{word}: a whole number is needed")))
        };
        self.get(word).map(number).transpose()
    }

    /// `true` or `false`; false if nothing is said.
    pub(super) fn flag(&self, word: &str) -> Result<bool, Error> {
        match self.get(word) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Error::invalid(format!("{word}: true or false is needed"))),
        }
    }

    /// `NAME=VALUE`, as often as it is there.
    pub(super) fn pairs(&self, word: &str) -> Result<HashMap<String, String>, Error> {
        let mut pairs = HashMap::new();
        for (_, pair) in self.0.iter().filter(|(known, _)| known == word) {
            let (name, value) = parse_pair(pair).map_err(|error| error.context(word))?;
            if pairs.insert(name.clone(), value).is_some() {
                return Err(Error::invalid(format!("{word}: {name} is there twice")));
            }
        }
        Ok(pairs)
    }

    /// How much of a listing, and from where on.
    pub(super) fn page(&self) -> Result<(i32, String), Error> {
        let size = self.number::<usize>("page_size")?.unwrap_or_default();
        let size = i32::try_from(size).ok().filter(|_| size <= PAGE_MAX_ITEMS);
        let size = size.ok_or_else(|| Error::invalid(format!("page_size: at most {PAGE_MAX_ITEMS} are allowed")))?;
        Ok((size, self.text("page_token")))
    }
}

/// A body of JSON.
pub(in crate::web) struct Sent<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Sent<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        let (head, body) = request.into_parts();
        if !is_json(&head.headers) {
            linger(body).await;
            let needed = "a body of JSON is needed, with `content-type: application/json` (with curl: --json '{}')";
            return Err(Refusal::with(StatusCode::UNSUPPORTED_MEDIA_TYPE, needed));
        }
        let body = tokio::time::timeout(BODY_WITHIN, whole(body)).await;
        let body = body.map_err(|_| Error::timed_out(format!("the body did not come within {} s", BODY_WITHIN.as_secs())))??;
        serde_json::from_slice(&body).map(|Object(read)| Self(read)).map_err(|error| Error::invalid(format!("body: {error}")).into())
    }
}

/// A page of another site can have a browser send a form, or plain text, in its user's name; JSON only if it is allowed to.
fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

/// Reads, not for long, what still comes, and drops it.
pub(super) async fn linger(mut body: Body) {
    let _ = tokio::time::timeout(LINGER, async { while let Some(Ok(_)) = body.frame().await {} }).await;
}

async fn whole(mut body: Body) -> Result<Vec<u8>, Refusal> {
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Error::invalid("the body broke off"))?;
        let Ok(data) = frame.into_data() else { continue };
        if whole.len() + data.len() > BODY_MAX_BYTES {
            linger(body).await;
            return Err(Refusal::with(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is longer than {BODY_MAX_BYTES} bytes")));
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole)
}

/// A document as the answer.
pub(super) fn json(document: &impl Serialize) -> Answer {
    let text = serde_json::to_vec(document).map_err(|error| Error::internal(format!("can't write JSON: {error}")))?;
    Ok(json_text(text))
}

/// The same where it is written already.
pub(super) fn json_text(text: impl Into<Body>) -> Response {
    let mut response = Response::new(text.into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A page of a listing, whose items are at `key`.
pub(super) fn listing<'a, T, D: Serialize>(key: &'static str, items: &'a [T], document: impl Fn(&'a T) -> D, next: &str) -> Answer {
    let items = items.iter().map(|item| serde_json::to_value(document(item))).collect::<Result<Vec<_>, _>>();
    let items = items.map_err(|error| Error::internal(format!("can't write JSON: {error}")))?;
    let next = (!next.is_empty()).then_some(next);
    json(&serde_json::json!({ "version": crate::rpc::document::VERSION, key: items, "next_page_token": next }))
}

/// The client's id of what he asks for, or a new one: then it can't be repeated safely.
pub(super) fn request_id(said: Option<String>) -> String {
    said.filter(|id| !id.is_empty()).unwrap_or_else(|| uuid::Uuid::new_v4().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_json_is_json() {
        let is = |kind: &'static str| is_json(&[(header::CONTENT_TYPE, HeaderValue::from_static(kind))].into_iter().collect());
        assert!(is("application/json") && is("Application/JSON; charset=utf-8") && !is_json(&HeaderMap::new()));
        for other in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data",
            "application/jsonx",
            "",
            "text/plain; application/json",
        ] {
            assert!(!is(other), "{other}");
        }
    }

    #[test]
    fn words_of_a_query_are_read_or_refused() {
        let query = Query::of("page_size=5&live=true&label=a%3D1&label=b=2&page_token=7");
        assert_eq!(query.page().unwrap(), (5, "7".to_owned()));
        assert!(query.flag("live").unwrap() && !query.flag("held").unwrap());
        assert_eq!(query.pairs("label").unwrap().len(), 2);
        assert_eq!(Query::of("").page().unwrap(), (0, String::new()));
        for bad in ["page_size=-1", "page_size=1001", "page_size=x", "page_size=+1", "page_size="] {
            assert!(Query::of(bad).page().is_err(), "{bad}");
        }
        assert!(Query::of("live=1").flag("live").is_err() && Query::of("label=a").pairs("label").is_err());
        assert!(Query::of("label=a=1&label=a=2").pairs("label").is_err());
    }

    #[tokio::test]
    async fn a_body_has_an_end() {
        assert_eq!(whole(Body::from(vec![b' '; BODY_MAX_BYTES])).await.unwrap().len(), BODY_MAX_BYTES);
        assert!(whole(Body::from(vec![b' '; BODY_MAX_BYTES + 1])).await.is_err());
    }
}
