//! Floor 2: what was changed on a head, by whom, and what was refused: lines that are only ever added, each with the hash of the one before.
//!
//! ```text
//! DATA/audit/audit-00000000000000000001.jsonl   lines 1 and on: JSON objects, one a line
//! DATA/audit/audit-00000000000000104512.jsonl   the next file: the chain goes on
//! DATA/audit/mark                               number and hash of the last line that is durable
//! ```
//! Whoever changes, removes or reorders a line breaks the chain behind it, and whoever cuts its end off contradicts the mark. Whoever may write
//! all these files can write them all anew: against him helps only a copy elsewhere, for which the last hash is enough.
//!
//! Invariant: one thread writes. A call is answered after the line about it is durable.

mod chain;
mod copy;
mod line;
mod log;
mod mark;
mod reader;

pub use chain::{Chain, Link};
pub use copy::{copy, len};
pub use line::{Outcome, Record};
pub use log::AuditLog;
pub use mark::Mark;
pub use reader::{read, verify};

/// Its name in the data folder.
pub const AUDIT_DIR: &str = "audit";
