//! JSON lines: a record is a line that is not blank; nothing of what it holds is looked at.
//!
//! Source: <https://jsonlines.org>. A blank line is no record: it belongs to the record that follows, behind the last one to that. The last
//! line may lack its end.

use memchr::memchr;

use super::cutter::Cutter;
use super::scanner::Scanner;
use crate::domain::Error;

/// Finds the ends of lines that are not blank.
#[derive(Debug)]
pub(super) struct JsonlScanner {
    /// Whether the line that is open, or comes next, is blank so far.
    blank: bool,
}

impl JsonlScanner {
    pub(super) fn new() -> Self {
        Self { blank: true }
    }

    fn part(&mut self, part: &[u8]) {
        self.blank = self.blank && part.iter().all(u8::is_ascii_whitespace);
    }
}

impl Scanner for JsonlScanner {
    fn scan(&mut self, block: &[u8], at: u64, cutter: &mut Cutter) -> Result<(), Error> {
        let mut pos = 0;
        while let Some(lf) = memchr(b'\n', &block[pos..]) {
            self.part(&block[pos..pos + lf]);
            pos += lf + 1;
            if !std::mem::replace(&mut self.blank, true) {
                cutter.record_ends(at + pos as u64)?;
            }
        }
        self.part(&block[pos..]);
        Ok(())
    }

    fn finish(&mut self, end: u64, cutter: &mut Cutter) -> Result<(), Error> {
        if self.blank { Ok(()) } else { cutter.record_ends(end) }
    }

    fn nothing_found(&self) -> String {
        "no JSON line: every line is blank".into()
    }
}

#[cfg(test)]
mod tests {
    use crate::split::properties::{pieces, refusal};

    #[test]
    fn a_line_is_a_record_and_a_blank_one_goes_with_the_next() {
        let data = b"\n{\"a\": 1}\n \t\r\n{\"b\": 2}\r\nnot looked at\n\n\n";
        assert_eq!(pieces("jsonl:1", data), [&b"\n{\"a\": 1}\n"[..], b" \t\r\n{\"b\": 2}\r\n", b"not looked at\n\n\n"]);
        assert_eq!(pieces("jsonl:2", b"1\n\n2\n3"), [&b"1\n\n2\n"[..], b"3"]);
        assert_eq!(pieces("jsonl:1", b"1\n "), [b"1\n "]);
    }

    #[test]
    fn blank_lines_alone_are_no_data() {
        assert_eq!(refusal("jsonl:1", b"\n \n\t"), "no JSON line: every line is blank");
    }
}
