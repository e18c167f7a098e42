//! From head to worker.

use std::sync::Arc;
use std::time::Duration;

use super::check::{Within, between, line, message, refuse, sentence};
use super::follow::{follow_from_pb, follow_to_pb};
use super::lease::{epoch_from_pb, job_from_pb, lease_from_pb, lease_to_pb, leases_from_pb, leases_to_pb, runs_from_pb, runs_to_pb};
use super::spec::{spec_from_pb, spec_to_pb};
use crate::domain::wire::{JobInfo, Lease, ToWorker, Verdict};
use crate::domain::{Error, FenceId, Instant, JobId, JobSpec, SessionId, SplitRule, WorkerId};
use crate::limits::{self, JOB_TASKS_MAX, LEASES_PER_MESSAGE_MAX};
use crate::rpc::pb;
use crate::rpc::pb::head_message::Body;
use crate::rpc::pb::job_spec::Input;
use crate::rpc::pb::verdict::Kind;

/// A head's message, to be sent. The limit on lists is the sender's to keep; a grace is rounded up to milliseconds.
pub fn to_worker(message: ToWorker) -> pb::HeadMessage {
    let body = match message {
        ToWorker::Welcome { worker, epoch, session, stamp } => {
            Body::Welcome(pb::Welcome { worker: worker.0, epoch: epoch.0, session: session.0, stamp_ms: stamp.0 })
        }
        ToWorker::Refuse(reason) => Body::Refusal(pb::Refusal { reason: sentence(&reason) }),
        ToWorker::Verdict(lease, verdict) => Body::Verdict(verdict_to_pb(lease, verdict)),
        ToWorker::Job(info) => Body::Job(pb::JobInfo { job: info.job.0, spec: Some(spec_to_pb(&info.spec)), total: info.total }),
        ToWorker::Runs(runs) => Body::Runs(runs_to_pb(runs)),
        ToWorker::Fence(fence, job) => Body::Fence(pb::Fence { fence: fence.0, job: job.0 }),
        ToWorker::Stop(lease, grace) => Body::Stop(stop_to_pb(lease, grace)),
        ToWorker::Freeze(lease, frozen) => Body::Freeze(pb::Freeze { lease: Some(lease_to_pb(lease)), frozen }),
        ToWorker::Ack(leases) => Body::Ack(pb::Ack { leases: leases_to_pb(leases) }),
        ToWorker::Recall => Body::Recall(pb::Recall {}),
        ToWorker::Drain(drain) => Body::Drain(pb::Drain { drain }),
        ToWorker::Heartbeat(stamp) => Body::Heartbeat(pb::Heartbeat { stamp_ms: stamp.0 }),
        ToWorker::Follow(follow) => Body::Follow(follow_to_pb(follow)),
        ToWorker::JobGone(job) => Body::JobGone(pb::JobGone { job: job.0 }),
    };
    pb::HeadMessage { body: Some(body) }
}

/// A message as it came from a head.
///
/// # Errors
/// `Invalid` with the path of the first field that is not as `worker.proto` and [`crate::limits`] allow.
pub fn from_head(message: pb::HeadMessage) -> Result<ToWorker, Error> {
    match message.body {
        Some(Body::Welcome(pb::Welcome { worker, epoch, session, stamp_ms })) => Ok(ToWorker::Welcome {
            worker: WorkerId(worker),
            epoch: epoch_from_pb(epoch).within("welcome")?,
            session: SessionId(session),
            stamp: Instant(stamp_ms),
        }),
        Some(Body::Refusal(refusal)) => {
            line("refusal.reason", &refusal.reason, limits::TEXT_MAX_BYTES)?;
            Ok(ToWorker::Refuse(refusal.reason))
        }
        Some(Body::Verdict(verdict)) => verdict_from_pb(verdict).within("verdict"),
        Some(Body::Job(info)) => job_info_from_pb(info).map(|info| ToWorker::Job(Arc::new(info))).within("job"),
        Some(Body::Runs(runs)) => runs_from_pb(runs).map(ToWorker::Runs).within("runs"),
        Some(Body::Fence(fence)) => Ok(ToWorker::Fence(FenceId(fence.fence), job_from_pb(fence.job).within("fence")?)),
        Some(Body::Stop(stop)) => stop_from_pb(stop).within("stop"),
        Some(Body::Freeze(freeze)) => freeze_from_pb(freeze).within("freeze"),
        Some(Body::Recall(pb::Recall {})) => Ok(ToWorker::Recall),
        Some(Body::Ack(ack)) => leases_from_pb("leases", ack.leases, LEASES_PER_MESSAGE_MAX).map(ToWorker::Ack).within("ack"),
        Some(Body::Drain(pb::Drain { drain })) => Ok(ToWorker::Drain(drain)),
        Some(Body::Heartbeat(pb::Heartbeat { stamp_ms })) => Ok(ToWorker::Heartbeat(Instant(stamp_ms))),
        Some(Body::Follow(follow)) => follow_from_pb(follow).map(ToWorker::Follow).within("follow"),
        Some(Body::JobGone(pb::JobGone { job })) => Ok(ToWorker::JobGone(JobId(job))),
        None => Err(refuse("body", "missing, or of a kind that this version does not know; install the same millpond on head and worker")),
    }
}

fn verdict_to_pb(lease: Lease, verdict: Verdict) -> pb::Verdict {
    let kind = match verdict {
        Verdict::Adopt => Kind::Adopt,
        Verdict::AdoptFrozen => Kind::AdoptFrozen,
        Verdict::Stop => Kind::Stop,
        Verdict::Send => Kind::Send,
    };
    pb::Verdict { lease: Some(lease_to_pb(lease)), kind: kind as i32 }
}

fn verdict_from_pb(verdict: pb::Verdict) -> Result<ToWorker, Error> {
    let lease = message("lease", verdict.lease, lease_from_pb)?;
    let kind = match Kind::try_from(verdict.kind) {
        Ok(Kind::Adopt) => Verdict::Adopt,
        Ok(Kind::AdoptFrozen) => Verdict::AdoptFrozen,
        Ok(Kind::Stop) => Verdict::Stop,
        Ok(Kind::Send) => Verdict::Send,
        Ok(Kind::Unspecified) | Err(_) => {
            return Err(refuse("kind", format_args!("{} is unknown; adopt is 1, stop 2, send 3, adopt_frozen 4", verdict.kind)));
        }
    };
    Ok(ToWorker::Verdict(lease, kind))
}

fn freeze_from_pb(freeze: pb::Freeze) -> Result<ToWorker, Error> {
    Ok(ToWorker::Freeze(message("lease", freeze.lease, lease_from_pb)?, freeze.frozen))
}

fn stop_to_pb(lease: Lease, grace: Duration) -> pb::Stop {
    let grace_ms = grace.as_nanos().div_ceil(1_000_000);
    pb::Stop { lease: Some(lease_to_pb(lease)), grace_ms: u32::try_from(grace_ms).unwrap_or(u32::MAX) }
}

fn stop_from_pb(stop: pb::Stop) -> Result<ToWorker, Error> {
    let lease = message("lease", stop.lease, lease_from_pb)?;
    let grace_ms = between("grace_ms", u128::from(stop.grace_ms), 0..=limits::GRACE_MAX.as_millis())?;
    Ok(ToWorker::Stop(lease, Duration::from_millis(grace_ms as u64)))
}

fn job_info_from_pb(info: pb::JobInfo) -> Result<JobInfo, Error> {
    Ok(JobInfo {
        job: job_from_pb(info.job)?,
        spec: message("spec", info.spec, resolved_spec_from_pb)?,
        total: between("total", info.total, 1..=JOB_TASKS_MAX)?,
    })
}

/// A worker can't choose a split rule: only the head knows by which one the chunks were made.
fn resolved_spec_from_pb(spec: pb::JobSpec) -> Result<JobSpec, Error> {
    if let Some(Input::Dataset(dataset)) = &spec.input
        && dataset.split.is_empty()
    {
        return Err(refuse("dataset.split", "empty; the head must state the rule it split by"));
    }
    spec_from_pb(spec, |name| SplitRule::for_name(name, 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;

    use super::super::samples;
    use super::*;
    use crate::domain::{ErrorKind, TaskNo};

    /// Whatever is read can be used, sent, and read again as the same.
    fn survives(bytes: &[u8]) {
        let Ok(message) = pb::HeadMessage::decode(bytes) else { return };
        let Ok(message) = from_head(message) else { return };
        if let ToWorker::Job(info) = &message {
            let _ = (info.spec.index_of(TaskNo(u32::MAX)), info.spec.task_at(u64::MAX, info.total));
        }
        assert_eq!(from_head(to_worker(message.clone())), Ok(message));
    }

    proptest! {
        #[test]
        fn what_a_head_sends_arrives(message in samples::to_worker()) {
            let bytes = to_worker(message.clone()).encode_to_vec();
            prop_assert_eq!(from_head(pb::HeadMessage::decode(bytes.as_slice()).unwrap()), Ok(message));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            survives(&bytes);
        }

        #[test]
        fn no_damaged_message_makes_it_panic(message in samples::to_worker(), damage in samples::damage()) {
            survives(&samples::damaged(to_worker(message).encode_to_vec(), &damage));
        }
    }

    const LEASE: pb::Lease = pb::Lease { job: 1, no: 0, epoch: 1, attempt: 1 };

    fn job_info(input: Input) -> pb::JobInfo {
        let spec = pb::JobSpec { name: "n".into(), command: vec!["true".into()], input: Some(input), ..Default::default() };
        pb::JobInfo { job: 1, spec: Some(spec), total: 1 }
    }

    #[test]
    fn a_message_is_refused_by_the_path_of_its_field() {
        let array = || job_info(Input::Array(pb::ArrayInput::default()));
        let dataset = pb::DatasetInput { digest: "0".repeat(64), split: String::new(), name: "n".into() };
        for (body, says) in [
            (
                Body::Welcome(pb::Welcome { worker: 1, epoch: 0, session: 1, stamp_ms: 0 }),
                "welcome.epoch: 0 is not allowed: from 1 to 18446744073709551615",
            ),
            (
                Body::Verdict(pb::Verdict { lease: Some(LEASE), kind: 0 }),
                "verdict.kind: 0 is unknown; adopt is 1, stop 2, send 3, adopt_frozen 4",
            ),
            (Body::Verdict(pb::Verdict { lease: None, kind: 1 }), "verdict.lease: missing; it must be set"),
            (Body::Stop(pb::Stop { lease: Some(LEASE), grace_ms: 3_600_001 }), "stop.grace_ms: 3600001 is not allowed: from 0 to 3600000"),
            (Body::Fence(pb::Fence { fence: 1, job: 0 }), "fence.job: 0 is not allowed: from 1 to 18446744073709551615"),
            (Body::Ack(pb::Ack { leases: vec![LEASE; 1025] }), "ack.leases: 1025 items, at most 1024 are allowed"),
            (Body::Runs(pb::Runs { runs: vec![pb::Run { seq: 1, ..Default::default() }] }), "runs.runs[0].lease: missing; it must be set"),
            (Body::Refusal(pb::Refusal { reason: "x".repeat(4097) }), "refusal.reason: 4097 bytes, at most 4096 are allowed"),
            (Body::Job(pb::JobInfo { spec: None, ..array() }), "job.spec: missing; it must be set"),
            (Body::Job(pb::JobInfo { total: 0, ..array() }), "job.total: 0 is not allowed: from 1 to 10000000"),
            (Body::Job(job_info(Input::Dataset(dataset))), "job.spec.dataset.split: empty; the head must state the rule it split by"),
        ] {
            let error = from_head(pb::HeadMessage { body: Some(body) }).unwrap_err();
            assert_eq!((error.message.as_str(), error.kind), (says, ErrorKind::Invalid));
        }
        assert!(from_head(pb::HeadMessage { body: None }).is_err());
    }

    #[test]
    fn a_grace_is_never_shortened() {
        let grace_ms = |grace| stop_to_pb(lease_from_pb(LEASE).unwrap(), grace).grace_ms;
        assert_eq!(grace_ms(Duration::from_nanos(1)), 1);
        assert_eq!(grace_ms(Duration::MAX), u32::MAX);
    }
}
