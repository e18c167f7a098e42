//! `logs`: what a finished task wrote, byte for byte; standard error to standard error.

use std::io::Write;

use super::exit::{Ending, Exit, Stop};
use super::task_ref::TaskRef;
use super::ui::Ui;
use crate::rpc::client::Client;
use crate::rpc::pb;
use crate::rpc::pb::get_task_log_request::Stream;

#[derive(clap::Args, Debug)]
pub(crate) struct LogsArgs {
    /// As j7.42
    #[arg(value_name = "JOB.TASK")]
    task: TaskRef,
    /// Only its standard output
    #[arg(long, conflicts_with = "stderr")]
    stdout: bool,
    /// Only its standard error (the last 64 KiB)
    #[arg(long)]
    stderr: bool,
}

pub(crate) async fn run(args: LogsArgs, client: &Client, ui: &mut Ui) -> Ending {
    if !args.stderr {
        copy(args.task, Stream::Stdout, client, &mut ui.out).await?;
        ui.flush()?;
    }
    if !args.stdout {
        copy(args.task, Stream::Stderr, client, &mut ui.err).await?;
    }
    Ok(Exit::Done)
}

async fn copy(task: TaskRef, stream: Stream, client: &Client, out: &mut (dyn Write + Send)) -> Result<(), Stop> {
    let request = pb::GetTaskLogRequest { id: task.to_string(), stream: stream.into() };
    let mut pieces = client.repeat(async || client.job_data().get_task_log(request.clone()).await).await?;
    while let Some(piece) = pieces.message().await.map_err(|status| client.error(&status))? {
        out.write_all(&piece.data)?;
    }
    Ok(out.flush()?)
}
