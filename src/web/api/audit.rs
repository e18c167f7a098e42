//! Lines of the audit, as they lie on the disk, some at a time.

use axum::extract::State;
use bytes::Bytes;
use serde::de::IgnoredAny;
use tokio_stream::{Stream, StreamExt};
use tonic::Status;

use super::ask::{Query, json_text};
use super::refusal::Answer;
use crate::domain::{Digest, Error};
use crate::limits::{PAGE_MAX_BYTES, PAGE_MAX_ITEMS};
use crate::rpc::document::VERSION;
use crate::rpc::pb;
use crate::rpc::pb::audit_service_server::AuditService;
use crate::rpc::status::from_status;
use crate::web::asker::{Asker, answered};
use crate::web::routes::Web;

/// Lines of an answer when the request does not say.
const LINES: usize = 100;

pub(super) const WORDS: &[&str] = &["first", "limit"];

pub(super) async fn read(State(web): State<Web>, asker: Asker, query: Query) -> Answer {
    let first: u64 = query.number("first")?.unwrap_or(1).max(1);
    let limit = query.number("limit")?.unwrap_or(LINES);
    if !(1..=PAGE_MAX_ITEMS).contains(&limit) {
        return Err(Error::invalid(format!("limit: from 1 to {PAGE_MAX_ITEMS}")).into());
    }
    let pieces = answered(web.audits.read_audit(asker.asks(pb::ReadAuditRequest { first })).await)?;
    Ok(json_text(page(pieces, first, limit).await?))
}

/// The document. Lines are taken over as they are: what is checked against the chain is their bytes.
async fn page(mut pieces: impl Stream<Item = Result<pb::AuditLines, Status>> + Unpin, first: u64, limit: usize) -> Result<String, Error> {
    let (mut text, mut last) = (Vec::new(), (0, Bytes::new()));
    let mut ends = 0;
    while ends < limit && text.len() < PAGE_MAX_BYTES {
        let Some(piece) = pieces.next().await.transpose().map_err(|status| from_status(&status))? else { break };
        ends += piece.lines.iter().filter(|byte| **byte == b'\n').count();
        text.extend_from_slice(&piece.lines);
        last = (piece.last, piece.last_sha256);
    }
    // What stands behind the last line end is the beginning of a line whose rest was not waited for.
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let lines = text.get(..whole).unwrap_or_default().split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).take(limit);
    let lines = lines.map(line).collect::<Result<Vec<_>, _>>()?;
    let (last, hash) = last;
    let hash = hash.as_ref().try_into().map(|hash| Digest(hash).to_string()).unwrap_or_default();
    let next = first.saturating_add(lines.len() as u64);
    let next = if next <= last { next.to_string() } else { "null".to_owned() };
    let lines = lines.join(",");
    Ok(format!(r#"{{"version":{VERSION},"lines":[{lines}],"next_first":{next},"last":{{"seq":{last},"sha256":"{hash}"}}}}"#))
}

fn line(line: &[u8]) -> Result<&str, Error> {
    let damaged = || Error::corrupt("a line of the audit is no JSON: `millpond audit --verify` says which");
    serde_json::from_slice::<IgnoredAny>(line).map_err(|_| damaged())?;
    std::str::from_utf8(line).map_err(|_| damaged())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(texts: &[&'static str]) -> impl Stream<Item = Result<pb::AuditLines, Status>> + Unpin {
        let piece = |text: &&'static str| {
            Ok(pb::AuditLines { lines: Bytes::from_static(text.as_bytes()), last: 3, last_sha256: vec![7; 32].into() })
        };
        tokio_stream::iter(texts.iter().map(piece).collect::<Vec<_>>())
    }

    #[tokio::test]
    async fn lines_that_come_in_pieces_are_whole_in_the_answer() {
        let texts = ["", "{\"seq\":1}\n{\"se", "q\":2}\n{\"seq\":3}\n"];
        let read =
            async |first, limit| serde_json::from_str::<serde_json::Value>(&page(pieces(&texts), first, limit).await.unwrap()).unwrap();
        let all = read(1, 10).await;
        assert_eq!((all["lines"].to_string().as_str(), all["next_first"].is_null()), (r#"[{"seq":1},{"seq":2},{"seq":3}]"#, true));
        assert_eq!(all["last"], serde_json::json!({ "seq": 3, "sha256": "07".repeat(32) }));
        let one = read(1, 1).await;
        assert_eq!((one["lines"].as_array().unwrap().len(), one["next_first"].as_u64()), (1, Some(2)));
        let none = page(pieces(&[""]), 9, 10).await.unwrap();
        assert!(none.starts_with(r#"{"version":1,"lines":[],"next_first":null"#), "{none}");
        assert!(page(pieces(&["{\"seq\":1\n"]), 1, 10).await.is_err(), "damaged");
    }
}
