//! The requests that steer a job, as verbs: the same for one that acts, and for one that only asks what it would come to.

use sha2::{Digest as _, Sha256};

use crate::domain::verb::{Verb, Wish};
use crate::domain::{Error, JobId, WallTime};
use crate::limits::NAME_MAX_BYTES;
use crate::rpc::convert::{change_from_pb, hold_from_pb, kill_mode_from_pb};
use crate::rpc::pb;

use super::who::About;

pub use pb::preview_verb_request::Verb as Asked;

/// Which job is told what by a request that came at `now`. `Invalid` for the first field that is not as `jobs.proto` allows.
pub fn wish(asked: Asked, now: WallTime) -> Result<(JobId, Wish), Error> {
    let mut change = None;
    let (id, verb, reason, by) = match asked {
        Asked::Pause(pb::PauseJobRequest { id, request_id: _, reason, running, duration, by }) => {
            (id, Verb::pause(hold_from_pb(running, duration, now)?), reason, by)
        }
        Asked::Resume(pb::ResumeJobRequest { id, reason, by, .. }) => (id, Verb::Resume, reason, by),
        Asked::Retry(request) => {
            change = change_from_pb(&request)?.map(Box::new);
            (request.id, Verb::Retry { request: number_of(&request.request_id)? }, request.reason, request.by)
        }
        Asked::Kill(pb::KillJobRequest { id, reason, running, by, .. }) => (id, Verb::Kill(kill_mode_from_pb(running)?), reason, by),
        Asked::Priority(pb::SetJobPriorityRequest { id, reason, priority, by, .. }) => (id, Verb::SetPriority(priority), reason, by),
        Asked::Delete(_) => return Err(Error::internal("a deletion is no wish of a job's own")),
        Asked::Limit(pb::SetJobLimitRequest { id, reason, max_running, by, .. }) => {
            (id, Verb::SetLimit((max_running > 0).then_some(max_running)), reason, by)
        }
    };
    check_words(&reason, &by)?;
    Ok((id.parse()?, Wish { verb, reason, by, change }))
}

/// What a request is about, for the audit.
pub(super) fn about(asked: &Asked) -> About {
    let (what, reason, request_id) = match asked {
        Asked::Pause(request) => (&request.id, &request.reason, &request.request_id),
        Asked::Resume(request) => (&request.id, &request.reason, &request.request_id),
        Asked::Retry(request) => (&request.id, &request.reason, &request.request_id),
        Asked::Kill(request) => (&request.id, &request.reason, &request.request_id),
        Asked::Priority(request) => (&request.id, &request.reason, &request.request_id),
        Asked::Limit(request) => (&request.id, &request.reason, &request.request_id),
        Asked::Delete(request) => (&request.id, &request.reason, &request.request_id),
    };
    // As it is shown elsewhere, also where it was written as a number.
    let what = what.parse::<JobId>().map_or_else(|_| what.clone(), |job| job.to_string());
    About { what, reason: reason.clone(), request_id: request_id.clone() }
}

/// A request id as a job remembers it.
fn number_of(request_id: &str) -> Result<u128, Error> {
    if request_id.is_empty() {
        return Err(Error::invalid("request_id: empty; a new one is needed for each wish"));
    }
    let digest: [u8; 32] = Sha256::digest(request_id).into();
    Ok(digest.iter().take(16).fold(0, |number, byte| number << 8 | u128::from(*byte)))
}

/// Why, and who says so.
pub(super) fn check_words(reason: &str, by: &str) -> Result<(), Error> {
    const REASON_MAX_BYTES: usize = 1024;
    if reason.len() > REASON_MAX_BYTES || reason.chars().any(char::is_control) {
        return Err(Error::invalid(format!("reason: one line of at most {REASON_MAX_BYTES} bytes is allowed")));
    }
    if by.len() > NAME_MAX_BYTES || by.chars().any(char::is_control) {
        return Err(Error::invalid(format!("by: one line of at most {NAME_MAX_BYTES} bytes is allowed")));
    }
    Ok(())
}
