//! Why the free slots of a worker get no task.

use super::fit::lacks;
use super::{Roster, Seat};
use crate::domain::{DiskRoom, JobId, WorkerId};

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Idle {
    /// No job wants a slot.
    NobodyWants,
    /// The head's disk is almost full.
    DiskFull(DiskRoom),
    /// It is kept free for this job.
    KeptFor(JobId),
    /// All that want slots have as many as their owners may; this one is of this owner.
    Quota(JobId, String),
    /// It lacks what every job's tasks ask for; what the first in the order asks for, of all that it has.
    Unfit(JobId, String),
    /// What every job's tasks ask for is taken, or not there; what of it the first in the order that would fit misses now.
    Taken(JobId, String),
    /// Tasks of this job are on their way.
    Coming(JobId),
}

impl Roster {
    /// Why a worker's free slots get no task now; none if it has no free slot that may be granted.
    pub fn idle(&self, worker: WorkerId) -> Option<Idle> {
        let seat = self.seats.values().find(|seat| seat.worker == worker)?;
        if seat.room_left(self.trusted).free == 0 {
            return seat.granted.values().map(|(_, job, _)| Idle::Coming(*job)).next();
        }
        let Some(first_of_all) = self.jobs.values().find(|job| job.wanted() > 0) else { return Some(Idle::NobodyWants) };
        if let Some(room) = self.disk_full {
            return Some(Idle::DiskFull(room));
        }
        let order = self.standings(None);
        if order.is_empty() {
            return Some(Idle::Quota(first_of_all.view.id, first_of_all.view.spec.owner.clone()));
        }
        let kept = self.reservation().filter(|kept| kept.worker == worker);
        let mut reasons = order.iter().filter_map(|(_, id)| Some((*id, self.misses(seat, *id)?)));
        reasons.clone().find(|(_, missing)| matches!(missing, Missing::Nothing)).map_or_else(
            || {
                let taken = |(_, missing): &(JobId, Missing)| matches!(missing, Missing::Now(_));
                let first = reasons.clone().find(taken).or_else(|| reasons.next());
                kept.map(|kept| Idle::KeptFor(kept.job)).or_else(|| match first? {
                    (job, Missing::Now(what)) => Some(Idle::Taken(job, what)),
                    (job, Missing::Ever(what)) => Some(Idle::Unfit(job, what)),
                    (_, Missing::Nothing) => None,
                })
            },
            |(job, _)| Some(kept.map_or(Idle::Coming(job), |kept| Idle::KeptFor(kept.job))),
        )
    }

    fn misses(&self, seat: &Seat, job: JobId) -> Option<Missing> {
        let needs = &self.jobs.get(&job)?.view.spec.needs;
        Some(match (needs.fits(&seat.total), needs.fits(&seat.free_left())) {
            (false, _) => Missing::Ever(lacks(needs, &seat.total).join(" and ")),
            (true, false) => Missing::Now(lacks(needs, &seat.free_left()).join(" and ")),
            (true, true) => Missing::Nothing,
        })
    }
}

/// What of a task's needs a worker does not have.
#[derive(Clone, Debug)]
enum Missing {
    Nothing,
    Now(String),
    Ever(String),
}
