//! The machine of one job: which tasks have not started, which are out, which are final; and the verbs that steer it.
//!
//! ```text
//!             Granted            Started           Finished (durable)
//! waiting ──────────────► Sent ───────────► Started ──────────────────► succeeded | failed
//!    ▲  ▲                  │ │                 │ │
//!    │  └── Dropped, ──────┘ └─ fence timed ─► │ │  Doubtful counts as running; settled by a late answer
//!    │      Declined             out: Doubtful │ │
//!    └──────────────── failed with retries left, or lost
//! ```
//! A lease whose session is lost is *Adrift*: its worker may run it on, or may yet start it. It is claimed when the worker comes back; it
//! goes back when the worker reports without it, or when the worker must have ended its session by its own clock.

mod attempt;
mod control;
mod event;
mod failure;
mod machine;
mod strays;
mod times;
mod whereabouts;

pub use event::{JobEffect, JobEvent, VerbError};
pub use machine::JobMachine;
pub use strays::Strays;
pub use whereabouts::{Hands, Whereabouts};

#[cfg(test)]
mod tests;
