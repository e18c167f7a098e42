//! What holds of every rule and every data set, and a second splitter, slow and plain, that must agree with the first.

use proptest::collection::vec;
use proptest::prelude::*;

use super::cutter::Bounds;
use super::{Splitter, Summary};
use crate::domain::{Chunk, Cut, Error, Record, SplitRule};

type Split = (Vec<Chunk>, Result<Summary, Error>);

/// Feeds the data set in pieces that end at these offsets.
fn split_at(rule: SplitRule, data: &[u8], offsets: &[usize], bounds: Bounds) -> Split {
    let mut splitter = Splitter::with_bounds(rule, data.len() as u64, bounds);
    let mut chunks = Vec::new();
    let mut from = 0;
    for &to in offsets.iter().chain([&data.len()]) {
        if let Err(error) = splitter.feed(&data[from..to], &mut chunks) {
            return (chunks, Err(error));
        }
        from = to;
    }
    let summary = splitter.finish(&mut chunks);
    (chunks, summary)
}

/// The chunks of a data set that is in order.
pub(super) fn split(rule: &str, data: &[u8]) -> Result<(Vec<Chunk>, Summary), Error> {
    let (chunks, summary) = split_at(rule.parse()?, data, &[], Bounds::default());
    summary.map(|summary| (chunks, summary))
}

/// The bytes of each chunk, without header.
pub(super) fn pieces<'a>(rule: &str, data: &'a [u8]) -> Vec<&'a [u8]> {
    let (chunks, _) = split(rule, data).unwrap();
    chunks.iter().map(|chunk| &data[chunk.offset as usize..(chunk.offset + chunk.len) as usize]).collect()
}

/// Offset and length of each chunk.
pub(super) fn spans(rule: &str, data: &[u8]) -> Vec<(u64, u64)> {
    split(rule, data).unwrap().0.iter().map(|chunk| (chunk.offset, chunk.len)).collect()
}

/// What is said of a data set that is refused.
pub(super) fn refusal(rule: &str, data: &[u8]) -> String {
    split(rule, data).unwrap_err().message
}

/// The second splitter: where the records end, and how long the header is; none for a data set that is not in order.
fn plain_records(record: Record, data: &[u8]) -> Option<(Vec<u64>, u64)> {
    let (mut ends, mut header, mut at, mut open, mut parameter) = (Vec::new(), 0, 0, false, false);
    for line in data.split_inclusive(|&byte| byte == b'\n') {
        let (start, text) = (at, line.trim_ascii_end());
        at += line.len() as u64;
        match record {
            Record::Line => ends.push(at),
            Record::Fasta if line[0] == b'>' => {
                ends.extend(open.then_some(start));
                open = true;
            }
            Record::Fasta if !open && line[0] != b';' && !text.is_empty() => return None,
            Record::Fasta => {}
            Record::Mgf if text == b"BEGIN IONS" => {
                if open {
                    return None;
                }
                header = if ends.is_empty() && parameter { start } else { header };
                open = true;
            }
            Record::Mgf if text == b"END IONS" => {
                if !open {
                    return None;
                }
                ends.push(at);
                open = false;
            }
            Record::Mgf => parameter |= !open && text.contains(&b'=') && !b"#;!/".contains(&line[0]),
        }
    }
    match record {
        Record::Line => {}
        Record::Fasta => ends.extend(open.then_some(at)),
        Record::Mgf if open => return None,
        Record::Mgf => {}
    }
    *ends.last_mut()? = at;
    Some((ends, header))
}

/// The chunks by the letter of the rules.
fn plain_chunks(cut: Cut, ends: &[u64], header: u64) -> Vec<Chunk> {
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

fn cuts() -> impl Strategy<Value = Cut> {
    prop_oneof![(1..9u64).prop_map(Cut::Records), (1..120u64).prop_map(Cut::Bytes), (1..12u32).prop_map(Cut::Pieces)]
}

/// Data sets of all formats, with either line end, the last one at times missing; `in_order`: not shuffled, hence well formed.
fn data_sets(in_order: bool) -> impl Strategy<Value = (Record, Vec<u8>)> {
    let line_end = prop_oneof![Just("\n"), Just("\r\n")];
    let lines = vec(prop_oneof!["[a-z>; ]{0,9}", Just(String::new())], 1..20).prop_map(|lines| (Record::Line, lines));
    let comment =
        || prop_oneof![Just("# a=b"), Just("; END IONS"), Just(""), Just("  "), Just("!c"), Just("/d=e")].prop_map(str::to_string);
    let fasta_margin = || vec(prop_oneof![Just("; > c"), Just(""), Just(" \t")].prop_map(str::to_string), 0..3);
    let fasta_record = (">[a-z> ]{0,5}", vec("[A-Z>]{0,9}".prop_map(|text| format!("A{text}")), 0..4), fasta_margin())
        .prop_map(|(title, body, blank)| [vec![title], body, blank].concat());
    let fasta =
        (fasta_margin(), vec(fasta_record, 1..12)).prop_map(|(margin, records)| (Record::Fasta, [margin, records.concat()].concat()));
    let parameter = || prop_oneof![Just("COM=x = y"), Just("CHARGE = 2+"), Just("_P[1]=")].prop_map(str::to_string);
    let between = || vec(prop_oneof![comment(), parameter()], 0..4);
    let begin = prop_oneof![Just("BEGIN IONS"), Just("BEGIN IONS  ")].prop_map(str::to_string);
    let end = prop_oneof![Just("END IONS"), Just("END IONS\t ")].prop_map(str::to_string);
    let body = vec(
        prop_oneof![Just("TITLE=END IONS"), Just("1 2"), Just("END IONS 3"), Just(" BEGIN IONS"), Just("")].prop_map(str::to_string),
        0..5,
    );
    let spectrum = (between(), begin, body, end).prop_map(|(between, begin, body, end)| [between, vec![begin], body, vec![end]].concat());
    let mgf = (vec(spectrum, 1..12), between()).prop_map(|(spectra, tail)| (Record::Mgf, [spectra.concat(), tail].concat()));
    let shuffled = |(record, lines): (Record, Vec<String>)| (Just(record), Just(lines).prop_shuffle());
    let sets = prop_oneof![lines, fasta, mgf];
    let sets = if in_order { sets.boxed() } else { sets.prop_flat_map(shuffled).boxed() };
    (sets, line_end, any::<bool>()).prop_map(|((record, lines), line_end, last)| {
        let text = lines.join(line_end) + if last { line_end } else { "" };
        (record, text.into_bytes())
    })
}

/// Offsets at which to cut the feed: none, some, or every one.
fn offsets(len: usize) -> impl Strategy<Value = Vec<usize>> {
    let some = vec(0..=len, 0..6).prop_map(|mut offsets| {
        offsets.sort_unstable();
        offsets
    });
    prop_oneof![3 => some, 1 => Just((0..=len).collect())]
}

fn with_offsets(set: impl Strategy<Value = (Record, Vec<u8>)>) -> impl Strategy<Value = (Record, Vec<u8>, Vec<usize>)> {
    set.prop_flat_map(|(record, data)| (Just(record), offsets(data.len()), Just(data)))
        .prop_map(|(record, offsets, data)| (record, data, offsets))
}

/// Bytes that mean something to one of the formats, and others, too.
fn any_data() -> impl Strategy<Value = (Record, Vec<u8>)> {
    let record = prop_oneof![Just(Record::Line), Just(Record::Fasta), Just(Record::Mgf)];
    let words: [&[u8]; 12] = [b"BEGIN IONS", b"END IONS", b" IONS", b"BEGIN", b"END", b"\n", b"\n", b"\r\n", b">", b";", b"A=", b" "];
    let word = prop_oneof![8 => prop::sample::select(words.to_vec()).prop_map(<[u8]>::to_vec), 1 => vec(any::<u8>(), 0..80)];
    (record, vec(word, 0..60).prop_map(|words| words.concat()))
}

fn covers(chunks: &[Chunk], summary: &Summary, total: u64) {
    let (mut offset, mut record) = (0, 0);
    for (i, chunk) in chunks.iter().enumerate() {
        assert_eq!((chunk.offset, chunk.first_record), (offset, record), "chunk {i}");
        assert!(chunk.len > 0 && chunk.records > 0, "chunk {i} is empty");
        assert_eq!(chunk.header, if i == 0 { 0 } else { summary.header_len });
        assert!(i == 0 || chunk.offset >= chunk.header);
        offset += chunk.len;
        record += chunk.records;
    }
    assert_eq!((offset, record, chunks.len()), (total, summary.records, summary.chunks as usize));
}

/// Small enough that random data sets meet them.
fn small_bounds() -> impl Strategy<Value = Bounds> {
    (1..60u64, 1..40u64, 1..6u32).prop_map(|(record_bytes, header_bytes, chunks)| Bounds { record_bytes, header_bytes, chunks })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_data_set_in_order_is_cut_by_the_letter_of_the_rule((record, data, offsets) in with_offsets(data_sets(true)), cut in cuts()) {
        prop_assume!(!data.is_empty());
        let (chunks, summary) = split_at(SplitRule { record, cut }, &data, &offsets, Bounds::default());
        let (ends, header) = plain_records(record, &data).expect("the data set is in order");
        let expected = plain_chunks(cut, &ends, header);
        covers(&chunks, &summary.clone().unwrap(), data.len() as u64);
        prop_assert_eq!(summary.unwrap(), Summary { chunks: expected.len() as u32, records: ends.len() as u64, header_len: header });
        prop_assert_eq!(chunks, expected);
    }

    #[test]
    fn lines_in_any_order_are_cut_or_refused_alike_by_the_plain_splitter((record, data, offsets) in with_offsets(data_sets(false)), cut in cuts()) {
        let (chunks, summary) = split_at(SplitRule { record, cut }, &data, &offsets, Bounds::default());
        match plain_records(record, &data) {
            Some((ends, header)) => prop_assert_eq!(chunks, plain_chunks(cut, &ends, header)),
            None => prop_assert!(summary.is_err()),
        }
    }

    #[test]
    fn any_bytes_are_covered_or_refused_and_the_pieces_make_no_difference((record, data, offsets) in with_offsets(any_data()), cut in cuts()) {
        let rule = SplitRule { record, cut };
        let whole = split_at(rule, &data, &[], Bounds::default());
        if let Ok(summary) = &whole.1 {
            covers(&whole.0, summary, data.len() as u64);
        }
        prop_assert_eq!(split_at(rule, &data, &offsets, Bounds::default()), whole);
    }

    #[test]
    fn the_pieces_make_no_difference_to_a_limit_either(
        (record, data, offsets) in with_offsets(prop_oneof![any_data(), data_sets(true)]),
        cut in cuts(),
        bounds in small_bounds(),
    ) {
        let rule = SplitRule { record, cut };
        prop_assert_eq!(split_at(rule, &data, &offsets, bounds), split_at(rule, &data, &[], bounds));
    }
}

#[test]
fn a_data_set_of_many_blocks_is_cut_as_in_one() {
    let spectrum = "BEGIN IONS\nTITLE=a\n100.1 5\nEND IONS\r\n\n";
    let data = format!("COM=x\n{}", spectrum.repeat(50_000)).into_bytes();
    let rule = SplitRule { record: Record::Mgf, cut: Cut::Records(7) };
    let (chunks, summary) = split_at(rule, &data, &[], Bounds::default());
    let (ends, header) = plain_records(Record::Mgf, &data).unwrap();
    assert_eq!(summary.unwrap(), Summary { chunks: 7143, records: 50_000, header_len: 6 });
    assert_eq!(chunks, plain_chunks(rule.cut, &ends, header));
    let thousands: Vec<usize> = (1..data.len()).step_by(997).collect();
    assert_eq!(split_at(rule, &data, &thousands, Bounds::default()).0, chunks);
}
