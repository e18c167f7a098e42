//! The head itself: version, disk, demand, quotas, what was changed last.

use maud::{Markup, html};
use tokio_stream::StreamExt;

use crate::domain::Error;
use crate::rpc::pb;
use crate::rpc::pb::audit_service_server::AuditService;
use crate::rpc::pb::cluster_service_server::ClusterService;
use crate::web::asker::{Asker, answered};
use crate::web::routes::Web;

use super::layout::may;
use super::words::{age, short_size, time};

/// Lines of the audit that are shown, the latest.
const AUDIT_LINES: u64 = 30;
/// Owners whose quotas are shown.
const OWNERS: i32 = 100;

pub(super) async fn render(web: &Web, asker: &Asker) -> Result<Markup, Error> {
    let cluster = answered(web.clusters.get_cluster(asker.asks(pb::GetClusterRequest {})).await)?;
    let scale = answered(web.clusters.get_scale(asker.asks(pb::GetScaleRequest::default())).await)?;
    let request = pb::ListQuotasRequest { page_size: OWNERS, page_token: String::new() };
    let quotas = answered(web.clusters.list_quotas(asker.asks(request)).await)?.quotas;
    let audit = if web.head.registrar.is_some() && may(web, asker, "/millpond.v1.AuditService/ReadAudit") {
        Some(last_lines(web, asker).await?)
    } else {
        None
    };
    Ok(html! {
        h1 { "System" }
        dl.facts {
            dt { "Version" } dd { (cluster.version) }
            dt { "Started" } dd { (time(cluster.started.as_ref())) " (" (age(cluster.started.as_ref(), " ago")) "), start number " (cluster.epoch) }
            dt { "Workers" } dd { (cluster.workers) " with " (cluster.slots) " slots" }
            dt { "Slots that would be used now" } dd { (scale.slots_wanted) " (" (scale.tasks_out) " tasks out, " (scale.tasks_waiting) " waiting)" }
            @if scale.tasks_unfit > 0 { dt { "Tasks that fit no worker" } dd { (scale.tasks_unfit) } }
            @if let Some(score) = cluster.eta_score.filter(|score| score.checks > 0) {
                dt { "Ends foretold" } dd { (score.inside) " of " (score.checks) " were right" }
            }
            dt { "Disk" } dd { (web.head.disk.gauge().room) }
            dt { "Hand-outs" } dd { (latency(cluster.dispatch)) }
            dt { "Journal" } dd { (latency(cluster.journal_sync)) ", " (short_size(cluster.journal_written_bytes)) " since the start" }
        }
        (owners(&quotas))
        @if let Some(lines) = audit { (changes(&lines)) }
    })
}

/// From the word that made it possible, or until it was durable.
fn latency(it: Option<pb::Latency>) -> Markup {
    let millis = |seconds: f64| format!("{:.2}", seconds * 1000.0).trim_end_matches('0').trim_end_matches('.').to_owned();
    html! {
        @match it {
            Some(it) => { "half within " (millis(it.p50_seconds)) " ms, 99 of 100 within " (millis(it.p99_seconds)) " ms (" (it.count) ")" }
            None => "none since the start",
        }
    }
}

fn owners(quotas: &[pb::OwnerQuota]) -> Markup {
    let cell = |used: Option<String>, quota: Option<String>| {
        html! { (used.unwrap_or_default()) @if let Some(quota) = quota { " of " (quota) } }
    };
    html! {
        @if !quotas.is_empty() {
            h2 { "Owners" }
            div.wide { table {
                thead { tr {
                    th scope="col" { "Owner" } th.number scope="col" { "Slots" } th.number scope="col" { "Jobs" } th.number scope="col" { "Tasks" }
                    th.number scope="col" { "Stored" }
                } }
                tbody { @for owner in quotas {
                    @let (used, quota) = (owner.used.unwrap_or_default(), owner.quota.unwrap_or_default());
                    tr {
                        td { (owner.owner) }
                        td.number { (cell(used.slots.map(|n| n.to_string()), quota.slots.map(|n| n.to_string()))) }
                        td.number { (cell(used.jobs.map(|n| n.to_string()), quota.jobs.map(|n| n.to_string()))) }
                        td.number { (cell(used.tasks.map(|n| n.to_string()), quota.tasks.map(|n| n.to_string()))) }
                        td.number { (cell(used.stored_bytes.map(short_size), quota.stored_bytes.map(short_size))) }
                    }
                } }
            } }
        }
    }
}

/// The latest lines of the audit, the last first.
async fn last_lines(web: &Web, asker: &Asker) -> Result<Vec<serde_json::Value>, Error> {
    let last = read_audit(web, asker, u64::MAX).await?.0;
    let (_, lines) = read_audit(web, asker, last.saturating_sub(AUDIT_LINES).saturating_add(1).max(1)).await?;
    let read = lines.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
    let mut read: Vec<serde_json::Value> = read.collect();
    read.reverse();
    Ok(read)
}

/// The number of the last line, and the lines from `first` on; of what is behind the last nothing is read.
async fn read_audit(web: &Web, asker: &Asker, first: u64) -> Result<(u64, Vec<u8>), Error> {
    let mut parts = answered(web.audits.read_audit(asker.asks(pb::ReadAuditRequest { first })).await)?;
    let (mut last, mut lines) = (0, Vec::new());
    while let Some(part) = parts.next().await {
        let part = part.map_err(|status| crate::rpc::status::from_status(&status))?;
        last = last.max(part.last);
        lines.extend_from_slice(&part.lines);
    }
    Ok((last, lines))
}

fn changes(lines: &[serde_json::Value]) -> Markup {
    let text = |line: &serde_json::Value, name: &str| line.get(name).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
    let who = |line: &serde_json::Value| line.get("who").map_or_else(String::new, |who| text(who, "name"));
    html! {
        h2 { "What was changed, and refused" }
        div.wide { table {
            caption { "The latest lines of the audit; millpond audit has all" }
            thead { tr {
                th scope="col" { "When" } th scope="col" { "Who" } th scope="col" { "What" } th scope="col" { "About" } th scope="col" { "Outcome" }
                th scope="col" { "Why" }
            } }
            tbody { @for line in lines {
                tr {
                    td { (text(line, "at").get(..19).unwrap_or_default().replace('T', " ")) }
                    td { (who(line)) }
                    td { (crate::engine::access::short(&text(line, "method"))) }
                    td { (text(line, "what")) }
                    td { (text(line, "outcome")) }
                    td { (text(line, "why")) " " (text(line, "reason")) }
                }
            } }
        } }
    }
}
