//! One job's actor crashes; the head, the other jobs and the workers live on.
//!
//! What the actors must do, as it is done here: the roster forgets the job; what was written by the old machine becomes durable before the
//! new one is made of the journal, and is told to nobody; the new machine knows all attached workers; every proxy, itself, so that nothing
//! it says overtakes, claims what its worker runs or has delivered unacknowledged, tells what was sent, and reports; and the re-attach
//! window of this job ends, for the workers that are not there.

use std::collections::BTreeSet;

use millpond::domain::wire::{ToWorker, Verdict};
use millpond::domain::{JobId, SessionId, WorkerId};
use millpond::engine::{JobEffect, JobEvent, JobMachine, RosterEvent, SessionEvent};
use millpond::limits;

use crate::head::{Head, HeadMail};
use crate::world::{Addr, Mail, World};

impl World {
    pub fn crash_job(&mut self, id: JobId) -> Result<(), String> {
        let lives = |head: &&mut Head| head.jobs.contains_key(&id) && !head.ended.contains(&id);
        let Some(head) = self.head.as_mut().filter(lives) else { return Ok(()) };
        head.jobs.remove(&id);
        head.told.remove(&id);
        let asked: Vec<u64> = head.tickets.iter().filter(|(_, (job, _))| *job == id).map(|(ticket, _)| *ticket).collect();
        let verbs: Vec<_> = asked.into_iter().filter_map(|ticket| head.tickets.remove(&ticket)).collect();
        let epoch = head.epoch;
        self.story.job_crashes += 1;
        // Its mailbox is lost, and so is what it told the supervisor last.
        self.mail.retain(|_, (to, mail)| {
            let to_it = *to == Addr::Job(id);
            let of_it =
                matches!(mail, Mail::Head(_, HeadMail::Roster(event)) if matches!(&**event, RosterEvent::Job(view) if view.id == id));
            !to_it && !of_it
        });
        // Clients that wait for a reply get none, and ask again.
        for (job, verb) in verbs {
            self.at(self.now + 500, Addr::World, Mail::Person(job, verb));
        }
        self.roster_event(RosterEvent::JobGone(id))?;
        let later = self.now + self.rng.between(1, 20);
        self.at(later, Addr::Supervisor, Mail::Head(epoch, HeadMail::Rebuild(id)));
        Ok(())
    }

    pub fn rebuild(&mut self, id: JobId) -> Result<(), String> {
        let Some(epoch) = self.head.as_ref().map(|head| head.epoch) else { return Ok(()) };
        if self.disk.unsynced.iter().any(|(_, from, _)| *from == Addr::Job(id)) {
            self.at(self.now + 5, Addr::Supervisor, Mail::Head(epoch, HeadMail::Rebuild(id)));
            return Ok(());
        }
        self.mail.retain(|_, (to, mail)| !(*to == Addr::Job(id) && matches!(mail, Mail::Head(_, HeadMail::Job(JobEvent::Durable(_))))));
        let known: BTreeSet<WorkerId> = self.disk.ledger.attached.clone();
        let Some(record) = self.disk.ledger.jobs.get(&id).cloned() else { return Ok(()) };
        let Some(head) = &mut self.head else { return Ok(()) };
        if record.ended.is_some() {
            // Its end was on its way to the disk.
            head.jobs.insert(id, JobMachine::new(record, epoch, BTreeSet::new()));
            return self.retire(id);
        }
        let floor = head.attempt_floors.entry(id).or_default();
        let mut machine = JobMachine::new(record, epoch, known).after_failure(*floor);
        *floor = machine.attempt_floor();
        machine.plant(self.fault);
        head.jobs.insert(id, machine);
        let sessions: Vec<SessionId> = head.sessions.keys().copied().collect();
        self.tell_tasks(id);
        for session in sessions {
            self.inside(Addr::Supervisor, Addr::Proxy(session), HeadMail::Reclaim(id));
        }
        self.open_window(id, epoch);
        Ok(())
    }

    /// A job's actor retires; the supervisor keeps its record, and what may yet start of it.
    pub fn retire(&mut self, id: JobId) -> Result<(), String> {
        let now = self.clock();
        let Some(head) = &mut self.head else { return Ok(()) };
        let Some(machine) = head.jobs.get_mut(&id) else { return Ok(()) };
        let strays = machine.strays_of_the_end(now.mono);
        let mut retired = JobMachine::new(machine.record().clone(), head.epoch, BTreeSet::new()).with_strays(strays);
        retired.plant(self.fault);
        *machine = retired;
        head.ended.insert(id);
        let (view, sessions) = (machine.view(), head.sessions.keys().copied().collect::<Vec<_>>());
        self.roster_event(RosterEvent::JobGone(id))?;
        for session in sessions {
            self.tell_session(Addr::Supervisor, session, SessionEvent::JobGone(id));
        }
        self.retain(&view);
        Ok(())
    }

    /// The supervisor answers for a job that has ended; a retry that is no repetition gives it an actor again.
    pub fn event_of_ended(&mut self, id: JobId, event: JobEvent) -> Result<(), String> {
        let now = self.clock();
        let Some(head) = &mut self.head else { return Ok(()) };
        match event {
            JobEvent::Finished { session, lease, .. } => {
                self.tell_session(Addr::Supervisor, session, SessionEvent::Pass(ToWorker::Ack(vec![lease])));
            }
            JobEvent::Claimed { session, lease, .. } => {
                self.tell_session(Addr::Supervisor, session, SessionEvent::Pass(ToWorker::Verdict(lease, Verdict::Stop)));
            }
            JobEvent::Verb { ticket, wish } => {
                let Some(machine) = head.jobs.get_mut(&id) else { return Ok(()) };
                let asked = JobEvent::Verb { ticket, wish };
                let effects = machine.clone().on_event(asked.clone(), now);
                if let Some(reply) = effects.into_iter().find(|effect| matches!(effect, JobEffect::Reply(..))) {
                    return self.job_effect(id, reply, None);
                }
                let known = if self.now < head.began + limits::REATTACH_WINDOW.as_millis() as u64 {
                    self.disk.ledger.attached.clone()
                } else {
                    head.sessions.values().map(|(session, _)| session.worker()).collect()
                };
                let strays = machine.strays_of_the_end(now.mono);
                head.retention.forget(&machine.view());
                *machine = JobMachine::new(machine.record().clone(), head.epoch, known).with_strays(strays);
                machine.plant(self.fault);
                head.ended.remove(&id);
                head.told.remove(&id);
                let epoch = head.epoch;
                let sessions: Vec<SessionId> = head.sessions.keys().copied().collect();
                self.tell_tasks(id);
                for session in sessions {
                    self.inside(Addr::Supervisor, Addr::Proxy(session), HeadMail::Reclaim(id));
                }
                self.open_window(id, epoch);
                self.inside(Addr::Supervisor, Addr::Job(id), HeadMail::Job(asked));
            }
            _ => {}
        }
        Ok(())
    }

    /// What a proxy knows of a job, to the job's new machine.
    pub fn reclaim(&mut self, id: SessionId, job: JobId) {
        let Some((session, _)) = self.head.as_ref().and_then(|head| head.sessions.get(&id)) else { return };
        let worker = session.worker();
        let held = session.leases().filter(|(lease, _)| lease.job == job).map(|(lease, started)| {
            if started {
                JobEvent::Claimed { session: id, worker, lease, finished: false }
            } else {
                JobEvent::Kept { session: id, worker, lease }
            }
        });
        let unacknowledged = session.unacknowledged().filter(|lease| lease.job == job);
        let unacknowledged = unacknowledged.map(|lease| JobEvent::Claimed { session: id, worker, lease, finished: true });
        let events: Vec<JobEvent> = held.chain(unacknowledged).chain([JobEvent::WorkerReported(worker, id)]).collect();
        for event in events {
            self.story.kept += u64::from(matches!(event, JobEvent::Kept { .. }));
            self.inside(Addr::Proxy(id), Addr::Job(job), HeadMail::Job(event));
        }
    }
}
