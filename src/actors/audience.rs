//! The Audience: those who follow what running tasks print, and what is on its way to each. A piece is taken when there is room for it, so a
//! worker waits with the next one for whoever takes it slowly, and nothing gathers here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use crate::domain::wire::{Lease, OutputPiece};
use crate::domain::{Error, JobId, TaskNo};
use crate::limits::{FOLLOWERS_MAX, TASK_FOLLOWERS_MAX};

/// Pieces between a worker's call and who follows.
const QUEUE_PIECES: usize = 2;

/// See the module. Cheap to clone.
#[derive(Clone, Default)]
pub struct Audience(Arc<Mutex<Inside>>);

#[derive(Default)]
struct Inside {
    seats: usize,
    by_task: BTreeMap<(JobId, TaskNo), usize>,
    listening: BTreeMap<u64, (Lease, mpsc::Sender<OutputPiece>)>,
}

/// A place for one who follows a task, until it is dropped.
pub struct Seat {
    audience: Audience,
    task: (JobId, TaskNo),
}

/// What comes of one attempt, until it is dropped.
pub struct Listening {
    audience: Audience,
    /// For the worker.
    pub id: u64,
    /// What it sends.
    pub pieces: mpsc::Receiver<OutputPiece>,
}

impl Audience {
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more who follows a task.
    ///
    /// # Errors
    /// `Exhausted`.
    pub fn take_seat(&self, job: JobId, no: TaskNo) -> Result<Seat, Error> {
        let mut inside = self.inside();
        if inside.seats >= FOLLOWERS_MAX {
            return Err(Error::exhausted(format!("{FOLLOWERS_MAX} follow the outputs of tasks, and no more may: try again later")));
        }
        let of_task = inside.by_task.entry((job, no)).or_default();
        if *of_task >= TASK_FOLLOWERS_MAX {
            return Err(Error::exhausted(format!("{TASK_FOLLOWERS_MAX} follow this task's output, and no more may: try again later")));
        }
        *of_task += 1;
        inside.seats += 1;
        Ok(Seat { audience: self.clone(), task: (job, no) })
    }

    /// A worker brings a piece. Returns once there is room for the next; whether anybody wants it.
    pub async fn takes(&self, piece: OutputPiece) -> bool {
        let listening = self.inside().listening.get(&piece.follow).cloned();
        match listening.filter(|(lease, _)| lease.same_attempt(&piece.lease)) {
            Some((_, out)) => out.send(piece).await.is_ok(),
            None => false,
        }
    }
}

impl Seat {
    /// Listens to what a worker sends of an attempt, by this number. Random: a number of another start of the head is nobody's.
    pub fn listens(&self, lease: Lease) -> Listening {
        let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
        let (id, (out, pieces)) = (high ^ low, mpsc::channel(QUEUE_PIECES));
        self.audience.inside().listening.insert(id, (lease, out));
        Listening { audience: self.audience.clone(), id, pieces }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut inside = self.audience.inside();
        inside.seats = inside.seats.saturating_sub(1);
        if let Some(of_task) = inside.by_task.get_mut(&self.task) {
            *of_task = of_task.saturating_sub(1);
            if *of_task == 0 {
                inside.by_task.remove(&self.task);
            }
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.audience.inside().listening.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Attempt, Epoch, ErrorKind};

    fn lease(no: u32) -> Lease {
        Lease { job: JobId(1), no: TaskNo(no), attempt: Attempt(1), epoch: Epoch(1) }
    }

    fn piece(follow: u64, no: u32) -> OutputPiece {
        super::super::sights::empty(follow, lease(no), 0)
    }

    #[test]
    fn seats_are_bounded_for_a_task_and_in_all() {
        let audience = Audience::default();
        let full: Vec<Seat> = (0..TASK_FOLLOWERS_MAX).map(|_| audience.take_seat(JobId(1), TaskNo(0)).unwrap()).collect();
        assert_eq!(audience.take_seat(JobId(1), TaskNo(0)).err().map(|error| error.kind), Some(ErrorKind::Exhausted));
        let others: Vec<Seat> = (full.len()..FOLLOWERS_MAX).map(|no| audience.take_seat(JobId(2), TaskNo(no as u32)).unwrap()).collect();
        assert!(audience.take_seat(JobId(3), TaskNo(0)).is_err());
        drop(full);
        assert!(audience.take_seat(JobId(1), TaskNo(0)).is_ok());
        drop(others);
        let inside = audience.inside();
        assert_eq!((inside.seats, inside.by_task.len()), (0, 0));
    }

    #[tokio::test]
    async fn a_piece_waits_for_room_and_is_for_nobody_once_they_have_gone() {
        let audience = Audience::default();
        let seat = audience.take_seat(JobId(1), TaskNo(0)).unwrap();
        let mut listening = seat.listens(lease(0));
        let id = listening.id;
        assert!(!audience.takes(piece(id, 1)).await && !audience.takes(piece(id ^ 1, 0)).await, "of another task, by another number");
        for _ in 0..QUEUE_PIECES {
            assert!(audience.takes(piece(id, 0)).await);
        }
        let late = tokio::spawn({
            let audience = audience.clone();
            async move { audience.takes(piece(id, 0)).await }
        });
        tokio::task::yield_now().await;
        assert!(!late.is_finished(), "there is no room");
        listening.pieces.recv().await.unwrap();
        assert!(late.await.unwrap());
        drop(listening);
        assert!(!audience.takes(piece(id, 0)).await && audience.inside().listening.is_empty());
    }
}
