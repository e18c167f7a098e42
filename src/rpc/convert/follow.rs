//! What a running task prints: that it is wanted, and piece by piece.

use super::check::{message, refuse};
use super::lease::{lease_from_pb, lease_to_pb};
use crate::domain::Error;
use crate::domain::wire::{Follow, FromWhere, OutputPiece, Over, Printed};
use crate::limits::FOLLOW_PIECE_MAX_BYTES;
use crate::rpc::pb;
use crate::rpc::pb::follow::From as WireFrom;
use crate::rpc::pb::send_output_request::Over as WireOver;

pub(super) fn follow_to_pb(follow: Follow) -> pb::Follow {
    let Follow { id, lease, printed, from } = follow;
    let from = match from {
        FromWhere::Offset(offset) => WireFrom::Offset(offset),
        FromWhere::Last(bytes) => WireFrom::Last(bytes),
    };
    pb::Follow { id, lease: Some(lease_to_pb(lease)), stderr: printed == Printed::Stderr, from: Some(from) }
}

pub(super) fn follow_from_pb(follow: pb::Follow) -> Result<Follow, Error> {
    let from = match follow.from {
        Some(WireFrom::Offset(offset)) => FromWhere::Offset(offset),
        Some(WireFrom::Last(bytes)) => FromWhere::Last(bytes),
        None => return Err(refuse("from", "missing; it must be set")),
    };
    let printed = if follow.stderr { Printed::Stderr } else { Printed::Stdout };
    Ok(Follow { id: follow.id, lease: message("lease", follow.lease, lease_from_pb)?, printed, from })
}

/// To the message.
pub fn output_piece_to_pb(piece: OutputPiece) -> pb::SendOutputRequest {
    let OutputPiece { follow, lease, offset, left_out, data, over } = piece;
    let over = over.map(|over| match over {
        Over::Ended(len) => WireOver::Ended(len),
        Over::NotHere => WireOver::NotHere(true),
        Over::TooMany => WireOver::TooMany(true),
    });
    pb::SendOutputRequest { follow, lease: Some(lease_to_pb(lease)), offset, left_out, data, over }
}

/// From the message.
///
/// # Errors
/// `Invalid` without a lease, or with more data than a piece may have.
pub fn output_piece_from_pb(request: pb::SendOutputRequest) -> Result<OutputPiece, Error> {
    let pb::SendOutputRequest { follow, lease, offset, left_out, data, over } = request;
    if data.len() > FOLLOW_PIECE_MAX_BYTES {
        return Err(refuse("data", format_args!("{} bytes, at most {FOLLOW_PIECE_MAX_BYTES} are allowed", data.len())));
    }
    let over = over.map(|over| match over {
        WireOver::Ended(len) => Over::Ended(len),
        WireOver::NotHere(_) => Over::NotHere,
        WireOver::TooMany(_) => Over::TooMany,
    });
    Ok(OutputPiece { follow, lease: message("lease", lease, lease_from_pb)?, offset, left_out, data, over })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::samples;
    use super::*;

    proptest! {
        #[test]
        fn a_piece_comes_as_it_went(piece in samples::output_piece()) {
            prop_assert_eq!(output_piece_from_pb(output_piece_to_pb(piece.clone())), Ok(piece));
        }
    }

    #[test]
    fn what_is_too_large_or_of_nobody_is_refused() {
        let lease = Some(pb::Lease { job: 1, no: 0, epoch: 1, attempt: 1 });
        let piece = |len| pb::SendOutputRequest { lease, data: vec![0; len].into(), ..Default::default() };
        assert!(output_piece_from_pb(piece(FOLLOW_PIECE_MAX_BYTES)).is_ok());
        assert_eq!(
            output_piece_from_pb(piece(FOLLOW_PIECE_MAX_BYTES + 1)).unwrap_err().message,
            "data: 32769 bytes, at most 32768 are allowed"
        );
        assert_eq!(output_piece_from_pb(pb::SendOutputRequest::default()).unwrap_err().message, "lease: missing; it must be set");
        let follow = pb::Follow { lease, ..Default::default() };
        assert_eq!(follow_from_pb(follow).unwrap_err().message, "from: missing; it must be set");
    }
}
