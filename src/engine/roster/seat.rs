//! A connected worker among those whose slots are granted.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::{GrantId, JobId, JobSpec, Resources, Room, WorkerId};
use crate::engine::suspicion::Trust;

/// A worker as it was last reported, and what was granted of it since.
#[derive(Clone, Debug)]
pub(super) struct Seat {
    pub worker: WorkerId,
    pub slots: u32,
    pub total: Resources,
    /// As it was reported.
    pub room: Room,
    pub free: Resources,
    /// Grants not settled: how many slots, and of what job.
    pub granted: BTreeMap<GrantId, (u32, JobId, Arc<JobSpec>)>,
    pub trust: Trust,
}

impl Seat {
    /// One that has not announced any room yet.
    pub fn new(worker: WorkerId, slots: u32, total: Resources) -> Self {
        let (free, room, granted) = (total.clone(), Room::default(), BTreeMap::new());
        Self { worker, slots, total, room, free, granted, trust: Trust::Trusted }
    }

    /// The room, less what was granted of it and is not settled. A worker under suspicion is used as one, if any other is `trusted`.
    pub fn room_left(&self, trusted: u32) -> Room {
        let room = match self.trust {
            Trust::Suspected if trusted > 0 => Room::default(),
            Trust::Probe if trusted > 0 => Room::of_slots(self.room.free.min(1)),
            _ => self.room,
        };
        room.less(self.granted.values().map(|(slots, ..)| slots).sum())
    }

    /// Whether nothing of another job is on its way here, so that this one's may go ahead of the slots: two that are on their way may come in either
    /// order, and the first would get the next slot.
    pub fn is_for(&self, job: JobId) -> bool {
        self.granted.values().all(|(_, of, _)| *of == job)
    }

    /// The resources, likewise.
    pub fn free_left(&self) -> Resources {
        self.granted.values().fold(self.free.clone(), |free, (slots, _, spec)| free.less(&spec.needs, *slots))
    }
}
