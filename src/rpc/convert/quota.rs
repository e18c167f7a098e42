//! What an owner may have at once. Any of it is possible, so nothing is refused.

use crate::domain::Quota;
use crate::rpc::pb;

/// The message.
pub fn quota_to_pb(quota: Quota) -> pb::Quota {
    let Quota { jobs, tasks, stored_bytes, slots } = quota;
    pb::Quota { jobs, tasks, stored_bytes, slots }
}

/// The value.
pub fn quota_from_pb(quota: pb::Quota) -> Quota {
    let pb::Quota { jobs, tasks, stored_bytes, slots } = quota;
    Quota { jobs, tasks, stored_bytes, slots }
}
