//! Which request makes which job: a request that comes again gets the job that it made, also while that job is on its way to the disk.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::{JobId, JobSpec, WallTime};

use super::fault::Fault;
use super::ledger::{Gone, Ledger};

/// See the module. A ticket stands for whoever waits for an answer.
#[derive(Clone, Debug)]
pub struct Admission {
    next_job: u64,
    made: BTreeMap<String, JobId>,
    /// Of jobs that were deleted.
    gone: BTreeMap<String, Gone>,
    /// Jobs on their way to the disk.
    waiting: BTreeMap<JobId, Waiting>,
    fault: Option<Fault>,
}

#[derive(Clone, Debug)]
struct Waiting {
    spec: Arc<JobSpec>,
    tickets: Vec<u64>,
}

/// What becomes of a request that came before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeated {
    /// Its job is durable: answer with that.
    Made(JobId),
    /// Its job is on its way to the disk: the ticket waits with the others.
    Waits,
    /// It asked for something else then.
    Differs(JobId),
    /// Its job was deleted.
    Gone(JobId),
}

impl Admission {
    /// After a start.
    pub fn new(ledger: &Ledger) -> Self {
        Self {
            next_job: ledger.next_job().0,
            made: ledger.requests.clone(),
            gone: ledger.gone.clone(),
            waiting: BTreeMap::new(),
            fault: None,
        }
    }

    /// Plants a mistake, for tests.
    pub fn plant(&mut self, fault: Option<Fault>) {
        self.fault = fault;
    }

    /// Whether this request came before. Without an id none ever did. `spec_of` says what a durable job was asked to be.
    pub fn repeated(
        &mut self,
        ticket: u64,
        request_id: &str,
        spec: &JobSpec,
        spec_of: impl Fn(JobId) -> Option<Arc<JobSpec>>,
    ) -> Option<Repeated> {
        if let Some(gone) = self.gone.get(request_id).filter(|_| self.fault != Some(Fault::GoneForgotten)) {
            return Some(Repeated::Gone(gone.job));
        }
        let job = *self.made.get(request_id).filter(|_| !request_id.is_empty() && self.fault != Some(Fault::RequestForgotten))?;
        Some(match self.waiting.get_mut(&job) {
            Some(waiting) if *waiting.spec == *spec => {
                waiting.tickets.push(ticket);
                Repeated::Waits
            }
            None if spec_of(job).is_some_and(|made| *made == *spec) => Repeated::Made(job),
            Some(_) | None => Repeated::Differs(job),
        })
    }

    /// The number of the next new job.
    pub fn next_job(&self) -> JobId {
        JobId(self.next_job)
    }

    /// [`Self::next_job`], which has to be made durable.
    pub fn admit(&mut self, ticket: u64, request_id: &str, spec: Arc<JobSpec>) -> JobId {
        let job = self.next_job();
        self.next_job += 1;
        if !request_id.is_empty() {
            self.made.insert(request_id.to_owned(), job);
        }
        self.waiting.insert(job, Waiting { spec, tickets: vec![ticket] });
        job
    }

    /// The job is durable: these are to be answered.
    pub fn durable(&mut self, job: JobId) -> Vec<u64> {
        self.waiting.remove(&job).map(|waiting| waiting.tickets).unwrap_or_default()
    }

    /// A job's deletion is durable: its request is known for a while, and makes no other job meanwhile.
    pub fn deleted(&mut self, request_id: &str, job: JobId, at: WallTime) {
        if self.made.remove(request_id).is_some() {
            self.gone.insert(request_id.to_owned(), Gone { job, at });
        }
    }

    /// Forgets requests whose while is over.
    pub fn forget_gone(&mut self, now: WallTime) {
        self.gone.retain(|_, gone| !gone.is_over(now));
    }

    /// What jobs on their way to the disk are asked to be.
    pub fn specs(&self) -> impl Iterator<Item = (JobId, &JobSpec)> + '_ {
        self.waiting.iter().map(|(job, waiting)| (*job, &*waiting.spec))
    }

    /// Jobs on their way to the disk.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }
}
