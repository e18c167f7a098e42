//! On what the figures were made.

use std::fs;
use std::path::Path;
use std::process::Command;

/// One line: processor, memory, kernel, disk, commit, day.
pub fn describe(folder: &Path) -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = field("/proc/meminfo", "MemTotal").and_then(|text| text.trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "{cpu}, {cores} cores, {memory} GiB, Linux {kernel}, {disk}; commit {commit}, {day}",
        cpu = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown processor".into()),
        memory = memory.div_ceil(1 << 20),
        kernel = kernel.trim_end(),
        disk = file_system(folder),
        commit = commit(),
        day = jiff::Timestamp::now().strftime("%Y-%m-%d"),
    )
}

fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_once(':').map(|(_, value)| value.trim().to_owned())
}

/// The kind of file system that holds a folder: of the mounts above it the nearest.
fn file_system(folder: &Path) -> String {
    let folder = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>()).filter(|fields| fields.len() > 2);
    let above = fields.filter(|fields| folder.starts_with(fields[1])).max_by_key(|fields| fields[1].len());
    above.map_or_else(|| "unknown disk".into(), |fields| format!("{} on {}", fields[2], fields[0]))
}

/// The commit, with a word where the sources differ from it.
fn commit() -> String {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short", "HEAD"]) else { return "unknown".into() };
    let changed = git(&["status", "--porcelain", "--", "src", "benches", "Cargo.toml", "Cargo.lock"]);
    if changed.is_none_or(|files| files.is_empty()) { commit } else { format!("{commit}, with changes") }
}
