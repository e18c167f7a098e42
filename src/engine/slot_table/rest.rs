//! A worker whose machine has failed a task: it rests, so that it does not take one task after the other only to give them back.
//!
//! ```text
//!       a task given back                 the time is over               a task taken through
//! None ──────────────────► Resting(2 s) ──────────────────► Trying one ─────────────────────► None
//!                               ▲   twice as long, at most REST_MAX │
//!                               └───────────────────────────────────┘
//! ```

use std::time::Duration;

use crate::domain::Instant;
use crate::limits;

/// Whether the worker may be given tasks, for its machine's sake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Rest {
    /// As many as it has slots.
    #[default]
    None,
    /// None until then.
    Resting { until: Instant, pause: Duration },
    /// One, to try, after a rest of so long.
    Trying { pause: Duration },
}

impl Rest {
    /// The machine has failed a task. Returns how long it rests, if that is new.
    pub fn failed(&mut self, now: Instant) -> Option<Duration> {
        let pause = match self {
            Self::None => limits::REST_FIRST,
            // What was started before the rest proves nothing new.
            Self::Resting { .. } => return None,
            Self::Trying { pause } => (*pause * 2).min(limits::REST_MAX),
        };
        *self = Self::Resting { until: now.after(pause), pause };
        Some(pause)
    }

    /// Time has passed: after its rest it tries.
    pub fn time_passes(&mut self, now: Instant) {
        if let Self::Resting { until, pause } = *self
            && until <= now
        {
            *self = Self::Trying { pause };
        }
    }

    /// Of so many free slots, those that may be given a task; `tries` if one is being tried.
    pub fn lets(&self, free: u32, tries: bool) -> u32 {
        match self {
            Self::None => free,
            Self::Resting { .. } => 0,
            Self::Trying { .. } => free.min(u32::from(!tries)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failed_try_makes_the_rest_longer_and_a_whole_one_ends_it() {
        let (mut rest, mut now) = (Rest::default(), Instant(0));
        assert_eq!(rest.lets(3, false), 3);
        for tries in 0..20 {
            let pause = (limits::REST_FIRST * 2u32.pow(tries.min(10))).min(limits::REST_MAX);
            assert_eq!(rest.failed(now), Some(pause));
            assert_eq!((rest.failed(now), rest.lets(3, false)), (None, 0));
            rest.time_passes(Instant(now.after(pause).0 - 1));
            assert_eq!(rest.lets(3, false), 0);
            now = now.after(pause);
            rest.time_passes(now);
            assert_eq!((rest.lets(3, false), rest.lets(3, true), rest.lets(0, false)), (1, 0, 0));
        }
    }
}
