//! `priority`: changes the order from the next hand-out on.

use super::controlled::{control, request_id};
use super::exit::Ending;
use super::selector::Selector;
use super::ui::Ui;
use crate::domain::JobId;
use crate::rpc::client::Client;
use crate::rpc::pb;

#[derive(clap::Args, Debug)]
pub(crate) struct PriorityArgs {
    /// 7, j7, 3-9, or all
    #[arg(value_name = "JOB")]
    job: Selector,
    /// Higher is sooner; 0 is usual
    #[arg(value_name = "N", allow_negative_numbers = true)]
    priority: i32,
    /// Why; kept with the job
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,
}

pub(crate) async fn run(args: PriorityArgs, client: &Client, ui: &mut Ui) -> Ending {
    let priority = args.priority;
    let call = async |id: JobId| {
        let (id, request_id, reason) = (id.to_string(), request_id(), args.reason.clone());
        let request = pb::SetJobPriorityRequest { id, request_id, reason, priority };
        client.repeat(async || client.jobs().set_job_priority(request.clone()).await).await
    };
    control(&[args.job], client, ui, call, |job, reply| match reply.changed {
        true => format!("{} has priority {priority}", job.id),
        false => format!("{} had priority {priority} already", job.id),
    })
    .await
}
