//! What owners may still store, with what is on its way: uploads side by side are looked at together.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::actors::Head;
use crate::domain::Error;
use crate::engine::usage::StoredRoom;

use super::who::Who;

/// Bytes on their way, by owner.
#[derive(Clone, Default)]
pub struct Coming(Arc<Mutex<BTreeMap<String, u64>>>);

/// An upload's part of its owner's quota, as long as it is held; of one without a quota everything.
pub struct Room {
    coming: Coming,
    owner: String,
    room: Option<StoredRoom>,
    mine: u64,
}

impl Coming {
    /// For an upload of somebody: nothing yet.
    ///
    /// # Errors
    /// `Unavailable` while the head is shutting down.
    pub async fn room_for(&self, who: &Who, head: &Head) -> Result<Room, Error> {
        let room = head.stored_room(who.owner()).await?;
        Ok(Room { coming: self.clone(), owner: who.owner().unwrap_or_default().to_owned(), room, mine: 0 })
    }

    fn bytes(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Room {
    /// Takes so many bytes in all for this upload; what it has it keeps.
    ///
    /// # Errors
    /// `Exhausted` if that is too much for the quota, beside what is stored and on its way.
    pub fn takes(&mut self, bytes: u64) -> Result<(), Error> {
        let Some(room) = self.room.as_ref().filter(|_| bytes > self.mine) else { return Ok(()) };
        let mut coming = self.coming.bytes();
        let all = coming.entry(self.owner.clone()).or_default();
        room.beside(*all - self.mine).takes(bytes)?;
        *all += bytes - self.mine;
        self.mine = bytes;
        Ok(())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut coming = self.coming.bytes();
        if let Some(all) = coming.get_mut(&self.owner) {
            *all -= self.mine;
            if *all == 0 {
                coming.remove(&self.owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uploads_side_by_side_have_together_what_is_left() {
        let coming = Coming::default();
        let room = |owner: &str| {
            let stored = StoredRoom { owner: owner.into(), stored: 40, max: 100 };
            Room { coming: coming.clone(), owner: owner.into(), room: Some(stored), mine: 0 }
        };
        let (mut first, mut second, mut other) = (room("ana"), room("ana"), room("ben"));
        first.takes(50).unwrap();
        assert!(second.takes(11).is_err() && second.takes(10).is_ok() && other.takes(60).is_ok());
        assert!(first.takes(51).is_err() && first.takes(20).is_ok(), "what it has it keeps");
        drop(second);
        first.takes(60).unwrap();
        drop((first, other));
        assert!(coming.bytes().is_empty());
        let mut free = Room { coming: coming.clone(), owner: "eve".into(), room: None, mine: 0 };
        assert!(free.takes(u64::MAX).is_ok() && coming.bytes().is_empty());
    }
}
