//! Lines: a record ends with its LF; the last one may lack it.

use memchr::memchr_iter;

use super::cutter::Cutter;
use super::scanner::Scanner;
use crate::domain::Error;

/// Finds the ends of lines. A blank line is a record like any other, and any byte but LF may stand in one.
#[derive(Debug)]
pub(super) struct LineScanner;

impl Scanner for LineScanner {
    fn scan(&mut self, block: &[u8], at: u64, cutter: &mut Cutter) -> Result<(), Error> {
        memchr_iter(b'\n', block).try_for_each(|lf| cutter.record_ends(at + lf as u64 + 1))
    }

    fn finish(&mut self, end: u64, cutter: &mut Cutter) -> Result<(), Error> {
        if cutter.record_start() < end { cutter.record_ends(end) } else { Ok(()) }
    }

    fn nothing_found(&self) -> String {
        "no line in the data set".into()
    }
}

#[cfg(test)]
mod tests {
    use crate::split::properties::{pieces, spans};

    #[test]
    fn a_line_keeps_its_line_end_whichever_it_is() {
        assert_eq!(pieces("lines:1", b"a\r\nb\n\n\xff\0\rc\n"), [&b"a\r\n"[..], b"b\n", b"\n", b"\xff\0\rc\n"]);
    }

    #[test]
    fn the_last_line_may_lack_its_end() {
        assert_eq!(pieces("lines:2", b"a\nb\nc"), [&b"a\nb\n"[..], b"c"]);
        assert_eq!(pieces("lines:3", b"a\nb\nc"), [b"a\nb\nc"]);
        assert_eq!(pieces("lines:1", b"\n"), [b"\n"]);
    }

    #[test]
    fn bytes_are_cut_at_the_next_line_end() {
        assert_eq!(spans("bytes:4", b"aa\naa\naaaaaaaa\n"), [(0, 6), (6, 9)]);
        assert_eq!(spans("chunks:2", b"aa\naa\naa\naa"), [(0, 6), (6, 5)]);
    }
}
