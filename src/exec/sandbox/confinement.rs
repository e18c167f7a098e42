//! What one launcher enters, once, before it takes an order; all that it starts stays in it.

use std::collections::BTreeSet;
use std::ffi::{CString, OsString};
use std::fs::{self, File};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Gid, Pid, Uid, setgroups, setresgid, setresuid};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit, setsid};
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_no_new_privs};
use serde::{Deserialize, Serialize};

use super::super::launcher::LAUNCHER_ARG;
use super::super::trash;
use super::{bubblewrap, landlock, uids};
use crate::domain::Error;
use crate::limits::TASK_OPEN_FILES_MAX;

/// Descriptors below this are the launcher's way to its worker.
const FIRST_OTHER: RawFd = 3;

/// A slot's sandbox, as its launcher is told of it in its arguments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Confinement {
    /// The user and group to become; none: stay the worker's.
    pub uid: Option<u32>,
    /// Held as long as processes of that user may live.
    pub lock: Option<PathBuf>,
    /// The folder of the cgroup to go into.
    pub cgroup: Option<PathBuf>,
    /// Processes and threads of that user; none: any number, or the cgroup counts them.
    pub processes: Option<u64>,
    /// The largest file, in bytes.
    pub file_bytes: Option<u64>,
    /// Address space of a process, in bytes.
    pub memory_bytes: Option<u64>,
    /// What is around it.
    pub walls: Walls,
}

/// What stands between a slot and the rest of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Walls {
    /// Nothing.
    None,
    /// `bwrap` is told this.
    Bubblewrap { program: PathBuf, told: Vec<String> },
    /// Nothing else can be written to.
    Landlock { writable: Vec<PathBuf>, net: bool },
}

/// What a launcher that is in its sandbox goes by.
#[derive(Debug, Default)]
pub(in crate::exec) struct Confined {
    /// Descriptors that tasks don't get.
    pub closed_to_tasks: Vec<RawFd>,
    /// Folders outside the slot's that a task may have left something in, and what is there of itself.
    private: Vec<(PathBuf, BTreeSet<CString>)>,
    alone: Option<Alone>,
    _lock: Option<File>,
}

/// Why there is nobody but tasks that this process could hit by a signal to all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Alone {
    /// The user is the slot's own.
    User(u32),
    /// It is the first of its own processes.
    First,
}

/// Enters the sandbox that the arguments of this process name, if they do: `__launcher [SETTINGS [inside LOCK]]`. Where that takes another program
/// around this one, it does not return: this process becomes that.
///
/// # Errors
/// If any part of it can't be had: then nothing may be started.
pub(in crate::exec) fn enter(arguments: impl IntoIterator<Item = OsString>) -> Result<Confined, Error> {
    let arguments: Vec<String> = arguments.into_iter().skip(2).map(|text| text.to_string_lossy().into_owned()).collect();
    let Some(settings) = arguments.first() else { return Ok(Confined::default()) };
    let confinement: Confinement =
        serde_json::from_str(settings).map_err(|error| Error::internal(format!("a launcher's sandbox `{settings}`: {error}")))?;
    // Whatever the worker, or who started it, has left open.
    let lock_inside = arguments.get(2).map(|number| number.parse::<RawFd>().unwrap_or(-1));
    close_others(lock_inside)?;
    match (&confinement.walls, lock_inside) {
        (Walls::Bubblewrap { .. }, Some(lock)) => confinement.enter_inside(lock),
        (Walls::Bubblewrap { program, told }, None) => Err(confinement.become_wrapped(program, told, settings)),
        (Walls::None | Walls::Landlock { .. }, _) => confinement.enter_here(),
    }
}

impl Confinement {
    /// As an argument of a launcher.
    pub fn argument(&self) -> Result<String, Error> {
        serde_json::to_string(self).map_err(|error| Error::internal(format!("a launcher can't be told its sandbox: {error}")))
    }

    fn enter_here(&self) -> Result<Confined, Error> {
        let lock = self.begin()?;
        self.give_up_rights()?;
        if let Walls::Landlock { writable, net } = &self.walls {
            landlock::raise(writable, *net)?;
        }
        let alone = self.uid.map(Alone::User);
        Ok(Confined { closed_to_tasks: Vec::new(), private: Vec::new(), alone, _lock: lock })
    }

    /// What has to be done outside; the lock stays open.
    fn begin(&self) -> Result<Option<File>, Error> {
        // A task can't type into the terminal that its worker was started from.
        setsid().map_err(|errno| Error::internal(format!("a launcher gets no session of its own: {errno}")))?;
        if let Some(cgroup) = &self.cgroup {
            let procs = cgroup.join("cgroup.procs");
            fs::write(&procs, "0").map_err(|error| Error::io(&procs, &error))?;
        }
        self.lock.as_deref().map(uids::hold).transpose()
    }

    /// `bwrap` around the same binary, which then goes on in [`Self::enter_inside`].
    fn become_wrapped(&self, program: &Path, told: &[String], settings: &str) -> Error {
        let begun = || {
            let lock = self.begin()?;
            // By its descriptor, so that it is the running one, wherever its file is by then.
            let binary = File::open("/proc/self/exe").map_err(|error| Error::io("/proc/self/exe", &error))?;
            for file in lock.iter().chain([&binary]) {
                fcntl_setfd(file, FdFlags::empty())
                    .map_err(|errno| Error::internal(format!("a descriptor can't be passed on: {errno}")))?;
            }
            Ok((lock, binary))
        };
        let (lock, binary) = match begun() {
            Ok(begun) => begun,
            Err(error) => return error,
        };
        let lock = lock.as_ref().map_or(-1, AsRawFd::as_raw_fd).to_string();
        let binary = format!("/proc/self/fd/{}", binary.as_raw_fd());
        let mut command = Command::new(program);
        command.args(told).args(["--", &binary, LAUNCHER_ARG, settings, "inside", &lock]);
        Error::io(program, &command.exec())
    }

    fn enter_inside(&self, lock: RawFd) -> Result<Confined, Error> {
        self.give_up_rights()?;
        let private = bubblewrap::PRIVATE.iter().map(PathBuf::from);
        let private = private.filter_map(|folder| trash::names_in(&folder).ok().map(|names| (folder, names))).collect();
        let closed_to_tasks = [lock].into_iter().filter(|lock| *lock >= FIRST_OTHER).collect();
        let alone = (std::process::id() == 1).then_some(Alone::First);
        Ok(Confined { closed_to_tasks, private, alone, _lock: None })
    }

    fn give_up_rights(&self) -> Result<(), Error> {
        let failed =
            |what: &str, error: &dyn std::fmt::Display| Error::internal(format!("a launcher can't enter its sandbox: {what}: {error}"));
        let limits = [
            (Resource::Core, Some(0)),
            (Resource::Nofile, Some(TASK_OPEN_FILES_MAX)),
            (Resource::Nproc, self.processes),
            (Resource::Fsize, self.file_bytes),
            (Resource::As, self.memory_bytes),
        ];
        for (resource, limit) in limits.into_iter().filter_map(|(resource, limit)| Some((resource, limit?))) {
            lower(resource, limit).map_err(|errno| failed("a limit", &errno))?;
        }
        if let Some(uid) = self.uid {
            setgroups(&[]).map_err(|errno| failed("its groups", &errno))?;
            let gid = Gid::from_raw(uid);
            setresgid(gid, gid, gid).map_err(|errno| failed("its group", &errno))?;
            let uid = Uid::from_raw(uid);
            setresuid(uid, uid, uid).map_err(|errno| failed("its user", &errno))?;
            // They go with the user, unless somebody has told the kernel otherwise.
            let nothing = CapabilitySets {
                effective: CapabilitySet::empty(),
                permitted: CapabilitySet::empty(),
                inheritable: CapabilitySet::empty(),
            };
            set_capabilities(None, nothing).map_err(|errno| failed("its capabilities", &errno))?;
        }
        set_no_new_privs(true).map_err(|errno| failed("no new privileges", &errno))?;
        // Nor can a task look into its launcher, which has the same user.
        set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(|errno| failed("its memory", &errno))
    }
}

impl Confined {
    /// Removes what a task has left in its private folders outside the slot's; whether nothing is left.
    pub fn empty_private(&self) -> bool {
        self.private.iter().all(|(folder, before)| trash::empty_folder(folder, before).is_ok())
    }

    /// KILL to everything that a task can have started, in one stroke: a fork bomb can't outrun that. Nothing, where others could be hit.
    pub fn kill_all(&self) {
        let is_alone = match self.alone {
            None => false,
            Some(Alone::First) => std::process::id() == 1,
            // Whoever may signal others would hit them as well.
            Some(Alone::User(uid)) => {
                uid != 0
                    && rustix::process::getuid().as_raw() == uid
                    && rustix::process::geteuid().as_raw() == uid
                    && capabilities(None).is_ok_and(|sets| sets.effective.is_empty())
            }
        };
        if is_alone {
            // It fails where there is nobody.
            let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
        }
    }
}

/// Both limits, unless they are lower already.
fn lower(resource: Resource, to: u64) -> rustix::io::Result<()> {
    let Rlimit { current, maximum } = getrlimit(resource);
    let least = |limit: Option<u64>| Some(limit.map_or(to, |limit| limit.min(to)));
    setrlimit(resource, Rlimit { current: least(current), maximum: least(maximum) })
}

/// All descriptors but the first three, and `but`.
fn close_others(but: Option<RawFd>) -> Result<(), Error> {
    let folder = "/proc/self/fd";
    let open = fs::read_dir(folder).map_err(|error| Error::io(folder, &error))?;
    let open: Vec<RawFd> = open.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for descriptor in open.into_iter().filter(|descriptor| *descriptor >= FIRST_OTHER && Some(*descriptor) != but) {
        // That of the folder itself is closed by now.
        let _ = nix::unistd::close(descriptor);
    }
    Ok(())
}
