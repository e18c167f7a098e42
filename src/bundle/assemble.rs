//! From a job's tasks and the descriptions of their results to the archive that a user gets.
//!
//! ```text
//! 000000/stdout  000000/<path>  failed/000007/stderr …   in task order
//! merged                                                 with --merge concat, instead of the single standard outputs
//! manifest.json
//! run.json                                               last: what comes before is the same in every run
//! ```
//! What a failed or killed task left besides standard error is no result and stays out.

use std::fs::File;

use super::archive::{LayoutBuilder, Piece};
use super::layout::Layout;
use super::manifest::{EntryLine, ManifestWriter, RangeLine, TaskLine, digest_text};
use super::run::RunWriter;
use super::spool::{Spool, SpoolWriter};
use super::task::{BundleJob, BundleTask, TaskState};
use crate::domain::{EntryKind, Error, Merge, ResultEntry, ResultMeta, TaskNo};

/// Makes the archive of a job. Tasks come in ascending order; the spool file takes `manifest.json` and `run.json` and stays with the layout.
///
/// A file of a task that would collide with its standard output (`stdout`, or anything in a folder `stdout`) is called `stdout~2` there, or
/// with the next number that is free; not so with [`Merge::Concat`], where the standard output lies elsewhere.
///
/// # Errors
/// Those of the iterator and the spool file; `Corrupt` for descriptions that can't be right; `Invalid` for a name that
/// [`super::check_packed`] would have refused; `Internal` for tasks out of order.
pub fn assemble(job: &BundleJob<'_>, tasks: impl Iterator<Item = Result<BundleTask, Error>>, spool: File) -> Result<Layout, Error> {
    let spool = Spool::new(spool);
    let builder = {
        let mut assembly = Assembly::new(job, &spool)?;
        for task in tasks {
            assembly.task(&task?)?;
        }
        assembly.finish()?
    };
    Ok(builder.finish(Some(spool.into_file())))
}

struct Assembly<'a> {
    builder: LayoutBuilder,
    manifest: ManifestWriter<SpoolWriter<'a>>,
    run: RunWriter<'a, SpoolWriter<'a>>,
    merge: Merge,
    merged: Vec<Piece>,
    merged_len: u64,
    last: Option<TaskNo>,
}

impl<'a> Assembly<'a> {
    fn new(job: &BundleJob<'a>, spool: &'a Spool) -> Result<Self, Error> {
        Ok(Self {
            builder: LayoutBuilder::new(),
            manifest: ManifestWriter::new(spool.writer(), job.spec).map_err(spool_error)?,
            run: RunWriter::new(spool.writer(), *job).map_err(spool_error)?,
            merge: job.spec.merge,
            merged: Vec::new(),
            merged_len: 0,
            last: None,
        })
    }

    fn task(&mut self, task: &BundleTask) -> Result<(), Error> {
        if self.last.replace(task.no).is_some_and(|last| last >= task.no) {
            return Err(Error::internal(format!("bundle: task {} is out of order", task.no)));
        }
        let mut line = TaskLine::new(task);
        let mut entries = Vec::new();
        let mut stderr = None;
        match (task.state, &task.meta) {
            (TaskState::Succeeded, None) => {
                return Err(Error::corrupt(format!("bundle: task {} succeeded but has no result", task.no)));
            }
            (TaskState::Succeeded, Some(meta)) => {
                line.exit_code = meta.outcome.exit_code();
                line.digest = digest_text(meta.packed.digest);
                line.merged = self.results(task, meta, &mut entries)?;
            }
            (TaskState::Failed, Some(meta)) => {
                line.exit_code = meta.outcome.exit_code();
                line.outcome = Some(meta.outcome.describe());
                stderr = self.stderr(task, meta)?;
            }
            (TaskState::Failed, None) | (TaskState::Killed | TaskState::NotRun, _) => {}
        }
        line.entries = &entries;
        self.manifest.task(&line).map_err(spool_error)?;
        let last = task.meta.as_ref().map(|meta| (meta, task.earlier.as_slice()));
        match last.or_else(|| task.earlier.split_last()) {
            Some((last, earlier)) => self.run.task(task.index, last, earlier, stderr.as_deref()).map_err(spool_error),
            None => Ok(()),
        }
    }

    /// Adds the results of a task that succeeded; says where its standard output lies in `merged`.
    fn results(&mut self, task: &BundleTask, meta: &ResultMeta, entries: &mut Vec<EntryLine>) -> Result<Option<RangeLine>, Error> {
        let is_merged = self.merge == Merge::Concat;
        let aside = if is_merged { None } else { name_beside_stdout(&meta.packed.entries) };
        let mut range = is_merged.then_some(RangeLine { offset: self.merged_len, len: 0 });
        for (entry, piece) in pieces(task, meta)? {
            let name = match &entry.kind {
                EntryKind::Stderr => continue,
                EntryKind::Stdout if is_merged => {
                    range = Some(RangeLine { offset: self.merged_len, len: entry.len });
                    self.merged_len = self.merged_len.saturating_add(entry.len);
                    self.merged.push(piece);
                    continue;
                }
                EntryKind::Stdout => format!("{:06}/{STDOUT}", task.index),
                EntryKind::File(path) => format!("{:06}/{}", task.index, moved_aside(path, aside.as_deref())),
            };
            self.builder.add_pieces(&name, &[piece])?;
            entries.push(EntryLine { name, len: entry.len });
        }
        Ok(range)
    }

    /// Adds the standard error of a task that failed, if there is any; says under which name.
    fn stderr(&mut self, task: &BundleTask, meta: &ResultMeta) -> Result<Option<String>, Error> {
        let Some((_, piece)) = pieces(task, meta)?.into_iter().find(|(entry, _)| entry.kind == EntryKind::Stderr) else {
            return Ok(None);
        };
        let name = format!("failed/{:06}/stderr", task.index);
        self.builder.add_pieces(&name, &[piece])?;
        Ok(Some(name))
    }

    fn finish(mut self) -> Result<LayoutBuilder, Error> {
        if self.merge == Merge::Concat {
            self.builder.add_pieces("merged", &self.merged)?;
        }
        let manifest = self.manifest.finish().and_then(SpoolWriter::finish).map_err(spool_error)?;
        self.builder.add_spooled("manifest.json", &manifest)?;
        let run = self.run.finish().and_then(SpoolWriter::finish).map_err(spool_error)?;
        self.builder.add_spooled("run.json", &run)?;
        Ok(self.builder)
    }
}

const STDOUT: &str = "stdout";

/// The entries of a result, each with where its packed bytes lie: one behind the other.
fn pieces<'t>(task: &BundleTask, meta: &'t ResultMeta) -> Result<Vec<(&'t ResultEntry, Piece)>, Error> {
    let mut offset = task.data_offset;
    let mut pieces = Vec::with_capacity(meta.packed.entries.len());
    for entry in &meta.packed.entries {
        pieces.push((entry, Piece { offset, packed_len: entry.packed_len, len: entry.len, crc32: entry.crc32 }));
        let end = offset.checked_add(entry.packed_len);
        offset = end.ok_or_else(|| Error::corrupt(format!("bundle: the lengths of task {} add up to nonsense", task.no)))?;
    }
    Ok(pieces)
}

/// What a file or folder `stdout` is called if there is a standard output too.
fn name_beside_stdout(entries: &[ResultEntry]) -> Option<String> {
    let has_stream = entries.iter().any(|entry| entry.kind == EntryKind::Stdout);
    let is_there = |wanted: &str| entries.iter().any(|entry| matches!(&entry.kind, EntryKind::File(path) if first_part(path) == wanted));
    if !has_stream || !is_there(STDOUT) {
        return None;
    }
    (2u32..).map(|number| format!("{STDOUT}~{number}")).find(|name| !is_there(name))
}

fn moved_aside(path: &str, aside: Option<&str>) -> String {
    match (aside, path.strip_prefix(STDOUT)) {
        (Some(aside), Some(rest)) if first_part(path) == STDOUT => format!("{aside}{rest}"),
        _ => path.to_owned(),
    }
}

fn first_part(path: &str) -> &str {
    path.split('/').next().unwrap_or_default()
}

fn spool_error(error: std::io::Error) -> Error {
    Error::io("the bundle's spool file", &error)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::super::testing::{Bytes, other_readers_accept, unpack, whole};
    use super::*;
    use crate::domain::{
        ArrayRange, Attempt, Chunk, Digest, Input, JobId, JobSpec, Outcome, Packed, Policy, Resources, SharedFile, Timing, WallTime,
        WorkerId,
    };

    fn spec(input: Input, merge: Merge) -> JobSpec {
        JobSpec {
            name: "night".into(),
            owner: "ada".into(),
            input,
            command: vec!["sh".into(), "-c".into(), "echo \"$X\"".into()],
            env: vec![("X".into(), "1".into()), ("A".into(), "ä".into())],
            with: vec![SharedFile { name: "ref.fasta".into(), digest: Digest([1; 32]), len: 9 }],
            needs: Resources { cpus: 2, ..Resources::default() },
            timeout: Some(Duration::from_millis(1500)),
            grace: Duration::from_secs(5),
            retries: 1,
            merge,
            policy: Policy::default(),
            image: None,
        }
    }

    fn dataset() -> Input {
        Input::Dataset { digest: Digest([2; 32]), name: "all.mgf".into(), rule: "mgf:2".parse().unwrap() }
    }

    fn kind(name: &str) -> EntryKind {
        match name {
            ">" => EntryKind::Stdout,
            "2>" => EntryKind::Stderr,
            file => EntryKind::File(file.into()),
        }
    }

    /// Results in a source, and what differs from run to run.
    #[derive(Default)]
    struct Cluster {
        source: Bytes,
        worker: u32,
        clock: i64,
    }

    impl Cluster {
        fn ran(&mut self, no: u32, state: TaskState, outcome: Outcome, left: &[(&str, &str)]) -> BundleTask {
            let mut entries = Vec::new();
            let mut bytes = Bytes::default();
            for (name, content) in left {
                let piece = bytes.add(content.as_bytes());
                bytes.0.drain(piece.offset as usize - 3..piece.offset as usize);
                entries.push(ResultEntry { kind: kind(name), len: piece.len, packed_len: piece.packed_len, crc32: piece.crc32 });
            }
            self.source.0.extend(b"record");
            let data_offset = self.source.0.len() as u64;
            self.source.0.extend(bytes.0);
            self.clock += 1;
            let timing = Timing { started: WallTime(self.clock), ended: WallTime(self.clock + 1) };
            let packed = Packed { entries, digest: Some(Digest([no as u8; 32])) };
            let meta = ResultMeta { no: TaskNo(no), attempt: Attempt(1), worker: WorkerId(self.worker), outcome, timing, packed };
            BundleTask { no: TaskNo(no), index: u64::from(no), chunk: None, state, meta: Some(meta), earlier: Vec::new(), data_offset }
        }

        fn succeeded(&mut self, no: u32, left: &[(&str, &str)]) -> BundleTask {
            self.ran(no, TaskState::Succeeded, Outcome::Exited { code: 0 }, left)
        }

        fn bundle(&self, spec: &JobSpec, tasks: Vec<BundleTask>) -> Result<(Layout, Vec<u8>), Error> {
            let workers = BTreeMap::from([(WorkerId(1), "mill".to_owned())]);
            let created = WallTime(self.clock * 1_000_000);
            let job = BundleJob {
                id: JobId(7),
                spec,
                earlier_commands: &[],
                priority: 3,
                created,
                started: Some(created),
                finished: None,
                workers: &workers,
            };
            let layout = assemble(&job, tasks.into_iter().map(Ok), tempfile::tempfile().unwrap())?;
            let archive = whole(&layout, &self.source);
            Ok((layout, archive))
        }
    }

    fn names(archive: &[u8]) -> Vec<String> {
        unpack(archive).into_iter().map(|(name, _)| name).collect()
    }

    fn text(archive: &[u8], name: &str) -> String {
        let content = unpack(archive).into_iter().find(|entry| entry.0 == name).unwrap().1;
        String::from_utf8(content).unwrap()
    }

    fn unlike_tasks(cluster: &mut Cluster) -> Vec<BundleTask> {
        let mut tasks = vec![
            cluster.succeeded(0, &[(">", "zero\n"), ("2>", "noise"), ("a/b", "file"), ("empty", "")]),
            cluster.ran(1, TaskState::Failed, Outcome::Exited { code: 3 }, &[(">", "half"), ("2>", "sorry"), ("x", "half")]),
            cluster.ran(2, TaskState::Killed, Outcome::Revoked, &[("2>", "…")]),
            cluster.succeeded(3, &[]),
            BundleTask { no: TaskNo(4), index: 4, chunk: None, state: TaskState::NotRun, meta: None, earlier: Vec::new(), data_offset: 0 },
        ];
        tasks[0].chunk = Some(Chunk { offset: 10, len: 90, header: 10, first_record: 0, records: 2 });
        tasks
    }

    #[test]
    fn what_became_of_each_attempt_is_said() {
        let mut cluster = Cluster { worker: 1, ..Cluster::default() };
        let mut tasks = unlike_tasks(&mut cluster);
        let attempt = |attempt: u32, no: u32| {
            let timing = Timing { started: WallTime(7), ended: WallTime(9) };
            ResultMeta {
                no: TaskNo(no),
                attempt: Attempt(attempt),
                worker: WorkerId(2),
                outcome: Outcome::Lost,
                timing,
                packed: Packed::default(),
            }
        };
        tasks[1].earlier = vec![attempt(1, 1), attempt(2, 1)];
        // It waits for its next one.
        tasks[4].earlier = vec![attempt(1, 4), attempt(2, 4)];
        let (_, archive) = cluster.bundle(&spec(dataset(), Merge::None), tasks).unwrap();
        let run: serde_json::Value = serde_json::from_str(&text(&archive, "run.json")).unwrap();
        let said = |line: &serde_json::Value| {
            let earlier =
                line["earlier"].as_array().into_iter().flatten().map(|earlier| earlier["attempt"].as_u64().unwrap()).collect::<Vec<_>>();
            (line["index"].as_u64().unwrap(), line["outcome"].as_str().unwrap().to_owned(), earlier)
        };
        let lines: Vec<_> = run["tasks"].as_array().unwrap().iter().map(said).collect();
        assert_eq!(lines[1], (1, "exit code 3".into(), vec![1, 2]));
        assert_eq!(lines[4], (4, "its worker went away".into(), vec![1]));
        assert_eq!((lines.len(), lines[0].2.len()), (5, 0));
        let lost = &run["tasks"][1]["earlier"][0];
        assert_eq!((lost["worker"].as_str(), lost["ended"].as_str()), (Some("w2"), Some("1970-01-01T00:00:00.000009Z")), "{lost}");
    }

    #[test]
    fn a_bundle_has_results_and_the_last_words_of_failed_tasks() {
        let mut cluster = Cluster { worker: 1, ..Cluster::default() };
        let tasks = unlike_tasks(&mut cluster);
        let (_, archive) = cluster.bundle(&spec(dataset(), Merge::None), tasks).unwrap();
        let expected = ["000000/stdout", "000000/a/b", "000000/empty", "failed/000001/stderr", "manifest.json", "run.json"];
        assert_eq!(names(&archive), expected);
        assert_eq!(text(&archive, "failed/000001/stderr"), "sorry");
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("b.zip"), &archive).unwrap();
        other_readers_accept(&folder.path().join("b.zip"), 6);
    }

    #[test]
    fn a_manifest_says_what_is_the_same_in_every_run() {
        let mut cluster = Cluster { worker: 1, ..Cluster::default() };
        let tasks = unlike_tasks(&mut cluster);
        let (_, archive) = cluster.bundle(&spec(dataset(), Merge::None), tasks).unwrap();
        let hex = |byte: &str| byte.repeat(32);
        let expected = format!(
            r#"{{
"version":1,
"input":{{"dataset":"all.mgf","digest":"{}","split":"mgf:2"}},
"command":["sh","-c","echo \"$X\""],
"env":{{"A":"ä","X":"1"}},
"with":[{{"name":"ref.fasta","digest":"{}","len":9}}],
"needs":{{"cpus":2,"mem_bytes":0,"gpus":0,"labels":{{}}}},
"timeout_seconds":1.5,
"grace_seconds":5,
"retries":1,
"merge":"none",
"tasks":[
{{"index":0,"chunk":{{"offset":10,"len":90,"header":10,"records":[0,2]}},"state":"succeeded","exit_code":0,"digest":"{}","entries":[{{"name":"000000/stdout","len":5}},{{"name":"000000/a/b","len":4}},{{"name":"000000/empty","len":0}}]}},
{{"index":1,"state":"failed","exit_code":3,"outcome":"exit code 3","entries":[]}},
{{"index":2,"state":"killed","entries":[]}},
{{"index":3,"state":"succeeded","exit_code":0,"digest":"{}","entries":[]}},
{{"index":4,"state":"not_run","entries":[]}}
]
}}
"#,
            hex("02"),
            hex("01"),
            hex("00"),
            hex("03")
        );
        assert_eq!(text(&archive, "manifest.json"), expected);
        serde_json::from_str::<serde_json::Value>(&expected).unwrap();
    }

    #[test]
    fn a_run_file_says_who_did_it_and_when() {
        let mut cluster = Cluster { worker: 1, ..Cluster::default() };
        let mut tasks = unlike_tasks(&mut cluster);
        tasks[3].meta.as_mut().unwrap().worker = WorkerId(5);
        let (_, archive) = cluster.bundle(&spec(dataset(), Merge::None), tasks).unwrap();
        let expected = r#"{
"version":1,
"id":"j7",
"name":"night",
"owner":"ada",
"priority":3,
"created":"1970-01-01T00:00:04.000000Z",
"started":"1970-01-01T00:00:04.000000Z",
"finished":null,
"tasks":[
{"index":0,"attempt":1,"worker":"mill","started":"1970-01-01T00:00:00.000001Z","ended":"1970-01-01T00:00:00.000002Z","outcome":"exit code 0"},
{"index":1,"attempt":1,"worker":"mill","started":"1970-01-01T00:00:00.000002Z","ended":"1970-01-01T00:00:00.000003Z","outcome":"exit code 3","stderr":"failed/000001/stderr"},
{"index":2,"attempt":1,"worker":"mill","started":"1970-01-01T00:00:00.000003Z","ended":"1970-01-01T00:00:00.000004Z","outcome":"stopped"},
{"index":3,"attempt":1,"worker":"w5","started":"1970-01-01T00:00:00.000004Z","ended":"1970-01-01T00:00:00.000005Z","outcome":"exit code 0"}
]
}
"#;
        assert_eq!(text(&archive, "run.json"), expected);
        serde_json::from_str::<serde_json::Value>(expected).unwrap();
    }

    #[test]
    fn two_runs_differ_in_the_run_file_alone() {
        let spec = spec(dataset(), Merge::None);
        let mut one = Cluster { worker: 1, clock: 5, ..Cluster::default() };
        let tasks = unlike_tasks(&mut one);
        let (first, first_bytes) = one.bundle(&spec, tasks).unwrap();
        let mut other = Cluster { worker: 2, clock: 99, ..Cluster::default() };
        other.source.0.extend(b"results came in at other places");
        let tasks = unlike_tasks(&mut other);
        let (second, second_bytes) = other.bundle(&spec, tasks).unwrap();
        assert_ne!(first.etag(), second.etag());
        let run = first_bytes.windows(8).position(|window| window == b"run.json").unwrap() - 30;
        assert_eq!(first_bytes[..run], second_bytes[..run]);
        assert_eq!(text(&first_bytes, "manifest.json"), text(&second_bytes, "manifest.json"));
        assert_ne!(text(&first_bytes, "run.json"), text(&second_bytes, "run.json"));
    }

    #[test]
    fn merged_outputs_are_joined_in_task_order() {
        let mut cluster = Cluster::default();
        let tasks = vec![
            cluster.succeeded(0, &[(">", "zero\n"), ("stdout", "a file")]),
            cluster.ran(1, TaskState::Failed, Outcome::TimedOut, &[(">", "half")]),
            cluster.succeeded(2, &[("f", "silent")]),
            cluster.succeeded(3, &[(">", "three\n")]),
        ];
        let (_, archive) = cluster.bundle(&spec(dataset(), Merge::Concat), tasks).unwrap();
        assert_eq!(names(&archive), ["000000/stdout", "000002/f", "merged", "manifest.json", "run.json"]);
        assert_eq!(text(&archive, "merged"), "zero\nthree\n");
        let manifest: serde_json::Value = serde_json::from_str(&text(&archive, "manifest.json")).unwrap();
        let range = |task: usize| (manifest["tasks"][task]["merged"]["offset"].as_u64(), manifest["tasks"][task]["merged"]["len"].as_u64());
        assert_eq!([range(0), range(1), range(2), range(3)], [(Some(0), Some(5)), (None, None), (Some(5), Some(0)), (Some(5), Some(6))]);
        let (_, empty) = cluster.bundle(&spec(dataset(), Merge::Concat), vec![]).unwrap();
        assert_eq!(text(&empty, "merged"), "");
    }

    #[test]
    fn a_file_gives_way_to_the_standard_output() {
        let mut cluster = Cluster::default();
        let tasks = vec![
            cluster.succeeded(0, &[(">", "stream"), ("stdout", "file"), ("stdout~2", "taken")]),
            cluster.succeeded(1, &[(">", "stream"), ("stdout/x", "below"), ("stdout2", "other")]),
            cluster.succeeded(2, &[("stdout", "no stream here")]),
        ];
        let array = Input::Array(ArrayRange { first: 0, last: 2, step: 1 });
        let (_, archive) = cluster.bundle(&spec(array, Merge::None), tasks).unwrap();
        let zero = ["000000/stdout", "000000/stdout~3", "000000/stdout~2"];
        let rest = ["000001/stdout", "000001/stdout~2/x", "000001/stdout2", "000002/stdout", "manifest.json", "run.json"];
        assert_eq!(names(&archive), [&zero[..], &rest].concat());
        assert_eq!(text(&archive, "000000/stdout~3"), "file");
        assert!(text(&archive, "manifest.json").contains("\"input\":{\"array\":\"0-2\"}"));
    }

    #[test]
    fn what_can_not_be_is_an_error() {
        let mut cluster = Cluster::default();
        let spec = spec(dataset(), Merge::None);
        let good = cluster.succeeded(0, &[(">", "x")]);
        assert!(cluster.bundle(&spec, vec![good.clone(), good.clone()]).is_err(), "out of order");
        assert!(cluster.bundle(&spec, vec![BundleTask { meta: None, ..good.clone() }]).is_err(), "no result");
        assert!(cluster.bundle(&spec, vec![BundleTask { data_offset: u64::MAX, ..good }]).is_err(), "nonsense");
        let escaping = cluster.succeeded(1, &[("../x", "x")]);
        assert!(cluster.bundle(&spec, vec![escaping]).is_err(), "a name that leaves");
    }
}
