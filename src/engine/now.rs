//! The time of an event, as it comes into a machine.

use crate::domain::{Instant, WallTime};

/// Both clocks at one moment. Decisions use `mono`; `wall` is only written down for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// For deadlines.
    pub mono: Instant,
    /// For the record.
    pub wall: WallTime,
}
