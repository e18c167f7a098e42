//! Inputs that are in order, for the targets to start from.

use millpond::domain::entry::{ENTRY_VERSION, Entry, JobEntry, Submitted};
use millpond::domain::verb::{KillMode, Verb};
use millpond::domain::wire::{Dial, Finished, FromWorker, Held, Hello, JobInfo, Lease, ResultBytes, Run, Standing, ToWorker, Verdict};
use millpond::domain::{
    ArrayRange, Attempt, Chunk, Confines, Digest, EntryKind, Epoch, FenceId, Input, Instant, JobId, JobSpec, JobState, Merge, Outcome,
    Packed, Policy, Resources, ResultEntry, ResultMeta, ResultRef, Room, Sandbox, SessionId, TaskEnd, TaskNo, Timing, WallTime, WorkerId,
    WorkerInfo,
};
use millpond::engine::ledger::LedgerPart;
use millpond::engine::{JobRecord, Ledger};
use millpond::{codec, limits, rpc};
use prost::Message;

pub fn spec() -> JobSpec {
    JobSpec {
        name: "search".into(),
        owner: "ada".into(),
        input: Input::Array(ArrayRange { first: 0, last: 99, step: 1 }),
        command: vec!["sh".into(), "-c".into(), "echo {index}".into()],
        env: vec![("LANG".into(), "C".into())],
        with: Vec::new(),
        needs: Resources { cpus: 2, ..Resources::default() },
        timeout: None,
        grace: limits::DEFAULT_GRACE,
        retries: 3,
        merge: Merge::None,
        policy: Policy::default(),
        image: None,
    }
}

fn lease() -> Lease {
    Lease { job: JobId(7), no: TaskNo(3), attempt: Attempt(1), epoch: Epoch(2) }
}

fn packed() -> Packed {
    let entries = vec![
        ResultEntry { kind: EntryKind::Stdout, len: 5, packed_len: 9, crc32: 1 },
        ResultEntry { kind: EntryKind::File("a/b.txt".into()), len: 0, packed_len: 5, crc32: 0 },
    ];
    Packed { entries, digest: Some(Digest([7; 32])) }
}

pub fn meta() -> ResultMeta {
    ResultMeta {
        no: TaskNo(3),
        attempt: Attempt(1),
        worker: WorkerId(1),
        outcome: Outcome::Exited { code: 0 },
        timing: Timing::default(),
        packed: packed(),
    }
}

fn entries() -> Vec<Entry> {
    let info =
        WorkerInfo { id: WorkerId(1), key: "k".into(), host: "h".into(), slots: 4, total: Resources { cpus: 8, ..Resources::default() } };
    let submitted =
        Submitted { job: JobId(7), spec: spec(), request_id: "r".into(), priority: -3, max_running: Some(5), held: true, at: WallTime(9) };
    let of_job = [
        JobEntry::Split { total: 100 },
        JobEntry::Controlled { version: 1, verb: Verb::Kill(KillMode::Stop), reason: "enough".into(), at: WallTime(10) },
        JobEntry::Marked { mark: 50 },
        JobEntry::AttemptFailed { no: TaskNo(1), attempt: Attempt(1) },
        JobEntry::TaskEnded(TaskEnd {
            no: TaskNo(3),
            attempt: Attempt(1),
            worker: WorkerId(1),
            success: true,
            result: ResultRef { offset: 0, len: 100 },
        }),
        JobEntry::Began { at: WallTime(11) },
        JobEntry::Ended { state: JobState::Killed, reason: String::new(), at: WallTime(12) },
    ];
    let mut all = vec![
        Entry::DatasetAdded { digest: Digest([1; 32]), name: "a.mgf".into(), len: 1000, at: WallTime(1) },
        Entry::accepted(submitted),
        Entry::WorkerAttached(info),
        Entry::WorkerLeft(WorkerId(1)),
    ];
    all.splice(2..2, of_job.map(|entry| Entry::Job(JobId(7), entry)));
    all
}

pub fn batches() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = entries().iter().map(|entry| codec::encode(ENTRY_VERSION, &[entry]).unwrap()).collect();
    all.push(codec::encode(ENTRY_VERSION, &entries()).unwrap());
    all
}

pub fn parts() -> Vec<Vec<u8>> {
    let mut ledger = Ledger::default();
    entries().iter().for_each(|entry| ledger.apply(entry));
    let mut parts: Vec<LedgerPart> = ledger.parts().collect();
    if let Some(Entry::JobAccepted(submitted, _)) = entries().into_iter().find(|entry| matches!(entry, Entry::JobAccepted(..))) {
        parts.push(LedgerPart::Job(Box::new(JobRecord::new(*submitted))));
    }
    parts.iter().map(|part| codec::encode(ENTRY_VERSION, part).unwrap()).collect()
}

pub fn from_workers() -> Vec<Vec<u8>> {
    let hello = Hello {
        key: "k".into(),
        host: "h".into(),
        slots: 4,
        total: Resources::default(),
        confines: Some(Confines { sandbox: Sandbox::Basic, gaps: vec!["a gap".into()] }),
        follows: true,
        epoch_seen: Epoch(1),
        dial: Dial { start: 1, number: 2 },
        stamp: Instant(5),
        held: vec![Held { lease: lease(), finished: true }],
    };
    let finished = |bytes| {
        let packed = packed();
        Finished { lease: lease(), outcome: Outcome::Signalled { signal: 9 }, timing: Timing::default(), packed, bytes }
    };
    let messages = [
        FromWorker::Hello(hello),
        FromWorker::Room { room: Room { free: 3, ahead: 2 }, last_run_seen: 8 },
        FromWorker::Standing(Standing::Resting),
        FromWorker::Started(vec![lease(), lease()]),
        FromWorker::Declined(lease()),
        FromWorker::Fenced { fence: FenceId(1), started: vec![lease()], dropped: vec![lease()] },
        FromWorker::Finished(Box::new(finished(ResultBytes::Inline(vec![0; 14])))),
        FromWorker::Finished(Box::new(finished(ResultBytes::Stored(ResultRef { offset: 0, len: 100 })))),
        FromWorker::Heartbeat(Instant(7)),
        FromWorker::Goodbye,
    ];
    messages.into_iter().map(|message| rpc::convert::to_head(message).encode_to_vec()).collect()
}

pub fn from_heads() -> Vec<Vec<u8>> {
    let chunk = Chunk { header: 10, offset: 20, len: 30, first_record: 0, records: 4 };
    let messages = [
        ToWorker::Welcome { worker: WorkerId(1), epoch: Epoch(1), session: SessionId(1), stamp: Instant(5) },
        ToWorker::Refuse("no".into()),
        ToWorker::Verdict(lease(), Verdict::Adopt),
        ToWorker::Job(std::sync::Arc::new(JobInfo { job: JobId(7), spec: spec(), total: 100 })),
        ToWorker::Runs(vec![Run { seq: 1, lease: lease(), chunk: Some(chunk) }]),
        ToWorker::Fence(FenceId(1), JobId(7)),
        ToWorker::Stop(lease(), limits::DEFAULT_GRACE),
        ToWorker::Ack(vec![lease()]),
        ToWorker::Drain(true),
        ToWorker::Heartbeat(Instant(7)),
        ToWorker::JobGone(JobId(7)),
    ];
    messages.into_iter().map(|message| rpc::convert::to_worker(message).encode_to_vec()).collect()
}

pub fn specs() -> Vec<Vec<u8>> {
    vec![rpc::convert::spec_to_pb(&spec()).encode_to_vec()]
}

pub fn texts(all: &[&str]) -> Vec<Vec<u8>> {
    all.iter().map(|text| text.as_bytes().to_vec()).collect()
}
