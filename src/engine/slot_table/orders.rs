//! What the head says, and a worker does.

use std::time::Duration;

use super::SlotTable;
use super::ahead::Waiting;
use super::event::SlotEffect;
use super::rest::Rest;
use super::slots::Phase;
use crate::domain::wire::{FromWorker, Lease, Run, ToWorker, Verdict};
use crate::domain::{FenceId, JobId};
use crate::engine::fault::Fault;
use crate::engine::now::Now;
use crate::limits;

impl SlotTable {
    pub(super) fn said(&mut self, message: ToWorker, now: Now, fx: &mut Vec<SlotEffect>) {
        match message {
            ToWorker::Job(info) => {
                self.needs.insert(info.job, info.spec.needs.clone());
                fx.push(SlotEffect::Learn(info));
            }
            ToWorker::JobGone(job) => {
                self.needs.remove(&job);
                fx.push(SlotEffect::Unlearn(job));
            }
            ToWorker::Runs(runs) => {
                runs.into_iter().for_each(|run| self.run(run, now, fx));
                self.announce(now, fx);
            }
            ToWorker::Fence(fence, job) => self.fence(fence, job, now, fx),
            ToWorker::Recall => {
                self.give_back_ahead(fx);
                self.announce(now, fx);
            }
            ToWorker::Stop(lease, grace) => self.stop(&lease, grace, false, now, fx),
            ToWorker::Freeze(lease, frozen) => self.freeze(&lease, frozen, fx),
            ToWorker::Ack(leases) => {
                leases.iter().for_each(|lease| self.forget(lease, fx));
                self.announce(now, fx);
            }
            ToWorker::Verdict(lease, verdict) => self.verdict(&lease, verdict, now, fx),
            ToWorker::Drain(drain) => {
                // A person who lets it back has seen to the machine.
                if !drain {
                    self.rest = Rest::None;
                }
                self.drain(drain, now, fx);
            }
            ToWorker::Follow(follow) => fx.push(SlotEffect::Follow(follow)),
            ToWorker::Welcome { .. } | ToWorker::Refuse(_) | ToWorker::Heartbeat(_) => {}
        }
    }

    fn run(&mut self, run: Run, now: Now, fx: &mut Vec<SlotEffect>) {
        self.announced.run_seen(run.seq);
        // What it can never have is not waited for: the head knows another worker, or is mistaken about this one.
        let needs = self.needs.get(&run.lease.job).cloned().unwrap_or_default();
        let fits = needs.fits(self.equipment.total());
        let task = Waiting { lease: run.lease, needs, chunk: run.chunk, since: now.mono };
        let free = self.free() > 0;
        match self.slots.first_free().filter(|_| free) {
            Some(slot) if fits && self.ahead.is_empty() => self.occupy(slot, task, now, fx),
            _ if fits && run.seq <= self.announced.credit() && self.takes_ahead() => self.ahead.push(task),
            _ => fx.push(SlotEffect::Say(FromWorker::Declined(run.lease))),
        }
    }

    fn fence(&mut self, fence: FenceId, job: JobId, now: Now, fx: &mut Vec<SlotEffect>) {
        let started = self.running().filter(|lease| lease.job == job).collect();
        let kept = self.fault == Some(Fault::AheadKept);
        let mut dropped = if kept { Vec::new() } else { self.ahead.remove_job(job) };
        for (at, lease) in self.slots.unstarted(|slot| slot.lease.job == job) {
            dropped.push(lease);
            fx.push(SlotEffect::CancelPrepare { slot: at });
            self.slots.take_if(at, |_| self.fault != Some(Fault::SlotKept));
        }
        fx.push(SlotEffect::Say(FromWorker::Fenced { fence, started, dropped }));
        self.announce(now, fx);
    }

    fn stop(&mut self, lease: &Lease, grace: Duration, unwanted: bool, now: Now, fx: &mut Vec<SlotEffect>) {
        if let Some(lease) = self.ahead.remove(lease) {
            fx.push(SlotEffect::Say(FromWorker::Declined(lease)));
            self.announce(now, fx);
            return;
        }
        let Some((at, slot)) = self.slots.of(lease) else { return };
        let lease = slot.lease;
        match &mut slot.phase {
            Phase::Preparing | Phase::Ready => {
                self.slots.take_if(at, |_| true);
                fx.push(SlotEffect::CancelPrepare { slot: at });
                fx.push(SlotEffect::Say(FromWorker::Declined(lease)));
                self.announce(now, fx);
            }
            Phase::Running { unwanted: mark } => {
                *mark |= unwanted;
                fx.push(SlotEffect::Stop { slot: at, lease, grace });
            }
        }
    }

    /// Only what runs can stand still: what has not started is the head's to drop.
    fn freeze(&mut self, lease: &Lease, frozen: bool, fx: &mut Vec<SlotEffect>) {
        let Some((at, slot)) = self.slots.of(lease) else { return };
        if matches!(slot.phase, Phase::Running { .. }) && slot.frozen != frozen {
            slot.frozen = frozen;
            fx.push(SlotEffect::Freeze { slot: at, lease: slot.lease, frozen });
        }
    }

    fn forget(&mut self, lease: &Lease, fx: &mut Vec<SlotEffect>) {
        if self.results.remove(lease) {
            fx.push(SlotEffect::Forget(*lease));
        }
    }

    fn verdict(&mut self, lease: &Lease, verdict: Verdict, now: Now, fx: &mut Vec<SlotEffect>) {
        let epoch = self.epoch;
        match verdict {
            Verdict::Stop => {
                self.forget(lease, fx);
                self.stop(lease, limits::DEFAULT_GRACE, true, now, fx);
                self.announce(now, fx);
            }
            Verdict::Adopt | Verdict::AdoptFrozen | Verdict::Send => {
                let adopted = Lease { epoch, ..*lease };
                self.freeze(lease, verdict == Verdict::AdoptFrozen, fx);
                if let Some((_, slot)) = self.slots.of(lease) {
                    (slot.lease, slot.confirmed) = (adopted, true);
                } else if self.results.adopt(adopted) {
                    fx.push(SlotEffect::Deliver(adopted));
                } else {
                    // It was acknowledged while the question was on its way: the head must not wait for it.
                    fx.push(SlotEffect::Say(FromWorker::Declined(adopted)));
                }
            }
        }
    }
}
