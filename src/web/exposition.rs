//! The text in which figures are told: Prometheus' text format, version 0.0.4.
//!
//! ```text
//! # HELP millpond_jobs Jobs, by their state.
//! # TYPE millpond_jobs gauge
//! millpond_jobs{state="running"} 3
//! ```

use std::fmt::Write;

use crate::engine::meters::Histogram;

/// As `Content-Type` has it.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A page that is being written.
#[derive(Debug, Default)]
pub struct Exposition(String);

/// What kind a figure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, until the next start.
    Counter,
    /// As it is now.
    Gauge,
}

/// A figure whose samples come next.
pub struct Family<'a> {
    name: &'a str,
    text: &'a mut String,
}

impl Exposition {
    /// Begins a figure. A name is of letters, digits and `_`; each comes once.
    pub fn family<'a>(&'a mut self, name: &'a str, kind: Kind, help: &str) -> Family<'a> {
        self.head(name, if kind == Kind::Counter { "counter" } else { "gauge" }, help);
        Family { name, text: &mut self.0 }
    }

    /// One that is a single number.
    pub fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.family(name, Kind::Gauge, help).sample(&[], value);
    }

    /// The same, of one that only grows.
    pub fn counter(&mut self, name: &str, help: &str, value: f64) {
        self.family(name, Kind::Counter, help).sample(&[], value);
    }

    /// One that counts by size.
    pub fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        self.head(name, "histogram", help);
        let read = histogram.read();
        let bucket = format!("{name}_bucket");
        for (bound, count) in &read.up_to {
            Family { name: &bucket, text: &mut self.0 }.sample(&[("le", &number(*bound))], *count as f64);
        }
        Family { name: &format!("{name}_sum"), text: &mut self.0 }.sample(&[], read.sum);
        Family { name: &format!("{name}_count"), text: &mut self.0 }.sample(&[], read.count() as f64);
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        // To a text everything can be written.
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    /// All of it.
    pub fn into_text(self) -> String {
        self.0
    }
}

impl Family<'_> {
    /// One of its numbers. Of a figure no two have the same labels.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: f64) {
        self.text.push_str(self.name);
        for (at, (name, value)) in labels.iter().enumerate() {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.text, "{}{name}=\"{value}\"", if at == 0 { '{' } else { ',' });
        }
        let _ = writeln!(self.text, "{} {}", if labels.is_empty() { "" } else { "}" }, number(value));
    }
}

/// As the format has it, which is Go's.
fn number(value: f64) -> String {
    if value.is_nan() {
        "NaN".into()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf".into() } else { "-Inf".into() }
    } else {
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_written_as_the_format_has_it() {
        let mut page = Exposition::default();
        page.family("jobs", Kind::Gauge, "Jobs.\nBy \\ state.").sample(&[("state", "a\"b\\c\nd"), ("of", "é")], 3.0);
        page.counter("seconds_total", "Time.", 0.000_012_5);
        page.gauge("never", "Not a number.", f64::NAN);
        let expected = r#"# HELP jobs Jobs.\nBy \\ state.
# TYPE jobs gauge
jobs{state="a\"b\\c\nd",of="é"} 3
# HELP seconds_total Time.
# TYPE seconds_total counter
seconds_total 0.0000125
# HELP never Not a number.
# TYPE never gauge
never NaN
"#;
        assert_eq!(page.into_text(), expected);
    }
}
