//! Floor 0: what the words of Millpond mean, as plain values.
//!
//! Invariant: no I/O, no clock, no randomness, nothing async; nothing of a floor above.

pub mod chunk;
pub mod deletion;
pub mod entry;
pub mod error;
pub mod eta_score;
pub mod glob;
pub mod identity;
pub mod ids;
pub mod image;
pub mod index_set;
pub mod job;
pub mod outcome;
pub mod packing;
pub mod pattern;
pub mod policy;
pub mod quota;
pub mod resources;
pub mod result;
pub mod room;
pub mod sandbox;
pub mod shell_word;
pub mod size;
pub mod split_rule;
#[cfg(test)]
pub(crate) mod testing;
pub mod time;
pub mod verb;
pub mod wire;
pub mod worker;

pub use chunk::Chunk;
pub use error::{Error, ErrorKind};
pub use eta_score::EtaScore;
pub use identity::{Caller, Principal, PrincipalId, Role, TokenId};
pub use ids::*;
pub use image::{CONTAINERS_LABEL, Image};
pub use index_set::IndexSet;
pub use job::{ArrayRange, Input, JobSpec, JobState, Merge, SharedFile};
pub use outcome::{Outcome, ResultRef, TaskEnd, Timing};
pub use packing::Packing;
pub use pattern::Pattern;
pub use policy::{Keep, MaxFailed, Policy};
pub use quota::{EVERYBODY, Quota, Quotas};
pub use resources::{Resources, Tally};
pub use result::{EntryKind, Packed, ResultEntry, ResultMeta};
pub use room::Room;
pub use sandbox::{Confines, Sandbox};
pub use shell_word::shell_word;
pub use size::{DiskRoom, counted, short_size};
pub use split_rule::{Cut, Record, SplitRule};
pub use time::{Instant, WallTime, short_span};
pub use worker::WorkerInfo;
