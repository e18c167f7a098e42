//! The second splitter, by the letter of the rules.

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
    };
    *ends.last_mut()? = data.len() as u64;
    Some((ends, header))
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
    let content = |line: &[u8]| {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        line.strip_suffix(b"\r").unwrap_or(line).len()
    };
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
        let sequence: usize = lines[i + 1..plus].iter().map(|line| content(line)).sum();
        let (mut quality, mut end) = (0, plus + 1);
        while let Some(line) = lines.get(end)
            && (end == plus + 1 || quality < sequence)
        {
            quality += content(line);
            end += 1;
        }
        if quality != sequence {
            return None;
        }
        ends.push(at[end]);
        i = end;
    }
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
