//! How often an ETA was right.

use serde::{Deserialize, Serialize};

/// Ranges that were looked at again when their job had ended. Persisted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EtaScore {
    /// How many.
    pub checks: u32,
    /// How many of them the end was in.
    pub inside: u32,
}

impl EtaScore {
    /// Those of another job, or round, as well.
    pub fn add(&mut self, more: Self) {
        self.checks = self.checks.saturating_add(more.checks);
        self.inside = self.inside.saturating_add(more.inside);
    }
}
