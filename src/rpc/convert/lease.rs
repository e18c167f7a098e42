//! Leases, and the runs that bring them to a worker.

use super::check::{Within, between, each, message, refuse};
use crate::domain::wire::{Lease, Run};
use crate::domain::{Attempt, Chunk, Epoch, Error, JobId, TaskNo};
use crate::limits::{HEADER_MAX_BYTES, JOB_TASKS_MAX, LEASES_PER_MESSAGE_MAX};
use crate::rpc::pb;

/// To the message.
pub fn lease_to_pb(lease: Lease) -> pb::Lease {
    pb::Lease { job: lease.job.0, no: lease.no.0, epoch: lease.epoch.0, attempt: lease.attempt.0 }
}

/// From the message. Whether its epoch holds is for the fence to say.
///
/// # Errors
/// `Invalid` when job, attempt or epoch is 0, or the task's number is beyond what a job can have.
pub fn lease_from_pb(lease: pb::Lease) -> Result<Lease, Error> {
    Ok(Lease {
        job: job_from_pb(lease.job)?,
        no: TaskNo(between("no", lease.no, 0..=JOB_TASKS_MAX - 1)?),
        attempt: Attempt(between("attempt", lease.attempt, 1..=u32::MAX)?),
        epoch: epoch_from_pb(lease.epoch)?,
    })
}

/// Jobs are numbered from 1: a 0 is a field that was not set.
pub(super) fn job_from_pb(job: u64) -> Result<JobId, Error> {
    between("job", job, 1..=u64::MAX).map(JobId)
}

/// A store gives out epochs from 1: a 0 is a field that was not set.
pub(super) fn epoch_from_pb(epoch: u64) -> Result<Epoch, Error> {
    between("epoch", epoch, 1..=u64::MAX).map(Epoch)
}

pub(super) fn leases_to_pb(leases: Vec<Lease>) -> Vec<pb::Lease> {
    leases.into_iter().map(lease_to_pb).collect()
}

/// A list of at most `max` leases.
pub(super) fn leases_from_pb(field: &str, leases: Vec<pb::Lease>, max: usize) -> Result<Vec<Lease>, Error> {
    each(field, leases, max, lease_from_pb)
}

pub(super) fn runs_to_pb(runs: Vec<Run>) -> pb::Runs {
    let run_to_pb = |run: Run| pb::Run { seq: run.seq, lease: Some(lease_to_pb(run.lease)), chunk: run.chunk.map(chunk_to_pb) };
    pb::Runs { runs: runs.into_iter().map(run_to_pb).collect() }
}

pub(super) fn runs_from_pb(runs: pb::Runs) -> Result<Vec<Run>, Error> {
    each("runs", runs.runs, LEASES_PER_MESSAGE_MAX, |run| {
        Ok(Run {
            // A worker that has seen none says 0, so no run may be it.
            seq: between("seq", run.seq, 1..=u64::MAX)?,
            lease: message("lease", run.lease, lease_from_pb)?,
            chunk: run.chunk.map(chunk_from_pb).transpose().within("chunk")?,
        })
    })
}

fn chunk_to_pb(chunk: Chunk) -> pb::Chunk {
    let Chunk { offset, len, header, first_record, records } = chunk;
    pb::Chunk { offset, len, header, first_record, records }
}

fn chunk_from_pb(chunk: pb::Chunk) -> Result<Chunk, Error> {
    let pb::Chunk { offset, len, header, first_record, records } = chunk;
    between("len", len, 0..=u64::MAX - offset)?;
    between("header", header, 0..=HEADER_MAX_BYTES)?;
    if header > offset {
        return Err(refuse("header", format_args!("{header} bytes reach into the chunk at {offset}; it must end before that")));
    }
    between("records", records, 0..=u64::MAX - first_record)?;
    Ok(Chunk { offset, len, header, first_record, records })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: pb::Lease = pb::Lease { job: 1, no: 0, epoch: 1, attempt: 1 };

    #[test]
    fn a_lease_that_lacks_a_number_is_refused() {
        for (lease, says) in [
            (pb::Lease { job: 0, ..LEASE }, "job: 0 is not allowed: from 1 to 18446744073709551615"),
            (pb::Lease { epoch: 0, ..LEASE }, "epoch: 0 is not allowed: from 1 to 18446744073709551615"),
            (pb::Lease { attempt: 0, ..LEASE }, "attempt: 0 is not allowed: from 1 to 4294967295"),
            (pb::Lease { no: 10_000_000, ..LEASE }, "no: 10000000 is not allowed: from 0 to 9999999"),
        ] {
            assert_eq!(lease_from_pb(lease).unwrap_err().message, says);
        }
    }

    #[test]
    fn a_run_is_refused_for_what_it_lacks() {
        let chunk = pb::Chunk { offset: 10, len: 5, header: 3, first_record: 1, records: 1 };
        let run = pb::Run { seq: 1, lease: Some(LEASE), chunk: Some(chunk) };
        for (run, says) in [
            (pb::Run { seq: 0, ..run }, "runs[1].seq: 0 is not allowed: from 1 to 18446744073709551615"),
            (pb::Run { lease: None, ..run }, "runs[1].lease: missing; it must be set"),
            (
                pb::Run { chunk: Some(pb::Chunk { len: u64::MAX, ..chunk }), ..run },
                "runs[1].chunk.len: 18446744073709551615 is not allowed: from 0 to 18446744073709551605",
            ),
            (
                pb::Run { chunk: Some(pb::Chunk { header: 11, ..chunk }), ..run },
                "runs[1].chunk.header: 11 bytes reach into the chunk at 10; it must end before that",
            ),
            (
                pb::Run { chunk: Some(pb::Chunk { header: 1 << 40, ..chunk }), ..run },
                "runs[1].chunk.header: 1099511627776 is not allowed: from 0 to 1048576",
            ),
            (
                pb::Run { chunk: Some(pb::Chunk { records: u64::MAX, ..chunk }), ..run },
                "runs[1].chunk.records: 18446744073709551615 is not allowed: from 0 to 18446744073709551614",
            ),
        ] {
            let good = pb::Run { seq: 1, lease: Some(LEASE), chunk: None };
            assert_eq!(runs_from_pb(pb::Runs { runs: vec![good, run] }).unwrap_err().message, says);
        }
        let many = pb::Runs { runs: vec![run; 1025] };
        assert_eq!(runs_from_pb(many).unwrap_err().message, "runs: 1025 items, at most 1024 are allowed");
    }
}
