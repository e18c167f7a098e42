//! A message that an actor sends itself after a while, once for all that asks for it meanwhile.

use std::time::Duration;

use ractor::{ActorRef, Message};

/// Whether it is under way.
#[derive(Debug, Default)]
pub(super) struct Reminder {
    comes: bool,
}

impl Reminder {
    /// Sends it after so long, unless it comes anyway.
    pub fn ask<M: Message>(&mut self, myself: &ActorRef<M>, wait: Duration, message: fn() -> M) {
        if !std::mem::replace(&mut self.comes, true) {
            drop(myself.send_after(wait, message));
        }
    }

    /// It has come.
    pub fn came(&mut self) {
        self.comes = false;
    }
}
