//! One task: what became of it, and what it wrote.

use maud::{Markup, html};
use tokio_stream::StreamExt;

use crate::domain::Error;
use crate::rpc::document::task_state;
use crate::rpc::pb;
use crate::rpc::pb::get_task_log_request::Stream;
use crate::rpc::pb::job_service_server::JobService;
use crate::web::asker::{Asker, answered};
use crate::web::routes::Web;

use super::job::{explained, name_of};
use super::words::{job_of, time};

/// Of what a task wrote, on the page; all of it can be fetched.
const SHOWN_BYTES: usize = 64 * 1024;

pub(super) async fn render(web: &Web, asker: &Asker, id: &str) -> Result<Markup, Error> {
    let why = answered(web.jobs.explain_job(asker.asks(pb::ExplainJobRequest { id: id.to_owned() })).await)?;
    let task = answered(web.jobs.get_task(asker.asks(pb::GetTaskRequest { id: id.to_owned() })).await)?;
    let job = answered(web.jobs.get_job(asker.asks(pb::GetJobRequest { id: job_of(&task.id).to_owned() })).await)?;
    let has_ended = task.finished.is_some();
    let (out, err) = (log(web, asker, id, Stream::Stdout, has_ended).await?, log(web, asker, id, Stream::Stderr, has_ended).await?);
    Ok(html! {
        h1 { (task.id) }
        p { span class={ "state " (task_state(task.state())) } { (task_state(task.state())) } " " (why.sentence) }
        (explained(&why))
        p { "Of " a href={ "/jobs/" (job.id) } { (job.id) " " (name_of(&job)) } }
        dl.facts {
            @if !task.worker.is_empty() { dt { "Worker" } dd { (task.worker) } }
            @if task.attempt > 0 { dt { "Attempt" } dd { (task.attempt) } }
            @if !task.outcome.is_empty() { dt { "Outcome" } dd { (task.outcome) } }
            @if task.started.is_some() { dt { "Started" } dd { (time(task.started.as_ref())) } }
            @if task.finished.is_some() { dt { "Ended" } dd { (time(task.finished.as_ref())) } }
        }
        (earlier(&task))
        @if has_ended || !follows(task.state()) {
            (output(&task.id, "Standard error", "stderr", err))
            (output(&task.id, "Standard output", "stdout", out))
        } @else {
            (live_output(&task.id, "Standard error", "stderr"))
            (live_output(&task.id, "Standard output", "stdout"))
        }
    })
}

/// The attempts before the last one.
fn earlier(task: &pb::Task) -> Markup {
    html! {
        @if !task.earlier.is_empty() {
            h2 { "Earlier attempts" }
            div.wide { table {
                thead { tr {
                    th.number scope="col" { "Attempt" } th scope="col" { "What happened" } th scope="col" { "Worker" } th scope="col" { "Started" }
                    th scope="col" { "Ended" } th scope="col" { "It wrote" }
                } }
                tbody { @for it in task.earlier.iter().rev() {
                    tr {
                        td.number { (it.attempt) } td { (it.outcome) } td { a href={ "/workers/" (it.worker) } { (it.worker) } }
                        td { (time(it.started.as_ref())) } td { (time(it.finished.as_ref())) }
                        td { (written(&task.id, it.attempt, "stderr")) ", " (written(&task.id, it.attempt, "stdout")) }
                    }
                } }
            } }
        }
    }
}

fn written(id: &str, attempt: u32, name: &str) -> Markup {
    html! {
        a href={ "/v1/tasks/" (id) "/" (name) "?attempt=" (attempt) } download={ (id) "-" (attempt) "." (name) }
            aria-label={ (name) " of attempt " (attempt) } { (name) }
    }
}

/// The first of a log, and whether there is more; none where it has none.
async fn log(web: &Web, asker: &Asker, id: &str, stream: Stream, has_ended: bool) -> Result<Option<(String, bool)>, Error> {
    if !has_ended {
        return Ok(None);
    }
    let request = pb::GetTaskLogRequest { id: id.to_owned(), stream: stream.into(), attempt: 0 };
    let mut pieces = answered(web.jobs.get_task_log(asker.asks(request)).await)?;
    let mut bytes = Vec::new();
    while let Some(piece) = pieces.next().await {
        bytes.extend_from_slice(&piece.map_err(|status| crate::rpc::status::from_status(&status))?.data);
        if bytes.len() > SHOWN_BYTES {
            bytes.truncate(SHOWN_BYTES);
            return Ok(Some((text(&bytes), true)));
        }
    }
    Ok(Some((text(&bytes), false)))
}

/// What a page can show of it: without the characters that steer terminals.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .replace("\r\n", "\n")
        .chars()
        .map(|c| if c.is_control() && c != '\n' && c != '\t' { '·' } else { c })
        .collect()
}

/// Whether there is something to follow.
fn follows(state: pb::TaskState) -> bool {
    match state {
        pb::TaskState::Running | pb::TaskState::Undispatched => true,
        pb::TaskState::Unspecified | pb::TaskState::Succeeded | pb::TaskState::Failed | pb::TaskState::Killed => false,
    }
}

/// What the script fills as it comes; it is another element than what has ended, so that a page which is live puts that in its place.
fn live_output(id: &str, title: &str, name: &str) -> Markup {
    html! {
        section id={ "live-" (name) } {
            h2 { (title) }
            pre tabindex="0" role="log" aria-live="off" aria-label=(title) data-keep data-follow={ "/v1/tasks/" (id) "/follow?stream=" (name) "&tail=" (SHOWN_BYTES) } {}
        }
    }
}

fn output(id: &str, title: &str, name: &str, log: Option<(String, bool)>) -> Markup {
    html! {
        @if let Some((text, more)) = log {
            section id=(name) {
                h2 { (title) }
                @if text.is_empty() {
                    p.faint { "nothing" }
                } @else {
                    pre tabindex="0" aria-label=(title) { (text) }
                    p {
                        @if more { "The beginning. " }
                        a href={ "/v1/tasks/" (id) "/" (name) } download={ (id) "." (name) } { "Download all of it" }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_live_is_another_element_than_what_has_ended() {
        let live = live_output("j7.4", "Standard error", "stderr").into_string();
        assert!(live.contains(r#"<section id="live-stderr">"#) && live.contains("data-keep"), "{live}");
        assert!(live.contains(r#"data-follow="/v1/tasks/j7.4/follow?stream=stderr&amp;tail=65536""#), "{live}");
        let ended = output("j7.4", "Standard error", "stderr", Some(("oops".into(), false))).into_string();
        assert!(ended.contains(r#"<section id="stderr">"#), "{ended}");
        assert!(follows(pb::TaskState::Running) && !follows(pb::TaskState::Killed));
    }

    #[test]
    fn what_steers_a_terminal_is_shown_as_a_dot() {
        assert_eq!(text(b"a\r\nb\t\x1b[31mc\x07\xff"), "a\nb\t·[31mc·\u{fffd}");
    }
}
