//! `retry`: the failed tasks run again, into the same bundle.

use super::controlled::{ControlArgs, control, request_id};
use super::exit::Ending;
use super::ui::Ui;
use crate::domain::{JobId, counted};
use crate::rpc::client::Client;
use crate::rpc::pb;

pub(crate) async fn run(args: ControlArgs, client: &Client, ui: &mut Ui) -> Ending {
    let call = async |id: JobId| {
        let (id, request_id, reason) = (id.to_string(), request_id(), args.reason.clone());
        let request = pb::RetryJobRequest { id, request_id, reason };
        client.repeat(async || client.jobs().retry_job(request.clone()).await).await
    };
    control(&args.jobs, client, ui, call, |job, reply| {
        let held = if job.held { ", once it is resumed" } else { "" };
        format!("{} goes on in round {}: {} to run again{held}", job.id, job.round, counted(u64::from(reply.retried), "task"))
    })
    .await
}
