//! The one place where an error becomes a gRPC status, and a status an error.
//!
//! Our own statuses carry `google.rpc.ErrorInfo` (domain `millpond`, reason = the kind's name), so that the kind survives exactly;
//! a foreign status (of tonic, of a proxy) is mapped by its code.

use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::domain::{Error, ErrorKind};

/// The domain in our `ErrorInfo`.
pub const ERROR_DOMAIN: &str = "millpond";

/// A message travels twice in the trailers, percent-encoded and in base64, and peers refuse trailers above 16 KiB.
const STATUS_MESSAGE_MAX_BYTES: usize = 2048;

const KINDS: [ErrorKind; 9] = [
    ErrorKind::Invalid,
    ErrorKind::NotFound,
    ErrorKind::Conflict,
    ErrorKind::Denied,
    ErrorKind::Exhausted,
    ErrorKind::Unavailable,
    ErrorKind::TimedOut,
    ErrorKind::Corrupt,
    ErrorKind::Internal,
];

/// The status of an error. A message above 2 KiB is cut.
pub fn to_status(error: &Error) -> Status {
    let details = ErrorDetails::with_error_info(name_of(error.kind), ERROR_DOMAIN, HashMap::new());
    Status::with_error_details(code_of(error.kind), cut(&error.message), details)
}

/// The error of a status, ours or foreign.
pub fn from_status(status: &Status) -> Error {
    let kind = own_kind(status).unwrap_or_else(|| foreign_kind(status.code()));
    let message = match status.message() {
        "" => status.code().description().to_lowercase(),
        text => text.to_owned(),
    };
    Error { kind, message }
}

/// The error of a call's status. One that was made on this side, because the connection broke, says nothing about what was asked for: the
/// call may be made again, whatever its code.
pub fn from_call(status: &Status) -> Error {
    let error = from_status(status);
    let is_ours = own_kind(status).is_some() || std::error::Error::source(status).is_none();
    match error.kind {
        ErrorKind::Internal if !is_ours => Error { kind: ErrorKind::Unavailable, ..error },
        _ => error,
    }
}

/// The kind that our own `ErrorInfo` names; none in a foreign status.
pub fn own_kind(status: &Status) -> Option<ErrorKind> {
    let info = status.get_details_error_info().filter(|info| info.domain == ERROR_DOMAIN)?;
    kind_of_name(&info.reason)
}

/// What a kind is called on the wire.
pub(super) fn name_of(kind: ErrorKind) -> String {
    format!("{kind:?}")
}

/// The kind of that name.
pub(super) fn kind_of_name(name: &str) -> Option<ErrorKind> {
    KINDS.into_iter().find(|kind| name_of(*kind) == name)
}

fn code_of(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::Invalid => Code::InvalidArgument,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::Conflict => Code::FailedPrecondition,
        ErrorKind::Denied => Code::PermissionDenied,
        ErrorKind::Exhausted => Code::ResourceExhausted,
        ErrorKind::Unavailable => Code::Unavailable,
        ErrorKind::TimedOut => Code::DeadlineExceeded,
        ErrorKind::Corrupt => Code::DataLoss,
        ErrorKind::Internal => Code::Internal,
    }
}

fn foreign_kind(code: Code) -> ErrorKind {
    match code {
        Code::InvalidArgument | Code::OutOfRange => ErrorKind::Invalid,
        // An older head that lacks a method is a wrong request to that head, as an unknown option would be.
        Code::Unimplemented => ErrorKind::Invalid,
        Code::NotFound => ErrorKind::NotFound,
        Code::AlreadyExists | Code::FailedPrecondition | Code::Aborted => ErrorKind::Conflict,
        Code::PermissionDenied | Code::Unauthenticated => ErrorKind::Denied,
        Code::ResourceExhausted => ErrorKind::Exhausted,
        Code::Unavailable | Code::Cancelled => ErrorKind::Unavailable,
        Code::DeadlineExceeded => ErrorKind::TimedOut,
        Code::DataLoss => ErrorKind::Corrupt,
        Code::Ok | Code::Unknown | Code::Internal => ErrorKind::Internal,
    }
}

fn cut(message: &str) -> String {
    if message.len() <= STATUS_MESSAGE_MAX_BYTES {
        return message.to_owned();
    }
    let end = (0..=STATUS_MESSAGE_MAX_BYTES).rev().find(|&at| message.is_char_boundary(at)).unwrap_or(0);
    format!("{}…", message.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_survives_the_wire() {
        for kind in KINDS {
            let error = Error { kind, message: format!("job j7 is {kind:?}: «ü»\nsecond line") };
            assert_eq!(from_status(&to_status(&error)), error);
        }
    }

    #[test]
    fn a_foreign_status_maps_by_its_code() {
        let kind = |code| from_status(&Status::new(code, "x")).kind;
        assert_eq!(kind(Code::Unavailable), ErrorKind::Unavailable);
        assert_eq!(kind(Code::Cancelled), ErrorKind::Unavailable);
        assert_eq!(kind(Code::ResourceExhausted), ErrorKind::Exhausted);
        assert_eq!(kind(Code::AlreadyExists), ErrorKind::Conflict);
        assert_eq!(kind(Code::Unauthenticated), ErrorKind::Denied);
        assert_eq!(kind(Code::Unknown), ErrorKind::Internal);
        assert_eq!(from_status(&Status::new(Code::NotFound, "")).message, "some requested entity was not found");
    }

    #[test]
    fn a_connection_that_breaks_in_a_call_is_no_fault_of_what_was_asked_for() {
        let broken = Status::from_error(Box::new(std::io::Error::from(std::io::ErrorKind::ConnectionReset)));
        assert_eq!(from_call(&broken).kind, ErrorKind::Unavailable);
        assert_eq!(from_call(&Status::internal("a mistake of the head")).kind, ErrorKind::Internal);
        assert_eq!(from_call(&to_status(&Error::internal("x"))).kind, ErrorKind::Internal);
        assert_eq!(from_call(&to_status(&Error::not_found("x"))).kind, ErrorKind::NotFound);
    }

    #[test]
    fn another_domain_is_not_believed() {
        let details = ErrorDetails::with_error_info("Corrupt", "example.org", HashMap::new());
        let status = Status::with_error_details(Code::NotFound, "gone", details);
        assert_eq!(from_status(&status), Error::not_found("gone"));
    }

    #[test]
    fn a_huge_message_is_cut_at_a_character() {
        let status = to_status(&Error::invalid("é".repeat(5000)));
        assert!(status.message().len() < 2100 && status.message().ends_with("é…"));
    }
}
