//! `limit`: how many tasks of a job may run at once.

use super::controlled::{control, request_id};
use super::exit::Ending;
use super::selector::Selector;
use super::ui::Ui;
use crate::domain::JobId;
use crate::rpc::client::Client;
use crate::rpc::pb;

#[derive(clap::Args, Debug)]
pub(crate) struct LimitArgs {
    /// 7, j7, 3-9, or all
    #[arg(value_name = "JOB")]
    job: Selector,
    /// Tasks that may run at once; 0 lifts the limit
    #[arg(long, value_name = "N")]
    max_running: u32,
    /// Why; kept with the job
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,
}

pub(crate) async fn run(args: LimitArgs, client: &Client, ui: &mut Ui) -> Ending {
    let max_running = args.max_running;
    let call = async |id: JobId| {
        let (id, request_id, reason) = (id.to_string(), request_id(), args.reason.clone());
        let request = pb::SetJobLimitRequest { id, request_id, reason, max_running };
        client.repeat(async || client.jobs().set_job_limit(request.clone()).await).await
    };
    control(&[args.job], client, ui, call, |job, reply| {
        let already = if reply.changed { "" } else { " already" };
        match max_running {
            0 => format!("{} runs without a limit{already}: {} running", job.id, reply.running),
            n => format!("{} runs at most {n} at once{already}: {} running", job.id, reply.running),
        }
    })
    .await
}
