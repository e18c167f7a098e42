//! Why what a task left is no result.

use crate::domain::Error;

/// Why a result could not be packed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PackError {
    /// What the task left can't be a result; another machine would say the same.
    #[error("{reason}")]
    Bad {
        /// Why, for a person. Holds no path of this machine.
        reason: String,
    },
    /// This machine could not read or write.
    #[error(transparent)]
    Io(#[from] Error),
}

impl PackError {
    pub(super) fn bad(reason: impl Into<String>) -> Self {
        Self::Bad { reason: reason.into() }
    }
}
