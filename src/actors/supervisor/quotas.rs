//! What owners may have at once: set, shown, and looked at before a job is taken in.

use std::collections::BTreeMap;

use ractor::RpcReplyPort;

use crate::domain::entry::Entry;
use crate::domain::{Error, JobId, JobSpec, Quota, Quotas};
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
    pub(super) fn usage(&self) -> (Quotas, BTreeMap<String, Usage>) {
        let mut all: BTreeMap<String, Usage> = BTreeMap::new();
        for view in self.roster.views() {
            all.entry(view.spec.owner.clone()).or_default().add_job(view);
        }
        for (_, spec) in self.admission.specs() {
            all.entry(spec.owner.clone()).or_default().add_new_job(spec);
        }
        all.iter_mut().for_each(|(owner, usage)| usage.slots = self.roster.held_by(owner));
        (self.roster.quotas().clone(), all)
    }

    fn usage_of(&self, owner: &str) -> Usage {
        let mut usage = Usage::default();
        self.roster.views().filter(|view| view.spec.owner == owner).for_each(|view| usage.add_job(view));
        self.admission.specs().filter(|(_, spec)| spec.owner == owner).for_each(|(_, spec)| usage.add_new_job(spec));
        usage
    }

    /// Whether an owner may have one more job like this.
    ///
    /// # Errors
    /// `Exhausted`.
    pub(super) fn has_quota_for(&self, spec: &JobSpec) -> Result<(), Error> {
        match self.roster.quotas().of(&spec.owner) {
            quota if quota == Quota::default() => Ok(()),
            quota => self.usage_of(&spec.owner).takes_job(quota, spec),
        }
    }

    /// Whether a job that has ended, and of which so many tasks are to run again, may be one of its owner's that have not.
    ///
    /// # Errors
    /// `Exhausted`.
    pub(super) fn has_quota_again(&self, owner: &str, tasks: u32) -> Result<(), Error> {
        let (quota, usage) = (self.roster.quotas().of(owner), self.usage_of(owner));
        usage.takes_one_more_job(quota, owner)?;
        usage.task_room(owner, quota).map_or(Ok(()), |room| room.takes(tasks.into()))
    }

    /// How many tasks a job's split may give; none if that is not limited.
    pub(super) fn task_room(&self, job: JobId) -> Option<TaskRoom> {
        let owner = &self.views.get(&job)?.spec.owner;
        let quota = self.roster.quotas().of(owner);
        quota.tasks.and_then(|_| self.usage_of(owner).task_room(owner, quota))
    }
}
