//! `manifest.json`: what the job was and what each task gave, as far as it is the same in every run.
//!
//! One line per task, keys in a fixed order, so that two manifests can be compared line by line. No id, owner, time, priority or path of a
//! machine, and nothing of standard errors, which may differ between runs: those are in `run.json`.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;

use super::task::{BundleTask, TaskState};
use crate::domain::{Chunk, Digest, Input, JobSpec, Merge, Resources};

/// The version of `manifest.json`. A key that is added needs no new one.
const VERSION: u32 = 1;

/// A line of the manifest.
#[derive(Clone, Debug, Serialize)]
pub(super) struct TaskLine<'a> {
    pub index: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chunk: Option<ChunkLine>,
    pub state: TaskState,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// In words, where it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    pub entries: &'a [EntryLine],
    /// Where its standard output lies in the entry `merged`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub merged: Option<RangeLine>,
}

impl TaskLine<'_> {
    /// A task of which nothing is said but how it stands.
    pub fn new(task: &BundleTask) -> Self {
        let chunk = task.chunk.map(Into::into);
        Self { index: task.index, chunk, state: task.state, exit_code: None, outcome: None, digest: None, entries: &[], merged: None }
    }
}

/// A chunk: bytes of the data set, how many are repeated before it from its start, and its records `[first, end)`.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct ChunkLine {
    offset: u64,
    len: u64,
    header: u64,
    records: [u64; 2],
}

impl From<Chunk> for ChunkLine {
    fn from(chunk: Chunk) -> Self {
        let records = [chunk.first_record, chunk.first_record.saturating_add(chunk.records)];
        Self { offset: chunk.offset, len: chunk.len, header: chunk.header, records }
    }
}

/// An entry of the archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct EntryLine {
    pub name: String,
    pub len: u64,
}

/// Bytes of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct RangeLine {
    pub offset: u64,
    pub len: u64,
}

#[derive(Serialize)]
#[serde(untagged)]
enum InputHead<'a> {
    Dataset { dataset: &'a str, digest: String, split: String },
    Array { array: String },
}

#[derive(Serialize)]
struct SharedHead<'a> {
    name: &'a str,
    digest: String,
    len: u64,
}

/// Writes a manifest, task by task.
pub struct ManifestWriter<W> {
    lines: Lines<W>,
}

impl<W: Write> ManifestWriter<W> {
    /// Writes what is said about the job.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn new(to: W, spec: &JobSpec) -> io::Result<Self> {
        let input = match &spec.input {
            Input::Dataset { digest, name, rule } => {
                InputHead::Dataset { dataset: name, digest: digest.to_string(), split: rule.to_string() }
            }
            Input::Array(array) => InputHead::Array { array: array.to_string() },
        };
        let shared = spec.with.iter().map(|file| SharedHead { name: &file.name, digest: file.digest.to_string(), len: file.len });
        let mut lines = Lines::new(to, VERSION)?;
        lines.key("input", &input)?;
        lines.key("command", &spec.command)?;
        lines.key("env", &spec.env.iter().map(|(key, value)| (key, value)).collect::<BTreeMap<_, _>>())?;
        if let Some(image) = &spec.image {
            lines.key("image", image.as_str())?;
        }
        lines.key("with", &shared.collect::<Vec<_>>())?;
        // The label for images follows from the image.
        lines.key::<Resources>("needs", &spec.needs.clone().with_containers(false))?;
        lines.key("timeout_seconds", &spec.timeout.map(seconds))?;
        lines.key("grace_seconds", &seconds(spec.grace))?;
        lines.key("retries", &spec.retries)?;
        let merge = match spec.merge {
            Merge::None => "none",
            Merge::Concat => "concat",
        };
        lines.key("merge", merge)?;
        lines.begin_tasks()?;
        Ok(Self { lines })
    }

    pub(super) fn task(&mut self, line: &TaskLine<'_>) -> io::Result<()> {
        self.lines.task(line)
    }

    /// Ends the file and gives the writer back.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn finish(self) -> io::Result<W> {
        self.lines.finish()
    }
}

/// Whole seconds as such: `5`, not `5.0`.
fn seconds(span: Duration) -> serde_json::Value {
    if span.subsec_nanos() == 0 { span.as_secs().into() } else { span.as_secs_f64().into() }
}

pub(super) fn digest_text(digest: Option<Digest>) -> Option<String> {
    digest.map(|digest| digest.to_string())
}

/// A JSON object with one line per key, whose last key is the list of tasks, with one line per task.
pub(super) struct Lines<W> {
    to: W,
    is_first: bool,
    /// The line at hand: a serializer writes a few bytes at a time, which would cost more than the serializing.
    line: Vec<u8>,
}

impl<W: Write> Lines<W> {
    pub fn new(mut to: W, version: u32) -> io::Result<Self> {
        write!(to, "{{\n\"version\":{version},\n")?;
        Ok(Self { to, is_first: true, line: Vec::new() })
    }

    pub fn key<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) -> io::Result<()> {
        write!(self.to, "\"{key}\":")?;
        serde_json::to_writer(&mut self.to, value)?;
        self.to.write_all(b",\n")
    }

    pub fn begin_tasks(&mut self) -> io::Result<()> {
        self.to.write_all(b"\"tasks\":[")
    }

    pub fn task(&mut self, line: &impl Serialize) -> io::Result<()> {
        self.line.clear();
        self.line.extend_from_slice(if self.is_first { b"\n" } else { b",\n" });
        self.is_first = false;
        serde_json::to_writer(&mut self.line, line)?;
        self.to.write_all(&self.line)
    }

    pub fn finish(mut self) -> io::Result<W> {
        self.to.write_all(b"\n]\n}\n")?;
        Ok(self.to)
    }
}
