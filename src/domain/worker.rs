//! What the head keeps about a worker for good.

use serde::{Deserialize, Serialize};

use super::ids::WorkerId;
use super::resources::Resources;

/// A worker as it presented itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerInfo {
    /// Given out by the head.
    pub id: WorkerId,
    /// Made by the worker once and kept in its folder: how the head knows it again.
    pub key: String,
    /// Its machine's name, for people.
    pub host: String,
    /// How many tasks it runs at once.
    pub slots: u32,
    /// All it has.
    pub total: Resources,
}
