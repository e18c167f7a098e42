//! `logs`: what a task wrote, byte for byte, or, with `-f`, what it writes, as it does; standard error to standard error.

use std::io::Write;

use super::exit::{Ending, Exit, Stop};
use super::log_follow;
use super::task_ref::TaskRef;
use super::ui::Ui;
use super::units::parse_size;
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
    /// Only its standard error (the last 64 KiB; with -f, all of it from now on)
    #[arg(long)]
    stderr: bool,
    /// Of this attempt, which has ended (show j7.42 lists them); without it of the last one
    #[arg(long, value_name = "N", conflicts_with = "follow", value_parser = clap::value_parser!(u32).range(1..))]
    attempt: Option<u32>,
    /// Follow the task to its end, whether it waits, runs or is tried again; ends with 0, however the task does. Ctrl-C ends only this
    #[arg(short, long)]
    follow: bool,
    /// Begin so many bytes before the present end of each (4k, 1M)
    #[arg(long, value_name = "SIZE", value_parser = parse_size, requires = "follow")]
    tail: Option<u64>,
}

pub(crate) async fn run(args: LogsArgs, client: &Client, ui: &mut Ui) -> Ending {
    let wanted = [(Stream::Stdout, !args.stderr), (Stream::Stderr, !args.stdout)];
    let streams: Vec<Stream> = wanted.into_iter().filter(|(_, is_wanted)| *is_wanted).map(|(stream, _)| stream).collect();
    if args.follow {
        return log_follow::run(args.task, &streams, args.tail, client, ui).await;
    }
    if args.attempt.is_some() {
        // A head that knows no attempts would take the last one for it.
        let request = pb::GetTaskRequest { id: args.task.to_string() };
        client.repeat(async || client.jobs().get_task(request.clone()).await).await?;
    }
    for stream in streams {
        match stream {
            Stream::Stderr => copy(&args, stream, client, &mut ui.err).await?,
            Stream::Stdout | Stream::Unspecified => copy(&args, stream, client, &mut ui.out).await?,
        }
    }
    Ok(Exit::Done)
}

async fn copy(args: &LogsArgs, stream: Stream, client: &Client, out: &mut (dyn Write + Send)) -> Result<(), Stop> {
    let request = pb::GetTaskLogRequest { id: args.task.to_string(), stream: stream.into(), attempt: args.attempt.unwrap_or_default() };
    let mut pieces = client.repeat(async || client.job_data().get_task_log(request.clone()).await).await?;
    while let Some(piece) = pieces.message().await.map_err(|status| client.error(&status))? {
        out.write_all(&piece.data)?;
    }
    Ok(out.flush()?)
}
