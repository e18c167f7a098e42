//! FASTQ: a title line that begins with `@`, sequence lines, a line that begins with `+`, and as much quality as sequence.
//!
//! Source: Cock et al. 2010 (<https://doi.org/10.1093/nar/gkp1137>). Sequence and quality may go over several lines each: a quality line may
//! begin with `@` or `+`, so the quality ends only where it is as long as the sequence. Blank lines between two records belong to the one
//! that follows, those behind the last to that one. What the sequence and quality consist of, and whether the `+` line repeats the title, is
//! not checked.

use memchr::memchr;

use super::cutter::Cutter;
use super::scanner::Scanner;
use crate::domain::Error;

/// What the next line has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    /// A title, or a blank line.
    Title,
    /// More sequence, or the `+` line.
    Sequence,
    /// More quality.
    Quality,
}

/// What the line that is open is, by its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Blank,
    Title,
    Sequence,
    Plus,
    Quality,
}

/// Finds the ends of FASTQ records.
#[derive(Debug)]
pub(super) struct FastqScanner {
    expect: Expect,
    /// The number of the line that is open or comes next, from 1, and the offset of its first byte.
    line: u64,
    line_start: u64,
    /// What it is, once it has a byte; how many bytes of it have come, and whether the last one is a CR.
    kind: Option<Kind>,
    len: u64,
    cr: bool,
    /// Line and offset of the open record's title.
    title: (u64, u64),
    /// Bytes of the open record so far.
    sequence: u64,
    quality: u64,
}

impl FastqScanner {
    pub(super) fn new() -> Self {
        Self { expect: Expect::Title, line: 1, line_start: 0, kind: None, len: 0, cr: false, title: (1, 0), sequence: 0, quality: 0 }
    }

    /// Takes a part of a line, without its LF; its first byte has the offset `at`.
    fn part(&mut self, part: &[u8], at: u64, cutter: &Cutter) -> Result<(), Error> {
        let (Some(&first), Some(&last)) = (part.first(), part.last()) else { return Ok(()) };
        let kind = match self.kind {
            Some(kind) => kind,
            None => self.kind_of(first, at, cutter)?,
        };
        self.kind = Some(kind);
        if kind == Kind::Blank
            && let Some(pos) = part.iter().position(|byte| !byte.is_ascii_whitespace())
        {
            return Err(self.no_title(part[pos], at + pos as u64, cutter));
        }
        self.len += part.len() as u64;
        self.cr = last == b'\r';
        Ok(())
    }

    fn kind_of(&self, first: u8, at: u64, cutter: &Cutter) -> Result<Kind, Error> {
        match (self.expect, first) {
            (Expect::Title, b'@') => Ok(Kind::Title),
            (Expect::Title, byte) if byte.is_ascii_whitespace() => Ok(Kind::Blank),
            (Expect::Title, byte) => Err(self.no_title(byte, at, cutter)),
            (Expect::Sequence, b'+') => Ok(Kind::Plus),
            (Expect::Sequence, b'@') => {
                let fault =
                    format!("line {} (byte {at}): \"@\" in the sequence of {}: a \"+\" line is missing", self.line, self.record(cutter));
                Err(cutter.refuse(at + 1, fault))
            }
            (Expect::Sequence, _) => Ok(Kind::Sequence),
            (Expect::Quality, _) => Ok(Kind::Quality),
        }
    }

    /// The line ends, with its LF if it has one, at `end`.
    fn line_ends(&mut self, end: u64, cutter: &mut Cutter) -> Result<(), Error> {
        // A line that ends as soon as it begins is one of its surroundings.
        let kind = self.kind.take().unwrap_or(match self.expect {
            Expect::Title => Kind::Blank,
            Expect::Sequence => Kind::Sequence,
            Expect::Quality => Kind::Quality,
        });
        let len = self.len - u64::from(self.cr);
        match kind {
            Kind::Blank => {}
            Kind::Title => {
                (self.expect, self.sequence, self.quality) = (Expect::Sequence, 0, 0);
                self.title = (self.line, self.line_start);
            }
            Kind::Sequence => self.sequence += len,
            Kind::Plus => self.expect = Expect::Quality,
            Kind::Quality => self.quality_line(len, end, cutter)?,
        }
        (self.line, self.line_start, self.len, self.cr) = (self.line + 1, end, 0, false);
        Ok(())
    }

    fn quality_line(&mut self, len: u64, end: u64, cutter: &mut Cutter) -> Result<(), Error> {
        self.quality += len;
        if self.quality > self.sequence {
            let fault = format!(
                "line {} (byte {}): {} has {} bytes of quality by the end of this line, and {} of sequence: they must be as long as each other",
                self.line,
                self.line_start,
                self.record(cutter),
                self.quality,
                self.sequence
            );
            return Err(cutter.refuse(end, fault));
        }
        if self.quality == self.sequence {
            cutter.record_ends(end)?;
            self.expect = Expect::Title;
        }
        Ok(())
    }

    fn no_title(&self, byte: u8, at: u64, cutter: &Cutter) -> Error {
        let fault = format!(
            "line {} (byte {at}): found \"{}\" where record {} begins with \"@\": is this a FASTQ file?",
            self.line,
            byte.escape_ascii(),
            cutter.records()
        );
        cutter.refuse(at + 1, fault)
    }

    fn record(&self, cutter: &Cutter) -> String {
        format!("record {} (from line {}, byte {})", cutter.records(), self.title.0, self.title.1)
    }
}

impl Scanner for FastqScanner {
    fn scan(&mut self, block: &[u8], at: u64, cutter: &mut Cutter) -> Result<(), Error> {
        let mut pos = 0;
        while let Some(lf) = memchr(b'\n', &block[pos..]) {
            self.part(&block[pos..pos + lf], at + pos as u64, cutter)?;
            pos += lf + 1;
            self.line_ends(at + pos as u64, cutter)?;
        }
        self.part(&block[pos..], at + pos as u64, cutter)
    }

    fn finish(&mut self, end: u64, cutter: &mut Cutter) -> Result<(), Error> {
        // The quality of an empty sequence is an empty line, and the last line may lack its end.
        if self.kind.is_some() || (self.expect == Expect::Quality && self.sequence == 0) {
            self.line_ends(end, cutter)?;
        }
        let missing = match self.expect {
            Expect::Title => return Ok(()),
            Expect::Sequence => "its \"+\" line is missing".to_owned(),
            Expect::Quality => format!("it has {} bytes of quality, and {} of sequence", self.quality, self.sequence),
        };
        Err(Error::invalid(format!("the data set ends, at byte {end}, inside {}: {missing}: is it complete?", self.record(cutter))))
    }

    fn nothing_found(&self) -> String {
        "no FASTQ record: no line that begins with \"@\"".into()
    }
}

#[cfg(test)]
mod tests {
    use crate::split::properties::{pieces, refusal};

    #[test]
    fn a_record_has_four_lines() {
        let data = b"@a 1\nACGT\n+\n@II+\n@b\r\nAC\r\n+b\r\nII\r\n\n@c\nA\n+\n@";
        assert_eq!(pieces("fastq:1", data), [&b"@a 1\nACGT\n+\n@II+\n"[..], b"@b\r\nAC\r\n+b\r\nII\r\n", b"\n@c\nA\n+\n@"]);
        assert_eq!(pieces("fastq:2", data).len(), 2);
    }

    #[test]
    fn sequence_and_quality_may_go_over_several_lines() {
        let a = b"@a\nACGT\nAC\n\nGT\n+a\n@III\n+III\n";
        let b = b"@b\nA\nC\nG\n+\nI@+\n \n";
        assert_eq!(pieces("fastq:1", &[&a[..], b].concat()), [&a[..], b]);
    }

    #[test]
    fn an_empty_sequence_has_an_empty_quality() {
        let data = b"@a\n\n+\n\n@b\n+\n\n@c\n\n+\n";
        assert_eq!(pieces("fastq:1", data), [&b"@a\n\n+\n\n"[..], b"@b\n+\n\n", b"@c\n\n+\n"]);
        assert_eq!(pieces("fastq:1", b"@a\r\n\r\n+\r\n\r").len(), 1);
    }

    #[test]
    fn what_is_not_fastq_is_refused_with_its_place() {
        assert_eq!(
            refusal("fastq:1", b">a\nACGT\n"),
            "line 1 (byte 0): found \">\" where record 0 begins with \"@\": is this a FASTQ file?"
        );
        assert_eq!(
            refusal("fastq:1", b"@a\nA\n+\nI\n x\n"),
            "line 5 (byte 10): found \"x\" where record 1 begins with \"@\": is this a FASTQ file?"
        );
        assert_eq!(
            refusal("fastq:1", b"@a\nACGT\n@b\nACGT\n+\nIIII\n"),
            "line 3 (byte 8): \"@\" in the sequence of record 0 (from line 1, byte 0): a \"+\" line is missing"
        );
        assert_eq!(
            refusal("fastq:1", b"@a\nA\n+\nI\n@b\nACGT\n+\nII\n@cc\n"),
            "line 9 (byte 22): record 1 (from line 5, byte 9) has 5 bytes of quality by the end of this line, and 4 of sequence: they must be as long as each other"
        );
        assert_eq!(refusal("fastq:1", b"\n\r\n"), "no FASTQ record: no line that begins with \"@\"");
    }

    #[test]
    fn a_record_that_breaks_off_is_refused() {
        for (data, says) in [
            ("@a", "the data set ends, at byte 2, inside record 0 (from line 1, byte 0): its \"+\" line is missing: is it complete?"),
            ("@a\nAC\n", "its \"+\" line is missing"),
            ("@a\nAC\n+", "it has 0 bytes of quality, and 2 of sequence"),
            ("@a\nAC\n+\nI", "it has 1 bytes of quality, and 2 of sequence"),
        ] {
            assert!(refusal("fastq:1", data.as_bytes()).contains(says), "{data}");
        }
    }
}
