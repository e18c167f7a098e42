//! The machines.

use maud::{Markup, html};

use crate::domain::Error;
use crate::rpc::document::{worker_record, worker_state};
use crate::rpc::pb;
use crate::rpc::pb::cluster_service_server::ClusterService;
use crate::web::asker::{Asker, answered};
use crate::web::routes::Web;

use super::layout::may;
use super::words::{age, short_size};

/// Workers of a page, the connected ones first.
const PAGE_WORKERS: i32 = 500;
/// Tasks that are named of each.
const NAMED_TASKS: usize = 6;

pub(super) async fn render(web: &Web, asker: &Asker) -> Result<Markup, Error> {
    let request = pb::ListWorkersRequest { page_size: PAGE_WORKERS, page_token: String::new() };
    let page = answered(web.clusters.list_workers(asker.asks(request)).await)?;
    let (here, away): (Vec<_>, Vec<_>) = page.workers.into_iter().partition(|worker| worker.state() != pb::WorkerState::Away);
    let steers = may(web, asker, "/millpond.v1.ClusterService/DrainWorker");
    Ok(html! {
        h1 { "Workers" }
        @if here.is_empty() {
            p { "No worker is connected. On a machine that is to work: " code { "millpond-worker --head " (head_url(web)) } }
        } @else {
            (table(&here, "Connected", steers))
        }
        @if !away.is_empty() { details { summary { "Away: " (away.len()) } (table(&away, "Known, not connected", false)) } }
        @if !page.next_page_token.is_empty() { p.faint { "More than are shown: see millpond worker list" } }
    })
}

fn head_url(web: &Web) -> &'static str {
    if web.head.registrar.is_some() { "https://THIS-HEAD:7663 --join TOKEN" } else { "http://THIS-HEAD:7663" }
}

fn table(workers: &[pb::Worker], caption: &str, steers: bool) -> Markup {
    html! {
        div.wide { table.cards {
            caption { (caption) }
            thead { tr {
                th scope="col" { "Worker" } th scope="col" { "State" } th scope="col" { "Slots" } th scope="col" { "In use" }
                th scope="col" { "Tasks" } th scope="col" { "Record" } th scope="col" { "Since" } @if steers { th scope="col" { "Steer" } }
            } }
            tbody { @for worker in workers { (row(worker, steers)) } }
        } }
    }
}

fn row(worker: &pb::Worker, steers: bool) -> Markup {
    let state = worker_state(worker.state());
    let used = worker.used.clone().unwrap_or_default();
    let total = worker.total.clone().unwrap_or_default();
    let busy = worker.slots.saturating_sub(worker.free);
    let labels: Vec<String> = total.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    html! {
        tr id={ "row-" (worker.id) } {
            th scope="row" { a href={ "/workers/" (worker.id) } { (worker.id) } div.faint { (worker.host) } @if !labels.is_empty() { div.faint { (labels.join(", ")) } } }
            td data-name="State" {
                span class={ "state " (state) } { (state) }
                div.faint { (worker.note) }
                @if !worker.kept_for.is_empty() { div.faint { "kept free for " a href={ "/jobs/" (worker.kept_for) } { (worker.kept_for) } } }
            }
            td data-name="Slots" {
                svg.bar viewBox={ "0 0 " (worker.slots.max(1)) " 1" } preserveAspectRatio="none" role="img"
                    aria-label={ (busy) " of " (worker.slots) " slots busy" } { rect.fill-running width=(busy) height="1" {} }
                div.faint { (busy) " of " (worker.slots) " busy" }
            }
            td data-name="In use" {
                (used.cpus) " of " (total.cpus) " processors, " (short_size(used.mem_bytes)) " of " (short_size(total.mem_bytes))
                @if total.gpus > 0 { ", " (used.gpus) " of " (total.gpus) " graphics" }
            }
            td data-name="Tasks" {
                @for (at, task) in worker.tasks.iter().take(NAMED_TASKS).enumerate() {
                    @if at > 0 { ", " }
                    a href={ "/tasks/" (task) } { (task) }
                }
                @if worker.tasks.len() > NAMED_TASKS { " and " (worker.tasks.len() - NAMED_TASKS) " more" }
            }
            td data-name="Record" { @if let Some(record) = &worker.record { (worker_record(record)) } }
            td data-name="Since" { (age(worker.attached.as_ref(), "")) }
            @if steers {
                td {
                    @if worker.state() == pb::WorkerState::Draining || worker.state() == pb::WorkerState::Suspected {
                        button type="button" data-worker=(worker.id) data-does="resume" aria-label={ "Resume " (worker.id) } { "Resume" }
                    }
                    @if worker.state() != pb::WorkerState::Draining {
                        button type="button" data-worker=(worker.id) data-does="drain" aria-label={ "Drain " (worker.id) } { "Drain" }
                    }
                }
            }
        }
    }
}
