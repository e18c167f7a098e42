//! Workers, and whom each has worked for in the last quarter of an hour.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};

use crate::actors::clock::wall_now;
use crate::domain::{Error, JobId, WorkerId};
use crate::engine::timeline::{JOBS_MAX, STRETCH_MICROS, STRETCHES, stretch_of};
use crate::rpc::pb;
use crate::rpc::pb::cluster_service_server::ClusterService;
use crate::web::asker::{Asker, answered};
use crate::web::routes::Web;

use super::words::short_span;

/// Workers that are shown.
const PAGE_WORKERS: i32 = 200;
/// A line's coordinates.
const HEIGHT: f64 = 10.0;
/// Colours of jobs, one behind the other; a job keeps its own.
const COLOURS: u64 = 8;

pub(super) async fn render(web: &Web, asker: &Asker) -> Result<Markup, Error> {
    // Also says whether he may see them.
    let request = pb::ListWorkersRequest { page_size: PAGE_WORKERS, page_token: String::new() };
    let workers = answered(web.clusters.list_workers(asker.asks(request)).await)?.workers;
    let visible: Option<BTreeSet<JobId>> = own_jobs(web, asker).await?;
    let (timeline, now) = (web.head.timeline().await?, wall_now());
    let oldest = stretch_of(now).saturating_sub(STRETCHES - 1);
    let mut jobs = BTreeSet::new();
    let mut lines = BTreeMap::new();
    for (worker, row) in timeline.rows(now) {
        let Some(slots) = slots_of(&workers, worker) else { continue };
        let mut rects = Vec::with_capacity(STRETCHES as usize);
        for (stretch, parts) in row {
            let mut top = HEIGHT;
            for (job, micros) in parts {
                let height = (*micros as f64 / (STRETCH_MICROS as f64 * f64::from(slots)) * HEIGHT).min(top);
                top -= height;
                let shown = visible.as_ref().is_none_or(|own| own.contains(job)).then_some(*job);
                jobs.extend(shown);
                rects.push((shown, stretch - oldest, top, height));
            }
        }
        lines.insert(worker, rects);
    }
    Ok(html! {
        h1 { "Timeline" }
        p.faint { "The last " (short_span((STRETCHES * STRETCH_MICROS) as f64 / 1e6)) ", now at the right: how much of its slots each worker has used, for which job. \
                   A task is drawn when it ends; of a stretch at most " (JOBS_MAX) " jobs are told apart." }
        @if lines.is_empty() { p { "No task has ended lately." } }
        ul.key { @for job in &jobs { li { (swatch(Some(*job))) a href={ "/jobs/" (job) } { (job) } } } @if visible.is_some() { li { (swatch(None)) "others'" } } }
        div.wide { table {
            thead { tr { th scope="col" { "Worker" } th scope="col" { "Slots in use" } } }
            tbody { @for (worker, rects) in &lines {
                tr id={ "row-" (worker) } {
                    th scope="row" { (worker) }
                    td {
                        svg.line viewBox={ "0 0 " (STRETCHES) " " (HEIGHT) } preserveAspectRatio="none" role="img" aria-label=(said(*worker, rects)) {
                            @for (job, at, top, height) in rects {
                                rect class=(class(*job)) x=(at) width="1" y=(format!("{top:.2}")) height=(format!("{height:.2}")) {
                                    @if let Some(job) = job { title { (job) } }
                                }
                            }
                        }
                    }
                }
            } }
        } }
    })
}

/// The jobs that a caller may see, where that is not all; of his own the newest.
async fn own_jobs(web: &Web, asker: &Asker) -> Result<Option<BTreeSet<JobId>>, Error> {
    use crate::domain::{Caller, Role};
    match &asker.caller {
        Caller::Known(principal) if principal.role == Role::Submitter => {
            let request = pb::ListJobsRequest { page_size: 1000, ..Default::default() };
            let page = answered(crate::rpc::pb::job_service_server::JobService::list_jobs(&*web.jobs, asker.asks(request)).await)?;
            Ok(Some(page.jobs.iter().filter_map(|job| job.id.parse().ok()).collect()))
        }
        Caller::Known(_) | Caller::Anyone => Ok(None),
    }
}

fn slots_of(workers: &[pb::Worker], id: WorkerId) -> Option<u32> {
    let id = id.to_string();
    workers.iter().find(|worker| worker.id == id).map(|worker| worker.slots.max(1))
}

fn class(job: Option<JobId>) -> String {
    job.map_or_else(|| "fill-waiting".into(), |job| format!("colour-{}", job.0 % COLOURS))
}

fn swatch(job: Option<JobId>) -> Markup {
    html! { svg viewBox="0 0 1 1" aria-hidden="true" { rect class=(class(job)) width="1" height="1" {} } }
}

/// A line in words: which jobs, and how much of them.
fn said(worker: WorkerId, rects: &[(Option<JobId>, u64, f64, f64)]) -> String {
    let mut shares = BTreeMap::<Option<JobId>, f64>::new();
    for (job, _, _, height) in rects {
        *shares.entry(*job).or_default() += height / HEIGHT / STRETCHES as f64 * 100.0;
    }
    let shares: Vec<String> = shares
        .into_iter()
        .map(|(job, share)| format!("{} {share:.0} %", job.map_or_else(|| "others'".into(), |job| job.to_string())))
        .collect();
    format!("{worker}: {}", shares.join(", "))
}
