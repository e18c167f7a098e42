//! The plot: how many times as good as what it is to reach each row is, on a logarithmic scale. Left of the line in the middle is a miss.

use std::fmt::Write as _;

use crate::line::{Line, Reach};

const LABEL_WIDTH: f64 = 560.0;
const PLOT_WIDTH: f64 = 480.0;
const ROW_HEIGHT: f64 = 20.0;
const TOP: f64 = 40.0;
/// Scores beyond are drawn at the edge.
const MOST: f64 = 100.0;

/// An SVG of all rows that have something to reach.
pub fn svg(lines: &[Line]) -> String {
    let labels = labels(lines);
    let scored: Vec<_> = labels.iter().zip(lines).filter_map(|(label, line)| Some((label, line.score()?))).collect();
    let (width, height) = (LABEL_WIDTH + PLOT_WIDTH + 60.0, TOP + ROW_HEIGHT * scored.len() as f64 + 10.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (mark, text) in [(0.01, "0.01 ×"), (0.1, "0.1 ×"), (1.0, "reached"), (10.0, "10 ×"), (MOST, "100 ×")] {
        let (at, colour) = (x(mark), if mark == 1.0 { "black" } else { "#ccc" });
        let _ = writeln!(svg, "<line x1=\"{at:.1}\" y1=\"{}\" x2=\"{at:.1}\" y2=\"{}\" stroke=\"{colour}\"/>", TOP - 8.0, height - 8.0);
        let _ = writeln!(svg, "<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{text}</text>", TOP - 14.0);
    }
    for (row, (label, score)) in scored.iter().enumerate() {
        bar(&mut svg, label, *score, TOP + ROW_HEIGHT * row as f64);
    }
    svg + "</svg>\n"
}

/// What each line is called where it stands alone: `the same` is that of the line before, and what a ratio is to is named.
fn labels(lines: &[Line]) -> Vec<String> {
    let (mut topic, mut labels) = ("", Vec::new());
    for Line { what, yardstick, reach, .. } in lines {
        let full = match what.strip_prefix("the same") {
            Some(rest) => format!("{topic}{rest}"),
            None => {
                topic = what.split_once(": ").map_or(what.as_str(), |(topic, _)| topic);
                what.clone()
            }
        };
        labels.push(match (yardstick, reach) {
            (Some((name, _)), Reach::RatioAtLeast(_) | Reach::RatioAtMost(_)) => format!("{full} / {name}"),
            _ => full,
        });
    }
    labels
}

/// A bar from the line to the median, and a thin one from the worst round to the best.
fn bar(svg: &mut String, what: &str, (middle, worst, best): (f64, f64, f64), top: f64) {
    let (from, to) = (x(middle).min(x(1.0)), x(middle).max(x(1.0)));
    let colour = if middle >= 1.0 { "#3a8f5c" } else { "#c0504d" };
    let (text, thin) = (top + 13.0, top + 9.0);
    let _ = writeln!(svg, "<text x=\"{}\" y=\"{text:.1}\" text-anchor=\"end\">{}</text>", LABEL_WIDTH - 8.0, escaped(what));
    let (bar_top, bar_width) = (top + 3.0, (to - from).max(1.0));
    let _ = writeln!(svg, "<rect x=\"{from:.1}\" y=\"{bar_top:.1}\" width=\"{bar_width:.1}\" height=\"12\" fill=\"{colour}\"/>");
    let (left, right) = (x(worst), x(best));
    let _ = writeln!(svg, "<line x1=\"{left:.1}\" y1=\"{thin:.1}\" x2=\"{right:.1}\" y2=\"{thin:.1}\" stroke=\"black\"/>");
}

/// Where a score stands.
fn x(score: f64) -> f64 {
    let (least, most) = ((1.0 / MOST).ln(), MOST.ln());
    let at = (score.clamp(1.0 / MOST, MOST).ln() - least) / (most - least);
    LABEL_WIDTH + PLOT_WIDTH * at
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('`', "")
}
