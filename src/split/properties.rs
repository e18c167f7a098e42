//! What holds of every rule and every data set. A second splitter, slow and plain, must agree with the first. That the chunks give the data set
//! back, whatever form it came in, is tried where those forms are known: `archive/properties.rs`.

mod archives;
mod plain;
mod sets;

use proptest::collection::vec;
use proptest::prelude::*;

use self::plain::{plain_chunks, plain_records};
pub(crate) use self::sets::kinds;
use self::sets::{any_data, data_sets};
use super::cutter::Bounds;
use super::{Splitter, Summary};
use crate::domain::{Chunk, Cut, Error, Record, SplitRule};

type Split = (Vec<Chunk>, Result<Summary, Error>);

/// Feeds the data set in pieces that end at these offsets.
fn split_at(rule: &SplitRule, data: &[u8], offsets: &[usize], bounds: Bounds) -> Split {
    let mut splitter = Splitter::with_bounds(rule.clone(), data.len() as u64, bounds);
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
    let (chunks, summary) = split_at(&rule.parse()?, data, &[], Bounds::default());
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

fn cuts() -> impl Strategy<Value = Cut> {
    prop_oneof![
        (1..9u64).prop_map(Cut::Records),
        (1..120u64).prop_map(Cut::Bytes),
        (512..4000u64).prop_map(Cut::Bytes),
        (1..12u32).prop_map(Cut::Pieces)
    ]
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
    (prop_oneof![1..60u64, 500..3000u64], 1..20u64, 1..40usize, 1..40u64, 1..6u32).prop_map(
        |(record_bytes, quoted_bytes, line_bytes, header_bytes, chunks)| Bounds {
            record_bytes,
            quoted_bytes,
            line_bytes,
            header_bytes,
            chunks,
        },
    )
}

/// `PROPTEST_CASES=100000` tries more.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(500)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_data_set_in_order_is_cut_by_the_letter_of_the_rule((record, data, offsets) in with_offsets(data_sets(true)), cut in cuts()) {
        prop_assume!(!data.is_empty());
        let (chunks, summary) = split_at(&SplitRule { record: record.clone(), cut }, &data, &offsets, Bounds::default());
        let (ends, header) = plain_records(&record, &data).expect("the data set is in order");
        let expected = plain_chunks(cut, &ends, header);
        covers(&chunks, &summary.clone().unwrap(), data.len() as u64);
        prop_assert_eq!(summary.unwrap(), Summary { chunks: expected.len() as u32, records: ends.len() as u64, header_len: header });
        prop_assert_eq!(chunks, expected);
    }

    #[test]
    fn lines_in_any_order_are_cut_or_refused_alike_by_the_plain_splitter((record, data, offsets) in with_offsets(data_sets(false)), cut in cuts()) {
        let (chunks, summary) = split_at(&SplitRule { record: record.clone(), cut }, &data, &offsets, Bounds::default());
        match plain_records(&record, &data) {
            Some((ends, header)) => prop_assert_eq!(chunks, plain_chunks(cut, &ends, header)),
            None => prop_assert!(summary.is_err()),
        }
    }

    #[test]
    fn any_bytes_are_covered_or_refused_and_the_pieces_make_no_difference((record, data, offsets) in with_offsets(any_data()), cut in cuts()) {
        let rule = SplitRule { record, cut };
        let whole = split_at(&rule, &data, &[], Bounds::default());
        if let Ok(summary) = &whole.1 {
            covers(&whole.0, summary, data.len() as u64);
        }
        prop_assert_eq!(split_at(&rule, &data, &offsets, Bounds::default()), whole);
    }

    #[test]
    fn the_pieces_make_no_difference_to_a_limit_either(
        (record, data, offsets) in with_offsets(prop_oneof![any_data(), data_sets(true)]),
        cut in cuts(),
        bounds in small_bounds(),
    ) {
        let rule = SplitRule { record, cut };
        prop_assert_eq!(split_at(&rule, &data, &offsets, bounds), split_at(&rule, &data, &[], bounds));
    }
}

#[test]
fn a_data_set_of_many_blocks_is_cut_as_in_one() {
    let spectrum = "BEGIN IONS\nTITLE=a\n100.1 5\nEND IONS\r\n\n";
    let data = format!("COM=x\n{}", spectrum.repeat(50_000)).into_bytes();
    let rule = SplitRule { record: Record::Mgf, cut: Cut::Records(7) };
    let (chunks, summary) = split_at(&rule, &data, &[], Bounds::default());
    let (ends, header) = plain_records(&Record::Mgf, &data).unwrap();
    assert_eq!(summary.unwrap(), Summary { chunks: 7143, records: 50_000, header_len: 6 });
    assert_eq!(chunks, plain_chunks(rule.cut, &ends, header));
    let thousands: Vec<usize> = (1..data.len()).step_by(997).collect();
    assert_eq!(split_at(&rule, &data, &thousands, Bounds::default()).0, chunks);
}
