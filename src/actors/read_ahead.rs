//! Small chunks on a worker: read several at a time, kept in memory until their tasks start.
//!
//! A chunk of a few lines costs less than the call that brings it. The chunks of the tasks that a worker has been given mostly follow each
//! other, so one call brings those of all that wait, and no byte that nobody wants.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use tokio::sync::OnceCell;

use crate::domain::{Chunk, Digest};
use crate::limits::{READ_AHEAD_BLOCKS, READ_AHEAD_MAX_BYTES, SMALL_CHUNK_MAX_BYTES};

use super::data_port::{DataPort, TransferError};

/// A part of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    offset: u64,
    len: u64,
}

impl Range {
    fn end(self) -> u64 {
        self.offset.saturating_add(self.len)
    }

    fn holds(self, other: Self) -> bool {
        self.offset <= other.offset && other.end() <= self.end()
    }
}

/// A part of a data set that is here, or on its way.
#[derive(Clone)]
struct Block {
    digest: Digest,
    range: Range,
    bytes: Arc<OnceCell<Bytes>>,
}

impl Block {
    /// None if it is not here yet.
    fn part(&self, range: Range) -> Option<Bytes> {
        let bytes = self.bytes.get()?;
        let from = (range.offset - self.range.offset) as usize;
        (from + range.len as usize <= bytes.len()).then(|| bytes.slice(from..from + range.len as usize))
    }
}

/// See the module.
pub struct ReadAhead {
    port: Arc<dyn DataPort>,
    /// The latest ones, the oldest first.
    blocks: Mutex<VecDeque<Block>>,
}

impl ReadAhead {
    /// Nothing is here yet.
    pub fn new(port: Arc<dyn DataPort>) -> Self {
        Self { port, blocks: Mutex::default() }
    }

    /// Whether a chunk is got here, and not as a file of its own.
    pub fn takes(chunk: &Chunk) -> bool {
        chunk.header.saturating_add(chunk.len) <= SMALL_CHUNK_MAX_BYTES
    }

    /// A chunk with its header, if it is here.
    pub fn here(&self, digest: Digest, chunk: &Chunk) -> Option<Bytes> {
        let (header, body) = ranges(chunk);
        let blocks = self.blocks();
        let part =
            |range: Range| blocks.iter().filter(|block| block.digest == digest && block.range.holds(range)).find_map(|b| b.part(range));
        Some(joined(if header.len == 0 { Bytes::new() } else { part(header)? }, part(body)?))
    }

    /// A chunk with its header; where it is not here those of `others` that follow it come as well.
    pub async fn get(&self, digest: Digest, chunk: &Chunk, others: &[Chunk]) -> Result<Bytes, TransferError> {
        let (header, body) = ranges(chunk);
        let header = if header.len == 0 { Bytes::new() } else { self.part(digest, header, header).await? };
        Ok(joined(header, self.part(digest, body, with_followers(body, others)).await?))
    }

    /// A part; if it is not here or on its way, `more` is read, which holds it.
    async fn part(&self, digest: Digest, part: Range, more: Range) -> Result<Bytes, TransferError> {
        let block = self.block(digest, part, more);
        block.bytes.get_or_try_init(|| self.port.read(digest, (block.range.offset, block.range.len))).await?;
        block.part(part).ok_or_else(|| crate::domain::Error::internal("a part of a data set came short").into())
    }

    fn block(&self, digest: Digest, part: Range, more: Range) -> Block {
        let mut blocks = self.blocks();
        if let Some(block) = blocks.iter().find(|block| block.digest == digest && block.range.holds(part)) {
            return block.clone();
        }
        if blocks.len() == READ_AHEAD_BLOCKS {
            blocks.pop_front();
        }
        let block = Block { digest, range: more, bytes: Arc::default() };
        blocks.push_back(block.clone());
        block
    }

    fn blocks(&self) -> MutexGuard<'_, VecDeque<Block>> {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ranges(chunk: &Chunk) -> (Range, Range) {
    (Range { offset: 0, len: chunk.header }, Range { offset: chunk.offset, len: chunk.len })
}

fn joined(header: Bytes, body: Bytes) -> Bytes {
    if header.is_empty() {
        return body;
    }
    let mut both = BytesMut::with_capacity(header.len() + body.len());
    both.extend_from_slice(&header);
    both.extend_from_slice(&body);
    both.freeze()
}

/// With the chunks that follow without a gap, as far as it may be.
fn with_followers(first: Range, others: &[Chunk]) -> Range {
    let mut others: Vec<Range> = others.iter().map(|chunk| ranges(chunk).1).collect();
    others.sort_unstable_by_key(|range| range.offset);
    others.into_iter().fold(first, |all, next| {
        let follows = next.offset == all.end() && all.len.saturating_add(next.len) <= READ_AHEAD_MAX_BYTES;
        if follows { Range { len: all.len + next.len, ..all } } else { all }
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::data_port::{BoxFuture, ResultHeader};
    use super::*;
    use crate::domain::wire::OutputPiece;
    use crate::domain::{Error, ResultRef};

    const DATA: Digest = Digest([1; 32]);

    /// Every byte is the number of its place, modulo 256; notes what is read.
    #[derive(Default)]
    struct Numbers {
        reads: Mutex<Vec<(u64, u64)>>,
        fails: std::sync::atomic::AtomicBool,
    }

    impl DataPort for Numbers {
        fn read(&self, _: Digest, (offset, len): (u64, u64)) -> BoxFuture<Result<Bytes, TransferError>> {
            self.reads.lock().unwrap().push((offset, len));
            let fails = self.fails.swap(false, std::sync::atomic::Ordering::SeqCst);
            let bytes = (offset..offset + len).map(|place| place as u8).collect();
            Box::pin(async move {
                tokio::task::yield_now().await;
                if fails { Err(Error::unavailable("the line broke").into()) } else { Ok(bytes) }
            })
        }

        fn fetch(&self, _: Digest, _: Vec<(u64, u64)>, _: PathBuf) -> BoxFuture<Result<u64, TransferError>> {
            unreachable!()
        }

        fn upload(&self, _: ResultHeader, _: PathBuf) -> BoxFuture<Result<ResultRef, TransferError>> {
            unreachable!()
        }

        fn give_output(&self, _: OutputPiece) -> BoxFuture<Result<bool, TransferError>> {
            unreachable!()
        }
    }

    fn chunk(offset: u64, len: u64) -> Chunk {
        Chunk { offset, len, header: 0, first_record: 0, records: 1 }
    }

    fn bytes(offset: u64, len: u64) -> Vec<u8> {
        (offset..offset + len).map(|place| place as u8).collect()
    }

    fn opened() -> (Arc<Numbers>, ReadAhead) {
        let port = Arc::new(Numbers::default());
        (port.clone(), ReadAhead::new(port))
    }

    #[tokio::test]
    async fn one_call_brings_what_follows_and_is_wanted_too() {
        let (port, ahead) = opened();
        let others = [chunk(130, 10), chunk(110, 10), chunk(120, 10), chunk(150, 10), chunk(100, 10)];
        assert_eq!(ahead.here(DATA, &chunk(100, 10)), None);
        assert_eq!(ahead.get(DATA, &chunk(100, 10), &others).await.unwrap(), bytes(100, 10));
        for other in &others[..3] {
            assert_eq!(ahead.here(DATA, other).unwrap(), bytes(other.offset, 10));
            assert_eq!(ahead.get(DATA, other, &[]).await.unwrap(), bytes(other.offset, 10));
        }
        assert_eq!((ahead.here(DATA, &others[3]), ahead.here(Digest([2; 32]), &others[0])), (None, None));
        assert_eq!(*port.reads.lock().unwrap(), [(100, 40)]);
    }

    #[tokio::test]
    async fn two_that_want_the_same_wait_for_one_call_and_a_call_that_fails_is_made_again() {
        let (port, ahead) = opened();
        port.fails.store(true, std::sync::atomic::Ordering::SeqCst);
        let (first, second) = (chunk(0, 10), chunk(10, 10));
        let both = [first, second];
        let (one, two) = tokio::join!(ahead.get(DATA, &first, &both), ahead.get(DATA, &second, &both));
        assert!(one.is_err());
        assert_eq!(two.unwrap(), bytes(10, 10));
        assert_eq!(*port.reads.lock().unwrap(), [(0, 20), (0, 20)]);
    }

    #[tokio::test]
    async fn a_header_comes_before_each_and_is_read_once() {
        let (port, ahead) = opened();
        for offset in [50, 60] {
            let chunk = Chunk { header: 5, ..chunk(offset, 10) };
            let whole = [bytes(0, 5), bytes(offset, 10)].concat();
            assert_eq!(ahead.get(DATA, &chunk, &[]).await.unwrap(), whole);
            assert_eq!(ahead.here(DATA, &chunk).unwrap(), whole);
        }
        assert_eq!(*port.reads.lock().unwrap(), [(0, 5), (50, 10), (60, 10)]);
    }

    #[tokio::test]
    async fn no_more_is_read_or_kept_than_is_allowed() {
        let (port, ahead) = opened();
        let len = SMALL_CHUNK_MAX_BYTES;
        assert!(ReadAhead::takes(&chunk(0, len)) && !ReadAhead::takes(&chunk(0, len + 1)) && !ReadAhead::takes(&chunk(0, u64::MAX)));
        let others: Vec<Chunk> = (1..100).map(|no| chunk(no * len, len)).collect();
        ahead.get(DATA, &chunk(0, len), &others).await.unwrap();
        assert_eq!(*port.reads.lock().unwrap(), [(0, READ_AHEAD_MAX_BYTES)]);
        for no in 1..=READ_AHEAD_BLOCKS as u64 {
            ahead.get(Digest([9; 32]), &chunk(no * 100, 10), &[]).await.unwrap();
        }
        assert_eq!((ahead.here(DATA, &chunk(0, len)), ahead.blocks().len()), (None, READ_AHEAD_BLOCKS));
    }
}
