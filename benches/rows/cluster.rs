//! The cluster that is measured: a head and workers as processes of the release build, on loopback, in a folder that goes with it.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use millpond::pki::Credentials;
use millpond::rpc::address::HeadAddress;
use millpond::rpc::client::Client;
use millpond::rpc::pb;
use millpond::rpc::tls::Keys;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::bench::Bench;
use crate::process;

/// The programs that are measured.
pub const MILLPOND: &str = env!("CARGO_BIN_EXE_millpond");
/// See [`MILLPOND`].
pub const HEAD: &str = env!("CARGO_BIN_EXE_millpond-head");
/// See [`MILLPOND`].
pub const WORKER: &str = env!("CARGO_BIN_EXE_millpond-worker");

/// How long anything may take before it counts as hanging.
const PATIENCE: Duration = Duration::from_secs(600);
/// From the word that a process is to end until it is killed.
const GOODBYE: Duration = Duration::from_secs(5);

/// See the module.
pub struct Cluster {
    /// The head's address.
    pub url: String,
    runtime: Runtime,
    client: Client,
    /// The admin's, of a head with an identity.
    credentials: Option<PathBuf>,
    // In the order in which they are to end.
    workers: Vec<Process>,
    head: Process,
    folder: TempDir,
    interrupted: Arc<AtomicBool>,
}

/// A process of ours, which ends with this value.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let pid = Pid::from_child(&self.0);
        // It may have ended already.
        let _ = kill_process(pid, Signal::TERM);
        let began = Instant::now();
        while matches!(self.0.try_wait(), Ok(None)) && began.elapsed() < GOODBYE {
            std::thread::sleep(Duration::from_millis(2));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Cluster {
    /// A head without workers.
    pub fn start(bench: &Bench) -> Result<Self> {
        Self::start_in(bench, bench.folder()?, None)
    }

    /// The same with an identity: all that it says and hears is encrypted.
    pub fn with_identity(bench: &Bench) -> Result<Self> {
        let folder = bench.folder()?;
        let file = folder.path().join("admin.pem");
        let mut init = program(HEAD, folder.path());
        output(init.args(["init", "--data-dir"]).arg(folder.path().join("head")).arg("--credentials").arg(&file))?;
        Self::start_in(bench, folder, Some(file))
    }

    fn start_in(bench: &Bench, folder: TempDir, credentials: Option<PathBuf>) -> Result<Self> {
        let mut command = program(HEAD, folder.path());
        // A disk that is rather full, as those of test machines are, is not what is measured.
        command.args(["--listen", "127.0.0.1:0", "--disk-yellow", "1M", "--disk-red", "1M", "--data-dir"]).arg(folder.path().join("head"));
        let (head, line) = started(command, &folder.path().join("head.log"))?;
        let url = line.strip_prefix("listening on ").with_context(|| format!("the head says `{line}`"))?.to_owned();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let address = match &credentials {
            Some(file) => HeadAddress::new(&url, Some(Keys::of(&Credentials::read(file)?)?))?,
            None => url.parse()?,
        };
        let client = runtime.block_on(Client::connect(&address))?;
        Ok(Self { url, runtime, client, credentials, workers: Vec::new(), head: Process(head), folder, interrupted: bench.interrupted() })
    }

    /// The same with a worker, connected.
    pub fn with_worker(bench: &Bench, slots: u32) -> Result<Self> {
        let mut cluster = Self::start(bench)?;
        cluster.add_worker(slots)?;
        Ok(cluster)
    }

    /// The same with simulated workers.
    pub fn with_swarm(bench: &Bench, workers: u32, slots: u32) -> Result<Self> {
        let mut cluster = Self::start(bench)?;
        cluster.add_swarm(workers, slots)?;
        Ok(cluster)
    }

    /// Starts a worker and waits until it may be given tasks.
    pub fn add_worker(&mut self, slots: u32) -> Result<()> {
        self.add_worker_with(slots, &[])
    }

    /// The same, with options.
    pub fn add_worker_with(&mut self, slots: u32, options: &[&str]) -> Result<()> {
        let number = self.workers.len() + 1;
        let mut command = program(WORKER, self.folder.path());
        command
            .args(["--head", &self.url, "--slots", &slots.to_string(), "--dir"])
            .arg(self.path(&format!("worker-{number}")))
            .args(options);
        if self.credentials.is_some() {
            command.args(["--join", &self.millpond(&["token", "create", "--role", "worker", "-q"])?]);
        }
        command.stdin(Stdio::null()).stderr(log(&self.path(&format!("worker-{number}.log")))?);
        self.workers.push(Process(command.spawn().context(WORKER)?));
        self.all_connected(number)
    }

    /// All workers end.
    pub fn drop_workers(&mut self) {
        self.workers.clear();
    }

    /// Starts a process of simulated workers and waits until they may be given tasks.
    pub fn add_swarm(&mut self, workers: u32, slots: u32) -> Result<()> {
        let mut command = program(std::env::current_exe()?, self.folder.path());
        command.args(["swarm", &self.url, &workers.to_string(), &slots.to_string()]);
        if self.credentials.is_some() {
            command.args(["--join", &self.millpond(&["token", "create", "--role", "worker", "-q"])?]);
        }
        let (swarm, line) = started(command, &self.path("swarm.log"))?;
        self.workers.push(Process(swarm));
        ensure!(line == "ready", "the simulated workers say `{line}`");
        self.all_connected(workers as usize)
    }

    fn all_connected(&self, count: usize) -> Result<()> {
        until("all workers are connected", || {
            let mut request = pb::ListWorkersRequest { page_size: 1000, ..Default::default() };
            let mut ready = 0;
            loop {
                let page = self.runtime.block_on(self.client.cluster().list_workers(request.clone()))?.into_inner();
                ready += page.workers.iter().filter(|worker| worker.state() == pb::WorkerState::Available).count();
                request.page_token = page.next_page_token;
                if request.page_token.is_empty() {
                    return Ok((ready >= count).then_some(()));
                }
            }
        })
    }

    /// A path in the cluster's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The head's process.
    pub fn head_pid(&self) -> u32 {
        self.head.0.id()
    }

    /// The process of the worker that was added first.
    pub fn worker_pid(&self) -> u32 {
        self.workers[0].0.id()
    }

    /// Processor time of the head so far, in seconds.
    pub fn head_cpu(&self) -> Result<f64> {
        process::cpu_seconds(self.head_pid())
    }

    /// Memory of the head now, in bytes.
    pub fn head_rss(&self) -> Result<f64> {
        process::rss_bytes(self.head_pid())
    }

    /// Runs calls on the cluster's own connection.
    pub fn call<T>(&self, call: impl AsyncFnOnce(&Client) -> Result<T>) -> Result<T> {
        let interrupted = async {
            while !self.interrupted.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        self.runtime.block_on(async {
            tokio::select! {
                done = call(&self.client) => done,
                () = interrupted => bail!("interrupted"),
                () = tokio::time::sleep(PATIENCE) => bail!("the head has not done it within {} s", PATIENCE.as_secs()),
            }
        })
    }

    /// Submits a job; its id.
    pub fn submit(&self, spec: pb::JobSpec) -> Result<String> {
        let spec = Some(spec);
        let request = pb::SubmitJobRequest { spec, request_id: uuid::Uuid::new_v4().to_string(), ..Default::default() };
        self.call(async |client| Ok(client.jobs().submit_job(request).await?.into_inner().id))
    }

    /// A job as it is.
    pub fn show(&self, id: &str) -> Result<pb::Job> {
        self.call(async |client| Ok(client.jobs().get_job(pb::GetJobRequest { id: id.to_owned() }).await?.into_inner()))
    }

    /// Waits for a job's end, which must be a success; the job as it is then.
    pub fn ends(&self, id: &str) -> Result<pb::Job> {
        let job = self.call(async |client| {
            let mut events = client.jobs().watch_job(pb::WatchJobRequest { id: id.to_owned(), cursor: 0 }).await?.into_inner();
            let mut last = None;
            while let Some(event) = events.message().await? {
                last = event.job;
            }
            last.context("a job has no events")
        })?;
        ensure!(job.state() == pb::JobState::Succeeded, "{id} has ended as {:?}: {:?}", job.state(), job.tasks);
        Ok(job)
    }

    /// Submits a job and waits for its end: the seconds from before the submission, and the job.
    pub fn runs(&self, spec: pb::JobSpec) -> Result<(f64, pb::Job)> {
        let began = Instant::now();
        let id = self.submit(spec)?;
        let job = self.ends(&id)?;
        Ok((began.elapsed().as_secs_f64(), job))
    }

    /// Removes a job that has ended, so that the next round finds the head as this one did.
    pub fn delete(&self, id: &str) -> Result<()> {
        let request = pb::DeleteJobRequest { id: id.to_owned(), request_id: uuid::Uuid::new_v4().to_string(), ..Default::default() };
        self.call(async |client| Ok(client.jobs().delete_job(request).await.map(drop)?))
    }

    /// Kills a job, its running tasks too, unless it ends just now; waits for its end, and removes it.
    pub fn clear(&self, id: &str) -> Result<()> {
        self.call(async |client| match client.jobs().kill_job(kill_request(id)).await {
            Err(status) if status.code() == tonic::Code::FailedPrecondition => Ok(()),
            killed => Ok(killed.map(drop)?),
        })?;
        until("a job that was killed has ended", || Ok(self.show(id)?.finished.map(drop)))?;
        self.delete(id)
    }

    /// Stores a file; its digest.
    pub fn upload(&self, file: &Path) -> Result<String> {
        let file = file.to_str().context("a path that is no text")?;
        self.millpond(&["data", "add", file, "-q"])
    }

    /// Runs a command line at this head, which must succeed; its standard output.
    pub fn millpond(&self, args: &[&str]) -> Result<String> {
        let mut command = program(MILLPOND, self.folder.path());
        command.envs(self.credentials.iter().map(|file| ("MILLPOND_CREDENTIALS", file)));
        output(command.env("MILLPOND_HEAD", &self.url).args(args))
    }
}

/// A request that stops everything of a job.
pub fn kill_request(id: &str) -> pb::KillJobRequest {
    let request_id = uuid::Uuid::new_v4().to_string();
    pb::KillJobRequest { id: id.to_owned(), request_id, running: pb::RunningTasks::Stop.into(), ..Default::default() }
}

/// A job of so many tasks without input.
pub fn array(tasks: u32, command: &[&str]) -> pb::JobSpec {
    let input = pb::job_spec::Input::Array(pb::ArrayInput { first: 0, last: tasks - 1, step: 1 });
    spec(input, command)
}

/// A job over a stored file.
pub fn over(digest: &str, name: &str, split: &str, command: &[&str]) -> pb::JobSpec {
    let input = pb::DatasetInput { digest: digest.to_owned(), split: split.to_owned(), name: name.to_owned() };
    spec(pb::job_spec::Input::Dataset(input), command)
}

fn spec(input: pb::job_spec::Input, command: &[&str]) -> pb::JobSpec {
    let command = command.iter().map(ToString::to_string).collect();
    pb::JobSpec { name: "row".into(), owner: "rows".into(), input: Some(input), command, ..Default::default() }
}

/// A time of the head or a worker, in seconds.
pub fn seconds(time: Option<&prost_types::Timestamp>) -> Result<f64> {
    time.map(|time| time.seconds as f64 + f64::from(time.nanos) / 1e9).context("a job that has ended lacks a time")
}

/// A program in the surroundings of a folder, with nothing of the tester's own settings.
pub fn program(program: impl AsRef<std::ffi::OsStr>, folder: &Path) -> Command {
    let mut command = Command::new(program);
    for name in ["MILLPOND_HEAD", "MILLPOND_CONTEXT", "MILLPOND_CREDENTIALS", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "RUST_LOG"] {
        command.env_remove(name);
    }
    command.env("HOME", folder).current_dir(folder).stdin(Stdio::null());
    command
}

/// Runs a program that must succeed; its standard output without the last line end.
pub fn output(command: &mut Command) -> Result<String> {
    let name = format!("{:?}", command.get_program());
    let output = command.output().with_context(|| name.clone())?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{name}: {}: {}", output.status, said.trim_end());
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}

/// Waits until something is there.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let began = Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if began.elapsed() > PATIENCE {
            bail!("waited {} s in vain until {what}", PATIENCE.as_secs());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn log(path: &Path) -> Result<File> {
    File::create(path).with_context(|| path.display().to_string())
}

/// Starts a process and waits for the first line that it says.
fn started(mut command: Command, log_file: &Path) -> Result<(Child, String)> {
    command.stdout(Stdio::piped()).stderr(log(log_file)?);
    let mut child = command.spawn().with_context(|| format!("{:?}", command.get_program()))?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().context("a standard output")?).read_line(&mut line)?;
    if line.is_empty() {
        let status = child.wait()?;
        bail!("{:?}: {status}: {}", command.get_program(), std::fs::read_to_string(log_file)?.trim_end());
    }
    Ok((child, line.trim_end().to_owned()))
}
