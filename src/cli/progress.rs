//! Progress on standard error: a bar where it is a terminal, plain lines now and then where it is not.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

use super::job_text;
use super::ui::{Ui, printable};
use super::units::short_span;
use crate::rpc::pb;

/// Between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// One bar, for uploads and then for tasks.
pub(crate) struct Progress {
    bar: ProgressBar,
    is_bar: bool,
    last_line: Option<(Instant, String)>,
}

impl Progress {
    pub(crate) fn new(ui: &Ui) -> Self {
        let target = if ui.err_is_terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        Self { bar, is_bar: ui.err_is_terminal, last_line: None }
    }

    /// Bytes sent or fetched; `total` 0: nobody knows.
    pub(crate) fn bytes(&mut self, what: &str, done: u64, total: u64) {
        let style = if total > 0 {
            "{msg} [{bar:30}] {bytes} of {total_bytes}, {binary_bytes_per_sec}, {eta} left"
        } else {
            "{msg} {bytes}, {binary_bytes_per_sec}"
        };
        self.style(style, what);
        self.bar.set_length(total);
        self.bar.set_position(done);
    }

    /// A job as it is now.
    pub(crate) fn job(&mut self, ui: &mut Ui, job: &pb::Job) {
        let tasks = job.tasks.unwrap_or_default();
        let line = printable(&job_text::progress(job));
        if !self.is_bar {
            return self.line(ui, job, line);
        }
        let left = job.eta.map(|eta| format!(", {} to {} left", short_span(eta.low_seconds), short_span(eta.high_seconds)));
        self.style("[{bar:30}] {msg}, {per_sec}", &format!("{line}{}", left.unwrap_or_default()));
        self.bar.set_length(u64::from(tasks.total));
        self.bar.set_position(u64::from(job_text::done(&tasks)));
    }

    /// A change of state at once; counts only every few seconds.
    fn line(&mut self, ui: &mut Ui, job: &pb::Job, line: String) {
        let state = job_text::state(job);
        let is_due = match &self.last_line {
            None => true,
            Some((when, last_state)) => *last_state != state || when.elapsed() >= LINE_EVERY,
        };
        if is_due {
            ui.note(line);
            self.last_line = Some((Instant::now(), state));
        }
    }

    fn style(&self, template: &str, message: &str) {
        // The templates are constants; a wrong one falls back to indicatif's own.
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        self.bar.set_style(style.progress_chars("=> "));
        self.bar.set_message(message.to_owned());
    }

    /// Takes the bar away, so that something else can be written; the next call draws it again.
    pub(crate) fn clear(&mut self) {
        let target = if self.is_bar { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        self.bar.finish_and_clear();
        self.bar = ProgressBar::with_draw_target(None, target);
    }
}
