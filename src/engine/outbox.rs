//! What a worker has to say to its head, in order, until it is said.

use crate::domain::wire::FromWorker;
use crate::limits::LEASES_PER_MESSAGE_MAX;

/// So much of it is not held back any longer.
const GATHER_MAX: usize = 256;

/// See the module.
#[derive(Debug, Default)]
pub struct Outbox {
    messages: Vec<FromWorker>,
    /// Where among them one stands that more starts may be said with: behind it are only ends, which come no sooner by that.
    starts: Option<usize>,
    /// The latest announcement, which says all that earlier ones did: it goes last.
    room: Option<FromWorker>,
    urgent: bool,
}

impl Outbox {
    /// Puts something behind the rest.
    pub fn push(&mut self, message: FromWorker) {
        let is_room = matches!(message, FromWorker::Room { .. });
        // That a worker rests is known before the task that it gives back, and so is what room is left then.
        if is_room && !matches!(self.messages.last(), Some(FromWorker::Standing(_))) {
            self.room = Some(message);
            return;
        }
        if is_room {
            // What was announced before is not true any more.
            self.room = None;
        }
        self.urgent |= match &message {
            FromWorker::Room { .. } | FromWorker::Started(_) => false,
            // Too many failures may end a job.
            FromWorker::Finished(finished) => !finished.outcome.is_success(),
            _ => true,
        };
        match (&message, self.starts.and_then(|at| self.messages.get_mut(at))) {
            (FromWorker::Started(more), Some(FromWorker::Started(leases))) if leases.len() + more.len() <= LEASES_PER_MESSAGE_MAX => {
                leases.extend(more);
                return;
            }
            (FromWorker::Started(_), _) => self.starts = Some(self.messages.len()),
            (FromWorker::Finished(_), _) => {}
            _ => self.starts = None,
        }
        self.messages.push(message);
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.room.is_none()
    }

    /// Whether somebody waits for some of it, or it is much.
    pub fn is_due(&self) -> bool {
        self.urgent || self.messages.len() >= GATHER_MAX
    }

    /// All of it.
    pub fn take(&mut self) -> Vec<FromWorker> {
        (self.urgent, self.starts) = (false, None);
        let mut messages = std::mem::take(&mut self.messages);
        messages.extend(self.room.take());
        messages
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::wire::{Finished, Lease, ResultBytes, Standing};
    use crate::domain::{Attempt, Epoch, JobId, Outcome, Packed, Room, TaskNo, Timing};

    const LEASE: Lease = Lease { job: JobId(1), no: TaskNo(2), attempt: Attempt(1), epoch: Epoch(1) };

    fn room(free: u32) -> FromWorker {
        FromWorker::Room { room: Room::of_slots(free), last_run_seen: 1 }
    }

    fn finished(code: i32) -> FromWorker {
        let bytes = ResultBytes::Inline(Vec::new());
        let outcome = Outcome::Exited { code };
        FromWorker::Finished(Box::new(Finished { lease: LEASE, outcome, timing: Timing::default(), packed: Packed::default(), bytes }))
    }

    fn said(messages: &[FromWorker]) -> Vec<FromWorker> {
        let mut outbox = Outbox::default();
        messages.iter().cloned().for_each(|message| outbox.push(message));
        outbox.take()
    }

    #[test]
    fn starts_are_said_together_as_far_as_nothing_but_ends_is_between_them() {
        let lease = |no| Lease { no: TaskNo(no), ..LEASE };
        let started = |no| FromWorker::Started(vec![lease(no)]);
        let all = said(&[started(1), finished(0), started(2), FromWorker::Declined(LEASE), started(3), started(4)]);
        let expected = [
            FromWorker::Started(vec![lease(1), lease(2)]),
            finished(0),
            FromWorker::Declined(LEASE),
            FromWorker::Started(vec![lease(3), lease(4)]),
        ];
        assert_eq!(all, expected);
        let many: Vec<FromWorker> = (0..=LEASES_PER_MESSAGE_MAX as u32).map(started).collect();
        assert_eq!(said(&many).len(), 2);
        let mut outbox = Outbox::default();
        outbox.push(started(1));
        assert_eq!(outbox.take(), [started(1)]);
        outbox.push(started(2));
        assert_eq!(outbox.take(), [started(2)]);
    }

    #[test]
    fn only_the_last_announcement_is_said_behind_everything_else() {
        assert_eq!(said(&[room(1), finished(0), room(2), finished(0), room(3)]), [finished(0), finished(0), room(3)]);
    }

    #[test]
    fn that_a_worker_rests_and_has_no_room_is_said_in_its_place_and_nothing_older_behind_it() {
        let resting = FromWorker::Standing(Standing::Resting);
        assert_eq!(said(&[room(9), resting.clone(), room(0), finished(1)]), [resting.clone(), room(0), finished(1)]);
        assert_eq!(said(&[resting.clone(), room(0), finished(1), room(4)]), [resting, room(0), finished(1), room(4)]);
    }

    #[test]
    fn starts_and_successes_may_wait_and_nothing_else_but_room() {
        let is_due = |message: FromWorker| {
            let mut outbox = Outbox::default();
            outbox.push(message);
            assert!(!outbox.is_empty());
            outbox.is_due()
        };
        assert!(!is_due(FromWorker::Started(vec![LEASE])) && !is_due(finished(0)) && !is_due(room(1)));
        assert!(is_due(finished(1)) && is_due(FromWorker::Declined(LEASE)) && is_due(FromWorker::Goodbye));
        let mut outbox = Outbox::default();
        (0..GATHER_MAX).for_each(|_| outbox.push(finished(0)));
        assert!(outbox.is_due());
        outbox.take();
        assert!(outbox.is_empty() && !outbox.is_due());
    }
}
