//! One machine.

use maud::{Markup, html};

use crate::domain::Error;
use crate::rpc::document::{sandbox_profile, worker_record, worker_state};
use crate::rpc::pb;
use crate::rpc::pb::cluster_service_server::ClusterService;
use crate::web::asker::{Asker, answered};
use crate::web::routes::Web;

use super::job::explained;
use super::words::{age, short_size, time};

pub(super) async fn render(web: &Web, asker: &Asker, id: &str) -> Result<Markup, Error> {
    let worker = answered(web.clusters.get_worker(asker.asks(pb::GetWorkerRequest { id: id.to_owned() })).await)?;
    let why = answered(web.clusters.explain_worker(asker.asks(pb::ExplainWorkerRequest { id: id.to_owned() })).await)?;
    let total = worker.total.clone().unwrap_or_default();
    let state = worker_state(worker.state());
    Ok(html! {
        h1 { (worker.id) " " (worker.host) }
        p { span class={ "state " (state) } { (state) } " " (why.sentence) }
        (explained(&why))
        dl.facts {
            dt { "Slots" } dd { (worker.slots.saturating_sub(worker.free)) " of " (worker.slots) " busy" }
            dt { "Has" } dd {
                (total.cpus) " processors, " (short_size(total.mem_bytes))
                @if total.gpus > 0 { ", " (total.gpus) " graphics processors" }
                @for (name, value) in &total.labels { ", " (name) "=" (value) }
            }
            @if let Some(sandbox) = &worker.sandbox {
                dt { "Sandbox" } dd { (sandbox_profile(sandbox.profile())) @for gap in &sandbox.gaps { div.faint { "but " (gap) } } }
            }
            @if let Some(record) = &worker.record { dt { "Since the head has started" } dd { (worker_record(record)) } }
            dt { "Connected" } dd { (time(worker.attached.as_ref())) " (" (age(worker.attached.as_ref(), " ago")) ")" }
            @if !worker.kept_for.is_empty() { dt { "Kept free for" } dd { a href={ "/jobs/" (worker.kept_for) } { (worker.kept_for) } } }
        }
        @if !worker.holds.is_empty() {
            h2 { "Tasks" }
            div.wide { table {
                thead { tr { th scope="col" { "Task" } th scope="col" { "State" } th scope="col" { "Since" } } }
                tbody { @for task in &worker.holds {
                    tr {
                        td { a href={ "/tasks/" (task.id) } { (task.id) } }
                        td { @if task.started { "running" } @else { "on its way" } }
                        td { (age(task.since.as_ref(), "")) }
                    }
                } }
            } }
        }
    })
}
