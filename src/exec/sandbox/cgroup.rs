//! Memory, processors and processes of each slot, by cgroup v2, where a part of it is delegated to the worker (`Delegate=yes` of a service).
//!
//! ```text
//! the worker's own/worker/    the worker itself: what has children must have no processes
//!                 /slot-3/    a slot's launcher and all below it
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use crate::domain::Resources;

/// Where the kernel's one tree is, on a machine that has no other.
pub(super) const ROOT: &str = "/sys/fs/cgroup";
/// A share of a processor is given per so many microseconds.
const PERIOD_US: u64 = 100_000;
/// Those without which it is not worth while.
const NEEDED: [&str; 2] = ["memory", "pids"];

/// The part of the tree that is the worker's own.
#[derive(Debug)]
pub(super) struct Cgroups {
    own: PathBuf,
    has_cpu: bool,
}

/// One slot's part.
#[derive(Debug)]
pub(super) struct SlotCgroup {
    dir: PathBuf,
    has_cpu: bool,
    /// Of a task that asks for none.
    mem_bytes: Option<u64>,
    /// As they were set last: mostly the next task's are the same.
    set: Option<(Option<u64>, u32)>,
}

impl Cgroups {
    /// Takes over the part that this process (`pid`) is in, by its `/proc/self/cgroup`; or why that can't be done.
    pub fn take(root: &Path, membership: &str, pid: u32) -> Result<Self, String> {
        let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
        if !root.join("cgroup.controllers").exists() {
            return Err("this machine has no cgroup v2 alone".to_owned());
        }
        let path = membership.lines().find_map(|line| line.strip_prefix("0::/")).ok_or("it is in no cgroup")?;
        let own = root.join(path);
        let controllers = read(&own.join("cgroup.controllers"));
        let has = |name: &str| controllers.split_ascii_whitespace().any(|controller| controller == name);
        if !NEEDED.iter().all(|name| has(name)) {
            return Err("its cgroup has no controllers `memory` and `pids`".to_owned());
        }
        let others = read(&own.join("cgroup.procs")).lines().any(|line| line != pid.to_string());
        if others {
            return Err("other processes are in its cgroup: start it as a service with Delegate=yes".to_owned());
        }
        let has_cpu = has("cpu");
        let inner = own.join("worker");
        let wanted = if has_cpu { "+memory +pids +cpu" } else { "+memory +pids" };
        make(&inner)?;
        write(&inner.join("cgroup.procs"), &pid.to_string())?;
        write(&own.join("cgroup.subtree_control"), wanted)?;
        Ok(Self { own, has_cpu })
    }

    /// A slot's part, for at most so many processes.
    pub fn slot(&self, slot: u32, processes: u64, mem_bytes: Option<u64>) -> Result<SlotCgroup, String> {
        let dir = self.own.join(format!("slot-{slot}"));
        make(&dir)?;
        write(&dir.join("pids.max"), &processes.to_string())?;
        let mut cgroup = SlotCgroup { dir, has_cpu: self.has_cpu, mem_bytes, set: None };
        cgroup.limit(&Resources::default())?;
        Ok(cgroup)
    }
}

impl SlotCgroup {
    /// Where a launcher goes in.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// For the next task: what it asks for is what it gets. No more than a look, if that is as for the last one.
    pub fn limit(&mut self, needs: &Resources) -> Result<(), String> {
        let mem_bytes = Some(needs.mem_bytes).filter(|bytes| *bytes > 0).or(self.mem_bytes);
        if self.set == Some((mem_bytes, needs.cpus)) {
            return Ok(());
        }
        self.set = None;
        write(&self.dir.join("memory.max"), &mem_bytes.map_or("max".to_owned(), |bytes| bytes.to_string()))?;
        // Without it a task that may have 1 GiB takes another from the disk. A kernel without swap accounting has no such file.
        let swap = self.dir.join("memory.swap.max");
        if swap.exists() {
            write(&swap, if mem_bytes.is_some() { "0" } else { "max" })?;
        }
        if self.has_cpu {
            let quota = if needs.cpus == 0 { "max".to_owned() } else { (u64::from(needs.cpus) * PERIOD_US).to_string() };
            write(&self.dir.join("cpu.max"), &format!("{quota} {PERIOD_US}"))?;
        }
        self.set = Some((mem_bytes, needs.cpus));
        Ok(())
    }
}

fn make(dir: &Path) -> Result<(), String> {
    match fs::create_dir(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(format!("{}: {error}", dir.display())),
        _ => Ok(()),
    }
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMBERSHIP: &str = "12:pids:/x\n0::/system.slice/millpond-worker.service\n";

    /// A tree as the kernel shows it, of plain files.
    fn tree(controllers: &str, procs: &str) -> (tempfile::TempDir, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        let own = root.path().join("system.slice/millpond-worker.service");
        fs::create_dir_all(&own).unwrap();
        fs::write(root.path().join("cgroup.controllers"), "cpuset cpu io memory pids\n").unwrap();
        fs::write(own.join("cgroup.controllers"), controllers).unwrap();
        fs::write(own.join("cgroup.procs"), procs).unwrap();
        (root, own)
    }

    #[test]
    fn the_worker_goes_aside_and_each_slot_has_its_limits() {
        let (root, own) = tree("cpu memory pids\n", "42\n");
        let read = |name: &str| fs::read_to_string(own.join(name)).unwrap();
        let cgroups = Cgroups::take(root.path(), MEMBERSHIP, 42).unwrap();
        assert_eq!((read("worker/cgroup.procs"), read("cgroup.subtree_control")), ("42".into(), "+memory +pids +cpu".into()));
        fs::create_dir(own.join("slot-3")).unwrap();
        fs::write(own.join("slot-3/memory.swap.max"), "max").unwrap();
        let mut slot = cgroups.slot(3, 100, Some(1 << 30)).unwrap();
        assert_eq!(slot.dir(), own.join("slot-3"));
        let all = || ["pids.max", "memory.max", "memory.swap.max", "cpu.max"].map(|name| read(&format!("slot-3/{name}")));
        assert_eq!(all(), ["100", "1073741824", "0", "max 100000"]);
        slot.limit(&Resources { cpus: 4, mem_bytes: 1 << 20, ..Resources::default() }).unwrap();
        assert_eq!(all(), ["100", "1048576", "0", "400000 100000"]);
        fs::write(own.join("slot-3/memory.max"), "untouched").unwrap();
        slot.limit(&Resources { cpus: 4, mem_bytes: 1 << 20, ..Resources::default() }).unwrap();
        assert_eq!(all()[1], "untouched", "the same again costs nothing");
        let mut unlimited = cgroups.slot(3, 100, None).unwrap();
        assert_eq!(all()[1..3], ["max", "max"]);
        fs::remove_dir_all(own.join("slot-3")).unwrap();
        assert!(unlimited.limit(&Resources { cpus: 1, ..Resources::default() }).unwrap_err().contains("slot-3/memory.max: "));
    }

    #[test]
    fn what_is_not_delegated_is_left_alone_and_said() {
        let refused = |root: &Path, membership: &str| Cgroups::take(root, membership, 42).unwrap_err();
        let (root, own) = tree("cpu memory pids\n", "42\n43\n");
        assert!(refused(root.path(), MEMBERSHIP).contains("Delegate=yes"));
        assert!(!own.join("worker").exists());
        assert_eq!(refused(root.path(), "1:pids:/x\n"), "it is in no cgroup");
        let (root, _) = tree("cpu\n", "42\n");
        assert!(refused(root.path(), MEMBERSHIP).contains("no controllers"));
        let (root, own) = tree("memory pids\n", "42\n");
        assert!(!Cgroups::take(root.path(), MEMBERSHIP, 42).unwrap().has_cpu);
        assert!(own.join("worker").exists());
        fs::remove_file(root.path().join("cgroup.controllers")).unwrap();
        assert_eq!(refused(root.path(), MEMBERSHIP), "this machine has no cgroup v2 alone");
    }
}
