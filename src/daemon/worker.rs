//! `millpond-worker`.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::actors::worker::WorkerMsg;
use crate::actors::worker_root::RunningWorker;
use crate::actors::{WorkerOptions, WorkerRoot};
use crate::domain::Error;
use crate::engine::slot_table::Allowance;
use crate::rpc::data_client::DataClient;
use crate::rpc::link;

use super::args::{WorkerArgs, cpus};
use super::signals::Signals;
use super::{logging, process};

/// Runs a worker until it has drained (the first signal asks for that); a second signal stops the running tasks, a third does not wait.
pub fn main() -> ExitCode {
    let args = match process::arguments::<WorkerArgs>("millpond-worker") {
        Ok(args) => args,
        Err(exit) => return exit,
    };
    logging::start("info");
    process::exit("millpond-worker", process::runtime().and_then(|runtime| runtime.block_on(run(args))))
}

async fn run(args: WorkerArgs) -> Result<(), Error> {
    let mut signals = Signals::listen()?;
    let equipment = args.equipment();
    let allowance = Allowance { result_bytes: args.keep_results, alone: args.alone_for, idle: args.idle_exit, ..Allowance::default() };
    let slots = args.slots.unwrap_or_else(cpus);
    let (launcher, sandbox) = (process::launcher_binary(), args.sandbox());
    let options = WorkerOptions { dir: args.dir, slots, equipment, allowance, cache_bytes: args.cache, launcher, sandbox };
    let worker = Working::start(&args.head, options).await?;
    tokio::select! {
        () = worker.running.left.cancelled() => return worker.stop().await,
        () = signals.next() => {}
    }
    tracing::info!("finishing what runs, taking no more; a second signal stops the running tasks");
    let _ = worker.running.actor.cast(WorkerMsg::Drain);
    tokio::select! {
        () = worker.running.left.cancelled() => {}
        () = signals.next() => {}
    }
    tokio::select! {
        ended = worker.stop() => ended,
        () = signals.next() => Ok(()),
    }
}

/// From TERM to KILL, for the tasks of a worker that is stopped.
const STOP_GRACE: Duration = Duration::from_secs(1);
/// A worker that is stopped waits so much longer for the head to take its tasks back.
const STOP_SLACK: Duration = Duration::from_secs(1);

/// A worker with its link.
pub(super) struct Working {
    running: RunningWorker,
    stop: CancellationToken,
    link: tokio::task::JoinHandle<Result<(), Error>>,
}

impl Working {
    /// Starts a worker that connects, and reconnects, to a head.
    pub async fn start(head: &str, options: WorkerOptions) -> Result<Self, Error> {
        let port = DataClient::new(head)?;
        let running = WorkerRoot::start(options, Arc::new(port)).await?;
        let stop = CancellationToken::new();
        let link = tokio::spawn(link::keep_connected(head.to_owned(), running.actor.clone(), stop.clone()));
        Ok(Self { running, stop, link })
    }

    /// Ends it; running tasks are stopped, and go back to the head if it can be reached.
    pub async fn stop(self) -> Result<(), Error> {
        let _ = self.running.actor.cast(WorkerMsg::Stop(STOP_GRACE));
        let _ = tokio::time::timeout(STOP_GRACE + STOP_SLACK, self.running.left.cancelled()).await;
        self.stop.cancel();
        self.running.stop().await;
        self.link.await.unwrap_or_else(|_| Err(Error::internal("the link to the head has broken off")))
    }
}
