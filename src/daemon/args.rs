//! Options of the daemons.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::domain::{CONTAINERS_LABEL, Error, Keep, Resources, Sandbox, short_size};
use crate::engine::slot_table::Equipment;
use crate::exec::{ContainerChoice, SandboxOptions, UidRange};
use crate::limits::{REATTACH_WINDOW, TASK_MEM_MIN_BYTES, TASK_PROCESSES_MAX, WORKER_GPUS_MAX, WORKER_SLOTS_MAX};

use super::logging::LogFormat;
use super::traces::TraceArgs;

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
    /// How long a job that has ended is kept, with its bundle, as 12h, 30d or forever, unless it says so itself; then it is removed
    #[arg(long, value_name = "DUR", default_value = "30d", value_parser = keep)]
    pub keep: Keep,
    /// How long a task that needs much of a worker waits for room while smaller ones take it; then a worker is kept free for it
    #[arg(long, value_name = "DUR", default_value = "60s", value_parser = duration)]
    pub reserve_after: Duration,
    /// With less free on its disk it takes no new uploads, as 10G; without it: 10 % of the disk, 10G at most
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub disk_yellow: Option<u64>,
    /// With less free on its disk it takes no new jobs and starts no more tasks, as 2G; without it: 2 % of the disk, 2G at most
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub disk_red: Option<u64>,
    /// An upload that brings nothing for so long loses its place to another; it can be gone on with
    #[arg(long, value_name = "DUR", default_value = "60s", value_parser = silence)]
    pub upload_silence: Duration,
    /// A name or an address that browsers know it by, for its certificate; without an identity, a name with a dot in it by which it may be asked for; may be repeated
    #[arg(long = "name", value_name = "HOST")]
    pub names: Vec<String>,
    #[command(flatten)]
    pub traces: TraceArgs,
    /// How log lines look, on standard error; RUST_LOG says which there are, as info or debug
    #[arg(long, value_name = "FORMAT", env = "MILLPOND_LOG_FORMAT", value_enum, default_value_t)]
    pub log_format: LogFormat,
}

/// What else a head's binary does.
#[derive(Debug, Subcommand)]
pub enum HeadCommand {
    /// Reads a whole data folder that no head uses, and says what in it is damaged; exit code 0: nothing, 1: something
    Doctor(DoctorArgs),
    /// Copies the state of a running head, as it is now, into a new folder on the head's machine; start a head on that with --data-dir
    Backup(BackupArgs),
    /// Makes the keys of a head that others may reach, and the credentials of its first admin; from then on nobody comes without
    Init(InitArgs),
    /// Makes credentials of one more admin, on the head's machine: for when no admin can let in another
    NewAdmin(NewAdminArgs),
}

/// Options of the identity that is made.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// The data folder of the head; made if it is not there
    #[arg(long, value_name = "DIR")]
    pub data_dir: PathBuf,
    #[command(flatten)]
    pub admin: AdminArgs,
}

/// Options of one more admin.
#[derive(Debug, Args)]
pub struct NewAdminArgs {
    /// The data folder of the head, which may be running
    #[arg(long, value_name = "DIR")]
    pub data_dir: PathBuf,
    #[command(flatten)]
    pub admin: AdminArgs,
}

/// Who the admin is.
#[derive(Debug, Args)]
pub struct AdminArgs {
    /// What the admin is called, in the audit and as owner of jobs
    #[arg(long, value_name = "NAME", default_value = "admin")]
    pub name: String,
    /// The file to write the credentials to [default: ~/.config/millpond/credentials/admin.pem]
    #[arg(long, value_name = "FILE")]
    pub credentials: Option<PathBuf>,
    /// The address by which clients reach the head, as https://lab:7663; noted in the credentials
    #[arg(long, value_name = "URL", default_value = "https://127.0.0.1:7663")]
    pub head: String,
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
    /// The file of an admin's credentials, for a head that has an identity
    #[arg(long, value_name = "FILE", env = "MILLPOND_CREDENTIALS")]
    pub credentials: Option<PathBuf>,
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
    /// The head's address; without it, that of the token or of the credentials in --dir
    #[arg(long, value_name = "URL", env = "MILLPOND_HEAD")]
    pub head: Option<String>,
    /// A token that an admin has made (millpond token create --role worker), for the first start; or, as @FILE, a file that holds it. The
    /// credentials that it gives are kept in --dir
    #[arg(long, value_name = "TOKEN", env = "MILLPOND_JOIN", hide_env_values = true)]
    pub join: Option<String>,
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
    /// Graphics processors that tasks may ask for: how many, numbered from 0, or their numbers, as 0,3 or 3,
    #[arg(long, value_name = "N|N,N", default_value = "0", hide_default_value = true)]
    pub gpus: Gpus,
    /// A label that tasks may ask for; may be repeated
    #[arg(long = "label", value_name = "K=V", value_parser = label)]
    pub labels: Vec<(String, String)>,
    /// How long it runs on what it has while no head can be reached; then it stops it. Results are kept
    #[arg(long, value_name = "DUR", default_value = "40m", value_parser = duration)]
    pub alone_for: Duration,
    /// How long it stays with nothing to do, as 10m; then it leaves, with exit code 0. Without it: for ever
    #[arg(long, value_name = "DUR", value_parser = silence)]
    pub idle_exit: Option<Duration>,
    /// Results that it keeps for the head, as 10G; with more it takes no more tasks
    #[arg(long, value_name = "SIZE", default_value = "10G", value_parser = size)]
    pub keep_results: u64,
    /// Chunks and shared files that it keeps for the next tasks; a task that needs a larger one fails here
    #[arg(long, value_name = "SIZE", default_value = "10G", value_parser = size)]
    pub cache: u64,
    /// What tasks are kept from: none, basic (users of their own), strict (besides: no network, a system that can only be read)
    /// [default: basic if root starts it, else none]
    #[arg(long, value_name = "PROFILE")]
    pub sandbox: Option<Sandbox>,
    /// Tasks have the machine's network, but for the address where a cloud tells a machine its credentials
    #[arg(long)]
    pub sandbox_net: bool,
    /// Users that slots may take, each its own, as 70000-79999 or 70000-; no person or service may have them
    #[arg(long, value_name = "FIRST-LAST")]
    pub task_uids: Option<UidRange>,
    /// Processes and threads that a task in a sandbox may have at once
    #[arg(long, value_name = "N", default_value_t = TASK_PROCESSES_MAX, value_parser = clap::value_parser!(u64).range(16..))]
    pub task_processes: u64,
    /// The largest file that a task in a sandbox may write, as 10G
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub task_file: Option<u64>,
    /// Memory of a task in a sandbox that asks for none itself, as 4G; where cgroups can't limit it, the address space of each process
    #[arg(long, value_name = "SIZE", value_parser = task_memory)]
    pub task_mem: Option<u64>,
    /// A variable of the worker's environment that tasks in a sandbox get too; may be repeated
    #[arg(long = "task-env", value_name = "NAME")]
    pub task_env: Vec<String>,
    /// What runs tasks that want an image (submit --image): podman, docker, none, or auto, the first of them that answers, where tasks are in no
    /// sandbox. The container program has the rights of the worker's user: in a sandbox it has to be named to be used
    #[arg(long, value_name = "PROGRAM", default_value_t = ContainerChoice::Auto)]
    pub containers: ContainerChoice,
    /// How log lines look, on standard error; RUST_LOG says which there are, as info or debug
    #[arg(long, value_name = "FORMAT", env = "MILLPOND_LOG_FORMAT", value_enum, default_value_t)]
    pub log_format: LogFormat,
}

/// The command lines of the daemons.
pub fn commands() -> Vec<clap::Command> {
    vec![HeadArgs::command(), WorkerArgs::command()]
}

/// The graphics processors of a machine, by the numbers that it knows them by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gpus(pub BTreeSet<u32>);

impl FromStr for Gpus {
    type Err = Error;

    /// Reads `2`, which are 0 and 1, or `0,3`; a comma behind a single number makes it that one.
    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = || Error::invalid(format!("gpus `{text}`: write how many, as 2, or their numbers, each once, as 0,3 or 3,"));
        let number = |text: &str| text.parse::<u32>().map_err(|_| bad());
        if !text.contains(',') {
            let count = number(text)?;
            let most = WORKER_GPUS_MAX;
            if count > most {
                return Err(Error::invalid(format!("gpus `{text}`: at most {most}; for the one of that number write `{text},`")));
            }
            return Ok(Self((0..count).collect()));
        }
        let numbers: Vec<u32> = text.strip_suffix(',').unwrap_or(text).split(',').map(number).collect::<Result<_, _>>()?;
        let gpus: BTreeSet<u32> = numbers.iter().copied().collect();
        if gpus.len() == numbers.len() && gpus.len() <= WORKER_GPUS_MAX as usize { Ok(Self(gpus)) } else { Err(bad()) }
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    crate::cli::parse_duration(text).map_err(|error| error.message)
}

fn silence(text: &str) -> Result<Duration, String> {
    duration(text).and_then(|silence| if silence.is_zero() { Err("at least a second is needed".into()) } else { Ok(silence) })
}

fn keep(text: &str) -> Result<Keep, String> {
    crate::cli::parse_keep(text).map_err(|error| error.message)
}

fn size(text: &str) -> Result<u64, String> {
    crate::cli::parse_size(text).map_err(|error| error.message)
}

fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or("write it as KEY=VALUE")?;
    if key == CONTAINERS_LABEL {
        return Err(format!("{CONTAINERS_LABEL} is said by itself, where --containers has found a program"));
    }
    Ok((key.to_owned(), value.to_owned()))
}

fn task_memory(text: &str) -> Result<u64, String> {
    let least = format!("at least {} are needed", short_size(TASK_MEM_MIN_BYTES));
    size(text).and_then(|bytes| if bytes < TASK_MEM_MIN_BYTES { Err(least) } else { Ok(bytes) })
}

impl WorkerArgs {
    /// What its tasks are kept from. Who starts a worker as root means tasks of others, mostly; another user has nothing to give up.
    pub fn sandbox(&self) -> SandboxOptions {
        let default = if rustix::process::geteuid().is_root() { Sandbox::Basic } else { Sandbox::None };
        SandboxOptions {
            sandbox: self.sandbox.unwrap_or(default),
            net: self.sandbox_net,
            uids: self.task_uids.clone(),
            processes: self.task_processes,
            file_bytes: self.task_file,
            mem_bytes: self.task_mem,
            env: self.task_env.clone(),
        }
    }

    /// What the worker has.
    pub fn equipment(&self) -> Equipment {
        let mem_bytes = self.mem.unwrap_or_else(memory_bytes);
        let labels: BTreeMap<String, String> = self.labels.iter().cloned().collect();
        let total = Resources { cpus: self.cpus.unwrap_or_else(cpus), mem_bytes, gpus: 0, labels };
        Equipment::new(total, self.gpus.0.clone())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn graphics_processors_are_counted_or_numbered() {
        for (text, gpus) in [("0", vec![]), ("2", vec![0, 1]), ("0,3", vec![0, 3]), ("3,", vec![3]), ("5,1", vec![1, 5])] {
            assert_eq!(text.parse::<Gpus>().unwrap(), Gpus(gpus.into_iter().collect()), "{text}");
        }
        for bad in ["", ",", "a", "-1", "1,1", "1,,2", "4000000000", "1, 2", "1,2,,"] {
            let refused = bad.parse::<Gpus>().unwrap_err();
            assert!(refused.message.starts_with(&format!("gpus `{bad}`: ")), "{refused}");
        }
    }
}
