//! `resume`: tasks of a paused job may start again.

use super::controlled::{ControlArgs, control, counts, request_id};
use super::exit::Ending;
use super::ui::Ui;
use crate::domain::{Error, JobId};
use crate::rpc::client::Client;
use crate::rpc::pb;

pub(crate) async fn run(args: ControlArgs, client: &Client, ui: &mut Ui) -> Ending {
    let call = async |id: JobId| resume(client, id, &args.reason).await;
    control(&args.jobs, client, ui, call, |job, reply| {
        let how = if reply.changed { "resumed" } else { "was not paused" };
        format!("{} {how}: {}", job.id, counts(reply))
    })
    .await
}

/// Resumes one job.
pub(crate) async fn resume(client: &Client, id: JobId, reason: &str) -> Result<pb::ControlReply, Error> {
    let request = pb::ResumeJobRequest { id: id.to_string(), request_id: request_id(), reason: reason.to_owned() };
    client.repeat(async || client.jobs().resume_job(request.clone()).await).await
}
