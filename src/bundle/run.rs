//! `run.json`: what differs from run to run: ids, owner, times, attempts, workers.

use std::io::{self, Write};

use serde::Serialize;

use super::manifest::Lines;
use super::task::BundleJob;
use crate::domain::{ResultMeta, WallTime};

/// The version of `run.json`. A key that is added needs no new one.
const VERSION: u32 = 1;

/// A task of which an attempt has ended: the last, and those before it that did not go well. Tasks without one have no line.
#[derive(Serialize)]
struct RunLine<'a> {
    index: u64,
    #[serde(flatten)]
    last: AttemptLine,
    #[serde(skip_serializing_if = "Option::is_none")]
    stderr: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    earlier: Vec<AttemptLine>,
}

#[derive(Serialize)]
struct AttemptLine {
    attempt: u32,
    worker: String,
    started: Option<String>,
    ended: Option<String>,
    outcome: String,
}

/// Writes a run file, task by task.
pub struct RunWriter<'a, W> {
    lines: Lines<W>,
    job: BundleJob<'a>,
}

impl<'a, W: Write> RunWriter<'a, W> {
    /// Writes what is said about the job.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn new(to: W, job: BundleJob<'a>) -> io::Result<Self> {
        let mut lines = Lines::new(to, VERSION)?;
        lines.key("id", &job.id.to_string())?;
        lines.key("name", &job.spec.name)?;
        lines.key("owner", &job.spec.owner)?;
        if !job.earlier_commands.is_empty() {
            lines.key("earlier_commands", job.earlier_commands)?;
        }
        lines.key("priority", &job.priority)?;
        lines.key("created", &time_text(job.created))?;
        lines.key("started", &job.started.and_then(time_text))?;
        lines.key("finished", &job.finished.and_then(time_text))?;
        lines.begin_tasks()?;
        Ok(Self { lines, job })
    }

    /// Writes the line of a task, of its last attempt that ended and those before it that did not go well; `stderr` is the archive's entry that
    /// holds its standard error, if one does.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn task(&mut self, index: u64, last: &ResultMeta, earlier: &[ResultMeta], stderr: Option<&str>) -> io::Result<()> {
        let earlier = earlier.iter().map(|attempt| self.attempt(attempt)).collect();
        let last = self.attempt(last);
        self.lines.task(&RunLine { index, last, stderr, earlier })
    }

    fn attempt(&self, meta: &ResultMeta) -> AttemptLine {
        AttemptLine {
            attempt: meta.attempt.0,
            worker: self.job.workers.get(&meta.worker).cloned().unwrap_or_else(|| meta.worker.to_string()),
            started: time_text(meta.timing.started),
            ended: time_text(meta.timing.ended),
            outcome: meta.outcome.describe(),
        }
    }

    /// Ends the file and gives the writer back.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn finish(self) -> io::Result<W> {
        self.lines.finish()
    }
}

/// RFC 3339, UTC, microseconds; none for a time that no calendar has.
fn time_text(time: WallTime) -> Option<String> {
    jiff::Timestamp::from_microsecond(time.0).ok().map(|time| format!("{time:.6}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_microseconds_and_a_zone() {
        assert_eq!(time_text(WallTime(1_700_000_000_000_001)).unwrap(), "2023-11-14T22:13:20.000001Z");
        assert_eq!(time_text(WallTime(0)).unwrap(), "1970-01-01T00:00:00.000000Z");
        assert_eq!(time_text(WallTime(i64::MAX)), None);
    }
}
