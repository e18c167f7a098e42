//! The quotas of `ClusterService`, beside what their owners have.

use crate::actors::Head;
use crate::domain::{EVERYBODY, Error, Quotas};
use crate::engine::access::Access;
use crate::engine::usage::Usage;
use crate::rpc::convert::quota_to_pb;
use crate::rpc::pb;

use super::jobs::{page_size, page_token};
use super::who::Who;

fn message(quotas: &Quotas, owner: &str, usage: Usage) -> pb::OwnerQuota {
    let Usage { jobs, tasks, stored_bytes, slots } = usage;
    let used = pb::Quota { jobs: Some(jobs), tasks: Some(tasks), stored_bytes: Some(stored_bytes), slots: Some(slots) };
    pb::OwnerQuota {
        owner: owner.to_owned(),
        quota: Some(quota_to_pb(quotas.of(owner))),
        is_own: quotas.iter().any(|(own, _)| own == owner),
        // Everybody together has nothing of his own.
        used: (owner != EVERYBODY).then_some(used),
    }
}

/// One owner's.
pub(super) async fn of(head: &Head, owner: &str) -> Result<pb::OwnerQuota, Error> {
    let (quotas, mut usage) = head.usage().await?;
    Ok(message(&quotas, owner, usage.remove(owner).unwrap_or_default()))
}

/// A page of those within reach.
pub(super) async fn list(head: &Head, who: &Who, request: pb::ListQuotasRequest) -> Result<pb::ListQuotasResponse, Error> {
    let limit = page_size(request.page_size)?;
    let after: String = page_token(&request.page_token)?.unwrap_or_default();
    let (quotas, mut usage) = head.usage().await?;
    for (owner, _) in quotas.iter() {
        usage.entry(owner.to_owned()).or_default();
    }
    if let (Access::Own, Some(owner)) = (who.access, who.owner()) {
        let own = usage.remove(owner).unwrap_or_default();
        usage = [(owner.to_owned(), own)].into();
    }
    let mut page: Vec<_> = usage.into_iter().filter(|(owner, _)| *owner > after || request.page_token.is_empty()).take(limit + 1).collect();
    let more = page.len() > limit;
    page.truncate(limit);
    let next_page_token = page.last().filter(|_| more).map(|(owner, _)| owner.clone()).unwrap_or_default();
    Ok(pb::ListQuotasResponse { quotas: page.iter().map(|(owner, usage)| message(&quotas, owner, *usage)).collect(), next_page_token })
}
