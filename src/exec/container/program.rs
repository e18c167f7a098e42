//! The container program of this machine: whether it is there, answers, and what it can do.

use std::path::{Path, PathBuf};

use super::super::sandbox::program_in_path;
use super::call::{GiveUp, call};
use crate::limits::CONTAINER_PROBE_TIMEOUT;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Its containers are below the process that runs them.
    Podman,
    /// They are below a daemon.
    Docker,
}

impl Kind {
    /// In the order in which they are looked for.
    pub(super) const ALL: [Self; 2] = [Self::Podman, Self::Docker];

    /// As it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Podman => "podman",
            Self::Docker => "docker",
        }
    }
}

/// One that answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Program {
    pub kind: Kind,
    pub path: PathBuf,
    /// Root inside a container is not root outside, but the worker's user.
    pub rootless: bool,
    /// What it can limit.
    pub limits: Limits,
    /// It has a process for a container's first, which passes signals on and reaps.
    pub init: bool,
}

/// What of a task's needs can be made limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Limits {
    pub memory: bool,
    pub cpus: bool,
}

/// Where podman looks for the first process.
const CATATONIT: [&str; 5] = [
    "/usr/local/libexec/podman/catatonit",
    "/usr/local/lib/podman/catatonit",
    "/usr/libexec/podman/catatonit",
    "/usr/lib/podman/catatonit",
    "/usr/bin/catatonit",
];

impl Program {
    /// The one of this kind, if it is there and answers; or why not.
    pub fn find(kind: Kind) -> Result<Self, String> {
        let name = kind.name();
        let path = program_in_path(name).ok_or_else(|| format!("{name} was not found in PATH"))?;
        let ask = |words: &[&str]| {
            let args: Vec<String> = words.iter().map(ToString::to_string).collect();
            call(&path, &args, CONTAINER_PROBE_TIMEOUT, &GiveUp::default()).and_then(|said| said.success())
        };
        // The daemon's version, where there is a daemon: without it docker is of no use.
        let version = match kind {
            Kind::Podman => "{{.Client.Version}}",
            Kind::Docker => "{{.Server.Version}}",
        };
        ask(&["version", "--format", version]).map_err(|why| format!("{name} does not answer: {why}"))?;
        let about = match kind {
            Kind::Podman => "{{.Host.CgroupControllers}}",
            Kind::Docker => "memory={{.MemoryLimit}} cpu={{.CPUCfsQuota}} {{.SecurityOptions}}",
        };
        // Who does not say has none.
        let about = ask(&["info", "--format", about]).unwrap_or_default();
        Ok(Self::told(kind, path, &about, rustix::process::geteuid().is_root()))
    }

    /// By what it says of itself.
    fn told(kind: Kind, path: PathBuf, about: &str, by_root: bool) -> Self {
        let has = |word: &str| about.split(|c: char| !(c.is_ascii_alphanumeric() || c == '=')).any(|said| said == word);
        match kind {
            Kind::Podman => {
                let limits = Limits { memory: has("memory"), cpus: has("cpu") };
                let init = program_in_path("catatonit").is_some() || CATATONIT.iter().any(|path| Path::new(path).is_file());
                Self { kind, path, rootless: !by_root, limits, init }
            }
            Kind::Docker => {
                let limits = Limits { memory: has("memory=true"), cpus: has("cpu=true") };
                Self { kind, path, rootless: has("name=rootless"), limits, init: true }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_known_by_what_it_says() {
        let told = |kind, about, by_root| {
            let Program { rootless, limits, .. } = Program::told(kind, "/p".into(), about, by_root);
            (rootless, limits.memory, limits.cpus)
        };
        assert_eq!(told(Kind::Podman, "[cpuset cpu io memory pids]\n", true), (false, true, true));
        assert_eq!(told(Kind::Podman, "[memory pids]", false), (true, true, false));
        assert_eq!(told(Kind::Podman, "", false), (true, false, false), "a kernel with cgroups that only root may use");
        let root = "memory=true cpu=true [name=seccomp,profile=builtin name=cgroupns]";
        assert_eq!(told(Kind::Docker, root, false), (false, true, true), "its daemon is root's");
        let own = "memory=false cpu=true [name=seccomp,profile=builtin name=rootless]";
        assert_eq!(told(Kind::Docker, own, false), (true, false, true));
    }
}
