//! The process's clocks. The only place above the machines that reads them for decisions.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::domain::{Instant, WallTime};
use crate::engine::Now;

/// A monotonic clock that began when it was made, and the wall clock beside it.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    began: std::time::Instant,
}

impl Clock {
    /// Starts the monotonic clock. It stands at one hour, so that "an hour ago" exists.
    pub fn start() -> Self {
        Self { began: std::time::Instant::now() }
    }

    /// This moment on both clocks.
    pub fn now(&self) -> Now {
        let mono = Instant(0).after(Duration::from_secs(3600) + self.began.elapsed());
        Now { mono, wall: wall_now() }
    }
}

/// This moment on the wall clock.
pub fn wall_now() -> WallTime {
    WallTime(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64))
}
