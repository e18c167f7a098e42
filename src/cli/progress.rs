//! Progress on standard error: one line that is drawn anew where it is a terminal, plain lines now and then where it is not.

use std::io::Write;
use std::time::Duration;

use tokio::time::Instant;

use super::job_text;
use super::rate::Rate;
use super::ui::{Ui, columns, printable};
use super::units::{short_size, short_span};
use crate::rpc::pb;

/// Between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// Between two drawings of bytes; a transfer that is over sooner than twice this is not drawn at all.
const DRAW_EVERY: Duration = Duration::from_millis(100);
/// The bar's width, in columns.
const BAR: usize = 30;
/// A terminal narrower than this gets no bar, only the words.
const BAR_FROM_COLUMNS: usize = 80;
/// Columns left free at the end of the line: a terminal shows a Ctrl-C as `^C`, and a line that wrapped could not be taken away.
const FREE_COLUMNS: usize = 3;

/// The line, for uploads and then for tasks.
pub(crate) struct Progress {
    is_terminal: bool,
    is_drawn: bool,
    transfer: Option<Transfer>,
    last_line: Option<(Instant, (pb::JobState, bool))>,
    rate: Rate,
}

struct Transfer {
    what: String,
    began: Instant,
    drawn: Instant,
}

impl Progress {
    pub(crate) fn new(ui: &Ui) -> Self {
        Self { is_terminal: ui.err_is_terminal, is_drawn: false, transfer: None, last_line: None, rate: Rate::default() }
    }

    /// Bytes sent or fetched; `total` 0: nobody knows.
    pub(crate) fn bytes(&mut self, what: &str, done: u64, total: u64) {
        if !self.is_terminal {
            return;
        }
        let now = Instant::now();
        let begins = || Transfer { what: what.to_owned(), began: now, drawn: now };
        let transfer = match &mut self.transfer {
            Some(transfer) if transfer.what == what => transfer,
            other => other.insert(begins()),
        };
        let is_over_at_once = now - transfer.began < 2 * DRAW_EVERY;
        if is_over_at_once || (now - transfer.drawn < DRAW_EVERY && done != total) {
            return;
        }
        transfer.drawn = now;
        let text = bytes_text(what, done, total, now - transfer.began);
        self.draw(if total > 0 { Some((done, total)) } else { None }, &text);
    }

    /// A job as it is now.
    pub(crate) fn job(&mut self, ui: &mut Ui, job: &pb::Job) {
        let text = self.text(job);
        if self.is_terminal {
            let tasks = job.tasks.unwrap_or_default();
            self.draw(Some((job_text::done(&tasks).into(), tasks.total.into())), &text);
        } else if self.is_due(job) {
            ui.note(text);
        }
    }

    /// How far it is, and how fast it gets on by what was seen of it here.
    pub(crate) fn text(&mut self, job: &pb::Job) -> String {
        self.rate.see(Instant::now(), job_text::done(&job.tasks.unwrap_or_default()));
        printable(&job_text::progress_at(job, self.rate.text()))
    }

    /// Whether a plain line about the job is due: a change of state at once, counts only every few seconds.
    pub(crate) fn is_due(&mut self, job: &pb::Job) -> bool {
        // Short tasks make a job wait and run by turns; that is no change.
        let state = if job.state() == pb::JobState::Running { pb::JobState::Waiting } else { job.state() };
        let state = (state, job.held);
        let is_due = self.last_line.is_none_or(|(when, last)| last != state || when.elapsed() >= LINE_EVERY);
        if is_due {
            self.last_line = Some((Instant::now(), state));
        }
        is_due
    }

    fn draw(&mut self, share: Option<(u64, u64)>, text: &str) {
        let line = line(columns(&std::io::stderr()).unwrap_or(BAR_FROM_COLUMNS), share, text);
        // One write, so that nothing comes between. That it fails is no reason to stop.
        std::io::stderr().write_all(format!("\r\x1b[2K{line}").as_bytes()).ok();
        self.is_drawn = true;
    }

    /// Takes the line away, so that something else can be written; the next call draws it again.
    pub(crate) fn clear(&mut self) {
        if std::mem::take(&mut self.is_drawn) {
            std::io::stderr().write_all(b"\r\x1b[2K").ok();
        }
        self.transfer = None;
    }
}

fn line(columns: usize, share: Option<(u64, u64)>, text: &str) -> String {
    let bar = share.filter(|_| columns >= BAR_FROM_COLUMNS).map(|(done, total)| bar(done, total)).unwrap_or_default();
    let room = columns.saturating_sub(FREE_COLUMNS + bar.chars().count());
    bar.chars().chain(beginning(text, room).chars()).collect()
}

/// As much as there is room for; whole parts, where there is room for any.
fn beginning(text: &str, room: usize) -> &str {
    let Some((end, _)) = text.char_indices().nth(room) else { return text };
    let text = &text[..end];
    text.rfind(", ").map_or(text, |end| &text[..end])
}

/// `[=====>    ] `.
fn bar(done: u64, total: u64) -> String {
    let share = if total == 0 { 0.0 } else { done as f64 / total as f64 };
    let full = ((share * BAR as f64) as usize).min(BAR);
    let bar: String = (0..BAR)
        .map(|at| match at {
            _ if at < full => '=',
            _ if at == full && full > 0 => '>',
            _ => ' ',
        })
        .collect();
    format!("[{bar}] ")
}

fn bytes_text(what: &str, done: u64, total: u64, since: Duration) -> String {
    let what = printable(what);
    let rate = done as f64 / since.as_secs_f64().max(1e-3);
    let speed = format!("{}/s", short_size(rate as u64));
    if total == 0 {
        return format!("{what}: {}, {speed}", short_size(done));
    }
    let left = short_span(total.saturating_sub(done) as f64 / rate.max(1.0));
    format!("{what}: {} of {}, {speed}, {left} left", short_size(done), short_size(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_never_reaches_the_end_of_a_narrow_terminal() {
        let text = "j7 running: 170 of 1000 done, 16 running, 3s to 4s left";
        assert_eq!(line(100, Some((1, 2)), text), format!("[===============>              ] {text}"));
        assert_eq!(line(40, Some((1, 2)), text), "j7 running: 170 of 1000 done");
        assert_eq!(line(20, Some((1, 2)), text), "j7 running: 170 o");
        assert_eq!(line(1, Some((1, 2)), text), "");
        assert!((0..200).all(|columns| line(columns, Some((2, 2)), text).len() <= columns.saturating_sub(FREE_COLUMNS)));
    }

    #[test]
    fn a_bar_is_empty_before_the_count_is_known_and_full_at_the_end() {
        assert_eq!(bar(0, 0), format!("[{}] ", " ".repeat(BAR)));
        assert_eq!(bar(7, 7), format!("[{}] ", "=".repeat(BAR)));
    }

    #[test]
    fn bytes_say_how_fast_and_how_long() {
        let text = bytes_text("uploading a\nb", 50 << 20, 100 << 20, Duration::from_secs(5));
        assert_eq!(text, "uploading a·b: 50.0 MiB of 100.0 MiB, 10.0 MiB/s, 5s left");
        assert_eq!(bytes_text("uploading x", 1024, 0, Duration::from_secs(1)), "uploading x: 1.0 KiB, 1.0 KiB/s");
    }
}
