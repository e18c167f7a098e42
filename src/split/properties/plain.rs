//! The second splitter, by the letter of the rules.

use regex::bytes::Regex;

use super::archives::files;
use crate::domain::{Chunk, Cut, Record};

/// Where the records end, and how long the header is.
type Ends = (Vec<u64>, u64);

/// The ends of the records, the last one at the data set's; none for a data set that is not in order.
pub(super) fn plain_records(record: &Record, data: &[u8]) -> Option<Ends> {
    let lines: Vec<&[u8]> = data.split_inclusive(|&byte| byte == b'\n').collect();
    let (mut ends, header) = match record {
        Record::Line => (offsets(&lines)[1..].to_vec(), 0),
        Record::Fasta => fasta(&lines)?,
        Record::Mgf => mgf(&lines)?,
        Record::Fastq => (fastq(&lines)?, 0),
        Record::Jsonl => (jsonl(&lines), 0),
        Record::Csv => csv(data)?,
        Record::Start(pattern) => starts(&lines, &pattern.compile().unwrap())?,
        Record::Files => (files(data)?, 0),
        Record::End(pattern) => (ends(&lines, &pattern.compile().unwrap())?, 0),
    };
    *ends.last_mut()? = data.len() as u64;
    Some((ends, header))
}

/// A line without its end.
fn content(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Where the lines begin, and where the last one ends.
fn offsets(lines: &[&[u8]]) -> Vec<u64> {
    let mut at = 0;
    let starts = lines.iter().map(|line| {
        at += line.len() as u64;
        at
    });
    std::iter::once(0).chain(starts).collect()
}

fn is_blank(line: &[u8]) -> bool {
    line.trim_ascii().is_empty()
}

fn fasta(lines: &[&[u8]]) -> Option<Ends> {
    let at = offsets(lines);
    let starts: Vec<usize> = (0..lines.len()).filter(|&i| lines[i][0] == b'>').collect();
    let margin = lines.iter().take(*starts.first()?);
    let in_order = margin.into_iter().all(|line| line[0] == b';' || is_blank(line));
    let ends = starts.iter().skip(1).map(|&i| at[i]).chain(at.last().copied());
    in_order.then(|| (ends.collect(), 0))
}

fn mgf(lines: &[&[u8]]) -> Option<Ends> {
    let (mut ends, mut header, mut at, mut open, mut parameter) = (Vec::new(), 0, 0, false, false);
    for line in lines {
        let (start, text) = (at, line.trim_ascii_end());
        at += line.len() as u64;
        if text == b"BEGIN IONS" {
            if open {
                return None;
            }
            header = if ends.is_empty() && parameter { start } else { header };
            open = true;
        } else if text == b"END IONS" {
            if !open {
                return None;
            }
            ends.push(at);
            open = false;
        } else {
            parameter |= !open && text.contains(&b'=') && !b"#;!/".contains(&line[0]);
        }
    }
    (!open).then_some((ends, header))
}

fn fastq(lines: &[&[u8]]) -> Option<Vec<u64>> {
    let at = offsets(lines);
    let (mut ends, mut i) = (Vec::new(), 0);
    loop {
        while lines.get(i).is_some_and(|line| is_blank(line)) {
            i += 1;
        }
        let Some(title) = lines.get(i) else { return Some(ends) };
        let plus = i + lines[i..].iter().position(|line| line[0] == b'+')?;
        if title[0] != b'@' || lines[i + 1..plus].iter().any(|line| line[0] == b'@') {
            return None;
        }
        let sequence: usize = lines[i + 1..plus].iter().map(|line| content(line).len()).sum();
        let (mut quality, mut end) = (0, plus + 1);
        while let Some(line) = lines.get(end)
            && (end == plus + 1 || quality < sequence)
        {
            quality += content(line).len();
            end += 1;
        }
        // The quality may be the empty line behind the last line end, but not less.
        if quality != sequence || !lines[plus].ends_with(b"\n") {
            return None;
        }
        ends.push(at[end]);
        i = end;
    }
}

fn jsonl(lines: &[&[u8]]) -> Vec<u64> {
    lines.iter().zip(&offsets(lines)[1..]).filter(|(line, _)| !is_blank(line)).map(|(_, end)| *end).collect()
}

fn csv(data: &[u8]) -> Option<Ends> {
    let (header, marks) = header_row(data)?;
    let separator = separator(&data[header..], &marks);
    let (mut ends, mut from) = (Vec::new(), header);
    while from < data.len() {
        let row = &data[from..];
        let (len, ..) = row_len(row, &[separator], false, false)?;
        from += len;
        ends.extend((!is_blank_row(&row[..len])).then_some(from as u64));
    }
    Some((ends, header as u64))
}

/// How long the header is, with the blank lines before it, and the separators in it.
fn header_row(data: &[u8]) -> Option<(usize, Vec<u8>)> {
    let mut from = 0;
    loop {
        let row = data.get(from..).filter(|row| !row.is_empty())?;
        let has_mark = from == 0 && row.starts_with(b"\xef\xbb\xbf");
        let (len, marks, _) = row_len(row, b",;\t", has_mark, false)?;
        from += len;
        if !is_blank_row(&row[..len]) {
            return Some((from, marks));
        }
    }
}

/// What separates, by the header's marks and the rows below it. One that is nowhere harms nothing: NUL.
fn separator(mut rows: &[u8], header: &[u8]) -> u8 {
    let count = |marks: &[u8], mark: u8| marks.iter().filter(|byte| **byte == mark).count();
    let marks: Vec<u8> = b",;\t".iter().copied().filter(|mark| header.contains(mark)).collect();
    let (mut seen, mut quoted): (Vec<Vec<u8>>, _) = (Vec::new(), None);
    while marks.len() > 1 && !rows.is_empty() && seen.len() < 100 {
        let Some((len, in_row, stopped)) = row_len(rows, &marks, false, true) else { break };
        quoted = stopped;
        if stopped.is_some() {
            break;
        }
        if !is_blank_row(&rows[..len]) {
            seen.push(in_row);
        }
        rows = &rows[len..];
    }
    let agreeing = |mark| seen.iter().filter(|row| count(row, mark) == count(header, mark)).count();
    // The last of equal ones, so the comma stands last.
    marks.into_iter().rev().max_by_key(|mark| (agreeing(*mark), Some(*mark) == quoted, count(header, *mark))).unwrap_or(0)
}

/// How long the first row is, with its line end, and the separators in it, byte by byte; none if a quote is not closed. `stops`: at the first
/// quote behind a separator, which is given then.
fn row_len(row: &[u8], separators: &[u8], has_mark: bool, stops: bool) -> Option<(usize, Vec<u8>, Option<u8>)> {
    let (mut found, mut i) = (Vec::new(), if has_mark { 3 } else { 0 });
    let mut at_field_start = true;
    while i < row.len() {
        match row[i] {
            b'"' if at_field_start && stops && i > 0 => return Some((i, found, Some(row[i - 1]))),
            b'"' if at_field_start => {
                let mut end = i + 1;
                while *row.get(end)? != b'"' || row.get(end + 1) == Some(&b'"') {
                    end += if row[end] == b'"' { 2 } else { 1 };
                }
                i = end;
            }
            b'\n' => return Some((i + 1, found, None)),
            byte if separators.contains(&byte) => found.push(byte),
            _ => {}
        }
        at_field_start = separators.contains(&row[i]);
        i += 1;
    }
    Some((i, found, None))
}

/// Tabs are no blanks where they separate.
fn is_blank_row(row: &[u8]) -> bool {
    row.iter().all(|byte| b" \r\n".contains(byte))
}

fn starts(lines: &[&[u8]], regex: &Regex) -> Option<Ends> {
    let at = offsets(lines);
    let starts: Vec<usize> = (0..lines.len()).filter(|&i| regex.is_match(content(lines[i]))).collect();
    let first = *starts.first()?;
    let header = if lines[..first].iter().all(|line| is_blank(line)) { 0 } else { at[first] };
    Some((starts.iter().skip(1).map(|&i| at[i]).chain(at.last().copied()).collect(), header))
}

fn ends(lines: &[&[u8]], regex: &Regex) -> Option<Vec<u64>> {
    let at = offsets(lines);
    let matching: Vec<usize> = (0..lines.len()).filter(|&i| regex.is_match(content(lines[i]))).collect();
    let rest = &lines[matching.last()? + 1..];
    let last = rest.iter().any(|line| !is_blank(line)).then(|| at[lines.len()]);
    Some(matching.iter().map(|&i| at[i + 1]).chain(last).collect())
}

/// The chunks by the letter of the rules.
pub(super) fn plain_chunks(cut: Cut, ends: &[u64], header: u64) -> Vec<Chunk> {
    let total = *ends.last().unwrap();
    let mut chunks: Vec<Chunk> = Vec::new();
    let (mut start, mut first) = (0, 0);
    for (i, &end) in ends.iter().enumerate() {
        let records = i as u64 + 1 - first;
        let full = match cut {
            Cut::Records(n) => records == n,
            Cut::Bytes(n) => end - start >= n,
            Cut::Pieces(n) => (1..=u64::from(n)).any(|i| (start * u64::from(n) < total * i) && (end * u64::from(n) >= total * i)),
        };
        if full || end == total {
            let header = if first == 0 { 0 } else { header };
            chunks.push(Chunk { offset: start, len: end - start, header, first_record: first, records });
            (start, first) = (end, first + records);
        }
    }
    chunks
}
