//! What an admin asks of a worker's sandbox.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::domain::{Error, Sandbox};
use crate::limits::{TASK_PROCESSES_MAX, TASK_UIDS};

/// What an admin asks of a worker's sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SandboxOptions {
    /// The profile.
    pub sandbox: Sandbox,
    /// Tasks in `strict` keep the machine's network, but for the address where a cloud tells a machine its credentials.
    pub net: bool,
    /// The users that slots may take; none: the first range of ours that this machine has.
    pub uids: Option<UidRange>,
    /// Processes and threads of one slot, in all.
    pub processes: u64,
    /// The largest file that a task may write, in bytes.
    pub file_bytes: Option<u64>,
    /// The memory of one task that asks for none itself, in bytes.
    pub mem_bytes: Option<u64>,
    /// Variables of the worker's environment that tasks get, besides the usual ones.
    pub env: Vec<String>,
}

impl SandboxOptions {
    /// No sandbox.
    pub fn none() -> Self {
        Self {
            sandbox: Sandbox::None,
            net: false,
            uids: None,
            processes: TASK_PROCESSES_MAX,
            file_bytes: None,
            mem_bytes: None,
            env: Vec::new(),
        }
    }
}

/// Users that belong to nobody, for slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UidRange(pub RangeInclusive<u32>);

impl fmt::Display for UidRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.0.start(), self.0.end())
    }
}

impl FromStr for UidRange {
    type Err = Error;

    /// Reads `70000-79999`, or `70000-`, which are ten thousand.
    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = || Error::invalid(format!("users `{text}`: write the first and the last number, as 70000-79999, or 70000-"));
        let (first, last) = text.split_once('-').ok_or_else(bad)?;
        let first: u32 = first.parse().map_err(|_| bad())?;
        let last = if last.is_empty() { first.saturating_add(TASK_UIDS - 1) } else { last.parse().map_err(|_| bad())? };
        // The highest number means "no change" to the kernel.
        if first == 0 || last < first || last == u32::MAX {
            return Err(bad());
        }
        Ok(Self(first..=last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_named_by_the_first_and_the_last() {
        let range = |text: &str| text.parse::<UidRange>().map(|range| range.to_string());
        assert_eq!(range("70000-70003").unwrap(), "70000-70003");
        assert_eq!(range("70000-").unwrap(), "70000-79999");
        for bad in ["", "7", "-", "-7", "0-7", "8-7", "a-b", "4294967290-", "1-2-3", "1-4294967295"] {
            assert!(range(bad).unwrap_err().message.starts_with(&format!("users `{bad}`: ")), "{bad}");
        }
    }
}
