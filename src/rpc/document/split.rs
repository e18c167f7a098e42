//! How a file, or a data set, would be split.

use serde::Serialize;

use super::{VERSION, some};
use crate::rpc::pb;

/// What `split --dry-run` shows.
#[derive(Serialize)]
pub(crate) struct Split<'a> {
    version: u32,
    file: &'a str,
    packing: Option<&'a str>,
    split: &'a str,
    bytes: u64,
    records: u64,
    chunks: u32,
    header_bytes: u64,
    chunk_bytes: ChunkBytes,
    first: Vec<FirstChunk<'a>>,
}

/// With the header.
#[derive(Serialize)]
struct ChunkBytes {
    min: u64,
    median: u64,
    max: u64,
}

#[derive(Serialize)]
struct FirstChunk<'a> {
    chunk: usize,
    records: u64,
    bytes: u64,
    line: &'a str,
}

impl<'a> Split<'a> {
    pub(crate) fn of(preview: &'a pb::SplitPreview) -> Self {
        let first = preview.first.iter().enumerate();
        let first = first.map(|(chunk, it)| FirstChunk { chunk, records: it.records, bytes: it.bytes, line: &it.line });
        Self {
            version: VERSION,
            file: &preview.name,
            packing: some(&preview.packing),
            split: &preview.split,
            bytes: preview.bytes,
            records: preview.records,
            chunks: preview.chunks,
            header_bytes: preview.header_bytes,
            chunk_bytes: ChunkBytes { min: preview.chunk_bytes_min, median: preview.chunk_bytes_median, max: preview.chunk_bytes_max },
            first: first.collect(),
        }
    }
}
