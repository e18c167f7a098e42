//! What a task needs before its process can start: its chunk and the shared files, at hand and pinned.

use std::sync::Arc;

use crate::archive::Layout;
use crate::domain::wire::{JobInfo, Lease};
use crate::domain::{Chunk, Cut, Error, ErrorKind, Input, Packing, Record, SplitRule};
use crate::engine::slot_table::Preparation;

use super::cache::{Cache, Piece, Pinned};
use super::data_port::TransferError;

/// Pinned inputs of one task.
#[derive(Default)]
pub struct Inputs {
    /// The chunk.
    pub input: Option<Pinned>,
    /// The shared files, by name.
    pub with: Vec<(String, Pinned)>,
}

/// Gets a task's inputs.
pub async fn prepare(cache: Arc<Cache>, info: Arc<JobInfo>, lease: Lease, chunk: Option<Chunk>) -> Result<Inputs, TransferError> {
    let mut inputs = Inputs::default();
    if let (Input::Dataset { digest, name, rule }, Some(chunk)) = (&info.spec.input, chunk) {
        let (layout, name) = (layout(rule), chunk_name(name, info.spec.index_of(lease.no)));
        let name = if layout.is_some() { name.trim_end_matches(".tar").to_owned() } else { name };
        let piece = Piece { digest: *digest, chunk: Some(chunk), name, layout };
        inputs.input = Some(cache.get(&piece).await?);
    }
    for file in &info.spec.with {
        let piece = Piece { digest: file.digest, chunk: None, name: file.name.clone(), layout: None };
        inputs.with.push((file.name.clone(), cache.get(&piece).await?));
    }
    Ok(inputs)
}

/// How a chunk of files is laid out: `files:1` promises one file, all others a folder, however many are in it.
fn layout(rule: &SplitRule) -> Option<Layout> {
    match (&rule.record, rule.cut) {
        (Record::Files, Cut::Records(1)) => Some(Layout::OneFile),
        (Record::Files, _) => Some(Layout::Tree),
        _ => None,
    }
}

/// `spectra-000042.mgf`: the data set's own ending stays, since programs look at it; but a chunk is never compressed.
fn chunk_name(name: &str, index: u64) -> String {
    let name = &*Packing::plain_name(name);
    match name.rsplit_once('.') {
        Some((stem, ending)) if !stem.is_empty() => format!("{stem}-{index:06}.{ending}"),
        _ => format!("{name}-{index:06}"),
    }
}

/// What a failed preparation means for the task: given back if another try, or another worker, may do better.
pub fn verdict(error: &Error) -> Preparation {
    match error.kind {
        ErrorKind::Unavailable | ErrorKind::TimedOut | ErrorKind::Exhausted => Preparation::Declined,
        ErrorKind::Invalid | ErrorKind::NotFound | ErrorKind::Conflict | ErrorKind::Denied | ErrorKind::Corrupt | ErrorKind::Internal => {
            Preparation::Failed
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_keeps_the_ending_of_its_data_set() {
        assert_eq!(chunk_name("a.b.mgf", 7), "a.b-000007.mgf");
        assert_eq!(chunk_name("a.fasta.gz", 7), "a-000007.fasta");
        assert_eq!(chunk_name("words", 1_234_567), "words-1234567");
        assert_eq!(chunk_name(".hidden", 0), ".hidden-000000");
    }
}
