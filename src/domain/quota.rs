//! What an owner may have at once.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::error::Error;
use super::size::{counted, short_size};
use crate::limits::{NAME_MAX_BYTES, QUOTAS_MAX};

/// In the place of an owner's name: everybody who has no quota of his own.
pub const EVERYBODY: &str = "*";

/// So much at once; what is none is not limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// Jobs that have not ended.
    pub jobs: Option<u32>,
    /// Their tasks that have not ended.
    pub tasks: Option<u64>,
    /// Data sets, in bytes.
    pub stored_bytes: Option<u64>,
    /// Tasks in workers' hands.
    pub slots: Option<u32>,
}

/// `8 slots, 3 jobs`, or `no limits`.
impl fmt::Display for Quota {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { jobs, tasks, stored_bytes, slots } = *self;
        let counts = [("slot", slots.map(u64::from)), ("job", jobs.map(u64::from)), ("task", tasks)];
        let counts = counts.into_iter().filter_map(|(what, max)| Some(counted(max?, what)));
        let limits: Vec<String> = counts.chain(stored_bytes.map(|bytes| format!("{} stored", short_size(bytes)))).collect();
        if limits.is_empty() { out.write_str("no limits") } else { out.write_str(&limits.join(", ")) }
    }
}

/// Those of all owners.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quotas {
    by_owner: BTreeMap<String, Quota>,
}

impl Quotas {
    /// An owner's: his own, whole, or that of everybody.
    pub fn of(&self, owner: &str) -> Quota {
        self.by_owner.get(owner).or_else(|| self.by_owner.get(EVERYBODY)).copied().unwrap_or_default()
    }

    /// Gives an owner one of his own, or takes it from him.
    pub fn set(&mut self, owner: String, quota: Option<Quota>) {
        match quota {
            Some(quota) => drop(self.by_owner.insert(owner, quota)),
            None => drop(self.by_owner.remove(&owner)),
        }
    }

    /// Whether one can be set; to take one that is not there is done.
    ///
    /// # Errors
    /// `Invalid` for what is no owner's name; `Exhausted` for one too many.
    pub fn takes(&self, owner: &str, quota: Option<Quota>) -> Result<(), Error> {
        if owner.is_empty() || owner.len() > NAME_MAX_BYTES || owner.chars().any(char::is_control) {
            return Err(Error::invalid(format!("owner: a name of 1 to {NAME_MAX_BYTES} bytes is needed, or {EVERYBODY} for everybody")));
        }
        if quota.is_some() && !self.by_owner.contains_key(owner) && self.by_owner.len() >= QUOTAS_MAX {
            return Err(Error::exhausted(format!("there are {QUOTAS_MAX} quotas, and no more are kept: clear some")));
        }
        Ok(())
    }

    /// By owner.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Quota)> {
        self.by_owner.iter().map(|(owner, quota)| (owner.as_str(), *quota))
    }
}
