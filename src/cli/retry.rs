//! `retry`: the failed tasks run again, into the same bundle.

use std::time::Duration;

use super::controlled::{ControlArgs, control};
use super::exit::Ending;
use super::selector::Meant;
use super::ui::Ui;
use super::units::{parse_duration, parse_size, wire_duration};
use crate::domain::{Error, counted};
use crate::rpc::client::Client;
use crate::rpc::pb;
use crate::rpc::pb::preview_verb_request::Verb;

#[derive(clap::Args, Debug)]
pub(crate) struct RetryArgs {
    #[command(flatten)]
    control: ControlArgs,
    /// Run another command this time, named behind `--`; for a job that has ended, as are all of these
    #[arg(long, help_heading = "What is different this time")]
    with_command: bool,
    /// Processors that a task needs
    #[arg(long, value_name = "N", help_heading = "What is different this time")]
    cpus: Option<u32>,
    /// Memory that a task needs, as 4G or 512MiB
    #[arg(long, value_name = "SIZE", value_parser = parse_size, help_heading = "What is different this time")]
    mem: Option<u64>,
    /// Graphics processors that a task needs
    #[arg(long, value_name = "N", help_heading = "What is different this time")]
    gpus: Option<u32>,
    /// The longest a task may run, as 90s, 2h, 1h30m
    #[arg(long, value_name = "DUR", value_parser = parse_duration, help_heading = "What is different this time")]
    timeout: Option<Duration>,
    /// The command and its arguments, with --with-command
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

pub(crate) async fn run(args: RetryArgs, client: &Client, ui: &mut Ui) -> Ending {
    match (args.with_command, args.command.is_empty()) {
        (true, true) => {
            return Err(Error::invalid(
                "--with-command: name the command behind `--`, as in `millpond retry j7 --with-command -- search {input}`",
            )
            .into());
        }
        (false, false) => {
            return Err(Error::invalid("a command behind `--` needs --with-command: it takes the place of the job's own").into());
        }
        (true, false) | (false, true) => {}
    }
    let verb = |id, request_id| {
        Verb::Retry(pb::RetryJobRequest {
            id,
            request_id,
            reason: args.control.how.reason.clone(),
            command: args.command.clone(),
            cpus: args.cpus,
            mem_bytes: args.mem,
            gpus: args.gpus,
            timeout: args.timeout.map(wire_duration),
            ..Default::default()
        })
    };
    control(&args.control, Meant::WithFailures, client, ui, verb, |job, reply| {
        let held = if job.held { ", once it is resumed" } else { "" };
        format!("{} goes on in round {}: {} to run again{held}", job.id, job.round, counted(u64::from(reply.retried), "task"))
    })
    .await
}
