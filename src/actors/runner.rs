//! A Runner: one slot's thread, with its launcher and folders. It runs one attempt at a time: start, wait, pack, clean up.
//!
//! Starting and reaping happen off the async runtime: a task takes a few system calls of this thread and its launcher, and no more.

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ractor::ActorRef;

use crate::bundle;
use crate::domain::wire::{JobInfo, Lease};
use crate::domain::{EntryKind, Error, Outcome, Packed, Timing};
use crate::exec::{self, Launcher, Placeholders, SlotFolders, Start, Stopper, TaskVariables};
use crate::limits;

use super::clock::wall_now;
use super::prepare::Inputs;
use super::result_box::{KeptBytes, KeptResult, ResultWriter};
use super::worker::WorkerMsg;

/// How long a launcher may be silent beyond what its task may take, before it is given up.
const LAUNCHER_SLACK: Duration = Duration::from_secs(30);

/// What a slot is to run.
pub struct Order {
    /// Which attempt.
    pub lease: Lease,
    /// Of which job.
    pub info: Arc<JobInfo>,
    /// What it needs, pinned until it has ended.
    pub inputs: Inputs,
    /// How to stop it.
    pub stop: Arc<StopSwitch>,
}

/// Stops one attempt, whether its process has started or not.
#[derive(Default)]
pub struct StopSwitch {
    state: Mutex<StopState>,
}

#[derive(Default)]
struct StopState {
    asked: Option<Duration>,
    stopper: Option<Stopper>,
}

impl StopSwitch {
    fn state(&self) -> MutexGuard<'_, StopState> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// TERM, grace, KILL of the tree.
    pub fn stop(&self, grace: Duration) {
        let mut state = self.state();
        state.asked = Some(grace);
        if let Some(stopper) = &state.stopper {
            stopper.stop(grace);
        }
    }

    fn arm(&self, stopper: Stopper) {
        let mut state = self.state();
        if let Some(grace) = state.asked {
            stopper.stop(grace);
        }
        state.stopper = Some(stopper);
    }
}

/// Where a slot works, and with what.
#[derive(Clone)]
pub struct RunnerSetup {
    /// The binary that is re-executed as the launcher.
    pub launcher: PathBuf,
    /// The slots' folders.
    pub slots_dir: PathBuf,
    /// Results that wait.
    pub results_dir: PathBuf,
    /// Told when an attempt has ended.
    pub worker: ActorRef<WorkerMsg>,
}

/// Starts a slot's thread. It ends when the sender is dropped.
pub fn spawn(slot: usize, setup: RunnerSetup) -> Result<mpsc::Sender<Order>, Error> {
    let folders = SlotFolders::new(&setup.slots_dir, slot as u32)?;
    let (orders, inbox) = mpsc::channel();
    let mut runner = Runner { slot, setup, folders, launcher: None };
    std::thread::Builder::new()
        .name(format!("slot-{slot}"))
        .spawn(move || inbox.iter().for_each(|order| runner.work(order)))
        .map_err(|error| Error::internal(format!("a thread for slot {slot} can't be started: {error}")))?;
    Ok(orders)
}

struct Runner {
    slot: usize,
    setup: RunnerSetup,
    folders: SlotFolders,
    launcher: Option<Launcher>,
}

impl Runner {
    fn work(&mut self, order: Order) {
        let lease = order.lease;
        let kept = self.attempt(&order);
        if let Err(error) = self.folders.reset() {
            tracing::error!(slot = self.slot, %error, "a slot's folder can't be cleaned up");
        }
        drop(order);
        let _ = self.setup.worker.cast(WorkerMsg::Ended { slot: self.slot, lease, kept: Box::new(kept) });
    }

    fn attempt(&mut self, order: &Order) -> KeptResult {
        let started = wall_now();
        let outcome = match self.start_of(order) {
            Ok(start) => self.run(&start, order),
            Err(error) => Outcome::SpawnFailed { reason: error.message },
        };
        let timing = Timing { started, ended: wall_now() };
        let unwanted = matches!(outcome, Outcome::Revoked | Outcome::Lost);
        let packed = if unwanted { Ok((Packed::default(), KeptBytes::Memory(Vec::new()))) } else { self.pack(order.lease) };
        match packed {
            Ok((packed, bytes)) => KeptResult { outcome, timing, packed, bytes, receipt: None },
            Err(reason) => {
                let outcome = if outcome.is_success() { Outcome::OutputMissing { reason } } else { outcome };
                KeptResult { outcome, timing, packed: Packed::default(), bytes: KeptBytes::Memory(Vec::new()), receipt: None }
            }
        }
    }

    fn start_of(&self, order: &Order) -> Result<Start, Error> {
        let Order { lease, info, inputs, .. } = order;
        let spec = &info.spec;
        let text = |path: &Path| path.to_str().map(str::to_owned).ok_or_else(|| Error::invalid("the worker's --dir must be valid UTF-8"));
        let input = inputs.input.as_ref().map(|pinned| text(&pinned.path)).transpose()?;
        let with = inputs.with.iter().map(|(name, pinned)| Ok((name.clone(), text(&pinned.path)?))).collect::<Result<Vec<_>, Error>>()?;
        let (output, index, count) = (text(&self.folders.out())?, spec.index_of(lease.no), u64::from(info.total));
        let (job, task) = (info.job.to_string(), format!("{}.{index}", info.job));
        let placeholders =
            Placeholders { input: input.as_deref().unwrap_or_default(), output: &output, index, count, job: &job, with: &with };
        let own =
            TaskVariables { job: &job, task: &task, index, count, attempt: lease.attempt.0, input: input.as_deref(), output: &output };
        let env = exec::task_env(std::env::vars_os(), &spec.env, &own);
        let mut argv = spec.command.iter().map(|arg| exec::expand(arg, &placeholders));
        let name = argv.next().ok_or_else(|| Error::invalid("the command is empty"))?;
        let path = env.iter().find(|(key, _)| key == "PATH").map_or("", |(_, value)| value.as_str());
        let stdin = if exec::uses_input(&spec.command) { None } else { input.as_ref().map(PathBuf::from) };
        Ok(Start {
            program: exec::resolve_program(&name, path, &self.folders.work())?,
            args: argv.collect(),
            env,
            cwd: self.folders.work(),
            stdin,
            stdout: self.folders.stdout(),
            stderr: self.folders.stderr(),
            timeout_ms: spec.timeout.map(|limit| limit.as_millis() as u64),
            grace_ms: spec.grace.as_millis() as u64,
            stdout_max_bytes: limits::STDOUT_MAX_BYTES,
            stderr_max_bytes: limits::STDERR_MAX_BYTES,
        })
    }

    /// Runs the process by the slot's launcher, which is started when there is none. A launcher that died took its task with it.
    fn run(&mut self, start: &Start, order: &Order) -> Outcome {
        if self.launcher.is_none() {
            match Launcher::spawn(&self.setup.launcher, &[], self.folders.slot()) {
                Ok(launcher) => self.launcher = Some(launcher),
                Err(error) => return Outcome::SpawnFailed { reason: error.message },
            }
        }
        let Some(launcher) = &mut self.launcher else { return Outcome::Lost };
        let stopper = launcher.stopper();
        order.stop.arm(stopper.clone());
        let watchdog = start.timeout_ms.map(|limit| {
            let patience = Duration::from_millis(limit.saturating_add(start.grace_ms)) + LAUNCHER_SLACK;
            Watchdog::set(patience, stopper)
        });
        let ended = launcher.run(start, |_| {});
        drop(watchdog);
        match ended {
            Ok(ended) => {
                if ended.leftover > 0 {
                    // Processes that can't be killed stay with this launcher; the next task gets a clean one.
                    self.launcher = None;
                }
                ended.outcome()
            }
            Err(died) => {
                tracing::error!(slot = self.slot, %died, "the slot's launcher died: its task is lost");
                self.launcher = None;
                exec::adopt_and_kill_orphans(&[]);
                Outcome::Lost
            }
        }
    }

    /// Packs what the task left. The error is for the task's owner.
    fn pack(&self, lease: Lease) -> Result<(Packed, KeptBytes), String> {
        let name = format!("{}-{}-{}", lease.job.0, lease.no.0, lease.attempt.0);
        let mut writer = ResultWriter::new(self.setup.results_dir.join(name));
        let packed = bundle::pack(&self.folders.stdout(), &self.folders.stderr(), &self.folders.out(), &mut writer);
        let packed = packed.map_err(|error| match error {
            bundle::PackError::Bad { reason } => reason,
            bundle::PackError::Io(error) => format!("the worker's disk: {}", error.message),
        })?;
        let names: usize = packed
            .entries
            .iter()
            .map(|entry| match &entry.kind {
                EntryKind::File(name) => name.len(),
                EntryKind::Stdout | EntryKind::Stderr => 0,
            })
            .sum();
        if names > limits::RESULT_NAMES_MAX_BYTES {
            return Err(format!("the names of its files take {names} bytes, at most {} are allowed", limits::RESULT_NAMES_MAX_BYTES));
        }
        Ok((packed, writer.finish()))
    }
}

/// Kills a launcher that does not answer: a task may have stopped it.
struct Watchdog {
    cancel: mpsc::Sender<()>,
}

impl Watchdog {
    fn set(patience: Duration, stopper: Stopper) -> Self {
        let (cancel, cancelled) = mpsc::channel::<()>();
        std::thread::spawn(move || {
            if cancelled.recv_timeout(patience) == Err(mpsc::RecvTimeoutError::Timeout) {
                stopper.kill_launcher();
            }
        });
        Self { cancel }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        let _ = self.cancel.send(());
    }
}
