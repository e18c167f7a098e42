//! CSV: a record is a row below the header; the header, the first row, is repeated in every chunk.
//!
//! Source: RFC 4180, and what programs make of it: the separator is a comma, a semicolon or a tab. Where the header has several of them
//! (`m/z (a, b);note`) the rows say which one it is, as soon as that matters: at the first quote behind one of them, or after
//! [`ROWS_LOOKED_AT`] rows. It is the one of which most rows so far had as many as the header; among equals the one that this quote stands
//! behind; then the one that the header has most of. A field that begins with `"` goes to the next `"` that is not doubled, over line ends if need be; a `"` elsewhere in a field is a character like
//! any other. What follows a closing quote up to the separator belongs to the field. A row ends with LF or CRLF, the last one may lack it.
//! A blank line is no row: it belongs to the one that follows, behind the last to that, before the header to the header. Rows are not
//! checked for the number of their fields.

use memchr::{memchr, memchr_iter, memchr2};

use super::cutter::Cutter;
use super::scanner::Scanner;
use crate::domain::Error;

/// What may separate fields; the first one counts when the header has none, or as many of another.
const SEPARATORS: [u8; 3] = *b",;\t";
/// So many rows say what separates, where the header does not.
const ROWS_LOOKED_AT: u64 = 100;

/// Where the scanner stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// In a field without quotes, or at the start of one.
    Text,
    /// Between quotes.
    Quoted,
    /// Behind a quote between quotes: the closing one, or the first of two.
    QuoteInQuoted,
}

/// Finds the ends of rows.
#[derive(Debug)]
pub(super) struct CsvScanner {
    at: At,
    /// All separators as long as the header goes on, then those that it has, until the rows have said which one it is.
    separators: Vec<u8>,
    /// How many of each [`SEPARATORS`] the row has outside quotes, so far; counted as long as that matters.
    counts: [u64; SEPARATORS.len()],
    /// The same of the header.
    header_counts: [u64; SEPARATORS.len()],
    /// How many rows have as many of each as the header, and of how many rows.
    agreeing: [u64; SEPARATORS.len()],
    rows: u64,
    in_header: bool,
    /// The byte before, in the same row.
    before: Option<u8>,
    /// The row has nothing so far but spaces.
    blank: bool,
    /// The line, from 1.
    line: u64,
    /// Line and offset of the quote that was opened last.
    quote: (u64, u64),
}

impl CsvScanner {
    pub(super) fn new() -> Self {
        Self {
            at: At::Text,
            separators: SEPARATORS.to_vec(),
            counts: [0; SEPARATORS.len()],
            header_counts: [0; SEPARATORS.len()],
            agreeing: [0; SEPARATORS.len()],
            rows: 0,
            in_header: true,
            before: None,
            blank: true,
            line: 1,
            quote: (1, 0),
        }
    }

    /// Takes a part of a field, or of several, without quotes and line ends.
    fn text(&mut self, text: &[u8]) {
        if self.separators.len() > 1 {
            for (count, separator) in self.counts.iter_mut().zip(SEPARATORS) {
                *count += memchr_iter(separator, text).count() as u64;
            }
        }
        self.blank = self.blank && text.iter().all(|byte| b" \r".contains(byte));
        self.before = text.last().copied().or(self.before);
    }

    /// Whether a quote at this offset opens a field: it stands at the start of one. A byte order mark counts as none.
    fn opens(&mut self, offset: u64) -> bool {
        if let Some(before) = self.before.filter(|before| !self.in_header && self.separators.len() > 1 && self.separators.contains(before))
        {
            self.decide(Some(before));
        }
        self.before.is_none_or(|before| self.separators.contains(&before) || (before == 0xbf && offset == 3))
    }

    /// A field between quotes goes at least up to this offset. Said early, since a quote that is never closed takes in all that follows.
    fn check_quoted(&self, offset: u64, cutter: &Cutter) -> Result<(), Error> {
        let ((line, start), max) = (self.quote, cutter.quoted_bytes());
        if offset - start <= max {
            return Ok(());
        }
        cutter.reach(start + max + 1)?;
        Err(Error::exhausted(format!(
            "the quoted field that begins at line {line} (byte {start}) has no end within {max} bytes (QUOTED_FIELD_MAX_BYTES): is a closing \
             quote missing?"
        )))
    }

    /// A line end outside quotes, or the data set's, at `end`.
    fn row_ends(&mut self, end: u64, cutter: &mut Cutter) -> Result<(), Error> {
        self.before = None;
        if std::mem::replace(&mut self.blank, true) {
            return Ok(());
        }
        let counts = std::mem::take(&mut self.counts);
        if !self.in_header {
            if self.separators.len() > 1 {
                self.rows += 1;
                let of_each = self.agreeing.iter_mut().zip(counts.into_iter().zip(self.header_counts));
                of_each.for_each(|(agreeing, (count, of_header))| *agreeing += u64::from(count == of_header));
                if self.rows == ROWS_LOOKED_AT {
                    self.decide(None);
                }
            }
            return cutter.record_ends(end);
        }
        self.in_header = false;
        self.header_counts = counts;
        self.separators = SEPARATORS.into_iter().zip(counts).filter(|(_, count)| *count > 0).map(|(separator, _)| separator).collect();
        cutter.reach(end)?;
        cutter.set_header(end)
    }

    /// Which of the header's separators it is; `quoted`: the one that a quote stands behind.
    fn decide(&mut self, quoted: Option<u8>) {
        let of_each = SEPARATORS.into_iter().zip(self.agreeing.into_iter().zip(self.header_counts));
        // The first of equals: the last of them the other way round.
        let candidates = of_each.rev().filter(|(_, (_, in_header))| *in_header > 0);
        let best = candidates.max_by_key(|(separator, (agreeing, in_header))| (*agreeing, Some(*separator) == quoted, *in_header));
        self.separators = best.map(|(separator, _)| separator).into_iter().collect();
    }
}

impl Scanner for CsvScanner {
    fn scan(&mut self, block: &[u8], at: u64, cutter: &mut Cutter) -> Result<(), Error> {
        let mut pos = 0;
        while pos < block.len() {
            let rest = &block[pos..];
            match self.at {
                At::Text => {
                    let len = memchr2(b'\n', b'"', rest).unwrap_or(rest.len());
                    self.text(&rest[..len]);
                    let offset = at + (pos + len) as u64;
                    pos += len + 1;
                    match rest.get(len) {
                        None => {}
                        Some(b'\n') => {
                            self.row_ends(offset + 1, cutter)?;
                            self.line += 1;
                        }
                        Some(&quote) => {
                            if self.opens(offset) {
                                (self.at, self.quote) = (At::Quoted, (self.line, offset));
                            }
                            (self.before, self.blank) = (Some(quote), false);
                        }
                    }
                }
                At::Quoted => {
                    let len = memchr(b'"', rest).unwrap_or(rest.len());
                    self.check_quoted(at + (pos + len) as u64, cutter)?;
                    self.line += memchr_iter(b'\n', &rest[..len]).count() as u64;
                    if len < rest.len() {
                        self.at = At::QuoteInQuoted;
                    }
                    pos += len + 1;
                }
                At::QuoteInQuoted if rest[0] == b'"' => {
                    self.at = At::Quoted;
                    pos += 1;
                }
                At::QuoteInQuoted => self.at = At::Text,
            }
        }
        Ok(())
    }

    fn finish(&mut self, end: u64, cutter: &mut Cutter) -> Result<(), Error> {
        if self.at == At::Quoted {
            let (line, offset) = self.quote;
            return Err(Error::invalid(format!(
                "the data set ends, at byte {end}, inside a quoted field that began at line {line} (byte {offset}): a closing quote is missing"
            )));
        }
        self.row_ends(end, cutter)
    }

    fn nothing_found(&self) -> String {
        if self.in_header {
            "no CSV header: every line is blank"
        } else {
            "a CSV header without a row below it: there is nothing to run on"
        }
        .into()
    }
}

#[cfg(test)]
mod tests {
    use crate::split::Splitter;
    use crate::split::cutter::Bounds;
    use crate::split::properties::{pieces, refusal, split};

    #[test]
    fn the_header_is_repeated_and_is_no_record() {
        let (chunks, summary) = split("csv:1", b"a,b\n1,2\n3,4\n").unwrap();
        assert_eq!((summary.records, summary.header_len), (2, 4));
        assert_eq!(chunks.iter().map(|chunk| (chunk.offset, chunk.len, chunk.header)).collect::<Vec<_>>(), [(0, 8, 0), (8, 4, 4)]);
    }

    #[test]
    fn a_quoted_field_may_hold_line_ends_separators_and_doubled_quotes() {
        let data = b"a,\"b\n\"\"x\"\"\"\r\n1,\"2\r\n,\"\"\n\"\r\n\"\",\"\"\"\"\r\n\"5\" x\"\"y,\"6\n6\"";
        assert_eq!(pieces("csv:1", data), [&data[..26], b"\"\",\"\"\"\"\r\n", b"\"5\" x\"\"y,\"6\n6\""]);
        assert_eq!(split("csv:1", data).unwrap().1.header_len, 13);
    }

    #[test]
    fn a_quote_inside_a_field_is_a_character() {
        assert_eq!(pieces("csv:1", b"a,b\n5\",6\n7, \"8\n"), [&b"a,b\n5\",6\n"[..], b"7, \"8\n"]);
    }

    #[test]
    fn the_header_says_what_separates() {
        // A quote behind another mark is a character.
        assert_eq!(pieces("csv:1", b"a\tb\n1,\"\t2\n3\t\"4\n\"\n"), [&b"a\tb\n1,\"\t2\n"[..], b"3\t\"4\n\"\n"]);
        assert_eq!(pieces("csv:1", b"a;b\n1,\";2\n3;\"4\n\"\n"), [&b"a;b\n1,\";2\n"[..], b"3;\"4\n\"\n"]);
        assert_eq!(pieces("csv:1", b"\"a;a\";b\n1,\";2\n3\n").len(), 2);
        assert_eq!(pieces("csv:1", b"one column\n1,\"\n2\n").len(), 2);
        assert_eq!(pieces("csv:1", b"\xef\xbb\xbf\"a\n\",b\n1\n").len(), 1);
    }

    #[test]
    fn the_rows_say_what_separates_where_the_header_has_several_marks() {
        // More commas in the header, but semicolons between the fields: each quoted field is one.
        let data = b"m/z (a, b, c);note\n1;\"two\nlines\"\n2,5;x\n3;\"y\"\n";
        assert_eq!(pieces("csv:1", data), [&b"m/z (a, b, c);note\n1;\"two\nlines\"\n"[..], b"2,5;x\n", b"3;\"y\"\n"]);
        // Rows count more than a quote behind the other mark.
        let data = b"a;x,b\n1,2\n3,4\nhe said;\"5,\n6,\"two\nlines\"\n";
        assert_eq!(pieces("csv:1", data).len(), 4);
        // After a hundred rows it is known, whatever comes.
        let rows = "1,2\n".repeat(100);
        assert_eq!(pieces("csv:1", format!("a;b,c\n{rows};\"\n,\"\n\"\n").as_bytes()).len(), 102);
    }

    #[test]
    fn blank_lines_are_no_rows() {
        let data = b"\r\n\na,b\n\n1,2\n \r\n,\n\n";
        assert_eq!(pieces("csv:1", data), [&b"\r\n\na,b\n\n1,2\n"[..], b" \r\n,\n\n"]);
        assert_eq!(split("csv:1", data).unwrap().1.header_len, 7);
        // Columns may all be empty where tabs stand between them.
        assert_eq!(pieces("csv:1", b"a\tb\n\t\n\t\n").len(), 2);
    }

    #[test]
    fn a_header_without_rows_is_refused() {
        for data in ["a,b\n", "a,b", "\n\"a\n\",b\r\n \n"] {
            assert_eq!(refusal("csv:1", data.as_bytes()), "a CSV header without a row below it: there is nothing to run on", "{data}");
        }
        assert_eq!(refusal("csv:1", b"\r\n \n"), "no CSV header: every line is blank");
    }

    #[test]
    fn a_quoted_field_without_end_is_named_before_it_takes_in_everything() {
        let bounds = Bounds { quoted_bytes: 4, ..Bounds::default() };
        let data = b"a\n\"123\"\n\"1234\n";
        for cut in 0..data.len() {
            let (mut splitter, mut out) = (Splitter::with_bounds("csv:1".parse().unwrap(), 100, bounds), Vec::new());
            let fed = splitter.feed(&data[..cut], &mut out).and_then(|()| splitter.feed(&data[cut..], &mut out));
            assert_eq!(
                fed.unwrap_err().message,
                "the quoted field that begins at line 3 (byte 8) has no end within 4 bytes (QUOTED_FIELD_MAX_BYTES): is a closing quote missing?"
            );
        }
    }

    #[test]
    fn a_quote_that_is_not_closed_is_named_where_it_began() {
        assert_eq!(
            refusal("csv:1", b"a,b\n\"1\n\",2\n3,\"4\n5,6\n"),
            "the data set ends, at byte 20, inside a quoted field that began at line 4 (byte 13): a closing quote is missing"
        );
        assert!(refusal("csv:1", b"a,b\n1,\"\"\"").contains("line 2 (byte 6)"));
    }
}
