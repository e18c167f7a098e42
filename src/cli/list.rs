//! `list`: the jobs, newest first.

use super::document;
use super::exit::{Ending, Exit};
use super::job_text::{done, state};
use super::pages::{self, Listing};
use super::selector::{Meant, Selection};
use super::table::Column;
use super::ui::Ui;
use super::units::short_time;
use crate::rpc::client::Client;
use crate::rpc::pb;

const COLUMNS: &[Column] = &[
    ("ID", false),
    ("NAME", false),
    ("OWNER", false),
    ("STATE", false),
    ("PRIORITY", true),
    ("TASKS", true),
    ("DONE", true),
    ("RUNNING", true),
    ("FAILED", true),
    ("CREATED (UTC)", false),
];

#[derive(clap::Args, Debug)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    selection: Selection,
    /// Only jobs that have not ended
    #[arg(long, help_heading = "Which jobs")]
    live: bool,
}

pub(crate) async fn run(args: ListArgs, client: &Client, ui: &mut Ui) -> Ending {
    let Selection { jobs, filters } = &args.selection;
    let asked = pb::ListJobsRequest { live: args.live, ..filters.request(jobs, Meant::Any) };
    let fetch = async |page_token: String| {
        let request = pb::ListJobsRequest { page_token, ..asked.clone() };
        let page = client.repeat(async || client.jobs().list_jobs(request.clone()).await).await?;
        Ok((page.jobs, page.next_page_token))
    };
    let mut listing = Listing::begin(ui, "jobs", COLUMNS)?;
    let mut found = false;
    pages::each(fetch, |jobs| {
        found |= !jobs.is_empty();
        for job in &jobs {
            listing.item(ui, &job.id, document::Job::of(job), row(job))?;
        }
        if jobs.is_empty() { Ok(()) } else { listing.end_of_page(ui) }
    })
    .await?;
    listing.end(ui)?;
    // Nothing of a kind is an answer; a job that is named should be there.
    Ok(if found || jobs.is_empty() { Exit::Done } else { Exit::NotFound })
}

fn row(job: &pb::Job) -> Vec<String> {
    let (name, owner) = job.spec.as_ref().map(|spec| (spec.name.clone(), spec.owner.clone())).unwrap_or_default();
    let tasks = job.tasks.unwrap_or_default();
    let numbers = [tasks.total, done(&tasks), tasks.running, tasks.failed].map(|n| n.to_string());
    let mut row = vec![job.id.clone(), name, owner, state(job), job.priority.to_string()];
    row.extend(numbers);
    row.push(short_time(job.created.as_ref()));
    row
}
