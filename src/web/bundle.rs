//! `GET /v1/jobs/{id}/bundle`: the bundle as it is now, or, by `If-Match` or `If-Range`, as it was when a download began.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio_stream::StreamExt;

use super::api::Id;
use super::routes::Web;
use crate::bundle::archive_file_name;
use crate::domain::{Error, JobId};
use crate::rpc::http::{ByteRange, error_response};
use crate::rpc::services::{Who, send_pieces};

/// One read from the disk, and one write to the socket.
const PIECE_BYTES: usize = 512 * 1024;

pub(super) async fn get(State(web): State<Web>, Id(id): Id, request: Request) -> Response {
    answer(&web, &id, &request.into_parts().0).await.unwrap_or_else(|error| error_response(&error))
}

async fn answer(web: &Web, id: &str, request: &Parts) -> Result<Response, Error> {
    let (job, headers): (JobId, _) = (id.parse()?, &request.headers);
    Who::asks(&request.extensions, &web.head, "GET /v1/jobs/{id}/bundle").await?.reaches_job(&web.head, job).await?;
    let [if_match, if_range, if_none_match] =
        [header::IF_MATCH, header::IF_RANGE, header::IF_NONE_MATCH].map(|name| etag_in(headers, name));
    let wanted = if_match.or(if_range).unwrap_or_default();
    let bundle = web.head.bundle(job, wanted).await?;
    let (etag, len) = (bundle.layout.etag().to_owned(), bundle.layout.len());
    if if_match.is_some_and(|wanted| wanted != etag) {
        return Ok(empty(StatusCode::PRECONDITION_FAILED, &etag));
    }
    if if_none_match == Some(etag.as_str()) {
        return Ok(empty(StatusCode::NOT_MODIFIED, &etag));
    }
    // A range of what it was is of no use for what it is.
    let is_same = if_range.is_none_or(|wanted| wanted == etag);
    let range = headers.get(header::RANGE).filter(|_| is_same).and_then(|range| range.to_str().ok()).and_then(ByteRange::parse);
    let (from, to) = match range.map(|range| range.within(len)) {
        None => (0, len),
        Some(Some(part)) => part,
        Some(None) => {
            let mut nothing = empty(StatusCode::RANGE_NOT_SATISFIABLE, &etag);
            insert(&mut nothing, header::CONTENT_RANGE, &format!("bytes */{len}"));
            return Ok(nothing);
        }
    };
    let name = archive_file_name(&web.head.job(job).await?.view.spec.name, job);
    let permit = web.transfers.begin().await?;
    let read = move |offset: u64| {
        let mut data = vec![0; PIECE_BYTES.min(usize::try_from(to - offset).unwrap_or(PIECE_BYTES))];
        let read = bundle.read_at(offset, &mut data)?;
        data.truncate(read);
        Ok::<_, Error>((Bytes::from(data), offset + read as u64))
    };
    // Before the answer begins, so that what can't be read is said, and not a connection that breaks: also to who comes again for the rest.
    let looked = tokio::task::spawn_blocking(move || read(from).map(|first| (first, read))).await;
    let ((first, next), read) = looked.map_err(|error| Error::internal(format!("reading the bundle broke off: {error}")))??;
    let pieces = send_pieces(permit, move |send| {
        let (mut data, mut offset) = (first, next);
        while send(data) && offset < to {
            (data, offset) = read(offset)?;
        }
        Ok(())
    });
    let mut response = empty(if range.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK }, &etag);
    if range.is_some() {
        insert(&mut response, header::CONTENT_RANGE, &format!("bytes {from}-{}/{len}", to - 1));
    }
    insert(&mut response, header::CONTENT_LENGTH, &(to - from).to_string());
    insert(&mut response, header::CONTENT_TYPE, "application/zip");
    insert(&mut response, header::ACCEPT_RANGES, "bytes");
    insert(&mut response, header::CONTENT_DISPOSITION, &disposition(&name));
    *response.body_mut() =
        Body::from_stream(pieces.map(|piece| piece.map_err(|status| std::io::Error::other(status.message().to_owned()))));
    Ok(response)
}

/// The one etag that a header names, without its quotes.
fn etag_in(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()?.trim().strip_prefix('"')?.strip_suffix('"')
}

fn empty(status: StatusCode, etag: &str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    insert(&mut response, header::ETAG, &format!("\"{etag}\""));
    response
}

fn insert(response: &mut Response, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// As RFC 6266 has it: a name in ASCII for old readers, and the name.
fn disposition(name: &str) -> String {
    let plain: String = name.chars().map(|c| if c.is_ascii() { c } else { '_' }).collect();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let escaped: String =
        name.bytes().map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect();
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{escaped}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_download_has_a_name_that_old_readers_understand_too() {
        assert_eq!(disposition("human-j7.zip"), "attachment; filename=\"human-j7.zip\"; filename*=UTF-8''human-j7.zip");
        assert_eq!(disposition("é+ b-j1.zip"), "attachment; filename=\"_+ b-j1.zip\"; filename*=UTF-8''%C3%A9%2B%20b-j1.zip");
    }

    #[test]
    fn an_etag_stands_between_quotes() {
        let mut headers = HeaderMap::new();
        headers.insert(header::IF_MATCH, HeaderValue::from_static("\"abc\""));
        headers.insert(header::IF_RANGE, HeaderValue::from_static("Sat, 28 Nov 2026 12:00:00 GMT"));
        assert_eq!((etag_in(&headers, header::IF_MATCH), etag_in(&headers, header::IF_RANGE)), (Some("abc"), None));
    }
}
