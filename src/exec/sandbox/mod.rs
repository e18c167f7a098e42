//! What a slot's tasks are kept from. Decided by the worker at its start ([`Sandboxes`]), entered once by each launcher at its own
//! ([`confinement`]): no task costs anything for it.
//!
//! ```text
//! basic    a user of its own (uids) ─ limits ─ no new privileges ─ a clean environment
//! strict   the same, behind walls: bubblewrap (namespaces, a system that can only be read), or Landlock where that is missing
//! both     memory, processors and processes by cgroup v2, where a part of it is delegated to the worker
//! ```

mod bubblewrap;
mod cgroup;
pub(super) mod confinement;
mod landlock;
mod metadata;
mod options;
mod reach;
mod sandboxes;
mod uids;

pub(super) use reach::program as program_in_path;

pub use options::{SandboxOptions, UidRange};
pub use sandboxes::{Places, Sandboxes, SlotSandbox};
