//! Where the chunks of a data set begin under one split rule, on disk: the n-th is one read.
//!
//! ```text
//! head, 40 bytes: magic 8 │ chunks u32 │ CRC-32 of all records u32 │ header u64 │ CRC-32 of the head before this u32 │ 0 u32 │ 0 u64
//! record n, 16 bytes: offset u64 │ first record u64          of chunk n; one more record holds the ends
//! ```
//! Little-endian. Chunks follow one another without gaps, so that a chunk ends where the next one begins.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::domain::{Chunk, Digest, Error, SplitRule, TaskNo};
use crate::limits;

pub(super) const MAGIC: &[u8; 8] = b"mpchunk1";
pub(super) const HEAD_BYTES: usize = 40;
pub(super) const RECORD_BYTES: usize = 16;

/// The head of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// How many chunks.
    pub count: u32,
    /// CRC-32 of all records.
    pub records_crc32: u32,
    /// Bytes from the start of the data set that are repeated before every chunk but the first; 0 for none.
    pub header: u64,
}

impl Head {
    /// As it is written.
    pub fn to_bytes(self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        let fields: [&[u8]; 4] = [MAGIC, &self.count.to_le_bytes(), &self.records_crc32.to_le_bytes(), &self.header.to_le_bytes()];
        let crc32 = crc32fast::hash(&fields.concat()).to_le_bytes();
        let all = [&fields.concat()[..], &crc32].concat();
        bytes.iter_mut().zip(all).for_each(|(to, from)| *to = from);
        bytes
    }

    fn parse(bytes: &[u8; HEAD_BYTES]) -> Option<Self> {
        let rest = bytes.strip_prefix(MAGIC)?;
        let (count, rest) = rest.split_first_chunk()?;
        let (records_crc32, rest) = rest.split_first_chunk()?;
        let (header, _) = rest.split_first_chunk()?;
        let head = Self {
            count: u32::from_le_bytes(*count),
            records_crc32: u32::from_le_bytes(*records_crc32),
            header: u64::from_le_bytes(*header),
        };
        (head.to_bytes() == *bytes && head.count <= limits::JOB_TASKS_MAX).then_some(head)
    }
}

/// One record: where a chunk begins, or where the last one ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// In bytes.
    pub offset: u64,
    /// In records.
    pub record: u64,
}

impl Mark {
    /// As it is written.
    pub fn to_bytes(self) -> [u8; RECORD_BYTES] {
        (u128::from(self.record) << 64 | u128::from(self.offset)).to_le_bytes()
    }

    fn parse(bytes: [u8; RECORD_BYTES]) -> Self {
        let both = u128::from_le_bytes(bytes);
        Self { offset: both as u64, record: (both >> 64) as u64 }
    }
}

/// A finished index, open to read. Shared by threads.
#[derive(Debug)]
pub struct ChunkIndex {
    file: File,
    path: PathBuf,
    head: Head,
    ends: Mark,
}

impl ChunkIndex {
    /// Opens a finished index. `NotFound` if it is not there, `Corrupt` if its head or length is wrong; see also [`Self::verify`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        let io = |error| Error::io(path, &error);
        let mut file = File::open(path).map_err(io)?;
        let len = file.metadata().map_err(io)?.len();
        let mut bytes = [0; HEAD_BYTES];
        let head = file.read_exact(&mut bytes).ok().and_then(|()| Head::parse(&bytes)).ok_or_else(|| damaged(path))?;
        if len != position(head.count) + RECORD_BYTES as u64 {
            return Err(damaged(path));
        }
        let mut index = Self { file, path: path.to_owned(), head, ends: Mark::default() };
        let [ends] = index.marks(head.count)?;
        index.ends = ends;
        Ok(index)
    }

    /// The index's file name for a data set and a rule, to be put in one folder.
    pub fn file_name(dataset: Digest, rule: &SplitRule) -> String {
        let rule = rule.to_string();
        let (words, pattern) = rule.split_once('=').map_or((&*rule, None), |(words, pattern)| (words, Some(pattern)));
        let words = words.replace(['/', ':'], "-");
        match pattern {
            None => format!("{dataset}.{words}"),
            // Anything may stand in a pattern: its digest, or what fits of it, stands in for it.
            Some(pattern) => format!("{dataset}.{words}-{:.32}", Digest(Sha256::digest(pattern).into()).to_string()),
        }
    }

    /// How many chunks.
    pub fn len(&self) -> u32 {
        self.head.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.head.count == 0
    }

    /// Bytes from the start of the data set that are repeated before every chunk but the first.
    pub fn header(&self) -> u64 {
        self.head.header
    }

    /// How many records, in all chunks.
    pub fn records(&self) -> u64 {
        self.ends.record
    }

    /// The chunk of a task: one read. `NotFound` beyond the last, `Corrupt` if the record makes no sense.
    pub fn get(&self, no: TaskNo) -> Result<Chunk, Error> {
        if no.0 >= self.head.count {
            return Err(Error::not_found(format!("no chunk {}: the data set has {}", no.0, self.head.count)));
        }
        let [start, end] = self.marks(no.0)?;
        let (len, records) = (end.offset.checked_sub(start.offset), end.record.checked_sub(start.record));
        let (Some(len), Some(records)) = (len, records) else { return Err(damaged(&self.path)) };
        if end.offset > self.ends.offset || end.record > self.ends.record {
            return Err(damaged(&self.path));
        }
        let header = if no.0 == 0 { 0 } else { self.head.header };
        Ok(Chunk { offset: start.offset, len, header, first_record: start.record, records })
    }

    /// Reads it all and checks its sum: 16 bytes a chunk.
    pub fn verify(&self) -> Result<(), Error> {
        let mut hasher = crc32fast::Hasher::new();
        let mut buf = [0; 4096 * RECORD_BYTES];
        let end = position(self.head.count) + RECORD_BYTES as u64;
        let mut at = HEAD_BYTES as u64;
        while at < end {
            let len = (end - at).min(buf.len() as u64) as usize;
            let piece = buf.get_mut(..len).unwrap_or_default();
            self.file.read_exact_at(piece, at).map_err(|error| Error::io(&self.path, &error))?;
            hasher.update(piece);
            at += len as u64;
        }
        if hasher.finalize() == self.head.records_crc32 { Ok(()) } else { Err(damaged(&self.path)) }
    }

    fn marks<const N: usize>(&self, first: u32) -> Result<[Mark; N], Error> {
        let mut bytes = [[0; RECORD_BYTES]; N];
        self.file.read_exact_at(bytes.as_flattened_mut(), position(first)).map_err(|error| Error::io(&self.path, &error))?;
        Ok(bytes.map(Mark::parse))
    }
}

fn position(no: u32) -> u64 {
    HEAD_BYTES as u64 + u64::from(no) * RECORD_BYTES as u64
}

fn damaged(path: &Path) -> Error {
    Error::corrupt(format!("chunk index {} is damaged: remove it, and it is made again", path.display()))
}
