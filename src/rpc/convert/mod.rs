//! Between the messages of `proto/millpond/v1/` and the domain's values, both ways; pure functions, one file per noun.
//!
//! `…_to_pb` can't fail. `…_from_pb` believes nothing: an unknown enum value, a missing message, an oversize list or name, a nonsense
//! number is refused as `Invalid` with the path of the field (`finished.info.entries[3].name: …`) and what is allowed. What `…_to_pb`
//! writes for a value within the limits, `…_from_pb` reads back as the same value.
//!
//! Invariant: no I/O, no clock, no state. What only a session can know (run numbers without gaps, known leases, which epoch holds) is not
//! judged here.

mod check;
mod command;
mod confines;
mod explanation;
mod follow;
mod head_message;
mod hello;
mod identity;
mod input;
mod job;
mod job_filter;
mod lease;
mod outcome;
mod preview;
mod quota;
mod resources;
mod result;
#[cfg(test)]
mod samples;
mod shared_file;
mod spec;
mod time;
mod worker_message;

pub use confines::confines_to_pb;
pub use explanation::{eta_score_to_pb, eta_to_pb, explanation_to_pb};
pub use follow::{output_piece_from_pb, output_piece_to_pb};
pub use head_message::{from_head, to_worker};
pub use hello::PROTOCOL_VERSION;
pub use identity::{principal_to_pb, role_from_pb, role_to_pb, token_to_pb};
pub use job::{change_from_pb, counts_from_pb, counts_to_pb, hold_from_pb, kill_mode_from_pb, kill_mode_to_pb, state_from_pb, state_to_pb};
pub use job_filter::filter_from_pb;
pub use lease::{lease_from_pb, lease_to_pb};
pub use outcome::{outcome_from_pb, outcome_to_pb};
pub use preview::preview_to_pb;
pub use quota::{quota_from_pb, quota_to_pb};
pub use resources::{labels_from_pb, resources_from_pb, resources_to_pb};
pub use result::{check_packed, info_from_pb, info_to_pb, receipt_from_pb, receipt_to_pb, upload_header_from_pb, upload_header_to_pb};
pub use spec::{spec_from_pb, spec_to_pb};
pub use time::{duration_from_pb, duration_to_pb, time_from_pb, time_to_pb};
pub use worker_message::{from_worker, to_head};
