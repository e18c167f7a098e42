//! `wait`: until jobs have ended; the exit code says how.

use std::time::Duration;

use tokio::time::Instant;

use super::document;
use super::exit::{Ending, Exit, Stop};
use super::follow::{Follow, News, PATIENCE};
use super::job_text::{ending, is_final};
use super::selector::{Meant, Selection};
use super::ui::{Format, Ui, printable};
use super::units::parse_duration;
use crate::domain::{Error, ErrorKind, JobId};
use crate::rpc::client::Client;
use crate::rpc::pb;

#[derive(clap::Args, Debug)]
pub(crate) struct WaitArgs {
    #[command(flatten)]
    selection: Selection,
    /// Wait no longer than this (exit code 7), as 90s, 2h, 1h30m
    #[arg(long, value_name = "DUR", value_parser = parse_duration)]
    timeout: Option<Duration>,
}

pub(crate) async fn run(args: WaitArgs, client: &Client, ui: &mut Ui) -> Ending {
    let deadline = args.timeout.and_then(|span| Instant::now().checked_add(span));
    let mut exit = Exit::Done;
    let jobs = match args.selection.resolve(Meant::Live, client).await {
        // All that is not named has ended: that is what was waited for.
        Err(Stop::Error(error)) if error.kind == ErrorKind::NotFound && !args.selection.names_jobs() => {
            ui.note("no job is left to wait for");
            Vec::new()
        }
        jobs => jobs?,
    };
    for job in jobs {
        match wait(job, deadline, client, ui).await {
            Ok(job) => {
                write(ui, &job)?;
                exit = exit.max(exit_of(&job));
            }
            // A job that is not there says nothing about the others.
            Err(error) if error.kind == ErrorKind::NotFound => {
                ui.error(&error);
                exit = exit.max(Exit::NotFound);
            }
            Err(error) => return Err(error.into()),
        }
        ui.flush()?;
    }
    Ok(exit)
}

/// The exit code of a job that has ended.
pub(crate) fn exit_of(job: &pb::Job) -> Exit {
    match job.state() {
        pb::JobState::Succeeded => Exit::Done,
        pb::JobState::Failed => Exit::SomeFailed,
        pb::JobState::Killed => Exit::Killed,
        pb::JobState::Unspecified | pb::JobState::Ingesting | pb::JobState::Waiting | pb::JobState::Running | pb::JobState::Finishing => {
            Exit::Other
        }
    }
}

async fn wait(id: JobId, deadline: Option<Instant>, client: &Client, ui: &mut Ui) -> Result<pb::Job, Error> {
    // With a deadline it is the deadline that ends the patience.
    let patience = if deadline.is_some() { Duration::MAX } else { PATIENCE };
    let mut follow = Follow::new(client, id, patience);
    let mut last: Option<pb::Job> = None;
    loop {
        let next = follow.next();
        let event = match deadline {
            None => next.await?,
            Some(deadline) => match tokio::time::timeout_at(deadline, next).await {
                Ok(event) => event?,
                Err(_) => return Err(timed_out(id, last.as_ref(), follow.is_lost(), client)),
            },
        };
        match event {
            Some(News::Lost) => ui.note(follow.lost_text()),
            Some(News::Event(event)) => last = event.job.or(last),
            None => return last.filter(is_final).ok_or_else(|| Error::internal(format!("{id}: the head's last event has no ended job"))),
        }
    }
}

fn timed_out(id: JobId, last: Option<&pb::Job>, is_lost: bool, client: &Client) -> Error {
    if is_lost {
        return Error::timed_out(format!("{id}: waited long enough, and the head at {} can't be reached now", client.url()));
    }
    let state = last.map_or_else(|| id.to_string(), super::job_text::progress);
    Error::timed_out(format!("waited long enough: {state}"))
}

fn write(ui: &mut Ui, job: &pb::Job) -> Result<(), Stop> {
    match ui.format {
        Format::Json | Format::Jsonl => ui.json(&document::Job::of(job)),
        Format::Id => ui.line(&job.id),
        Format::Table => {
            ui.line(printable(&ending(job)))?;
            ui.flush()?;
            if job.state() != pb::JobState::Succeeded && job.tasks.is_some_and(|tasks| tasks.failed > 0) {
                let id = &job.id;
                ui.note(format_args!("which: `millpond tasks {id} --state failed`; what each one said: `millpond logs {id}.INDEX`"));
            }
            Ok(())
        }
    }
}
