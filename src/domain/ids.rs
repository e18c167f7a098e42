//! Names of things: jobs, tasks, attempts, workers, sessions, digests.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::error::Error;

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident($inner:ty), $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
    };
}

number_id!(
    /// A job, shown as `j7`. Numbers are given out by the head, from 1, and never used again.
    JobId(u64), "j");
number_id!(
    /// A task's place in its job, from 0 without gaps. What a user sees is its *index*
    /// ([`crate::domain::JobSpec::index_of`]), which differs for arrays such as `5-7`.
    TaskNo(u32), "#");
number_id!(
    /// A worker, shown as `w3`: given out by the head at the first attach, kept for good.
    WorkerId(u32), "w");
number_id!(
    /// One start of the head. Grows, durably, each time a head starts; whoever holds a lower one is fenced.
    Epoch(u64), "e");
number_id!(
    /// The how-manieth try of a task, from 1. Only grows.
    Attempt(u32), "a");
number_id!(
    /// One connection of one worker, unique within an epoch.
    SessionId(u64), "s");
number_id!(
    /// A hand-out of slots to a job by the supervisor, unique within an epoch.
    GrantId(u64), "g");
number_id!(
    /// A fence in a session: the question "what of this job have you started?".
    FenceId(u64), "f");

impl FromStr for JobId {
    type Err = Error;

    /// Reads `7` or `j7`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let digits = text.strip_prefix('j').unwrap_or(text);
        match digits.parse::<u64>() {
            Ok(number) if number > 0 && digits.bytes().all(|b| b.is_ascii_digit()) => Ok(Self(number)),
            _ => Err(Error::invalid(format!("`{text}` is not a job: write it as 7 or j7"))),
        }
    }
}

/// A content's name: its SHA-256. Shown, and read, as 64 hexadecimal digits, as `sha256sum` prints it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let hex = text.strip_prefix("sha256:").unwrap_or(text).as_bytes();
        let bad = || Error::invalid(format!("`{text}` is not a digest: 64 hexadecimal digits are needed"));
        if hex.len() != 64 {
            return Err(bad());
        }
        let mut bytes = [0u8; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.chunks(2)) {
            let digit = |c: u8| (c as char).to_digit(16).map(|d| d as u8).ok_or_else(bad);
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Ok(Self(bytes))
    }
}

impl Epoch {
    /// So far ahead of the head that it is made of is the epoch of a backup, so that workers take a head on it for a later one, however often
    /// the other starts.
    const LINEAGE: u64 = 1 << 32;

    /// That of a backup of a head.
    pub fn of_backup(self) -> Self {
        Self(self.0.saturating_add(Self::LINEAGE))
    }

    /// Whether one head may have come of the other by starting again, on the same files.
    pub fn is_of_same_files(self, other: Self) -> bool {
        self.0 / Self::LINEAGE == other.0 / Self::LINEAGE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_written_with_or_without_its_letter() {
        assert_eq!("7".parse::<JobId>().unwrap(), JobId(7));
        assert_eq!("j7".parse::<JobId>().unwrap().to_string(), "j7");
        for bad in ["", "j", "0", "-1", "+1", "j1.2", "jj1", "99999999999999999999999"] {
            assert!(bad.parse::<JobId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_digest_survives_its_text() {
        let digest = Digest(std::array::from_fn(|i| i as u8 * 7));
        assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
        assert!("zz".parse::<Digest>().is_err());
        assert!("é".repeat(32).parse::<Digest>().is_err());
    }
}
