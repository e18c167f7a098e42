//! Tasks that run in an image, by `podman` or `docker`: whatever of the two the worker's machine has.
//!
//! ```text
//! worker ──version, ps, rm───► podman or docker     once, at its start ([`Containers::find`])
//!        ──image inspect, pull─►                    before a task is started
//! launcher ──run … IMAGE COMMAND…─►                 as a task's main process: ([`arguments`])
//!          ──pause, unpause, rm─►                   what signals don't reach: ([`Grip`])
//! ```
//! A container of podman is below the launcher, and ends, or stands still, with the rest. One of docker belongs to its daemon.
//!
//! The container program has the rights of the worker's user, and is never in a slot's sandbox: it needs what that takes away. A job has no say in its
//! options: it gives the image, the command and variables, each an argument of its own behind an option of ours.

mod arguments;
mod call;
mod containers;
mod grip;
mod options;
mod program;
mod verdict;

pub use call::GiveUp;
pub use containers::{Attempt, Containers};
pub use grip::Grip;
pub use options::ContainerChoice;
