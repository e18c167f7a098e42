//! What a worker's tasks are confined by: its admin says so, no job does.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::error::Error;

/// How much a worker keeps its tasks from. `docs/security.md` has the table of what each stops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Sandbox {
    /// A task may do what the worker's own user may.
    #[default]
    None,
    /// A user of its own for each slot, limits, a clean environment.
    Basic,
    /// Besides: a system that can only be read, processes and network of its own.
    Strict,
}

impl Sandbox {
    /// All of them, the least first.
    pub const ALL: [Self; 3] = [Self::None, Self::Basic, Self::Strict];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Basic => "basic",
            Self::Strict => "strict",
        }
    }
}

impl fmt::Display for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Sandbox {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let found = Self::ALL.into_iter().find(|sandbox| sandbox.name() == text);
        found.ok_or_else(|| Error::invalid(format!("sandbox `{text}`: write none, basic or strict")))
    }
}

/// What a worker says of its sandbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confines {
    /// The profile.
    pub sandbox: Sandbox,
    /// What the profile promises and this machine can't keep, each in a line.
    pub gaps: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_read_as_it_is_written() {
        for sandbox in Sandbox::ALL {
            assert_eq!(sandbox.to_string().parse::<Sandbox>().unwrap(), sandbox);
        }
        assert_eq!("Basic".parse::<Sandbox>().unwrap_err().message, "sandbox `Basic`: write none, basic or strict");
    }
}
