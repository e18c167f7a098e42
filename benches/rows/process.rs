//! What processes cost, as `/proc` has it.

use std::fs;

use anyhow::{Context, Result};

/// Of `/proc/PID/stat`, on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// Processor time that a process has used so far, in seconds, its threads included and its children not.
pub fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("a process that is measured has ended")?;
    // The fields stand behind the name, which may hold anything but ends with the last `)`.
    let fields: Vec<&str> = stat.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ').collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).context("/proc/PID/stat has no processor time");
    Ok((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
}

/// Memory of a process that is in use now, in bytes.
pub fn rss_bytes(pid: u32) -> Result<f64> {
    kib_field(&format!("/proc/{pid}/status"), "VmRSS:")
}

/// Memory of a process and all below it, in bytes, where what several of them share counts once.
pub fn tree_bytes(pid: u32) -> Result<f64> {
    let own = kib_field(&format!("/proc/{pid}/smaps_rollup"), "Pss:")?;
    children(pid).into_iter().map(tree_bytes).sum::<Result<f64>>().map(|below| own + below)
}

fn children(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = threads.map(|thread| fs::read_to_string(thread.path().join("children")).unwrap_or_default());
    lists.flat_map(|list| list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
}

fn kib_field(file: &str, name: &str) -> Result<f64> {
    let text = fs::read_to_string(file).with_context(|| format!("{file} can't be read"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|rest| rest.split_ascii_whitespace().next()?.parse::<f64>().ok());
    kib.map(|kib| kib * 1024.0).with_context(|| format!("{file} has no {name}"))
}
