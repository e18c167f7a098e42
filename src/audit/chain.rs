//! What holds the lines together: each has the SHA-256 of the one before it. A plain value; whoever reads the lines, here or elsewhere, can
//! check them.

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::domain::Digest;

/// A place in the chain: the number of a line, and its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// From 1; 0 before the first.
    pub seq: u64,
    /// SHA-256 of the line without its line end.
    pub hash: Digest,
}

impl Link {
    /// Before the first line.
    pub const START: Self = Self { seq: 0, hash: Digest([0; 32]) };

    /// That of a line.
    pub fn of(seq: u64, line: &[u8]) -> Self {
        Self { seq, hash: Digest(Sha256::digest(line).into()) }
    }
}

/// Of a line only this is needed here.
#[derive(Deserialize)]
struct Numbers {
    seq: u64,
    prev: String,
}

/// Number of a line, and the hash that it has of the one before; none for what is none.
pub(super) fn numbers(line: &[u8]) -> Option<(u64, Digest)> {
    let Numbers { seq, prev } = serde_json::from_slice(line).ok()?;
    Some((seq, prev.parse().ok()?))
}

/// Reads lines in their order, and says what does not fit.
#[derive(Clone, Debug)]
pub struct Chain {
    /// The last line; none before the first.
    last: Option<Link>,
    first: u64,
    lines: u64,
    findings: Vec<String>,
}

/// Findings that are told; there may be as many as lines.
const FINDINGS_MAX: usize = 1_000;

impl Chain {
    /// Of lines from number `first` on.
    pub fn new(first: u64) -> Self {
        Self { last: (first <= 1).then_some(Link::START), first: first.max(1), lines: 0, findings: Vec::new() }
    }

    /// Takes the next line in, without its line end.
    pub fn line(&mut self, line: &[u8]) {
        self.lines += 1;
        let expected = self.last.map_or(self.first, |last| last.seq + 1);
        let Some((seq, prev)) = numbers(line) else {
            self.finds(format!("line {expected} can't be read: it was changed"));
            self.last = Some(Link::of(expected, line));
            return;
        };
        if seq > expected {
            let lost = if seq == expected + 1 { format!("line {expected} is") } else { format!("lines {expected} to {} are", seq - 1) };
            self.finds(format!("{lost} missing"));
        } else if seq < expected {
            self.finds(format!("line {seq} stands where line {expected} belongs: lines were moved, or one was put in"));
        } else if let Some(last) = self.last.filter(|last| last.hash != prev) {
            // It has no hash of what stands before it.
            let before = if last.seq == 0 { "something before line 1 is missing".into() } else { format!("line {} was changed", last.seq) };
            self.finds(format!("{before}: line {seq} has another hash of it"));
        }
        self.last = Some(Link::of(seq, line));
    }

    fn finds(&mut self, finding: String) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        }
    }

    /// How many lines were read.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// The last line that was read.
    pub fn last(&self) -> Option<Link> {
        self.last.filter(|last| last.seq > 0)
    }

    /// What does not fit, with the end as it has to be: nothing, where all is whole.
    pub fn finish(mut self, end: Link) -> Vec<String> {
        let last = self.last.unwrap_or(Link { seq: self.first.saturating_sub(1), hash: Digest([0; 32]) });
        if last.seq < end.seq {
            self.finds(format!("lines {} to {} are missing: the end was cut off", last.seq + 1, end.seq));
        } else if last.seq == end.seq && self.lines > 0 && last.hash != end.hash {
            self.finds(format!("line {} was changed: it is the last, and the mark has another hash of it", last.seq));
        }
        self.findings
    }
}
