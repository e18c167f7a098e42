//! A JobActor: one job's machine, its reply ports, its files. Child of the JobSupervisor, which restarts it from the journal if it fails.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use tokio::sync::OwnedSemaphorePermit;

use crate::blobs::ChunkIndex;
use crate::domain::entry::{Entry, JobEntry};
use crate::domain::verb::{Verb, VerbReply, Wish};
use crate::domain::wire::{Finished, JobInfo, Lease, ToWorker, Verdict};
use crate::domain::{
    Attempt, Epoch, Error, ErrorKind, FenceId, Input, JobId, Outcome, Packed, ResultMeta, SessionId, TaskEnd, TaskNo, Timing, WorkerId,
};
use crate::engine::job::Whereabouts;
use crate::engine::pulse::{Past, Pulse};
use crate::engine::session::{Delivery, SessionEvent};
use crate::engine::worker_record::Stint;
use crate::engine::{JobEffect, JobEvent, JobMachine, JobView};

use super::chronicle::ChronicleMsg;
use super::clock::Clock;
use super::job_store::JobStore;
use super::journal::JournalRef;
use super::proxy::ProxyMsg;
use super::room_report::RoomBehind;
use super::supervisor::SupervisorMsg;
use super::tracer::{Follower, Tracer};
use super::watch::WatchMsg;

pub use super::job_snapshot::{JobSnapshot, OutTask};

/// Between two tries to store a result on a full disk.
const STORE_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What came of a verb, with the job as it is after it.
pub type VerbAnswer = Result<(VerbReply, JobView), Error>;

/// Room for results that have come from a worker.
pub type StoreRoom = Option<Arc<OwnedSemaphorePermit>>;

/// What a job is told.
pub enum JobMsg {
    /// Something for the machine that needs nothing else.
    Event(JobEvent),
    /// Something for the machine that names a session which the job may not know yet.
    FromSession(JobEvent, ActorRef<ProxyMsg>),
    /// The same, of slots that are granted, and when it was known that they may be.
    Granted(SessionId, JobEvent, ActorRef<ProxyMsg>, Instant),
    /// What a worker said of the job, in order. The permit, if there is one, is room for what its results take, until they are stored.
    News(SessionId, WorkerId, Vec<News>, StoreRoom),
    /// A worker's room, of which the supervisor is to hear behind this job.
    Heard(Arc<RoomBehind>),
    /// The data set is split, or can't be.
    Split(Result<Arc<ChunkIndex>, Error>),
    /// A person steers the job.
    Verb {
        /// What, and why.
        wish: Wish,
        /// The answer, once it is durable and the fences are answered.
        reply: RpcReplyPort<VerbAnswer>,
    },
    /// What a verb would come to now; changes nothing.
    Preview(Wish, RpcReplyPort<VerbAnswer>),
    /// Where a task is.
    Whereabouts(TaskNo, RpcReplyPort<Whereabouts>),
    /// The job with its inside, for listings and bundles.
    Snapshot(RpcReplyPort<JobSnapshot>),
    /// The record of a task that took down too many workers could not be stored: try again.
    Poison {
        /// The task.
        no: TaskNo,
        /// Its last attempt.
        attempt: Attempt,
        /// Where that ran.
        worker: WorkerId,
        /// How many.
        workers: u32,
    },
    /// The supervisor has taken the final state over: end.
    Retire,
}

/// Something that a worker said of a job.
pub enum News {
    /// These have started.
    Started(Vec<Lease>),
    /// These will not start.
    Returned(Vec<Lease>),
    /// The answer to a fence.
    Fenced {
        /// Which.
        fence: FenceId,
        /// Had started.
        started: Vec<Lease>,
        /// Will never start.
        dropped: Vec<Lease>,
    },
    /// An attempt has ended; its bytes are to be stored first.
    Finished(Box<Finished>),
}

/// What a job starts from.
pub struct JobArgs {
    /// Of this start of the head.
    pub epoch: Epoch,
    /// As the journal has the job, with the workers that may still run its tasks from before.
    pub machine: JobMachine,
    /// Its results.
    pub files: Arc<JobStore>,
    /// Where facts become durable.
    pub journal: JournalRef,
    /// The parent.
    pub supervisor: ActorRef<SupervisorMsg>,
    /// Told of failed tasks.
    pub watch: ActorRef<WatchMsg>,
    /// Told of what has ended.
    pub chronicle: ActorRef<ChronicleMsg>,
    /// The process's clocks.
    pub clock: Clock,
    /// Follows its tasks, where somebody wants that.
    pub tracer: Option<Tracer>,
}

/// A job's state.
pub struct JobActorState {
    id: JobId,
    epoch: Epoch,
    machine: JobMachine,
    files: Arc<JobStore>,
    chunks: Option<Arc<ChunkIndex>>,
    info: Option<Arc<JobInfo>>,
    journal: JournalRef,
    supervisor: ActorRef<SupervisorMsg>,
    watch: ActorRef<WatchMsg>,
    chronicle: ActorRef<ChronicleMsg>,
    clock: Clock,
    proxies: BTreeMap<SessionId, ActorRef<ProxyMsg>>,
    /// Of the last grant.
    known: Instant,
    replies: BTreeMap<u64, RpcReplyPort<VerbAnswer>>,
    last_ticket: u64,
    /// The view that the supervisor has.
    told: Option<JobView>,
    /// Wishes to run failed tasks again that came while the end was on its way to the disk: the supervisor begins the job again.
    retries: Vec<SupervisorMsg>,
    /// The supervisor knows of the end.
    retired: bool,
    pulse: Box<Pulse>,
    follower: Option<Follower>,
}

/// Effects that are performed together.
#[derive(Default)]
struct Gathered {
    entries: Vec<(u64, JobEntry)>,
    acks: BTreeMap<SessionId, Vec<Lease>>,
}

/// See the module.
pub struct JobActor;

impl Actor for JobActor {
    type Msg = JobMsg;
    type State = JobActorState;
    type Arguments = JobArgs;

    async fn pre_start(&self, _: ActorRef<JobMsg>, args: JobArgs) -> Result<JobActorState, ActorProcessingErr> {
        Ok(JobActorState {
            follower: args.tracer.map(|tracer| tracer.follow(args.machine.record())),
            id: args.machine.record().id,
            epoch: args.epoch,
            machine: args.machine,
            files: args.files,
            chunks: None,
            info: None,
            journal: args.journal,
            supervisor: args.supervisor,
            watch: args.watch,
            chronicle: args.chronicle,
            clock: args.clock,
            proxies: BTreeMap::new(),
            known: Instant::now(),
            replies: BTreeMap::new(),
            last_ticket: 0,
            told: None,
            retries: Vec::new(),
            retired: false,
            pulse: Box::default(),
        })
    }

    async fn post_start(&self, myself: ActorRef<JobMsg>, state: &mut JobActorState) -> Result<(), ActorProcessingErr> {
        state.event(&myself, JobEvent::Tick)
    }

    async fn handle(&self, myself: ActorRef<JobMsg>, message: JobMsg, state: &mut JobActorState) -> Result<(), ActorProcessingErr> {
        match message {
            JobMsg::Event(JobEvent::SessionLost(session, heard)) => {
                state.event(&myself, JobEvent::SessionLost(session, heard))?;
                state.proxies.remove(&session);
            }
            JobMsg::Event(event) => state.event(&myself, event)?,
            JobMsg::FromSession(event, proxy) => {
                if let JobEvent::Claimed { session, .. } | JobEvent::Kept { session, .. } = &event {
                    state.proxies.insert(*session, proxy);
                }
                state.event(&myself, event)?;
            }
            JobMsg::Granted(session, event, proxy, known) => {
                state.proxies.insert(session, proxy);
                state.known = known;
                state.event(&myself, event)?;
            }
            JobMsg::News(session, worker, news, room) => state.news(&myself, session, worker, news, &room)?,
            JobMsg::Split(Ok(chunks)) => {
                let total = chunks.len();
                if state.machine.record().total.is_some_and(|before| before != total) {
                    let why = format!("its data set was split into {total} chunks now, and into another number before");
                    return state.event(&myself, JobEvent::SplitFailed(why));
                }
                state.chunks = Some(chunks);
                state.event(&myself, JobEvent::SplitDone(total))?;
            }
            JobMsg::Split(Err(error)) => state.event(&myself, JobEvent::SplitFailed(error.message))?,
            JobMsg::Verb { wish: wish @ Wish { verb: Verb::Retry { .. }, .. }, reply } if state.retired || state.machine.is_ending() => {
                state.retries.push(SupervisorMsg::Verb { job: state.id, wish, reply });
                state.pass_retries_on();
            }
            JobMsg::Verb { wish, reply } => {
                state.last_ticket += 1;
                state.replies.insert(state.last_ticket, reply);
                state.event(&myself, JobEvent::Verb { ticket: state.last_ticket, wish })?;
            }
            JobMsg::Preview(wish, reply) => {
                let answer = state.machine.preview(wish, state.clock.now());
                let _ = reply.send(answer.map_err(|refused| refused.error(state.id)));
            }
            JobMsg::Whereabouts(no, reply) => drop(reply.send(state.machine.whereabouts(no, state.clock.now()))),
            JobMsg::Snapshot(reply) => {
                let _ = reply.send(state.snapshot());
            }
            // All that was said before has reached the supervisor.
            JobMsg::Heard(room) => drop(room),
            JobMsg::Poison { no, attempt, worker, workers } => state.poison(&myself, no, attempt, worker, workers)?,
            JobMsg::Retire => myself.stop(None),
        }
        Ok(())
    }
}

impl JobActorState {
    fn snapshot(&self) -> JobSnapshot {
        let out = self.machine.all_out().map(|(no, attempt, worker, started)| OutTask { no, attempt, worker, started }).collect();
        JobSnapshot {
            record: self.machine.record().clone(),
            out,
            view: self.view(),
            chunks: self.chunks.clone(),
            files: Some(self.files.clone()),
            strays: self.machine.strays_of_the_end(self.clock.now().mono),
            pulse: self.pulse.clone(),
        }
    }

    /// Tells the machine something.
    fn tell(&mut self, event: JobEvent) -> Vec<JobEffect> {
        let now = self.clock.now();
        match &mut self.follower {
            None => self.machine.on_event(event, now),
            Some(follower) => follower.tell(&mut self.machine, event, now),
        }
    }

    fn event(&mut self, myself: &ActorRef<JobMsg>, event: JobEvent) -> Result<(), ActorProcessingErr> {
        let effects = self.tell(event);
        self.perform_all(myself, effects)?;
        self.tell_supervisor(myself);
        Ok(())
    }

    /// What is to become durable goes to the journal together, and each session hears at once of all that is.
    fn perform_all(&mut self, myself: &ActorRef<JobMsg>, effects: Vec<JobEffect>) -> Result<(), ActorProcessingErr> {
        let mut gathered = Gathered::default();
        effects.into_iter().try_for_each(|effect| self.perform(myself, effect, &mut gathered))?;
        self.persist(myself, gathered.entries)?;
        gathered.acks.into_iter().for_each(|(session, leases)| self.pass(session, ToWorker::Ack(leases)));
        Ok(())
    }

    /// As others see the job. After a restart its chunks may not be at hand yet: until then nothing can be handed out.
    fn view(&self) -> JobView {
        let mut view = self.machine.view();
        if self.chunks.is_none() && matches!(view.spec.input, Input::Dataset { .. }) {
            view.wanted = 0;
        }
        view
    }

    fn tell_supervisor(&mut self, myself: &ActorRef<JobMsg>) {
        let view = self.view();
        if self.told.as_ref() != Some(&view) {
            let _ = self.supervisor.cast(SupervisorMsg::JobChanged(myself.get_id(), Box::new(view.clone())));
            self.told = Some(view);
        }
    }

    /// Stores what attempts left, in one go, then tells the machine all of it.
    fn news(
        &mut self,
        myself: &ActorRef<JobMsg>,
        session: SessionId,
        worker: WorkerId,
        news: Vec<News>,
        room: &StoreRoom,
    ) -> Result<(), ActorProcessingErr> {
        let finished = news.iter().filter_map(|news| if let News::Finished(finished) = news { Some(finished.as_ref()) } else { None });
        let mut stored = self.files.store(worker, &finished.collect::<Vec<_>>()).into_iter();
        let (mut effects, mut used, median) = (Vec::new(), Vec::new(), self.pulse.median_micros());
        for news in news {
            let event = match news {
                News::Started(leases) => JobEvent::Started(session, leases),
                News::Returned(leases) => JobEvent::Returned(session, leases),
                News::Fenced { fence, started, dropped } => JobEvent::Fenced { fence, session, started, dropped },
                News::Finished(finished) => match stored.next().unwrap_or_else(|| Err(Error::internal("a result was not stored"))) {
                    Ok((outcome, result)) => {
                        let (lease, timing) = (finished.lease, finished.timing);
                        let (no, attempt, is_success) = (lease.no, lease.attempt, outcome.is_success());
                        let past = Past { no, attempt, worker, is_success, timing };
                        used.push(Stint::new(past.micros(), &outcome, median));
                        self.pulse.ended(past, &outcome, self.clock.now().wall);
                        JobEvent::Finished { session, worker, lease, outcome, timing, result }
                    }
                    Err(error) => {
                        self.not_stored(myself, (session, worker), finished, room, &error);
                        continue;
                    }
                },
            };
            effects.extend(self.tell(event));
        }
        self.tell_chronicle(worker, used);
        self.perform_all(myself, effects)?;
        self.tell_supervisor(myself);
        Ok(())
    }

    fn tell_chronicle(&self, worker: WorkerId, stints: Vec<Stint>) {
        if !stints.is_empty() {
            let _ = self.chronicle.cast(ChronicleMsg::Ended { worker, job: self.id, now: self.clock.now().wall, stints });
        }
    }

    /// Not acknowledged: the worker keeps the result, and offers it again when it reconnects, should this head end before there is room.
    fn not_stored(
        &self,
        myself: &ActorRef<JobMsg>,
        (session, worker): (SessionId, WorkerId),
        finished: Box<Finished>,
        room: &StoreRoom,
        error: &Error,
    ) {
        let task = finished.lease.no.0;
        if error.kind == ErrorKind::Exhausted {
            tracing::warn!(job = %self.id, task, %error, "a result could not be stored; trying again");
            let room = room.clone();
            drop(myself.send_after(STORE_AGAIN_AFTER, move || JobMsg::News(session, worker, vec![News::Finished(finished)], room)));
        } else {
            tracing::error!(job = %self.id, task, %error, "a result could not be stored");
        }
    }

    /// Stores what is said of a task that took down too many workers, then tells the machine.
    fn poison(
        &mut self,
        myself: &ActorRef<JobMsg>,
        no: TaskNo,
        attempt: Attempt,
        worker: WorkerId,
        workers: u32,
    ) -> Result<(), ActorProcessingErr> {
        let (outcome, timing) = (Outcome::Poison { workers }, Timing { started: self.clock.now().wall, ended: self.clock.now().wall });
        let meta = ResultMeta { no, attempt, worker, outcome, timing, packed: Packed::default() };
        match self.files.segment.append(&meta, &[]) {
            // Behind what is being done now.
            Ok(result) => drop(myself.cast(JobMsg::Event(JobEvent::Poisoned { no, result }))),
            Err(error) => {
                tracing::warn!(job = %self.id, task = no.0, %error, "the end of a task could not be stored; trying again");
                drop(myself.send_after(STORE_AGAIN_AFTER, move || JobMsg::Poison { no, attempt, worker, workers }));
            }
        }
        Ok(())
    }

    fn to_session(&self, session: SessionId, message: ProxyMsg) {
        // A session that is gone loses this; the supervisor tells us so in SessionLost.
        if let Some(proxy) = self.proxies.get(&session) {
            let _ = proxy.cast(message);
        }
    }

    fn perform(&mut self, myself: &ActorRef<JobMsg>, effect: JobEffect, gathered: &mut Gathered) -> Result<(), ActorProcessingErr> {
        match effect {
            JobEffect::Deliver { grant, session, runs } => {
                let runs = runs.into_iter().map(|(no, attempt)| self.delivery(no, attempt)).collect::<Result<Vec<_>, Error>>()?;
                let message = ProxyMsg::Deliver { grant, job: self.id, actor: myself.clone(), info: self.info(), runs, known: self.known };
                self.to_session(session, message);
            }
            JobEffect::Fence(session, fence) => self.to_session(session, ProxyMsg::Event(SessionEvent::Fence(fence, self.id))),
            JobEffect::Stop(session, lease, grace) => self.pass(session, ToWorker::Stop(lease, grace)),
            JobEffect::Freeze(session, lease, frozen) => self.pass(session, ToWorker::Freeze(lease, frozen)),
            JobEffect::Poison { no, attempt, worker, workers } => self.poison(myself, no, attempt, worker, workers)?,
            JobEffect::NoteLost { no, attempt, worker, began } => {
                let now = self.clock.now().wall;
                let timing = Timing { started: began.unwrap_or(now), ended: now };
                self.files.note_lost(no, attempt, worker, timing);
                self.tell_chronicle(worker, vec![Stint::new(timing.micros(), &Outcome::Lost, None)]);
            }
            JobEffect::Verdict(session, lease, Verdict::Stop) => self.pass(session, ToWorker::Verdict(lease, Verdict::Stop)),
            JobEffect::Verdict(session, lease, verdict) => {
                let lease = Lease { epoch: self.epoch, ..lease };
                let message = ProxyMsg::Adopt { lease, verdict, actor: myself.clone(), info: self.info() };
                self.to_session(session, message);
            }
            JobEffect::Ack(session, lease) => gathered.acks.entry(session).or_default().push(lease),
            JobEffect::Persist(seq, entry) => gathered.entries.push((seq, entry)),
            JobEffect::Reply(ticket, outcome) => {
                if let Some(reply) = self.replies.remove(&ticket) {
                    let view = self.machine.view();
                    let answer = outcome.map(|reply| (reply, view)).map_err(|refused| refused.error(self.id));
                    let _ = reply.send(answer);
                }
            }
            JobEffect::Wake(at) => {
                let wait = at.since(self.clock.now().mono) + Duration::from_millis(1);
                drop(myself.send_after(wait, || JobMsg::Event(JobEvent::Tick)));
            }
            JobEffect::TaskFailed(no, outcome) => {
                let _ = self.watch.cast(WatchMsg::TaskFailed { job: self.id, index: self.machine.record().spec.index_of(no), outcome });
            }
            JobEffect::Ended(_) => {
                let _ = self.supervisor.cast(SupervisorMsg::JobEnded(myself.get_id(), Box::new(self.snapshot())));
                self.retired = true;
                self.pass_retries_on();
            }
        }
        Ok(())
    }

    /// Behind the news of the end.
    fn pass_retries_on(&mut self) {
        if self.retired {
            self.retries.drain(..).for_each(|retry| drop(self.supervisor.cast(retry)));
        }
    }

    fn pass(&self, session: SessionId, message: ToWorker) {
        self.to_session(session, ProxyMsg::Event(SessionEvent::Pass(message)));
    }

    fn delivery(&self, no: TaskNo, attempt: Attempt) -> Result<Delivery, Error> {
        let chunk = self.chunks.as_ref().map(|chunks| chunks.get(no)).transpose()?;
        Ok(Delivery { lease: Lease { job: self.id, no, attempt, epoch: self.epoch }, chunk })
    }

    fn info(&mut self) -> Arc<JobInfo> {
        let record = self.machine.record();
        let info = || Arc::new(JobInfo { job: record.id, spec: record.spec.as_ref().clone(), total: record.total.unwrap_or(0) });
        self.info.get_or_insert_with(info).clone()
    }

    fn persist(&mut self, myself: &ActorRef<JobMsg>, entries: Vec<(u64, JobEntry)>) -> Result<(), Error> {
        let Some(last) = entries.last().map(|(seq, _)| *seq) else { return Ok(()) };
        let ends = entries.iter().filter_map(|(_, entry)| if let JobEntry::TaskEnded(end) = entry { Some(end) } else { None });
        let ends: Vec<&TaskEnd> = ends.collect();
        self.files.note(&ends)?;
        let is_of_attempt = |entry: &JobEntry| matches!(entry, JobEntry::AttemptFailed { .. } | JobEntry::AttemptLost { .. });
        let has_stored = !ends.is_empty() || entries.iter().any(|(_, entry)| is_of_attempt(entry));
        let files = has_stored.then(|| self.files.clone());
        let entries = entries.into_iter().map(|(_, entry)| Entry::Job(self.id, entry)).collect();
        let myself = myself.clone();
        self.journal.append_all(entries, files, move || {
            let _ = myself.cast(JobMsg::Event(JobEvent::Durable(last)));
        });
        Ok(())
    }
}
