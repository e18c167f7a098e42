//! Processes as the kernel shows them in `/proc`: who belongs to a cluster, and signals to single ones.

use std::fs;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long anything may take that a test waits for, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Sends a signal to a process of ours.
pub fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    // It may have ended meanwhile, and be a zombie or gone: both are fine.
    let _ = kill_process(pid, signal);
}

/// Waits until a condition holds; `what` completes "waited too long until …".
#[track_caller]
pub fn until(what: &str, condition: impl FnMut() -> bool) {
    until_within(PATIENCE, what, condition);
}

/// The same, with a deadline that is a promise. Returns how long it took.
#[track_caller]
pub fn until_within(patience: Duration, what: &str, mut condition: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < patience, "waited {patience:?} in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
    began.elapsed()
}

/// Waits for a process of ours, within a test's patience.
#[track_caller]
pub fn wait(child: &mut Child) -> ExitStatus {
    let mut status = None;
    until("the process has ended", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    status.unwrap()
}

/// Living processes below or of a folder: it stands in their arguments or environment, or they work in it. A worker's tasks inherit its
/// environment; its launchers have none, but work in its folder.
pub fn of(folder: &Path) -> Vec<(u32, String)> {
    let own = std::process::id();
    let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| *pid != own && belongs(*pid, folder)).map(|pid| (pid, describe(pid))).collect()
}

fn belongs(pid: u32, folder: &Path) -> bool {
    let needle = folder.to_str().unwrap().as_bytes();
    let proc = format!("/proc/{pid}");
    let holds = |file: &str| {
        let text = fs::read(format!("{proc}/{file}")).unwrap_or_default();
        memchr::memmem::find(&text, needle).is_some()
    };
    let works_there = fs::read_link(format!("{proc}/cwd")).is_ok_and(|cwd| cwd.starts_with(folder));
    is_alive(pid) && (works_there || holds("cmdline") || holds("environ"))
}

/// Whether a process runs: not gone, and no zombie.
pub fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The state stands behind the name, which may hold anything but ends with the last `)`.
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// The most memory that a process has used so far, in KiB.
pub fn peak_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}

fn describe(pid: u32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).replace('\0', " ")
}

#[test]
fn what_runs_in_a_folder_is_seen_however_it_hides() {
    let ground = super::ground::Ground::new();
    // One in a session of its own elsewhere, with the mark; one without it, but working here; one with neither, but for its arguments.
    let shell = "(cd / && setsid sleep 600) & env -i setsid sleep 601 & cd / && env -i tail -f /dev/null $0/log";
    ground.write("log", "");
    let mut child = ground.command("sh").args(["-c", shell, ground.path("").to_str().unwrap()]).spawn().unwrap();
    let sees = |what: &str| ground.processes().iter().any(|(_, line)| line.starts_with(what));
    until("all are seen", || sees("sleep 600") && sees("sleep 601") && sees("tail"));
    ground.processes().iter().for_each(|(pid, _)| signal(*pid, Signal::KILL));
    child.wait().unwrap();
    until("they are gone", || ground.processes().is_empty());
}
