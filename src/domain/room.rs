//! How many tasks a worker may be given.

/// Room for tasks at a worker. Larger means: more free slots, or as many and more ahead of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Room {
    /// On free slots.
    pub free: u32,
    /// Ahead of a free slot: where tasks are so short that the way to the head and back would cost as much as the task.
    pub ahead: u32,
}

impl Room {
    /// On so many free slots.
    pub fn of_slots(free: u32) -> Self {
        Self { free, ahead: 0 }
    }

    /// For how many tasks.
    pub fn all(self) -> u32 {
        self.free.saturating_add(self.ahead)
    }

    /// What so many tasks leave of it: they take the free slots first.
    pub fn less(self, tasks: u32) -> Self {
        let beyond = tasks.saturating_sub(self.free);
        Self { free: self.free.saturating_sub(tasks), ahead: self.ahead.saturating_sub(beyond) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_take_free_slots_first() {
        let room = Room { free: 2, ahead: 3 };
        let left = |tasks| (room.less(tasks).free, room.less(tasks).ahead);
        assert_eq!([0, 1, 2, 3, 5, 9].map(left), [(2, 3), (1, 3), (0, 3), (0, 2), (0, 0), (0, 0)]);
        assert!(Room::of_slots(1) > Room { free: 0, ahead: 99 } && room.all() == 5);
    }
}
