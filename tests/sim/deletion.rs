//! Jobs that are deleted once they have ended: as the supervisor does it, from the wish to the disk.

use std::sync::Arc;
use std::time::Duration;

use millpond::domain::entry::{Entry, JobEntry};
use millpond::domain::verb::{KillMode, Verb};
use millpond::domain::wire::{Lease, ToWorker, Verdict};
use millpond::domain::{JobId, Keep, WallTime};
use millpond::engine::{JobEvent, JobMachine, JobView, SessionEvent};

use crate::rng::Rng;
use crate::world::{Addr, Mail, World};

impl World {
    /// Some jobs are to be deleted, each as soon as it has ended. From random numbers of its own, so that everything else is as without.
    pub fn plan_deletions(&mut self, seed: u64, jobs: u64) {
        let mut rng = Rng::new(seed ^ 0xde1e7e);
        for job in 1..=jobs {
            if rng.percent(40) {
                let at = rng.between(1_000, self.quiet_from + 40_000);
                self.at(at, Addr::World, Mail::Delete(JobId(job)));
            }
        }
    }

    /// Others are killed and deleted, or kept for a short time; in fewer worlds, since that time goes by the wall clock.
    pub fn plan_ends(&mut self, seed: u64, jobs: u64) {
        let mut rng = Rng::new(seed ^ 0xe4d5);
        for job in (1..=jobs).map(JobId) {
            if rng.percent(15) {
                let at = rng.between(1_000, self.quiet_from + 20_000);
                self.at(at, Addr::World, Mail::Person(job, Verb::Kill(KillMode::Finish)));
                self.at(at + rng.below(100), Addr::World, Mail::Doom(job));
            }
        }
        if rng.percent(25) {
            let asked = self.wishes.iter_mut().map(|(submitted, _)| &mut submitted.spec);
            for spec in self.disk.ledger.jobs.values_mut().map(|job| Arc::make_mut(&mut job.spec)).chain(asked) {
                spec.policy.keep = rng.percent(60).then(|| Keep::For(Duration::from_millis(rng.below(30_000))));
                self.story.keeps += u64::from(spec.policy.keep.is_some());
            }
        }
    }

    /// A person wants a job to go as soon as it has ended.
    pub fn doom(&mut self, job: JobId) {
        let Some(head) = &self.head else { return self.at(self.now + 500, Addr::World, Mail::Doom(job)) };
        match head.jobs.contains_key(&job) && !head.ended.contains(&job) {
            true => self.write(Entry::Job(job, JobEntry::Doomed), Addr::Supervisor, 0),
            false => self.remove(job),
        }
    }

    /// That wish is durable: the person is told so.
    pub fn is_doomed(&mut self, job: JobId) {
        self.oracle.doomed(job);
        self.story.doomed += 1;
        let Some(head) = &mut self.head else { return };
        head.retention.doom(job);
        if head.ended.contains(&job) {
            self.remove(job);
        }
    }

    /// A job has ended.
    pub fn retain(&mut self, view: &JobView) {
        if self.head.as_mut().is_some_and(|head| head.retention.ended(view)) {
            self.remove(view.id);
        }
    }

    /// A head that has started knows which jobs have ended.
    pub fn retain_all(&mut self) {
        let head = self.head.iter().flat_map(|head| head.ended.iter().filter_map(|id| head.jobs.get(id)));
        let views: Vec<JobView> = head.map(JobMachine::view).collect();
        views.iter().for_each(|view| self.retain(view));
    }

    /// Jobs whose time is over go.
    pub fn remove_expired(&mut self) -> Result<(), String> {
        let wall = self.clock().wall;
        while let Some(job) = self.head.as_mut().and_then(|head| head.retention.pop_due(wall)) {
            if let Some(record) = self.disk.ledger.jobs.get(&job) {
                self.oracle.expires(record, wall)?;
                self.story.expired += 1;
                self.remove(job);
            }
        }
        Ok(())
    }

    /// Removes a job that has ended; one that is about to is left.
    fn remove(&mut self, job: JobId) {
        let at = self.clock().wall;
        let Some(head) = &mut self.head else { return };
        let Some(view) = head.jobs.get(&job).map(JobMachine::view).filter(|view| view.ended.is_some()) else { return };
        if head.deleting.insert(job) {
            head.retention.forget(&view);
            self.write(Entry::JobDeleted { job, at }, Addr::Supervisor, 0);
        }
    }

    /// A person asks until the job is gone.
    pub fn delete(&mut self, job: JobId) {
        let is_there = self.disk.ledger.jobs.contains_key(&job);
        self.remove(job);
        if is_there {
            self.at(self.now + 2_000, Addr::World, Mail::Delete(job));
        }
    }

    /// A deletion is durable: the person is told, and perhaps the client asks for the job again.
    pub fn deleted(&mut self, job: JobId, request_id: &str, at: WallTime) {
        let Some(head) = &mut self.head else { return };
        head.deleting.remove(&job);
        head.jobs.remove(&job);
        head.told.remove(&job);
        head.ended.remove(&job);
        head.retention.removed(job);
        head.admission.deleted(request_id, job, at);
        self.story.deleted += 1;
        self.oracle.deleted(job);
        let wish = request_id.strip_prefix("request ").and_then(|wish| wish.parse::<usize>().ok());
        if let Some(wish) = wish.filter(|wish| wish % 2 == 0) {
            self.wishes[wish].1 = false;
            self.at(self.now + 100, Addr::World, Mail::Wish(wish));
        }
    }

    /// What comes for a job that is deleted: its results are not wanted, and what still runs of it is stopped.
    pub fn news_of_deleted(&mut self, job: JobId, event: &JobEvent) {
        if self.disk.ledger.jobs.contains_key(&job) {
            return;
        }
        let pass = |message| SessionEvent::Pass(message);
        match event {
            JobEvent::Finished { session, lease, .. } => {
                self.tell_session(Addr::Supervisor, *session, pass(ToWorker::Ack(vec![*lease])));
            }
            JobEvent::Claimed { session, lease, .. } => {
                let lease: Lease = *lease;
                self.tell_session(Addr::Supervisor, *session, pass(ToWorker::Verdict(lease, Verdict::Stop)));
            }
            _ => {}
        }
    }
}
