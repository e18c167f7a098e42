//! A line of the report: what was measured, beside what, and what was to be reached.

use crate::stats::{median, range};

/// In what something is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Tasks a second.
    TasksPerSecond,
    /// Bytes a second, said in GB/s.
    BytesPerSecond,
    /// Seconds, said in s, ms or µs.
    Seconds,
    /// Bytes, said in B, KB or MB.
    Bytes,
}

impl Unit {
    /// A value for people, in three digits.
    pub fn text(self, value: f64) -> String {
        match self {
            Self::TasksPerSecond => format!("{} /s", digits(value)),
            Self::BytesPerSecond => format!("{} GB/s", digits(value / 1e9)),
            Self::Seconds if value >= 1.0 => format!("{} s", digits(value)),
            Self::Seconds if value >= 1e-3 => format!("{} ms", digits(value * 1e3)),
            Self::Seconds => format!("{} µs", digits(value * 1e6)),
            Self::Bytes if value.abs() >= 1e6 => format!("{} MB", digits(value / 1e6)),
            Self::Bytes if value.abs() >= 1e4 => format!("{} KB", digits(value / 1e3)),
            Self::Bytes => format!("{} B", digits(value)),
        }
    }
}

/// Three digits that count, thousands apart.
fn digits(value: f64) -> String {
    match value.abs() {
        size if size < 0.9995 => return format!("{value:.3}"),
        size if size < 9.995 => return format!("{value:.2}"),
        size if size < 99.95 => return format!("{value:.1}"),
        _ => {}
    }
    let plain = format!("{value:.0}");
    let (sign, plain) = plain.strip_prefix('-').map_or(("", plain.as_str()), |rest| ("-", rest));
    let mut text = String::from(sign);
    for (at, digit) in plain.chars().enumerate() {
        if at > 0 && (plain.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// What is to be reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reach {
    /// Shown for comparison only.
    Nothing,
    /// The value itself, at least.
    AtLeast(f64),
    /// The value itself, at most.
    AtMost(f64),
    /// The value over the yardstick's, at least.
    RatioAtLeast(f64),
    /// The same, at most.
    RatioAtMost(f64),
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Reached.
    Ok,
    /// Not reached.
    Miss,
    /// Nothing was to be reached.
    Shown,
    /// There is no number; the line says why.
    NotMeasured,
}

/// See the module. Values of the same round stand at the same place.
#[derive(Clone, Debug)]
pub struct Line {
    /// What was measured.
    pub what: String,
    /// In what.
    pub unit: Unit,
    /// Once a round.
    pub values: Vec<f64>,
    /// What it is measured beside, and its values.
    pub yardstick: Option<(String, Vec<f64>)>,
    /// What is to be reached.
    pub reach: Reach,
    /// Why there is no value, or no yardstick.
    pub trouble: Option<String>,
    /// Whether a tool is missing, and nothing worse.
    tool_missing: bool,
}

impl Line {
    /// Values of one thing, beside nothing, with nothing to be reached.
    pub fn new(what: impl Into<String>, unit: Unit, values: &[f64]) -> Self {
        let values = values.to_vec();
        Self { what: what.into(), unit, values, yardstick: None, reach: Reach::Nothing, trouble: None, tool_missing: false }
    }

    /// A row that broke off.
    pub fn failed(what: &str, error: &anyhow::Error) -> Self {
        Self { trouble: Some(format!("{error:#}").replace('\n', " ")), ..Self::new(what, Unit::Seconds, &[]) }
    }

    /// Beside this, in the same unit.
    pub fn beside(self, name: &str, values: &[f64]) -> Self {
        Self { yardstick: Some((name.to_owned(), values.to_vec())), ..self }
    }

    /// Beside a program that is not installed: no ratio, said loudly.
    pub fn beside_missing(self, tool: &str) -> Self {
        Self { trouble: Some(format!("{tool} is not installed: apt-get install {tool}")), tool_missing: true, ..self }
    }

    /// With this to be reached.
    pub fn reaches(self, reach: Reach) -> Self {
        Self { reach, ..self }
    }

    /// Value over yardstick, round by round; empty without one.
    pub fn ratios(&self) -> Vec<f64> {
        let yardstick = self.yardstick.iter().flat_map(|(_, values)| values);
        self.values.iter().zip(yardstick).map(|(value, yardstick)| value / yardstick).collect()
    }

    /// What is compared with what is to be reached, over the rounds.
    fn judged(&self) -> Vec<f64> {
        match self.reach {
            Reach::Nothing | Reach::AtLeast(_) | Reach::AtMost(_) => self.values.clone(),
            Reach::RatioAtLeast(_) | Reach::RatioAtMost(_) => self.ratios(),
        }
    }

    /// How many times as good as what was to be reached: median, worst and best round. None without a number or a reach.
    pub fn score(&self) -> Option<(f64, f64, f64)> {
        let judged = self.judged();
        if self.verdict() == Verdict::NotMeasured {
            return None;
        }
        let ((least, most), middle) = (range(&judged), median(&judged));
        match self.reach {
            Reach::Nothing => None,
            Reach::AtLeast(reach) | Reach::RatioAtLeast(reach) => Some((middle / reach, least / reach, most / reach)),
            // What costs nothing, or less, is as good as can be drawn.
            Reach::AtMost(reach) | Reach::RatioAtMost(reach) => {
                let score = |value: f64| reach / value.max(reach / 1e4);
                Some((score(middle), score(most), score(least)))
            }
        }
    }

    /// Judged by the median.
    pub fn verdict(&self) -> Verdict {
        let judged = self.judged();
        let middle = median(&judged);
        let is_reached = match self.reach {
            _ if self.trouble.is_some() || !middle.is_finite() => return Verdict::NotMeasured,
            Reach::Nothing => return Verdict::Shown,
            Reach::AtLeast(reach) | Reach::RatioAtLeast(reach) => middle >= reach,
            Reach::AtMost(reach) | Reach::RatioAtMost(reach) => middle <= reach,
        };
        if is_reached { Verdict::Ok } else { Verdict::Miss }
    }

    /// What is to be reached, in words.
    pub fn reach_text(&self) -> String {
        match self.reach {
            Reach::Nothing => "–".into(),
            Reach::AtLeast(reach) => format!("≥ {}", self.unit.text(reach)),
            Reach::AtMost(reach) => format!("≤ {}", self.unit.text(reach)),
            Reach::RatioAtLeast(reach) => format!("≥ {reach} ×"),
            Reach::RatioAtMost(reach) => format!("≤ {reach} ×"),
        }
    }

    /// Whether it was measured, but for a tool that is not here.
    pub fn is_sound(&self) -> bool {
        let numbers = self.values.iter().chain(self.yardstick.iter().flat_map(|(_, values)| values));
        !self.values.is_empty() && numbers.copied().all(f64::is_finite) && (self.tool_missing || self.trouble.is_none())
    }
}
