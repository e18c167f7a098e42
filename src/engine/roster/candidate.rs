//! A job among those that may be granted slots.

use std::collections::BTreeMap;

use crate::domain::{GrantId, Instant};
use crate::engine::view::JobView;

/// A job as it was last seen, and what it was granted since.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub view: JobView,
    /// Grants the view has not taken in.
    unseen: BTreeMap<GrantId, u32>,
    /// Their slots: kept, since there may be one for each of a thousand workers.
    unseen_slots: u32,
    /// Since when jobs behind it take the room, as none is large enough for it.
    pub overtaken_since: Option<Instant>,
    /// Its part of its owner's busy slots.
    pub counted: u32,
    /// Its part of what may still run since before a restart of the head.
    pub counted_limbo: u32,
}

impl Candidate {
    pub fn new(view: JobView) -> Self {
        Self { view, unseen: BTreeMap::new(), unseen_slots: 0, overtaken_since: None, counted: 0, counted_limbo: 0 }
    }

    /// Slots that it wants besides those.
    pub fn wanted(&self) -> u32 {
        self.view.wanted.saturating_sub(self.unseen_slots)
    }

    /// Slots that it has, with those.
    pub fn busy(&self) -> u32 {
        self.view.out.saturating_add(self.unseen_slots)
    }

    /// It is like this now.
    pub fn changes(&mut self, view: JobView) {
        while let Some(grant) = self.unseen.first_entry().filter(|grant| *grant.key() <= view.last_grant) {
            self.unseen_slots -= grant.remove();
        }
        self.view = view;
        self.overtaken_since = self.overtaken_since.filter(|_| self.wanted() > 0);
    }

    /// It is granted a slot.
    pub fn granted(&mut self, grant: GrantId) {
        *self.unseen.entry(grant).or_default() += 1;
        self.unseen_slots += 1;
        self.overtaken_since = None;
    }

    /// Whether it has not answered this grant.
    pub fn awaits(&self, grant: &GrantId) -> bool {
        self.unseen.contains_key(grant)
    }

    /// Whether what is kept is what it should be.
    pub fn is_right(&self) -> bool {
        self.unseen.values().sum::<u32>() == self.unseen_slots
    }
}
