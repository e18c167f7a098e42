//! The workers, and how many are wanted.

use axum::extract::State;
use serde::Deserialize;

use super::ask::{Id, Query, Sent, json, listing, request_id};
use super::refusal::Answer;
use crate::rpc::document::{Cluster, Scale, Worker};
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
