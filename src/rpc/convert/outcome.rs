//! How an attempt ended.

use super::check::{between, line, refuse, sentence};
use crate::domain::{Error, Outcome};
use crate::limits;
use crate::rpc::pb;
use crate::rpc::pb::outcome::Kind;

/// What `wait(2)` can give as an exit code.
const EXIT_CODE_MAX: i32 = 255;
/// What `wait(2)` can give as a signal: seven bits.
const SIGNAL_MAX: i32 = 127;

/// To the message; a reason becomes one line of bounded length.
pub fn outcome_to_pb(outcome: &Outcome) -> pb::Outcome {
    let kind = match outcome {
        Outcome::Exited { code } => Kind::Exited(*code),
        Outcome::Signalled { signal } => Kind::Signalled(*signal),
        Outcome::TimedOut => Kind::TimedOut(true),
        Outcome::SpawnFailed { reason } => Kind::SpawnFailed(sentence(reason)),
        Outcome::OutputMissing { reason } => Kind::OutputMissing(sentence(reason)),
        Outcome::Lost => Kind::Lost(true),
        Outcome::Revoked => Kind::Revoked(true),
        Outcome::Poison { workers } => Kind::Poison(*workers),
    };
    pb::Outcome { kind: Some(kind) }
}

/// From the message.
///
/// # Errors
/// `Invalid` for an unknown kind, a code or signal that no process ends with, a flag that is false, a reason that is too long.
pub fn outcome_from_pb(outcome: pb::Outcome) -> Result<Outcome, Error> {
    match outcome.kind {
        Some(Kind::Exited(code)) => Ok(Outcome::Exited { code: between("exited", code, 0..=EXIT_CODE_MAX)? }),
        Some(Kind::Signalled(signal)) => Ok(Outcome::Signalled { signal: between("signalled", signal, 1..=SIGNAL_MAX)? }),
        Some(Kind::TimedOut(set)) => flag("timed_out", set, Outcome::TimedOut),
        Some(Kind::SpawnFailed(reason)) => {
            line("spawn_failed", &reason, limits::TEXT_MAX_BYTES)?;
            Ok(Outcome::SpawnFailed { reason })
        }
        Some(Kind::OutputMissing(reason)) => {
            line("output_missing", &reason, limits::TEXT_MAX_BYTES)?;
            Ok(Outcome::OutputMissing { reason })
        }
        Some(Kind::Lost(set)) => flag("lost", set, Outcome::Lost),
        Some(Kind::Revoked(set)) => flag("revoked", set, Outcome::Revoked),
        Some(Kind::Poison(workers)) => Ok(Outcome::Poison { workers }),
        None => Err(refuse(
            "kind",
            "missing or unknown; allowed are exited, signalled, timed_out, spawn_failed, output_missing, lost, revoked and poison",
        )),
    }
}

fn flag(field: &str, set: bool, outcome: Outcome) -> Result<Outcome, Error> {
    if set { Ok(outcome) } else { Err(refuse(field, "false is not allowed: set it to true, or choose another kind")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_that_no_process_has_is_refused() {
        for (kind, says) in [
            (Some(Kind::Exited(-1)), "exited: -1 is not allowed: from 0 to 255"),
            (Some(Kind::Signalled(0)), "signalled: 0 is not allowed: from 1 to 127"),
            (Some(Kind::Signalled(i32::MAX)), "signalled: 2147483647 is not allowed: from 1 to 127"),
            (Some(Kind::TimedOut(false)), "timed_out: false is not allowed: set it to true, or choose another kind"),
            (Some(Kind::SpawnFailed("x".repeat(5000))), "spawn_failed: 5000 bytes, at most 4096 are allowed"),
            (Some(Kind::OutputMissing("a\0".into())), r#"output_missing: "a\0" has a control character, none is allowed"#),
        ] {
            assert_eq!(outcome_from_pb(pb::Outcome { kind }).unwrap_err().message, says);
        }
        assert!(
            outcome_from_pb(pb::Outcome { kind: None }).unwrap_err().message.starts_with("kind: missing or unknown; allowed are exited,")
        );
    }

    #[test]
    fn a_long_reason_of_several_lines_still_arrives() {
        let sent = Outcome::SpawnFailed { reason: "no such file\n".repeat(1000) };
        assert!(
            matches!(outcome_from_pb(outcome_to_pb(&sent)), Ok(Outcome::SpawnFailed { reason }) if reason.starts_with("no such file "))
        );
    }
}
