//! Values within the limits, for property tests.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;

use crate::domain::wire::{
    Dial, Finished, Follow, FromWhere, FromWorker, Held, Hello, JobInfo, Lease, OutputPiece, Over, Printed, ResultBytes, Run, Standing,
    ToWorker, Verdict,
};
use crate::domain::{
    ArrayRange, Attempt, Chunk, Confines, Cut, Digest, EntryKind, Epoch, FenceId, Image, Input, Instant, JobId, JobSpec, Keep, MaxFailed,
    Merge, Outcome, Packed, Pattern, Policy, Record, Resources, ResultEntry, ResultRef, Room, Sandbox, SessionId, SharedFile, SplitRule,
    TaskNo, Timing, WallTime, WorkerId,
};

const NAME: &str = "[a-zé][a-z0-9 ._=é-]{0,20}";
const TEXT: &str = "[ -~é€]{0,40}";

pub fn lease() -> impl Strategy<Value = Lease> {
    (1u64.., 0u32..10_000_000, 1u32.., 1u64..).prop_map(|(job, no, attempt, epoch)| Lease {
        job: JobId(job),
        no: TaskNo(no),
        attempt: Attempt(attempt),
        epoch: Epoch(epoch),
    })
}

fn leases() -> impl Strategy<Value = Vec<Lease>> {
    prop::collection::vec(lease(), 0..5)
}

fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 32]>().prop_map(Digest)
}

fn resources() -> impl Strategy<Value = Resources> {
    (any::<u32>(), any::<u64>(), any::<u32>(), prop::collection::btree_map(NAME, TEXT, 0..4))
        .prop_map(|(cpus, mem_bytes, gpus, labels)| Resources { cpus, mem_bytes, gpus, labels })
}

pub fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        (0i32..256).prop_map(|code| Outcome::Exited { code }),
        (1i32..128).prop_map(|signal| Outcome::Signalled { signal }),
        TEXT.prop_map(|reason| Outcome::SpawnFailed { reason }),
        TEXT.prop_map(|reason| Outcome::OutputMissing { reason }),
        Just(Outcome::TimedOut),
        Just(Outcome::Lost),
        Just(Outcome::Revoked),
        any::<u32>().prop_map(|workers| Outcome::Poison { workers }),
    ]
}

pub fn timing() -> impl Strategy<Value = Timing> {
    let time = || (-62_135_596_800_000_000i64..=253_402_300_799_999_999).prop_map(WallTime);
    (time(), time()).prop_map(|(started, ended)| Timing { started, ended })
}

fn entry(kind: EntryKind, len: u64, packed_len: u64, crc32: u32) -> ResultEntry {
    ResultEntry { kind, len, packed_len, crc32 }
}

/// At most six entries of at most 1000 packed bytes: they fit inline.
pub fn packed() -> impl Strategy<Value = Packed> {
    let sizes = || (1u64.., 1u64..1000, any::<u32>());
    let path = prop::collection::vec(NAME, 1..4).prop_map(|parts| parts.join("/"));
    let files = prop::collection::btree_map(path, sizes(), 0..4);
    (prop::option::of(sizes()), prop::option::of(sizes()), files, prop::option::of(digest())).prop_map(|(stdout, stderr, files, digest)| {
        let stdout = stdout.map(|(len, packed, crc)| entry(EntryKind::Stdout, len, packed, crc));
        let stderr = stderr.map(|(len, packed, crc)| entry(EntryKind::Stderr, len, packed, crc));
        let files = files.into_iter().map(|(name, (len, packed, crc))| entry(EntryKind::File(name), len, packed, crc));
        Packed { entries: stdout.into_iter().chain(stderr).chain(files).collect(), digest }
    })
}

fn finished() -> impl Strategy<Value = Finished> {
    (lease(), outcome(), timing(), packed(), prop::option::of((0u64..1 << 60, 0u64..1 << 60)), any::<u8>()).prop_map(
        |(lease, outcome, timing, packed, stored, byte)| {
            let len = packed.packed_len().unwrap();
            let bytes = match stored {
                Some((offset, more)) => ResultBytes::Stored(ResultRef { offset, len: len + more + 1 }),
                None => ResultBytes::Inline(vec![byte; len as usize]),
            };
            Finished { lease, outcome, timing, packed, bytes }
        },
    )
}

fn hello() -> impl Strategy<Value = Hello> {
    let held = (lease(), any::<bool>()).prop_map(|(lease, finished)| Held { lease, finished });
    let sandbox = prop_oneof![Just(Sandbox::None), Just(Sandbox::Basic), Just(Sandbox::Strict)];
    let confines = (sandbox, prop::collection::vec(TEXT, 0..3)).prop_map(|(sandbox, gaps)| Confines { sandbox, gaps });
    let total = (resources(), prop::option::of(confines));
    (NAME, TEXT, 1u32..=4096, total, any::<(u64, u64)>(), (1u64.., 1u64..), prop::collection::vec(held, 0..4)).prop_map(
        |(key, host, slots, (total, confines), (epoch, stamp), (start, number), held)| Hello {
            key,
            host,
            slots,
            total,
            confines,
            follows: number % 2 == 0,
            epoch_seen: Epoch(epoch),
            dial: Dial { start, number },
            stamp: Instant(stamp),
            held,
        },
    )
}

pub fn from_worker() -> impl Strategy<Value = FromWorker> {
    prop_oneof![
        hello().prop_map(FromWorker::Hello),
        (0u32..=4096, 0u32..=1024, any::<u64>())
            .prop_map(|(free, ahead, last_run_seen)| FromWorker::Room { room: Room { free, ahead }, last_run_seen }),
        Just(FromWorker::Room { room: Room::default(), last_run_seen: 0 }),
        prop_oneof![Just(Standing::Serving), Just(Standing::Leaving), Just(Standing::Resting)].prop_map(FromWorker::Standing),
        leases().prop_map(FromWorker::Started),
        lease().prop_map(FromWorker::Declined),
        (any::<u64>(), leases(), leases()).prop_map(|(fence, started, dropped)| FromWorker::Fenced {
            fence: FenceId(fence),
            started,
            dropped
        }),
        finished().prop_map(|finished| FromWorker::Finished(Box::new(finished))),
        any::<u64>().prop_map(|stamp| FromWorker::Heartbeat(Instant(stamp))),
        Just(FromWorker::Goodbye),
    ]
}

fn input() -> impl Strategy<Value = Input> {
    let pattern = || "[a-z/:=.^|é]{0,20}x".prop_map(|text| Pattern::new(&text).unwrap_or_else(|_| Pattern::new("x").unwrap()));
    let words = vec![Record::Line, Record::Fasta, Record::Mgf, Record::Fastq, Record::Jsonl, Record::Csv, Record::Files];
    let record =
        prop_oneof![3 => prop::sample::select(words), 1 => pattern().prop_map(Record::Start), 1 => pattern().prop_map(Record::End)];
    let cut = prop_oneof![(1u64..).prop_map(Cut::Records), (1u64..).prop_map(Cut::Bytes), (1u32..=10_000_000).prop_map(Cut::Pieces)];
    let array = (any::<u32>(), 0u32..10_000_000, 1u32..9)
        .prop_map(|(first, more, step)| Input::Array(ArrayRange { first, last: first.saturating_add(more), step }));
    let dataset = (digest(), NAME, record, cut).prop_map(|(digest, name, record, cut)| Input::Dataset {
        digest,
        name,
        rule: SplitRule { record, cut },
    });
    prop_oneof![array, dataset]
}

fn span(max: Duration) -> impl Strategy<Value = Duration> {
    (1..=max.as_nanos() as u64).prop_map(Duration::from_nanos)
}

/// Commands name all their shared files, so that the placeholders are seen.
pub fn spec() -> impl Strategy<Value = JobSpec> {
    let text = "[^\0{]{0,12}";
    let with = prop::collection::btree_map(NAME, (digest(), any::<u64>()), 0..4);
    let env = prop::collection::vec(("[^\0=]{1,9}", "[^\0]{0,9}"), 0..4);
    let times = (prop::option::of(span(Duration::from_secs(31_536_000))), span(Duration::from_secs(3600)));
    let merge = prop_oneof![Just(Merge::None), Just(Merge::Concat)];
    let command = ("[^\0{]{1,12}", prop::collection::vec(text, 0..4));
    let keep = prop::option::of(prop_oneof![Just(Keep::Forever), span(Duration::from_secs(100)).prop_map(Keep::For)]);
    let policy = (prop::collection::btree_set(-1i32..=255, 0..4), span(Duration::from_secs(3600)), prop::option::of(0u32..=100), keep)
        .prop_map(|(retry_on, retry_delay, max, keep)| {
            let max_failed = max.map(|max| if max % 2 == 0 { MaxFailed::Count(max) } else { MaxFailed::Percent(max as u8) });
            Policy { retry_on, retry_delay, max_failed, keep }
        });
    let image =
        prop::option::of("[a-z0-9]{2}/[a-z0-9]{1,9}:[a-z0-9][a-z0-9._-]{0,9}".prop_filter_map("a name", |text| text.parse::<Image>().ok()));
    (NAME, TEXT, input(), command, env, with, (resources(), image), times, (0u32..=1000, policy), merge).prop_map(
        |(name, owner, input, (program, arguments), env, with, (needs, image), (timeout, grace), (retries, policy), merge)| {
            let placeholders = with.keys().map(|name| format!("--ref={{with:{name}}}"));
            let command = std::iter::once(program).chain(arguments).chain(placeholders.collect::<Vec<_>>()).collect();
            let needs = needs.with_containers(image.is_some());
            JobSpec { name, owner, input, command, env, with: shared(with), needs, timeout, grace, retries, merge, policy, image }
        },
    )
}

fn shared(with: BTreeMap<String, (Digest, u64)>) -> Vec<SharedFile> {
    with.into_iter().map(|(name, (digest, len))| SharedFile { name, digest, len }).collect()
}

fn chunk() -> impl Strategy<Value = Chunk> {
    (0u64..=1 << 20, 0u64..1 << 60, 0u64..1 << 60, 0u64..1 << 60, 0u64..1 << 60)
        .prop_map(|(header, more, len, first_record, records)| Chunk { offset: header + more, len, header, first_record, records })
}

fn follow() -> impl Strategy<Value = Follow> {
    let printed = prop_oneof![Just(Printed::Stdout), Just(Printed::Stderr)];
    let from = prop_oneof![any::<u64>().prop_map(FromWhere::Offset), any::<u64>().prop_map(FromWhere::Last)];
    (any::<u64>(), lease(), printed, from).prop_map(|(id, lease, printed, from)| Follow { id, lease, printed, from })
}

pub fn output_piece() -> impl Strategy<Value = OutputPiece> {
    let over = prop_oneof![any::<u64>().prop_map(Over::Ended), Just(Over::NotHere), Just(Over::TooMany)];
    (any::<(u64, u64, u64)>(), lease(), prop::collection::vec(any::<u8>(), 0..9), prop::option::of(over)).prop_map(
        |((follow, offset, left_out), lease, data, over)| OutputPiece { follow, lease, offset, left_out, data: data.into(), over },
    )
}

pub fn to_worker() -> impl Strategy<Value = ToWorker> {
    let run = (1u64.., lease(), prop::option::of(chunk())).prop_map(|(seq, lease, chunk)| Run { seq, lease, chunk });
    let verdict = prop_oneof![Just(Verdict::Adopt), Just(Verdict::AdoptFrozen), Just(Verdict::Stop), Just(Verdict::Send)];
    let job = (1u64.., spec(), 1u32..=10_000_000).prop_map(|(job, spec, total)| JobInfo { job: JobId(job), spec, total });
    prop_oneof![
        (any::<u32>(), 1u64.., any::<(u64, u64)>()).prop_map(|(worker, epoch, (session, stamp))| ToWorker::Welcome {
            worker: WorkerId(worker),
            epoch: Epoch(epoch),
            session: SessionId(session),
            stamp: Instant(stamp),
        }),
        TEXT.prop_map(ToWorker::Refuse),
        (lease(), verdict).prop_map(|(lease, verdict)| ToWorker::Verdict(lease, verdict)),
        job.prop_map(|info| ToWorker::Job(Arc::new(info))),
        prop::collection::vec(run, 0..4).prop_map(ToWorker::Runs),
        (any::<u64>(), 1u64..).prop_map(|(fence, job)| ToWorker::Fence(FenceId(fence), JobId(job))),
        (lease(), 0u64..=3_600_000).prop_map(|(lease, ms)| ToWorker::Stop(lease, Duration::from_millis(ms))),
        leases().prop_map(ToWorker::Ack),
        any::<bool>().prop_map(ToWorker::Drain),
        Just(ToWorker::Recall),
        follow().prop_map(ToWorker::Follow),
        any::<u64>().prop_map(|stamp| ToWorker::Heartbeat(Instant(stamp))),
        any::<u64>().prop_map(|job| ToWorker::JobGone(JobId(job))),
    ]
}

/// Bytes to put at places of a message.
pub fn damage() -> impl Strategy<Value = Vec<(Index, u8)>> {
    prop::collection::vec((any::<Index>(), any::<u8>()), 1..4)
}

pub fn damaged(mut bytes: Vec<u8>, damage: &[(Index, u8)]) -> Vec<u8> {
    for (place, byte) in damage {
        let place = place.index(bytes.len());
        bytes[place] = *byte;
    }
    bytes
}
