//! A second reader of Prometheus' text format, stricter than Prometheus: what it does not like is a mistake of ours.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use millpond::web::exposition::{Exposition, Kind};

/// Labels of a sample, by name.
pub type Labels = BTreeMap<String, String>;

/// A figure.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figure {
    pub kind: String,
    pub help: String,
    /// By the rest of the name (`_bucket`), and labels.
    pub samples: Vec<(String, Labels, f64)>,
}

/// A page that was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page(pub BTreeMap<String, Figure>);

impl Page {
    /// Reads a page.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut page = Self::default();
        let mut open: Option<String> = None;
        if !text.is_empty() && !text.ends_with('\n') {
            return Err("the last line has no end".into());
        }
        for line in text.lines() {
            let read = if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, help) = help.split_once(' ').ok_or("a help without a text")?;
                let figure = Figure { help: unescaped(help, false)?, ..Figure::default() };
                open = Some(name.to_owned());
                if !is_name(name, true) || page.0.insert(name.to_owned(), figure).is_some() { Err("another one".into()) } else { Ok(()) }
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').ok_or("a type without one")?;
                let is_ours = open.as_deref() == Some(name) && ["counter", "gauge", "histogram"].contains(&kind);
                match page.0.get_mut(name).filter(|figure| is_ours && figure.kind.is_empty()) {
                    Some(figure) => {
                        figure.kind = kind.to_owned();
                        Ok(())
                    }
                    None => Err("a type in the wrong place".into()),
                }
            } else {
                open.as_ref().ok_or("a sample before any figure".to_owned()).and_then(|open| page.sample(open, line))
            };
            read.map_err(|error: String| format!("{error}: {line}"))?;
        }
        page.0.iter().try_for_each(|(name, figure)| figure.check().map_err(|error| format!("{name}: {error}")))?;
        Ok(page)
    }

    fn sample(&mut self, open: &str, line: &str) -> Result<(), String> {
        let figure = self.0.get_mut(open).ok_or("no figure")?;
        let end = line.find(['{', ' ']).ok_or("no value")?;
        let (name, mut rest) = line.split_at(end);
        let suffix = name.strip_prefix(open).ok_or("a sample of another figure")?;
        let mut labels = Labels::new();
        if let Some(inside) = rest.strip_prefix('{') {
            rest = inside;
            while !rest.starts_with('}') {
                let (label, value) = rest.split_once("=\"").ok_or("a label without a value")?;
                let end = end_of_quoted(value).ok_or("a value without an end")?;
                if !is_name(label, false) || labels.insert(label.to_owned(), unescaped(&value[..end], true)?).is_some() {
                    return Err(format!("label `{label}`"));
                }
                rest = &value[end + 1..];
                rest = rest.strip_prefix(',').filter(|rest| !rest.starts_with('}')).unwrap_or(rest);
            }
            rest = &rest[1..];
        }
        let text = rest.strip_prefix(' ').ok_or("no blank before the value")?;
        figure.samples.push((suffix.to_owned(), labels, value(text).ok_or("no number")?));
        Ok(())
    }

    /// A sample by its whole name and its labels.
    #[track_caller]
    pub fn get(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let labels: Labels = labels.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let of_name = self.0.iter().filter_map(|(figure, of)| Some((name.strip_prefix(figure.as_str())?, of)));
        let found = of_name.flat_map(|(suffix, of)| of.samples.iter().filter(move |sample| sample.0 == suffix));
        found.clone().find(|sample| sample.1 == labels).unwrap_or_else(|| panic!("{name}{labels:?}")).2
    }
}

impl Figure {
    fn check(&self) -> Result<(), String> {
        let mut seen = BTreeSet::new();
        if let Some(twice) = self.samples.iter().find(|(suffix, labels, _)| !seen.insert((suffix, labels))) {
            return Err(format!("twice: {twice:?}"));
        }
        if self.samples.is_empty() || self.help.is_empty() {
            return Err("nothing is said".into());
        }
        match self.kind.as_str() {
            "histogram" => self.check_histogram(),
            "counter" if self.samples.iter().any(|(_, _, value)| value.is_nan() || *value < 0.0) => Err("it counts down".into()),
            "counter" | "gauge" if self.samples.iter().all(|(suffix, ..)| suffix.is_empty()) => Ok(()),
            kind => Err(format!("not a {kind}")),
        }
    }

    /// Buckets ascend, the last has no bound, and holds as many as there are.
    fn check_histogram(&self) -> Result<(), String> {
        let of = |suffix: &str| self.samples.iter().filter(|sample| sample.0 == suffix).collect::<Vec<_>>();
        let (buckets, sums, counts) = (of("_bucket"), of("_sum"), of("_count"));
        let bounds: Option<Vec<(f64, f64)>> = buckets.iter().map(|(_, labels, count)| Some((value(labels.get("le")?)?, *count))).collect();
        let bounds = bounds.filter(|bounds| bounds.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1)).ok_or("its buckets do not ascend")?;
        let is_whole = bounds.last().is_some_and(|last| last.0 == f64::INFINITY && counts.len() == 1 && last.1 == counts[0].2);
        let is_all = buckets.len() + 2 == self.samples.len() && sums.len() == 1;
        if is_whole && is_all { Ok(()) } else { Err(format!("not a histogram: {:?}", self.samples)) }
    }
}

fn is_name(name: &str, is_metric: bool) -> bool {
    let is_letter = |c: char| c.is_ascii_alphabetic() || c == '_' || is_metric && c == ':';
    name.starts_with(is_letter) && name.chars().all(|c| is_letter(c) || c.is_ascii_digit())
}

fn value(text: &str) -> Option<f64> {
    match text {
        "+Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        "NaN" => Some(f64::NAN),
        _ => text.parse().ok().filter(|_| text.bytes().all(|byte| b"0123456789+-.eE".contains(&byte))),
    }
}

fn end_of_quoted(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(at, c)| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends.then_some(at)
    })
}

fn unescaped(text: &str, is_label: bool) -> Result<String, String> {
    let (mut plain, mut chars) = (String::new(), text.chars());
    while let Some(c) = chars.next() {
        plain.push(match c {
            '\\' => match chars.next() {
                Some('\\') => '\\',
                Some('n') => '\n',
                Some('"') if is_label => '"',
                other => return Err(format!("escaped {other:?}")),
            },
            c => c,
        });
    }
    Ok(plain)
}

/// Anything that a help may say.
const HELP: &str = "x[ -~é\\n\\\\\"{},=#]{0,12}";
/// Anything that a label may say.
const TEXT: &str = "[ -~é\\n\\\\\"{},=#]{0,12}";

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![any::<f64>().prop_filter("of itself equal", |value| !value.is_nan()), (0u32..1000).prop_map(f64::from)]
}

proptest! {
    #[test]
    fn what_is_written_is_read_as_it_was(
        figures in prop::collection::btree_map(
            "[a-z_:][a-z0-9_:]{0,6}",
            (HELP, prop::collection::btree_map(prop::collection::btree_map("[a-z_][a-z0-9_]{0,4}", TEXT, 0..3), number(), 1..4)),
            0..5,
        ),
    ) {
        let (mut page, mut expected) = (Exposition::default(), Page::default());
        for (name, (help, samples)) in &figures {
            let mut family = page.family(name, Kind::Gauge, help);
            for (labels, value) in samples {
                family.sample(&labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect::<Vec<_>>(), *value);
            }
            let samples = samples.iter().map(|(labels, value)| (String::new(), labels.clone(), *value)).collect();
            expected.0.insert(name.clone(), Figure { kind: "gauge".into(), help: help.clone(), samples });
        }
        prop_assert_eq!(Page::read(&page.into_text()), Ok(expected));
    }
}

#[test]
fn what_is_no_page_is_refused() {
    let head = "# HELP a b\n# TYPE a gauge\n";
    assert!(Page::read(&format!("{head}a 1\n")).is_ok() && Page::read("").is_ok());
    for bad in ["a 1\n", "# HELP a b\n", "# TYPE a gauge\n", "# HELP a b\n# TYPE a gauge\n"] {
        assert!(Page::read(bad).is_err(), "{bad}");
    }
    for bad in [
        "a 1",
        "a\n",
        "a  1\n",
        "a one\n",
        "b 1\n",
        "a 1\na 1\n",
        "a{} 1\na 2\n",
        "a{b=\"c} 1\n",
        "a{b=\"\\x\"} 1\n",
        "a{1=\"\"} 1\n",
        "a 1\n# HELP a b\n",
    ] {
        assert!(Page::read(&format!("{head}{bad}")).is_err(), "{bad}");
    }
    for bad in ["a_bucket{le=\"1\"} 2\na_sum 1\na_count 2\n", "a_bucket{le=\"1\"} 2\na_bucket{le=\"+Inf\"} 1\na_sum 1\na_count 1\n"] {
        assert!(Page::read(&format!("# HELP a b\n# TYPE a histogram\n{bad}")).is_err(), "{bad}");
    }
}
