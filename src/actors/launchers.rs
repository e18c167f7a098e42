//! The launchers of one slot: one in its sandbox, and, for tasks that run in an image, one outside of it, since no container program works inside.

use std::path::Path;

use super::handover::MachineFault;
use crate::exec::{Launcher, SlotSandbox, inherited_env};

/// Each is started when a task needs it.
pub struct Launchers {
    /// For tasks of this machine's programs; where there is no sandbox, for all.
    own: Option<Launcher>,
    /// For container programs.
    outside: Option<Launcher>,
    /// Whether there is a sandbox.
    is_confined: bool,
    /// What the first one's tasks find in their environment.
    env: Vec<(String, String)>,
}

/// Where launchers are started, and from what.
pub struct Place<'p> {
    /// The binary.
    pub launcher: &'p Path,
    /// The slot's.
    pub sandbox: &'p SlotSandbox,
    /// The slot's folder.
    pub dir: &'p Path,
}

impl Launchers {
    /// None is started yet.
    pub fn new(is_confined: bool, env: Vec<(String, String)>) -> Self {
        Self { own: None, outside: None, is_confined, env }
    }

    /// The one for a task, started if it is not there. An error is this machine's.
    pub fn get(&mut self, for_container: bool, place: Place<'_>) -> Result<&mut Launcher, MachineFault> {
        let is_outside = self.is_outside(for_container);
        let launcher = if is_outside { &mut self.outside } else { &mut self.own };
        if let Some(launcher) = launcher {
            return Ok(launcher);
        }
        let spawned = if is_outside {
            // The container program finds its own settings by the worker's environment; it gives none of it to the task.
            Launcher::spawn(place.launcher, &[], place.dir, &inherited_env(std::env::vars_os()))
        } else {
            Launcher::spawn(place.launcher, &place.sandbox.launcher_args(), place.dir, &self.env)
        };
        Ok(launcher.insert(spawned.map_err(|error| error.context("a launcher can't be started").message)?))
    }

    /// The next such task gets another one; this one ends, with all below it.
    pub fn give_up(&mut self, for_container: bool) {
        if self.is_outside(for_container) {
            self.outside = None;
        } else {
            self.own = None;
        }
    }

    fn is_outside(&self, for_container: bool) -> bool {
        for_container && self.is_confined
    }
}
