//! Where jobs hand the ways of their tasks over, as spans, to whoever sends them to a collector. Nothing here waits: what finds no room is dropped,
//! and counted.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::mpsc;

use crate::domain::WorkerId;
use crate::engine::trail::{Share, Span};
use crate::engine::{JobEffect, JobEvent, JobMachine, JobRecord, Meters, Now, Trail};
use crate::limits::{TRACE_QUEUE_SPANS_MAX, WORKERS_MAX};

/// Hosts of workers that have attached since the head's start, the newest [`WORKERS_MAX`].
#[derive(Clone, Debug, Default)]
pub struct Hosts(Arc<RwLock<BTreeMap<WorkerId, Arc<str>>>>);

impl Hosts {
    /// A worker has attached.
    pub fn learn(&self, worker: WorkerId, host: &str) {
        let mut hosts = self.0.write().unwrap_or_else(PoisonError::into_inner);
        hosts.insert(worker, host.into());
        if hosts.len() > WORKERS_MAX {
            hosts.pop_first();
        }
    }

    /// Where it is.
    pub fn of(&self, worker: WorkerId) -> Option<Arc<str>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&worker).cloned()
    }
}

/// What a head is given, to have tasks followed.
#[derive(Clone, Debug)]
pub struct Traces {
    share: Share,
    spans: mpsc::Sender<Span>,
    hosts: Hosts,
}

/// The other end.
#[derive(Debug)]
pub struct SpanQueue {
    /// What is to be sent, [`TRACE_QUEUE_SPANS_MAX`] at most.
    pub spans: mpsc::Receiver<Span>,
    /// Where the workers are that it names.
    pub hosts: Hosts,
}

impl Traces {
    /// Of a share of all tasks, and where their spans come out.
    pub fn new(share: Share) -> (Self, SpanQueue) {
        let (sender, spans) = mpsc::channel(TRACE_QUEUE_SPANS_MAX);
        let hosts = Hosts::default();
        (Self { share, spans: sender, hosts: hosts.clone() }, SpanQueue { spans, hosts })
    }
}

/// See the module. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tracer {
    traces: Traces,
    meters: Arc<Meters>,
}

impl Tracer {
    /// Of a head.
    pub fn new(traces: Traces, meters: Arc<Meters>) -> Self {
        Self { traces, meters }
    }

    /// Where the workers are.
    pub fn hosts(&self) -> &Hosts {
        &self.traces.hosts
    }

    /// Follows the tasks of a job.
    pub fn follow(self, record: &JobRecord) -> Follower {
        Follower { trail: Box::new(Trail::new(record, self.traces.share)), tracer: self }
    }

    /// The spans of a task that come together are sent together, or not at all.
    fn send(&self, spans: &[Span]) {
        for together in spans.chunk_by(|one, next| one.trace == next.trace) {
            match self.traces.spans.try_reserve_many(together.len()) {
                Ok(places) => places.zip(together).for_each(|(place, span)| place.send(span.clone())),
                Err(_) => self.meters.spans_dropped.add(together.len() as u64),
            }
        }
    }
}

/// Whoever follows the tasks of one job.
#[derive(Debug)]
pub struct Follower {
    trail: Box<Trail>,
    tracer: Tracer,
}

impl Follower {
    /// Tells the job's machine something, and sees what comes of it.
    pub fn tell(&mut self, machine: &mut JobMachine, event: JobEvent, now: Now) -> Vec<JobEffect> {
        self.trail.hears(&event, now);
        let effects = machine.on_event(event, now);
        self.trail.sees(&effects, machine, now);
        self.tracer.send(&self.trail.take());
        effects
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::JobId;
    use crate::domain::WallTime;
    use crate::engine::trail::{SpanId, Step, TraceId};

    fn span(trace: u8) -> Span {
        let at = WallTime(0);
        let (trace, id) = (TraceId([trace; 16]), SpanId(1));
        let job_name = "squares".into();
        Span { trace, id, parent: None, step: Step::Task, from: at, to: at, job: JobId(1), job_name, index: 0, tried: None, outcome: None }
    }

    #[test]
    fn what_finds_no_room_is_dropped_and_counted_a_task_at_a_time() {
        let (traces, mut queue) = Traces::new(Share::ALL);
        let meters = Arc::new(Meters::default());
        let tracer = Tracer::new(traces, meters.clone());
        tracer.send(&vec![span(1); TRACE_QUEUE_SPANS_MAX - 3]);
        // Four find no room, two do.
        tracer.send(&[span(2), span(2), span(2), span(2), span(3), span(3)]);
        assert_eq!(meters.spans_dropped.get(), 4);
        tracer.send(&[span(4), span(4)]);
        assert_eq!((meters.spans_dropped.get(), queue.spans.len()), (6, TRACE_QUEUE_SPANS_MAX - 1));
        queue.spans.close();
        tracer.send(&[span(5)]);
        assert_eq!(meters.spans_dropped.get(), 7, "nobody sends them any more");
    }
}
