//! The splitter: bytes in, chunks out.

use memchr::memchr;

use super::cutter::{Bounds, Cutter};
use super::line::LineScanner;
use super::scanner::{self, Scanner};
use super::tar::is_tar;
use crate::domain::{Chunk, Error, Packing, Record, SplitRule};
use crate::limits::ARCHIVE_FILE_MAX_BYTES;

/// How much a scanner sees at once, in bytes: little enough to stay in the processor's cache when it is looked at more than once.
const BLOCK_BYTES: usize = 256 * 1024;
/// How much of a data set's beginning says of which kind it is, in bytes.
const LOOK_BYTES: usize = 4096;

/// Cuts a data set that is pushed through it, in pieces of any size, into chunks.
///
/// The chunks come in order and cover the data set byte for byte; no record is cut. How the bytes are cut into pieces changes nothing.
#[derive(Debug)]
pub struct Splitter {
    scanner: Box<dyn Scanner>,
    cutter: Cutter,
    total_len: u64,
    fed: u64,
    /// A splitter that has refused once says the same ever after.
    refused: Option<Error>,
}

/// What a data set turned out to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Chunks, all together.
    pub chunks: u32,
    /// Records, all together.
    pub records: u64,
    /// How many bytes from the start of the data set are repeated before each chunk but the first.
    pub header_len: u64,
}

impl Splitter {
    /// A splitter for a data set of exactly `total_len` bytes. A count of 0 in the rule is taken as 1.
    pub fn new(rule: SplitRule, total_len: u64) -> Self {
        let mut bounds = Bounds::default();
        if rule.record == Record::Files {
            bounds.record_bytes = ARCHIVE_FILE_MAX_BYTES;
        }
        Self::with_bounds(rule, total_len, bounds)
    }

    pub(super) fn with_bounds(rule: SplitRule, total_len: u64, bounds: Bounds) -> Self {
        let cutter = Cutter::new(rule.cut, total_len, bounds);
        let (scanner, refused) = match scanner::for_record(&rule.record) {
            Ok(scanner) => (scanner, None),
            Err(error) => (Box::new(LineScanner) as Box<dyn Scanner>, Some(error)),
        };
        Self { scanner, cutter, total_len, fed: 0, refused }
    }

    /// Takes the next bytes and adds the chunks that are now known, to their last byte, to `out`.
    ///
    /// Errors: `Invalid` for a malformed data set, `Exhausted` for a record, a header or a number of chunks over its limit, `Corrupt` for
    /// more bytes than were announced. `out` then holds the chunks before the offending place.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<Chunk>) -> Result<(), Error> {
        if let Some(error) = &self.refused {
            return Err(error.clone());
        }
        let result = self.scan(bytes, out);
        self.refused = result.as_ref().err().cloned();
        result
    }

    /// Ends the data set: adds the last chunk to `out`.
    ///
    /// Errors: as [`feed`](Self::feed), which it repeats if it has already failed; `Invalid` for a data set that is empty, holds no record
    /// or ends inside one; `Corrupt` for fewer bytes than were announced.
    pub fn finish(mut self, out: &mut Vec<Chunk>) -> Result<Summary, Error> {
        if let Some(error) = self.refused {
            return Err(error);
        }
        if self.fed < self.total_len {
            return Err(Error::corrupt(format!("the data set ends after {} of {} bytes: upload it again", self.fed, self.total_len)));
        }
        if self.total_len == 0 {
            return Err(Error::invalid("the data set is empty"));
        }
        let ended = self.scanner.finish(self.total_len, &mut self.cutter);
        if ended.is_ok() && self.cutter.records() == 0 {
            return Err(Error::invalid(self.scanner.nothing_found()));
        }
        let summary = ended.and_then(|()| self.cutter.finish());
        out.append(self.cutter.ready());
        summary
    }

    fn scan(&mut self, bytes: &[u8], out: &mut Vec<Chunk>) -> Result<(), Error> {
        let room = usize::try_from(self.total_len.saturating_sub(self.fed)).unwrap_or(usize::MAX);
        let (announced, surplus) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
        for block in announced.chunks(BLOCK_BYTES) {
            let end = self.fed.saturating_add(block.len() as u64);
            let scanned = self.scanner.scan(block, self.fed, &mut self.cutter).and_then(|()| self.cutter.reach(end));
            out.append(self.cutter.ready());
            scanned?;
            self.fed = end;
        }
        if surplus.is_empty() {
            return Ok(());
        }
        Err(Error::corrupt(format!("the data set is longer than the {} bytes announced: upload it again", self.total_len)))
    }
}

/// `Invalid` if a data set that begins like this is of another kind than the rule cuts: compressed, an archive, no text. Cut between the lines that
/// its bytes happen to make it would be worth nothing.
pub fn refuse_other_kind(first: &[u8], rule: &SplitRule) -> Result<(), Error> {
    let first = &first[..first.len().min(LOOK_BYTES)];
    let fault = match Packing::of(first) {
        Some(packing) => format!("the data set is {packing} data, stored as it is: upload it unpacked"),
        None if first.starts_with(b"PK\x03\x04") => "the data set is a zip archive, stored as it is: upload it unpacked".into(),
        None if is_tar(first) && rule.record != Record::Files => {
            format!("the data set is an archive of files, which `{rule}` can't cut: split it by files:N")
        }
        None => match memchr(0, first) {
            Some(at) if is_text(&rule.record) => format!(
                "the data set is no text, which `{rule}` cuts: byte {at} is NUL; make it UTF-8 (iconv), or give whole files and split by files:N"
            ),
            _ => return Ok(()),
        },
    };
    Err(Error::invalid(fault))
}

/// Whether such records have no NUL: a pattern is for any bytes.
fn is_text(record: &Record) -> bool {
    match record {
        Record::Line | Record::Fasta | Record::Mgf | Record::Fastq | Record::Jsonl | Record::Csv => true,
        Record::Start(_) | Record::End(_) | Record::Files => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ErrorKind;

    fn splitter(rule: &str, total_len: u64) -> Splitter {
        Splitter::new(rule.parse().unwrap(), total_len)
    }

    #[test]
    fn a_splitter_can_go_to_another_thread() {
        fn is_send<T: Send>() {}
        is_send::<Splitter>();
    }

    #[test]
    fn chunks_come_while_the_data_set_streams() {
        let (mut splitter, mut out) = (splitter("lines:1", 6), Vec::new());
        splitter.feed(b"a\nb\nc", &mut out).unwrap();
        assert_eq!(out.len(), 1, "whether `b` is the last line is not known before the next one ends");
        splitter.feed(b"\n", &mut out).unwrap();
        assert_eq!(splitter.finish(&mut out).unwrap(), Summary { chunks: 3, records: 3, header_len: 0 });
        assert_eq!(out.len(), 3);
    }

    #[test]
    fn an_empty_data_set_is_refused() {
        for rule in ["lines:1", "fasta:1", "mgf:1", "fastq:1", "jsonl:1", "csv:1", "records:1/start=a", "records:1/end=a", "files:1"] {
            let error = splitter(rule, 0).finish(&mut Vec::new()).unwrap_err();
            assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Invalid, "the data set is empty"));
        }
    }

    #[test]
    fn more_or_fewer_bytes_than_announced_are_refused() {
        let (mut long, mut out) = (splitter("lines:1", 4), Vec::new());
        assert_eq!(long.feed(b"a\nb\nc\n", &mut out).unwrap_err().kind, ErrorKind::Corrupt);
        assert_eq!(out.len(), 1);
        let mut short = splitter("lines:1", 4);
        short.feed(b"a\n", &mut out).unwrap();
        assert_eq!(short.finish(&mut out).unwrap_err().message, "the data set ends after 2 of 4 bytes: upload it again");
    }

    #[test]
    fn a_record_over_its_limit_is_refused_before_it_ends() {
        let bounds = Bounds { record_bytes: 10, ..Bounds::default() };
        for (rule, data) in [("lines:1", "aaaaaaaaaaa"), ("fasta:1", ">a\nAAAAAAAA"), ("mgf:1", "BEGIN IONS\n")] {
            let (mut splitter, mut out) = (Splitter::with_bounds(rule.parse().unwrap(), 100, bounds), Vec::new());
            splitter.feed(&data.as_bytes()[..10], &mut out).unwrap();
            assert_eq!(splitter.feed(&data.as_bytes()[10..], &mut out).unwrap_err().kind, ErrorKind::Exhausted, "{rule}");
        }
    }

    #[test]
    fn what_is_no_text_is_not_cut_as_such() {
        let refused = |first: &[u8], rule: &str| refuse_other_kind(first, &rule.parse().unwrap()).map_err(|error| error.message);
        assert!(refused(b"ab\0", "jsonl:2").unwrap_err().starts_with("the data set is no text, which `jsonl:2` cuts: byte 2 is NUL"));
        for rule in ["records:1/end=a", "files:1"] {
            assert_eq!(refused(b"ab\0", rule), Ok(()), "{rule}");
        }
        assert_eq!(refused("é\t\x1b\u{feff}".as_bytes(), "lines:1"), Ok(()));
        assert!(refused(b"PK\x03\x04", "files:1").unwrap_err().contains("a zip archive, stored as it is"));
    }

    #[test]
    fn a_refusal_is_repeated() {
        let (mut splitter, mut out) = (splitter("fasta:1", 20), Vec::new());
        let first = splitter.feed(b"x", &mut out).unwrap_err();
        assert_eq!(splitter.feed(b">a\n", &mut out).unwrap_err(), first);
        assert_eq!(splitter.finish(&mut out).unwrap_err(), first);
        assert!(out.is_empty());
    }
}
