//! `millpond-head`.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::actors::head_root::RunningHead;
use crate::actors::{HeadOptions, HeadRoot};
use crate::domain::Error;
use crate::engine::Watermarks;
use crate::pki::IdentityFolder;
use crate::rpc::door::Door;
use crate::rpc::server;
use crate::rpc::services::{Transfers, Uploads};
use crate::web;

use super::args::{HeadArgs, HeadCommand};
use super::signals::Signals;
use super::{backup, doctor, init, logging, process};

/// Open streams (a `watch`, a worker) are given this long when the head ends; they all come back by themselves.
const GOODBYE: Duration = Duration::from_secs(1);

/// Runs a head until a signal, or until it fails.
pub fn main() -> ExitCode {
    let mut args = match process::arguments::<HeadArgs>("millpond-head") {
        Ok(args) => args,
        Err(exit) => return exit,
    };
    let format = args.log_format;
    logging::start("info", format);
    let done = match args.command.take() {
        Some(HeadCommand::Doctor(args)) => return doctor::main(&args, format),
        Some(HeadCommand::Init(args)) => init::run(&args),
        Some(HeadCommand::NewAdmin(args)) => init::new_admin(&args),
        Some(HeadCommand::Backup(args)) => process::runtime().and_then(|runtime| runtime.block_on(backup::run(args))),
        None => process::runtime().and_then(|runtime| runtime.block_on(run(args))),
    };
    process::exit("millpond-head", format, done)
}

async fn run(args: HeadArgs) -> Result<(), Error> {
    process::may_open_many_files();
    let mut signals = Signals::listen()?;
    let reattach = Duration::from_secs(args.reattach_window);
    let data_dir = args.data_dir.ok_or_else(|| Error::invalid("a head needs its --data-dir"))?;
    check_listen(args.listen, args.insecure, IdentityFolder::is_in(&data_dir))?;
    let watermarks = Watermarks::new(args.disk_yellow, args.disk_red)?;
    let (reserve_after, keep, upload_silence) = (args.reserve_after, args.keep, args.upload_silence);
    let (traces, sending) = args.traces.open(|name| std::env::var_os(name))?.unzip();
    let options = HeadOptions { data_dir, reattach, reserve_after, keep, watermarks, upload_silence, names: args.names, traces };
    let head = Serving::start(args.listen, options).await?;
    let sending = sending.map(|sending| sending.start(&head.running.head));
    say(&format!("listening on {}", head.url))?;
    let ended = head.until(signals.next()).await;
    if let Some(sending) = sending {
        sending.stop().await;
    }
    ended
}

/// Until it has an identity, only this machine may connect.
fn check_listen(listen: SocketAddr, insecure: bool, has_identity: bool) -> Result<(), Error> {
    if has_identity && insecure {
        return Err(Error::invalid("--insecure is for a head without an identity, and this one has one: leave it out"));
    }
    if has_identity || listen.ip().is_loopback() {
        return Ok(());
    }
    if !insecure {
        return Err(Error::denied(format!(
            "{listen} can be reached by other machines, and this head has no identity: whoever reaches it could run commands on the workers; \
             make one with `millpond-head init --data-dir DIR`, or, on a network that you trust, add --insecure"
        )));
    }
    tracing::warn!("INSECURE: {listen} is open to everyone who can reach it, unencrypted: they can run any command on the workers");
    Ok(())
}

pub(super) fn say(line: &str) -> Result<(), Error> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(|error| Error::internal(format!("standard output: {error}")))
}

/// A head that serves.
pub(super) struct Serving {
    /// Where.
    pub url: String,
    running: RunningHead,
    stop: CancellationToken,
    server: tokio::task::JoinHandle<()>,
}

impl Serving {
    /// Resolves when the head accepts calls.
    pub async fn start(listen: SocketAddr, options: HeadOptions) -> Result<Self, Error> {
        let names = options.names.clone();
        let running = HeadRoot::start(options).await?;
        let listener = TcpListener::bind(listen).await;
        let listener = listener.map_err(|error| match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                Error::conflict(format!("{listen} is in use: another head may run here; choose another --listen"))
            }
            _ => Error::internal(format!("{listen}: {error}")),
        })?;
        let address = listener.local_addr().map_err(|error| Error::internal(format!("{listen}: {error}")))?;
        let stop = CancellationToken::new();
        let transfers = Transfers::new(running.head.upload_silence);
        let uploads = Uploads::new(running.head.clone(), transfers.clone());
        let routes = server::routes(running.head.clone(), transfers.clone(), uploads.clone()).await?;
        let routes = routes.merge(web::routes(running.head.clone(), transfers, uploads));
        let door = Door::new(running.head.clone(), routes, names)?;
        let url = format!("{}://{address}", door.scheme());
        let server = tokio::spawn(door.serve(listener, stop.clone().cancelled_owned()));
        Ok(Self { url, running, stop, server })
    }

    /// Serves until `stop` resolves, or the head fails.
    pub async fn until(mut self, stop: impl Future<Output = ()>) -> Result<(), Error> {
        let failed = tokio::select! {
            () = stop => None,
            changed = self.running.failed.changed() => changed.ok().and_then(|()| self.running.failed.borrow().clone()),
            _ = &mut self.server => return Err(Error::internal("the server has broken off")),
        };
        self.stop().await;
        failed.map_or(Ok(()), |why| Err(Error::internal(format!("the head had to stop: {why}"))))
    }

    /// Ends it.
    pub async fn stop(self) {
        self.stop.cancel();
        self.running.stop().await;
        let abort = self.server.abort_handle();
        if tokio::time::timeout(GOODBYE, self.server).await.is_err() {
            abort.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ErrorKind;

    #[test]
    fn only_this_machine_may_connect_unless_told_otherwise() {
        let check = |listen: &str, insecure, has_identity| check_listen(listen.parse().unwrap(), insecure, has_identity);
        assert!(check("127.0.0.1:0", false, false).is_ok() && check("[::1]:0", false, false).is_ok());
        assert_eq!(check("0.0.0.0:0", false, false).unwrap_err().kind, ErrorKind::Denied);
        assert!(check("0.0.0.0:0", true, false).is_ok() && check("0.0.0.0:0", false, true).is_ok());
        assert_eq!(check("0.0.0.0:0", true, true).unwrap_err().kind, ErrorKind::Invalid);
    }
}
