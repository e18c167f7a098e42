//! `limit`: how many tasks of a job may run at once.

use super::controlled::{ControlArgs, control};
use super::exit::Ending;
use super::selector::Meant;
use super::ui::Ui;
use crate::rpc::client::Client;
use crate::rpc::pb;
use crate::rpc::pb::preview_verb_request::Verb;

#[derive(clap::Args, Debug)]
pub(crate) struct LimitArgs {
    #[command(flatten)]
    control: ControlArgs,
    /// Tasks that may run at once; 0 lifts the limit
    #[arg(long, value_name = "N")]
    max_running: u32,
}

pub(crate) async fn run(args: LimitArgs, client: &Client, ui: &mut Ui) -> Ending {
    let max_running = args.max_running;
    let verb = |id, request_id| {
        let reason = args.control.how.reason.clone();
        Verb::Limit(pb::SetJobLimitRequest { id, request_id, reason, max_running, ..Default::default() })
    };
    control(&args.control, Meant::Live, client, ui, verb, |job, reply| {
        let already = if reply.changed { "" } else { " already" };
        match max_running {
            0 => format!("{} runs without a limit{already}: {} running", job.id, reply.running),
            n => format!("{} runs at most {n} at once{already}: {} running", job.id, reply.running),
        }
    })
    .await
}
