//! How fast a job gets on, by what a watcher has seen of it.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// What was longer ago says little about now.
const WINDOW: Duration = Duration::from_secs(60);
/// From less than this nothing can be said.
const SPAN_MIN: Duration = Duration::from_secs(1);
/// Between two that are kept, so that they stay few.
const KEPT_EVERY: Duration = Duration::from_millis(500);

/// Counts of tasks done, and when.
#[derive(Debug, Default)]
pub(crate) struct Rate {
    seen: VecDeque<(Instant, u32)>,
}

impl Rate {
    /// So many are done now. Fewer than before: the job runs again, and begins anew.
    pub(crate) fn see(&mut self, now: Instant, done: u32) {
        if self.seen.back().is_some_and(|(_, last)| done < *last) {
            self.seen.clear();
        }
        // The first of the window stays the first.
        while self.seen.len() > 1 && now - self.seen[1].0 >= WINDOW {
            self.seen.pop_front();
        }
        // The last one is replaced until it is far enough from the one before.
        if self.seen.len() > 1 && now - self.seen[self.seen.len() - 2].0 < KEPT_EVERY {
            self.seen.pop_back();
        }
        self.seen.push_back((now, done));
    }

    /// `14/s`, `3.5/min`; none while nothing can be said.
    pub(crate) fn text(&self) -> Option<String> {
        let ((began, before), (now, done)) = (self.seen.front()?, self.seen.back()?);
        let span = *now - *began;
        if span < SPAN_MIN || done <= before {
            return None;
        }
        let per_second = f64::from(done - before) / span.as_secs_f64();
        Some(if per_second >= 1.0 { format!("{}/s", short(per_second)) } else { format!("{}/min", short(per_second * 60.0)) })
    }
}

fn short(number: f64) -> String {
    if number < 10.0 { format!("{number:.1}") } else { format!("{number:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_that_of_the_last_minute() {
        let (mut rate, began) = (Rate::default(), Instant::now());
        let at = |seconds: f64| began + Duration::from_secs_f64(seconds);
        rate.see(at(0.0), 100);
        assert_eq!(rate.text(), None);
        rate.see(at(0.4), 105);
        assert_eq!(rate.text(), None, "too soon to say");
        rate.see(at(2.0), 128);
        assert_eq!(rate.text().unwrap(), "14/s");
        (3..200).for_each(|second| rate.see(at(f64::from(second)), 128 + (second as u32) / 20));
        assert_eq!(rate.text().unwrap(), "3.0/min", "the fast beginning is long ago");
        rate.see(at(201.0), 0);
        assert_eq!(rate.text(), None, "it runs again");
        (0..10_000).for_each(|at_milli| rate.see(at(300.0 + f64::from(at_milli) / 1000.0), at_milli));
        assert!(rate.seen.len() < 200, "{}", rate.seen.len());
        assert_eq!(rate.text().unwrap().split_once('/').unwrap().1, "s");
    }
}
