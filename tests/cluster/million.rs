//! A head with a large job in its journal, half of it done: its first task goes out within a second of the start.
//!
//! The journal and the results are written by the library, as a head would have; `MILLPOND_FULL=1` writes a million tasks, and holds a
//! release build to the second.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use millpond::blobs::{JobFiles, Segment};
use millpond::codec;
use millpond::domain::entry::{ENTRY_VERSION, Entry, JobEntry, Submitted};
use millpond::domain::{
    ArrayRange, Attempt, Input, JobId, JobSpec, Merge, Outcome, Packed, Policy, Resources, ResultMeta, TaskEnd, TaskNo, Timing, WallTime,
    WorkerId,
};
use millpond::store::{Appended, SledStore, Store};

use super::cluster::Cluster;
use super::process::until;
use super::{is_full, start_within};

/// Entries in one batch.
const BATCH: usize = 4096;

fn spec(total: u32, command: &[&str]) -> JobSpec {
    JobSpec {
        name: "large".into(),
        owner: "ada".into(),
        input: Input::Array(ArrayRange { first: 0, last: total - 1, step: 1 }),
        command: command.iter().map(ToString::to_string).collect(),
        env: Vec::new(),
        with: Vec::new(),
        needs: Resources { cpus: 0, ..Resources::default() },
        timeout: None,
        grace: Duration::from_secs(5),
        retries: 0,
        merge: Merge::None,
        policy: Policy::default(),
        image: None,
    }
}

/// What a head leaves that has done the tasks for which `is_done` holds.
fn writes(data_dir: &Path, spec: JobSpec, total: u32, is_done: impl Fn(u32) -> bool) {
    let job = JobId(1);
    let files = JobFiles::new(data_dir, job);
    files.create().unwrap();
    let segment = Arc::new(Segment::open(&files.segment()).unwrap());
    let at = WallTime::default();
    let submitted = Submitted { job, spec, request_id: String::new(), priority: 0, max_running: None, held: false, at };
    let beginning = [
        Entry::accepted(submitted),
        Entry::Job(job, JobEntry::Split { total }),
        Entry::Job(job, JobEntry::Marked { mark: total / 2 + 1000 }),
    ];
    // One result for all: reading them is not what is measured.
    let meta = |no| ResultMeta {
        no,
        attempt: Attempt(1),
        worker: WorkerId(1),
        outcome: Outcome::Exited { code: 0 },
        timing: Timing::default(),
        packed: Packed::default(),
    };
    let result = segment.append(&meta(TaskNo(0)), &[]).unwrap();
    segment.sync().unwrap();
    let end = |no| {
        let end = TaskEnd { no: TaskNo(no), attempt: Attempt(1), worker: WorkerId(1), success: true, result };
        Entry::Job(job, JobEntry::TaskEnded(end))
    };
    let entries: Vec<Entry> = beginning.into_iter().chain((0..total).filter(|no| is_done(*no)).map(end)).collect();
    let mut store = SledStore::open(data_dir).unwrap();
    let epoch = store.acquire("a test").unwrap();
    for (seq, batch) in (1..).zip(entries.chunks(BATCH)) {
        let batch: Vec<&Entry> = batch.iter().collect();
        assert_eq!(store.append(epoch, seq, &codec::encode(ENTRY_VERSION, &batch).unwrap()).unwrap(), Appended::Durable);
    }
}

/// How long a start takes until the head listens, and until the first task has begun.
fn starts(cluster: &mut Cluster) -> (Duration, Duration) {
    let before = cluster.lines("log").len();
    let started = Instant::now();
    cluster.head_starts_again();
    let listens = started.elapsed();
    until("the first task has begun", || cluster.lines("log").len() > before);
    (listens, started.elapsed())
}

/// `journal_factor`: how many times what is promised a start may take that has all of it to read from the journal.
fn story(what: &str, journal_factor: u32, is_done: impl Fn(u32, u32) -> bool) {
    let total = if is_full() { 1_000_000 } else { 40_000 };
    let mut cluster = Cluster::without_head(&[]);
    let shell = format!("echo $MILLPOND_INDEX >> {}; sleep 0.05", cluster.text_path("log"));
    // Gives the cluster its address.
    cluster.head_starts_at("127.0.0.1:0");
    cluster.head_dies();
    std::fs::remove_dir_all(&cluster.data_dir).unwrap();
    writes(&cluster.data_dir, spec(total, &["sh", "-c", &shell]), total, |no| is_done(no, total));
    cluster.worker_joins(2);
    let took = starts(&mut cluster);
    println!("{total} tasks, {what}, all in the journal: listens after {:?}, the first task after {:?}", took.0, took.1);
    cluster.head_dies();
    let again = starts(&mut cluster);
    println!("{total} tasks, {what}, from a snapshot: listens after {:?}, the first task after {:?}", again.0, again.1);
    let counts = cluster.show("j1")["tasks"].clone();
    let done = (0..total).filter(|no| is_done(*no, total)).count() as u64;
    assert!(counts["total"] == total && counts["succeeded"].as_u64() >= Some(done), "{counts}");
    let promise = start_within();
    assert!(again.1 <= promise, "{again:?}");
    assert!(took.1 <= promise * journal_factor, "{took:?}");
    cluster.ok(&["kill", "j1", "--running", "stop"]);
}

#[test]
fn a_large_job_half_done_goes_on_within_a_second_of_the_start() {
    story("the first half done", 1, |no, total| no < total / 2);
}

#[test]
fn a_large_job_of_which_every_other_task_is_done_goes_on_as_soon() {
    // A head takes a snapshot long before it has so many pieces behind it: this is more than a start ever meets.
    story("every other one done", 2, |no, _| no % 2 == 0);
}
