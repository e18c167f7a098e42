//! `kill`: drops every task that has not started, at once.

use super::controlled::{ControlArgs, control};
use super::exit::Ending;
use super::job_text::is_final;
use super::selector::Meant;
use super::ui::Ui;
use crate::rpc::client::Client;
use crate::rpc::pb;
use crate::rpc::pb::preview_verb_request::Verb;

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
    /// Delete the job, with its bundle, once its last running task has ended
    #[arg(long)]
    delete: bool,
}

pub(crate) async fn run(args: KillArgs, client: &Client, ui: &mut Ui) -> Ending {
    let reason = args.control.how.reason.clone();
    let verb =
        |id, request_id| Verb::Kill(pb::KillJobRequest { delete: args.delete, ..kill(id, request_id, args.running, reason.clone()) });
    control(&args.control, Meant::Live, client, ui, verb, |job, reply| {
        let deleted = if args.delete { "; it is deleted once none is" } else { "" };
        format!("{}{deleted}", sentence(args.running, job, reply))
    })
    .await
}

/// The request that kills one job.
pub(crate) fn kill(id: String, request_id: String, running: Running, reason: String) -> pb::KillJobRequest {
    let mode = match running {
        Running::Finish => pb::RunningTasks::Finish,
        Running::Stop => pb::RunningTasks::Stop,
    };
    pb::KillJobRequest { id, request_id, reason, running: mode.into(), ..Default::default() }
}

/// What came of it.
pub(crate) fn sentence(running: Running, job: &pb::Job, reply: &pb::ControlReply) -> String {
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
