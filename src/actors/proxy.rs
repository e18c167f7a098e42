//! A WorkerProxy: one attached worker's session, and the channel to its stream. Child of the JobSupervisor; its end is the session's end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use crate::domain::wire::{Finished, FromWorker, JobInfo, Lease, ResultBytes, ToWorker, Verdict};
use crate::domain::{GrantId, JobId, Packed, Resources, WallTime};
use crate::engine::session::{Delivery, LeaseStatus, SessionEvent};
use crate::engine::{JobEvent, Meters, Session, SessionEffect, WorkerPhase};
use crate::limits;

use super::clock::Clock;
use super::job::{JobMsg, News};
use super::reminder::Reminder;
use super::room_report::{RoomBehind, RoomReport, who_gets_back};
use super::supervisor::SupervisorMsg;

/// Acknowledgements, for which nobody waits, go with what is sent next, or after so long.
const ACKS_GATHER_FOR: Duration = Duration::from_millis(10);

/// What a proxy is told.
pub enum ProxyMsg {
    /// A job answers a grant.
    Deliver {
        /// The grant.
        grant: GrantId,
        /// Which job.
        job: JobId,
        /// Where to tell it what comes of them.
        actor: ActorRef<JobMsg>,
        /// What the worker must know of it.
        info: Arc<JobInfo>,
        /// The runs.
        runs: Vec<Delivery>,
        /// When it was known that they may go out.
        known: Instant,
    },
    /// A job takes a held attempt, or its result, on.
    Adopt {
        /// Under the new epoch.
        lease: Lease,
        /// Adopt or Send.
        verdict: Verdict,
        /// Where to tell it what comes of it.
        actor: ActorRef<JobMsg>,
        /// What the worker must know of it.
        info: Arc<JobInfo>,
    },
    /// Something for the machine that needs nothing else.
    Event(SessionEvent),
    /// The worker said these, in order. The permits are room in its queue, and for what its results take until they are stored.
    Said(Vec<FromWorker>, OwnedSemaphorePermit, Arc<OwnedSemaphorePermit>),
    /// A job has ended: it has no leases here any more.
    JobGone(JobId),
    /// The worker's stream has ended.
    StreamEnded,
    /// A newer session of the same worker takes its place.
    Replaced,
    /// A job's actor was restarted: claim for it what the worker holds of it.
    Reclaim(JobId, ActorRef<JobMsg>),
    /// What the worker holds.
    Describe(RpcReplyPort<Description>),
    /// Time has passed.
    Tick,
    /// Send the acknowledgements that have gathered.
    SendAcks,
}

/// A session as shown to people.
#[derive(Clone, Debug)]
pub struct Description {
    /// Slots announced as free; none before the first announcement.
    pub free: Option<u32>,
    /// What its worker does, and since when.
    pub phase: (WorkerPhase, WallTime),
    /// Whether it was told to take no more tasks.
    pub drained: bool,
    /// Why it is under suspicion.
    pub suspicion: Option<String>,
    /// What it holds.
    pub leases: Vec<LeaseStatus>,
    /// What that takes of it.
    pub used: Resources,
}

/// What a proxy starts from.
pub struct ProxyArgs {
    /// The machine.
    pub session: Session,
    /// The first message.
    pub welcome: ToWorker,
    /// What the worker holds from before, and what it takes.
    pub held: Vec<(Lease, Resources)>,
    /// To the worker's stream.
    pub out: mpsc::Sender<ToWorker>,
    /// The parent.
    pub supervisor: ActorRef<SupervisorMsg>,
    /// The process's clocks.
    pub clock: Clock,
    /// Where hand-outs are counted.
    pub meters: Arc<Meters>,
}

/// A proxy's state.
pub struct ProxyState {
    session: Session,
    out: mpsc::Sender<ToWorker>,
    supervisor: ActorRef<SupervisorMsg>,
    jobs: BTreeMap<JobId, (ActorRef<JobMsg>, Arc<JobInfo>)>,
    /// Reports of room so far.
    rooms_told: u64,
    clock: Clock,
    over: bool,
    /// Results that are durable, for the worker to forget.
    acks: Vec<Lease>,
    /// Of [`ProxyMsg::SendAcks`].
    acks_due: Reminder,
    meters: Arc<Meters>,
}

/// See the module.
pub struct WorkerProxy;

impl Actor for WorkerProxy {
    type Msg = ProxyMsg;
    type State = ProxyState;
    type Arguments = ProxyArgs;

    async fn pre_start(&self, myself: ActorRef<ProxyMsg>, args: ProxyArgs) -> Result<ProxyState, ActorProcessingErr> {
        let ProxyArgs { session, welcome, held, out, supervisor, clock, meters } = args;
        let mut state = ProxyState {
            session,
            out,
            supervisor,
            jobs: BTreeMap::new(),
            rooms_told: 0,
            clock,
            over: false,
            acks: Vec::new(),
            acks_due: Reminder::default(),
            meters,
        };
        state.send(&myself, welcome);
        // It takes its place before any room is told.
        for (lease, needs) in held {
            state.event(&myself, SessionEvent::Adopted(lease, needs));
        }
        myself.send_interval(limits::HEARTBEAT_EVERY / 2, || ProxyMsg::Tick);
        Ok(state)
    }

    async fn handle(&self, myself: ActorRef<ProxyMsg>, message: ProxyMsg, state: &mut ProxyState) -> Result<(), ActorProcessingErr> {
        if state.over {
            return Ok(());
        }
        match message {
            ProxyMsg::Deliver { grant, job, actor, info, runs, known } => {
                let needs = info.spec.needs.clone();
                state.jobs.insert(job, (actor, info));
                let goes_out = !runs.is_empty();
                state.event(&myself, SessionEvent::Deliver { grant, job, needs, runs });
                if goes_out {
                    state.meters.dispatch.took(known.elapsed());
                }
            }
            ProxyMsg::Adopt { lease, verdict, actor, info } => {
                let needs = info.spec.needs.clone();
                state.send(&myself, ToWorker::Job(info.clone()));
                state.jobs.insert(lease.job, (actor, info));
                state.event(&myself, SessionEvent::Adopted(lease, needs));
                state.send(&myself, ToWorker::Verdict(lease, verdict));
            }
            ProxyMsg::Event(event) => state.event(&myself, event),
            ProxyMsg::Said(messages, _permit, bytes) => state.said(&myself, messages, &bytes),
            ProxyMsg::JobGone(job) => {
                if state.jobs.remove(&job).is_some() {
                    state.event(&myself, SessionEvent::JobGone(job));
                }
            }
            ProxyMsg::StreamEnded => state.end(&myself, false),
            ProxyMsg::Replaced => {
                state.over = true;
                myself.stop(None);
            }
            ProxyMsg::Reclaim(job, actor) => state.reclaim(&myself, job, &actor),
            ProxyMsg::Describe(reply) => {
                let session = &state.session;
                let description = Description {
                    free: session.free_announced(),
                    phase: session.phase(),
                    drained: session.is_drained(),
                    suspicion: session.suspicion(state.clock.now()),
                    leases: session.lease_statuses().collect(),
                    used: session.used(),
                };
                let _ = reply.send(description);
            }
            ProxyMsg::Tick => state.event(&myself, SessionEvent::Tick),
            ProxyMsg::SendAcks => {
                state.acks_due.came();
                state.send_acks(&myself);
            }
        }
        Ok(())
    }
}

impl ProxyState {
    /// Each job hears at once all that concerns it, in order; before that, or behind jobs that have tasks back, the supervisor hears what room there
    /// is now.
    fn said(&mut self, myself: &ActorRef<ProxyMsg>, messages: Vec<FromWorker>, bytes: &Arc<OwnedSemaphorePermit>) {
        let mut news: BTreeMap<JobId, Vec<News>> = BTreeMap::new();
        let (mut room, mut over, mut back) = (None, None, BTreeSet::new());
        for message in messages {
            let (message, finished) = apart(message);
            let effects = self.session.on_event(SessionEvent::Said(message), self.clock.now());
            back.extend(who_gets_back(&effects));
            for effect in effects {
                match effect {
                    SessionEffect::Started(job, leases) => news.entry(job).or_default().push(News::Started(leases)),
                    SessionEffect::Returned(job, leases) => news.entry(job).or_default().push(News::Returned(leases)),
                    SessionEffect::Fenced { job, fence, started, dropped } => {
                        news.entry(job).or_default().push(News::Fenced { fence, started, dropped });
                    }
                    effect @ SessionEffect::Room { .. } => room = Some(effect),
                    // The jobs hear the last of it before they hear that it is over.
                    effect @ SessionEffect::Over { .. } => over = Some(effect),
                    effect => self.perform(myself, effect),
                }
            }
            if let Some(finished) = finished {
                news.entry(finished.lease.job).or_default().push(News::Finished(finished));
            }
        }
        // Who has only started and ended tasks is not waited for.
        let (first, last) = if back.is_empty() { (room, None) } else { (None, room) };
        first.into_iter().for_each(|room| self.perform(myself, room));
        news.into_iter().for_each(|(job, news)| self.tell_news(job, news, bytes));
        last.into_iter().for_each(|room| self.tell_room(room, &back));
        over.into_iter().for_each(|over| self.perform(myself, over));
    }

    fn tell_news(&self, job: JobId, news: Vec<News>, bytes: &Arc<OwnedSemaphorePermit>) {
        let (session, worker) = (self.session.id(), self.session.worker());
        let untold = match self.jobs.get(&job) {
            Some((actor, _)) => match actor.cast(JobMsg::News(session, worker, news, Some(bytes.clone()))) {
                Ok(()) => return,
                Err(ractor::MessagingErr::SendErr(JobMsg::News(_, _, news, _))) => news,
                Err(_) => return,
            },
            None => news,
        };
        // The job has ended, or is from another session: the supervisor knows.
        for news in untold {
            if let News::Finished(finished) = news {
                let _ = self.supervisor.cast(SupervisorMsg::LateResult(session, worker, finished));
            }
        }
    }

    fn event(&mut self, myself: &ActorRef<ProxyMsg>, event: SessionEvent) {
        let effects = self.session.on_event(event, self.clock.now());
        let back = who_gets_back(&effects);
        for effect in effects {
            match effect {
                SessionEffect::Room { .. } => self.tell_room(effect, &back),
                effect => self.perform(myself, effect),
            }
        }
    }

    fn perform(&mut self, myself: &ActorRef<ProxyMsg>, effect: SessionEffect) {
        let id = self.session.id();
        match effect {
            SessionEffect::Send(message) => self.send(myself, message),
            SessionEffect::Introduce(job) => {
                if let Some((_, info)) = self.jobs.get(&job) {
                    self.send(myself, ToWorker::Job(info.clone()));
                }
            }
            SessionEffect::Returned(job, leases) => self.tell_job(job, JobEvent::Returned(id, leases)),
            SessionEffect::Started(job, leases) => self.tell_job(job, JobEvent::Started(id, leases)),
            SessionEffect::Fenced { job, fence, started, dropped } => {
                self.tell_job(job, JobEvent::Fenced { fence, session: id, started, dropped });
            }
            effect @ SessionEffect::Room { .. } => self.tell_room(effect, &BTreeSet::new()),
            SessionEffect::Suspicion(Some(why)) => tracing::warn!(worker = %self.session.worker(), why, "worker under suspicion"),
            SessionEffect::Suspicion(None) => tracing::info!(worker = %self.session.worker(), "worker trusted again"),
            SessionEffect::Over { goodbye } => self.end(myself, goodbye),
        }
    }

    /// Behind the jobs that get tasks back.
    fn tell_room(&mut self, effect: SessionEffect, back: &BTreeSet<JobId>) {
        let SessionEffect::Room { room, free, settled, trust } = effect else { return };
        self.rooms_told += 1;
        let report = RoomReport { session: self.session.id(), number: self.rooms_told, room, free, settled, trust, told: Instant::now() };
        let jobs = back.iter().filter_map(|job| self.jobs.get(job)).map(|(actor, _)| actor);
        RoomBehind::send(report, &self.supervisor, jobs);
    }

    fn tell_job(&self, job: JobId, event: JobEvent) {
        if let Some((actor, _)) = self.jobs.get(&job) {
            let _ = actor.cast(JobMsg::Event(event));
        }
    }

    /// Sends something, behind what is to be acknowledged.
    fn send(&mut self, myself: &ActorRef<ProxyMsg>, message: ToWorker) {
        if let ToWorker::Ack(leases) = message {
            self.acks.extend(leases);
            if self.acks.len() >= limits::LEASES_PER_MESSAGE_MAX {
                self.send_acks(myself);
            } else {
                self.acks_due.ask(myself, ACKS_GATHER_FOR, || ProxyMsg::SendAcks);
            }
            return;
        }
        self.send_acks(myself);
        self.put(myself, message);
    }

    fn send_acks(&mut self, myself: &ActorRef<ProxyMsg>) {
        for leases in std::mem::take(&mut self.acks).chunks(limits::LEASES_PER_MESSAGE_MAX) {
            self.put(myself, ToWorker::Ack(leases.to_vec()));
        }
    }

    /// Puts a message into the worker's stream. A worker that does not read until the stream is full is lost: nothing is ever skipped.
    fn put(&mut self, myself: &ActorRef<ProxyMsg>, message: ToWorker) {
        if !self.over && self.out.try_send(message).is_err() {
            self.end(myself, false);
        }
    }

    fn end(&mut self, myself: &ActorRef<ProxyMsg>, goodbye: bool) {
        if !self.over {
            self.over = true;
            let (session, heard) = (self.session.id(), self.session.heard());
            let _ = self.supervisor.cast(SupervisorMsg::SessionClosed { session, goodbye, heard });
            myself.stop(None);
        }
    }

    fn reclaim(&mut self, myself: &ActorRef<ProxyMsg>, job: JobId, actor: &ActorRef<JobMsg>) {
        let (session, worker) = (self.session.id(), self.session.worker());
        if let Some((_, info)) = self.jobs.remove(&job) {
            self.jobs.insert(job, (actor.clone(), info));
        }
        let held = self.session.leases().filter(|(lease, _)| lease.job == job).map(|(lease, started)| match started {
            true => JobEvent::Claimed { session, worker, lease, finished: false },
            false => JobEvent::Kept { session, worker, lease },
        });
        let unacknowledged = self.session.unacknowledged().filter(|lease| lease.job == job);
        let unacknowledged = unacknowledged.map(|lease| JobEvent::Claimed { session, worker, lease, finished: true });
        for event in held.chain(unacknowledged) {
            let _ = actor.cast(JobMsg::FromSession(event, myself.clone()));
        }
        let _ = actor.cast(JobMsg::Event(JobEvent::WorkerReported(worker, session)));
    }
}

/// An end without what it left, as the session counts it, and the whole of it.
fn apart(message: FromWorker) -> (FromWorker, Option<Box<Finished>>) {
    match message {
        FromWorker::Finished(finished) => {
            let Finished { lease, outcome, timing, .. } = finished.as_ref();
            let bytes = ResultBytes::Inline(Vec::new());
            let end = Finished { lease: *lease, outcome: outcome.clone(), timing: *timing, packed: Packed::default(), bytes };
            (FromWorker::Finished(Box::new(end)), Some(finished))
        }
        message => (message, None),
    }
}
