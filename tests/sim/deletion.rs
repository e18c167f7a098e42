//! Jobs that are deleted once they have ended: as the supervisor does it, from the wish to the disk.

use millpond::domain::entry::Entry;
use millpond::domain::wire::{Lease, ToWorker, Verdict};
use millpond::domain::{JobId, WallTime};
use millpond::engine::{JobEvent, SessionEvent};

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

    /// A person asks until the job is gone.
    pub fn delete(&mut self, job: JobId) {
        let at = self.clock().wall;
        let is_there = self.disk.ledger.jobs.contains_key(&job);
        let head = self.head.as_mut().filter(|_| is_there);
        let ended = head.as_ref().and_then(|head| head.jobs.get(&job)).is_some_and(|job| job.record().ended.is_some());
        if let Some(head) = head.filter(|_| ended)
            && head.deleting.insert(job)
        {
            self.write(Entry::JobDeleted { job, at }, Addr::Supervisor, 0);
        }
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
