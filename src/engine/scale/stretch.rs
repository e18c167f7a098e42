//! The most that was wanted within a stretch of time.

use std::collections::VecDeque;
use std::time::Duration;

use crate::domain::Instant;

/// See the module. Holds only what may still become the most: later numbers are smaller, so each is held until it is too old, or beaten.
#[derive(Clone, Debug, Default)]
pub(super) struct Stretch {
    falling: VecDeque<(Instant, u32)>,
    began: Option<Instant>,
}

impl Stretch {
    /// Takes a number in. Returns the most within the stretch that ends now; none before there was one of that length.
    pub fn most(&mut self, now: Instant, number: u32, length: Duration) -> Option<u32> {
        let began = *self.began.get_or_insert(now);
        while self.falling.back().is_some_and(|(_, last)| *last <= number) {
            self.falling.pop_back();
        }
        self.falling.push_back((now, number));
        while self.falling.front().is_some_and(|(at, _)| now.since(*at) > length) {
            self.falling.pop_front();
        }
        self.falling.front().filter(|_| now.since(began) >= length).map(|(_, most)| *most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_what_a_look_at_all_numbers_would_find(numbers in proptest::collection::vec((0u64..50, 0u32..9), 1..60), length in 0u64..99) {
            let (mut stretch, mut now, mut all) = (Stretch::default(), 1000, Vec::new());
            for (later, number) in numbers {
                now += later;
                all.push((now, number));
                let most = all.iter().filter(|(at, _)| now - at <= length).map(|(_, number)| *number).max();
                let known = now - all[0].0 >= length;
                prop_assert_eq!(stretch.most(Instant(now), number, Duration::from_millis(length)), most.filter(|_| known));
                prop_assert!(stretch.falling.len() <= 9);
            }
        }
    }
}
