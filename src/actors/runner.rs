//! A Runner: one slot's thread, with its launcher and folders. It runs one attempt at a time: start, wait, pack, clean up.
//!
//! Starting and reaping happen off the async runtime: a task takes a few system calls of this thread and its launcher, and no more.

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ractor::ActorRef;

use crate::bundle::{self, Left, PackError, Press};
use crate::domain::wire::{JobInfo, Lease};
use crate::domain::{EntryKind, Error, ErrorKind, Image, Outcome, Packed, Timing};
use crate::exec::{self, Attempt, Found, Placeholders, Programs, SlotFolders, SlotSandbox, Start, Stopper, TaskVariables};
use crate::limits;

use super::cache::Pinned;
use super::clock::wall_now;
use super::handover::{Handover, MachineFault};
use super::images::Images;
use super::launchers::{Launchers, Place};
use super::prepare::{ChunkInput, Inputs};
use super::result_box::{KeptBytes, KeptResult, ResultWriter};
use super::sights::{Sight, Sights};
use super::worker::WorkerMsg;
use crate::engine::launcher_deaths::LauncherDeaths;

/// How long a launcher may be silent beyond what its task may take, before it is given up.
const LAUNCHER_SLACK: Duration = Duration::from_secs(30);
/// And where it has a container to remove: what is left in it is killed, and the container program is called up to twice.
const CONTAINER_SLACK: Duration = limits::CONTAINER_CALL_TIMEOUT.saturating_mul(2).saturating_add(limits::KILL_TIMEOUT);

/// What a slot is to run.
pub struct Order {
    /// Which attempt.
    pub lease: Lease,
    /// Of which job.
    pub info: Arc<JobInfo>,
    /// What it needs, pinned until it has ended.
    pub inputs: Inputs,
    /// The graphics processors that are its own; none if the machine has none at all.
    pub gpus: Option<Vec<u32>>,
    /// How to stop it.
    pub stop: Arc<StopSwitch>,
}

/// Stops one attempt, or lets it stand still, whether its process has started or not.
#[derive(Default)]
pub struct StopSwitch {
    state: Mutex<StopState>,
}

#[derive(Default)]
struct StopState {
    asked: Option<Duration>,
    frozen_since: Option<Instant>,
    /// Before that.
    stood_still: Duration,
    stopper: Option<Stopper>,
}

impl StopSwitch {
    fn state(&self) -> MutexGuard<'_, StopState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// TERM, grace, KILL of the tree.
    pub fn stop(&self, grace: Duration) {
        let mut state = self.state();
        state.asked = Some(grace);
        if let Some(stopper) = &state.stopper {
            stopper.stop(grace);
        }
    }

    /// The tree, and its time limit, stand still; or go on.
    pub fn freeze(&self, frozen: bool) {
        let mut state = self.state();
        match (frozen, state.frozen_since) {
            (true, None) => state.frozen_since = Some(Instant::now()),
            (false, Some(since)) => {
                state.stood_still += since.elapsed();
                state.frozen_since = None;
            }
            (true, Some(_)) | (false, None) => {}
        }
        if let Some(stopper) = &state.stopper {
            stopper.freeze(frozen);
        }
    }

    /// How long it has stood still by now.
    fn stood_still(&self) -> Duration {
        let state = self.state();
        state.stood_still + state.frozen_since.map(|since| since.elapsed()).unwrap_or_default()
    }

    fn arm(&self, stopper: Stopper) {
        let mut state = self.state();
        if let Some(grace) = state.asked {
            stopper.stop(grace);
        }
        if state.frozen_since.is_some() {
            stopper.freeze(true);
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
    /// Inputs that tasks read.
    pub cache_dir: PathBuf,
    /// What tasks that want an image are run by.
    pub images: Arc<Images>,
    /// In all slots.
    pub launcher_deaths: Arc<Mutex<LauncherDeaths>>,
    /// Where attempts end, and the next ones are.
    pub handover: Arc<Handover>,
    /// What they print.
    pub sights: Arc<Sights>,
    /// Told to look there.
    pub worker: ActorRef<WorkerMsg>,
}

/// Starts a slot's thread. It ends when the sender is dropped.
pub fn spawn(slot: usize, setup: RunnerSetup, sandbox: SlotSandbox) -> Result<mpsc::Sender<Order>, Error> {
    let folders = SlotFolders::new(&setup.slots_dir, slot as u32, sandbox.owner())?;
    let sight = Sight { stdout: folders.stdout().to_owned(), stderr: folders.stderr().to_owned(), owner: sandbox.owner() };
    setup.sights.is_at(slot, sight);
    let (orders, inbox) = mpsc::channel();
    let programs = Programs::new(folders.work().to_owned());
    let inherited = sandbox.env(exec::inherited_env(std::env::vars_os()), folders.work());
    let launchers = Launchers::new(sandbox.is_confined(), inherited.clone());
    let mut runner = Runner {
        slot,
        setup,
        sandbox,
        folders,
        inherited,
        programs,
        press: Press::default(),
        launchers,
        left_container: None,
        in_doubt: false,
    };
    std::thread::Builder::new()
        .name(format!("slot-{slot}"))
        .spawn(move || inbox.iter().for_each(|order| runner.work_on(order)))
        .map_err(|error| Error::internal(format!("a thread for slot {slot} can't be started: {error}")))?;
    Ok(orders)
}

struct Runner {
    slot: usize,
    setup: RunnerSetup,
    sandbox: SlotSandbox,
    folders: SlotFolders,
    /// What all tasks find in their environment.
    inherited: Vec<(String, String)>,
    programs: Programs,
    press: Press,
    launchers: Launchers,
    /// A container that could not be removed: it may still write to the slot's folders.
    left_container: Option<String>,
    /// This machine failed the last attempt: the next one begins only if the folders can be used.
    in_doubt: bool,
}

impl Runner {
    /// This one, and what comes behind it without a pause.
    fn work_on(&mut self, order: Order) {
        let mut next = Some(order);
        while let Some(order) = next {
            next = self.work(order);
        }
    }

    /// What is next, if there is something.
    fn work(&mut self, order: Order) -> Option<Order> {
        let lease = order.lease;
        let attempted = self.is_fit().and_then(|()| {
            self.setup.sights.begins(self.slot, lease);
            self.attempt(&order)
        });
        self.setup.sights.ends(self.slot);
        let found = self.folders.look();
        let attempted = attempted.and_then(|(outcome, timing)| self.result(lease, outcome, timing, found));
        let cleaned = self.folders.clean(found);
        if let Err(error) = &cleaned {
            tracing::error!(slot = self.slot, %error, "a slot's folder can't be cleaned up");
        }
        let attempted = attempted.and_then(|kept| self.to_blame(kept));
        self.in_doubt = attempted.is_err() || cleaned.is_err();
        drop(order);
        let next = self.setup.handover.end(self.slot, lease, attempted.map(Box::new));
        let _ = self.setup.worker.cast(WorkerMsg::Ended);
        next
    }

    /// Whether a task can be started here, in folders that are empty: tasks of other slots could have written to them since the last one.
    fn is_fit(&mut self) -> Result<(), MachineFault> {
        if let (Some(name), Some(containers)) = (&self.left_container, self.setup.images.containers()) {
            containers.remove(name)?;
            self.left_container = None;
        }
        if !self.in_doubt && self.folders.look() == Found::NOTHING {
            return Ok(());
        }
        let reset = self.folders.reset();
        let fit = if self.in_doubt { reset.and_then(|()| self.folders.probe(limits::WORKER_DISK_MIN_BYTES)) } else { reset };
        fit.map_err(|error| error.message)
    }

    /// A task that failed on a full disk that was not full by what the task left, for that is gone by now, did nothing wrong.
    fn to_blame(&self, kept: KeptResult) -> Result<KeptResult, MachineFault> {
        let free = if has_failed(&kept.outcome) { self.folders.free_bytes() } else { u64::MAX };
        if free >= limits::WORKER_DISK_MIN_BYTES {
            return Ok(kept);
        }
        Err(format!(
            "{}: the disk is full, {free} bytes are free; the task ended with {}",
            self.folders.slot().display(),
            kept.outcome.describe()
        ))
    }

    fn attempt(&mut self, order: &Order) -> Result<(Outcome, Timing), MachineFault> {
        let started = wall_now();
        let input = self.input_of(order).map_err(|error| error.message)?;
        let outcome = match self.start_of(order, input.as_deref()) {
            Ok(start) => {
                self.sandbox.limit(&order.info.spec.needs).map_err(|error| error.message)?;
                self.run(&start, order)?
            }
            Err(error) => Outcome::SpawnFailed { reason: error.message },
        };
        Ok((self.judge(outcome, order), Timing { started, ended: wall_now() }))
    }

    /// What comes of an attempt that has left this.
    fn result(&mut self, lease: Lease, outcome: Outcome, timing: Timing, found: Found) -> Result<KeptResult, MachineFault> {
        if matches!(outcome, Outcome::Revoked | Outcome::Lost) {
            let (packed, bytes) = (Packed::default(), KeptBytes::Memory(Vec::new()));
            return Ok(KeptResult { outcome, timing, packed, bytes, receipt: None, riding_bytes: 0 });
        }
        let full = has_failed(&outcome) && self.folders.free_bytes() < limits::WORKER_DISK_MIN_BYTES;
        let packed = if full { Err(PackError::Bad { reason: "the disk of its worker is full".into() }) } else { self.pack(lease, found) };
        let (outcome, packed) = match packed {
            Ok(packed) => (outcome, Ok(packed)),
            Err(PackError::Bad { reason }) => {
                let said = self.pack_streams(lease, &reason);
                (if outcome.is_success() { Outcome::OutputMissing { reason } } else { outcome }, said)
            }
            // Perhaps it failed because it has filled the disk itself.
            Err(PackError::Io(error)) if error.kind == ErrorKind::Exhausted && !outcome.is_success() => {
                let said = self.pack_streams(lease, &error.message);
                (outcome, said)
            }
            Err(PackError::Io(error)) => return Err(error.message),
        };
        // What can't even be told without its files comes without a word.
        let (packed, bytes) = packed.unwrap_or_else(|_| (Packed::default(), KeptBytes::Memory(Vec::new())));
        Ok(KeptResult { outcome, timing, packed, bytes, receipt: None, riding_bytes: 0 })
    }

    /// Where the task's chunk is; a small one is written here and now.
    fn input_of(&mut self, order: &Order) -> Result<Option<PathBuf>, Error> {
        match &order.inputs.input {
            None => Ok(None),
            Some(ChunkInput::Kept(pinned)) => Ok(Some(pinned.path.clone())),
            Some(ChunkInput::Small { name, bytes }) => self.folders.put_input(order.lease.job, name, bytes).map(Some),
        }
    }

    fn start_of(&mut self, order: &Order, input: Option<&Path>) -> Result<Start, Error> {
        let Order { lease, info, inputs, .. } = order;
        let spec = &info.spec;
        let text = |path: &Path| path.to_str().map(str::to_owned).ok_or_else(|| Error::invalid("the worker's --dir must be valid UTF-8"));
        let input = input.map(text).transpose()?;
        let with = inputs.with.iter().map(|(name, pinned)| Ok((name.clone(), text(&pinned.path)?))).collect::<Result<Vec<_>, Error>>()?;
        let (output, index, count) = (text(self.folders.out())?, spec.index_of(lease.no), u64::from(info.total));
        let (job, task) = (info.job.to_string(), format!("{}.{index}", info.job));
        let placeholders =
            Placeholders { input: input.as_deref().unwrap_or_default(), output: &output, index, count, job: &job, with: &with };
        // A container has no others, so they are numbered anew.
        let inside = spec.image.as_ref().and(order.gpus.as_ref()).map(|gpus| (0..).take(gpus.len()).collect::<Vec<u32>>());
        let own = TaskVariables {
            job: &job,
            task: &task,
            index,
            count,
            attempt: lease.attempt.0,
            input: input.as_deref(),
            output: &output,
            needs: &spec.needs,
            gpus: inside.as_deref().or(order.gpus.as_deref()),
        };
        let argv: Vec<String> = spec.command.iter().map(|arg| exec::expand(arg, &placeholders)).collect();
        let has_bytes = !matches!(&inputs.input, None | Some(ChunkInput::Kept(Pinned { is_folder: true, .. })));
        let stdin = if exec::uses_input(&spec.command) || !has_bytes { None } else { input.as_ref().map(PathBuf::from) };
        let start = Start {
            program: PathBuf::new(),
            args: Vec::new(),
            env: Vec::new(),
            cwd: self.folders.work().to_owned(),
            stdin,
            stdout: self.folders.stdout().to_owned(),
            stderr: self.folders.stderr().to_owned(),
            timeout_ms: spec.timeout.map(|limit| limit.as_millis() as u64),
            grace_ms: spec.grace.as_millis() as u64,
            stdout_max_bytes: limits::STDOUT_MAX_BYTES,
            stderr_max_bytes: limits::STDERR_MAX_BYTES,
            owner: None,
            grip: None,
        };
        match &spec.image {
            Some(image) => self.in_image(order, image, &argv, &exec::task_env(&[], &spec.env, &own), start),
            None => self.in_place(argv, exec::task_env(&self.inherited, &spec.env, &own), start),
        }
    }

    /// By a program of this machine.
    fn in_place(&mut self, argv: Vec<String>, env: Vec<(String, String)>, start: Start) -> Result<Start, Error> {
        let mut argv = argv.into_iter();
        let name = argv.next().ok_or_else(|| Error::invalid("the command is empty"))?;
        let path = env.iter().chain(&self.inherited).find(|(key, _)| key == "PATH").map_or("", |(_, value)| value.as_str());
        Ok(Start { program: self.programs.find(&name, path)?, args: argv.collect(), env, ..start })
    }

    /// By a program of the image.
    fn in_image(&self, order: &Order, image: &Image, argv: &[String], env: &[(String, String)], start: Start) -> Result<Start, Error> {
        let missing = || Error::unavailable("this worker has no podman or docker");
        let containers = self.setup.images.containers().ok_or_else(missing)?;
        let attempt = Attempt {
            lease: &order.lease,
            image,
            command: argv,
            env,
            writable: [self.folders.work(), self.folders.out()],
            readable: [self.folders.input(), &self.setup.cache_dir],
            owner: self.sandbox.owner(),
            needs: &order.info.spec.needs,
            gpus: order.gpus.as_deref().unwrap_or_default(),
        };
        containers.wrap(&attempt, start)
    }

    /// What the exit code means where it may be the container program's own. Then the image may be gone: the next task looks for it.
    fn judge(&self, outcome: Outcome, order: &Order) -> Outcome {
        let (Some(image), Some(containers)) = (&order.info.spec.image, self.setup.images.containers()) else { return outcome };
        let command = order.info.spec.command.first().map_or("", String::as_str);
        let outcome = containers.verdict(outcome, image, command, self.folders.stderr());
        if matches!(outcome, Outcome::SpawnFailed { .. }) {
            self.setup.images.forget(image);
        }
        outcome
    }

    /// Runs the process by the slot's launcher, which is started when there is none. A launcher that died took its task with it; one that
    /// does not answer is killed, for a task may have stopped it.
    fn run(&mut self, start: &Start, order: &Order) -> Result<Outcome, MachineFault> {
        let container = order.info.spec.image.as_ref().and(self.setup.images.containers());
        let place = Place { launcher: &self.setup.launcher, sandbox: &self.sandbox, dir: self.folders.slot() };
        let launcher = self.launchers.get(container.is_some(), place)?;
        order.stop.arm(launcher.stopper());
        let began = Instant::now();
        let slack = if container.is_some() { LAUNCHER_SLACK + CONTAINER_SLACK } else { LAUNCHER_SLACK };
        let patience = start.timeout_ms.map(|limit| Duration::from_millis(limit.saturating_add(start.grace_ms)) + slack);
        // The time in which the task stands still does not count.
        let is_overdue = || patience.is_some_and(|patience| began.elapsed().saturating_sub(order.stop.stood_still()) >= patience);
        let ended = launcher.run(start, is_overdue);
        match ended {
            Ok(ended) => {
                if ended.leftover > 0 {
                    // Processes that can't be killed stay with this launcher; the next task gets a clean one.
                    self.launchers.give_up(container.is_some());
                    self.folders.abandon_input();
                    self.left_container = container.map(|containers| containers.name(&order.lease));
                }
                ended.fault().map_or_else(|| Ok(ended.outcome()), |fault| Err(fault.to_owned()))
            }
            Err(died) => {
                tracing::error!(slot = self.slot, %died, "the slot's launcher died: its task is lost");
                self.launchers.give_up(container.is_some());
                self.folders.abandon_input();
                exec::adopt_and_kill_orphans(&[]);
                self.left_container = container.map(|containers| containers.name(&order.lease));
                let mut deaths = self.setup.launcher_deaths.lock().unwrap_or_else(PoisonError::into_inner);
                if !deaths.are_too_many(&order.lease) {
                    return Ok(Outcome::Lost);
                }
                let times = limits::LAUNCHER_DEATHS_MAX;
                let reason = format!("the process that watches it was killed {times} times: it kills its parent, or uses up the memory");
                Ok(Outcome::OutputMissing { reason })
            }
        }
    }

    fn writer(&self, lease: Lease) -> ResultWriter {
        let name = format!("{}-{}-{}", lease.job.0, lease.no.0, lease.attempt.0);
        ResultWriter::new(self.setup.results_dir.join(name))
    }

    /// Packs what the task said, and why nothing else.
    fn pack_streams(&mut self, lease: Lease, why: &str) -> Result<(Packed, KeptBytes), PackError> {
        let mut writer = self.writer(lease);
        let left =
            Left { stdout: Some(self.folders.stdout()), stderr: Some(self.folders.stderr()), output: None, owner: self.sandbox.owner() };
        let packed = bundle::pack_streams(&left, why, &mut self.press, &mut writer)?;
        Ok((packed, writer.finish()))
    }

    /// Packs what the task left.
    fn pack(&mut self, lease: Lease, found: Found) -> Result<(Packed, KeptBytes), PackError> {
        let mut writer = self.writer(lease);
        let (stdout, stderr, files) = match found {
            Found::Printed { stdout, stderr } => (stdout, stderr, false),
            Found::More => (true, true, true),
        };
        let left = Left {
            stdout: stdout.then_some(self.folders.stdout()),
            stderr: stderr.then_some(self.folders.stderr()),
            output: files.then_some(self.folders.out()),
            owner: self.sandbox.owner(),
        };
        let packed = bundle::pack(&left, &mut self.press, &mut writer)?;
        let names: usize = packed
            .entries
            .iter()
            .map(|entry| match &entry.kind {
                EntryKind::File(name) => name.len(),
                EntryKind::Stdout | EntryKind::Stderr => 0,
            })
            .sum();
        if names > limits::RESULT_NAMES_MAX_BYTES {
            let reason = format!("the names of its files take {names} bytes, at most {} are allowed", limits::RESULT_NAMES_MAX_BYTES);
            return Err(PackError::Bad { reason });
        }
        Ok((packed, writer.finish()))
    }
}

/// By its own exit, which may be this machine's doing.
fn has_failed(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Exited { code: 1.. } | Outcome::Signalled { .. })
}
