//! A time at which a job wants to be woken, asked for once.

use crate::domain::Instant;

use super::event::JobEffect;

/// The wake that is under way, if one is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Alarm(Option<Instant>);

impl Alarm {
    /// Asks to be woken at that time, unless that happens sooner anyway.
    pub fn set(&mut self, at: Instant, now: Instant, fx: &mut Vec<JobEffect>) {
        if self.0.is_none_or(|under_way| under_way <= now || under_way > at) {
            self.0 = Some(at);
            fx.push(JobEffect::Wake(at));
        }
    }
}
