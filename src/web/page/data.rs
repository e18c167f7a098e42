//! Data sets and shared files.

use maud::{Markup, html};

use crate::domain::Error;
use crate::rpc::pb;
use crate::rpc::pb::dataset_service_server::DatasetService;
use crate::web::asker::{Asker, answered};
use crate::web::routes::Web;

use super::layout::may;
use super::words::{short_size, time};

/// Data sets of a page.
const PAGE_DATASETS: i32 = 200;

pub(super) async fn render(web: &Web, asker: &Asker) -> Result<Markup, Error> {
    let request = pb::ListDatasetsRequest { page_size: PAGE_DATASETS, page_token: String::new() };
    let page = answered(web.datasets.list_datasets(asker.asks(request)).await)?;
    let deletes = may(web, asker, "/millpond.v1.DatasetService/DeleteDataset");
    Ok(html! {
        h1 { "Data" }
        @if page.datasets.is_empty() {
            p { "Nothing is stored. " a href="/new" { "Choose a file for a new job" } " or, in a terminal: " code { "millpond data add FILE" } }
        } @else {
            div.wide { table.cards {
                caption { "Each content is stored once, under its SHA-256" }
                thead { tr {
                    th scope="col" { "Name" } th.number scope="col" { "Size" } th scope="col" { "SHA-256" } th scope="col" { "Stored" }
                    th scope="col" { "Used by" } @if deletes { th scope="col" { "Steer" } }
                } }
                tbody { @for data in &page.datasets { (row(data, deletes)) } }
            } }
        }
        @if !page.next_page_token.is_empty() { p.faint { "More than are shown: see millpond data list" } }
    })
}

fn row(data: &pb::Dataset, deletes: bool) -> Markup {
    html! {
        tr id={ "row-" (data.digest) } {
            th scope="row" { (data.name) }
            td.number data-name="Size" { (short_size(data.len)) }
            td data-name="SHA-256" { code title=(data.digest) { (data.digest.get(..12).unwrap_or_default()) "…" } }
            td data-name="Stored" { (time(data.created.as_ref())) }
            td data-name="Used by" {
                @for (at, job) in data.used_by.iter().enumerate() { @if at > 0 { ", " } a href={ "/jobs/" (job) } { (job) } }
                @if data.used_by_count as usize > data.used_by.len() { " and " (data.used_by_count as usize - data.used_by.len()) " more" }
            }
            @if deletes {
                td { button.danger type="button" data-dataset=(data.digest) data-name=(data.name) aria-label={ "Delete " (data.name) } { "Delete" } }
            }
        }
    }
}
