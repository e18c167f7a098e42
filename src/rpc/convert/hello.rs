//! A worker's first message.

use super::check::{Within, between, each, line, message, name, refuse};
use super::confines::{confines_from_pb, confines_to_pb};
use super::lease::{lease_from_pb, lease_to_pb};
use super::resources::{resources_from_pb, resources_to_pb};
use crate::domain::wire::{Dial, Held, Hello};
use crate::domain::{Epoch, Error, Instant};
use crate::limits::{self, NAME_MAX_BYTES, WORKER_SLOTS_MAX};
use crate::rpc::pb;

/// Of the session between head and worker; any change that an older end would misread bumps it.
pub const PROTOCOL_VERSION: u32 = 1;

pub(super) fn hello_to_pb(hello: Hello) -> pb::Hello {
    let held_to_pb = |held: Held| pb::Held { lease: Some(lease_to_pb(held.lease)), finished: held.finished };
    pb::Hello {
        protocol: PROTOCOL_VERSION,
        total: Some(resources_to_pb(&hello.total)),
        key: hello.key,
        host: hello.host,
        slots: hello.slots,
        sandbox: hello.confines.as_ref().map(confines_to_pb),
        epoch_seen: hello.epoch_seen.0,
        start: hello.dial.start,
        connection: hello.dial.number,
        stamp_ms: hello.stamp.0,
        held: hello.held.into_iter().map(held_to_pb).collect(),
        follows: hello.follows,
    }
}

pub(super) fn hello_from_pb(hello: pb::Hello) -> Result<Hello, Error> {
    // First of all: in another version the other fields may mean something else.
    check_protocol(hello.protocol)?;
    name("key", &hello.key)?;
    line("host", &hello.host, NAME_MAX_BYTES)?;
    Ok(Hello {
        slots: between("slots", hello.slots, 1..=WORKER_SLOTS_MAX)?,
        total: message("total", hello.total, resources_from_pb)?,
        confines: hello.sandbox.map(confines_from_pb).transpose().within("sandbox")?.flatten(),
        follows: hello.follows,
        epoch_seen: Epoch(hello.epoch_seen),
        dial: Dial { start: between("start", hello.start, 1..=u64::MAX)?, number: between("connection", hello.connection, 1..=u64::MAX)? },
        stamp: Instant(hello.stamp_ms),
        held: each("held", hello.held, limits::HELD_LEASES_MAX, |held| {
            Ok(Held { lease: message("lease", held.lease, lease_from_pb)?, finished: held.finished })
        })?,
        key: hello.key,
        host: hello.host,
    })
}

fn check_protocol(theirs: u32) -> Result<(), Error> {
    if theirs != PROTOCOL_VERSION {
        let problem = format!(
            "the worker speaks version {theirs} of the protocol, this head version {PROTOCOL_VERSION}; install the same millpond on both"
        );
        return Err(refuse("protocol", problem));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::domain::wire::Lease;
    use crate::domain::{Attempt, Confines, JobId, Resources, Sandbox, TaskNo};

    fn hello() -> pb::Hello {
        pb::Hello {
            protocol: 1,
            key: "k".into(),
            slots: 4,
            total: Some(pb::Resources::default()),
            start: 1,
            connection: 1,
            ..Default::default()
        }
    }

    #[test]
    fn another_protocol_is_refused_whatever_else_is_wrong() {
        let hello = pb::Hello { protocol: 2, ..Default::default() };
        assert_eq!(
            hello_from_pb(hello).unwrap_err().message,
            "protocol: the worker speaks version 2 of the protocol, this head version 1; install the same millpond on both"
        );
    }

    #[test]
    fn a_hello_is_refused_by_the_field_that_is_wrong() {
        for (hello, says) in [
            (pb::Hello { key: String::new(), ..hello() }, "key: empty; 1 to 255 bytes are needed"),
            (pb::Hello { host: "x".repeat(256), ..hello() }, "host: 256 bytes, at most 255 are allowed"),
            (pb::Hello { slots: 0, ..hello() }, "slots: 0 is not allowed: from 1 to 4096"),
            (pb::Hello { slots: 4097, ..hello() }, "slots: 4097 is not allowed: from 1 to 4096"),
            (pb::Hello { total: None, ..hello() }, "total: missing; it must be set"),
            (pb::Hello { start: 0, ..hello() }, "start: 0 is not allowed: from 1 to 18446744073709551615"),
            (pb::Hello { connection: 0, ..hello() }, "connection: 0 is not allowed: from 1 to 18446744073709551615"),
            (pb::Hello { held: vec![pb::Held::default()], ..hello() }, "held[0].lease: missing; it must be set"),
            (pb::Hello { held: vec![pb::Held::default(); 65_537], ..hello() }, "held: 65537 items, at most 65536 are allowed"),
        ] {
            assert_eq!(hello_from_pb(hello).unwrap_err().message, says);
        }
    }

    #[test]
    fn the_fullest_hello_fits_a_message() {
        let lease = Lease { job: JobId(u64::MAX), no: TaskNo(9_999_999), attempt: Attempt(u32::MAX), epoch: Epoch(u64::MAX) };
        let label = |i: usize| (format!("{i:0255}"), "x".repeat(255));
        let hello = Hello {
            key: "k".repeat(255),
            host: "h".repeat(255),
            slots: WORKER_SLOTS_MAX,
            total: Resources { labels: (0..64).map(label).collect(), ..Default::default() },
            confines: Some(Confines { sandbox: Sandbox::Strict, gaps: vec!["g".repeat(limits::TEXT_MAX_BYTES); limits::SANDBOX_GAPS_MAX] }),
            follows: true,
            epoch_seen: Epoch(u64::MAX),
            dial: Dial { start: u64::MAX, number: u64::MAX },
            stamp: Instant(u64::MAX),
            held: vec![Held { lease, finished: true }; limits::HELD_LEASES_MAX],
        };
        let sent = hello_to_pb(hello.clone());
        assert!(sent.encoded_len() + 16 < crate::limits::MESSAGE_MAX_BYTES);
        assert_eq!(hello_from_pb(sent), Ok(hello));
    }
}
