//! `audit`: what was changed, by whom, and what was refused.

use serde::Deserialize;

use super::exit::{Ending, Exit, Stop};
use super::table::{Column, Table};
use super::ui::{Format, Ui, printable};
use crate::audit::{Chain, Link};
use crate::domain::{Digest, Error};
use crate::engine::access::short;
use crate::rpc::client::Client;
use crate::rpc::pb;

/// Shown below the options.
pub(crate) const EXAMPLES: &str = "\
Examples:
  millpond audit                                 all lines, for people
  millpond audit --format jsonl | jq 'select(.outcome == \"refused\")'
  millpond audit --verify                        whether a line was changed, removed or moved; exit code 1 if so
  millpond audit --verify --since 104512:SHA256  the same, and whether a line that was noted elsewhere is still there";

const COLUMNS: &[Column] = &[
    ("NO", true),
    ("TIME (UTC)", false),
    ("WHO", false),
    ("FROM", false),
    ("DID", false),
    ("TO", false),
    ("OUTCOME", false),
    ("REASON", false),
];
/// Rows of a table that are written at once.
const ROWS: usize = 1_000;

#[derive(clap::Args, Debug)]
pub(crate) struct AuditArgs {
    /// Check that no line was changed, removed or moved, and print only what is not whole
    #[arg(long)]
    verify: bool,
    /// Only lines from this number on
    #[arg(long, value_name = "N", default_value_t = 1)]
    first: u64,
    /// A line that was there before, as --verify has printed it: that it still is
    #[arg(long, value_name = "N:SHA256", requires = "verify", value_parser = link)]
    since: Option<Link>,
}

fn link(text: &str) -> Result<Link, String> {
    let (seq, hash) = text.split_once(':').ok_or("write it as N:SHA256, as --verify prints it")?;
    let seq = seq.parse().map_err(|_| format!("`{seq}` is no number of a line"))?;
    Ok(Link { seq, hash: hash.parse().map_err(|error: Error| error.message)? })
}

/// A line, as far as people see it.
#[derive(Deserialize)]
struct Line {
    seq: u64,
    at: String,
    who: Option<Who>,
    from: String,
    method: String,
    what: String,
    outcome: String,
    why: String,
    reason: String,
    #[serde(default)]
    omitted: u64,
}

#[derive(Deserialize)]
struct Who {
    name: String,
    role: String,
}

impl Line {
    fn row(self) -> Vec<String> {
        let Self { seq, at, who, from, method, what, outcome, why, reason, omitted } = self;
        let at = at.get(..19).unwrap_or(&at).replace('T', " ");
        let who = who.map(|who| format!("{} ({})", who.name, who.role)).unwrap_or_default();
        let why = if why.is_empty() { outcome } else { format!("{outcome}: {why}") };
        let omitted = if omitted == 0 { String::new() } else { format!("; {omitted} more refused calls before it") };
        vec![seq.to_string(), at, who, from, short(&method).to_owned(), what, format!("{why}{omitted}"), reason]
    }
}

pub(crate) async fn run(args: AuditArgs, client: &Client, ui: &mut Ui) -> Ending {
    let mut reading = Reading { chain: Chain::new(args.first), since: args.since, findings: Vec::new(), end: None, rest: Vec::new() };
    let mut table = Table::new(COLUMNS);
    let mut rows = 0;
    let request = pb::ReadAuditRequest { first: args.first };
    let mut stream = client.audit().read_audit(request).await.map_err(|status| client.error(&status))?.into_inner();
    while let Some(piece) = stream.message().await.map_err(|status| client.error(&status))? {
        reading.piece(&piece, &mut |line| {
            if args.verify {
                return Ok(());
            }
            match ui.format {
                // Already JSON; written as they lie on the head's disk, so that a copy can be checked as well.
                Format::Json | Format::Jsonl => {
                    use std::io::Write as _;
                    ui.out.write_all(line)?;
                    ui.line("")
                }
                Format::Id | Format::Table => {
                    let row = serde_json::from_slice::<Line>(line).map(Line::row);
                    let row = row.unwrap_or_else(|_| vec!["?".into(), String::from_utf8_lossy(line).into_owned()]);
                    if ui.format == Format::Id {
                        return ui.line(row.first().map_or("", String::as_str));
                    }
                    table.row(row);
                    rows += 1;
                    if rows % ROWS == 0 { table.write(ui) } else { Ok(()) }
                }
            }
        })?;
    }
    if !args.verify {
        if ui.format == Format::Table {
            table.write(ui)?;
        }
        return Ok(Exit::Done);
    }
    verdict(reading, ui)
}

/// What comes of the lines.
struct Reading {
    chain: Chain,
    since: Option<Link>,
    findings: Vec<String>,
    end: Option<Link>,
    /// The beginning of a line whose rest is to come.
    rest: Vec<u8>,
}

impl Reading {
    fn piece(&mut self, piece: &pb::AuditLines, each: &mut dyn FnMut(&[u8]) -> Result<(), Stop>) -> Result<(), Stop> {
        let hash = piece.last_sha256.as_ref().try_into().map(Digest);
        let hash = hash.map_err(|_| Error::corrupt("the head does not say where its audit ends"))?;
        self.end = Some(Link { seq: piece.last, hash });
        self.rest.extend_from_slice(&piece.lines);
        let text = std::mem::take(&mut self.rest);
        let mut lines = text.split(|byte| *byte == b'\n');
        self.rest = lines.next_back().unwrap_or_default().to_vec();
        lines.try_for_each(|line| {
            self.chain.line(line);
            if let Some(since) = self.since.filter(|since| self.chain.last().is_some_and(|last| last.seq == since.seq))
                && self.chain.last() != Some(since)
            {
                self.findings.push(format!("line {} is another than the one that was noted", since.seq));
            }
            each(line)
        })
    }
}

/// Exit code 0: all is whole; 1: something is not.
fn verdict(reading: Reading, ui: &mut Ui) -> Ending {
    let Reading { chain, since, mut findings, end, .. } = reading;
    let (lines, last, end) = (chain.lines(), chain.last(), end.unwrap_or(Link::START));
    findings.extend(chain.finish(end));
    if let Some(since) = since.filter(|since| since.seq > end.seq) {
        findings.push(format!("line {} was noted, and the audit ends with line {}", since.seq, end.seq));
    }
    let place = last.map(|last| format!("{}:{}", last.seq, last.hash)).unwrap_or_default();
    match ui.format {
        Format::Json | Format::Jsonl => {
            ui.json(&serde_json::json!({ "version": super::document::VERSION, "lines": lines, "last": place, "findings": findings }))?;
        }
        Format::Id => ui.line(&place)?,
        Format::Table => {
            findings.iter().try_for_each(|finding| ui.line(printable(finding)))?;
            match findings.len() {
                0 if lines == 0 => ui.line("the audit has no line yet")?,
                0 => {
                    ui.line(format_args!("{lines} lines, none changed, removed or moved"))?;
                    ui.line(format_args!("note this elsewhere, for --since: {place}"))?;
                }
                count => ui.line(format_args!("{lines} lines; {count} not whole"))?,
            }
        }
    }
    Ok(if findings.is_empty() { Exit::Done } else { Exit::Other })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_is_printed() {
        let place = format!("7:{}", "ab".repeat(32));
        assert_eq!(link(&place).unwrap(), Link { seq: 7, hash: Digest([0xab; 32]) });
        for bad in ["", "7", "x:ab", ":", "7:ab"] {
            assert!(link(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn lines_that_come_in_pieces_are_read_whole_and_a_place_that_was_noted_is_compared() {
        let mut text = Vec::new();
        let mut last = Link::START;
        for no in 1..=3 {
            let line = format!("{{\"seq\":{no},\"prev\":\"{}\"}}", last.hash);
            last = Link::of(no, line.as_bytes());
            text.extend_from_slice(line.as_bytes());
            text.push(b'\n');
        }
        let other = Link { seq: 2, hash: Digest([1; 32]) };
        for (since, size, findings) in [(None, 1, 0), (Some(last), 7, 0), (Some(other), 1000, 1)] {
            let mut reading = Reading { chain: Chain::new(1), since, findings: Vec::new(), end: None, rest: Vec::new() };
            let mut seen = 0;
            for piece in text.chunks(size) {
                let piece = pb::AuditLines { lines: piece.to_vec().into(), last: 3, last_sha256: last.hash.0.to_vec().into() };
                let read = reading.piece(&piece, &mut |_| {
                    seen += 1;
                    Ok(())
                });
                assert!(read.is_ok());
            }
            assert_eq!((seen, reading.findings.len(), reading.chain.last()), (3, findings, Some(last)));
            assert_eq!(reading.chain.finish(reading.end.unwrap()), Vec::<String>::new());
        }
    }
}
