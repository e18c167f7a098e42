//! Walls by `bwrap`: the launcher, and all that it starts, in namespaces of its own. Here is decided what stands inside.

use std::fs;
use std::path::{Path, PathBuf};

use crate::limits::TASK_TMP_MAX_BYTES;

/// The program.
pub(super) const PROGRAM: &str = "bwrap";

/// Folders of its own that all may write to, in memory, emptied after each task.
pub(super) const PRIVATE: [&str; 3] = ["/tmp", "/var/tmp", "/dev/shm"];
/// What graphics processors are used by, as their names begin.
const DEVICES: [&str; 3] = ["nvidia", "dri", "kfd"];
/// Where names of machines are looked up.
const RESOLVER: &str = "/run/systemd/resolve";

/// What a slot's walls are built of.
pub(super) struct Plan<'p> {
    /// Started by root: then the launcher takes its user inside.
    pub by_root: bool,
    /// The machine's network stays.
    pub net: bool,
    /// The worker's folder, which is not seen.
    pub worker: &'p Path,
    /// In it the slot's own, the only one that can be written to.
    pub slot: &'p Path,
    /// In it what can be read: inputs.
    pub readable: &'p Path,
    /// Folders besides that are not seen.
    pub hidden: &'p [PathBuf],
}

impl Plan<'_> {
    /// What `bwrap` is told, up to the command.
    pub fn arguments(&self) -> Option<Vec<String>> {
        let mut told = Told(Vec::new());
        told.say(["--die-with-parent", "--new-session", "--as-pid-1", "--unshare-pid", "--unshare-ipc", "--unshare-uts"]);
        if self.by_root {
            // No more than it takes to become another user.
            told.say(["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]);
        } else {
            told.say(["--unshare-user"]);
        }
        if !self.net {
            told.say(["--unshare-net"]);
        }
        told.say(["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"]);
        for device in devices() {
            told.say(["--dev-bind-try", &device, &device]);
        }
        for folder in PRIVATE.iter().filter(|folder| **folder == "/dev/shm" || Path::new(folder).is_dir()) {
            told.say(["--perms", "1777", "--size", &TASK_TMP_MAX_BYTES.to_string(), "--tmpfs", folder]);
        }
        // Sockets of services, above all: one that is not seen can't be spoken to.
        if Path::new("/run").is_dir() {
            told.say(["--tmpfs", "/run"]);
            if self.net {
                told.say(["--ro-bind-try", RESOLVER, RESOLVER]);
            }
        }
        for hidden in self.hidden.iter().filter(|hidden| hidden.is_dir()) {
            told.say(["--perms", "0711", "--tmpfs", hidden.to_str()?]);
        }
        told.say(["--perms", "0711", "--tmpfs", self.worker.to_str()?]);
        told.say(["--perms", "0711", "--dir", self.slot.parent()?.to_str()?]);
        let (slot, readable) = (self.slot.to_str()?, self.readable.to_str()?);
        // The slot is closed to root without its capabilities, and each task goes to its own folder anyway.
        told.say(["--bind", slot, slot, "--ro-bind", readable, readable, "--chdir", "/"]);
        Some(told.0)
    }
}

struct Told(Vec<String>);

impl Told {
    fn say<const N: usize>(&mut self, words: [&str; N]) {
        self.0.extend(words.map(str::to_owned));
    }
}

fn devices() -> Vec<String> {
    let names = fs::read_dir("/dev").into_iter().flatten().flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| DEVICES.iter().any(|device| name.starts_with(device))).collect();
    names.sort();
    names.into_iter().map(|name| format!("/dev/{name}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hidden_is_hidden_before_the_slot_is_put_into_it() {
        let paths = ["/tmp/w", "/tmp/w/slots/slot-0", "/tmp/w/cache"].map(Path::new);
        let plan = Plan { by_root: true, net: false, worker: paths[0], slot: paths[1], readable: paths[2], hidden: &[] };
        let told = plan.arguments().unwrap().join(" ");
        let at = |words: &str| told.find(words).unwrap_or_else(|| panic!("`{words}` is missing in {told}"));
        assert!(at("--ro-bind / /") < at("--tmpfs /tmp ") && at("--tmpfs /tmp ") < at("--tmpfs /tmp/w "));
        assert!(at("--tmpfs /tmp/w ") < at("--bind /tmp/w/slots/slot-0 /tmp/w/slots/slot-0 --ro-bind /tmp/w/cache /tmp/w/cache"));
        assert!(told.contains("--unshare-net") && told.contains("--cap-add CAP_SETUID") && !told.contains("--unshare-user"));
        let told = Plan { by_root: false, net: true, ..plan }.arguments().unwrap().join(" ");
        assert!(!told.contains("--unshare-net") && !told.contains("--cap-add") && told.contains("--unshare-user"));
    }
}
