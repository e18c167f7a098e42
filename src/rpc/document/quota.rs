//! What owners may have at once, and have.

use serde::Serialize;

use super::VERSION;
use crate::rpc::pb;

/// One owner's.
#[derive(Serialize)]
pub(crate) struct Quota<'a> {
    version: u32,
    owner: &'a str,
    /// Its own, and not that of everybody.
    own: bool,
    quota: Amounts,
    used: Option<Amounts>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
}

#[derive(Serialize)]
struct Amounts {
    slots: Option<u32>,
    jobs: Option<u32>,
    tasks: Option<u64>,
    stored_bytes: Option<u64>,
}

impl Amounts {
    fn of(quota: pb::Quota) -> Self {
        let pb::Quota { jobs, tasks, stored_bytes, slots } = quota;
        Self { slots, jobs, tasks, stored_bytes }
    }
}

impl<'a> Quota<'a> {
    pub(crate) fn of(owner: &'a pb::OwnerQuota, dry_run: bool) -> Self {
        let quota = Amounts::of(owner.quota.unwrap_or_default());
        Self { version: VERSION, owner: &owner.owner, own: owner.is_own, quota, used: owner.used.map(Amounts::of), dry_run }
    }
}
