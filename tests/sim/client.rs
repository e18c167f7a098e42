//! People and their clients: they steer, they ask for jobs, and they ask again when no answer comes.

use std::collections::BTreeSet;
use std::sync::Arc;

use millpond::domain::JobId;
use millpond::domain::entry::{Entry, Submitted};
use millpond::domain::verb::{Change, Verb, Wish};
use millpond::engine::{JobEvent, JobMachine, Repeated};

use crate::head::HeadMail;
use crate::world::{Addr, Mail, World};

/// What is different with a retry, if anything is: the same for the same request. The first worker has it all.
pub fn change_of(verb: Verb) -> Option<Change> {
    let Verb::Retry { request } = verb else { return None };
    let number = |at: u32, below: u128| ((request >> at) % below) as u32;
    (number(0, 3) == 0).then(|| Change {
        command: Some(vec!["true".into(), request.to_string()]),
        cpus: Some(number(8, 4)),
        mem_bytes: Some(number(16, 5).into()),
        gpus: Some(number(24, 3)),
        timeout: None,
    })
}

impl World {
    pub fn person(&mut self, job: JobId, verb: Verb) {
        let Some(head) = &mut self.head else {
            // A client tries again.
            self.at(self.now + 500, Addr::World, Mail::Person(job, verb));
            return;
        };
        head.last_ticket += 1;
        let ticket = head.last_ticket;
        head.tickets.insert(ticket, (job, verb));
        let event = JobEvent::Verb { ticket, wish: Wish { change: change_of(verb).map(Box::new), ..Wish::new(verb, String::new()) } };
        self.inside(Addr::World, Addr::Job(job), HeadMail::Job(event));
        if self.rng.percent(15) {
            // A client that got no answer asks again.
            let later = self.now + self.rng.below(300);
            self.at(later, Addr::World, Mail::Person(job, verb));
        }
    }

    /// A client asks until it has an answer, now and then twice.
    pub fn wish(&mut self, wish: usize) {
        if !self.wishes[wish].1 {
            self.inside(Addr::World, Addr::Supervisor, HeadMail::Submit(wish));
            let again = if self.rng.percent(20) { self.rng.below(40) } else { 1_000 };
            self.at(self.now + again, Addr::World, Mail::Wish(wish));
        }
    }

    pub fn submit(&mut self, wish: usize) -> Result<(), String> {
        let Some(head) = &mut self.head else { return Ok(()) };
        let submitted = self.wishes[wish].0.clone();
        head.last_ticket += 1;
        let ticket = head.last_ticket;
        let ledger = &self.disk.ledger;
        let spec_of = |job: JobId| ledger.jobs.get(&job).map(|job| job.as_submitted().clone());
        match head.admission.repeated(ticket, &submitted.request_id, &submitted.spec, spec_of) {
            Some(Repeated::Made(job)) => return self.answered(wish, job),
            Some(Repeated::Waits) => {
                head.wishes.insert(ticket, wish);
            }
            Some(Repeated::Gone(job)) => {
                self.wishes[wish].1 = true;
                self.story.asked_of_gone += 1;
                return self.oracle.gone(wish, job);
            }
            Some(Repeated::Differs(job)) => return Err(format!("request {wish} is said to have made {job} of something else")),
            None => {
                let job = head.admission.admit(ticket, &submitted.request_id, Arc::new(submitted.spec.clone()));
                head.wishes.insert(ticket, wish);
                self.write(Entry::accepted(Submitted { job, ..submitted }), Addr::World, job.0);
            }
        }
        Ok(())
    }

    /// A job is durable: its actor starts, and who waits for it is answered.
    pub fn submitted(&mut self, job: JobId) -> Result<(), String> {
        let record = self.disk.ledger.jobs[&job].clone();
        let Some(head) = &mut self.head else { return Ok(()) };
        let mut machine = JobMachine::new(record, head.epoch, BTreeSet::new());
        machine.plant(self.fault);
        head.jobs.insert(job, machine);
        let wishes: Vec<usize> = head.admission.durable(job).iter().filter_map(|ticket| head.wishes.remove(ticket)).collect();
        self.tell_tasks(job);
        wishes.into_iter().try_for_each(|wish| self.answered(wish, job))
    }

    fn answered(&mut self, wish: usize, job: JobId) -> Result<(), String> {
        self.wishes[wish].1 = true;
        self.story.submitted += 1;
        self.oracle.submitted(wish, job, &self.disk.ledger)
    }
}
