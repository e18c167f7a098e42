//! `kill`: drops every task that has not started, at once.

use super::controlled::{ControlArgs, control, request_id};
use super::exit::Ending;
use super::job_text::is_final;
use super::ui::Ui;
use crate::domain::{Error, JobId};
use crate::rpc::client::Client;
use crate::rpc::pb;

/// What happens to the running tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Running {
    /// They run to their end, and their results count
    Finish,
    /// They are stopped: TERM, grace, KILL
    Stop,
}

#[derive(clap::Args, Debug)]
pub(crate) struct KillArgs {
    #[command(flatten)]
    control: ControlArgs,
    /// What happens to the running tasks
    #[arg(long, value_enum, value_name = "HOW", default_value = "finish")]
    running: Running,
}

pub(crate) async fn run(args: KillArgs, client: &Client, ui: &mut Ui) -> Ending {
    let call = async |id: JobId| kill(client, id, args.running, &args.control.reason).await;
    control(&args.control.jobs, client, ui, call, |job, reply| sentence(args.running, job, reply)).await
}

/// Kills one job.
pub(crate) async fn kill(client: &Client, id: JobId, running: Running, reason: &str) -> Result<pb::ControlReply, Error> {
    let mode = match running {
        Running::Finish => pb::RunningTasks::Finish,
        Running::Stop => pb::RunningTasks::Stop,
    };
    let (id, request_id, reason) = (id.to_string(), request_id(), reason.to_owned());
    let request = pb::KillJobRequest { id, request_id, reason, running: mode.into() };
    client.repeat(async || client.jobs().kill_job(request.clone()).await).await
}

fn sentence(running: Running, job: &pb::Job, reply: &pb::ControlReply) -> String {
    let how = match (reply.changed, is_final(job)) {
        (true, false) => "is being killed",
        (true, true) => "is killed",
        (false, false) => "was being killed already",
        (false, true) => "had ended already",
    };
    let rest = match (reply.running, running) {
        (0, _) => "none is running".to_owned(),
        (n, Running::Finish) => format!("still running {n} (they run to their end)"),
        (n, Running::Stop) => format!("still running {n} (they are being stopped)"),
    };
    format!("{} {how}: dropped {}, {rest}", job.id, reply.dropped)
}
