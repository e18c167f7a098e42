//! `explain`: why a job or task is not running now, and the rule that put it there.

use super::document;
use super::exit::{Ending, Exit};
use super::task_ref::JobOrTask;
use super::ui::{Format, Ui, printable};
use crate::rpc::client::Client;
use crate::rpc::pb;

#[derive(clap::Args, Debug)]
pub(crate) struct ExplainArgs {
    /// 7, j7, or a task: j7.42
    #[arg(value_name = "JOB[.TASK]")]
    what: JobOrTask,
}

pub(crate) async fn run(args: ExplainArgs, client: &Client, ui: &mut Ui) -> Ending {
    let request = pb::ExplainJobRequest { id: args.what.to_string() };
    let explanation = client.repeat(async || client.jobs().explain_job(request.clone()).await).await?;
    match ui.format {
        Format::Json | Format::Jsonl => ui.json(&document::Explanation::of(&explanation))?,
        Format::Id => ui.line(&explanation.id)?,
        Format::Table => ui.line(printable(&explanation.sentence))?,
    }
    Ok(Exit::Done)
}
