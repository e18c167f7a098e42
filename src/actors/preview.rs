//! How a file would be cut by a rule: the head's splitter, run here, without a head.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use crate::archive::Archive;
use crate::domain::{Chunk, Error, Packing, Record, SplitRule};
use crate::limits::PIECE_BYTES;
use crate::split::member::{MemberPath, shown};
use crate::split::tar::{Fault, TarReader, Visitor};
use crate::split::{Splitter, Summary, refuse_other_kind};
use crate::unpack::Unpacker;

/// Chunks that are shown.
const FIRST_CHUNKS: usize = 3;
/// How much of a chunk is looked at for its first line, in bytes; and how much of that is shown, in characters.
const LOOK_BYTES: usize = 4096;
const SHOWN_CHARS: usize = 60;

/// What splitting a file would make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// How it is compressed: `gzip`, `zip`…
    pub packing: Option<String>,
    /// Its length, plain, in bytes.
    pub bytes: u64,
    /// How many chunks and records, and what is repeated.
    pub summary: Summary,
    /// What a task gets in bytes, with the header: least, median, most.
    pub sizes: [u64; 3],
    /// The first chunks.
    pub first: Vec<FirstRecord>,
}

/// A chunk, and what its first record begins with: a line, or a file's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstRecord {
    /// Where it lies.
    pub chunk: Chunk,
    /// Shortened.
    pub line: String,
}

impl Preview {
    /// Of a file on this machine, as it would be once it is uploaded: read more than once.
    ///
    /// # Errors
    /// Those that a job would end with; `NotFound`.
    pub fn of(path: &Path, rule: &SplitRule) -> Result<Self, Error> {
        Self::of_input(Input::open(path)?, rule, &CancellationToken::new())
    }

    /// Of a stored data set, as it is: nothing is unpacked. `name`: what it is called; where it lies is nobody's to know.
    ///
    /// # Errors
    /// Those that a job would end with; `Unavailable` once nobody waits for it any more.
    pub fn of_stored(path: PathBuf, name: &str, rule: &SplitRule, stop: &CancellationToken) -> Result<Self, Error> {
        Self::of_input(Input::stored(path, name)?, rule, stop)
    }

    fn of_input(mut input: Input, rule: &SplitRule, stop: &CancellationToken) -> Result<Self, Error> {
        let mut splitter = Splitter::new(rule.clone(), input.bytes);
        let (mut chunks, mut first, mut sizes) = (Vec::new(), Vec::new(), Vec::new());
        let mut take = |chunks: &mut Vec<Chunk>| {
            sizes.extend(chunks.iter().map(|chunk| chunk.header + chunk.len));
            first.extend(chunks.drain(..).take(FIRST_CHUNKS.saturating_sub(first.len())));
        };
        let first_bytes = input.look_at(&[0])?.concat();
        refuse_other_kind(&first_bytes, rule).map_err(|error| input.about(error))?;
        input.read(|piece| {
            if stop.is_cancelled() {
                return Err(Error::unavailable("nobody waits for the preview any more"));
            }
            splitter.feed(piece, &mut chunks)?;
            take(&mut chunks);
            Ok(())
        })?;
        let summary = splitter.finish(&mut chunks).map_err(|error| input.about(error))?;
        take(&mut chunks);
        sizes.sort_unstable();
        let size = |at: usize| sizes.get(at).copied().unwrap_or_default();
        let sizes = [size(0), size((sizes.len().saturating_sub(1)) / 2), size(sizes.len().saturating_sub(1))];
        // The first chunk has the header itself, before its first record.
        let starts: Vec<u64> = first.iter().map(|chunk| if chunk.offset == 0 { summary.header_len } else { chunk.offset }).collect();
        let show = if rule.record == Record::Files { first_name } else { first_line };
        let lines = input.look_at(&starts)?.iter().map(|bytes| show(bytes)).collect::<Vec<_>>();
        let first = first.into_iter().zip(lines).map(|(chunk, line)| FirstRecord { chunk, line }).collect();
        Ok(Self { packing: input.packing, bytes: input.bytes, summary, sizes, first })
    }
}

/// The first line that is not blank, shortened.
fn first_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes.trim_ascii_start());
    shortened(text.lines().next().unwrap_or_default())
}

/// The name of a tar's first file, shortened.
fn first_name(bytes: &[u8]) -> String {
    let mut name = FirstName(None);
    // What is here may end anywhere.
    let _ = TarReader::default().feed(bytes, &mut name);
    name.0.map(|path| shortened(&shown(path.as_bytes()))).unwrap_or_default()
}

struct FirstName(Option<MemberPath>);

impl Visitor for FirstName {
    fn file(&mut self, path: MemberPath, _: u64) -> Result<(), Fault> {
        self.0.get_or_insert(path);
        Ok(())
    }

    fn data(&mut self, _: &[u8]) -> Result<(), Error> {
        Ok(())
    }

    fn end(&mut self, _: u64) -> Result<(), Error> {
        Ok(())
    }
}

fn shortened(line: &str) -> String {
    match line.char_indices().nth(SHOWN_CHARS) {
        None => line.to_owned(),
        Some((at, _)) => format!("{}…", &line[..at]),
    }
}

/// A file or folder that can be read again.
struct Input {
    path: PathBuf,
    /// What it is called in an error.
    shown: PathBuf,
    packing: Option<String>,
    /// What is read as a tar.
    archive: Option<Archive>,
    bytes: u64,
}

impl Input {
    fn open(path: &Path) -> Result<Self, Error> {
        let failed = |error| Error::io(path, &error);
        let path = path.to_owned();
        if let Some(archive) = Archive::open(&path).map_err(|error| error.context(path.display()))? {
            let packing = matches!(archive, Archive::Zip(_)).then(|| "zip".to_owned());
            let bytes = archive.tar_len();
            return Ok(Self { shown: path.clone(), path, packing, archive: Some(archive), bytes });
        }
        let mut file = File::open(&path).map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        let mut head = Vec::new();
        file.by_ref().take(Packing::HEAD_BYTES as u64).read_to_end(&mut head).map_err(failed)?;
        let packing = Packing::of(&head).map(|packing| packing.to_string());
        let mut input = Self { shown: path.clone(), path: path.clone(), packing, archive: None, bytes };
        if input.packing.is_some() {
            // The splitter has to know before.
            let mut bytes = 0;
            input.read(|piece| {
                bytes += piece.len() as u64;
                Ok(())
            })?;
            input.bytes = bytes;
        }
        Ok(input)
    }

    fn stored(path: PathBuf, name: &str) -> Result<Self, Error> {
        let shown = PathBuf::from(name);
        let bytes = std::fs::metadata(&path).map_err(|error| Error::io(&shown, &error))?.len();
        Ok(Self { path, shown, packing: None, archive: None, bytes })
    }

    /// All of it, plain, piece by piece.
    fn read(&mut self, mut take: impl FnMut(&[u8]) -> Result<(), Error>) -> Result<(), Error> {
        if let Some(archive) = &mut self.archive {
            return archive.write(&mut take).map_err(|error| error.context(self.shown.display()));
        }
        let failed = |error| Error::io(&self.shown, &error);
        let mut file = File::open(&self.path).map_err(failed)?;
        let mut unpacker = Unpacker::default();
        let mut buffer = vec![0; PIECE_BYTES];
        loop {
            let n = file.read(&mut buffer).map_err(failed)?;
            let Some(piece) = buffer.get(..n).filter(|piece| !piece.is_empty()) else { break };
            if self.packing.is_none() {
                take(piece).map_err(|error| self.about(error))?;
                continue;
            }
            unpacker.feed(piece, &mut take).map_err(|error| self.about(error))?;
        }
        unpacker.finish(&mut take).map(drop).map_err(|error| self.about(error))
    }

    /// What stands at these offsets, which grow.
    fn look_at(&mut self, offsets: &[u64]) -> Result<Vec<Vec<u8>>, Error> {
        let mut found = vec![vec![0; LOOK_BYTES]; offsets.len()];
        if self.packing.is_none() && self.archive.is_none() {
            let failed = |error| Error::io(&self.shown, &error);
            let file = File::open(&self.path).map_err(failed)?;
            for (bytes, offset) in found.iter_mut().zip(offsets) {
                let n = file.read_at(bytes, *offset).map_err(failed)?;
                bytes.truncate(n);
            }
            return Ok(found);
        }
        found.iter_mut().for_each(Vec::clear);
        let end = offsets.last().map_or(0, |last| last.saturating_add(LOOK_BYTES as u64));
        let mut at = 0;
        let read = self.read(|piece| {
            for (bytes, offset) in found.iter_mut().zip(offsets) {
                // Where the next byte that is wanted stands in this piece, if it does.
                let from = (offset + bytes.len() as u64).checked_sub(at).and_then(|from| usize::try_from(from).ok());
                let part = from.and_then(|from| piece.get(from..)).unwrap_or_default();
                bytes.extend(part.iter().take(LOOK_BYTES - bytes.len()));
            }
            at += piece.len() as u64;
            // Not to be read to its end for that.
            if at >= end { Err(Error::internal("enough")) } else { Ok(()) }
        });
        if at >= end { Ok(found) } else { read.map(|()| found) }
    }

    fn about(&self, error: Error) -> Error {
        error.context(self.shown.display())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_compressed_file_is_seen_like_a_plain_one() {
        let folder = tempfile::tempdir().unwrap();
        let (plain, packed) = (folder.path().join("x.csv"), folder.path().join("x.csv.gz"));
        let rows: String = (0..400_000).map(|no| format!("{no},\"two\nlines\"\n")).collect();
        let text = format!("a,b\n{rows}");
        std::fs::write(&plain, &text).unwrap();
        std::fs::write(&packed, gzip(text.as_bytes())).unwrap();
        let rule = "csv/chunks:4".parse().unwrap();
        let preview = Preview::of(&plain, &rule).unwrap();
        assert_eq!(
            (preview.bytes, preview.summary.chunks, preview.summary.records, preview.summary.header_len),
            (text.len() as u64, 4, 400_000, 4)
        );
        assert!(preview.sizes.is_sorted() && preview.sizes[2] - preview.sizes[0] < 100, "{preview:?}");
        let lines = preview.first.iter().map(|first| &*first.line).collect::<Vec<_>>();
        assert!(lines.len() == 3 && lines[0] == "0,\"two" && lines.iter().all(|line| line.ends_with(",\"two")), "{preview:?}");
        assert_eq!(Preview::of(&packed, &rule).unwrap(), Preview { packing: Some("gzip".into()), ..preview });
    }

    #[test]
    fn a_line_is_shortened_and_a_blank_one_is_passed_over() {
        assert_eq!(first_line(b"\n \r\n>a b\r\nAC"), ">a b");
        assert_eq!(first_line(&[b'x'; 61]), format!("{}…", "x".repeat(60)));
        assert_eq!(first_line(b"\n"), "");
    }

    #[test]
    fn a_stored_data_set_is_taken_as_it_is_and_goes_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("digest");
        let rule: SplitRule = "fasta:1".parse().unwrap();
        let stored = |content: &[u8], stop: &CancellationToken| {
            std::fs::write(&path, content).unwrap();
            Preview::of_stored(path.clone(), "x.fa", &rule, stop)
        };
        let goes_on = CancellationToken::new();
        assert_eq!(stored(b">a\nAC\n>b\nGT\n", &goes_on).unwrap().summary.chunks, 2);
        for (content, says) in [(gzip(b">a\nAC\n"), "x.fa: the data set is gzip data, stored as it is"), (b"AC\n".to_vec(), "x.fa: line 1")]
        {
            let message = stored(&content, &goes_on).unwrap_err().message;
            assert!(message.starts_with(says) && !message.contains("digest"), "{message}");
        }
        let over = CancellationToken::new();
        over.cancel();
        assert_eq!(stored(b">a\nAC\n", &over).unwrap_err().kind, crate::domain::ErrorKind::Unavailable);
    }

    #[test]
    fn what_a_job_would_end_with_is_said_here() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.fa");
        let refused = |content: &[u8]| {
            std::fs::write(&path, content).unwrap();
            Preview::of(&path, &"fasta:1".parse().unwrap()).unwrap_err().message
        };
        assert!(refused(b"AC\n").contains("x.fa: line 1 (byte 0): found \"A\""));
        assert!(refused(b"").contains("x.fa: the data set is empty"));
        assert!(refused(&gzip(&gzip(b">a\nAC\n"))).contains("x.fa: the data set is gzip data"), "compressed twice");
        assert!(refused(&gzip(b">a\n")[..12]).contains("x.fa: the gzip data breaks off, at byte 12"));
    }
}
