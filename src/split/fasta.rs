//! FASTA: a record begins at a line whose first byte is `>` and ends where the next one begins.
//!
//! Blank lines and lines that begin with `;` (comments of the old format) may stand before the first record; they belong to the first
//! chunk and are not repeated. Any other text there is refused: most likely the data set is of another format.

use memchr::{memchr, memmem};

use super::cutter::Cutter;
use super::scanner::Scanner;
use crate::domain::Error;

/// Where the scanner stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Before the first record, at the start of a line.
    Margin,
    /// Before the first record, in a line that is blank so far.
    Blank,
    /// Before the first record, in a comment.
    Comment,
    /// In a record, at the start of a line.
    RecordLineStart,
    /// In a record, inside a line.
    RecordLine,
}

/// Finds the ends of FASTA records.
#[derive(Debug)]
pub(super) struct FastaScanner {
    at: At,
    /// The line before the first record that is being looked at, from 1.
    line: u64,
}

impl FastaScanner {
    pub(super) fn new() -> Self {
        Self { at: At::Margin, line: 1 }
    }

    /// Looks for the first record: where in the block it begins, or none if that is further on.
    fn first_record(&mut self, block: &[u8], at: u64, cutter: &Cutter) -> Result<Option<usize>, Error> {
        let mut pos = 0;
        while let Some(&byte) = block.get(pos) {
            self.at = match (self.at, byte) {
                (At::Margin, b'>') => return Ok(Some(pos)),
                (At::Margin, b';') => At::Comment,
                (At::Margin | At::Blank | At::Comment, b'\n') => {
                    self.line += 1;
                    At::Margin
                }
                (At::Comment, _) => {
                    pos += memchr(b'\n', &block[pos..]).unwrap_or(block.len() - pos);
                    continue;
                }
                (At::Margin | At::Blank, _) if byte.is_ascii_whitespace() => At::Blank,
                (At::Margin | At::Blank | At::RecordLineStart | At::RecordLine, _) => {
                    return Err(self.other_text(byte, at + pos as u64, cutter));
                }
            };
            pos += 1;
        }
        Ok(None)
    }

    fn other_text(&self, byte: u8, offset: u64, cutter: &Cutter) -> Error {
        let fault = format!(
            "line {} (byte {offset}): found \"{}\" before the first record, which begins with \">\" at the start of a line: is this a FASTA file?",
            self.line,
            byte.escape_ascii()
        );
        cutter.refuse(offset + 1, fault)
    }
}

impl Scanner for FastaScanner {
    fn scan(&mut self, block: &[u8], at: u64, cutter: &mut Cutter) -> Result<(), Error> {
        let from = match self.at {
            At::Margin | At::Blank | At::Comment => match self.first_record(block, at, cutter)? {
                Some(pos) => pos,
                None => return Ok(()),
            },
            At::RecordLineStart if block.first() == Some(&b'>') => {
                cutter.record_ends(at)?;
                0
            }
            At::RecordLineStart | At::RecordLine => 0,
        };
        for lf in memmem::find_iter(&block[from..], b"\n>") {
            cutter.record_ends(at + (from + lf) as u64 + 1)?;
        }
        self.at = if block.ends_with(b"\n") { At::RecordLineStart } else { At::RecordLine };
        Ok(())
    }

    fn finish(&mut self, end: u64, cutter: &mut Cutter) -> Result<(), Error> {
        match self.at {
            At::Margin | At::Blank | At::Comment => Ok(()),
            At::RecordLineStart | At::RecordLine => cutter.record_ends(end),
        }
    }

    fn nothing_found(&self) -> String {
        "no FASTA record: no line that begins with \">\"".into()
    }
}

#[cfg(test)]
mod tests {
    use crate::split::properties::{pieces, refusal};

    #[test]
    fn a_record_begins_only_at_the_start_of_a_line() {
        let data = b">a -> b\nAC>GT\n\n;c\n>b\r\nAC\r\n>";
        assert_eq!(pieces("fasta:1", data), [&b">a -> b\nAC>GT\n\n;c\n"[..], b">b\r\nAC\r\n", b">"]);
    }

    #[test]
    fn comments_before_the_first_record_are_the_first_chunks_and_not_repeated() {
        let data = b"; made by > hand\r\n \t\r\n\n>a\nA\n>b\nB\n";
        assert_eq!(pieces("fasta:1", data), [&b"; made by > hand\r\n \t\r\n\n>a\nA\n"[..], b">b\nB\n"]);
    }

    #[test]
    fn other_text_before_the_first_record_is_refused_with_its_place() {
        assert!(refusal("fasta:1", b"\n;c\n  ACGT\n>a\n").starts_with("line 3 (byte 6): found \"A\" before the first record"));
        assert!(refusal("fasta:1", b" >a\n").starts_with("line 1 (byte 1): found \">\" before"));
        assert!(refusal("fasta:1", b"\xef\xbb\xbf>a\n").starts_with("line 1 (byte 0): found \"\\xef\" before"));
    }

    #[test]
    fn a_data_set_without_a_record_is_refused() {
        assert_eq!(refusal("fasta:1", b"\n;only > a comment"), "no FASTA record: no line that begins with \">\"");
    }
}
