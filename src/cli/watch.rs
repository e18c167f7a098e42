//! `watch`: what happens to a job, as it happens.

use super::document;
use super::exit::{Ending, Exit, Stop};
use super::follow::{Follow, News, PATIENCE};
use super::job_text;
use super::progress::Progress;
use super::ui::{Format, Ui, printable};
use super::units::short_time;
use crate::domain::JobId;
use crate::rpc::client::Client;
use crate::rpc::pb;

#[derive(clap::Args, Debug)]
pub(crate) struct WatchArgs {
    /// 7 or j7
    #[arg(value_name = "JOB")]
    job: JobId,
}

/// Ends with 0 at the job's end, whatever it is: `wait` judges.
pub(crate) async fn run(args: WatchArgs, client: &Client, ui: &mut Ui) -> Ending {
    let mut follow = Follow::new(client, args.job, PATIENCE);
    let mut progress = Progress::new(ui);
    let ended = loop {
        match follow.next().await {
            Ok(Some(News::Lost)) => {
                progress.clear();
                ui.note(follow.lost_text());
            }
            Ok(Some(News::Event(event))) => {
                if let Err(stop) = write(ui, &mut progress, &event) {
                    break Err(stop);
                }
            }
            Ok(None) => break Ok(Exit::Done),
            Err(error) => break Err(error.into()),
        }
    };
    progress.clear();
    ended
}

fn write(ui: &mut Ui, progress: &mut Progress, event: &pb::JobEvent) -> Result<(), Stop> {
    match ui.format {
        Format::Json | Format::Jsonl => ui.json(&document::Event::of(event))?,
        Format::Id => ui.line(event.job.as_ref().map_or("", |job| &job.id))?,
        // The bar shows the progress; lines are for what a bar can't show.
        Format::Table if event.kind == "progress" => match &event.job {
            Some(job) if ui.err_is_terminal => progress.job(ui, job),
            Some(job) => {
                let text = progress.text(job);
                if progress.is_due(job) {
                    ui.line(format_args!("{}  {text}", short_time(event.time.as_ref())))?;
                }
            }
            None => {}
        },
        Format::Table => {
            progress.clear();
            let text = match (&event.job, event.text.as_str()) {
                (Some(job), "") => job_text::ending(job),
                (_, text) => text.to_owned(),
            };
            ui.line(format_args!("{}  {}", short_time(event.time.as_ref()), printable(&text)))?;
        }
    }
    ui.flush()
}
