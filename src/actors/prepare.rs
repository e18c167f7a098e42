//! What a task needs before its process can start: its chunk and the shared files, at hand and pinned; its image.

use std::sync::Arc;

use bytes::Bytes;

use crate::archive::Layout;
use crate::domain::wire::{JobInfo, Lease};
use crate::domain::{Chunk, Digest, Error, ErrorKind, Input, Packing, Record, SplitRule};
use crate::engine::slot_table::Preparation;
use crate::limits::NAME_MAX_BYTES;

use super::cache::{Cache, Piece, Pinned};
use super::data_port::{DataPort, TransferError};
use super::images::Images;
use super::read_ahead::ReadAhead;

/// What one task needs, at hand.
#[derive(Default)]
pub struct Inputs {
    /// The chunk.
    pub input: Option<ChunkInput>,
    /// The shared files, by name.
    pub with: Vec<(String, Pinned)>,
}

/// A chunk.
pub enum ChunkInput {
    /// A small one, whose slot makes a file of it.
    Small {
        /// The file's name.
        name: String,
        /// What is in it.
        bytes: Bytes,
    },
    /// A file, or a folder.
    Kept(Pinned),
}

/// Where a worker gets inputs.
#[derive(Clone)]
pub struct Stores {
    cache: Arc<Cache>,
    read_ahead: Arc<ReadAhead>,
    images: Arc<Images>,
}

impl Stores {
    /// Nothing is read yet; files are kept in a cache.
    pub fn new(cache: Arc<Cache>, port: Arc<dyn DataPort>, images: Arc<Images>) -> Self {
        Self { cache, read_ahead: Arc::new(ReadAhead::new(port)), images }
    }

    /// A task's inputs, if they are here, and nothing has to be waited for.
    pub fn here(&self, info: &JobInfo, lease: &Lease, chunk: Option<&Chunk>) -> Option<Inputs> {
        if !info.spec.with.is_empty() || info.spec.image.as_ref().is_some_and(|image| !self.images.is_here(image)) {
            return None;
        }
        let Some((wanted, chunk)) = Wanted::of(info, lease).zip(chunk) else { return Some(Inputs::default()) };
        let bytes = self.read_ahead.here(wanted.digest, chunk).filter(|_| wanted.is_small(chunk))?;
        Some(Inputs { input: Some(ChunkInput::Small { name: wanted.name, bytes }), with: Vec::new() })
    }

    /// Gets a task's inputs. Of the job's other chunks those that follow may be read as well.
    pub async fn get(self, info: Arc<JobInfo>, lease: Lease, chunk: Option<Chunk>, others: Vec<Chunk>) -> Result<Inputs, TransferError> {
        let mut inputs = Inputs::default();
        // First of all: while it comes, which may take minutes, nothing is pinned.
        if let Some(image) = &info.spec.image {
            self.images.get(image).await?;
        }
        if let Some((wanted, chunk)) = Wanted::of(&info, &lease).zip(chunk) {
            inputs.input = Some(if wanted.is_small(&chunk) {
                let bytes = self.read_ahead.get(wanted.digest, &chunk, &others).await?;
                ChunkInput::Small { name: wanted.name, bytes }
            } else {
                let Wanted { digest, name, layout } = wanted;
                let piece = Piece { digest, chunk: Some(chunk), len: chunk.header.saturating_add(chunk.len), name, layout };
                ChunkInput::Kept(self.cache.get(&piece).await?)
            });
        }
        for file in &info.spec.with {
            let piece = Piece { digest: file.digest, chunk: None, len: file.len, name: file.name.clone(), layout: None };
            inputs.with.push((file.name.clone(), self.cache.get(&piece).await?));
        }
        Ok(inputs)
    }
}

/// Of which data set, and as what.
struct Wanted {
    digest: Digest,
    name: String,
    layout: Option<Layout>,
}

impl Wanted {
    /// None for a task without a data set.
    fn of(info: &JobInfo, lease: &Lease) -> Option<Self> {
        let Input::Dataset { digest, name, rule } = &info.spec.input else { return None };
        let (layout, name) = (layout(rule), chunk_name(name, info.spec.index_of(lease.no)));
        let name = if layout.is_some() { name.trim_end_matches(".tar").to_owned() } else { name };
        Some(Self { digest: *digest, name, layout })
    }

    fn is_small(&self, chunk: &Chunk) -> bool {
        self.layout.is_none() && ReadAhead::takes(chunk)
    }
}

/// How a chunk of files is laid out.
fn layout(rule: &SplitRule) -> Option<Layout> {
    let layout = if rule.makes_folders() { Layout::Tree } else { Layout::OneFile };
    (rule.record == Record::Files).then_some(layout)
}

/// `spectra-000042.mgf`: the data set's own ending stays, since programs look at it; but a chunk is never compressed.
///
/// A long name loses the end of its stem, so that a file can have the chunk's.
fn chunk_name(name: &str, index: u64) -> String {
    let name = &*Packing::plain_name(name);
    let number = format!("-{index:06}");
    let (stem, ending) = match name.rfind('.') {
        // An ending that leaves no room for a stem is none.
        Some(at) if at > 0 && number.len() + name.len() - at < NAME_MAX_BYTES => name.split_at(at),
        _ => (name, ""),
    };
    let room = NAME_MAX_BYTES.saturating_sub(number.len() + ending.len()).min(stem.len());
    let room = (0..=room).rev().find(|&at| stem.is_char_boundary(at)).unwrap_or(0);
    format!("{}{number}{ending}", &stem[..room])
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

    #[test]
    fn a_chunk_of_a_long_name_has_one_that_a_file_can_have() {
        let ends_well = |name: &str, end: &str| {
            let name = chunk_name(name, 7);
            assert!(name.ends_with(end) && name.len() <= NAME_MAX_BYTES && name.len() > NAME_MAX_BYTES - 4, "{name}");
        };
        ends_well(&format!("{}.mgf", "a".repeat(251)), "a-000007.mgf");
        ends_well(&format!("a{}.mgf", "\u{e9}".repeat(125)), "\u{e9}-000007.mgf");
        ends_well(&"\u{20ac}".repeat(85), "\u{20ac}-000007");
        ends_well(&format!("a.{}", "b".repeat(253)), "b-000007");
    }
}
