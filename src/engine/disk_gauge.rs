//! How full the head's disk is, and what is still taken in.
//!
//! ```text
//!          free <= yellow                 free <= red
//! Green ───────────────────▶ Yellow ───────────────────▶ Red
//!       ◀───────────────────        ◀───────────────────
//!         free >= 5/4 yellow            free >= 5/4 red
//! ```
//! Yellow: no new uploads. Red: no new jobs and no new tasks either. What runs ends, and everything can be steered and looked at.
//! The way back asks for a quarter more, so that a disk at its limit does not go to and fro.

use crate::domain::{DiskRoom, Error, short_size};
use crate::limits::{DISK_RED_BYTES, DISK_RED_PERCENT, DISK_YELLOW_BYTES, DISK_YELLOW_PERCENT};

/// How full a disk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DiskLevel {
    /// There is room.
    Green,
    /// No new uploads.
    Yellow,
    /// No new jobs and tasks either.
    Red,
}

/// Where the levels begin, in free bytes; without one: a part of the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watermarks {
    /// No new uploads from here down.
    pub yellow: Option<u64>,
    /// No new jobs and tasks from here down.
    pub red: Option<u64>,
}

impl Watermarks {
    /// Checked: red is not above yellow.
    pub fn new(yellow: Option<u64>, red: Option<u64>) -> Result<Self, Error> {
        match (yellow, red) {
            (Some(yellow), Some(red)) if red > yellow => Err(Error::invalid(format!(
                "--disk-red {} is above --disk-yellow {}: uploads end first, so give red the smaller size",
                short_size(red),
                short_size(yellow)
            ))),
            _ => Ok(Self { yellow, red }),
        }
    }

    fn red(&self, total: u64) -> u64 {
        self.red.unwrap_or_else(|| (total / 100 * DISK_RED_PERCENT).min(DISK_RED_BYTES).min(self.yellow.unwrap_or(u64::MAX)))
    }

    fn yellow(&self, total: u64) -> u64 {
        self.yellow.unwrap_or_else(|| (total / 100 * DISK_YELLOW_PERCENT).min(DISK_YELLOW_BYTES)).max(self.red(total))
    }

    /// Where a level begins on a disk of this size.
    fn limit(&self, level: DiskLevel, total: u64) -> u64 {
        match level {
            DiskLevel::Green => u64::MAX,
            DiskLevel::Yellow => self.yellow(total),
            DiskLevel::Red => self.red(total),
        }
    }
}

/// A disk as last measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskGauge {
    marks: Watermarks,
    /// How full it is.
    pub level: DiskLevel,
    /// What it has.
    pub room: DiskRoom,
}

impl DiskGauge {
    /// By a first measurement.
    pub fn new(marks: Watermarks, room: DiskRoom) -> Self {
        let mut gauge = Self { marks, level: DiskLevel::Green, room };
        gauge.measured(room);
        gauge
    }

    /// Takes a measurement in; whether the level has changed.
    pub fn measured(&mut self, room: DiskRoom) -> bool {
        let before = self.level;
        self.room = room;
        let is_at = |level| {
            let limit = self.marks.limit(level, room.total);
            // On the way back: a quarter more.
            let limit = if before >= level { limit.saturating_add(limit / 4) } else { limit };
            if before >= level && limit > 0 { room.free < limit } else { room.free <= limit }
        };
        self.level = [DiskLevel::Red, DiskLevel::Yellow].into_iter().find(|level| is_at(*level)).unwrap_or(DiskLevel::Green);
        self.level != before
    }

    /// `Exhausted` from yellow on.
    pub fn takes_uploads(&self) -> Result<(), Error> {
        if self.level == DiskLevel::Green { Ok(()) } else { Err(self.refusal("no new uploads", DiskLevel::Yellow)) }
    }

    /// `Exhausted` at red: an upload that has begun goes on at yellow.
    pub fn lets_uploads_go_on(&self) -> Result<(), Error> {
        if self.level < DiskLevel::Red { Ok(()) } else { Err(self.refusal("the upload was broken off", DiskLevel::Red)) }
    }

    /// `Exhausted` at red.
    pub fn takes_jobs(&self) -> Result<(), Error> {
        if self.level < DiskLevel::Red { Ok(()) } else { Err(self.refusal("no new jobs", DiskLevel::Red)) }
    }

    /// `Exhausted` if this many bytes would not fit; later they may.
    pub fn has_room_for(&self, bytes: u64) -> Result<(), Error> {
        if bytes <= self.room.free {
            return Ok(());
        }
        Err(Error::exhausted(format!("the head's disk has no room for {}, {}: free some space", short_size(bytes), self.room)))
    }

    /// How many bytes have to be freed before everything is taken in again.
    pub fn lacking(&self) -> u64 {
        let limit = self.marks.limit(DiskLevel::Yellow, self.room.total);
        if self.level == DiskLevel::Green { 0 } else { limit.saturating_add(limit / 4).saturating_sub(self.room.free) }
    }

    /// What is free, if no tasks are started any more.
    pub fn stops_tasks(&self) -> Option<DiskRoom> {
        (self.level == DiskLevel::Red).then_some(self.room)
    }

    fn refusal(&self, what: &str, level: DiskLevel) -> Error {
        let limit = short_size(self.marks.limit(level, self.room.total));
        Error::exhausted(format!("{what}: the head's disk is almost full, {}, the limit is {limit}: free some space", self.room))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ErrorKind;

    const GIB: u64 = 1 << 30;

    fn gauge(free: u64, total: u64) -> DiskGauge {
        DiskGauge::new(Watermarks::default(), DiskRoom { free, total })
    }

    #[test]
    fn the_smaller_of_a_part_and_a_size_counts() {
        let level = |free, total| gauge(free, total).level;
        assert_eq!(
            [11, 10, 3, 2].map(|free| level(free * GIB, 4000 * GIB)),
            [DiskLevel::Green, DiskLevel::Yellow, DiskLevel::Yellow, DiskLevel::Red]
        );
        assert_eq!([11, 10, 3, 2].map(|free| level(free, 100)), [DiskLevel::Green, DiskLevel::Yellow, DiskLevel::Yellow, DiskLevel::Red]);
        assert_eq!(level(0, 0), DiskLevel::Red);
    }

    #[test]
    fn a_disk_at_a_limit_does_not_go_to_and_fro() {
        let marks = Watermarks::new(Some(100), Some(40)).unwrap();
        let mut gauge = DiskGauge::new(marks, DiskRoom { free: 101, total: 1000 });
        let mut levels = Vec::new();
        for free in [101, 100, 101, 124, 125, 101, 100, 40, 41, 49, 50, 100, 40, 125, 0, 124, 39, 1000] {
            if gauge.measured(DiskRoom { free, total: 1000 }) {
                levels.push((free, gauge.level));
            }
        }
        let (green, yellow, red) = (DiskLevel::Green, DiskLevel::Yellow, DiskLevel::Red);
        let expected =
            [(100, yellow), (125, green), (100, yellow), (40, red), (50, yellow), (40, red), (125, green), (0, red), (124, yellow)];
        assert_eq!(levels, [&expected[..], &[(39, red), (1000, green)]].concat());
    }

    #[test]
    fn each_level_refuses_more_and_says_why() {
        let refused = |result: Result<(), Error>| {
            let error = result.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Exhausted);
            error.message
        };
        let yellow = gauge(3 * GIB, 40 * GIB);
        let why = refused(yellow.takes_uploads());
        assert_eq!(why, "no new uploads: the head's disk is almost full, 3.0 GiB free of 40.0 GiB, the limit is 4.0 GiB: free some space");
        assert!(
            yellow.takes_jobs().is_ok()
                && yellow.lets_uploads_go_on().is_ok()
                && yellow.stops_tasks().is_none()
                && yellow.has_room_for(3 * GIB).is_ok()
        );
        assert!(refused(yellow.has_room_for(3 * GIB + 1)).contains("no room for 3.0 GiB"));
        assert_eq!((yellow.lacking(), gauge(11 * GIB, 40 * GIB).lacking()), (GIB * 2 - 8, 0), "up to a quarter more than a tenth");
        let red = gauge(GIB / 2, 40 * GIB);
        assert!(refused(red.takes_jobs()).starts_with("no new jobs"));
        assert!(refused(red.takes_uploads()).starts_with("no new uploads"));
        assert_eq!(red.stops_tasks(), Some(red.room));
    }

    #[test]
    fn given_limits_are_kept_in_order() {
        assert_eq!(Watermarks::new(Some(1), Some(2)).unwrap_err().kind, ErrorKind::Invalid);
        let low = Watermarks::new(Some(10), None).unwrap();
        assert_eq!((low.yellow(1000), low.red(1000)), (10, 10));
        let high = Watermarks::new(None, Some(500)).unwrap();
        assert_eq!((high.yellow(1000), high.red(1000)), (500, 500));
        let mut none = DiskGauge::new(Watermarks::new(Some(0), Some(0)).unwrap(), DiskRoom { free: 1, total: 10 });
        assert_eq!(none.level, DiskLevel::Green);
        assert!(none.measured(DiskRoom { free: 0, total: 10 }));
        assert!(none.measured(DiskRoom { free: 1, total: 10 }));
    }
}
