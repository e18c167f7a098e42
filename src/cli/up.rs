//! `up`: a cluster on this machine that stays until Ctrl-C or TERM.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::embedded::EmbeddedOptions;
use super::entry::World;
use super::exit::{Ending, Exit};
use super::ui::{Format, Ui};
use super::units::parse_size;
use crate::limits::WORKER_SLOTS_MAX;

#[derive(clap::Args, Debug)]
pub(crate) struct UpArgs {
    /// Slots of each worker: tasks that it runs at once [default: the number of processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(WORKER_SLOTS_MAX)))]
    slots: Option<u32>,
    /// Number of workers
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    workers: u32,
    /// Chunks and shared files that each worker keeps for the next tasks; a task that needs a larger one fails
    #[arg(long, value_name = "SIZE", default_value = "10G", value_parser = parse_size)]
    cache: u64,
    /// Where it keeps its state [default: $XDG_STATE_HOME/millpond or ~/.local/state/millpond]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Where the head listens
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:7663")]
    listen: SocketAddr,
}

pub(crate) async fn run(args: UpArgs, world: &mut World<'_>, ui: &mut Ui) -> Ending {
    let dir = args.dir.map_or_else(|| world.around.state_dir(), Ok)?;
    let slots = args.slots.unwrap_or(world.around.cores);
    world.signals.catch()?;
    let options =
        EmbeddedOptions { dir, slots, workers: args.workers, cache_bytes: args.cache, listen: Some(args.listen), containers: true };
    let cluster = world.starter.start(options).await?;
    let url = cluster.url();
    // The cluster must be stopped even if nobody reads the line.
    let written = ui.line(format_args!("listening on {url}")).and_then(|()| ui.flush());
    if written.is_ok() {
        if ui.format == Format::Table {
            ui.note(format_args!("use it:  export MILLPOND_HEAD={url}\n         millpond submit INPUT -- COMMAND\nstop it: Ctrl-C"));
        }
        world.signals.next().await;
        ui.note("stopping; a second Ctrl-C does not wait");
    }
    tokio::select! {
        () = cluster.stop() => {}
        () = world.signals.next() => {}
    }
    written.map(|()| Exit::Done)
}
