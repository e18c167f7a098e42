//! `millpond-worker`.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::actors::worker::WorkerMsg;
use crate::actors::worker_root::RunningWorker;
use crate::actors::{WorkerOptions, WorkerRoot};
use crate::domain::{Error, Role};
use crate::engine::slot_table::Allowance;
use crate::pki::JoinToken;
use crate::rpc::address::HeadAddress;
use crate::rpc::data_client::DataClient;
use crate::rpc::renewal::Renewal;
use crate::rpc::{enroll, link};

use super::args::{WorkerArgs, cpus};
use super::signals::Signals;
use super::{logging, process};

/// Runs a worker until it has drained (the first signal asks for that); a second signal stops the running tasks, a third does not wait.
pub fn main() -> ExitCode {
    let args = match process::arguments::<WorkerArgs>("millpond-worker") {
        Ok(args) => args,
        Err(exit) => return exit,
    };
    let format = args.log_format;
    logging::start("info", format);
    process::exit("millpond-worker", format, process::runtime().and_then(|runtime| runtime.block_on(run(args))))
}

async fn run(args: WorkerArgs) -> Result<(), Error> {
    let mut signals = Signals::listen()?;
    let equipment = args.equipment();
    let allowance = Allowance { result_bytes: args.keep_results, alone: args.alone_for, idle: args.idle_exit, ..Allowance::default() };
    let slots = args.slots.unwrap_or_else(cpus);
    let (launcher, sandbox, containers) = (process::launcher_binary(), args.sandbox(), args.containers);
    let (dir, cache_bytes) = (args.dir, args.cache);
    let options = WorkerOptions { dir, slots, equipment, allowance, cache_bytes, launcher, sandbox, containers };
    let reached = Reached::by(args.head, args.join, &options.dir).await?;
    let worker = Working::start(reached, options).await?;
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

/// A head, and by what it is reached.
pub(super) struct Reached {
    address: HeadAddress,
    /// Of credentials, if there are any.
    renewal: Option<Renewal>,
}

/// In a worker's folder.
const CREDENTIALS_FILE: &str = "credentials.pem";

impl Reached {
    /// In plaintext.
    pub fn plain(url: &str) -> Result<Self, Error> {
        Ok(Self { address: url.parse()?, renewal: None })
    }

    /// By the credentials in the worker's folder, or those that the token gives; with neither, in plaintext.
    async fn by(head: Option<String>, join: Option<String>, dir: &Path) -> Result<Self, Error> {
        let file = dir.join(CREDENTIALS_FILE);
        if !file.exists() {
            let Some(join) = join else {
                let head = head
                    .ok_or_else(|| Error::invalid("which head: --join TOKEN, or, for one without an identity, --head http://HOST:7663"))?;
                return Self::plain(&head);
            };
            let token = token(&join)?;
            let url = head.clone().unwrap_or_else(|| token.head.clone());
            let credentials = enroll::join(&HeadAddress::pinned(&url, token.fingerprint)?, &token).await?;
            if credentials.peer.principal.role != Role::Worker {
                return Err(Error::invalid(format!(
                    "the token is for a {}: a worker needs one of --role worker",
                    credentials.peer.principal.role
                )));
            }
            std::fs::create_dir_all(dir).map_err(|error| Error::io(dir, &error))?;
            credentials.write(&file)?;
            tracing::info!(head = url, principal = %credentials.peer.principal, "joined");
        }
        let renewal = Renewal::of(file)?;
        let url = head.unwrap_or_else(|| renewal.head().to_owned());
        Ok(Self { address: renewal.address(&url)?, renewal: Some(renewal) })
    }
}

/// As it was given, or in the file that was named.
fn token(text: &str) -> Result<JoinToken, Error> {
    match text.strip_prefix('@') {
        None => text.parse(),
        Some(path) => std::fs::read_to_string(path).map_err(|error| Error::io(path, &error))?.trim().parse(),
    }
}

impl Working {
    /// Starts a worker that connects, and reconnects, to a head.
    pub async fn start(head: Reached, options: WorkerOptions) -> Result<Self, Error> {
        let Reached { address, renewal } = head;
        let port = DataClient::new(&address);
        let running = WorkerRoot::start(options, Arc::new(port)).await?;
        let stop = CancellationToken::new();
        if let Some(renewal) = renewal {
            tokio::spawn(renewal.keep(address.clone(), stop.clone()));
        }
        let link = tokio::spawn(link::keep_connected(address, running.actor.clone(), stop.clone()));
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
