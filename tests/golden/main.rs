//! Persisted bytes, version by version: today's code reads the files of version 1, and writes the same bytes.
//!
//! `MILLPOND_WRITE_GOLDEN=1` writes files that are missing, for a new variant. One that is there is never written again: where bytes have to
//! change, the version goes up, the old reader stays, and files of the new version come to lie beside the old.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::time::Duration;

use millpond::codec;
use millpond::domain::deletion::{Deleted, DeletedJob, Deletion};
use millpond::domain::entry::{ENTRY_VERSION, Entry, JobEntry, Submitted};
use millpond::domain::identity::{Admitted, IdentityEntry, Issued, Token};
use millpond::domain::verb::{Change, Counts, Hold, KillMode, Said, Verb};
use millpond::domain::{
    Attempt, Cut, Digest, EntryKind, EtaScore, IndexSet, Input, JobId, JobSpec, JobState, Keep, MaxFailed, Merge, Outcome, Packed, Pattern,
    Policy, Principal, PrincipalId, Quota, Record, Resources, ResultEntry, ResultMeta, ResultRef, Role, SharedFile, SplitRule, TaskEnd,
    TaskNo, Timing, TokenId, WallTime, WorkerId, WorkerInfo,
};
use millpond::engine::JobRecord;
use millpond::engine::ledger::{DatasetRecord, Gone, LedgerPart, TaskSets};
use millpond::engine::record::{Failures, Losses, Rounds, Terms};
use serde::Serialize;
use serde::de::DeserializeOwned;

const LIMIT: usize = 1 << 20;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1")
}

/// That a value and the file of this name are the same.
#[track_caller]
fn same(name: &str, value: &(impl Serialize + DeserializeOwned + PartialEq + Debug)) {
    let written = codec::encode(ENTRY_VERSION, value).unwrap();
    same_bytes(name, &written);
    let (version, read) = codec::decode(&std::fs::read(folder().join(name)).unwrap(), LIMIT).unwrap();
    assert_eq!((version, &read), (1, value), "{name}");
}

#[track_caller]
fn same_bytes(name: &str, written: &[u8]) {
    let path = folder().join(name);
    if std::env::var("MILLPOND_WRITE_GOLDEN").is_ok_and(|value| value == "1") && !path.exists() {
        std::fs::create_dir_all(folder()).unwrap();
        std::fs::write(&path, written).unwrap();
    }
    let stored = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(stored == written, "{name}: the bytes of a persisted type have changed: raise its version, and keep the old reader");
}

fn resources() -> Resources {
    Resources { cpus: 4, mem_bytes: 8 << 30, gpus: 1, labels: [("zone".to_owned(), "a".to_owned())].into() }
}

fn submitted(job: u64, input: Input) -> Submitted {
    let spec = JobSpec {
        name: "search".into(),
        owner: "ada".into(),
        input,
        command: vec!["sh".into(), "-c".into(), "cat {input}".into()],
        env: vec![("LANG".into(), "C".into())],
        with: vec![SharedFile { name: "ref.fasta".into(), digest: Digest([7; 32]), len: 300 }],
        needs: resources(),
        timeout: Some(Duration::from_millis(90_500)),
        grace: Duration::from_secs(5),
        retries: 2,
        merge: Merge::Concat,
        policy: Policy::default(),
        image: None,
    };
    Submitted {
        job: JobId(job),
        spec,
        request_id: "r-1".into(),
        priority: -3,
        max_running: Some(70_000),
        held: true,
        at: WallTime(1_700_000_000_000),
    }
}

fn dataset(record: Record, cut: Cut) -> Input {
    Input::Dataset { digest: Digest([0xab; 32]), name: "in.txt".into(), rule: SplitRule { record, cut } }
}

fn worker() -> WorkerInfo {
    WorkerInfo { id: WorkerId(3), key: "key".into(), host: "node-3".into(), slots: 16, total: resources() }
}

/// The file of an entry. Without a `_`, so that a new variant asks for its file.
fn entry_file(entry: &Entry) -> &'static str {
    match entry {
        Entry::DatasetAdded { .. } => "entry-dataset-added",
        Entry::JobSubmitted(_) => "entry-job-submitted",
        Entry::JobAccepted(..) => "entry-job-accepted",
        Entry::JobAcceptedWithImage(..) => "entry-job-accepted-with-image",
        Entry::Job(_, entry) => match entry {
            JobEntry::Split { .. } => "entry-job-split",
            JobEntry::Controlled { verb: Verb::Retry { .. }, .. } => "entry-job-retried",
            JobEntry::Controlled { verb: Verb::PauseWith(_), .. } => "entry-job-paused-with",
            JobEntry::Controlled { .. } => "entry-job-controlled",
            JobEntry::Marked { .. } => "entry-job-marked",
            JobEntry::AttemptFailed { .. } => "entry-job-attempt-failed",
            JobEntry::TaskEnded(_) => "entry-job-task-ended",
            JobEntry::Began { .. } => "entry-job-began",
            JobEntry::Ended { .. } => "entry-job-ended",
            JobEntry::AttemptsUsed { .. } => "entry-job-attempts-used",
            JobEntry::AttemptLost { .. } => "entry-job-attempt-lost",
            JobEntry::Doomed => "entry-job-doomed",
            JobEntry::SaidBy { .. } => "entry-job-said-by",
            JobEntry::RetriedWith { .. } => "entry-job-retried-with",
            JobEntry::EtaScored(_) => "entry-job-eta-scored",
        },
        Entry::WorkerAttached(_) => "entry-worker-attached",
        Entry::WorkerLeft(_) => "entry-worker-left",
        Entry::JobDeleted { .. } => "entry-job-deleted",
        Entry::DatasetDeleted { .. } => "entry-dataset-deleted",
        Entry::Deleted(deletion) => match deletion.what {
            Deleted::Job(_) => "entry-deleted-job",
            Deleted::Dataset { .. } => "entry-deleted-dataset",
        },
        Entry::Identity(entry) => match entry {
            IdentityEntry::TokenCreated(_) => "entry-token-created",
            IdentityEntry::TokenRevoked { .. } => "entry-token-revoked",
            IdentityEntry::Admitted(_) => "entry-principal-admitted",
            IdentityEntry::Renewed { .. } => "entry-principal-renewed",
            IdentityEntry::Revoked { .. } => "entry-principal-revoked",
        },
        Entry::DatasetOwned { .. } => "entry-dataset-owned",
        Entry::DatasetDisowned { .. } => "entry-dataset-disowned",
        Entry::QuotaSet { .. } => "entry-quota-set",
    }
}

fn issued() -> Issued {
    Issued { serial: 1 << 100, expires: WallTime(1_700_000_000_456) }
}

fn token(role: Role, revoked: Option<WallTime>) -> Token {
    Token {
        id: TokenId::from_random(0x0123_4567_89ab),
        secret: Digest([3; 32]),
        role,
        name: "ana".into(),
        created: WallTime(1_700_000_000_123),
        by: "root".into(),
        expires: WallTime(1_700_000_000_456),
        uses: 70_000,
        used: 2,
        revoked,
    }
}

fn admitted(role: Role, token: Option<TokenId>) -> Admitted {
    let principal = Principal { id: PrincipalId::from_random(0xba98_7654_3210), name: "ana".into(), role };
    Admitted { principal, token, key: Digest([5; 32]), at: WallTime(1_700_000_000_123), issued: issued(), revoked: None }
}

fn identities() -> Vec<Entry> {
    let at = WallTime(1_700_000_000_123);
    let (principal, by) = (PrincipalId::from_random(0xba98_7654_3210), TokenId::from_random(0x0123_4567_89ab));
    let mut entries: Vec<IdentityEntry> = Role::ALL.map(|role| IdentityEntry::TokenCreated(Box::new(token(role, None)))).into();
    entries.extend([
        IdentityEntry::TokenRevoked { token: by, at },
        IdentityEntry::Admitted(Box::new(admitted(Role::Worker, Some(by)))),
        IdentityEntry::Admitted(Box::new(admitted(Role::Admin, None))),
        IdentityEntry::Renewed { principal, issued: issued(), key: Digest([6; 32]), at },
        IdentityEntry::Revoked { principal, at },
    ]);
    let mut entries: Vec<Entry> = entries.into_iter().map(Entry::Identity).collect();
    entries.push(Entry::DatasetOwned { digest: Digest([0xab; 32]), owner: "ana".into() });
    entries.push(Entry::DatasetDisowned { digest: Digest([0xab; 32]), owner: "ana".into() });
    entries.push(Entry::QuotaSet { owner: "ana".into(), quota: Some(quota()) });
    entries
}

fn quota() -> Quota {
    Quota { jobs: Some(3), tasks: None, stored_bytes: Some(1 << 40), slots: Some(64) }
}

fn deletions() -> [Deletion; 2] {
    let at = WallTime(1_700_000_000_123);
    let counts = Counts { total: 70_000, undispatched: 1, running: 2, succeeded: 3, failed: 4, killed: 69_990 };
    let job = DeletedJob {
        id: JobId(300),
        name: "search".into(),
        owner: "ada".into(),
        state: JobState::Killed,
        counts,
        priority: -9,
        round: 2,
        created: at,
        began: Some(at),
        ended: None,
    };
    let dataset = Deleted::Dataset { digest: Digest([0xab; 32]), name: "in.txt".into(), len: 1 << 40, stored: at };
    [Deleted::Job(job), dataset].map(|what| Deletion { request_id: "r-9".into(), at, by: "ada".into(), reason: "a typo".into(), what })
}

fn policies() -> [Policy; 3] {
    let policy = |max_failed| Policy {
        retry_on: [-1, 75, 137].into(),
        retry_delay: Duration::from_millis(1_500),
        max_failed,
        keep: Some(Keep::For(Duration::from_secs(3_600))),
    };
    [
        Policy { keep: Some(Keep::Forever), ..Policy::default() },
        policy(Some(MaxFailed::Count(70_000))),
        policy(Some(MaxFailed::Percent(10))),
    ]
}

fn entries() -> Vec<Entry> {
    let at = WallTime(1_700_000_000_123);
    let job = |entry| Entry::Job(JobId(300), entry);
    let controlled = |(version, verb)| job(JobEntry::Controlled { version, verb, reason: "lunch".into(), at });
    let verbs = [
        Verb::Pause,
        Verb::Resume,
        Verb::Kill(KillMode::Finish),
        Verb::Kill(KillMode::Stop),
        Verb::SetPriority(-9),
        Verb::SetLimit(None),
        Verb::SetLimit(Some(12)),
        Verb::Retry { request: 1 << 100 },
        Verb::PauseWith(Hold { freeze: true, until: None }),
        Verb::PauseWith(Hold { freeze: false, until: Some(at) }),
    ];
    let result = ResultRef { offset: 1 << 33, len: 4_000 };
    let end = |success| job(JobEntry::TaskEnded(TaskEnd { no: TaskNo(9), attempt: Attempt(2), worker: WorkerId(3), success, result }));
    let states = [
        JobState::Ingesting,
        JobState::Waiting,
        JobState::Running,
        JobState::Finishing,
        JobState::Succeeded,
        JobState::Failed,
        JobState::Killed,
    ];
    let inputs = [
        dataset(Record::Line, Cut::Records(1_000)),
        dataset(Record::Fasta, Cut::Bytes(1 << 20)),
        dataset(Record::Mgf, Cut::Pieces(40)),
        Input::Array("0-95:10".parse().unwrap()),
    ];
    let change = Change {
        command: Some(vec!["search".into(), "--slow".into()]),
        cpus: Some(4),
        mem_bytes: Some(1 << 36),
        gpus: Some(0),
        timeout: Some(Duration::from_secs(7_200)),
    };
    let mut entries = vec![
        Entry::DatasetAdded { digest: Digest([0xab; 32]), name: "in.txt".into(), len: 1 << 40, at },
        job(JobEntry::Split { total: 70_000 }),
        job(JobEntry::Marked { mark: 512 }),
        job(JobEntry::AttemptFailed { no: TaskNo(9), attempt: Attempt(1) }),
        end(true),
        end(false),
        job(JobEntry::Began { at }),
        job(JobEntry::AttemptsUsed { up_to: Attempt(70_000) }),
        job(JobEntry::AttemptLost { no: TaskNo(9), attempt: Attempt(1), worker: WorkerId(3) }),
        job(JobEntry::AttemptLost { no: TaskNo(9), attempt: Attempt(2), worker: WorkerId(300) }),
        job(JobEntry::RetriedWith { version: 9, request: 1 << 100, change: Box::new(Change::default()), reason: "more".into(), at }),
        job(JobEntry::RetriedWith { version: 9, request: 1, change: Box::new(change), reason: String::new(), at }),
        Entry::WorkerAttached(worker()),
        Entry::WorkerLeft(WorkerId(3)),
        Entry::JobDeleted { job: JobId(300), at },
        Entry::DatasetDeleted { digest: Digest([0xab; 32]) },
        job(JobEntry::Doomed),
        job(JobEntry::SaidBy { version: 300, by: "ada".into() }),
        job(JobEntry::EtaScored(EtaScore { checks: 18, inside: 17 })),
    ];
    entries.extend(deletions().map(|deletion| Entry::Deleted(Box::new(deletion))));
    entries.extend((1..).zip(inputs).map(|(no, input)| Entry::JobSubmitted(Box::new(submitted(no, input)))));
    for policy in policies() {
        let mut submitted = submitted(5, Input::Array("1-3".parse().unwrap()));
        submitted.spec.policy = policy;
        entries.push(Entry::accepted(submitted));
    }
    let mut in_image = submitted(5, Input::Array("1-3".parse().unwrap()));
    in_image.spec.image = Some("ghcr.io/lab/tool:1.4".parse().unwrap());
    in_image.spec.needs = in_image.spec.needs.with_containers(true);
    entries.push(Entry::accepted(in_image));
    entries.extend(identities());
    entries.extend((1..).zip(verbs).map(controlled));
    entries.extend(states.map(|state| job(JobEntry::Ended { state, reason: "why".into(), at })));
    entries
}

#[test]
fn entries_of_every_kind() {
    let entries = entries();
    let names: BTreeSet<&str> = entries.iter().map(entry_file).collect();
    for name in &names {
        // As a batch holds them.
        same(name, &entries.iter().filter(|entry| entry_file(entry) == *name).cloned().collect::<Vec<_>>());
    }
    assert_eq!(names.len(), 33, "an entry of every kind");
}

/// The kinds of record that came after version 1's first files.
#[test]
fn jobs_by_every_later_split_rule() {
    let pattern = |text| Pattern::new(text).unwrap();
    let inputs = [
        dataset(Record::Fastq, Cut::Records(40_000)),
        dataset(Record::Jsonl, Cut::Bytes(1 << 20)),
        dataset(Record::Csv, Cut::Pieces(40)),
        dataset(Record::Start(pattern("^LOCUS ")), Cut::Records(7)),
        dataset(Record::End(pattern("^//$")), Cut::Pieces(300)),
    ];
    let entries = (1..).zip(inputs).map(|(no, input)| Entry::JobSubmitted(Box::new(submitted(no, input))));
    same("entry-job-submitted-later-rules", &entries.collect::<Vec<_>>());
}

#[test]
fn jobs_over_files() {
    let inputs = [dataset(Record::Files, Cut::Records(1)), dataset(Record::Files, Cut::Pieces(300))];
    let entries = (1..).zip(inputs).map(|(no, input)| Entry::JobSubmitted(Box::new(submitted(no, input))));
    same("entry-job-submitted-files", &entries.collect::<Vec<_>>());
}

#[test]
fn parts_of_a_snapshot_of_every_kind() {
    let mut job = JobRecord::new(submitted(300, dataset(Record::Line, Cut::Records(1_000))));
    same("part-job-new", &LedgerPart::Job(Box::new(job.clone())));
    let at = WallTime(1_700_000_000_123);
    job.total = Some(70_000);
    job.mark = 512;
    job.control_version = 4;
    job.killing = Some(KillMode::Finish);
    job.control_reason = "a typo".into();
    job.succeeded = IndexSet::range(0, 300);
    job.succeeded.insert(TaskNo(400));
    job.failed = IndexSet::range(310, 312);
    job.failures = [(TaskNo(305), Failures { count: 2, last: Attempt(3) })].into();
    job.apply(&JobEntry::Began { at });
    same("part-job-running", &LedgerPart::Job(Box::new(job.clone())));
    job.apply(&JobEntry::Ended { state: JobState::Killed, reason: "why".into(), at });
    same("part-job-ended", &LedgerPart::Job(Box::new(job)));
    same("part-dataset", &LedgerPart::Dataset(Digest([0xab; 32]), DatasetRecord { name: "in.txt".into(), len: 1 << 40, at }));
    same("part-last-job", &LedgerPart::LastJob(JobId(70_000)));
    same("part-gone", &LedgerPart::Gone("r-1".into(), Gone { job: JobId(300), at }));
    deletions().into_iter().zip(["job", "dataset"]).for_each(|(deletion, of)| {
        same(&format!("part-deletion-of-{of}"), &LedgerPart::Deletion(Box::new(deletion)));
    });
    let verb = Verb::SetPriority(-9);
    same("part-said", &LedgerPart::Said(JobId(300), vec![Said { at, verb, by: "ada".into(), reason: "lunch".into() }]));
    same("part-first-spec", &LedgerPart::FirstSpec(JobId(300), Box::new(submitted(300, dataset(Record::Line, Cut::Records(1_000))).spec)));
    same("part-worker-attached", &LedgerPart::Worker(worker(), true));
    let freed = vec![(IndexSet::range(3, 5), Attempt(3)), (IndexSet::range(70, 71), Attempt(70_000))];
    let rounds = Rounds { retried: 2, request: 1 << 100, last_failed: Attempt(70_000), last_freed: 1, freed };
    same("part-rounds", &LedgerPart::Rounds(JobId(300), Box::new(rounds)));
    let failures = [(TaskNo(305), Failures { count: 2, last: Attempt(3) })].into();
    let sets = TaskSets { succeeded: IndexSet::range(0, 300), failed: IndexSet::range(310, 312), failures };
    same("part-tasks", &LedgerPart::Tasks(JobId(300), Box::new(sets)));
    same("part-freed", &LedgerPart::Freed(JobId(300), IndexSet::range(3, 5), Attempt(3)));
    let [_, policy, _] = policies();
    same(
        "part-terms",
        &LedgerPart::Terms(
            JobId(300),
            Box::new(Terms {
                policy,
                hold: Hold { freeze: true, until: Some(at) },
                earlier_commands: vec![vec!["true".into()]],
                doomed: true,
            }),
        ),
    );
    let losses = Losses { count: 3, last: Attempt(2), last_worker: WorkerId(300) };
    same("part-losses", &LedgerPart::Losses(JobId(300), [(TaskNo(305), losses)].into()));
    same("part-worker-away", &LedgerPart::Worker(worker(), false));
    same("part-token", &LedgerPart::Token(Box::new(token(Role::Submitter, Some(at)))));
    let revoked = Admitted { revoked: Some(at), ..admitted(Role::Submitter, Some(TokenId::from_random(7))) };
    same("part-principal", &LedgerPart::Principal(Box::new(revoked)));
    same("part-dataset-owners", &LedgerPart::DatasetOwners(Digest([0xab; 32]), vec!["ana".into(), "ada".into()]));
    same("part-image", &LedgerPart::Image(JobId(300), "ghcr.io/lab/tool:1.4".parse().unwrap()));
    same("part-quota", &LedgerPart::Quota("*".into(), quota()));
    same("part-eta-score", &LedgerPart::EtaScore(JobId(300), EtaScore { checks: 300, inside: 17 }));
}

#[test]
fn descriptions_of_results() {
    let outcomes = [
        Outcome::Exited { code: 1 },
        Outcome::Signalled { signal: 9 },
        Outcome::TimedOut,
        Outcome::SpawnFailed { reason: "no such file".into() },
        Outcome::OutputMissing { reason: "too large".into() },
        Outcome::Lost,
        Outcome::Revoked,
    ];
    let entry = |kind| ResultEntry { kind, len: 70_000, packed_len: 300, crc32: 0xdead_beef };
    let entries = vec![entry(EntryKind::Stdout), entry(EntryKind::Stderr), entry(EntryKind::File("a/b".into()))];
    let meta = |outcome| ResultMeta {
        no: TaskNo(9),
        attempt: Attempt(2),
        worker: WorkerId(3),
        outcome,
        timing: Timing { started: WallTime(1_700_000_000_000), ended: WallTime(1_700_000_060_000) },
        packed: Packed { entries: entries.clone(), digest: Some(Digest([1; 32])) },
    };
    same("result-descriptions", &outcomes.map(meta).to_vec());
    same("result-description-of-poison", &meta(Outcome::Poison { workers: 5 }));
}

#[test]
fn a_frame() {
    same_bytes("frame", &codec::seal(ENTRY_VERSION, b"millpond"));
    assert_eq!(codec::open(&std::fs::read(folder().join("frame")).unwrap()).unwrap(), (1, &b"millpond"[..]));
}
