//! What owners may have at once.

use axum::extract::State;
use serde::Deserialize;

use super::ask::{Id, Query, Sent, json, listing, request_id};
use super::refusal::Answer;
use super::values::Size;
use crate::domain::Error;
use crate::rpc::document::Quota;
use crate::rpc::pb;
use crate::rpc::pb::cluster_service_server::ClusterService;
use crate::web::asker::{Asker, answered};
use crate::web::routes::Web;

pub(super) async fn list(State(web): State<Web>, asker: Asker, query: Query) -> Answer {
    let (page_size, page_token) = query.page()?;
    let page = answered(web.clusters.list_quotas(asker.asks(pb::ListQuotasRequest { page_size, page_token })).await)?;
    listing("quotas", &page.quotas, |owner| Quota::of(owner, false), &page.next_page_token)
}

/// What is left out is not limited.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    slots: Option<u32>,
    jobs: Option<u32>,
    tasks: Option<u64>,
    stored_bytes: Option<Size>,
    reason: Option<String>,
    request_id: Option<String>,
}

pub(super) async fn put(State(web): State<Web>, asker: Asker, Id(owner): Id, Sent(body): Sent<Limits>) -> Answer {
    let Limits { slots, jobs, tasks, stored_bytes, reason, request_id } = body;
    let quota = pb::Quota { jobs, tasks, stored_bytes: stored_bytes.map(|Size(bytes)| bytes), slots };
    if quota == pb::Quota::default() {
        return Err(Error::invalid("say what is limited: slots, jobs, tasks or stored_bytes; DELETE takes a quota away").into());
    }
    set(&web, &asker, owner, Some(quota), request_id, reason.unwrap_or_default()).await
}

pub(super) const DELETE_WORDS: &[&str] = &["request_id", "reason"];

pub(super) async fn delete(State(web): State<Web>, asker: Asker, Id(owner): Id, query: Query) -> Answer {
    set(&web, &asker, owner, None, query.get("request_id").map(str::to_owned), query.text("reason")).await
}

async fn set(web: &Web, asker: &Asker, owner: String, quota: Option<pb::Quota>, id: Option<String>, reason: String) -> Answer {
    let request = pb::SetQuotaRequest { owner, quota, request_id: request_id(id), reason };
    json(&Quota::of(&answered(web.clusters.set_quota(asker.asks(request)).await)?, false))
}
