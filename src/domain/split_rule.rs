//! Split rules as a user writes them: what may not be cut, and how much goes in a chunk.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::error::Error;
use super::packing::Packing;
use super::pattern::Pattern;

/// The rules there are, for messages.
const RULES: &str = "lines:N, bytes:N, chunks:N, fasta:N, fastq:N, mgf:N, csv:N, jsonl:N, files:N, records:N/start=REGEX, records:N/end=REGEX, \
                     and with each of these words fasta/chunks:N, fasta/bytes:N";

/// What may not be cut. Persisted: a new kind comes last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// A line, with its line end (LF or CRLF).
    Line,
    /// A FASTA record: a line that begins with `>` and what follows it.
    Fasta,
    /// An MGF spectrum: `BEGIN IONS` to `END IONS`.
    Mgf,
    /// A FASTQ record: title, sequence, `+`, and as much quality as sequence.
    Fastq,
    /// A line that is not blank.
    Jsonl,
    /// A row of a CSV table; the header is repeated.
    Csv,
    /// The lines from one that matches to the next.
    Start(Pattern),
    /// The lines up to one that matches.
    End(Pattern),
    /// A file of a tar archive.
    Files,
}

impl Record {
    /// The word for it in a rule.
    fn word(&self) -> &'static str {
        match self {
            Self::Line => "lines",
            Self::Fasta => "fasta",
            Self::Mgf => "mgf",
            Self::Fastq => "fastq",
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
            Self::Files => "files",
            Self::Start(_) | Self::End(_) => "records",
        }
    }

    /// The record of a word, and of the pattern that belongs to one of them: `start=…` or `end=…`.
    fn of_word(word: &str, pattern: Option<&str>) -> Result<Self, Error> {
        if word == "records" {
            let pattern = pattern.ok_or_else(|| Error::invalid("a pattern is missing, as in records:1/start=REGEX"))?;
            return match pattern.split_once('=') {
                Some(("start", text)) => Pattern::new(text).map(Self::Start),
                Some(("end", text)) => Pattern::new(text).map(Self::End),
                _ => Err(Error::invalid("behind the number start=REGEX or end=REGEX is needed")),
            };
        }
        if pattern.is_some() {
            return Err(Error::invalid("only `records` has something behind its number"));
        }
        [Self::Line, Self::Fasta, Self::Mgf, Self::Fastq, Self::Jsonl, Self::Csv, Self::Files]
            .into_iter()
            .find(|record| record.word() == word)
            .ok_or_else(|| Error::invalid("unknown"))
    }

    /// The pattern, as it stands behind the number.
    fn pattern(&self) -> Option<(&'static str, &Pattern)> {
        match self {
            Self::Start(pattern) => Some(("start", pattern)),
            Self::End(pattern) => Some(("end", pattern)),
            Self::Line | Self::Fasta | Self::Mgf | Self::Fastq | Self::Jsonl | Self::Csv | Self::Files => None,
        }
    }

    /// The record of a file's name, by its ending, in lower case; a line for all others.
    fn of_name(name: &str) -> Self {
        match name.rsplit_once('.').map_or("", |(_, ending)| ending) {
            "mgf" => Self::Mgf,
            "fasta" | "fa" | "faa" | "fna" | "ffn" => Self::Fasta,
            "fastq" | "fq" => Self::Fastq,
            "jsonl" | "ndjson" => Self::Jsonl,
            "csv" | "tsv" => Self::Csv,
            "tar" | "zip" => Self::Files,
            _ => Self::Line,
        }
    }
}

/// How much goes in a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cut {
    /// So many records; the last chunk may have fewer.
    Records(u64),
    /// At least so many bytes, up to the end of the record in which they are reached.
    Bytes(u64),
    /// So many chunks of about equal size in bytes; fewer when there are fewer records.
    Pieces(u32),
}

/// `WHAT[/MEASURE]:N[/start=REGEX]`: `lines:N`, `bytes:N`, `chunks:N`, `fasta:N`, `csv/chunks:N`, `records:N/end=REGEX`…
///
/// A pattern always stands last, so that anything may stand in it: `records/chunks:8/start=^a/b:c`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitRule {
    /// What may not be cut.
    pub record: Record,
    /// How much goes in a chunk.
    pub cut: Cut,
}

impl fmt::Display for SplitRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = self.record.word();
        match (&self.record, self.cut) {
            (_, Cut::Records(n)) => write!(f, "{what}:{n}")?,
            (Record::Line, Cut::Bytes(n)) => write!(f, "bytes:{n}")?,
            (Record::Line, Cut::Pieces(n)) => write!(f, "chunks:{n}")?,
            (_, Cut::Bytes(n)) => write!(f, "{what}/bytes:{n}")?,
            (_, Cut::Pieces(n)) => write!(f, "{what}/chunks:{n}")?,
        }
        self.record.pattern().map_or(Ok(()), |(side, pattern)| write!(f, "/{side}={pattern}"))
    }
}

impl FromStr for SplitRule {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = |why: &str| Error::invalid(format!("split rule `{text}`: {why} (rules: {RULES})"));
        let (what, rest) = text.split_once(':').ok_or_else(|| bad("a number is missing"))?;
        if what.contains('=') {
            return Err(bad("a pattern stands last, as in records/chunks:8/start=REGEX"));
        }
        let (number, pattern) = rest.split_once('/').map_or((rest, None), |(number, pattern)| (number, Some(pattern)));
        let (word, measure) = match what.split_once('/') {
            Some((word, measure)) => (word, measure),
            None if matches!(what, "bytes" | "chunks") => ("lines", what),
            None => (what, "records"),
        };
        let record = Record::of_word(word, pattern).map_err(|error| bad(&error.message))?;
        let n: u64 = number.parse().ok().filter(|&n| n > 0).ok_or_else(|| bad("a whole number above 0 is needed"))?;
        let cut = match measure {
            "records" => Cut::Records(n),
            "bytes" => Cut::Bytes(n),
            "chunks" => Cut::Pieces(u32::try_from(n).map_err(|_| bad("too many chunks"))?),
            _ => return Err(bad("unknown")),
        };
        Ok(Self { record, cut })
    }
}

impl SplitRule {
    /// Whether a chunk is a folder of files: `files:1` promises one file, all others of files a folder, however many are in it.
    pub fn makes_folders(&self) -> bool {
        self.record == Record::Files && self.cut != Cut::Records(1)
    }

    /// The rule for a file of this name when the user states none: by its ending, but for that of a compressed one, in `pieces` chunks.
    pub fn for_name(name: &str, pieces: u32) -> Self {
        Self { record: Record::of_name(&Packing::plain_name(name).to_ascii_lowercase()), cut: Cut::Pieces(pieces.max(1)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_survives_its_text() {
        for text in [
            "lines:10",
            "bytes:1000",
            "chunks:4",
            "fasta:3",
            "mgf:200",
            "fasta/chunks:8",
            "mgf/bytes:77",
            "fastq:4",
            "fastq/chunks:8",
            "csv:1",
            "csv/bytes:9",
            "jsonl:7",
            "jsonl/chunks:3",
            "files:1",
            "files/chunks:4",
            "files/bytes:5",
        ] {
            assert_eq!(text.parse::<SplitRule>().unwrap().to_string(), text);
        }
        for bad in [
            "",
            "lines",
            "lines:",
            "lines:0",
            "lines:-1",
            "foo:1",
            "fasta/foo:1",
            "chunks:99999999999",
            "mgf:x",
            "records:1",
            "records:1/start",
            "records:1/start=",
            "records:1/stop=a",
            "lines:1/start=a",
            "records:1/start=[",
        ] {
            assert!(bad.parse::<SplitRule>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_wrong_rule_is_told_what_is_wrong() {
        for (rule, says) in [
            ("records/start=^a/chunks:8", "a pattern stands last, as in records/chunks:8/start=REGEX"),
            ("records:8", "a pattern is missing, as in records:1/start=REGEX"),
            ("records:8/start=(", "the pattern `(` is no regular expression: unclosed group"),
            ("csv:8/start=a", "only `records` has something behind its number"),
            ("csv:8/chunks", "only `records` has something behind its number"),
        ] {
            let message = rule.parse::<SplitRule>().unwrap_err().message;
            assert!(message.starts_with(&format!("split rule `{rule}`: {says} (rules: ")), "{message}");
        }
    }

    #[test]
    fn the_ending_of_a_name_decides() {
        for (name, rule) in [
            ("a.fasta", "fasta/chunks:4"),
            ("A.FA", "fasta/chunks:4"),
            ("x.y.fq", "fastq/chunks:4"),
            ("reads.fastq", "fastq/chunks:4"),
            ("a.csv", "csv/chunks:4"),
            ("a.tsv", "csv/chunks:4"),
            ("a.jsonl", "jsonl/chunks:4"),
            ("a.ndjson", "jsonl/chunks:4"),
            ("a.mgf", "mgf/chunks:4"),
            ("a.tar", "files/chunks:4"),
            ("a.ZIP", "files/chunks:4"),
            ("a.mgf.tgz", "files/chunks:4"),
            ("a.tar.zst", "files/chunks:4"),
            ("a.fasta.gz", "fasta/chunks:4"),
            ("a.CSV.Bz2", "csv/chunks:4"),
            ("a.fq.zst", "fastq/chunks:4"),
            ("a.gz", "chunks:4"),
            ("a.txt", "chunks:4"),
            ("fasta", "chunks:4"),
            ("", "chunks:4"),
        ] {
            assert_eq!(SplitRule::for_name(name, 4).to_string(), rule, "{name}");
        }
    }
}
