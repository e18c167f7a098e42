//! The sandboxes of a worker's slots: what is asked for, and what this machine has of it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::super::launcher::LAUNCHER_ARG;
use super::bubblewrap::{self, Plan};
use super::cgroup::{self, Cgroups, SlotCgroup};
use super::confinement::{Confinement, Walls};
use super::options::SandboxOptions;
use super::uids::{self, TaskUid};
use super::{metadata, reach};
use crate::domain::{Confines, Error, Resources, Sandbox};
use rustix::fs::Mode;

/// Others may go through, and not look around.
const PASSAGE_MODE: u32 = 0o711;
/// Where programs keep what lets them in elsewhere, in the folder of their user.
const CREDENTIALS: [&str; 7] = [".config/millpond", ".config/gcloud", ".ssh", ".gnupg", ".aws", ".azure", ".kube"];

/// A worker's folders, as far as its sandboxes go by them. All are there, by absolute paths.
#[derive(Clone, Copy, Debug)]
pub struct Places<'p> {
    /// All of the worker's state.
    pub dir: &'p Path,
    /// In it the folders of the slots.
    pub slots: &'p Path,
    /// In it what tasks read.
    pub cache: &'p Path,
    /// The binary that is re-executed as launcher.
    pub launcher: &'p Path,
}

/// What a worker's slots are kept from.
#[derive(Debug)]
pub struct Sandboxes {
    confines: Confines,
    slots: Vec<SlotSandbox>,
}

/// One slot's sandbox. The slot's user is its own while this is held.
#[derive(Debug, Default)]
pub struct SlotSandbox {
    settings: Option<String>,
    uid: Option<TaskUid>,
    cgroup: Option<SlotCgroup>,
    /// Named by the admin; none where nothing is kept from a task.
    env: Option<Vec<String>>,
}

impl SlotSandbox {
    /// The user that the slot's folders belong to; none: the worker's own.
    pub fn owner(&self) -> Option<u32> {
        self.uid.as_ref().map(|uid| uid.uid)
    }

    /// Whether there is a sandbox at all.
    pub fn is_confined(&self) -> bool {
        self.settings.is_some()
    }

    /// What its launcher is told, in its arguments.
    pub fn launcher_args(&self) -> Vec<&str> {
        self.settings.iter().map(String::as_str).collect()
    }

    /// What tasks find of the worker's environment; `home` is the folder that they work in.
    pub fn env(&self, inherited: Vec<(String, String)>, home: &Path) -> Vec<(String, String)> {
        match &self.env {
            Some(named) => reach::clean(inherited, named, home),
            None => inherited,
        }
    }

    /// Before a task: what it asks for is what it gets, where that can be had.
    ///
    /// # Errors
    /// Those of the file system; then the task has another one's limits.
    pub fn limit(&mut self, needs: &Resources) -> Result<(), Error> {
        self.cgroup.as_mut().map_or(Ok(()), |cgroup| cgroup.limit(needs)).map_err(Error::internal)
    }
}

impl Sandboxes {
    /// Sees to it that slots can be kept from what the profile says, and tries it once.
    ///
    /// # Errors
    /// If the profile can't be had at all: then no task may start. What it promises besides, and is not kept, is in [`Self::confines`].
    pub fn prepare(options: &SandboxOptions, places: Places<'_>, slots: u32) -> Result<Self, Error> {
        if options.sandbox == Sandbox::None {
            if options.net {
                return Err(Error::invalid("--sandbox-net needs --sandbox basic or strict"));
            }
            let slots = (0..slots).map(|_| SlotSandbox::default()).collect();
            return Ok(Self { confines: Confines::default(), slots });
        }
        let by_root = rustix::process::geteuid().is_root();
        let mut gaps = Vec::new();
        let uids = if by_root { Some(open_to_others(places).and_then(|()| uids::take(options.uids.as_ref(), slots))?) } else { None };
        if options.net {
            close_metadata(options, by_root)?;
        }
        if !by_root {
            gaps.push(match options.sandbox {
                Sandbox::Strict => "tasks have the worker's own user, and can read what it can read outside its --dir: start it as root",
                Sandbox::None | Sandbox::Basic => {
                    "tasks have the worker's own user: they can read what it can read, and trace and signal each other: start it as root"
                }
            }
            .to_owned());
        }
        let cgroups =
            Cgroups::take(Path::new(cgroup::ROOT), &fs::read_to_string("/proc/self/cgroup").unwrap_or_default(), std::process::id());
        if let Err(why) = &cgroups {
            gaps.push(format!("the memory and the processors that a task asks for are no limits: {why}"));
            if options.mem_bytes.is_some() {
                gaps.push("--task-mem limits each process of a task for itself, by its address space".to_owned());
            }
            if !by_root {
                gaps.push("processes are not counted".to_owned());
            }
        }
        let builder = Builder { options, places, by_root, cgroups: cgroups.ok() };
        let walls = match options.sandbox {
            Sandbox::Strict => builder.strongest(uids.as_ref().and_then(|uids| uids.first()), &mut gaps)?,
            Sandbox::None | Sandbox::Basic => Strength::NoWalls,
        };
        let mut uids = uids.map(Vec::into_iter);
        let slots = (0..slots).map(|slot| builder.slot(slot, uids.as_mut().and_then(Iterator::next), walls)).collect::<Result<_, _>>()?;
        let sandboxes = Self { confines: Confines { sandbox: options.sandbox, gaps }, slots };
        if let (Strength::NoWalls, Some(settings)) = (walls, sandboxes.slots.first().and_then(|slot| slot.settings.as_ref())) {
            try_out(places.launcher, settings, places.dir)
                .map_err(|why| Error::unavailable(format!("--sandbox {}: {why}", options.sandbox)))?;
        }
        Ok(sandboxes)
    }

    /// What is kept, and what is not.
    pub fn confines(&self) -> &Confines {
        &self.confines
    }

    /// One for each slot.
    pub fn into_slots(self) -> Vec<SlotSandbox> {
        self.slots
    }
}

/// Users who own nothing must reach the slots' folders and the inputs.
fn open_to_others(places: Places<'_>) -> Result<(), Error> {
    if let Some(closed) = places.dir.parent().and_then(reach::closed_on_the_way) {
        let (closed, dir) = (closed.display(), places.dir.display());
        return Err(Error::denied(format!(
            "tasks run as users of their own, who can't reach {dir}: {closed} is closed to others: chmod o+x it, choose another --dir, or use --sandbox none"
        )));
    }
    // What others read, inputs, is made by this process.
    let mask = rustix::process::umask(Mode::empty());
    rustix::process::umask(mask - (Mode::RGRP | Mode::XGRP | Mode::ROTH | Mode::XOTH));
    [places.dir, places.slots, places.cache].iter().try_for_each(|folder| {
        fs::set_permissions(folder, fs::Permissions::from_mode(PASSAGE_MODE)).map_err(|error| Error::io(folder, &error))
    })
}

fn close_metadata(options: &SandboxOptions, by_root: bool) -> Result<(), Error> {
    if !by_root {
        return Err(Error::denied("--sandbox-net closes the metadata address to the users of tasks, which takes root"));
    }
    let range = uids::range(options.uids.as_ref(), &fs::read_to_string("/proc/self/uid_map").unwrap_or_default())?;
    metadata::close(&range)
}

/// What walls are built of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strength {
    NoWalls,
    Namespaces,
    Landlock,
}

struct Builder<'b> {
    options: &'b SandboxOptions,
    places: Places<'b>,
    by_root: bool,
    cgroups: Option<Cgroups>,
}

impl Builder<'_> {
    fn slot(&self, slot: u32, uid: Option<TaskUid>, strength: Strength) -> Result<SlotSandbox, Error> {
        let cgroup = self.cgroups.as_ref().map(|cgroups| cgroups.slot(slot, self.options.processes, self.options.mem_bytes));
        let cgroup = cgroup.transpose().map_err(Error::internal)?;
        let confinement = self.confinement(slot, uid.as_ref(), cgroup.as_ref(), strength)?;
        Ok(SlotSandbox { settings: Some(confinement.argument()?), uid, cgroup, env: Some(self.options.env.clone()) })
    }

    fn confinement(&self, slot: u32, uid: Option<&TaskUid>, cgroup: Option<&SlotCgroup>, strength: Strength) -> Result<Confinement, Error> {
        let folder = self.places.slots.join(format!("slot-{slot}"));
        Ok(Confinement {
            uid: uid.map(|uid| uid.uid),
            lock: uid.map(|uid| uid.launcher_lock.clone()),
            cgroup: cgroup.map(|cgroup| cgroup.dir().to_owned()),
            // Those of the worker's own user are not only tasks.
            processes: uid.map(|_| self.options.processes),
            file_bytes: self.options.file_bytes,
            memory_bytes: self.options.mem_bytes.filter(|_| cgroup.is_none()),
            walls: self.walls(&folder, strength)?,
        })
    }

    fn walls(&self, folder: &Path, strength: Strength) -> Result<Walls, Error> {
        Ok(match strength {
            Strength::NoWalls => Walls::None,
            Strength::Landlock => Walls::Landlock { writable: vec![folder.to_owned()], net: self.options.net },
            Strength::Namespaces => {
                let hidden = if self.by_root { Vec::new() } else { credentials() };
                let Places { dir, cache, .. } = self.places;
                let plan =
                    Plan { by_root: self.by_root, net: self.options.net, worker: dir, slot: folder, readable: cache, hidden: &hidden };
                let told = plan.arguments().ok_or_else(|| Error::invalid("the worker's --dir must be valid UTF-8"))?;
                let program = reach::program(bubblewrap::PROGRAM).unwrap_or_else(|| PathBuf::from(bubblewrap::PROGRAM));
                Walls::Bubblewrap { program, told }
            }
        })
    }

    /// The strongest walls that this machine can build, tried out for the first slot.
    fn strongest(&self, uid: Option<&TaskUid>, gaps: &mut Vec<String>) -> Result<Strength, Error> {
        let folder = self.places.slots.join("slot-0");
        fs::create_dir_all(&folder).map_err(|error| Error::io(&folder, &error))?;
        let tried = |strength| {
            let settings = self.confinement(0, uid, None, strength).and_then(|confinement| confinement.argument());
            settings.map_err(|error| error.message).and_then(|settings| try_out(self.places.launcher, &settings, self.places.dir))
        };
        let why = match reach::program(bubblewrap::PROGRAM) {
            None => "bwrap is missing: install bubblewrap".to_owned(),
            Some(_) => match tried(Strength::Namespaces) {
                Ok(()) => return Ok(Strength::Namespaces),
                Err(why) => why,
            },
        };
        tried(Strength::Landlock).map_err(|second| {
            Error::unavailable(format!("--sandbox strict can't be had here: {why}; nor instead of it: {second}; use --sandbox basic"))
        })?;
        gaps.push(format!(
            "the system is closed by Landlock alone ({why}): /tmp can't be written to, processes of others are seen, of the network only TCP is closed"
        ));
        Ok(Strength::Landlock)
    }
}

/// Those that there are, of the worker's own user.
fn credentials() -> Vec<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    let paths = home.iter().flat_map(|home| CREDENTIALS.map(|name| home.join(name)));
    paths.filter_map(|path| fs::canonicalize(path).ok()).filter(|path| path.is_dir()).collect()
}

/// Starts a launcher that has nothing to do; or why it does not start, in one line.
fn try_out(launcher: &Path, settings: &str, dir: &Path) -> Result<(), String> {
    let mut command = Command::new(launcher);
    command.args([LAUNCHER_ARG, settings]).current_dir(dir).env_clear().stdin(Stdio::null());
    let output = command.output().map_err(|error| format!("{}: {error}", launcher.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it says nothing").trim();
    if output.status.success() { Ok(()) } else { Err(last.trim_start_matches("launcher: ").to_owned()) }
}
