//! Split rules as a user writes them: what may not be cut, and how much goes in a chunk.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::error::Error;

/// What may not be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// A line, with its line end (LF or CRLF).
    Line,
    /// A FASTA record: a line that begins with `>` and what follows it.
    Fasta,
    /// An MGF spectrum: `BEGIN IONS` to `END IONS`.
    Mgf,
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

/// `lines:N`, `bytes:N`, `chunks:N`, `fasta:N`, `mgf:N`, `fasta/chunks:N`, `mgf/bytes:N`…
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitRule {
    /// What may not be cut.
    pub record: Record,
    /// How much goes in a chunk.
    pub cut: Cut,
}

impl fmt::Display for SplitRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let record = match self.record {
            Record::Line => "",
            Record::Fasta => "fasta",
            Record::Mgf => "mgf",
        };
        let slash = if record.is_empty() { "" } else { "/" };
        match self.cut {
            Cut::Records(n) if record.is_empty() => write!(f, "lines:{n}"),
            Cut::Records(n) => write!(f, "{record}:{n}"),
            Cut::Bytes(n) => write!(f, "{record}{slash}bytes:{n}"),
            Cut::Pieces(n) => write!(f, "{record}{slash}chunks:{n}"),
        }
    }
}

impl FromStr for SplitRule {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = |why: &str| {
            Error::invalid(format!(
                "split rule `{text}`: {why} (rules: lines:N, bytes:N, chunks:N, fasta:N, mgf:N, fasta/chunks:N, mgf/bytes:N)"
            ))
        };
        let (what, number) = text.split_once(':').ok_or_else(|| bad("a number is missing"))?;
        let (record, measure) = match what.split_once('/') {
            Some((record, measure)) => (record, measure),
            None if matches!(what, "bytes" | "chunks") => ("lines", what),
            None => (what, "records"),
        };
        let record = match record {
            "lines" => Record::Line,
            "fasta" => Record::Fasta,
            "mgf" => Record::Mgf,
            _ => return Err(bad("unknown")),
        };
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
    /// The rule for a file of this name when the user states none: by its ending, in `pieces` chunks.
    pub fn for_name(name: &str, pieces: u32) -> Self {
        let name = name.to_ascii_lowercase();
        let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
        let record = if ends(&[".mgf"]) {
            Record::Mgf
        } else if ends(&[".fasta", ".fa", ".faa", ".fna", ".ffn"]) {
            Record::Fasta
        } else {
            Record::Line
        };
        Self { record, cut: Cut::Pieces(pieces.max(1)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_survives_its_text() {
        for text in ["lines:10", "bytes:1000", "chunks:4", "fasta:3", "mgf:200", "fasta/chunks:8", "mgf/bytes:77"] {
            assert_eq!(text.parse::<SplitRule>().unwrap().to_string(), text);
        }
        for bad in ["", "lines", "lines:", "lines:0", "lines:-1", "foo:1", "fasta/foo:1", "chunks:99999999999", "mgf:x"] {
            assert!(bad.parse::<SplitRule>().is_err(), "{bad}");
        }
    }
}
