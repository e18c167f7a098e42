//! What the steering verbs share: the jobs meant, one call and one line per job, and the exit code.

use super::document;
use super::exit::{Ending, Exit, Stop};
use super::selector::{Selector, expand};
use super::ui::{Format, Ui, printable};
use crate::domain::{Error, JobId};
use crate::rpc::client::Client;
use crate::rpc::pb;

/// Which jobs, and why.
#[derive(clap::Args, Debug)]
pub(crate) struct ControlArgs {
    /// 7, j7, 3-9, or all (every job that has not ended)
    #[arg(value_name = "JOB", required = true)]
    pub(crate) jobs: Vec<Selector>,
    /// Why; kept with the job
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
}

/// A fresh request id: a call that is repeated with it acts once.
pub(crate) fn request_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// Calls the verb for each job and writes what came of it. A refused job doesn't stop the others; the exit code is the first refusal's.
pub(crate) async fn control(
    jobs: &[Selector],
    client: &Client,
    ui: &mut Ui,
    call: impl AsyncFn(JobId) -> Result<pb::ControlReply, Error>,
    sentence: impl Fn(&pb::Job, &pb::ControlReply) -> String,
) -> Ending {
    let mut exit = Exit::Done;
    let jobs = expand(jobs, client).await?;
    if jobs.is_empty() {
        ui.note("no jobs");
    }
    for id in jobs {
        let answer = call(id).await.and_then(|mut reply| match reply.job.take() {
            Some(job) => Ok((job, reply)),
            None => Err(Error::internal(format!("{id}: the head's answer has no job"))),
        });
        match answer {
            Ok((job, reply)) => write(ui, &job, &reply, &sentence)?,
            Err(error) => {
                ui.flush()?;
                ui.error(&error);
                exit = if exit == Exit::Done { Exit::of(error.kind) } else { exit };
                // The others would only wait for the same.
                if exit == Exit::Unreachable {
                    break;
                }
            }
        }
    }
    Ok(exit)
}

fn write(
    ui: &mut Ui,
    job: &pb::Job,
    reply: &pb::ControlReply,
    sentence: impl Fn(&pb::Job, &pb::ControlReply) -> String,
) -> Result<(), Stop> {
    match ui.format {
        Format::Json | Format::Jsonl => return ui.json(&document::Controlled::of(job, reply)),
        Format::Id => return ui.line(&job.id),
        Format::Table => {}
    }
    let mut text = sentence(job, reply);
    if !reply.superseded_by.is_empty() {
        text.push_str(&format!("; a later {} took over", reply.superseded_by));
    }
    ui.line(printable(&text))?;
    for worker in &reply.unconfirmed {
        ui.line(format_args!(
            "  {} did not answer in time: tasks on their way to it count as running and may still start there",
            printable(worker)
        ))?;
    }
    Ok(())
}

/// `812 not started, 16 running`.
pub(crate) fn counts(reply: &pb::ControlReply) -> String {
    format!("{} not started, {} running", reply.undispatched, reply.running)
}
