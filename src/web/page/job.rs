//! One job.

use maud::{Markup, html};

use crate::actors::job::JobSnapshot;
use crate::domain::{Error, JobId};
use crate::rpc::http::bundle_path;
use crate::rpc::pb;
use crate::rpc::pb::job_service_server::JobService;
use crate::web::asker::{Asker, answered};
use crate::web::routes::Web;

use super::bar::{bar, key};
use super::charts::charts;
use super::grid::grid;
use super::layout::may;
use super::words::{age, command_line, counted, eta, short_size, short_span, time};

/// Tasks that are listed of those that run, and of those that failed.
const LISTED_TASKS: usize = 20;

pub(super) async fn render(web: &Web, asker: &Asker, id: &str) -> Result<Markup, Error> {
    let job = answered(web.jobs.get_job(asker.asks(pb::GetJobRequest { id: id.to_owned() })).await)?;
    let why = answered(web.jobs.explain_job(asker.asks(pb::ExplainJobRequest { id: id.to_owned() })).await)?;
    // From here on it is known that he may see it.
    let snapshot = web.head.snapshot(job.id.parse::<JobId>()?).await?;
    let failed = web.jobs.failed_tasks(&snapshot, LISTED_TASKS).await?;
    let counts = job.tasks.unwrap_or_default();
    Ok(html! {
        h1 { (job.id) " " (name_of(&job)) }
        p { (state(&job)) " " (why.sentence) }
        (explained(&why))
        @if let Some(range) = job.eta { p { "Ends in " (eta(range)) "." } }
        @if let Some(score) = job.eta_score.filter(|score| score.checks > 0) {
            p.faint { "What was said of its end was right " (score.inside) " of " (score.checks) " times." }
        }
        (bar(&counts))
        (key(&counts))
        (verbs(web, asker, &job, true))
        (facts(&job))
        (grid(&snapshot))
        (charts(&snapshot))
        (running(&snapshot))
        (failures(&job, &failed))
        (changes(&job))
    })
}

/// Since when, and what would change it.
pub(super) fn explained(why: &pb::Explanation) -> Markup {
    html! {
        @if why.since.is_some() { p.faint { "Since " (time(why.since.as_ref())) " (" (age(why.since.as_ref(), "")) ")" } }
        @if !why.change.is_empty() { p { "What would change it: " (typed(&why.change)) } }
    }
}

/// A text in which commands stand between backticks.
fn typed(text: &str) -> Markup {
    html! { @for (at, part) in text.split('`').enumerate() { @if at % 2 == 1 { code { (part) } } @else { (part) } } }
}

/// Its name; where it has none, its command.
pub(super) fn name_of(job: &pb::Job) -> String {
    let Some(spec) = &job.spec else { return String::new() };
    if spec.name.is_empty() { spec.command.join(" ").chars().take(60).collect() } else { spec.name.clone() }
}

/// Its state as a badge.
pub(super) fn state(job: &pb::Job) -> Markup {
    let name = if job.frozen {
        "frozen"
    } else if job.held {
        "paused"
    } else {
        crate::rpc::document::job_state(job.state())
    };
    html! { span class={ "state " (name) } { (name) } }
}

/// Its priority, and whether it is past it.
pub(super) fn priority(job: &pb::Job) -> Markup {
    html! {
        (job.priority)
        @if job.past_finish_line { div.faint title="almost done, so no other job goes before it" { "finish line" } }
    }
}

fn is_final(job: &pb::Job) -> bool {
    matches!(job.state(), pb::JobState::Succeeded | pb::JobState::Failed | pb::JobState::Killed)
}

/// What can be done to it now, by whoever looks. `all`: also what is rarely wanted.
pub(super) fn verbs(web: &Web, asker: &Asker, job: &pb::Job, all: bool) -> Markup {
    let counts = job.tasks.unwrap_or_default();
    let is_final = is_final(job);
    let steers = may(web, asker, "/millpond.v1.JobService/PauseJob");
    let verb = |verb: &str, label: &str, value: &str| {
        html! {
            button type="button" class=[(verb == "kill" || verb == "delete").then_some("danger")] data-verb=(verb) data-job=(job.id)
                data-value=(value) aria-label={ (label) " " (job.id) } { (label) }
        }
    };
    html! {
        div.verbs {
            @if steers && !is_final {
                @if job.held { (verb("resume", "Resume", "")) } @else { (verb("pause", "Pause", "")) }
                (verb("kill", "Kill", ""))
                (verb("priority", "Priority", &job.priority.to_string()))
                @if all { (verb("limit", "Limit", &job.max_running.to_string())) }
            }
            @if steers && counts.failed > 0 { (verb("retry", "Retry failed", "")) }
            @if steers && is_final && all { (verb("delete", "Delete", "")) }
            @if all && may(web, asker, "/millpond.v1.JobService/SubmitJob") { a.button href={ "/new?like=" (job.id) } { "Another like it" } }
            @if (all || is_final) && counts.succeeded + counts.failed > 0 {
                a.button href=(bundle_path(&job.id)) download { @if is_final { "Download" } @else { "Download so far" } }
            }
        }
    }
}

fn facts(job: &pb::Job) -> Markup {
    let Some(spec) = &job.spec else { return Markup::default() };
    let needs = spec.needs.clone().unwrap_or_default();
    html! {
        dl.facts {
            dt { "Owner" } dd { (spec.owner) }
            dt { "Command" } dd { code { (command_line(&spec.command)) } }
            dt { "Input" } dd {
                @match &spec.input {
                    Some(pb::job_spec::Input::Dataset(data)) => { (data.name) ", " (data.split) },
                    Some(pb::job_spec::Input::Array(array)) => { "array " (array.first) "-" (array.last) },
                    None => "none",
                }
            }
            @if !spec.shared_files.is_empty() {
                dt { "Shared files" } dd { (spec.shared_files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>().join(", ")) }
            }
            dt { "Each task" } dd {
                "one slot"
                @if needs.cpus > 0 { ", " (counted(needs.cpus.into(), "processor")) }
                @if needs.mem_bytes > 0 { ", " (short_size(needs.mem_bytes)) }
                @if needs.gpus > 0 { ", " (counted(needs.gpus.into(), "graphics processor")) }
                @for (name, value) in &needs.labels { ", " (name) "=" (value) }
                @if let Some(timeout) = &spec.timeout { ", at most " (short_span(timeout.seconds as f64)) }
            }
            @if !spec.image.is_empty() { dt { "Image" } dd { code { (spec.image) } } }
            dt { "Priority" } dd { (job.priority) @if job.max_running > 0 { ", at most " (job.max_running) " at once" } }
            dt { "Submitted" } dd { (time(job.created.as_ref())) " (" (age(job.created.as_ref(), " ago")) ")" }
            @if job.started.is_some() { dt { "Started" } dd { (time(job.started.as_ref())) } }
            @if job.finished.is_some() { dt { "Ended" } dd { (time(job.finished.as_ref())) } }
            @if job.expires.is_some() { dt { "Removed" } dd { (time(job.expires.as_ref())) } }
            @if job.round > 1 { dt { "Round" } dd { (job.round) } }
        }
    }
}

fn running(snapshot: &JobSnapshot) -> Markup {
    let record = &snapshot.record;
    let shown: Vec<_> = snapshot.out.iter().filter(|out| out.started).take(LISTED_TASKS).collect();
    let more = (snapshot.view.counts.running as usize).saturating_sub(shown.len());
    html! {
        @if !shown.is_empty() {
            h2 { "Running" }
            div.wide { table {
                thead { tr { th scope="col" { "Task" } th scope="col" { "Worker" } th.number scope="col" { "Attempt" } } }
                tbody { @for out in shown {
                    @let id = format!("{}.{}", record.id, record.spec.index_of(out.no));
                    tr { td { a href={ "/tasks/" (id) } { (id) } } td { (out.worker) } td.number { (out.attempt.0) } }
                } }
            } }
            @if more > 0 { p.faint { "and " (more) " more" } }
        }
    }
}

fn failures(job: &pb::Job, failed: &[pb::Task]) -> Markup {
    let count = job.tasks.unwrap_or_default().failed as usize;
    html! {
        @if !failed.is_empty() {
            h2 { "Failed" }
            div.wide { table {
                thead { tr { th scope="col" { "Task" } th scope="col" { "What happened" } th scope="col" { "Worker" } th.number scope="col" { "Attempt" } } }
                tbody { @for task in failed {
                    tr {
                        td { a href={ "/tasks/" (task.id) } { (task.id) } } td { (task.outcome) } td { (task.worker) } td.number { (task.attempt) }
                    }
                } }
            } }
            @if count > failed.len() { p.faint { "and " (count - failed.len()) " more" } }
        }
    }
}

fn changes(job: &pb::Job) -> Markup {
    html! {
        @if !job.changes.is_empty() {
            h2 { "Who said what" }
            div.wide { table {
                thead { tr { th scope="col" { "When" } th scope="col" { "What" } th scope="col" { "Who" } th scope="col" { "Why" } } }
                tbody { @for change in job.changes.iter().rev() {
                    tr { td { (time(change.time.as_ref())) } td { (change.verb) } td { (change.by) } td { (change.reason) } }
                } }
            } }
        }
    }
}
