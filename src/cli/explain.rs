//! `explain`: why a job, a task or a worker is where it is, the rule that put it there, and what would change it.

use super::document;
use super::exit::{Ending, Exit};
use super::job_text::range;
use super::task_ref::Explained;
use super::ui::{Format, Ui, printable};
use super::units::short_time;
use crate::rpc::client::Client;
use crate::rpc::pb;

#[derive(clap::Args, Debug)]
pub(crate) struct ExplainArgs {
    /// 7, j7, a task: j7.42, or a worker: w3
    #[arg(value_name = "JOB[.TASK]|WORKER")]
    what: Explained,
}

pub(crate) async fn run(args: ExplainArgs, client: &Client, ui: &mut Ui) -> Ending {
    let id = args.what.to_string();
    let explanation = match args.what {
        Explained::Worker(_) => {
            let request = pb::ExplainWorkerRequest { id };
            client.repeat(async || client.cluster().explain_worker(request.clone()).await).await?
        }
        Explained::Job(_) | Explained::Task(_) => {
            let request = pb::ExplainJobRequest { id };
            client.repeat(async || client.jobs().explain_job(request.clone()).await).await?
        }
    };
    match ui.format {
        Format::Json | Format::Jsonl => ui.json(&document::Explanation::of(&explanation))?,
        Format::Id => ui.line(&explanation.id)?,
        Format::Table => {
            ui.line(printable(&explanation.sentence))?;
            for (name, value) in facts(&explanation).into_iter().filter(|(_, value)| !value.is_empty()) {
                ui.line(format_args!("  {name:<11}{}", printable(&value)))?;
            }
        }
    }
    Ok(Exit::Done)
}

/// What there is to say beside the sentence.
pub(crate) fn facts(it: &pb::Explanation) -> [(&'static str, String); 4] {
    [
        ("since", short_time(it.since.as_ref())),
        ("to change", it.change.clone()),
        ("time left", it.eta.map(|eta| range(&eta)).unwrap_or_default()),
        ("foretold", it.eta_score.map(|score| foretold(&score)).unwrap_or_default()),
    ]
}

/// `17 of 18 ends were in the range`.
pub(crate) fn foretold(score: &pb::EtaScore) -> String {
    format!("{} of {} times the end was in the range", score.inside, score.checks)
}
