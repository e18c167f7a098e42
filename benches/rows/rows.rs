//! All rows, in the order of the report.

use anyhow::Result;

use crate::bench::Bench;
use crate::line::Line;
use crate::{calls, dispatch, input, million, pages, programs, results, starts, tls};

/// A row: one story that gives one or more lines of the report.
pub struct Row {
    /// For `--row`.
    pub name: &'static str,
    /// For people.
    pub what: &'static str,
    /// Measures it.
    pub measure: fn(&Bench) -> Result<Vec<Line>>,
}

/// See the module.
pub const ALL: &[Row] = &[
    Row { name: "true-2", what: "`true`, 2 slots", measure: starts::on_two_slots },
    Row { name: "true-16", what: "`true`, 16 slots", measure: starts::on_sixteen_slots },
    Row { name: "sandbox", what: "`true`, in a sandbox", measure: starts::in_a_sandbox },
    Row { name: "wc", what: "`wc -l` on 10-line chunks", measure: starts::count_lines },
    Row { name: "dispatch", what: "dispatch alone", measure: dispatch::rates },
    Row { name: "tls", what: "dispatch and data over TLS", measure: tls::rates },
    Row { name: "single", what: "one `true`, submitted to finished", measure: calls::single },
    Row { name: "million", what: "an array of a million", measure: million::array_of },
    Row { name: "lines1", what: "a million chunks of a file", measure: million::chunks },
    Row { name: "split", what: "split 1 GB", measure: input::split },
    Row { name: "upload", what: "upload 1 GB", measure: input::upload },
    Row { name: "results", what: "2,000 results of 250 KB", measure: results::results },
    Row { name: "tasks", what: "cost per task, by tasks", measure: dispatch::by_tasks },
    Row { name: "workers", what: "cost per task, by workers", measure: dispatch::by_workers },
    Row { name: "waiting", what: "1,000 jobs waiting", measure: dispatch::behind_a_thousand },
    Row { name: "busy", what: "list, show, watch while a million run", measure: calls::busy },
    Row { name: "pages", what: "50 open pages", measure: pages::open },
    Row { name: "binary", what: "binary size", measure: programs::sizes },
    Row { name: "run", what: "`millpond run` of one task in a fresh folder", measure: programs::first_run },
    Row { name: "idle", what: "memory of an idle head and worker", measure: programs::idle },
];
