//! States, counts and the way of a kill, for services that answer about jobs and clients that read the answer.

use super::check::{Within, refuse};
use super::time::duration_from_pb;
use crate::domain::verb::{Change, Counts, Hold, KillMode};
use crate::domain::{Error, JobState, WallTime};
use crate::limits;
use crate::rpc::pb;

/// To the enum.
pub fn state_to_pb(state: JobState) -> pb::JobState {
    match state {
        JobState::Ingesting => pb::JobState::Ingesting,
        JobState::Waiting => pb::JobState::Waiting,
        JobState::Running => pb::JobState::Running,
        JobState::Finishing => pb::JobState::Finishing,
        JobState::Succeeded => pb::JobState::Succeeded,
        JobState::Failed => pb::JobState::Failed,
        JobState::Killed => pb::JobState::Killed,
    }
}

/// From an enum field named `state`.
///
/// # Errors
/// `Invalid` for a number that is no state, 0 among them.
pub fn state_from_pb(state: i32) -> Result<JobState, Error> {
    match pb::JobState::try_from(state) {
        Ok(pb::JobState::Ingesting) => Ok(JobState::Ingesting),
        Ok(pb::JobState::Waiting) => Ok(JobState::Waiting),
        Ok(pb::JobState::Running) => Ok(JobState::Running),
        Ok(pb::JobState::Finishing) => Ok(JobState::Finishing),
        Ok(pb::JobState::Succeeded) => Ok(JobState::Succeeded),
        Ok(pb::JobState::Failed) => Ok(JobState::Failed),
        Ok(pb::JobState::Killed) => Ok(JobState::Killed),
        Ok(pb::JobState::Unspecified) | Err(_) => Err(refuse(
            "state",
            format_args!("{state} is not a job's state; ingesting, waiting, running, finishing, succeeded, failed and killed are 1 to 7"),
        )),
    }
}

/// To the message.
pub fn counts_to_pb(counts: Counts) -> pb::TaskCounts {
    let Counts { total, undispatched, running, succeeded, failed, killed } = counts;
    pb::TaskCounts { total, undispatched, running, succeeded, failed, killed }
}

/// From the message, in a client.
///
/// # Errors
/// `Invalid` when they do not add up to the total.
pub fn counts_from_pb(counts: pb::TaskCounts) -> Result<Counts, Error> {
    let pb::TaskCounts { total, undispatched, running, succeeded, failed, killed } = counts;
    // Not `Counts::add_up`: numbers from the network may overflow its sum.
    let sum: u64 = [undispatched, running, succeeded, failed, killed].into_iter().map(u64::from).sum();
    if sum != u64::from(total) {
        return Err(refuse("total", format_args!("{total}, but the counts add up to {sum}; they must be the same")));
    }
    Ok(Counts { total, undispatched, running, succeeded, failed, killed })
}

/// To the enum.
pub fn kill_mode_to_pb(mode: KillMode) -> pb::RunningTasks {
    match mode {
        KillMode::Finish => pb::RunningTasks::Finish,
        KillMode::Stop => pb::RunningTasks::Stop,
    }
}

/// From the enum field `KillJobRequest.running`: unset is `Finish`, as the proto states.
///
/// # Errors
/// `Invalid` for an unknown number.
pub fn kill_mode_from_pb(running: i32) -> Result<KillMode, Error> {
    match pb::RunningTasks::try_from(running) {
        Ok(pb::RunningTasks::Unspecified | pb::RunningTasks::Finish) => Ok(KillMode::Finish),
        Ok(pb::RunningTasks::Stop) => Ok(KillMode::Stop),
        Ok(pb::RunningTasks::Freeze) => Err(refuse("running", "freeze is for a pause: finish is 1, stop is 2")),
        Err(_) => Err(refuse("running", format_args!("{running} is unknown; finish is 1, stop is 2"))),
    }
}

/// From the fields of a `RetryJobRequest` that say what is different; none if nothing is. What a job can't have is not looked for here.
///
/// # Errors
/// `Invalid` for a duration that is none.
pub fn change_from_pb(request: &pb::RetryJobRequest) -> Result<Option<Change>, Error> {
    let pb::RetryJobRequest { command, cpus, mem_bytes, gpus, timeout, .. } = request;
    let change = Change {
        command: Some(command.clone()).filter(|command| !command.is_empty()),
        cpus: *cpus,
        mem_bytes: *mem_bytes,
        gpus: *gpus,
        timeout: timeout.map(duration_from_pb).transpose().within("timeout")?,
    };
    Ok(Some(change).filter(|change| *change != Change::default()))
}

/// From the fields `PauseJobRequest.running` and `duration`, at `now`.
///
/// # Errors
/// `Invalid` for an unknown number, for `Stop`, and for a duration that is nothing, or longer than [`limits::PAUSE_MAX`].
pub fn hold_from_pb(running: i32, duration: Option<prost_types::Duration>, now: WallTime) -> Result<Hold, Error> {
    let freeze = match pb::RunningTasks::try_from(running) {
        Ok(pb::RunningTasks::Unspecified | pb::RunningTasks::Finish) => false,
        Ok(pb::RunningTasks::Freeze) => true,
        Ok(pb::RunningTasks::Stop) => return Err(refuse("running", "stop is for a kill: finish is 1, freeze is 3")),
        Err(_) => return Err(refuse("running", format_args!("{running} is unknown; finish is 1, freeze is 3"))),
    };
    let Some(duration) = duration else { return Ok(Hold { freeze, until: None }) };
    let duration = duration_from_pb(duration).within("duration")?;
    if duration.is_zero() || duration > limits::PAUSE_MAX {
        let max = limits::PAUSE_MAX.as_secs();
        return Err(refuse("duration", format_args!("{duration:?} is not allowed: more than 0, at most {max} s")));
    }
    Ok(Hold { freeze, until: Some(now.after(duration)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_comes_back_and_other_numbers_are_refused() {
        for number in 1..=7 {
            assert_eq!(state_to_pb(state_from_pb(number).unwrap()) as i32, number);
        }
        for number in [0, 8, -1, i32::MAX] {
            assert!(state_from_pb(number).unwrap_err().message.starts_with(&format!("state: {number} is not a job's state;")));
        }
    }

    #[test]
    fn counts_that_do_not_add_up_are_refused() {
        let counts = Counts { total: 15, undispatched: 1, running: 2, succeeded: 3, failed: 4, killed: 5 };
        assert_eq!(counts_from_pb(counts_to_pb(counts)), Ok(counts));
        let wrong = pb::TaskCounts { total: 1, undispatched: u32::MAX, running: 2, ..Default::default() };
        assert_eq!(counts_from_pb(wrong).unwrap_err().message, "total: 1, but the counts add up to 4294967297; they must be the same");
    }

    #[test]
    fn a_kill_lets_tasks_finish_unless_told_to_stop_them() {
        assert_eq!(kill_mode_from_pb(0), Ok(KillMode::Finish));
        for mode in [KillMode::Finish, KillMode::Stop] {
            assert_eq!(kill_mode_from_pb(kill_mode_to_pb(mode) as i32), Ok(mode));
        }
        assert_eq!(kill_mode_from_pb(9).unwrap_err().message, "running: 9 is unknown; finish is 1, stop is 2");
    }
}
