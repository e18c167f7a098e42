//! What the slots' threads and the WorkerActor share: attempts that have ended, and tasks that a slot which has ended one may start at once.
//!
//! A short task is over before the actor has heard of the last one's end and has woken the thread again. So the actor offers the threads what
//! comes next in line, and a thread that has ended a task claims one under the lock. Whatever happens to the worker, the actor first takes
//! back what it has offered and hears what was claimed, then decides, then offers again: so a task that a fence, a recall, a drain or an end
//! of the session finds here can't start any more, and one that was claimed has started for all of them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::Instant;
use crate::domain::wire::Lease;

use super::clock::Clock;
use super::result_box::KeptResult;
use super::runner::{Order, StopSwitch};

/// Why this machine failed an attempt, in one line; that says nothing about the task.
pub type MachineFault = String;

/// An attempt that is over.
pub struct EndedAttempt {
    /// In which slot.
    pub slot: usize,
    /// Which.
    pub lease: Lease,
    /// Its result, packed; or why this machine failed it.
    pub ended: Result<Box<KeptResult>, MachineFault>,
    /// What the slot goes on with, and how to stop that.
    pub next: Option<(Lease, Arc<StopSwitch>)>,
}

#[derive(Default)]
struct Shared {
    offered: VecDeque<Order>,
    /// Later than that the head may have given to others what has not started.
    until: Instant,
    ended: Vec<EndedAttempt>,
}

/// See the module.
pub struct Handover {
    clock: Clock,
    shared: Mutex<Shared>,
}

impl Handover {
    /// Nothing has ended, and nothing is offered.
    pub fn new(clock: Clock) -> Self {
        Self { clock, shared: Mutex::default() }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A slot has ended an attempt: what it goes on with.
    pub fn end(&self, slot: usize, lease: Lease, ended: Result<Box<KeptResult>, MachineFault>) -> Option<Order> {
        let mut shared = self.shared();
        if ended.is_err() || self.clock.now().mono > shared.until {
            // A machine that has failed starts nothing before the actor has heard of it, nor does one that stood still.
            shared.offered.clear();
        }
        let next = shared.offered.pop_front();
        let claimed = next.as_ref().map(|order| (order.lease, order.stop.clone()));
        shared.ended.push(EndedAttempt { slot, lease, ended, next: claimed });
        next
    }

    /// What has ended, and what of the offers nobody has claimed, nor will. In order, but first those whose slots went on: otherwise a slot that
    /// was freed before would be given what another has claimed. (A slot that did not go on has nothing behind that.)
    pub fn take(&self) -> (Vec<EndedAttempt>, VecDeque<Order>) {
        let mut shared = self.shared();
        let (mut ended, offered) = (std::mem::take(&mut shared.ended), std::mem::take(&mut shared.offered));
        drop(shared);
        ended.sort_by_key(|attempt| attempt.next.is_none());
        (ended, offered)
    }

    /// From now on slots that end a task claim these, until `until` at most.
    pub fn offer(&self, orders: VecDeque<Order>, until: Instant) {
        let mut shared = self.shared();
        (shared.offered, shared.until) = (orders, until);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::testing::job_spec;
    use crate::domain::wire::JobInfo;
    use crate::domain::{Attempt, Epoch, JobId, Outcome, TaskNo};

    fn lease(no: u32) -> Lease {
        Lease { job: JobId(7), no: TaskNo(no), attempt: Attempt(1), epoch: Epoch(1) }
    }

    fn orders(nos: &[u32]) -> VecDeque<Order> {
        let info = Arc::new(JobInfo { job: JobId(7), spec: job_spec(), total: 9 });
        let order =
            |no: &u32| Order { lease: lease(*no), info: info.clone(), inputs: Default::default(), gpus: None, stop: Arc::default() };
        nos.iter().map(order).collect()
    }

    fn well() -> Result<Box<KeptResult>, MachineFault> {
        Ok(Box::new(KeptResult::without_bytes(Outcome::Exited { code: 0 })))
    }

    /// With offers that hold for an hour.
    fn offering(nos: &[u32]) -> Handover {
        let clock = Clock::start();
        let handover = Handover::new(clock);
        handover.offer(orders(nos), clock.now().mono.after(Duration::from_secs(3600)));
        handover
    }

    fn no(order: Option<Order>) -> Option<u32> {
        order.map(|order| order.lease.no.0)
    }

    #[test]
    fn each_is_claimed_once_in_order_and_what_was_taken_back_by_nobody() {
        let handover = offering(&[1, 2, 3]);
        assert_eq!((no(handover.end(0, lease(8), well())), no(handover.end(1, lease(9), well()))), (Some(1), Some(2)));
        let (ended, left) = handover.take();
        let claimed: Vec<_> =
            ended.iter().map(|ended| (ended.slot, ended.lease.no.0, ended.next.as_ref().map(|(next, _)| next.no.0))).collect();
        assert_eq!(claimed, [(0, 8, Some(1)), (1, 9, Some(2))]);
        assert_eq!(left.iter().map(|order| order.lease.no.0).collect::<Vec<_>>(), [3]);
        assert_eq!(no(handover.end(0, lease(1), well())), None);
        assert_eq!(handover.take().0.len(), 1);
    }

    #[test]
    fn those_that_went_on_are_told_before_a_slot_that_was_freed_meanwhile() {
        let handover = offering(&[]);
        assert_eq!(no(handover.end(0, lease(8), well())), None);
        handover.offer(orders(&[1, 2]), Instant(u64::MAX));
        assert_eq!((no(handover.end(1, lease(9), well())), no(handover.end(1, lease(1), well()))), (Some(1), Some(2)));
        assert_eq!(no(handover.end(1, lease(2), well())), None);
        let told: Vec<_> = handover.take().0.iter().map(|ended| (ended.slot, ended.lease.no.0)).collect();
        assert_eq!(told, [(1, 9), (1, 1), (0, 8), (1, 2)]);
    }

    #[test]
    fn a_machine_that_has_failed_starts_nothing_more_nor_does_one_that_stood_still() {
        let handover = offering(&[1, 2]);
        assert_eq!(no(handover.end(0, lease(8), Err("its disk is broken".into()))), None);
        assert_eq!(no(handover.end(1, lease(9), well())), None, "the task is given back, whichever slot ends first");
        handover.offer(orders(&[1]), Instant(0));
        assert_eq!(no(handover.end(0, lease(8), well())), None);
    }

    #[test]
    fn slots_that_end_at_once_never_claim_the_same() {
        let handover = offering(&(0..400).collect::<Vec<_>>());
        let claims = |slot: usize| {
            let handover = &handover;
            move || (0..200).filter_map(|_| no(handover.end(slot, lease(9), well()))).collect::<Vec<_>>()
        };
        let mut all: Vec<u32> = std::thread::scope(|scope| {
            let threads = [0, 1, 2].map(|slot| scope.spawn(claims(slot)));
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        all.sort_unstable();
        assert_eq!(all, (0..400).collect::<Vec<_>>());
        assert_eq!(handover.take().0.len(), 600);
    }
}
