//! How a data set would be split.

use crate::actors::preview::Preview;
use crate::rpc::pb;

/// A preview as a message. `split`: the rule.
pub fn preview_to_pb(name: String, split: String, preview: &Preview) -> pb::SplitPreview {
    let [chunk_bytes_min, chunk_bytes_median, chunk_bytes_max] = preview.sizes;
    let first = preview.first.iter().map(|it| pb::FirstChunk {
        records: it.chunk.records,
        bytes: it.chunk.header + it.chunk.len,
        line: it.line.clone(),
    });
    pb::SplitPreview {
        name,
        split,
        packing: preview.packing.clone().unwrap_or_default(),
        bytes: preview.bytes,
        records: preview.summary.records,
        chunks: preview.summary.chunks,
        header_bytes: preview.summary.header_len,
        chunk_bytes_min,
        chunk_bytes_median,
        chunk_bytes_max,
        first: first.collect(),
    }
}
