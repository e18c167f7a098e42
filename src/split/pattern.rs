//! Records over several lines that a pattern tells apart: a line that matches starts a record, or ends one.
//!
//! A line is looked at without its end (LF or CRLF), so that `$` means what it says. It has to be whole for that: the part of a line that has
//! come is kept, up to [`Bounds::line_bytes`](super::cutter::Bounds), and a longer line is refused.
//!
//! By starts: what stands before the first start is the header, unless it is blank; it is repeated in every chunk. By ends: what follows the
//! last end is one more record, like a last line that lacks its end, unless it is blank; there is no header.

use memchr::memchr;
use regex::bytes::Regex;

use super::cutter::Cutter;
use super::scanner::Scanner;
use crate::domain::{Error, Pattern};

/// What a line that matches is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The first of a record.
    Start,
    /// The last of a record.
    End,
}

/// Finds the lines that match.
#[derive(Debug)]
pub(super) struct PatternScanner {
    regex: Regex,
    side: Side,
    /// What has come of the line that is open.
    part: Vec<u8>,
    /// Its first byte, and its number, from 1.
    line_start: u64,
    line: u64,
    /// A line has matched.
    seen: bool,
    /// There is nothing but white space since then, or since the data set began.
    blank: bool,
}

impl PatternScanner {
    pub(super) fn new(pattern: &Pattern, side: Side) -> Result<Self, Error> {
        Ok(Self { regex: pattern.compile()?, side, part: Vec::new(), line_start: 0, line: 1, seen: false, blank: true })
    }

    /// The next line, which ends, with its end, at `end`.
    fn line(&mut self, line: &[u8], end: u64, cutter: &mut Cutter) -> Result<(), Error> {
        self.check_len(line.len(), cutter)?;
        let matches = self.regex.is_match(line.strip_suffix(b"\r").unwrap_or(line));
        if matches {
            // Not before the whole line is here: however the data set comes in, the limits are met at the same place.
            cutter.reach(end)?;
            match self.side {
                Side::Start if self.seen => cutter.record_ends(self.line_start)?,
                Side::Start if !self.blank => cutter.set_header(self.line_start)?,
                Side::Start => {}
                Side::End => cutter.record_ends(end)?,
            }
        }
        self.seen |= matches;
        self.blank = if matches { self.side == Side::End } else { self.blank && line.iter().all(u8::is_ascii_whitespace) };
        (self.line_start, self.line) = (end, self.line + 1);
        Ok(())
    }

    fn check_len(&self, len: usize, cutter: &Cutter) -> Result<(), Error> {
        let max = cutter.line_bytes();
        if len <= max {
            return Ok(());
        }
        cutter.reach(self.line_start + max as u64 + 1)?;
        Err(Error::exhausted(format!(
            "line {} (byte {}) is longer than {max} bytes (PATTERN_LINE_MAX_BYTES), too long to look for a pattern in: choose another rule",
            self.line, self.line_start
        )))
    }
}

impl Scanner for PatternScanner {
    fn scan(&mut self, block: &[u8], at: u64, cutter: &mut Cutter) -> Result<(), Error> {
        let mut pos = 0;
        while let Some(lf) = memchr(b'\n', &block[pos..]) {
            let rest = &block[pos..pos + lf];
            pos += lf + 1;
            if self.part.is_empty() {
                self.line(rest, at + pos as u64, cutter)?;
            } else {
                let mut line = std::mem::take(&mut self.part);
                self.check_len(line.len() + rest.len(), cutter)?;
                line.extend_from_slice(rest);
                self.line(&line, at + pos as u64, cutter)?;
                line.clear();
                self.part = line;
            }
        }
        let rest = &block[pos..];
        self.check_len(self.part.len() + rest.len(), cutter)?;
        self.part.extend_from_slice(rest);
        Ok(())
    }

    fn finish(&mut self, end: u64, cutter: &mut Cutter) -> Result<(), Error> {
        let line = std::mem::take(&mut self.part);
        if !line.is_empty() {
            self.line(&line, end, cutter)?;
        }
        let is_open = match self.side {
            Side::Start => true,
            Side::End => !self.blank,
        };
        if self.seen && is_open { cutter.record_ends(end) } else { Ok(()) }
    }

    fn nothing_found(&self) -> String {
        let side = match self.side {
            Side::Start => "start",
            Side::End => "end",
        };
        format!("no record: no line matches {side}={}", self.regex)
    }
}

#[cfg(test)]
mod tests {
    use crate::split::Splitter;
    use crate::split::cutter::Bounds;
    use crate::split::properties::{pieces, refusal, split};

    #[test]
    fn a_line_that_matches_starts_a_record() {
        let data = b"ID 1\nx ID\n\nID 2\r\nID 3";
        assert_eq!(pieces("records:1/start=^ID \\d$", data), [&b"ID 1\nx ID\n\n"[..], b"ID 2\r\n", b"ID 3"]);
        assert_eq!(pieces("records:2/start=^ID", data).len(), 2);
    }

    #[test]
    fn what_stands_before_the_first_start_is_repeated_unless_it_is_blank() {
        let (chunks, summary) = split("records:1/start=^>", b"# head\n\n>a\n>b\n").unwrap();
        assert_eq!((summary.header_len, chunks[1].header, chunks[0].len), (8, 8, 11));
        assert_eq!(split("records:1/start=^>", b"\n \n>a\n>b\n").unwrap().1.header_len, 0);
    }

    #[test]
    fn a_line_that_matches_ends_a_record() {
        let data = b"a\n//\nb\r\n//\r\n\n//\nc\n//";
        assert_eq!(pieces("records:1/end=^//$", data), [&b"a\n//\n"[..], b"b\r\n//\r\n", b"\n//\n", b"c\n//"]);
        assert_eq!(pieces("records:2/end=^//$", data).len(), 2);
    }

    #[test]
    fn what_follows_the_last_end_is_a_record_unless_it_is_blank() {
        assert_eq!(pieces("records:1/end=^--", b"a\n--\nb\n"), [&b"a\n--\n"[..], b"b\n"]);
        assert_eq!(pieces("records:1/end=^--", b"a\n--\n\n "), [b"a\n--\n\n "]);
    }

    #[test]
    fn any_bytes_may_stand_in_a_line() {
        assert_eq!(pieces(r"records:1/start=^\xff.?", b"\xff\0\xfe\n\xff\n").len(), 2);
        assert_eq!(pieces("records:1/start=é", "é\nex\né".as_bytes()).len(), 2);
    }

    #[test]
    fn a_pattern_that_never_matches_is_refused() {
        assert_eq!(refusal("records:1/start=^X", b"a\n"), "no record: no line matches start=^X");
        assert_eq!(refusal("records/chunks:2/end=^X", b"a\nb"), "no record: no line matches end=^X");
        assert_eq!(refusal("records:1/start=a\\nb", b"a\nb\n"), "no record: no line matches start=a\\nb");
    }

    #[test]
    fn a_line_over_its_limit_is_refused_with_its_place() {
        let bounds = Bounds { line_bytes: 4, ..Bounds::default() };
        for cut in [1, 7, 9] {
            let (mut splitter, mut out) = (Splitter::with_bounds("records:1/start=a".parse().unwrap(), 12, bounds), Vec::new());
            let fed = splitter.feed(&b"a\naaaa\naaaaa"[..cut], &mut out).and_then(|()| splitter.feed(&b"a\naaaa\naaaaa"[cut..], &mut out));
            assert_eq!(
                fed.unwrap_err().message,
                "line 3 (byte 7) is longer than 4 bytes (PATTERN_LINE_MAX_BYTES), too long to look for a pattern in: choose another rule"
            );
        }
    }
}
