//! Data sets. They come by `PUT /v1/uploads/{id}`.

use axum::extract::State;

use super::ask::{Id, Query, json, listing, request_id};
use super::refusal::Answer;
use crate::rpc::document::{Dataset, Split};
use crate::rpc::pb;
use crate::rpc::pb::dataset_service_server::DatasetService;
use crate::web::asker::{Asker, answered};
use crate::web::routes::Web;

pub(super) async fn list(State(web): State<Web>, asker: Asker, query: Query) -> Answer {
    let (page_size, page_token) = query.page()?;
    let page = answered(web.datasets.list_datasets(asker.asks(pb::ListDatasetsRequest { page_size, page_token })).await)?;
    listing("datasets", &page.datasets, Dataset::of, &page.next_page_token)
}

pub(super) async fn show(State(web): State<Web>, asker: Asker, Id(digest): Id) -> Answer {
    json(&Dataset::of(&answered(web.datasets.get_dataset(asker.asks(pb::GetDatasetRequest { digest })).await)?))
}

pub(super) const DELETE_WORDS: &[&str] = &["request_id", "unused"];

pub(super) async fn delete(State(web): State<Web>, asker: Asker, Id(digest): Id, query: Query) -> Answer {
    let (request_id, unused) = (request_id(query.get("request_id").map(str::to_owned)), query.flag("unused")?);
    let request = pb::DeleteDatasetRequest { digest, request_id, unused };
    json(&Dataset::of(&answered(web.datasets.delete_dataset(asker.asks(request)).await)?))
}

pub(super) const SPLIT_WORDS: &[&str] = &["split"];

pub(super) async fn split(State(web): State<Web>, asker: Asker, Id(digest): Id, query: Query) -> Answer {
    let request = pb::PreviewSplitRequest { digest, split: query.text("split") };
    json(&Split::of(&answered(web.datasets.preview_split(asker.asks(request)).await)?))
}
