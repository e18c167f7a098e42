//! A time at which a machine wants to be woken, asked for once.

use crate::domain::Instant;

/// The wake that is under way, if one is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Alarm(Option<Instant>);

impl Alarm {
    /// When to ask to be woken, so that it happens at that time: none if it happens by then anyway.
    #[must_use]
    pub fn set(&mut self, at: Instant, now: Instant) -> Option<Instant> {
        let is_new = self.0.is_none_or(|under_way| under_way <= now || under_way > at);
        is_new.then(|| *self.0.insert(at))
    }
}
