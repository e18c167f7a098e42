//! What a proxy tells the supervisor of its worker's room.
//!
//! Tasks that come back unstarted make room, and they are what that room is for, if their job goes first. So the supervisor hears of the room only
//! behind the jobs that have them back: otherwise it would give it to the next in line.

use std::collections::BTreeSet;
use std::sync::Arc;

use ractor::ActorRef;

use crate::domain::{GrantId, JobId, Resources, Room, SessionId};
use crate::engine::{SessionEffect, Trust};

use super::job::JobMsg;
use super::supervisor::SupervisorMsg;

/// What of a session may be granted.
#[derive(Clone, Debug)]
pub struct RoomReport {
    /// Which session.
    pub session: SessionId,
    /// Grows with every report of the session: one that has waited for jobs may come behind a newer one.
    pub number: u64,
    /// What may be granted.
    pub room: Room,
    /// Resources that are free.
    pub free: Resources,
    /// Grants that this report includes.
    pub settled: Vec<GrantId>,
    /// How the worker may be used.
    pub trust: Trust,
    /// When it was known.
    pub told: std::time::Instant,
}

impl RoomReport {
    /// Takes over what a later one says, if there is one; what is settled stays its own.
    pub fn brought_up_to_date(self, latest: &mut Option<Self>) -> Self {
        match latest {
            Some(later) if later.number > self.number => Self { settled: self.settled, ..later.clone() },
            _ => latest.insert(self).clone(),
        }
    }
}

/// A report on its way; it arrives once nobody holds it any more.
pub struct RoomBehind {
    supervisor: ActorRef<SupervisorMsg>,
    report: Option<RoomReport>,
}

impl RoomBehind {
    /// Sends a report, behind all that these jobs have yet to say.
    pub fn send<'a>(report: RoomReport, supervisor: &ActorRef<SupervisorMsg>, jobs: impl Iterator<Item = &'a ActorRef<JobMsg>>) {
        let behind = Arc::new(Self { supervisor: supervisor.clone(), report: Some(report) });
        jobs.for_each(|job| drop(job.cast(JobMsg::Heard(behind.clone()))));
    }
}

impl Drop for RoomBehind {
    fn drop(&mut self) {
        if let Some(report) = self.report.take() {
            let _ = self.supervisor.cast(SupervisorMsg::Room(report));
        }
    }
}

/// The jobs that get tasks back.
pub fn who_gets_back(effects: &[SessionEffect]) -> BTreeSet<JobId> {
    let back = |effect: &SessionEffect| match effect {
        SessionEffect::Returned(job, _) => Some(*job),
        SessionEffect::Fenced { job, dropped, .. } if !dropped.is_empty() => Some(*job),
        _ => None,
    };
    effects.iter().filter_map(back).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_that_was_overtaken_settles_its_grants_and_says_nothing_else() {
        let report = |number: u64, free: u32| RoomReport {
            session: SessionId(1),
            number,
            room: Room::of_slots(free),
            free: Resources::default(),
            settled: vec![GrantId(number)],
            trust: Trust::Trusted,
            told: std::time::Instant::now(),
        };
        let mut latest = None;
        let told = |latest: &mut Option<RoomReport>, report: RoomReport| {
            let told = report.brought_up_to_date(latest);
            (told.room.free, told.settled)
        };
        assert_eq!(told(&mut latest, report(1, 4)), (4, vec![GrantId(1)]));
        assert_eq!(told(&mut latest, report(3, 0)), (0, vec![GrantId(3)]));
        assert_eq!(told(&mut latest, report(2, 4)), (0, vec![GrantId(2)]), "it is known by now that nothing is free");
        assert_eq!(told(&mut latest, report(4, 2)), (2, vec![GrantId(4)]));
    }
}
