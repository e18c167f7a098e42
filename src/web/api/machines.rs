//! The workers, and how many are wanted.

use axum::extract::State;
use serde::Deserialize;

use super::ask::{Id, Query, Sent, json, listing, request_id};
use super::refusal::Answer;
use crate::domain::Error;
use crate::limits::PAGE_MAX_ITEMS;
use crate::rpc::document::{Cluster, Explanation, Order, Scale, Worker};
use crate::rpc::pb;
use crate::rpc::pb::cluster_service_server::ClusterService;
use crate::web::asker::{Asker, answered};
use crate::web::routes::Web;

pub(super) async fn cluster(State(web): State<Web>, asker: Asker) -> Answer {
    json(&Cluster::of(&answered(web.clusters.get_cluster(asker.asks(pb::GetClusterRequest {})).await)?))
}

pub(super) const SCALE_WORDS: &[&str] = &["label"];

pub(super) async fn scale(State(web): State<Web>, asker: Asker, query: Query) -> Answer {
    let request = pb::GetScaleRequest { labels: query.pairs("label")? };
    json(&Scale::of(&answered(web.clusters.get_scale(asker.asks(request)).await)?, None))
}

pub(super) async fn list(State(web): State<Web>, asker: Asker, query: Query) -> Answer {
    let (page_size, page_token) = query.page()?;
    let page = answered(web.clusters.list_workers(asker.asks(pb::ListWorkersRequest { page_size, page_token })).await)?;
    listing("workers", &page.workers, Worker::of, &page.next_page_token)
}

pub(super) async fn show(State(web): State<Web>, asker: Asker, Id(id): Id) -> Answer {
    json(&Worker::of(&answered(web.clusters.get_worker(asker.asks(pb::GetWorkerRequest { id })).await)?))
}

pub(super) async fn explain(State(web): State<Web>, asker: Asker, Id(id): Id) -> Answer {
    json(&Explanation::of(&answered(web.clusters.explain_worker(asker.asks(pb::ExplainWorkerRequest { id })).await)?))
}

pub(super) const ORDER_WORDS: &[&str] = &["limit", "job", "priority"];

pub(super) async fn order(State(web): State<Web>, asker: Asker, query: Query) -> Answer {
    let what_if = match (query.get("job"), query.get("priority")) {
        (None, None) => None,
        (Some(job), Some(priority)) => {
            let priority = priority.parse().map_err(|_| Error::invalid("priority: a whole number is needed"))?;
            Some(pb::WhatIf { job: job.to_owned(), priority })
        }
        (Some(_), None) | (None, Some(_)) => return Err(Error::invalid("job and priority go together: what if j7 had priority 6").into()),
    };
    let limit = query.number::<u32>("limit")?;
    if limit.is_some_and(|limit| !(1..=PAGE_MAX_ITEMS as u32).contains(&limit)) {
        return Err(Error::invalid(format!("limit: 1 to {PAGE_MAX_ITEMS} hand-outs are shown")).into());
    }
    let request = pb::GetOrderRequest { limit: limit.unwrap_or_default(), what_if: what_if.clone() };
    json(&Order::of(&answered(web.clusters.get_order(asker.asks(request)).await)?, what_if.as_ref()))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    request_id: Option<String>,
}

pub(super) async fn drain(State(web): State<Web>, asker: Asker, Id(id): Id, Sent(body): Sent<Change>) -> Answer {
    let request = pb::DrainWorkerRequest { id, request_id: request_id(body.request_id) };
    json(&Worker::of(&answered(web.clusters.drain_worker(asker.asks(request)).await)?))
}

pub(super) async fn resume(State(web): State<Web>, asker: Asker, Id(id): Id, Sent(body): Sent<Change>) -> Answer {
    let request = pb::ResumeWorkerRequest { id, request_id: request_id(body.request_id) };
    json(&Worker::of(&answered(web.clusters.resume_worker(asker.asks(request)).await)?))
}
