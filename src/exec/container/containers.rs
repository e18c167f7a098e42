//! What a worker runs images by: found once, at its start.

use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use rustix::process::{Resource, getegid, geteuid, getrlimit};

use super::super::printed::open_printed;
use super::super::protocol::Start;
use super::super::sandbox::SandboxOptions;
use super::arguments::{self, Confined, Run};
use super::call::{GiveUp, Said, call, last_line};
use super::options::ContainerChoice;
use super::program::{Kind, Program};
use super::verdict::{is_own, own_words};
use crate::domain::wire::Lease;
use crate::domain::{Error, Image, Outcome, Resources, Sandbox};
use crate::limits::{self, CONTAINER_CALL_TIMEOUT, CONTAINER_SAID_MAX_BYTES, IMAGE_PULL_TIMEOUT};

/// The container program, and what all containers of this worker have in common.
#[derive(Debug)]
pub struct Containers {
    program: Program,
    /// The worker's.
    key: String,
    host: String,
    dir: PathBuf,
    net: bool,
    confined: Option<Confined>,
}

/// One attempt, as its container is told of it.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// Which.
    pub lease: &'a Lease,
    /// What it runs in.
    pub image: &'a Image,
    /// The argument vector, expanded.
    pub command: &'a [String],
    /// All that it finds in its environment, besides the image's own.
    pub env: &'a [(String, String)],
    /// The folders that it may write to: that it works in, and its output's.
    pub writable: [&'a Path; 2],
    /// Those that it may read.
    pub readable: [&'a Path; 2],
    /// The slot's user; none: the worker's own.
    pub owner: Option<u32>,
    /// What it asks for.
    pub needs: &'a Resources,
    /// The graphics processors that are its own.
    pub gpus: &'a [u32],
}

impl Containers {
    /// The container program that the admin's word and the machine allow; none if there is none, or if it is not wanted. `dir` is the worker's folder,
    /// `key` its name for itself. Removes what an earlier start has left. Blocks for some seconds, mostly for a tenth of one.
    ///
    /// # Errors
    /// If one was asked for by its name and can't be used.
    pub fn find(choice: ContainerChoice, sandbox: &SandboxOptions, dir: &Path, key: &str, host: &str) -> Result<Option<Self>, Error> {
        let is_open = sandbox.sandbox == Sandbox::None;
        let found = match choice {
            ContainerChoice::Off => return Ok(None),
            ContainerChoice::Auto if !is_open => {
                tracing::info!(sandbox = %sandbox.sandbox, "no images are run: the container program would be outside of the sandbox; --containers podman allows it");
                return Ok(None);
            }
            ContainerChoice::This(kind) => Program::find(kind).map_err(|why| format!("--containers {}: {why}", kind.name())),
            ContainerChoice::Auto => first().ok_or_else(String::new),
        };
        let usable = found.and_then(|program| {
            if !arguments::can_be_said(dir) {
                return Err(format!(
                    "images can't be run from {}: a container program can't be told a path with `:` or `,`",
                    dir.display()
                ));
            }
            let containers = Self {
                program,
                key: key.to_owned(),
                host: host.to_owned(),
                dir: dir.to_owned(),
                net: sandbox.sandbox != Sandbox::Strict || sandbox.net,
                confined: (!is_open).then(|| confined(sandbox)),
            };
            containers.remove_leftovers().map(|()| containers)
        });
        match (usable, choice) {
            (Ok(containers), _) => {
                containers.tell();
                Ok(Some(containers))
            }
            (Err(why), ContainerChoice::This(_)) => Err(Error::unavailable(why)),
            (Err(why), _) => {
                if !why.is_empty() {
                    tracing::warn!("no images are run: {why}");
                }
                Ok(None)
            }
        }
    }

    fn tell(&self) {
        let Program { kind, path, rootless, limits, init } = &self.program;
        tracing::info!(program = %path.display(), rootless, "images are run");
        if !limits.memory {
            tracing::warn!("{} can't limit memory here: what a task in an image asks for is no limit", kind.name());
        }
        if !init {
            tracing::warn!("podman has no catatonit: a task in an image is the first process of its container, and may not heed TERM");
        }
    }

    /// What this worker has left when it died: containers of docker, and what podman keeps of its own.
    fn remove_leftovers(&self) -> Result<(), String> {
        let listed = self.call(&arguments::list(&self.key)).and_then(Said::success)?;
        let left: Vec<&str> = listed.split_whitespace().collect();
        if left.is_empty() {
            return Ok(());
        }
        tracing::info!(containers = left.len(), "removing what an earlier start has left");
        self.remove_all(&left)
    }

    fn remove_all(&self, names: &[&str]) -> Result<(), String> {
        let said = self.call(&arguments::remove(names))?;
        let is_missing = || said.err.to_lowercase().contains("no such container") || said.err.contains("no container with name or ID");
        if said.is_success || is_missing() {
            return Ok(());
        }
        let why = last_line(&said.err).unwrap_or("it says nothing");
        Err(format!("containers that were left can't be removed by {}: {why}", self.program.path.display()))
    }

    fn call(&self, args: &[String]) -> Result<Said, String> {
        call(&self.program.path, args, CONTAINER_CALL_TIMEOUT, &GiveUp::default())
            .map_err(|why| format!("{}: {why}", self.program.kind.name()))
    }

    /// Sees to it that an image is here. Blocks, for an hour at most, or until the answer is not wanted.
    ///
    /// # Errors
    /// `NotFound`, with what the container program says, if it can't be had.
    pub fn fetch(&self, image: &Image, give_up: &GiveUp) -> Result<(), Error> {
        let (name, program) = (image.as_str(), self.program.kind.name());
        if self.call(&arguments::look_for(name)).is_ok_and(|said| said.is_success) {
            return Ok(());
        }
        tracing::info!(image = name, "fetching an image");
        let pulled = call(&self.program.path, &arguments::pull(name), IMAGE_PULL_TIMEOUT, give_up).and_then(Said::success);
        let refused = |why: String| {
            let why = why.trim_start_matches("Error: ");
            Error::not_found(format!("image {image} can't be pulled on {} by {program}: {why}", self.host))
        };
        pulled.map(drop).map_err(refused)
    }

    /// What a container of this attempt is called.
    pub fn name(&self, lease: &Lease) -> String {
        let Lease { job, no, attempt, epoch } = lease;
        format!("millpond-{}-{job}-{}-{}-{}", self.key, no.0, epoch.0, attempt.0)
    }

    /// Makes the start of a container of a task's: `start` has its files and limits already.
    ///
    /// # Errors
    /// `Invalid` for a folder whose name is not UTF-8.
    pub fn wrap(&self, attempt: &Attempt<'_>, start: Start) -> Result<Start, Error> {
        let name = self.name(attempt.lease);
        let text = |path: &Path| path.to_str().map(str::to_owned).ok_or_else(|| Error::invalid("the worker's --dir must be valid UTF-8"));
        let [work, out] = attempt.writable.map(text);
        let (work, out) = (work?, out?);
        let readable = attempt.readable.into_iter().map(text).collect::<Result<Vec<_>, _>>()?;
        let user = self.user(attempt.owner);
        let mut env = attempt.env.to_vec();
        if user.0 != 0 && env.iter().all(|(name, _)| name != "HOME") {
            // Who has no name inside has a home that he can't write to.
            env.push(("HOME".to_owned(), work.clone()));
        }
        let run = Run {
            program: &self.program,
            name: &name,
            worker_key: &self.key,
            image: attempt.image.as_str(),
            command: attempt.command,
            env: &env,
            writable: [&work, &out],
            readable: &readable.iter().map(String::as_str).collect::<Vec<_>>(),
            stdin: start.stdin.is_some(),
            user,
            net: self.net,
            needs: attempt.needs,
            gpus: attempt.gpus,
            confined: self.confined.as_ref(),
        };
        Ok(Start {
            program: self.program.path.clone(),
            args: run.arguments(),
            // The container program's own, as its launcher has it: a job's variables are none of it.
            env: Vec::new(),
            // Where no task can put anything.
            cwd: self.dir.clone(),
            owner: attempt.owner,
            grip: Some(arguments::grip(self.program.kind, &name)),
            ..start
        })
    }

    /// Whose files a task writes: root inside is the worker's own user, where the container program runs without root's rights.
    fn user(&self, owner: Option<u32>) -> (u32, u32) {
        match owner {
            _ if self.program.rootless => (0, 0),
            Some(uid) => (uid, uid),
            None => (geteuid().as_raw(), getegid().as_raw()),
        }
    }

    /// Removes the container of an attempt, if it is there. Blocks, for half a minute at most.
    ///
    /// # Errors
    /// Why it may be there still, in one line.
    pub fn remove(&self, name: &str) -> Result<(), String> {
        self.remove_all(&[name])
    }

    /// What an attempt came to, where the container program has failed itself, by its exit code and what is in `stderr`; otherwise as it was.
    pub fn verdict(&self, outcome: Outcome, image: &Image, command: &str, stderr: &Path) -> Outcome {
        let Outcome::Exited { code } = outcome else { return outcome };
        if !is_own(code) {
            return outcome;
        }
        match own_words(self.program.kind, code, &end_of(stderr)) {
            Some(said) => {
                Outcome::SpawnFailed { reason: format!("{} could not run `{command}` in {image}: {said}", self.program.kind.name()) }
            }
            None => outcome,
        }
    }
}

/// A sandbox's limits, as far as this process may give them.
fn confined(sandbox: &SandboxOptions) -> Confined {
    let may = |resource| getrlimit(resource).maximum.unwrap_or(u64::MAX);
    // Those of the worker's own user are not only tasks.
    let user_processes = if geteuid().is_root() { sandbox.processes } else { limits::CONTAINER_USER_PROCESSES_MAX };
    Confined {
        processes: sandbox.processes,
        user_processes: user_processes.min(may(Resource::Nproc)),
        open_files: limits::TASK_OPEN_FILES_MAX.min(may(Resource::Nofile)),
        file_bytes: sandbox.file_bytes,
        mem_bytes: sandbox.mem_bytes,
    }
}

/// The first that is there; why one is not is only of interest where its name was said.
fn first() -> Option<Program> {
    Kind::ALL.into_iter().find_map(|kind| Program::find(kind).map_err(|why| tracing::debug!("{why}")).ok())
}

/// The end of a file that a task could have put anything in the place of; nothing if it can't be read.
fn end_of(path: &Path) -> String {
    let mut bytes = Vec::new();
    let mut read = || -> std::io::Result<()> {
        let Some(mut file) = open_printed(path, None)? else { return Ok(()) };
        let len = file.metadata()?.len();
        file.seek(SeekFrom::Start(len.saturating_sub(CONTAINER_SAID_MAX_BYTES as u64)))?;
        file.take(CONTAINER_SAID_MAX_BYTES as u64).read_to_end(&mut bytes).map(drop)
    };
    // What can't be read says nothing.
    let _ = read();
    String::from_utf8_lossy(&bytes).into_owned()
}
