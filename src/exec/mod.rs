//! Floor 2: other people's programs. One launcher process per slot starts a slot's tasks, one after the other, and ends whatever they leave.
//!
//! ```text
//! worker (Launcher, Stopper) ─Start, Stop, Freeze, Kill─► launcher (launcher_main) ──posix_spawn──► the task and all below it
//!                            ◄──────────Ended──────────
//! ```
//!
//! Invariant: only launchers wait for just any child, for every process that lost its parent below a launcher becomes that launcher's
//! child. A worker is a subreaper too, for what a killed launcher leaves, but waits only for processes it names.
//!
//! A task that runs in an image is the client of a container program ([`container`]).
//!
//! What tasks are kept from stands in [`sandbox`]: a launcher enters it once, at its start.
//!
//! Deliberately absent: what a result is made of, caches. Nothing here knows the store, blobs, bundles or actors.

mod capture;
pub mod command;
mod container;
pub mod environment;
pub mod folders;
pub mod handle;
mod input;
pub mod launcher;
mod line;
mod machine;
pub mod orphans;
mod printed;
pub mod programs;
pub mod protocol;
pub mod sandbox;
mod signals;
mod spawn;
#[cfg(test)]
mod testing;
mod trash;
mod tree;
mod watched;

pub use command::{Placeholders, check, check_takes_files, expand, uses_input};
pub use container::{Attempt, ContainerChoice, Containers, GiveUp};
pub use environment::{TaskVariables, check_env, inherited_env, task_env};
pub use folders::{Found, SlotFolders};
pub use handle::{Launcher, LauncherDied};
pub use launcher::{LAUNCHER_ARG, launcher_main};
pub use line::Stopper;
pub use orphans::{Swept, adopt_and_kill_orphans, become_subreaper};
pub use printed::open_printed;
pub use programs::Programs;
pub use protocol::{End, Ended, Start};
pub use sandbox::{Places, SandboxOptions, Sandboxes, SlotSandbox, UidRange};
pub use trash::{move_tree, remove_tree};
