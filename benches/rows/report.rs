//! The report: a table for the terminal and for `docs/performance.md`, where it stands between two marks, beside the plot.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::line::{Line, Unit, Verdict};
use crate::stats::{median, range};
use crate::{machine, plot};

/// The table's head.
pub const HEADER: &str = "\
| row | value (least – most of so many rounds) | yardstick | ratio | to reach | |
|---|---|---|---|---|---|
";
const BEGIN: &str = "<!-- rows: written by `just bench` -->\n";
const END: &str = "<!-- end of rows -->\n";

/// A row of the table.
pub fn row(line: &Line) -> String {
    let verdict = match line.verdict() {
        Verdict::Ok => "ok",
        Verdict::Miss => "**MISS**",
        Verdict::Shown => "",
        Verdict::NotMeasured => "**NOT MEASURED**",
    };
    let yardstick = match &line.yardstick {
        Some((name, values)) => format!("{name}: {}", line.unit.text(median(values))),
        None => line.trouble.clone().unwrap_or_else(|| "–".into()).replace('|', "/"),
    };
    let ratios = line.ratios();
    let ratio = if ratios.is_empty() { "–".into() } else { format!("{:.3}", median(&ratios)) };
    format!("| {} | {} | {yardstick} | {ratio} | {} | {verdict} |", line.what, values(line.unit, &line.values), line.reach_text())
}

/// For a smoke run: how many figures a row gives, or what is wrong. Figures of tiny sizes say nothing.
pub fn soundness(lines: &[Line]) -> String {
    let broken = lines.iter().find(|line| !line.is_sound());
    let missing = lines.iter().find_map(|line| line.trouble.as_deref());
    match (broken, missing) {
        (Some(line), None) => format!("BROKEN: `{}` has no number", line.what),
        (Some(_), Some(trouble)) => format!("BROKEN: {trouble}"),
        (None, Some(trouble)) => format!("figures: {}, one without its yardstick: {trouble}", lines.len()),
        (None, None) => format!("figures: {}", lines.len()),
    }
}

fn values(unit: Unit, values: &[f64]) -> String {
    let (least, most) = range(values);
    match values.len() {
        0 => "–".into(),
        1 => unit.text(values[0]),
        rounds => format!("{} ({} – {} of {rounds})", unit.text(median(values)), unit.text(least), unit.text(most)),
    }
}

/// Writes table and plot to where people read them.
pub fn write(lines: &[Line], took: Duration, folder: &Path) -> Result<()> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let page = docs.join("performance.md");
    let text = fs::read_to_string(&page).with_context(|| page.display().to_string())?;
    let marks = text.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) = marks.with_context(|| format!("{} lacks its marks `{}`", page.display(), BEGIN.trim_end()))?;
    let rows: String = lines.iter().map(|line| row(line) + "\n").collect();
    let rounds = lines.iter().map(|line| line.values.len()).max().unwrap_or(0);
    let count = |verdict: Verdict| lines.iter().filter(|line| line.verdict() == verdict).count();
    let about = format!(
        "{}. Medians of up to {rounds} rounds; all in {} s: {} reached, {} missed, {} not measured.",
        machine::describe(folder),
        took.as_secs(),
        count(Verdict::Ok),
        count(Verdict::Miss),
        count(Verdict::NotMeasured),
    );
    let table = format!("{BEGIN}\n{about}\n\n![every row beside what it is to reach](performance.svg)\n\n{HEADER}{rows}\n{END}");
    fs::write(&page, format!("{before}{table}{after}"))?;
    fs::write(docs.join("performance.svg"), plot::svg(lines))?;
    println!("written: {} and performance.svg beside it", page.display());
    Ok(())
}
