//! This process, as the kernel shows it: what every program's figures begin with.

use std::fs;

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

/// What it takes of its machine.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Process {
    /// Memory, in bytes.
    pub resident_bytes: u64,
    /// Processor time so far, of all threads, in seconds.
    pub cpu_seconds: f64,
    /// Open files.
    pub open_fds: u64,
    /// As many it may have open; none for no limit.
    pub max_fds: Option<u64>,
}

impl Process {
    /// As it is now. What the kernel does not say is 0.
    pub fn now() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        Self {
            resident_bytes: resident_bytes(&status),
            cpu_seconds: cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9,
            // One of them reads the folder.
            open_fds: fs::read_dir("/proc/self/fd").map_or(0, |files| (files.count() as u64).saturating_sub(1)),
            max_fds: getrlimit(Resource::Nofile).current,
        }
    }
}

/// By `/proc/self/status`, which has kB for units of 1,024 bytes.
fn resident_bytes(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_ascii_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_files_and_has_worked() {
        let now = Process::now();
        assert!(now.resident_bytes > 1 << 20 && now.open_fds >= 3 && now.cpu_seconds > 0.0, "{now:?}");
        assert!(now.max_fds.is_none_or(|max| max > now.open_fds));
        assert_eq!(resident_bytes("VmSwap:\t 7 kB\nVmRSS:\t  12 kB\n"), 12 * 1024);
    }
}
