//! The verbs against a scripted head: what they print, and how they exit.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::exit::Exit;
use super::fake_head::{FakeHead, Script, job};
use crate::domain::{Error, ErrorKind};
use crate::rpc::client::Client;
use crate::rpc::hashed::Form;
use crate::rpc::pb::{
    ControlReply, DataPiece, Dataset, Job, JobEvent, JobState, LogPiece, Resources, Scale, ScaleWorker, Task, TaskCounts, TaskState,
    Worker, WorkerState,
};

mod running;
mod shell;
mod steering;

use shell::{Closed, Page, Shell};

fn reply(job: Job, changed: bool, dropped: u32) -> Result<ControlReply, Error> {
    let tasks = job.tasks.unwrap_or_default();
    let (undispatched, running) = (tasks.undispatched - dropped, tasks.running);
    Ok(ControlReply { job: Some(job), changed, dropped, undispatched, running, ..Default::default() })
}

fn event(cursor: u64, kind: &str, job: Job) -> JobEvent {
    JobEvent { cursor, time: job.created, kind: kind.into(), text: String::new(), job: Some(job) }
}

fn piece(data: &'static [u8], total_len: u64, etag: &str) -> DataPiece {
    DataPiece { data: data.into(), total_len, etag: etag.into() }
}

fn lost() -> Option<Error> {
    Some(Error::unavailable("going away"))
}

#[tokio::test]
async fn list_and_show_in_every_format() {
    let jobs = vec![Job { held: true, ..job("j12", JobState::Waiting) }, job("j7", JobState::Running)];
    let mut shell = Shell::with(Script { jobs, ..Default::default() }).await;
    let table = "\
ID   NAME   OWNER  STATE            PRIORITY  TASKS  DONE  RUNNING  FAILED  CREATED (UTC)
j12  human  ana    waiting, paused         0   1000   172       16       2  2023-11-14 22:13:20
";
    // Pages of one job: the second page keeps the widths of the first.
    let out = shell.run(&["list"]).await.out;
    assert_eq!(out, format!("{table}j7   human  ana    running                 0   1000   172       16       2  2023-11-14 22:13:20\n"));
    assert_eq!(shell.run(&["list", "-q"]).await.out, "j12\nj7\n");
    assert_eq!(shell.run(&["list", "--format", "jsonl"]).await.out.lines().count(), 2);
    let document: serde_json::Value = serde_json::from_str(&shell.run(&["list", "--format", "json"]).await.out).unwrap();
    assert_eq!((&document["version"], &document["jobs"][1]["id"]), (&1.into(), &"j7".into()));
    let digest = "ab".repeat(32);
    let want = format!(
        "{}{}{}{}",
        r#"{"version":1,"id":"j7","name":"human","owner":"ana","state":"running","held":false,"frozen":false,"resumes":null,"priority":0,"max_running":null,"#,
        r#""past_finish_line":false,"reason":null,"eta_seconds":null,"eta_record":null,"since":null,"tasks":{"total":1000,"undispatched":812,"running":16,"succeeded":170,"failed":2,"killed":0},"#,
        format_args!(
            r#""input":{{"dataset":{{"digest":"{digest}","name":"human.mgf","split":"mgf:10"}}}},"command":["search","{{input}}"],"image":null,"#
        ),
        r#""created":"2023-11-14T22:13:20.000005Z","started":null,"finished":null,"expires":null,"round":0,"changes":[]}"#
    );
    assert_eq!(shell.run(&["show", "7", "--format", "json"]).await.out, format!("{want}\n"));
    let human = shell.run(&["show", "7"]).await.out;
    assert!(human.contains("tasks      1000: 812 not started, 16 running, 170 succeeded, 2 failed, 0 killed\n"), "{human}");
}

#[tokio::test]
async fn tasks_workers_data_and_explanations_are_listed() {
    let task = Task {
        id: "j7.42".into(),
        index: 42,
        state: TaskState::Failed.into(),
        attempt: 1,
        worker: "w3".into(),
        exit_code: Some(2),
        outcome: "exit code 2\u{1b}[2J".into(),
        ..Default::default()
    };
    let worker = Worker {
        id: "w3".into(),
        host: "mill".into(),
        state: WorkerState::Busy.into(),
        slots: 8,
        total: Some(Resources::default()),
        ..Default::default()
    };
    let data = Dataset { digest: "ab".repeat(32), name: "human.mgf".into(), len: 3 << 20, ..Default::default() };
    let mut shell = Shell::with(Script { tasks: vec![task], workers: vec![worker], datasets: vec![data], ..Default::default() }).await;
    let tasks = shell.run(&["tasks", "7"]).await.out;
    assert!(tasks.contains("j7.42  failed        1  w3         2"), "{tasks}");
    assert!(!tasks.contains('\u{1b}'), "another's text must not steer the terminal");
    assert_eq!(shell.run(&["worker", "list"]).await.out, "ID  HOST  STATE  SLOTS  FREE  TASKS\nw3  mill  busy       8     0      0\n");
    assert_eq!(shell.run(&["worker", "drain", "w3"]).await.out, "w3 on mill takes no more tasks: 8 of 8 slots in use\n");
    let would = shell.run(&["worker", "drain", "w3", "--dry-run"]).await.out;
    assert_eq!(would, "dry run: w3 on mill takes no more tasks: 8 of 8 slots in use\n");
    let would = shell.run(&["worker", "resume", "w3", "--dry-run", "--format", "json"]).await.out;
    assert!(would.ends_with(",\"dry_run\":true}\n"), "{would}");
    assert_eq!(shell.run(&["worker", "show", "w4"]).await.exit, Exit::NotFound);
    assert!(shell.run(&["data", "list"]).await.out.contains("human.mgf  3.0 MiB"));
    assert_eq!(shell.run(&["explain", "j7.42"]).await.out, "j7.42 waits: j3 has a higher priority\n");
    assert_eq!(shell.run(&["explain", "w3"]).await.out, "w3 is busy\n  to change  nothing: it works\n");
    let document = shell.run(&["explain", "w3", "--format", "json"]).await.out;
    assert!(
        document.starts_with(r#"{"version":1,"id":"w3","state":null,"status":"busy","sentence":"w3 is busy","place":null"#),
        "{document}"
    );
    let ran = shell.run(&["logs", "7.42"]).await;
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("StreamStdout of j7.42\n".replace("Stream", "").as_str(), "Stderr of j7.42\n"));
}

#[tokio::test]
async fn a_task_is_followed_on_behind_what_was_seen_when_the_connection_breaks() {
    let piece = |attempt, offset, data: &'static str| LogPiece { attempt, offset, data: data.into(), ..Default::default() };
    let says = |text: &str| LogPiece { text: text.into(), ..Default::default() };
    let broken = vec![says("j7.4 waits for a slot"), piece(1, 0, "ab"), LogPiece { left_out: 3, ..piece(1, 5, "fg\x1b") }];
    let end = LogPiece { ended: true, ..says("j7.4 has ended: exit code 3") };
    let logs = [(broken, Some(Error::unavailable("the line broke"))), (vec![piece(1, 8, "h"), piece(2, 0, "AB"), end], None)];
    let mut shell = Shell::with(Script { logs: logs.into(), ..Script::default() }).await;
    let ran = shell.run(&["logs", "j7.4", "-f", "--stdout", "--tail", "1k"]).await;
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Done, "abfg\x1bhAB"), "byte for byte");
    let notes = "j7.4 waits for a slot\n… 3 bytes of standard output left out before byte 5 …\nj7.4 has ended: exit code 3\n";
    assert_eq!(ran.err, notes);
    let asked = ["follow Stdout of j7.4 from (0, 0, Some(1024))", "follow Stdout of j7.4 from (1, 8, Some(1024))"];
    assert_eq!(shell.head.script().asked, asked);
    assert_eq!(shell.run(&["logs", "j7.4", "-f", "--stderr"]).await.exit, Exit::Conflict, "what the head refuses");
    assert_eq!(shell.run(&["logs", "j7.4", "--tail", "1k"]).await.exit, Exit::Usage);
}

#[tokio::test]
async fn the_order_is_shown_and_what_it_would_be() {
    let mut shell = Shell::with(Script::default()).await;
    let out = shell.run(&["order", "--what-if", "j7=-6"]).await.out;
    let expected = "\
NEXT  JOB  OWNER  PRIORITY  RULE                     BEFORE  NAME
1-3   j9                 0  priority                 j7
4     j7                 0  no other job wants a slot
j7 is number 2 in the order, and would be number 1 with priority -6
j8 gets none: as many slots as its owner may have (`millpond explain j8`)
";
    let lines = |text: &str| text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>();
    assert_eq!(lines(&out), lines(expected));
    assert_eq!(shell.head.script().asked, [r#"order: Some(WhatIf { job: "j7", priority: -6 })"#]);
    assert_eq!(shell.run(&["order", "-q"]).await.out, "j9\nj7\n");
    let document: serde_json::Value = serde_json::from_str(&shell.run(&["order", "--format", "json"]).await.out).unwrap();
    assert_eq!((&document["next"][0]["count"], &document["next"][1]["rule"]), (&3.into(), &serde_json::Value::Null));
    assert_eq!(shell.run(&["order", "--what-if", "j7"]).await.exit, Exit::Usage);
}

#[tokio::test]
async fn scale_says_what_is_wanted_and_refuses_half_a_scaler() {
    let worker = |id: &str, idle, draining| ScaleWorker { id: id.into(), idle, draining, ..Default::default() };
    let workers = vec![worker("w1", false, false), worker("w2", true, false), worker("w3", true, true)];
    let scale = Scale {
        slots_wanted: 20,
        tasks_out: 8,
        tasks_waiting: 12,
        tasks_unfit: 3,
        slots: 8,
        slots_elsewhere: 4,
        slots_per_worker: 4,
        workers_wanted: Some(4),
        workers,
        newest_worker: "w3".into(),
    };
    let mut shell = Shell::with(Script { scale, ..Default::default() }).await;
    let table = "\
wanted    20 slots: 8 tasks out, 12 would start; 3 more fit no worker
there     8 slots; 4 more of workers that are not the pool's
workers   4 wanted, 3 connected, 1 idle, 1 draining
";
    assert_eq!(shell.run(&["scale"]).await.out, table);
    assert_eq!(shell.run(&["scale", "-q"]).await.out, "4\n");
    let document = shell.run(&["scale", "--slots-per-worker", "16", "--format", "json"]).await.out;
    let want = r#"{"version":1,"slots_wanted":20,"tasks":{"out":8,"waiting":12,"unfit":3},"slots":8,"slots_elsewhere":4,"slots_per_worker":16,"workers_wanted":1,"workers":{"connected":3,"idle":1,"draining":1}}"#;
    assert_eq!(document, format!("{want}\n"));
    for half in [&["--run"][..], &["--max", "3"], &["--run", "--scale-up", "a", "--scale-down", "b"]] {
        assert_eq!(shell.run(&[&["scale"], half].concat()).await.exit, Exit::Usage, "{half:?}");
    }
    let whole = ["scale", "--run", "--scale-up", "a", "--scale-down", "b", "--max", "3", "--min", "4"];
    let refused = shell.run(&whole).await;
    assert_eq!((refused.exit, refused.err.as_str()), (Exit::Usage, "millpond: --min 4 is more than --max 3\n"));
}

#[tokio::test]
async fn submit_uploads_what_is_missing_and_prints_the_id() {
    let dir = tempfile::tempdir().unwrap();
    let (input, shared) = (dir.path().join("human.mgf"), dir.path().join("ref.fasta"));
    std::fs::write(&input, vec![b'x'; 600 * 1024]).unwrap();
    std::fs::write(&shared, "abc").unwrap();
    // The head has `abc` already.
    let known = Dataset { digest: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".into(), len: 3, ..Default::default() };
    let mut shell = Shell::with(Script { datasets: vec![known], ..Default::default() }).await;
    let (input, shared) = (input.to_string_lossy().into_owned(), shared.to_string_lossy().into_owned());
    let ran = shell.run(&["submit", &input, "--with", &shared, "--mem", "4G", "--timeout", "1h30m", "--", "search", "-x", "{input}"]).await;
    assert_eq!((ran.exit, ran.out.as_str(), ran.err.as_str()), (Exit::Done, "j7\n", ""));
    assert_eq!(shell.asked(), ["upload human.mgf of 614400 bytes", "submit"]);
    let request = shell.head.script().submitted.clone().unwrap();
    let spec = request.spec.unwrap();
    assert_eq!((spec.name.as_str(), spec.owner.as_str(), spec.command.len()), ("human", "ana", 3));
    assert_eq!((spec.shared_files[0].name.as_str(), spec.shared_files[0].len), ("ref.fasta", 3));
    assert_eq!((spec.needs.unwrap().mem_bytes, spec.timeout.unwrap().seconds), (4 << 30, 5400));
    assert_eq!(request.request_id.len(), 36);
}

#[tokio::test]
async fn a_wrong_command_line_is_said_before_anything_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let empty = dir.path().join("empty");
    std::fs::write(&empty, "").unwrap();
    let empty = empty.to_string_lossy().into_owned();
    let mut shell = Shell::with(Script::default()).await;
    for (args, exit, what) in [
        (vec!["submit", "--", "wc"], Exit::Usage, "no input"),
        (vec!["submit", "in", "--array", "1-2", "--", "wc"], Exit::Usage, "exclude each other"),
        (vec!["submit", "in"], Exit::Usage, "no command"),
        (vec!["submit", "/nowhere/in", "--", "wc"], Exit::NotFound, "/nowhere/in"),
        (vec!["submit", "--array", "1", "--with", "/nowhere/ref", "--", "wc"], Exit::NotFound, "/nowhere/ref"),
        (vec!["submit", &empty, "--", "wc"], Exit::Usage, "empty"),
        (vec!["submit", "in", "--mem", "4X", "--", "wc"], Exit::Usage, "size `4X`"),
        (vec!["show", "x"], Exit::Usage, "not a job"),
        (vec!["frobnicate"], Exit::Usage, "frobnicate"),
        (vec!["run", "--resume", "--", "wc"], Exit::Usage, "--resume"),
    ] {
        let ran = shell.run(&args).await;
        assert_eq!(ran.exit, exit, "{args:?}: {}", ran.err);
        assert!(ran.err.starts_with("millpond: ") && ran.err.contains(what), "{args:?}: {}", ran.err);
    }
    assert_eq!(shell.asked(), [""; 0]);
}

#[tokio::test]
async fn without_a_head_it_says_how_to_name_one_and_where_none_answers() {
    let mut shell = Shell::with(Script::default()).await;
    shell.configured = false;
    let ran = shell.run(&["list"]).await;
    assert_eq!(ran.exit, Exit::Usage);
    assert!(ran.err.contains("MILLPOND_HEAD"), "{}", ran.err);
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    let ran = shell.run(&["list", "--head", &url]).await;
    assert_eq!(ran.exit, Exit::Unreachable);
    assert_eq!(
        ran.err,
        format!("millpond: can't reach the head at {url}: connection refused; is it running? (millpond-head, or `millpond up`)\n")
    );
    assert_eq!(shell.run(&["list", "--head", "ftp://x"]).await.exit, Exit::Usage);
}

#[tokio::test]
async fn a_closed_output_ends_quietly() {
    let mut shell = Shell::with(Script { jobs: vec![job("j7", JobState::Running)], ..Default::default() }).await;
    let err = Page::default();
    let (exit, _) = shell.run_with(&["list"], Box::new(Closed), Box::new(err.clone())).await;
    assert_eq!((exit, err.text().as_str()), (Exit::Done, ""));
}

#[tokio::test]
async fn wait_goes_on_at_its_cursor_and_its_exit_code_says_how_it_ended() {
    let running = || job("j7", JobState::Running);
    for (state, exit, line) in [
        (JobState::Succeeded, Exit::Done, "j7 succeeded: 1000 tasks\n"),
        (JobState::Failed, Exit::SomeFailed, "j7 failed: 2 of 1000 tasks failed\n"),
        (JobState::Killed, Exit::Killed, "j7 killed: 170 of 1000 tasks done, 2 failed\n"),
    ] {
        let watches = [
            (vec![event(5, "snapshot", running())], lost()),
            (vec![event(6, "progress", running())], None),
            (vec![], Some(Error::exhausted("too slow"))),
            (vec![event(7, "ended", job("j7", state))], None),
        ];
        let mut shell = Shell::with(Script { watches: watches.into(), ..Default::default() }).await;
        let ran = shell.run(&["wait", "7"]).await;
        assert_eq!((ran.exit, ran.out.as_str()), (exit, line));
        assert_eq!(ran.err.contains("millpond tasks j7 --state failed"), state != JobState::Succeeded, "{}", ran.err);
        assert_eq!(shell.asked(), ["watch j7 from 0", "watch j7 from 5", "watch j7 from 6", "watch j7 from 6"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wait_outlives_a_restart_of_the_head() {
    // A process of its own, as far as sockets are concerned: all of them close when it ends.
    let process = tokio::runtime::Runtime::new().unwrap();
    let first =
        Script { watches: [(vec![event(5, "snapshot", job("j7", JobState::Running))], None)].into(), hangs: true, ..Default::default() };
    let (before, url) = process.spawn(FakeHead::serve(first)).await.unwrap();
    let mut shell = Shell::with(Script::default()).await;
    shell.url = url.clone();
    let restart = async {
        while before.script().asked.len() < 2 {
            tokio::task::yield_now().await;
        }
        process.shutdown_background();
        let ended = (vec![event(6, "ended", job("j7", JobState::Succeeded))], None);
        let address = url.trim_start_matches("http://");
        while std::net::TcpListener::bind(address).is_err() {
            tokio::task::yield_now().await;
        }
        FakeHead::serve_at(address, Script { watches: [ended].into(), ..Default::default() }).await.0
    };
    let (ran, after) = tokio::join!(shell.run(&["wait", "7"]), restart);
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Done, "j7 succeeded: 1000 tasks\n"), "{}", ran.err);
    assert_eq!(before.script().asked.last().unwrap(), "watch j7 from 5");
    assert_eq!(after.script().asked, ["watch j7 from 5"]);
}

#[tokio::test]
async fn wait_times_out_with_its_own_exit_code() {
    let mut shell = Shell::with(Script { hangs: true, ..Default::default() }).await;
    let ran = shell.run(&["wait", "7", "--timeout", "50ms"]).await;
    assert_eq!((ran.exit, ran.err.as_str()), (Exit::TimedOut, "millpond: waited long enough: j7\n"));
    // The head is there, but answers that it can't.
    let mut shell = Shell::with(Script::default()).await;
    let ran = shell.run(&["wait", "7", "--timeout", "50ms"]).await;
    assert_eq!(ran.exit, Exit::TimedOut);
    assert!(ran.err.contains("can't be reached"), "{}", ran.err);
}

#[tokio::test]
async fn watch_prints_events_as_lines_or_documents() {
    let watch = || (vec![event(1, "snapshot", job("j7", JobState::Running)), event(2, "ended", job("j7", JobState::Succeeded))], None);
    let mut shell = Shell::with(Script { watches: [watch(), watch()].into(), ..Default::default() }).await;
    let want = "2023-11-14 22:13:20  j7 running: 172 of 1000 done, 16 running, 2 failed\n2023-11-14 22:13:20  j7 succeeded: 1000 tasks\n";
    assert_eq!(shell.run(&["watch", "7"]).await.out, want);
    let out = shell.run(&["watch", "7", "--format", "jsonl"]).await.out;
    assert!(
        out.starts_with(r#"{"version":1,"cursor":1,"time":"2023-11-14T22:13:20.000005Z","kind":"snapshot","text":"","job":{"version":1,"#)
    );
    assert_eq!(out.lines().count(), 2);
}

#[tokio::test]
async fn a_broken_download_goes_on_and_a_changed_bundle_starts_again() {
    let bundles = [
        (vec![piece(b"old", 6, "e1")], lost()),
        (vec![piece(b"NE", 5, "e2")], None),
        (vec![piece(b"NE", 5, "e2")], lost()),
        (vec![piece(b"WER", 5, "e2")], None),
    ];
    let mut shell = Shell::with(Script { bundles: bundles.into(), ..Default::default() }).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("out.zip");
    let ran = shell.run(&["results", "7", "-o", &file.to_string_lossy()]).await;
    assert_eq!((ran.exit, ran.out), (Exit::Done, format!("{}: 5 B\n", file.display())));
    assert_eq!(std::fs::read(&file).unwrap(), b"NEWER");
    assert_eq!(shell.asked(), ["bundle j7 from 0 of ``", "bundle j7 from 3 of `e1`", "bundle j7 from 0 of ``", "bundle j7 from 2 of `e2`"]);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_download_that_fails_leaves_nothing_behind() {
    // The connection breaks there; asked again for the rest, the head says why.
    let bundles = [(vec![piece(b"half", 8, "e1")], lost()), (vec![], Some(Error::corrupt("segment damaged")))];
    let mut shell = Shell::with(Script { bundles: bundles.into(), ..Default::default() }).await;
    let dir = tempfile::tempdir().unwrap();
    let ran = shell.run(&["results", "7", "-o", &dir.path().join("out.zip").to_string_lossy()]).await;
    assert_eq!((ran.exit, ran.err.as_str()), (Exit::Other, "millpond: segment damaged\n"));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn results_go_to_standard_output_for_a_dash() {
    let bundles = [(vec![piece(b"PK", 4, "e"), piece(b"34", 0, "")], None)];
    let mut shell = Shell::with(Script { bundles: bundles.into(), ..Default::default() }).await;
    assert_eq!(shell.run(&["results", "7", "-o", "-"]).await.out, "PK34");
}

#[tokio::test]
async fn an_upload_whose_source_breaks_is_not_taken_for_complete() {
    struct Breaks(bool);
    impl tokio::io::AsyncRead for Breaks {
        fn poll_read(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            buffer: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<io::Result<()>> {
            if self.0 {
                return std::task::Poll::Ready(Err(io::Error::other("disk on fire")));
            }
            buffer.put_slice(&vec![7; buffer.remaining()]);
            self.0 = true;
            std::task::Poll::Ready(Ok(()))
        }
    }
    let shell = Shell::with(Script::default()).await;
    let client = Client::connect(&shell.url.parse().unwrap()).await.unwrap();
    let error = client.upload_reader(Breaks(false), "x", |_| {}).await.unwrap_err();
    assert_eq!(error, Error::internal("can't read the data to upload: disk on fire"));
    while shell.asked().is_empty() {
        tokio::task::yield_now().await;
    }
    let data = client.upload_reader(&b"abc"[..], "y", |_| {}).await.unwrap();
    assert_eq!((data.len, shell.asked()), (3, vec!["upload x broke off".to_owned(), "upload y of 3 bytes".to_owned()]));
    assert_eq!(client.upload_reader(&b""[..], "z", |_| {}).await.unwrap_err().kind, ErrorKind::Invalid);
    let missing = PathBuf::from("/nowhere/x");
    assert_eq!(client.upload_file(&missing, "x", Form::AsIs, |_, _| {}).await.unwrap_err().kind, ErrorKind::NotFound);
}

#[tokio::test]
async fn a_dry_split_needs_no_head_and_says_what_each_task_would_get() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.csv");
    std::fs::write(&path, "a,b\n1,one\n2,\"two\n2\"\n3,three\n").unwrap();
    let path = path.to_str().unwrap();
    let mut shell = Shell::with(Script::default()).await;
    shell.configured = false;
    let ran = shell.run(&["split", "--dry-run", path, "--split", "csv:2"]).await;
    let want = "x.csv: 28 B, by csv:2\nchunks: 2, of 3 records, a header of 4 B repeated in each\n\
                size of a chunk: 12 B to 20 B, median 12 B\n\
                CHUNK  RECORDS  SIZE  FIRST RECORD\n    0        2  20 B  1,one\n    1        1  12 B  3,three\n";
    assert_eq!((ran.out.as_str(), ran.err.as_str()), (want, ""));
    let ran = shell.run(&["split", "--dry-run", path, "--format", "json"]).await;
    let want = r#"{"version":1,"file":"x.csv","packing":null,"split":"csv/chunks:8","bytes":28,"records":3,"chunks":3,"header_bytes":4,"chunk_bytes":{"min":10,"median":12,"max":14},"first":[{"chunk":0,"records":1,"bytes":10,"line":"1,one"},{"chunk":1,"records":1,"bytes":14,"line":"2,\"two"},{"chunk":2,"records":1,"bytes":12,"line":"3,three"}]}"#;
    assert_eq!(ran.out, format!("{want}\n"));
    assert_eq!(shell.run(&["-q", "split", "--dry-run", path]).await.out, "3\n");
    for (args, exit, says) in [
        (vec!["split", path], Exit::Usage, "--dry-run"),
        (vec!["split", "--dry-run", "-"], Exit::Usage, "needs a file"),
        (vec!["split", "--dry-run", "/nonexistent.csv"], Exit::NotFound, "/nonexistent.csv"),
        (vec!["split", "--dry-run", path, "--split", "fastq:1"], Exit::Usage, "x.csv: line 1 (byte 0): found \"a\""),
    ] {
        let ran = shell.run(&args).await;
        assert!(ran.exit == exit && ran.err.contains(says), "{args:?}: {}", ran.err);
    }
    assert!(shell.asked().is_empty());
}

#[tokio::test]
async fn words_of_others_are_taken_where_they_mean_the_same_and_answered_where_not() {
    let replies = [reply(job("j7", JobState::Running), true, 0), reply(job("j7", JobState::Running), true, 0)].into();
    let mut shell = Shell::with(Script { jobs: vec![job("j7", JobState::Running)], replies, ..Default::default() }).await;
    assert_eq!(shell.run(&["ls", "-q"]).await.out, "j7\n");
    shell.run(&["hold", "7"]).await;
    shell.run(&["release", "7"]).await;
    assert_eq!(shell.asked(), ["pause j7", "resume j7"]);
    let ran = shell.run(&["scancel", "7"]).await;
    assert_eq!(ran.exit, Exit::Usage);
    assert!(ran.err.contains("unrecognized subcommand 'scancel'") && ran.err.contains("`millpond kill JOB --running stop`"), "{}", ran.err);
}

#[tokio::test]
async fn each_verb_and_each_daemon_has_a_manual_page() {
    use clap::CommandFactory;
    let mut shell = Shell::with(Script::default()).await;
    shell.configured = false;
    let dir = tempfile::tempdir().unwrap();
    let ran = shell.run(&["man", &dir.path().to_string_lossy(), "-q"]).await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.err);
    let page = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let command = super::args::Cli::command();
    for verb in command.get_subcommands() {
        let text = page(&format!("man1/millpond-{}.1", verb.get_name()));
        assert!(text.contains(&format!("millpond {}", verb.get_name()).replace('-', "\\-")), "{text}");
        for verb_of_verb in verb.get_subcommands() {
            page(&format!("man1/millpond-{}-{}.1", verb.get_name(), verb_of_verb.get_name()));
        }
    }
    assert!(page("man1/millpond.1").contains("millpond\\-submit(1)"));
    assert!(page("man8/millpond-worker.8").contains("a daemon"));
    let files = ran.out.lines().inspect(|file| drop(page(file))).count();
    assert!(files > 25, "{}", ran.out);
}

#[tokio::test]
async fn a_shell_learns_the_verbs_and_needs_no_head_for_it() {
    let mut shell = Shell::with(Script::default()).await;
    shell.configured = false;
    for name in ["bash", "zsh", "fish"] {
        let ran = shell.run(&["completions", name]).await;
        assert!(ran.exit == Exit::Done && ran.out.contains("max-running") && ran.out.contains("retry"), "{name}");
    }
    assert_eq!(shell.run(&["completions", "tcsh"]).await.exit, Exit::Usage);
}
