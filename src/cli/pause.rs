//! `pause`: after the reply no task of the job starts, until resume.

use super::controlled::{ControlArgs, control, counts, request_id};
use super::exit::Ending;
use super::ui::Ui;
use crate::rpc::client::Client;
use crate::rpc::pb;

pub(crate) async fn run(args: ControlArgs, client: &Client, ui: &mut Ui) -> Ending {
    let call = async |id: crate::domain::JobId| {
        let request = pb::PauseJobRequest { id: id.to_string(), request_id: request_id(), reason: args.reason.clone() };
        client.repeat(async || client.jobs().pause_job(request.clone()).await).await
    };
    control(&args.jobs, client, ui, call, |job, reply| {
        let how = if reply.changed { "paused" } else { "was paused already" };
        format!("{} {how}: {}", job.id, counts(reply))
    })
    .await
}
