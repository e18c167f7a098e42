//! From the model to the cells of a screen, whatever its size.
//!
//! ```text
//!   head, cluster
//!   JOB  STATE  …        jobs
//!   WORKER  STATE  …     workers
//!   why the picked one is where it is
//!   what came of the last key
//!   keys, or what is asked
//! ```

use super::canvas::{Canvas, Look};
use super::columns::{Column, GAP, Kind, widths};
use super::model::{Mode, Model, Pane};
use super::{job_rows, worker_rows};
use crate::cli::explain::facts;

/// A screen of fewer rows shows only the list that the keys go to.
const BOTH_FROM_ROWS: usize = 14;
/// And of fewer than this no reason.
const REASON_FROM_ROWS: usize = 8;
const REASON_ROWS: usize = 2;

const JOB_KEYS: &str = "? help  q quit  Tab workers  Enter why  / filter  p pause  r resume  K kill  + -";
const WORKER_KEYS: &str = "? help  q quit  Tab jobs  Enter why  / filter  d drain  r resume";
const HELP: &[&str] = &[
    "j k, arrows, PageUp, PageDown, g, G   move; at the end of a page of jobs to the next",
    "Tab      jobs, workers",
    "Enter    why it is where it is, since when, and what would change it",
    "/        filter: words of a name or a pattern as run-*, @ana, j7, running, failed, paused; for workers their host",
    "Escape   no filter, no message",
    "p  r     pause a job, resume it; running tasks go on",
    "K        kill a job: what has not started is dropped, running tasks finish; y confirms",
    "+  -     a job's priority",
    "d  r     a worker takes no more tasks and leaves, y confirms; it takes tasks again",
    "q        quit; jobs go on",
    "",
    "bars: = done, x failed, > running, - dropped, . to come; NEXT: who gets the next slots",
];

/// The whole screen. `now`: seconds since 1970; `url`: of the head.
pub(super) fn draw(canvas: &mut Canvas<'_>, model: &Model, url: &str, now: i64) {
    let rows = canvas.rows();
    canvas.line(0, &heading(model, url), Look::Strong);
    if rows < 3 {
        return;
    }
    canvas.line(rows - 1, &last_line(model), last_look(&model.mode));
    let (said, look) = match (&model.lost, &model.said) {
        (Some(lost), _) => (lost.as_str(), Look::Bad),
        (None, (text, true)) => (text.as_str(), Look::Bad),
        (None, (text, false)) => (text.as_str(), Look::Good),
    };
    canvas.line(rows - 2, said, look);
    let reason_rows = if rows >= REASON_FROM_ROWS { REASON_ROWS } else { 0 };
    let room = rows - 3 - reason_rows;
    match &model.mode {
        Mode::Helping => {
            HELP.iter().enumerate().for_each(|(row, line)| canvas.part(1, rows - 3).put(0, row, usize::MAX, line, Look::Plain))
        }
        Mode::Reading(explanation) => read(&mut canvas.part(1, rows - 3), explanation.as_ref()),
        Mode::Looking | Mode::Filtering(_) | Mode::Asking(..) => {
            lists(&mut canvas.part(1, room), model, now);
            let reason = match model.pane {
                Pane::Jobs => model.picked_job().map(job_rows::reason),
                Pane::Workers => model.picked_worker().map(worker_rows::reason),
            };
            canvas.part(1 + room, reason_rows).paragraph(0, &reason.unwrap_or_default(), Look::Plain);
        }
    }
}

fn heading(model: &Model, url: &str) -> String {
    let cluster = &model.sight.cluster;
    let busy: u32 = model.sight.workers.iter().map(|worker| worker.slots.saturating_sub(worker.free)).sum();
    let workers = if cluster.workers == 1 { "worker" } else { "workers" };
    // Of more than a page of workers nobody has asked how busy they are.
    let busy = if model.sight.has_all_workers { format!("{busy} of ") } else { String::new() };
    let mut text =
        format!("{url}  {} {workers}, {busy}{} slots{}", cluster.workers, cluster.slots, if busy.is_empty() { "" } else { " busy" });
    if model.page() > 1 || !model.sight.next_page.is_empty() {
        text.push_str(&format!("  page {}", model.page()));
    }
    for filter in [&model.wanted.filter.text, &model.worker_filter].into_iter().filter(|text| !text.is_empty()) {
        text.push_str(&format!("  /{filter}"));
    }
    text
}

fn last_line(model: &Model) -> String {
    match &model.mode {
        Mode::Looking if model.pane == Pane::Jobs => JOB_KEYS.into(),
        Mode::Looking => WORKER_KEYS.into(),
        Mode::Helping => "any key goes back".into(),
        Mode::Reading(_) => "Enter goes back".into(),
        Mode::Filtering(text) => format!("/{text}_"),
        Mode::Asking(_, None) => "asking the head what it would come to…".into(),
        Mode::Asking(_, Some(text)) => format!("{text}. Do it? y/n"),
    }
}

fn last_look(mode: &Mode) -> Look {
    match mode {
        Mode::Looking | Mode::Helping | Mode::Reading(_) => Look::Dim,
        Mode::Filtering(_) => Look::Strong,
        Mode::Asking(..) => Look::Marked,
    }
}

fn read(canvas: &mut Canvas<'_>, explanation: Option<&crate::rpc::pb::Explanation>) {
    let Some(explanation) = explanation else { return canvas.line(0, "asking the head…", Look::Dim) };
    let mut row = canvas.paragraph(0, &explanation.sentence, Look::Strong) + 1;
    for (name, value) in facts(explanation).into_iter().filter(|(_, value)| !value.is_empty()) {
        row = canvas.paragraph(row, &format!("{name}: {value}"), Look::Plain);
    }
}

fn lists(canvas: &mut Canvas<'_>, model: &Model, now: i64) {
    let rows = canvas.rows();
    let has_both = rows >= BOTH_FROM_ROWS - 3 - REASON_ROWS;
    let workers = model.workers().count() + 1;
    let for_workers = match (has_both, model.pane) {
        (false, Pane::Jobs) => 0,
        (false, Pane::Workers) => rows,
        (true, _) => workers.clamp(2, (rows / 3).max(2)),
    };
    jobs(&mut canvas.part(0, rows - for_workers), model, now);
    let cells: Vec<_> = model.workers().map(|worker| (worker_rows::cells(worker), worker_rows::look(worker))).collect();
    let nothing = if model.worker_filter.is_empty() { "no workers" } else { "no worker has such a name: Escape shows all" };
    let list = List { columns: worker_rows::COLUMNS, rows: cells, nothing, is_active: model.pane == Pane::Workers };
    list.draw(&mut canvas.part(rows - for_workers, for_workers), model.at(Pane::Workers), |_, _| None);
}

fn jobs(canvas: &mut Canvas<'_>, model: &Model, now: i64) {
    let rank = |id: &str| model.sight.ranks.get(id).copied();
    let cells = model.sight.jobs.iter().map(|job| (job_rows::cells(job, rank(&job.id), now), job_rows::look(job))).collect();
    let nothing = if model.wanted.filter.text.is_empty() { "no jobs" } else { "no such jobs: Escape shows all" };
    let list = List { columns: job_rows::COLUMNS, rows: cells, nothing, is_active: model.pane == Pane::Jobs };
    list.draw(canvas, model.at(Pane::Jobs), |row, width| {
        let counts = model.sight.jobs.get(row)?.tasks.unwrap_or_default();
        Some(job_rows::bar(&counts, width))
    });
}

/// A heading and rows, of which those around the picked one are shown.
struct List {
    columns: &'static [Column],
    rows: Vec<(Vec<String>, Look)>,
    /// What stands there without rows.
    nothing: &'static str,
    is_active: bool,
}

impl List {
    fn draw(self, canvas: &mut Canvas<'_>, picked: usize, bar: impl Fn(usize, usize) -> Option<String>) {
        if canvas.rows() == 0 {
            return;
        }
        let (cells, looks): (Vec<_>, Vec<_>) = self.rows.into_iter().unzip();
        let widths = widths(self.columns, &cells, canvas.columns());
        let names: Vec<String> = self.columns.iter().map(|column| column.name.to_owned()).collect();
        let line = |canvas: &mut Canvas<'_>, row: usize, cells: &[String], look: Look| {
            let mut at = 0;
            for ((cell, column), width) in cells.iter().zip(self.columns).zip(&widths).filter(|(_, width)| **width > 0) {
                let before = if column.kind == Kind::Number { width.saturating_sub(super::canvas::width(cell)) } else { 0 };
                canvas.put(at + before, row, width - before, cell, look);
                at += width + GAP;
            }
        };
        line(canvas, 0, &names, Look::Plain);
        canvas.tint(0, if self.is_active { Look::Marked } else { Look::Dim });
        let room = canvas.rows() - 1;
        if cells.is_empty() {
            return canvas.put(0, 1, usize::MAX, self.nothing, Look::Dim);
        }
        let from = picked.saturating_sub(room / 2).min(cells.len().saturating_sub(room));
        for (row, (mut cells, look)) in cells.into_iter().zip(looks).enumerate().skip(from).take(room) {
            if let Some(at) = self.columns.iter().position(|column| matches!(column.kind, Kind::Bar(..))) {
                cells[at] = bar(row, widths[at]).unwrap_or_default();
            }
            line(canvas, row - from + 1, &cells, look);
            if row == picked && self.is_active {
                canvas.tint(row - from + 1, Look::Marked);
            }
        }
    }
}
