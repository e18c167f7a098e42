//! Signals that a process was started with ignored stay ignored in all that it starts: a worker behind `nohup`, or in the background of a
//! script, would give its tasks ears that are deaf to HUP, INT or QUIT.

use std::ffi::c_int;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{FORBIDDEN, SIGPIPE};

/// Takes notice of every signal that this process ignores, and does nothing about it: what it starts then gets each as by default. PIPE is
/// left alone, for the standard library sees to it.
pub(super) fn ignore_none() {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    for signal in ignored(&status).filter(|signal| *signal != SIGPIPE && !FORBIDDEN.contains(signal)) {
        // One that can't be had stays ignored.
        let _ = signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)));
    }
}

/// The line `SigIgn` of `/proc/self/status`: a bit for each signal, the lowest for 1.
fn ignored(status: &str) -> impl Iterator<Item = c_int> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    (1..=64).filter(move |signal| mask >> (signal - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_ignored_signals_is_read() {
        let of = |status: &str| ignored(status).collect::<Vec<_>>();
        assert_eq!(of("Name:\tx\nSigIgn:\t0000000000001005\nSigCgt:\t0"), [1, 3, 13]);
        assert_eq!(of("SigIgn:\t8000000000000000\n"), [64]);
        assert!(of("").is_empty() && of("SigIgn:\tx").is_empty());
    }
}
