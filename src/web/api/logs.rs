//! What a task has printed, as it is: bytes.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderValue, header};
use tokio_stream::StreamExt;

use super::ask::{Id, Query};
use super::refusal::Answer;
use crate::domain::Error;
use crate::rpc::pb;
use crate::rpc::pb::get_task_log_request::Stream;
use crate::rpc::pb::job_service_server::JobService;
use crate::rpc::status::from_status;
use crate::web::asker::{Asker, answered};
use crate::web::routes::Web;

pub(super) const WORDS: &[&str] = &["attempt"];

pub(super) async fn stdout(State(web): State<Web>, asker: Asker, Id(id): Id, query: Query) -> Answer {
    log(&web, &asker, id, Stream::Stdout, "stdout", &query).await
}

pub(super) async fn stderr(State(web): State<Web>, asker: Asker, Id(id): Id, query: Query) -> Answer {
    log(&web, &asker, id, Stream::Stderr, "stderr", &query).await
}

async fn log(web: &Web, asker: &Asker, id: String, stream: Stream, name: &str, query: &Query) -> Answer {
    let file = format!("attachment; filename=\"{id}.{name}\"");
    let attempt = query.number("attempt")?;
    if attempt == Some(0) {
        return Err(Error::invalid("attempt: they are counted from 1").into());
    }
    let request = pb::GetTaskLogRequest { id, stream: stream.into(), attempt: attempt.unwrap_or_default() };
    let mut pieces = answered(web.jobs.get_task_log(asker.asks(request)).await)?;
    // Before the answer begins, so that what can't be read is said, and is not a connection that breaks.
    let first = pieces.next().await.transpose().map_err(|status| from_status(&status))?.unwrap_or_default();
    let len = first.total_len;
    let rest = pieces.map(|piece| piece.map(|piece| piece.data).map_err(|status| std::io::Error::other(status.message().to_owned())));
    let mut response = Response::new(Body::from_stream(tokio_stream::once(Ok(first.data)).chain(rest)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_LENGTH, len.into());
    let file = HeaderValue::from_str(&file).map_err(|_| Error::internal("a task's id that is none"))?;
    headers.insert(header::CONTENT_DISPOSITION, file);
    Ok(response)
}
