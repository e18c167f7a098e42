//! Floor 5: the command line, for users and admins. Each verb is a file, named by it.
//!
//! Invariant: nothing here touches the store or an actor's insides; a cluster inside this process is started by a [`ClusterStarter`],
//! so that the command line need not know how. Output goes through [`ui`] only: a closed pipe must end a verb quietly.

mod args;
mod audit;
mod completions;
mod config;
mod context;
mod controlled;
mod data;
mod delete;
mod document;
mod embedded;
mod entry;
mod exit;
mod explain;
mod follow;
mod hook;
mod job_args;
mod job_file;
mod job_options;
mod job_text;
mod kill;
mod lasting;
mod layer;
mod limit;
mod list;
mod log_follow;
mod login;
mod logs;
mod looker;
mod man;
mod new_file;
mod notified;
mod notify;
mod order;
mod pages;
mod pause;
mod peers;
mod principal;
mod priority;
mod progress;
mod quota;
mod rate;
mod results;
mod resume;
mod retry;
mod run;
mod scale;
mod selector;
mod show;
mod signals;
mod split;
mod submit;
mod table;
mod task_ref;
mod tasks;
mod template;
mod token;
mod toml_file;
mod top;
mod ui;
mod units;
mod up;
mod wait;
mod watch;
mod worker;

#[cfg(test)]
mod fake_head;
#[cfg(test)]
mod tests;

pub use embedded::{BoxFuture, ClusterStarter, EmbeddedCluster, EmbeddedOptions};
pub use entry::{check_line, in_one_line, main};
pub(crate) use units::{parse_duration, parse_keep, parse_size};
