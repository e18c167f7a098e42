//! Real processes: heads, workers and command lines as a user starts them, with real signals, disks and sockets.
//!
//! One file per story. Each test has a cluster of its own in a temporary folder, and fails if anything of it is left when it ends. A debug
//! build on two cores is given three minutes; `MILLPOND_FULL=1` asks for the longer variants.

mod attempts;
mod backup;
mod bad_command;
mod bad_data;
mod bad_input;
mod browser;
mod bundle;
mod clerk;
mod cluster;
mod collection;
mod coming_from;
mod daemons;
mod data_set;
mod delete;
mod doctor;
mod embedded;
mod explain;
mod exposition;
mod failing_sync;
mod failpoints;
mod failure_policy;
mod fair_share;
mod files;
mod finish_line;
mod follow;
mod freeze;
mod full_disk;
mod ground;
mod head_restart;
mod hostile;
mod identities;
mod image;
mod job_file;
mod json;
mod kill;
mod kills;
mod metrics;
mod million;
mod namespaces;
mod network;
mod notify;
mod pages;
mod pause;
mod plain_http;
mod power_loss;
mod process;
mod proxy;
mod quota;
mod resources;
mod results;
mod retry;
#[path = "../sim/rng.rs"]
mod rng;
mod same_bytes;
mod sandbox;
mod scale;
mod selection;
mod small_disk;
mod stopped_worker;
mod storm;
mod suspicion;
mod top;
mod traces;
mod upgrade;
mod uploads;
mod uploads_last;
mod watcher;
mod wire;
mod worker_disk;
mod worker_end;

/// How long a start may take until the first task: what is promised of a release build, when the long variants are asked for; otherwise what
/// a debug build may need on a machine that does other things.
fn start_within() -> std::time::Duration {
    let is_held = is_full() && !cfg!(debug_assertions);
    std::time::Duration::from_secs(if is_held { 1 } else { 15 })
}

/// Whether the long variants are asked for.
fn is_full() -> bool {
    std::env::var("MILLPOND_FULL").is_ok_and(|value| value == "1")
}
