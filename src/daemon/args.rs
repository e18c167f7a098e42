//! Options of the daemons.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::domain::{Error, Resources};
use crate::limits::{REATTACH_WINDOW, WORKER_SLOTS_MAX};

/// The daemon that owns jobs: splits data sets, holds tasks until a worker has a free slot, keeps results.
#[derive(Debug, Parser)]
#[command(name = "millpond-head", version, subcommand_negates_reqs = true, args_conflicts_with_subcommands = true)]
pub struct HeadArgs {
    /// Without one: serve
    #[command(subcommand)]
    pub command: Option<HeadCommand>,
    /// Where to listen; port 0: any free port
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:7663")]
    pub listen: SocketAddr,
    /// All its state: journal, data sets, results
    #[arg(long, value_name = "DIR", required = true)]
    pub data_dir: Option<PathBuf>,
    /// Listen on an address that others can reach, without encryption or credentials: whoever reaches it can run commands on the workers
    #[arg(long)]
    pub insecure: bool,
    /// How long a started head waits for the workers it knew to say what they run, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = REATTACH_WINDOW.as_secs())]
    pub reattach_window: u64,
    /// With less free on its disk it takes no new uploads, as 10G; without it: 10 % of the disk, 10G at most
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub disk_yellow: Option<u64>,
    /// With less free on its disk it takes no new jobs and starts no more tasks, as 2G; without it: 2 % of the disk, 2G at most
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub disk_red: Option<u64>,
}

/// What else a head's binary does.
#[derive(Debug, Subcommand)]
pub enum HeadCommand {
    /// Reads a whole data folder that no head uses, and says what in it is damaged; exit code 0: nothing, 1: something
    Doctor(DoctorArgs),
    /// Copies the state of a running head, as it is now, into a new folder on the head's machine; start a head on that with --data-dir
    Backup(BackupArgs),
}

/// Options of a backup.
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// The folder to make; it must not exist
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// The running head
    #[arg(long, value_name = "URL", env = "MILLPOND_HEAD", default_value = "http://127.0.0.1:7663")]
    pub head: String,
}

/// Options of the doctor.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// The data folder to look at; nothing in it is changed
    #[arg(long, value_name = "DIR")]
    pub data_dir: PathBuf,
    /// Make a new data folder, which must not exist, of all that can be read; a task whose result is lost runs again
    #[arg(long, value_name = "NEWDIR")]
    pub salvage: Option<PathBuf>,
}

/// The daemon that runs tasks.
#[derive(Debug, Parser)]
#[command(name = "millpond-worker", version)]
pub struct WorkerArgs {
    /// The head's address
    #[arg(long, value_name = "URL", env = "MILLPOND_HEAD")]
    pub head: String,
    /// How many tasks it runs at once; without it: one per processor
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(WORKER_SLOTS_MAX)))]
    pub slots: Option<u32>,
    /// All its state: chunks, shared files, the folders that tasks run in
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// Processors that tasks may ask for; without it: all of the machine
    #[arg(long, value_name = "N")]
    pub cpus: Option<u32>,
    /// Memory that tasks may ask for, as 64G; without it: all of the machine
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub mem: Option<u64>,
    /// Graphics processors that tasks may ask for
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub gpus: u32,
    /// A label that tasks may ask for; may be repeated
    #[arg(long = "label", value_name = "K=V", value_parser = label)]
    pub labels: Vec<(String, String)>,
    /// How long it runs on what it has while no head can be reached; then it stops it. Results are kept
    #[arg(long, value_name = "DUR", default_value = "40m", value_parser = duration)]
    pub alone_for: Duration,
    /// Results that it keeps for the head, as 10G; with more it takes no more tasks
    #[arg(long, value_name = "SIZE", default_value = "10G", value_parser = size)]
    pub keep_results: u64,
}

/// The command lines of the daemons.
pub fn commands() -> Vec<clap::Command> {
    vec![HeadArgs::command(), WorkerArgs::command()]
}

fn duration(text: &str) -> Result<Duration, String> {
    crate::cli::parse_duration(text).map_err(|error| error.message)
}

fn size(text: &str) -> Result<u64, String> {
    crate::cli::parse_size(text).map_err(|error| error.message)
}

fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or("write it as KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

impl WorkerArgs {
    /// What the worker has.
    pub fn resources(&self) -> Result<Resources, Error> {
        let mem_bytes = self.mem.unwrap_or_else(memory_bytes);
        let labels: BTreeMap<String, String> = self.labels.iter().cloned().collect();
        Ok(Resources { cpus: self.cpus.unwrap_or_else(cpus), mem_bytes, gpus: self.gpus, labels })
    }
}

/// Processors of this machine.
pub fn cpus() -> u32 {
    std::thread::available_parallelism().map_or(1, |count| count.get() as u32)
}

/// Memory of this machine, in bytes.
pub fn memory_bytes() -> u64 {
    let info = rustix::system::sysinfo();
    info.totalram.saturating_mul(u64::from(info.mem_unit))
}
