//! `pause`: after the reply no task of the job starts, until resume.

use std::time::Duration;

use super::controlled::{ControlArgs, control, counts};
use super::exit::Ending;
use super::selector::Meant;
use super::ui::Ui;
use super::units::{parse_duration, short_time, wire_duration};
use crate::rpc::client::Client;
use crate::rpc::pb;
use crate::rpc::pb::preview_verb_request::Verb;

/// What happens to the running tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Running {
    /// They go on
    Finish,
    /// They keep their slots and stand still, and so do their time limits, until the job is resumed
    Freeze,
}

#[derive(clap::Args, Debug)]
pub(crate) struct PauseArgs {
    #[command(flatten)]
    control: ControlArgs,
    /// What happens to the running tasks
    #[arg(long, value_enum, value_name = "HOW", default_value = "finish")]
    running: Running,
    /// The job goes on by itself after it, as 30s, 2h, 1h30m
    #[arg(long = "for", value_name = "DUR", value_parser = parse_duration)]
    duration: Option<Duration>,
}

pub(crate) async fn run(args: PauseArgs, client: &Client, ui: &mut Ui) -> Ending {
    let running = match args.running {
        Running::Finish => pb::RunningTasks::Finish,
        Running::Freeze => pb::RunningTasks::Freeze,
    };
    let verb = |id, request_id| {
        let (reason, duration) = (args.control.how.reason.clone(), args.duration.map(wire_duration));
        Verb::Pause(pb::PauseJobRequest { id, request_id, reason, running: running.into(), duration, ..Default::default() })
    };
    control(&args.control, Meant::Live, client, ui, verb, sentence).await
}

/// What came of it.
pub(crate) fn sentence(job: &pb::Job, reply: &pb::ControlReply) -> String {
    let how = if reply.changed { "is paused" } else { "was paused already" };
    let until = job.resumes.map(|at| format!(" until {}", short_time(Some(&at)))).unwrap_or_default();
    let still = if job.frozen && reply.running > 0 { " (standing still)" } else { "" };
    format!("{} {how}{until}: {}{still}", job.id, counts(reply))
}
