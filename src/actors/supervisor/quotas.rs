//! What owners may have at once: set, shown, and looked at before a job is taken in.

use std::collections::BTreeMap;

use ractor::RpcReplyPort;

use crate::domain::entry::Entry;
use crate::domain::{Error, JobId, Quota};
use crate::engine::RosterEvent;
use crate::engine::usage::{TaskRoom, Usage};

use super::actor::SupervisorState;

impl SupervisorState {
    pub(super) fn set_quota(&mut self, owner: String, quota: Option<Quota>, reply: RpcReplyPort<Result<(), Error>>) {
        if let Err(error) = self.roster.quotas().takes(&owner, quota) {
            let _ = reply.send(Err(error));
            return;
        }
        let mut quotas = self.roster.quotas().clone();
        quotas.set(owner.clone(), quota);
        self.roster_event(RosterEvent::Quotas(Box::new(quotas)));
        self.journal.append(Entry::QuotaSet { owner, quota }, None, move || {
            let _ = reply.send(Ok(()));
        });
    }

    /// Of all who have jobs that have not ended.
    pub(super) fn usage(&self) -> BTreeMap<String, Usage> {
        let mut all: BTreeMap<String, Usage> = BTreeMap::new();
        for view in self.roster.views() {
            all.entry(view.spec.owner.clone()).or_default().add_job(view);
        }
        for (_, spec) in self.admission.specs() {
            all.entry(spec.owner.clone()).or_default().add_new_job(spec);
        }
        all.iter_mut().for_each(|(owner, usage)| usage.slots = self.roster.held_by(owner));
        all
    }

    /// An owner's quota, and what he has, if it limits anything of his jobs.
    fn limited(&self, owner: &str) -> Option<(Quota, Usage)> {
        let quota = self.roster.quotas().of(owner);
        (quota.jobs.is_some() || quota.tasks.is_some()).then(|| (quota, self.usage().remove(owner).unwrap_or_default()))
    }

    /// Whether an owner may have one more job that has not ended, of so many tasks that have not.
    ///
    /// # Errors
    /// `Exhausted`.
    pub(super) fn has_quota_for(&self, owner: &str, tasks: u64) -> Result<(), Error> {
        self.limited(owner).map_or(Ok(()), |(quota, usage)| usage.takes_job(quota, owner, tasks))
    }

    /// How many tasks a job's split may give; none if that is not limited.
    pub(super) fn task_room(&self, job: JobId) -> Option<TaskRoom> {
        let owner = &self.views.get(&job)?.spec.owner;
        self.limited(owner).and_then(|(quota, usage)| usage.task_room(owner, quota))
    }
}
