//! The promise of splitting, in one place: for every rule and every form that a data set may come in, the chunks in order give it back byte for
//! byte, but for headers that are repeated, and no record is cut, lost or doubled.

use std::io::Write;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::domain::{Chunk, Cut, Packing, Record, SplitRule};
use crate::split::properties::kinds;
use crate::split::{Splitter, Summary};
use crate::unpack::Unpacker;

/// Tries of each rule.
const CASES: u32 = 40;

/// What a data set comes as.
#[derive(Clone, Copy, Debug)]
enum Form {
    Plain,
    Packed(Packing),
    /// In so many parts, each compressed by itself.
    Members(Packing, usize),
}

fn packed(packing: Packing, data: &[u8]) -> Vec<u8> {
    match packing {
        Packing::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
        Packing::Zstd => zstd::encode_all(data, 1).unwrap(),
        Packing::Bzip2 => {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
    }
}

impl Form {
    fn of(self, data: &[u8]) -> Vec<u8> {
        match self {
            Self::Plain => data.to_vec(),
            Self::Packed(packing) => packed(packing, data),
            Self::Members(packing, parts) => data.chunks(data.len().div_ceil(parts)).flat_map(|part| packed(packing, part)).collect(),
        }
    }
}

fn forms() -> impl Strategy<Value = Form> {
    let packings = || prop::sample::select(vec![Packing::Gzip, Packing::Zstd, Packing::Bzip2]);
    prop_oneof![
        1 => Just(Form::Plain),
        2 => packings().prop_map(Form::Packed),
        1 => (packings(), 2..5usize).prop_map(|(packing, parts)| Form::Members(packing, parts)),
    ]
}

/// Unpacks, stores, and splits what came, in pieces of these lengths, as the head does.
fn taken_in(came: &[u8], rule: &SplitRule, pieces: &[usize]) -> (Vec<u8>, Vec<Chunk>, Summary) {
    let (mut plain, mut unpacker, mut rest) = (Vec::new(), Unpacker::default(), came);
    let mut sink = |bytes: &[u8]| {
        plain.extend_from_slice(bytes);
        Ok(())
    };
    for piece in pieces.iter().cycle() {
        let (now, later) = rest.split_at(rest.len().min(*piece));
        unpacker.feed(now, &mut sink).unwrap();
        rest = later;
        if rest.is_empty() {
            break;
        }
    }
    unpacker.finish(&mut sink).unwrap();
    let (chunks, summary) = split(&plain, rule, pieces);
    (plain, chunks, summary)
}

fn split(data: &[u8], rule: &SplitRule, pieces: &[usize]) -> (Vec<Chunk>, Summary) {
    let (mut splitter, mut chunks, mut rest) = (Splitter::new(rule.clone(), data.len() as u64), Vec::new(), data);
    for piece in pieces.iter().cycle() {
        let (now, later) = rest.split_at(rest.len().min(*piece));
        splitter.feed(now, &mut chunks).unwrap();
        rest = later;
        if rest.is_empty() {
            break;
        }
    }
    let summary = splitter.finish(&mut chunks).unwrap();
    (chunks, summary)
}

fn holds(rule: &SplitRule, data: &[u8], form: Form, pieces: &[usize]) {
    let (plain, chunks, summary) = taken_in(&form.of(data), rule, pieces);
    assert!(plain == data, "it is not stored as it was");
    assert_eq!((chunks.clone(), summary), split(data, rule, &[usize::MAX]), "the form or the pieces make a difference");
    let header = &data[..summary.header_len as usize];
    let (mut whole, mut records) = (Vec::new(), 0);
    for (no, chunk) in chunks.iter().enumerate() {
        assert_eq!((chunk.offset, chunk.first_record), (whole.len() as u64, records), "chunk {no}");
        let own = &data[chunk.offset as usize..][..chunk.len as usize];
        whole.extend_from_slice(own);
        records += chunk.records;
        // What a task gets is in order by itself, and has as many records. What follows the last `end=` has none.
        if !matches!(rule.record, Record::End(_)) || no + 1 < chunks.len() {
            let got = [&header[..chunk.header as usize], own].concat();
            let alone = split(&got, &SplitRule { record: rule.record.clone(), cut: Cut::Records(1) }, &[usize::MAX]).1;
            assert_eq!(alone.records, chunk.records, "chunk {no}");
        }
    }
    assert!(whole == data && records == summary.records);
}

#[test]
fn every_rule_gives_back_every_data_set_in_every_form() {
    let cuts: [BoxedStrategy<Cut>; 3] = [
        (1..9u64).prop_map(Cut::Records).boxed(),
        prop_oneof![1..120u64, 500..4000u64].prop_map(Cut::Bytes).boxed(),
        (1..12u32).prop_map(Cut::Pieces).boxed(),
    ];
    for set in kinds() {
        for cut in &cuts {
            let pieces = prop_oneof![vec(1..40usize, 1..5), Just(vec![usize::MAX])];
            let mut runner = TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() });
            let tried = runner.run(&(set.clone(), cut.clone(), forms(), pieces), |((record, data), cut, form, pieces)| {
                prop_assume!(!data.is_empty() && Packing::of(&data).is_none());
                holds(&SplitRule { record, cut }, &data, form, &pieces);
                Ok(())
            });
            tried.unwrap_or_else(|error| panic!("{error}"));
        }
    }
}
