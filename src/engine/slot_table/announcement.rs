//! What a worker has told its head of its room in this session.

use crate::domain::Room;
use crate::domain::wire::{FromWorker, Standing};

/// Nothing yet, at a session's beginning.
#[derive(Clone, Debug, Default)]
pub(super) struct Announcement {
    last_run_seen: u64,
    credit: u64,
    room: Option<(Room, u64)>,
    standing: Standing,
}

impl Announcement {
    /// A run was taken in, or declined.
    pub fn run_seen(&mut self, seq: u64) {
        self.last_run_seen = self.last_run_seen.max(seq);
    }

    /// The highest number of a run that was ever announced room for.
    pub fn credit(&self) -> u64 {
        self.credit
    }

    /// What is to be said, if it is new. `as_delta` is a mistake that a test plants: slots that were announced before are announced again.
    pub fn say(&mut self, room: Room, standing: Standing, as_delta: bool) -> Vec<FromWorker> {
        self.credit = self.credit.max(self.last_run_seen + u64::from(room.all()));
        let before = self.room.filter(|_| as_delta).map_or(0, |(room, _)| room.free);
        let room = Room { free: room.free + before, ..room };
        let mut said = Vec::new();
        if standing != self.standing {
            self.standing = standing;
            said.push(FromWorker::Standing(standing));
        }
        if self.room != Some((room, self.last_run_seen)) {
            self.room = Some((room, self.last_run_seen));
            said.push(FromWorker::Room { room, last_run_seen: self.last_run_seen });
        }
        said
    }
}
