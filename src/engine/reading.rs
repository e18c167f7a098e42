//! How far somebody has read of an output that grows: what he gets next, and what he misses where it grows faster than he takes it.

use crate::domain::wire::FromWhere;
use crate::limits::{FOLLOW_BEHIND_MAX_BYTES, FOLLOW_PIECE_MAX_BYTES, FOLLOW_REST_MAX_BYTES};

/// A place in an output. All before it was given or left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    from: FromWhere,
    /// None before the output was seen for the first time.
    at: Option<u64>,
}

/// A part of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Where it begins.
    pub offset: u64,
    /// How long it is.
    pub len: usize,
    /// Bytes right before it that are not given.
    pub left_out: u64,
}

impl Reading {
    /// It begins when the output is first seen.
    pub fn new(from: FromWhere) -> Self {
        Self { from, at: None }
    }

    /// Where it is, in an output that is `len` bytes long.
    pub fn at(&self, len: u64) -> u64 {
        self.at.unwrap_or(match self.from {
            FromWhere::Offset(offset) => offset,
            FromWhere::Last(bytes) => len.saturating_sub(bytes),
        })
    }

    /// The next piece of an output that is `len` bytes long by now; none if there is nothing new. An output that was cut is as one that has
    /// not grown.
    pub fn next(&mut self, len: u64) -> Option<Stretch> {
        let at = self.at(len);
        self.at = Some(at);
        self.stretch(at, len, FOLLOW_BEHIND_MAX_BYTES, FOLLOW_PIECE_MAX_BYTES as u64)
    }

    /// All that is left of an output that has ended with `len` bytes, or its end; none if nothing is.
    pub fn rest(&mut self, len: u64) -> Option<Stretch> {
        let at = self.at(len);
        self.at = Some(at);
        self.stretch(at, len, FOLLOW_REST_MAX_BYTES, FOLLOW_REST_MAX_BYTES)
    }

    fn stretch(&self, at: u64, len: u64, behind_max: u64, most: u64) -> Option<Stretch> {
        let behind = len.checked_sub(at).filter(|behind| *behind > 0)?;
        let left_out = if behind > behind_max { behind - FOLLOW_REST_MAX_BYTES } else { 0 };
        // Bounded by `most`.
        Some(Stretch { offset: at + left_out, len: (behind - left_out).min(most) as usize, left_out })
    }

    /// So many bytes of a stretch were read: an output may have been cut since.
    pub fn took(&mut self, stretch: Stretch, read: usize) {
        self.at = Some(stretch.offset + read as u64);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However it grows, and whenever he looks: what he gets is in order, and with what is left out it is the whole.
        #[test]
        fn given_and_left_out_are_the_whole(grows in prop::collection::vec((0u64..20 << 20, 0usize..200), 0..20), from in 0u64..1 << 20) {
            let mut reading = Reading::new(FromWhere::Offset(from));
            let (mut len, mut behind) = (from, from);
            for (more, looks) in grows {
                len += more;
                for _ in 0..looks {
                    let Some(stretch) = reading.next(len) else { break };
                    prop_assert_eq!(stretch.offset, behind + stretch.left_out);
                    prop_assert!((1..=FOLLOW_PIECE_MAX_BYTES).contains(&stretch.len) && stretch.offset + stretch.len as u64 <= len);
                    prop_assert!(stretch.left_out == 0 || len - behind > FOLLOW_BEHIND_MAX_BYTES);
                    reading.took(stretch, stretch.len);
                    behind = stretch.offset + stretch.len as u64;
                }
            }
            match reading.rest(len) {
                None => prop_assert_eq!(behind, len),
                Some(rest) => {
                    prop_assert_eq!((rest.offset, rest.offset + rest.len as u64), (behind + rest.left_out, len));
                    prop_assert!(rest.len as u64 <= FOLLOW_REST_MAX_BYTES);
                }
            }
        }

        /// Who takes each piece before the output is too far ahead misses nothing.
        #[test]
        fn who_is_fast_enough_misses_nothing(grows in prop::collection::vec(0u64..FOLLOW_PIECE_MAX_BYTES as u64, 0..200)) {
            let mut reading = Reading::new(FromWhere::Offset(0));
            let (mut len, mut got) = (0, 0);
            for more in grows {
                len += more;
                if let Some(stretch) = reading.next(len) {
                    prop_assert_eq!((stretch.left_out, stretch.offset), (0, got));
                    got += stretch.len as u64;
                    reading.took(stretch, stretch.len);
                }
            }
            prop_assert_eq!(got, len);
        }
    }

    #[test]
    fn the_last_bytes_are_those_of_the_first_look() {
        let mut reading = Reading::new(FromWhere::Last(10));
        assert_eq!(reading.next(100), Some(Stretch { offset: 90, len: 10, left_out: 0 }), "what was not asked for is not left out");
        reading.took(Stretch { offset: 90, len: 10, left_out: 0 }, 10);
        assert_eq!(reading.next(103), Some(Stretch { offset: 100, len: 3, left_out: 0 }));
        let mut reading = Reading::new(FromWhere::Last(10));
        assert_eq!(reading.next(0), None);
        assert_eq!(reading.next(100), Some(Stretch { offset: 0, len: 100, left_out: 0 }), "from its first look on he misses nothing");
    }

    #[test]
    fn an_output_that_was_cut_has_nothing_new() {
        let mut reading = Reading::new(FromWhere::Offset(0));
        let stretch = reading.next(100).unwrap();
        reading.took(stretch, 40);
        assert_eq!(reading.next(30), None);
        assert_eq!(reading.next(50), Some(Stretch { offset: 40, len: 10, left_out: 0 }));
        assert_eq!((reading.rest(30), reading.rest(40)), (None, None));
    }
}
