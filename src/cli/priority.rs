//! `priority`: changes the order from the next hand-out on.

use super::controlled::{self, ControlArgs, How};
use super::exit::Ending;
use super::selector::{Filters, Meant, Selection};
use super::ui::Ui;
use crate::domain::Error;
use crate::rpc::client::Client;
use crate::rpc::pb;
use crate::rpc::pb::preview_verb_request::Verb;

#[derive(clap::Args, Debug)]
pub(crate) struct PriorityArgs {
    /// The jobs, as for the other verbs, and then the priority: higher is sooner, 0 is usual
    // clap can't have a list that may be empty in front of something that must be there.
    #[arg(value_name = "JOB N", required = true, allow_negative_numbers = true)]
    jobs_and_priority: Vec<String>,
    #[command(flatten)]
    filters: Filters,
    #[command(flatten)]
    how: How,
}

impl PriorityArgs {
    /// What is told to which jobs.
    fn read(self) -> Result<(ControlArgs, i32), Error> {
        let Self { mut jobs_and_priority, filters, how } = self;
        let last = jobs_and_priority.pop().unwrap_or_default();
        let priority = last.parse().map_err(|_| {
            Error::invalid(format!("`{last}` is no priority: write a whole number behind the jobs, as in `millpond priority j7 10`"))
        })?;
        let jobs = jobs_and_priority.iter().map(|job| job.parse()).collect::<Result<_, _>>()?;
        Ok((ControlArgs { selection: Selection { jobs, filters }, how }, priority))
    }
}

pub(crate) async fn run(args: PriorityArgs, client: &Client, ui: &mut Ui) -> Ending {
    let (control, priority) = args.read()?;
    let verb = |id, request_id| {
        let reason = control.how.reason.clone();
        Verb::Priority(pb::SetJobPriorityRequest { id, request_id, reason, priority, ..Default::default() })
    };
    controlled::control(&control, Meant::Live, client, ui, verb, |job, reply| sentence(priority, job, reply)).await
}

/// What came of it.
pub(crate) fn sentence(priority: i32, job: &pb::Job, reply: &pb::ControlReply) -> String {
    match reply.changed {
        true => format!("{} has priority {priority}", job.id),
        false => format!("{} had priority {priority} already", job.id),
    }
}
