//! What people ask: how a job is and why, what comes next, when it will have ended; and what became of such forecasts.

use ractor::RpcReplyPort;

use crate::actors::ask::ask;
use crate::actors::job::JobMsg;
use crate::domain::entry::{Entry, JobEntry};
use crate::domain::{Error, EtaScore, JobId, TaskNo};
use crate::engine::explain::{self, Explanation};
use crate::engine::job::Whereabouts;
use crate::engine::roster::{Order, Place};
use crate::engine::{JobRecord, JobView};

use super::actor::SupervisorState;
use super::jobs::unknown;
use super::status::{JobStatus, WorkerStatus};

/// The next hand-outs; and of the job that is asked what if, where it stands, and where it would.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrderAnswer {
    /// As they would be.
    pub order: Order,
    /// Of the job, as it is.
    pub place: Option<Place>,
    /// As it would be.
    pub place_if: Option<Place>,
}

impl SupervisorState {
    pub(super) fn status(&self, view: &JobView) -> JobStatus {
        JobStatus {
            reason: explain::job::reason(view, &self.roster),
            past_finish_line: self.roster.past_finish_line(view),
            eta: self.roster.eta(view, self.clock.now().mono),
            expires: self.retention.expires(view),
            view: view.clone(),
        }
    }

    pub(super) fn status_of(&self, job: JobId) -> Result<JobStatus, Error> {
        self.views.get(&job).map(|view| self.status(view)).ok_or_else(|| unknown(job))
    }

    pub(super) fn explain(&self, job: JobId) -> Result<(JobStatus, Explanation), Error> {
        let status = self.status_of(job)?;
        let explanation = explain::job::explain(&status.view, &self.roster);
        Ok((status, explanation))
    }

    pub(super) fn explain_worker(&self, status: &WorkerStatus) -> Explanation {
        let WorkerStatus { info, phase, since, note, leases, drained, left, .. } = status;
        let (slots, holds) = (info.slots, leases.len() as u32);
        let seen = explain::worker::Seen {
            id: info.id,
            phase: *phase,
            since: *since,
            slots,
            holds,
            suspicion: note,
            drained: *drained,
            left: *left,
        };
        explain::worker::explain(&seen, &self.roster)
    }

    /// Where a task is. A job that lives answers itself.
    pub(super) fn whereabouts(&self, job: JobId, no: TaskNo, reply: RpcReplyPort<Result<Whereabouts, Error>>) {
        match (self.live.get(&job), self.ended.get(&job)) {
            (Some(actor), _) => {
                let actor = actor.clone();
                tokio::spawn(async move {
                    let _ = reply.send(ask(&actor, |reply| JobMsg::Whereabouts(no, reply)).await);
                });
            }
            (None, Some(ended)) => {
                let _ = reply.send(Ok(Whereabouts::at_the_end(&ended.record, no)));
            }
            (None, None) => {
                let _ = reply.send(Err(unknown(job)));
            }
        }
    }

    pub(super) fn order(&self, limit: u32, what_if: Option<(JobId, i32)>) -> OrderAnswer {
        let place = what_if.and_then(|(job, _)| self.roster.place(job));
        let place_if = what_if.and_then(|(job, _)| self.roster.place_if(job, what_if));
        OrderAnswer { order: self.roster.next_hand_outs(limit, what_if), place, place_if }
    }

    /// Notes what is said of a job's end, at the points that are set for that.
    pub(super) fn foresee(&mut self, view: &JobView) {
        let (now, roster) = (self.clock.now().mono, &self.roster);
        self.foresight.slots(roster.slots());
        self.foresight.changed(view, now, || roster.eta(view, now));
    }

    /// A job has ended: what was said of that is looked at again, and written down.
    pub(super) fn look_back(&mut self, record: &mut JobRecord, view: &mut JobView) {
        let score = self.foresight.ended(view, self.clock.now().mono);
        if score.checks > 0 {
            let entry = JobEntry::EtaScored(score);
            record.apply(&entry);
            view.eta_score = record.eta_score;
            self.journal.append(Entry::Job(record.id, entry), None, || {});
        }
    }

    /// How often ETAs were right, of all jobs that are known.
    pub(super) fn eta_score(&self) -> EtaScore {
        self.views.values().fold(EtaScore::default(), |mut sum, view| {
            sum.add(view.eta_score);
            sum
        })
    }
}
