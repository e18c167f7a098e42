//! MGF (Mascot generic format): a record is a spectrum, from a line `BEGIN IONS` to a line `END IONS`.
//!
//! Source: Matrix Science, "Data file format" (<https://www.matrixscience.com/help/data_file_format.html>): keywords are upper case;
//! parameters `KEY=VALUE` before the first spectrum hold for all; lines that begin with `#`, `;`, `!` or `/` are comments. White space
//! after a keyword is tolerated.
//!
//! The header is what stands before the first `BEGIN IONS`, if there is a parameter in it. It is a prefix of the data set, so comments
//! and blank lines among the parameters are repeated with them; without any parameter nothing is repeated. What stands between two
//! spectra (blank lines, comments, parameters) belongs to the one that follows, what follows the last spectrum to that one.

use memchr::{memchr, memchr_iter, memmem, memrchr};

use super::cutter::Cutter;
use super::line_head::{HEAD_BYTES, LineHead};
use super::scanner::Scanner;
use crate::domain::Error;

const BEGIN: &[u8] = b"BEGIN IONS";
const END: &[u8] = b"END IONS";
/// What both keywords end with: one search finds them both, in order.
const IONS: &[u8] = b" IONS";

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Begin,
    End,
    /// `KEY=VALUE`.
    Parameter,
    /// A peak, a comment, a blank line, or anything else.
    Other,
}

impl Kind {
    /// The kind of a line, without its LF, of which at least the first [`HEAD_BYTES`] are here; `rest_blank`: only white space follows.
    fn of(line: &[u8], rest_blank: bool) -> Self {
        let is = |word| rest_blank && line.strip_prefix(word).is_some_and(|rest: &[u8]| rest.iter().all(u8::is_ascii_whitespace));
        if is(BEGIN) {
            Self::Begin
        } else if is(END) {
            Self::End
        } else if is_parameter(line.get(..HEAD_BYTES).unwrap_or(line)) {
            Self::Parameter
        } else {
            Self::Other
        }
    }
}

/// A key is a word of letters, digits, `_`, `-`, `.`, `[`, `]`, before a `=`, with or without white space between; a comment has no key.
fn is_parameter(head: &[u8]) -> bool {
    let Some(equals) = memchr(b'=', head) else { return false };
    let key = head[..equals].trim_ascii();
    !key.is_empty() && key.iter().all(|&byte| byte.is_ascii_alphanumeric() || b"_-.[]".contains(&byte))
}

/// The place of a line.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// The offset of its first byte.
    offset: u64,
    /// Its number, from 1.
    line: u64,
}

/// Finds the ends of spectra.
#[derive(Debug)]
pub(super) struct MgfScanner {
    /// The line that is not complete, or is to come next, and what is known of it.
    next: Place,
    head: LineHead,
    /// Where the spectrum that is open began.
    open: Option<Place>,
    /// A parameter was seen before the first spectrum.
    parameter: bool,
}

impl MgfScanner {
    pub(super) fn new() -> Self {
        Self { next: Place { offset: 0, line: 1 }, head: LineHead::new(), open: None, parameter: false }
    }

    /// Whether parameters matter still: they do up to the first one, before the first spectrum.
    fn awaits_parameter(&self, cutter: &Cutter) -> bool {
        !self.parameter && self.open.is_none() && cutter.records() == 0
    }

    /// Completes the line that began in an earlier block: how much of this block belongs to it, with its LF.
    fn complete_line(&mut self, block: &[u8], at: u64, cutter: &mut Cutter) -> Result<usize, Error> {
        if self.head.is_empty() {
            return Ok(0);
        }
        let Some(lf) = memchr(b'\n', block) else {
            self.head.push(block);
            return Ok(block.len());
        };
        self.head.push(&block[..lf]);
        let head = std::mem::replace(&mut self.head, LineHead::new());
        self.line(Kind::of(head.bytes(), head.rest_blank()), at + lf as u64 + 1, cutter)?;
        Ok(lf + 1)
    }

    /// Looks at lines that are complete, one after the other, as long as parameters matter: how far it came.
    fn each_line(&mut self, lines: &[u8], cutter: &mut Cutter) -> Result<usize, Error> {
        let mut pos = 0;
        while self.awaits_parameter(cutter)
            && let Some(len) = memchr(b'\n', &lines[pos..])
        {
            self.line(Kind::of(&lines[pos..pos + len], true), self.next.offset + len as u64 + 1, cutter)?;
            pos += len + 1;
        }
        Ok(pos)
    }

    /// Looks for keyword lines among lines that are complete.
    fn keyword_lines(&mut self, lines: &[u8], cutter: &mut Cutter) -> Result<(), Error> {
        let mut pos = 0;
        for ions in memmem::find_iter(lines, IONS) {
            if let Some((kind, start, end)) = keyword_line(lines, ions) {
                self.pass(&lines[pos..start]);
                self.line(kind, self.next.offset + (end - start) as u64, cutter)?;
                pos = end;
            }
        }
        self.pass(&lines[pos..]);
        Ok(())
    }

    /// Steps over lines that don't matter.
    fn pass(&mut self, lines: &[u8]) {
        self.next.offset += lines.len() as u64;
        self.next.line += memchr_iter(b'\n', lines).count() as u64;
    }

    /// The next line is of this kind and ends, with its LF, at `end`.
    fn line(&mut self, kind: Kind, end: u64, cutter: &mut Cutter) -> Result<(), Error> {
        match kind {
            Kind::Begin => self.begin(end, cutter)?,
            Kind::End => self.end(end, cutter)?,
            Kind::Parameter => self.parameter |= self.awaits_parameter(cutter),
            Kind::Other => {}
        }
        self.next = Place { offset: end, line: self.next.line + 1 };
        Ok(())
    }

    fn begin(&mut self, end: u64, cutter: &mut Cutter) -> Result<(), Error> {
        let Place { offset, line } = self.next;
        if let Some(open) = self.open {
            let fault = format!(
                "line {line} (byte {offset}): \"BEGIN IONS\" inside record {}, which began at line {} (byte {}): an \"END IONS\" is missing",
                cutter.records(),
                open.line,
                open.offset
            );
            return Err(cutter.refuse(end, fault));
        }
        if cutter.records() == 0 && self.parameter {
            cutter.reach(end)?;
            cutter.set_header(offset)?;
        }
        self.open = Some(self.next);
        Ok(())
    }

    fn end(&mut self, end: u64, cutter: &mut Cutter) -> Result<(), Error> {
        let Place { offset, line } = self.next;
        match self.open.take() {
            Some(_) => cutter.record_ends(end),
            None => {
                let fault =
                    format!("line {line} (byte {offset}): \"END IONS\" of record {} without \"BEGIN IONS\" before it", cutter.records());
                Err(cutter.refuse(end, fault))
            }
        }
    }
}

/// The keyword line in which ` IONS` stands at this position, if it is one: its kind, its start, and its end with its LF.
fn keyword_line(lines: &[u8], ions: usize) -> Option<(Kind, usize, usize)> {
    let start = [BEGIN, END].iter().find_map(|word| {
        let start = (ions + IONS.len()).checked_sub(word.len())?;
        let at_line_start = start == 0 || lines.get(start - 1) == Some(&b'\n');
        (at_line_start && lines[start..].starts_with(word)).then_some(start)
    })?;
    let len = memchr(b'\n', &lines[start..])?;
    let kind = Kind::of(&lines[start..start + len], true);
    matches!(kind, Kind::Begin | Kind::End).then_some((kind, start, start + len + 1))
}

impl Scanner for MgfScanner {
    fn scan(&mut self, block: &[u8], at: u64, cutter: &mut Cutter) -> Result<(), Error> {
        let completed = self.complete_line(block, at, cutter)?;
        let block = &block[completed..];
        let (lines, part) = block.split_at(memrchr(b'\n', block).map_or(0, |lf| lf + 1));
        let looked_at = self.each_line(lines, cutter)?;
        self.keyword_lines(&lines[looked_at..], cutter)?;
        self.head.push(part);
        Ok(())
    }

    fn finish(&mut self, end: u64, cutter: &mut Cutter) -> Result<(), Error> {
        if !self.head.is_empty() {
            self.line(Kind::of(self.head.bytes(), self.head.rest_blank()), end, cutter)?;
        }
        let Some(Place { offset, line }) = self.open else { return Ok(()) };
        Err(Error::invalid(format!(
            "the data set ends, at byte {end}, inside record {}, which began at line {line} (byte {offset}): an \"END IONS\" is missing",
            cutter.records()
        )))
    }

    fn nothing_found(&self) -> String {
        "no spectrum: no line \"BEGIN IONS\"".into()
    }
}

#[cfg(test)]
mod tests {
    use crate::split::properties::{pieces, refusal, split};

    const A: &str = "BEGIN IONS\nTITLE=a\n100.1 5\nEND IONS\n";
    const B: &str = "BEGIN IONS \r\nTITLE=the IONS of BEGIN IONS\r\n 100.1 5\r\nEND IONS\t\r\n";

    #[test]
    fn a_spectrum_goes_from_begin_to_end() {
        assert_eq!(pieces("mgf:1", format!("{A}{B}{A}").as_bytes()), [A, B, A].map(str::as_bytes));
        assert_eq!(pieces("mgf:2", format!("{A}{B}{}", A.trim_end()).as_bytes()), [format!("{A}{B}").as_bytes(), A.trim_end().as_bytes()]);
    }

    #[test]
    fn parameters_before_the_first_spectrum_are_the_header_of_every_later_chunk() {
        let header = "# note\n\nCOM=test\n";
        let (chunks, summary) = split("mgf:1", format!("{header}{A}{B}").as_bytes()).unwrap();
        assert_eq!(chunks.iter().map(|chunk| chunk.header).collect::<Vec<_>>(), [0, header.len() as u64]);
        assert_eq!(chunks[0].len, (header.len() + A.len()) as u64);
        assert_eq!(summary.header_len, header.len() as u64);
    }

    #[test]
    fn comments_alone_are_no_header() {
        for comments in ["#a=b\n", ";a=b\n!a=b\n/a=b\n", "\n \r\n", "=b\n", "100.1 5\n", "a comment = b\n"] {
            let (chunks, summary) = split("mgf:1", format!("{comments}{A}{A}").as_bytes()).unwrap();
            assert_eq!((chunks[1].header, summary.header_len), (0, 0), "{comments}");
            assert_eq!(chunks[0].len, (comments.len() + A.len()) as u64);
        }
    }

    #[test]
    fn what_stands_between_spectra_goes_with_the_next_and_what_follows_with_the_last() {
        let data = format!("{A}\n# c\nCHARGE=2+\n{A}\n\n# end=1\n");
        assert_eq!(pieces("mgf:1", data.as_bytes()), [A.as_bytes(), format!("\n# c\nCHARGE=2+\n{A}\n\n# end=1\n").as_bytes()]);
        assert_eq!(split("mgf:1", data.as_bytes()).unwrap().1.header_len, 0);
    }

    #[test]
    fn a_keyword_stands_alone_at_the_start_of_its_line_and_in_upper_case() {
        let data = "BEGIN IONS\nEND IONSX\n END IONS\nEND  IONS\nend ions\nBEGIN IONS 2\nTITLE=END IONS\nEND IONS";
        assert_eq!(pieces("mgf:1", data.as_bytes()), [data.as_bytes()]);
        assert_eq!(refusal("mgf:1", b"begin ions\n1 2\n"), "no spectrum: no line \"BEGIN IONS\"");
    }

    #[test]
    fn a_malformed_spectrum_is_refused_with_its_number_and_place() {
        assert_eq!(
            refusal("mgf:1", format!("{A}BEGIN IONS\n1 2\nBEGIN IONS\nEND IONS\n").as_bytes()),
            "line 7 (byte 51): \"BEGIN IONS\" inside record 1, which began at line 5 (byte 36): an \"END IONS\" is missing"
        );
        assert_eq!(
            refusal("mgf:1", format!("{A}1 2\nEND IONS\n{A}").as_bytes()),
            "line 6 (byte 40): \"END IONS\" of record 1 without \"BEGIN IONS\" before it"
        );
        assert_eq!(
            refusal("mgf:1", format!("{A}\nBEGIN IONS\n1 2").as_bytes()),
            "the data set ends, at byte 51, inside record 1, which began at line 6 (byte 37): an \"END IONS\" is missing"
        );
    }
}
