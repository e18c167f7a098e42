//! Random data sets.

use proptest::collection::vec;
use proptest::prelude::*;

use super::archives::{archives, damaged_archives};
use crate::domain::{Pattern, Record};

/// A kind of record and lines that hold such records, in order; a line may hold a line end.
type Lines = (Record, Vec<String>);

fn text(texts: &[&'static str]) -> impl Strategy<Value = String> + use<> {
    prop::sample::select(texts.to_vec()).prop_map(str::to_string)
}

fn blank(max: usize) -> impl Strategy<Value = Vec<String>> {
    vec(text(&["", "", " \t"]), 0..max)
}

fn lines() -> impl Strategy<Value = Lines> {
    vec(prop_oneof!["[a-z>; ]{0,9}", Just(String::new())], 1..20).prop_map(|lines| (Record::Line, lines))
}

fn fasta() -> impl Strategy<Value = Lines> {
    let margin = || vec(text(&["; > c", "", " \t"]), 0..3);
    let record = (">[a-z> ]{0,5}", vec("[A-Z>]{0,9}".prop_map(|text| format!("A{text}")), 0..4), margin())
        .prop_map(|(title, body, blank)| [vec![title], body, blank].concat());
    (margin(), vec(record, 1..12)).prop_map(|(margin, records)| (Record::Fasta, [margin, records.concat()].concat()))
}

fn mgf() -> impl Strategy<Value = Lines> {
    let between = || vec(text(&["# a=b", "; END IONS", "", "  ", "!c", "/d=e", "COM=x = y", "CHARGE = 2+", "_P[1]="]), 0..4);
    let body = vec(text(&["TITLE=END IONS", "1 2", "END IONS 3", " BEGIN IONS", ""]), 0..5);
    let (begin, end) = (text(&["BEGIN IONS", "BEGIN IONS  "]), text(&["END IONS", "END IONS\t "]));
    let spectrum = (between(), begin, body, end).prop_map(|(between, begin, body, end)| [between, vec![begin], body, vec![end]].concat());
    (vec(spectrum, 1..12), between()).prop_map(|(spectra, tail)| (Record::Mgf, [spectra.concat(), tail].concat()))
}

fn fastq() -> impl Strategy<Value = Lines> {
    let parts =
        ("@[a-z@+ ]{0,5}", vec("[ACGTN]{0,6}", 0..4), "[+][a-z@]{0,3}", vec(prop::sample::select(b"@+I~ ".to_vec()), 24), 1..8usize);
    let record = (blank(3), parts).prop_map(|(blank, (title, sequence, plus, quality, width))| {
        let len = sequence.concat().len();
        let text = |line: &[u8]| String::from_utf8_lossy(line).into_owned();
        let quality = if len == 0 { vec![String::new()] } else { quality[..len].chunks(width).map(text).collect() };
        [blank, vec![title], sequence, vec![plus], quality].concat()
    });
    (vec(record, 1..9), blank(3)).prop_map(|(records, tail)| (Record::Fastq, [records.concat(), tail].concat()))
}

fn jsonl() -> impl Strategy<Value = Lines> {
    vec(text(&["{\"a\": 1}", "[1, 2]", "null", "not JSON", "", " \t"]), 0..12)
        .prop_map(|lines| (Record::Jsonl, [lines, vec!["0".into()]].concat()))
}

fn csv() -> impl Strategy<Value = Lines> {
    let field = || {
        let quoted = vec(text(&["\"\"", "\n", "\r\n", ",", ";", "\t", "a", " "]), 0..6).prop_map(|parts| format!("\"{}\"", parts.concat()));
        prop_oneof![2 => "[a-z][a-z\" ]{0,4}", 1 => Just(String::new()), 2 => quoted, 1 => Just("\"a\" b\"".to_owned())]
    };
    let row = move || (vec(field(), 2..5), blank_rows());
    let rows = move |separator: String| {
        let joined = move |(fields, blank): (Vec<String>, Vec<String>)| [vec![fields.join(&separator)], blank].concat();
        (blank_rows(), vec(row().prop_map(joined), 2..9)).prop_map(|(blank, rows)| (Record::Csv, [blank, rows.concat()].concat()))
    };
    text(&[",", ";", "\t"]).prop_flat_map(rows)
}

/// Rows, and a header, with marks of several kinds in and between the fields.
fn mixed_csv() -> impl Strategy<Value = Lines> {
    let part = prop_oneof![4 => text(&[",", ";", "\t"]), 3 => "[a-z ]{1,2}", 2 => text(&["\"", "\"a,\"", "\"\n;\""])];
    vec(vec(part, 1..7).prop_map(|parts| parts.concat()), 2..9).prop_map(|rows| (Record::Csv, rows))
}

fn patterns() -> impl Strategy<Value = Record> {
    let pattern = prop::sample::select(vec!["^>", "END$", "[0-9]+ ?$", "^(BEGIN|@)", "a.*b"]).prop_map(|text| Pattern::new(text).unwrap());
    (pattern, any::<bool>()).prop_map(|(pattern, start)| if start { Record::Start(pattern) } else { Record::End(pattern) })
}

fn by_pattern() -> impl Strategy<Value = Lines> {
    let line = text(&["> x", ">", "BEGIN", "THE END", "END ", "12", "3 ", "@", "abab", "b a", "", " ", "x"]);
    // The last one matches all.
    (patterns(), vec(line, 0..20)).prop_map(|(record, lines)| (record, [lines, vec![">END".into(), "@ab0".into()]].concat()))
}

fn blank_rows() -> impl Strategy<Value = Vec<String>> {
    vec(text(&["", "", " "]), 0..2)
}

/// Data sets of one format each, in order, of all formats: with either line end, the last one at times missing.
pub(crate) fn kinds() -> Vec<BoxedStrategy<(Record, Vec<u8>)>> {
    let texts = [lines().boxed(), fasta().boxed(), mgf().boxed(), fastq().boxed(), jsonl().boxed(), csv().boxed(), by_pattern().boxed()];
    texts.into_iter().map(|set| as_bytes(set).boxed()).chain([archives(true).boxed()]).collect()
}

/// Data sets of all formats; `in_order`: not shuffled, hence well formed.
pub(super) fn data_sets(in_order: bool) -> impl Strategy<Value = (Record, Vec<u8>)> {
    let shuffled = |(record, lines): Lines| (Just(record), Just(lines).prop_shuffle());
    let sets = prop_oneof![lines(), fasta(), mgf(), fastq(), jsonl(), csv(), by_pattern()];
    let sets = if in_order { sets.boxed() } else { prop_oneof![7 => sets.prop_flat_map(shuffled), 1 => mixed_csv()].boxed() };
    prop_oneof![7 => as_bytes(sets), 1 => archives(in_order)]
}

fn as_bytes(sets: impl Strategy<Value = Lines>) -> impl Strategy<Value = (Record, Vec<u8>)> {
    (sets, text(&["\n", "\r\n"]), any::<bool>()).prop_map(|((record, lines), line_end, last)| {
        let text = lines.join(&line_end) + if last { &line_end } else { "" };
        (record, text.into_bytes())
    })
}

/// Every kind of record.
pub(super) fn records() -> impl Strategy<Value = Record> {
    let plain =
        prop::sample::select(vec![Record::Line, Record::Fasta, Record::Mgf, Record::Fastq, Record::Jsonl, Record::Csv, Record::Files]);
    prop_oneof![3 => plain, 1 => patterns()]
}

/// Bytes that mean something to one of the formats, and others, too.
pub(super) fn any_data() -> impl Strategy<Value = (Record, Vec<u8>)> {
    const WORDS: [&[u8]; 23] = [
        b"BEGIN IONS",
        b"END IONS",
        b" IONS",
        b"BEGIN",
        b"END",
        b"\n",
        b"\n",
        b"\n",
        b"\r\n",
        b">",
        b";",
        b"A=",
        b" ",
        b"@",
        b"+",
        b"II",
        b"AC",
        b"\"",
        b"\"",
        b"\"\"",
        b",",
        b"\t",
        b"\xef\xbb\xbf",
    ];
    let word = prop_oneof![8 => prop::sample::select(WORDS.to_vec()).prop_map(<[u8]>::to_vec), 1 => vec(any::<u8>(), 0..80)];
    let words = (records(), vec(word, 0..60).prop_map(|words| words.concat()));
    prop_oneof![7 => words, 1 => damaged_archives()]
}
