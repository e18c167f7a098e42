//! Floor 2: the head's journal on disk: batches in order, snapshots, and the epoch that fences an earlier head.
//!
//! Invariant: knows bytes, not what they mean; nothing of `blobs/`, `bundle/`, `exec/` or a floor above. Nothing above knows which store it is.

mod contract;
mod disk_sync;
mod folder_lock;
mod high_water;
mod keys;
mod ledger;
mod memory_store;
mod parts;
mod size;
mod sled_file;
mod sled_store;
mod survey;

#[cfg(test)]
mod conformance;

pub use contract::{Appended, BATCH_MAX_BYTES, Loaded, Store};
pub use folder_lock::FolderLock;
pub use memory_store::MemoryStore;
pub use size::bytes_of;
pub use sled_store::SledStore;
pub use survey::{Place, Survey};
