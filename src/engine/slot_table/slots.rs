//! A worker's slots, and what is known of the tasks on them.

use crate::domain::wire::Lease;
use crate::domain::{Chunk, Instant, Resources};

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Preparing,
    /// Its input is here; what it needs is held by one that is being stopped.
    Ready,
    Running {
        unwanted: bool,
    },
}

impl Phase {
    /// Whether its process was started.
    pub fn has_started(self) -> bool {
        matches!(self, Self::Running { .. })
    }
}

/// A slot that is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub lease: Lease,
    /// What its task needs: as it was when it came, whatever its job needs since.
    pub needs: Resources,
    pub chunk: Option<Chunk>,
    /// When it got the slot.
    pub since: Instant,
    pub phase: Phase,
    /// The head of this session knows that we hold it.
    pub confirmed: bool,
    /// Taken to see whether the machine is sound again.
    pub trial: bool,
    /// Its process stands still.
    pub frozen: bool,
}

/// All slots, each free or taken.
#[derive(Clone, Debug)]
pub(super) struct Slots(Vec<Option<Slot>>);

impl Slots {
    /// So many, free.
    pub fn new(count: u32) -> Self {
        Self(vec![None; count as usize])
    }

    pub fn count(&self) -> u32 {
        self.0.len() as u32
    }

    /// How many are free.
    pub fn free(&self) -> u32 {
        self.0.iter().filter(|slot| slot.is_none()).count() as u32
    }

    pub fn first_free(&self) -> Option<usize> {
        self.0.iter().position(Option::is_none)
    }

    /// A task gets a slot.
    pub fn put(&mut self, at: usize, slot: Slot) {
        if let Some(free) = self.0.get_mut(at) {
            *free = Some(slot);
        }
    }

    /// Frees a slot, if what is on it is like this.
    pub fn take_if(&mut self, at: usize, is_it: impl FnOnce(&mut Slot) -> bool) -> Option<Slot> {
        self.0.get_mut(at)?.take_if(is_it)
    }

    pub fn at(&self, at: usize) -> Option<&Slot> {
        self.0.get(at)?.as_ref()
    }

    pub fn at_mut(&mut self, at: usize) -> Option<&mut Slot> {
        self.0.get_mut(at)?.as_mut()
    }

    /// Where an attempt is.
    pub fn of(&mut self, lease: &Lease) -> Option<(usize, &mut Slot)> {
        self.taken_mut().find(|(_, slot)| slot.lease.same_attempt(lease))
    }

    pub fn taken(&self) -> impl Iterator<Item = &Slot> {
        self.0.iter().flatten()
    }

    /// The numbers of those that are taken.
    pub fn taken_at(&self) -> impl Iterator<Item = usize> {
        self.0.iter().enumerate().filter_map(|(at, slot)| slot.is_some().then_some(at))
    }

    pub fn taken_mut(&mut self) -> impl Iterator<Item = (usize, &mut Slot)> {
        self.0.iter_mut().enumerate().filter_map(|(at, slot)| Some((at, slot.as_mut()?)))
    }

    /// Those like this that have not started.
    pub fn unstarted(&self, is_it: impl Fn(&Slot) -> bool) -> Vec<(usize, Lease)> {
        let of = |(at, slot): (usize, &Option<Slot>)| {
            let slot = slot.as_ref().filter(|slot| !slot.phase.has_started() && is_it(slot))?;
            Some((at, slot.lease))
        };
        self.0.iter().enumerate().filter_map(of).collect()
    }
}
