//! What the steering verbs share: the jobs meant, one call and one line per job, and the exit code.

use super::config::user_name;
use super::document;
use super::exit::{Ending, Exit, Stop};
use super::selector::{Meant, Selection};
use super::ui::{Format, Ui, printable};
use crate::domain::{Error, ErrorKind, JobId};
use crate::rpc::client::Client;
use crate::rpc::pb;
use crate::rpc::pb::preview_verb_request::Verb;

/// Which jobs, and why; the same for every verb that changes jobs.
#[derive(clap::Args, Debug)]
pub(crate) struct ControlArgs {
    #[command(flatten)]
    pub(crate) selection: Selection,
    #[command(flatten)]
    pub(crate) how: How,
}

/// How a verb is meant.
#[derive(clap::Args, Debug)]
pub(crate) struct How {
    /// Why; kept with the job
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
    /// Only say what would come of it
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// A fresh request id: a call that is repeated with it acts once.
pub(crate) fn request_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// Tells one job, in the name of who calls.
pub(crate) async fn steer(client: &Client, mut verb: Verb) -> Result<pb::ControlReply, Error> {
    *by(&mut verb) = user_name();
    let jobs = || client.jobs();
    match verb {
        Verb::Pause(request) => client.repeat(async || jobs().pause_job(request.clone()).await).await,
        Verb::Resume(request) => client.repeat(async || jobs().resume_job(request.clone()).await).await,
        Verb::Retry(request) => client.repeat(async || jobs().retry_job(request.clone()).await).await,
        Verb::Kill(request) => client.repeat(async || jobs().kill_job(request.clone()).await).await,
        Verb::Delete(request) => client.repeat(async || jobs().delete_job(request.clone()).await).await,
        Verb::Priority(request) => client.repeat(async || jobs().set_job_priority(request.clone()).await).await,
        Verb::Limit(request) => client.repeat(async || jobs().set_job_limit(request.clone()).await).await,
    }
}

/// What it would come to.
pub(crate) async fn preview(client: &Client, verb: Verb) -> Result<pb::ControlReply, Error> {
    let request = pb::PreviewVerbRequest { verb: Some(verb) };
    client.repeat(async || client.jobs().preview_verb(request.clone()).await).await
}

/// Tells each job that is meant, and writes what came of it. A refused job doesn't stop the others; the exit code is the first refusal's, but
/// not that of a job which was only found in a list.
/// `verb` makes the request for a job, from its id and a request id.
pub(crate) async fn control(
    args: &ControlArgs,
    meant: Meant,
    client: &Client,
    ui: &mut Ui,
    verb: impl Fn(String, String) -> Verb,
    sentence: impl Fn(&pb::Job, &pb::ControlReply) -> String,
) -> Ending {
    let mut exit = Exit::Done;
    for id in args.selection.resolve(meant, client).await? {
        match call(id, args.how.dry_run, client, &verb).await {
            Ok((job, reply)) => write(ui, args.how.dry_run, &job, &reply, &sentence)?,
            Err(error) => {
                ui.flush()?;
                ui.error(&error);
                // It has ended between the look at the list and the verb.
                let is_late = matches!(error.kind, ErrorKind::Conflict | ErrorKind::NotFound) && args.selection.is_open();
                exit = if exit == Exit::Done && !is_late { Exit::of(error.kind) } else { exit };
                // The others would only wait for the same.
                if exit == Exit::Unreachable {
                    break;
                }
            }
        }
    }
    Ok(exit)
}

async fn call(
    id: JobId,
    dry_run: bool,
    client: &Client,
    verb: impl Fn(String, String) -> Verb,
) -> Result<(pb::Job, pb::ControlReply), Error> {
    let verb = verb(id.to_string(), request_id());
    let mut reply = if dry_run { preview(client, verb).await? } else { steer(client, verb).await? };
    let job = reply.job.take().ok_or_else(|| Error::internal(format!("{id}: the head's answer has no job")))?;
    Ok((job, reply))
}

/// The field for who says it.
fn by(verb: &mut Verb) -> &mut String {
    match verb {
        Verb::Pause(request) => &mut request.by,
        Verb::Resume(request) => &mut request.by,
        Verb::Retry(request) => &mut request.by,
        Verb::Kill(request) => &mut request.by,
        Verb::Delete(request) => &mut request.by,
        Verb::Priority(request) => &mut request.by,
        Verb::Limit(request) => &mut request.by,
    }
}

fn write(
    ui: &mut Ui,
    dry_run: bool,
    job: &pb::Job,
    reply: &pb::ControlReply,
    sentence: impl Fn(&pb::Job, &pb::ControlReply) -> String,
) -> Result<(), Stop> {
    match ui.format {
        Format::Json | Format::Jsonl => return ui.json(&document::Controlled::of(job, reply, dry_run)),
        Format::Id => return ui.line(&job.id),
        Format::Table => {}
    }
    let dry_run = if dry_run { "dry run: " } else { "" };
    ui.line(printable(&format!("{dry_run}{}{}", sentence(job, reply), superseded(reply))))?;
    for worker in &reply.unconfirmed {
        ui.line(format_args!(
            "  {} did not answer in time: tasks on their way to it count as running and may still start there",
            printable(worker)
        ))?;
    }
    Ok(())
}

fn superseded(reply: &pb::ControlReply) -> String {
    if reply.superseded_by.is_empty() { String::new() } else { format!("; a later {} took over", reply.superseded_by) }
}

/// Tells one job. In one sentence, what came of it.
pub(crate) async fn told(client: &Client, verb: Verb, sentence: impl Fn(&pb::Job, &pb::ControlReply) -> String) -> Result<String, Error> {
    let reply = steer(client, verb).await?;
    let job = reply.job.as_ref().ok_or_else(|| Error::internal("the head's answer has no job"))?;
    let late = match reply.unconfirmed.join(", ") {
        none if none.is_empty() => none,
        workers => format!("; {workers} did not answer in time"),
    };
    Ok(format!("{}{}{late}", sentence(job, &reply), superseded(&reply)))
}

/// `812 not started, 16 running`.
pub(crate) fn counts(reply: &pb::ControlReply) -> String {
    format!("{} not started, {} running", reply.undispatched, reply.running)
}
