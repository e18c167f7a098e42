//! From worker to head.

use super::check::{Within, between, message, refuse};
use super::hello::{hello_from_pb, hello_to_pb};
use super::lease::{lease_from_pb, lease_to_pb, leases_from_pb, leases_to_pb};
use super::result::{info_from_pb, info_to_pb, receipt_from_pb, receipt_to_pb};
use crate::domain::wire::{Finished, FromWorker, ResultBytes, Standing};
use crate::domain::{Error, FenceId, Instant, Packed, Room};
use crate::limits::{AHEAD_MAX, LEASES_PER_MESSAGE_MAX, RESULT_INLINE_MAX_BYTES, WORKER_SLOTS_MAX};
use crate::rpc::pb;
use crate::rpc::pb::worker_message::Body;

/// The answer to a fence can't be sent in parts; each list has at most one lease per slot, and what was sent ahead.
const FENCED_MAX: usize = (WORKER_SLOTS_MAX + AHEAD_MAX) as usize;

/// A worker's message, to be sent. The limits on lists and inline bytes are the sender's to keep.
pub fn to_head(message: FromWorker) -> pb::WorkerMessage {
    let body = match message {
        FromWorker::Hello(hello) => Body::Hello(hello_to_pb(hello)),
        FromWorker::Room { room: Room { free: 0, ahead: 0 }, last_run_seen } => Body::Busy(pb::Busy { last_run_seen }),
        FromWorker::Room { room: Room { free, ahead }, last_run_seen } => Body::Available(pb::Available { free, last_run_seen, ahead }),
        FromWorker::Standing(standing) => Body::Standing(pb::Standing { state: standing_to_pb(standing).into() }),
        FromWorker::Started(leases) => Body::Started(pb::Started { leases: leases_to_pb(leases) }),
        FromWorker::Declined(lease) => Body::Declined(pb::Declined { lease: Some(lease_to_pb(lease)) }),
        FromWorker::Fenced { fence, started, dropped } => {
            Body::Fenced(pb::Fenced { fence: fence.0, started: leases_to_pb(started), dropped: leases_to_pb(dropped) })
        }
        FromWorker::Finished(finished) => Body::Finished(finished_to_pb(*finished)),
        FromWorker::Heartbeat(stamp) => Body::Heartbeat(pb::Heartbeat { stamp_ms: stamp.0 }),
        FromWorker::Goodbye => Body::Goodbye(pb::Goodbye {}),
    };
    pb::WorkerMessage { body: Some(body) }
}

/// A message as it came from a worker.
///
/// # Errors
/// `Invalid` with the path of the first field that is not as `worker.proto` and [`crate::limits`] allow; a Hello of another
/// [`super::PROTOCOL_VERSION`] too, with both versions.
pub fn from_worker(message: pb::WorkerMessage) -> Result<FromWorker, Error> {
    match message.body {
        Some(Body::Hello(hello)) => hello_from_pb(hello).map(FromWorker::Hello).within("hello"),
        Some(Body::Available(available)) => available_from_pb(available).within("available"),
        Some(Body::Busy(busy)) => Ok(FromWorker::Room { room: Room::default(), last_run_seen: busy.last_run_seen }),
        Some(Body::Standing(standing)) => standing_from_pb(standing.state).map(FromWorker::Standing).within("standing"),
        Some(Body::Started(started)) => {
            leases_from_pb("leases", started.leases, LEASES_PER_MESSAGE_MAX).map(FromWorker::Started).within("started")
        }
        Some(Body::Declined(declined)) => declined_from_pb(declined).within("declined"),
        Some(Body::Fenced(fenced)) => fenced_from_pb(fenced).within("fenced"),
        Some(Body::Finished(finished)) => {
            finished_from_pb(finished).map(|finished| FromWorker::Finished(Box::new(finished))).within("finished")
        }
        Some(Body::Heartbeat(pb::Heartbeat { stamp_ms })) => Ok(FromWorker::Heartbeat(Instant(stamp_ms))),
        Some(Body::Goodbye(pb::Goodbye {})) => Ok(FromWorker::Goodbye),
        None => Err(refuse("body", "missing, or of a kind that this version does not know; install the same millpond on head and worker")),
    }
}

fn available_from_pb(available: pb::Available) -> Result<FromWorker, Error> {
    let ahead = between("ahead", available.ahead, 0..=AHEAD_MAX)?;
    let least = u32::from(ahead == 0);
    let free = between("free", available.free, least..=WORKER_SLOTS_MAX)?;
    Ok(FromWorker::Room { room: Room { free, ahead }, last_run_seen: available.last_run_seen })
}

fn standing_to_pb(standing: Standing) -> pb::standing::State {
    match standing {
        Standing::Serving => pb::standing::State::Serving,
        Standing::Leaving => pb::standing::State::Leaving,
        Standing::Resting => pb::standing::State::Resting,
    }
}

fn standing_from_pb(state: i32) -> Result<Standing, Error> {
    match pb::standing::State::try_from(state) {
        Ok(pb::standing::State::Serving) => Ok(Standing::Serving),
        Ok(pb::standing::State::Leaving) => Ok(Standing::Leaving),
        Ok(pb::standing::State::Resting) => Ok(Standing::Resting),
        Ok(pb::standing::State::Unspecified) | Err(_) => Err(refuse("state", format!("{state} is none that this version knows"))),
    }
}

fn declined_from_pb(declined: pb::Declined) -> Result<FromWorker, Error> {
    message("lease", declined.lease, lease_from_pb).map(FromWorker::Declined)
}

fn fenced_from_pb(fenced: pb::Fenced) -> Result<FromWorker, Error> {
    Ok(FromWorker::Fenced {
        fence: FenceId(fenced.fence),
        started: leases_from_pb("started", fenced.started, FENCED_MAX)?,
        dropped: leases_from_pb("dropped", fenced.dropped, FENCED_MAX)?,
    })
}

fn finished_to_pb(finished: Finished) -> pb::Finished {
    let (inline, receipt) = match finished.bytes {
        ResultBytes::Inline(bytes) => (bytes.into(), None),
        ResultBytes::Stored(at) => (Default::default(), Some(receipt_to_pb(at))),
    };
    let info = info_to_pb(&finished.outcome, finished.timing, finished.packed);
    pb::Finished { lease: Some(lease_to_pb(finished.lease)), info: Some(info), inline, receipt }
}

fn finished_from_pb(finished: pb::Finished) -> Result<Finished, Error> {
    let lease = message("lease", finished.lease, lease_from_pb)?;
    let (outcome, timing, packed) = message("info", finished.info, info_from_pb)?;
    let bytes = match finished.receipt {
        Some(_) if !finished.inline.is_empty() => return Err(refuse("inline", "set beside a receipt; only one of them is allowed")),
        Some(receipt) => stored_from_pb(receipt, &packed).within("receipt")?,
        None => inline_from_pb(&finished.inline, &packed)?,
    };
    Ok(Finished { lease, outcome, timing, packed, bytes })
}

fn stored_from_pb(receipt: pb::ResultReceipt, packed: &Packed) -> Result<ResultBytes, Error> {
    let at = receipt_from_pb(receipt)?;
    match packed.packed_len() {
        Some(packed_len) if packed_len <= at.len => Ok(ResultBytes::Stored(at)),
        _ => Err(refuse("len", format_args!("{} bytes can't hold the entries; their packed lengths must fit", at.len))),
    }
}

fn inline_from_pb(bytes: &[u8], packed: &Packed) -> Result<ResultBytes, Error> {
    if bytes.len() > RESULT_INLINE_MAX_BYTES {
        let problem = format!("{} bytes, at most {RESULT_INLINE_MAX_BYTES} are allowed; upload a larger result first", bytes.len());
        return Err(refuse("inline", problem));
    }
    match packed.packed_len() {
        // A copy: the bytes as received may hold a whole network buffer.
        Some(packed_len) if packed_len == bytes.len() as u64 => Ok(ResultBytes::Inline(bytes.to_vec())),
        packed_len => {
            let expected = packed_len.unwrap_or(u64::MAX);
            Err(refuse("inline", format_args!("{} bytes, but the entries are {expected}; they must be the same", bytes.len())))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;

    use super::super::samples;
    use super::*;
    use crate::domain::{ErrorKind, Outcome, Timing};

    /// Whatever is read can be used, sent, and read again as the same.
    fn survives(bytes: &[u8]) {
        let Ok(message) = pb::WorkerMessage::decode(bytes) else { return };
        let Ok(message) = from_worker(message) else { return };
        if let FromWorker::Finished(finished) = &message {
            let _ = (finished.outcome.exit_code(), finished.outcome.describe(), finished.packed.packed_len());
        }
        assert_eq!(from_worker(to_head(message.clone())), Ok(message));
    }

    proptest! {
        #[test]
        fn what_a_worker_sends_arrives(message in samples::from_worker()) {
            let bytes = to_head(message.clone()).encode_to_vec();
            prop_assert_eq!(from_worker(pb::WorkerMessage::decode(bytes.as_slice()).unwrap()), Ok(message));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            survives(&bytes);
        }

        #[test]
        fn no_damaged_message_makes_it_panic(message in samples::from_worker(), damage in samples::damage()) {
            survives(&samples::damaged(to_head(message).encode_to_vec(), &damage));
        }
    }

    const LEASE: pb::Lease = pb::Lease { job: 1, no: 0, epoch: 1, attempt: 1 };

    fn finished() -> pb::Finished {
        let info = info_to_pb(&Outcome::Exited { code: 0 }, Timing::default(), Packed::default());
        pb::Finished { lease: Some(LEASE), info: Some(info), ..Default::default() }
    }

    fn finished_with(packed_len: u64) -> pb::Finished {
        let entry = pb::ResultEntry { kind: 1, len: 1, packed_len, ..Default::default() };
        pb::Finished { info: finished().info.map(|info| pb::ResultInfo { entries: vec![entry], ..info }), ..finished() }
    }

    fn refusal(body: Body) -> String {
        let error = from_worker(pb::WorkerMessage { body: Some(body) }).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid);
        error.message
    }

    #[test]
    fn a_message_is_refused_by_the_path_of_its_field() {
        let bad = pb::Lease { job: 0, ..LEASE };
        for (body, says) in [
            (Body::Available(pb::Available { free: 0, last_run_seen: 1, ahead: 0 }), "available.free: 0 is not allowed: from 1 to 4096"),
            (
                Body::Available(pb::Available { free: 4097, last_run_seen: 1, ahead: 0 }),
                "available.free: 4097 is not allowed: from 1 to 4096",
            ),
            (
                Body::Available(pb::Available { free: 0, last_run_seen: 1, ahead: 1025 }),
                "available.ahead: 1025 is not allowed: from 0 to 1024",
            ),
            (
                Body::Started(pb::Started { leases: vec![LEASE, bad] }),
                "started.leases[1].job: 0 is not allowed: from 1 to 18446744073709551615",
            ),
            (Body::Started(pb::Started { leases: vec![LEASE; 1025] }), "started.leases: 1025 items, at most 1024 are allowed"),
            (Body::Declined(pb::Declined { lease: None }), "declined.lease: missing; it must be set"),
            (
                Body::Fenced(pb::Fenced { fence: 1, started: vec![], dropped: vec![LEASE; 5121] }),
                "fenced.dropped: 5121 items, at most 5120 are allowed",
            ),
            (
                Body::Hello(pb::Hello { protocol: 7, ..Default::default() }),
                "hello.protocol: the worker speaks version 7 of the protocol, this head version 1; install the same millpond on both",
            ),
        ] {
            assert_eq!(refusal(body), says);
        }
        assert_eq!(
            from_worker(pb::WorkerMessage { body: None }).unwrap_err().message,
            "body: missing, or of a kind that this version does not know; install the same millpond on head and worker"
        );
    }

    #[test]
    fn a_result_comes_whole_or_with_a_receipt() {
        let receipt = Some(pb::ResultReceipt { offset: 0, len: 99 });
        for (finished, says) in [
            (pb::Finished { lease: None, ..finished() }, "finished.lease: missing; it must be set"),
            (pb::Finished { info: None, ..finished() }, "finished.info: missing; it must be set"),
            (finished_with(5), "finished.inline: 0 bytes, but the entries are 5; they must be the same"),
            (
                pb::Finished { inline: vec![0; 262_145].into(), ..finished_with(262_145) },
                "finished.inline: 262145 bytes, at most 262144 are allowed; upload a larger result first",
            ),
            (
                pb::Finished { inline: vec![0; 5].into(), receipt, ..finished_with(5) },
                "finished.inline: set beside a receipt; only one of them is allowed",
            ),
            (
                pb::Finished { receipt, ..finished_with(100) },
                "finished.receipt.len: 99 bytes can't hold the entries; their packed lengths must fit",
            ),
            (
                pb::Finished { receipt: Some(pb::ResultReceipt { offset: 9, len: 0 }), ..finished() },
                "finished.receipt.len: 0 is not allowed: from 1 to 18446744073709551606",
            ),
        ] {
            assert_eq!(refusal(Body::Finished(finished)), says);
        }
        assert!(from_worker(pb::WorkerMessage { body: Some(Body::Finished(finished())) }).is_ok());
    }

    #[test]
    fn no_room_is_busy() {
        let sent = to_head(FromWorker::Room { room: Room::default(), last_run_seen: 7 });
        assert_eq!(sent.body, Some(Body::Busy(pb::Busy { last_run_seen: 7 })));
    }
}
