//! What both ends of plain HTTP share: addresses, ranges, and how an error looks.

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};
use serde::{Deserialize, Serialize};

use super::status::{kind_of_name, name_of};
use crate::domain::{Error, ErrorKind};

/// Of a job's bundle.
pub const BUNDLE_ROUTE: &str = "/v1/jobs/{id}/bundle";

/// The address of a job's bundle.
pub fn bundle_path(job: &str) -> String {
    BUNDLE_ROUTE.replace("{id}", job)
}

/// The one range that a `Range` header asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteRange {
    /// From here on, up to and with that one.
    From(u64, Option<u64>),
    /// So many at the end.
    Last(u64),
}

impl ByteRange {
    /// Reads `bytes=5-9`, `bytes=5-` and `bytes=-5`. What is something else, several ranges also, is none: the whole is the answer to that
    /// (RFC 9110, section 14.2).
    pub fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.trim().strip_prefix("bytes=")?.split_once('-')?;
        let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        match (first, last) {
            ("", last) => number(last).map(Self::Last),
            (first, "") => Some(Self::From(number(first)?, None)),
            (first, last) => {
                let (first, last): (u64, u64) = (number(first)?, number(last)?);
                (first <= last).then_some(Self::From(first, Some(last)))
            }
        }
    }

    /// From which byte up to which, not included; none if nothing of so many bytes is in it.
    pub fn within(self, len: u64) -> Option<(u64, u64)> {
        let (from, to) = match self {
            Self::From(first, last) => (first, last.map_or(len, |last| last.saturating_add(1).min(len))),
            Self::Last(count) => (len.saturating_sub(count), len),
        };
        (from < to).then_some((from, to))
    }
}

/// An error as JSON.
#[derive(Debug, Serialize, Deserialize)]
struct ErrorPage {
    version: u32,
    error: ErrorText,
}

/// The kind's name, and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorText {
    kind: String,
    message: String,
}

impl ErrorText {
    /// That of an error.
    pub fn of(error: &Error) -> Self {
        Self { kind: name_of(error.kind), message: error.message.clone() }
    }

    /// The error; none if its kind is not one of ours.
    pub fn error(self) -> Option<Error> {
        Some(Error { kind: kind_of_name(&self.kind)?, message: self.message })
    }
}

/// `{"version":1,"error":{"kind":"NotFound","message":…}}` with the status that fits.
pub fn error_response(error: &Error) -> Response<Body> {
    error_response_as(status_of(error.kind), error)
}

/// The same with another status, where HTTP has one that says more.
pub fn error_response_as(status: StatusCode, error: &Error) -> Response<Body> {
    let page = ErrorPage { version: 1, error: ErrorText::of(error) };
    let mut response = Response::new(serde_json::to_vec(&page).unwrap_or_default().into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The error that an answer tells. What is not of ours (a proxy's) is known by its status.
pub fn error_of(status: StatusCode, page: &[u8]) -> Error {
    let ours = serde_json::from_slice(page).ok().and_then(|page: ErrorPage| page.error.error());
    ours.unwrap_or_else(|| Error { kind: kind_of(status), message: format!("the head answers {status}") })
}

/// The status that tells of an error of this kind.
pub fn status_of(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Invalid => StatusCode::BAD_REQUEST,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::Denied => StatusCode::FORBIDDEN,
        ErrorKind::Exhausted => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::TimedOut => StatusCode::REQUEST_TIMEOUT,
        ErrorKind::Corrupt | ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn kind_of(status: StatusCode) -> ErrorKind {
    match status.as_u16() {
        401 | 403 => ErrorKind::Denied,
        404 | 410 => ErrorKind::NotFound,
        409 | 412 => ErrorKind::Conflict,
        408 | 504 => ErrorKind::TimedOut,
        429 | 507 => ErrorKind::Exhausted,
        502 | 503 => ErrorKind::Unavailable,
        400..500 => ErrorKind::Invalid,
        _ => ErrorKind::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_is_read_and_all_else_is_the_whole() {
        let range = |text: &str| ByteRange::parse(text).map(|range| range.within(10));
        assert_eq!(range("bytes=0-0"), Some(Some((0, 1))));
        assert_eq!(range("bytes=3-"), Some(Some((3, 10))));
        assert_eq!(range("bytes=3-99"), Some(Some((3, 10))));
        assert_eq!(range("bytes=-4"), Some(Some((6, 10))));
        assert_eq!(range("bytes=-99"), Some(Some((0, 10))));
        assert_eq!([range("bytes=10-"), range("bytes=-0")], [Some(None); 2]);
        for other in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=5-3",
            "bytes=a-",
            "bytes=+1-",
            "bytes=0-1,3-4",
            "lines=0-1",
            "bytes=99999999999999999999-",
        ] {
            assert_eq!(range(other), None, "{other}");
        }
    }

    #[test]
    fn an_error_is_read_as_it_was_written_and_a_foreign_one_by_its_status() {
        for kind in [ErrorKind::Invalid, ErrorKind::NotFound, ErrorKind::Conflict, ErrorKind::Exhausted, ErrorKind::Corrupt] {
            let error = Error { kind, message: "a \"word\"".into() };
            let response = error_response(&error);
            let page = serde_json::json!({"version": 1, "error": {"kind": format!("{kind:?}"), "message": error.message}});
            assert_eq!(error_of(response.status(), page.to_string().as_bytes()), error);
        }
        assert_eq!(error_of(StatusCode::BAD_GATEWAY, b"<html>").kind, ErrorKind::Unavailable);
        assert_eq!(error_of(StatusCode::IM_A_TEAPOT, b"{}").kind, ErrorKind::Invalid);
    }
}
