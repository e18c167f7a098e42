//! The WorkerActor: the slots. It takes no more tasks than it has announced room for, starts each on a free one, and offers again what it
//! holds when it reconnects. Child of the WorkerRoot.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use crate::domain::wire::{FromWorker, Hello, JobInfo, Lease, ToWorker};
use crate::domain::{Chunk, Error, JobId, Outcome, ResultRef, SessionId, WorkerId};
use crate::engine::slot_table::{Health, Preparation};
use crate::engine::{SlotEffect, SlotEvent, SlotTable};
use crate::failpoint;
use crate::limits;

use super::clock::Clock;
use super::data_port::{DataPort, TransferError};
use super::handover::{EndedAttempt, Handover};
use super::outgoing::{Delivery, Key, Outgoing, key};
use super::output_sender::{self, Pace};
use super::prepare::{self, Inputs, Stores};
use super::result_box::KeptResult;
use super::runner::{Order, StopSwitch};
use super::sights::Sights;
use super::small_file;
use super::speaker::Speaker;

pub use super::speaker::SessionOut;

/// Between two tries to give a large result to the head.
const UPLOAD_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// How many of the tasks that were sent ahead may start without a word from here: so many end at most before this actor hears of the first.
const OFFERS_PER_SLOT: usize = 2;
/// How long a goodbye may take to the head.
const GOODBYE_WITHIN: Duration = Duration::from_millis(500);

/// What the worker is told.
pub enum WorkerMsg {
    /// What to say first in a new session. From then on nothing held is told until its verdict comes.
    Hello(RpcReplyPort<Hello>),
    /// The head has let us in.
    Welcomed {
        /// The session.
        session: SessionId,
        /// The welcome itself.
        welcome: ToWorker,
        /// The way back.
        out: SessionOut,
    },
    /// The head said something.
    Said(SessionId, ToWorker),
    /// The session's stream has ended.
    Disconnected(SessionId),
    /// A slot's inputs are there, or can't be had.
    Prepared(usize, Lease, Result<Inputs, TransferError>),
    /// Attempts have ended: see the [`Handover`].
    Ended,
    /// A large result was given to the head, or not.
    Uploaded(Lease, Result<ResultRef, TransferError>),
    /// Try again to give a result.
    Deliver(Lease),
    /// Finish what runs, take no more, leave.
    Drain,
    /// Stop what runs (TERM, so much time, KILL), take no more, leave. The stopped tasks go back to the head, at no cost to them.
    Stop(Duration),
    /// Stop everything now.
    Shutdown,
    /// Time for a heartbeat.
    Beat,
    /// The table wants to know that time has passed.
    Tick,
    /// Say what has gathered.
    Flush,
    /// The head has had the time to hear a goodbye.
    Left,
}

/// Starts the slots' threads for a worker.
pub type MakeRunners = Box<dyn FnOnce(ActorRef<WorkerMsg>) -> Result<Vec<mpsc::Sender<Order>>, Error> + Send>;

/// What the worker starts from.
pub struct WorkerArgs {
    /// What it says of itself: the first Hello, but for what only the moment knows.
    pub hello: Hello,
    /// The machine.
    pub table: SlotTable,
    /// Its slots' threads.
    pub make_runners: MakeRunners,
    /// Chunks and shared files.
    pub stores: Stores,
    /// Where attempts end.
    pub handover: Arc<Handover>,
    /// What tasks print.
    pub sights: Arc<Sights>,
    /// The head's stores.
    pub port: Arc<dyn DataPort>,
    /// The highest epoch obeyed is kept here.
    pub epoch_file: PathBuf,
    /// The process's clocks.
    pub clock: Clock,
    /// Told when the worker has drained.
    pub left: CancellationToken,
}

#[derive(Default)]
struct Slot {
    preparing: Option<AbortHandle>,
    inputs: Option<Inputs>,
    stop: Arc<StopSwitch>,
}

/// The worker's state.
pub struct WorkerState {
    hello: Hello,
    worker: WorkerId,
    table: SlotTable,
    slots: Vec<Slot>,
    runners: Vec<mpsc::Sender<Order>>,
    jobs: BTreeMap<JobId, Arc<JobInfo>>,
    outgoing: Outgoing,
    /// Why a task can't be started, until its failed result is made.
    refusals: BTreeMap<Key, String>,
    speaker: Speaker,
    stores: Stores,
    handover: Arc<Handover>,
    sights: Arc<Sights>,
    pace: Pace,
    port: Arc<dyn DataPort>,
    epoch_file: PathBuf,
    clock: Clock,
    left: CancellationToken,
    /// It has said goodbye.
    leaves: bool,
    /// Set once it is being stopped: what starts from then on is stopped as well.
    stopping: Option<Duration>,
}

/// See the module.
pub struct WorkerActor;

impl Actor for WorkerActor {
    type Msg = WorkerMsg;
    type State = WorkerState;
    type Arguments = WorkerArgs;

    async fn pre_start(&self, myself: ActorRef<WorkerMsg>, args: WorkerArgs) -> Result<WorkerState, ActorProcessingErr> {
        let runners = (args.make_runners)(myself.clone())?;
        myself.send_interval(limits::HEARTBEAT_EVERY, || WorkerMsg::Beat);
        Ok(WorkerState {
            hello: args.hello,
            worker: WorkerId::default(),
            table: args.table,
            slots: runners.iter().map(|_| Slot::default()).collect(),
            runners,
            jobs: BTreeMap::new(),
            outgoing: Outgoing::default(),
            refusals: BTreeMap::new(),
            speaker: Speaker::default(),
            stores: args.stores,
            handover: args.handover,
            sights: args.sights,
            pace: Pace::new(),
            port: args.port,
            epoch_file: args.epoch_file,
            clock: args.clock,
            left: args.left,
            leaves: false,
            stopping: None,
        })
    }

    async fn handle(&self, myself: ActorRef<WorkerMsg>, message: WorkerMsg, state: &mut WorkerState) -> Result<(), ActorProcessingErr> {
        let offered = state.take_ended(&myself)?;
        match message {
            WorkerMsg::Hello(reply) => {
                let stamp = state.clock.now().mono;
                state.hello.dial.number += 1;
                let hello = Hello { held: state.table.held(), epoch_seen: state.table.epoch(), stamp, ..state.hello.clone() };
                let _ = reply.send(hello);
            }
            WorkerMsg::Welcomed { session, welcome, out } => {
                let mut of_same_files = true;
                if let ToWorker::Welcome { worker, epoch, .. } = &welcome {
                    state.worker = *worker;
                    of_same_files = epoch.is_of_same_files(state.table.epoch());
                }
                state.outgoing.begins_anew(of_same_files);
                // The head of this session introduces its jobs anew.
                state.jobs.clear();
                state.speaker.begins(session, out);
                state.event(&myself, SlotEvent::Said(session, welcome))?;
            }
            WorkerMsg::Said(session, message) => state.event(&myself, SlotEvent::Said(session, message))?,
            WorkerMsg::Disconnected(session) => {
                state.speaker.ended(session);
                state.event(&myself, SlotEvent::Disconnected(session))?;
                if state.leaves && !state.speaker.is_heard() {
                    state.left.cancel();
                }
            }
            WorkerMsg::Left => state.left.cancel(),
            WorkerMsg::Prepared(slot, lease, prepared) => state.prepared(&myself, slot, lease, prepared)?,
            // That is done.
            WorkerMsg::Ended => {}
            WorkerMsg::Uploaded(lease, Ok(receipt)) => {
                state.outgoing.uploaded(&lease, receipt);
                state.deliver(&myself, lease)?;
            }
            WorkerMsg::Uploaded(lease, Err(TransferError::Head(error))) => state.not_uploaded(&myself, lease, &error)?,
            WorkerMsg::Uploaded(lease, Err(TransferError::Here(error))) => state.unreadable(&myself, lease, &error)?,
            WorkerMsg::Deliver(lease) => state.deliver(&myself, lease)?,
            WorkerMsg::Drain => state.event(&myself, SlotEvent::Drain(true))?,
            WorkerMsg::Stop(grace) => {
                state.stop_all(grace);
                state.event(&myself, SlotEvent::Drain(true))?;
            }
            WorkerMsg::Shutdown => {
                state.stop_all(Duration::ZERO);
                myself.stop(None);
            }
            WorkerMsg::Beat => {
                state.speaker.say(FromWorker::Heartbeat(state.clock.now().mono));
                state.event(&myself, SlotEvent::Tick)?;
            }
            WorkerMsg::Tick => state.event(&myself, SlotEvent::Tick)?,
            WorkerMsg::Flush => state.speaker.flush_now(),
        }
        state.speaker.flush_in_time(&myself, state.table.ahead() > 0);
        state.offer(offered);
        Ok(())
    }
}

impl WorkerState {
    fn event(&mut self, myself: &ActorRef<WorkerMsg>, event: SlotEvent) -> Result<(), ActorProcessingErr> {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            for effect in self.table.on_event(event, self.clock.now()) {
                events.extend(self.perform(myself, effect)?);
            }
        }
        Ok(())
    }

    /// Returns what came of it at once.
    fn perform(&mut self, myself: &ActorRef<WorkerMsg>, effect: SlotEffect) -> Result<Option<SlotEvent>, ActorProcessingErr> {
        match effect {
            SlotEffect::Say(message) => self.speaker.say(message),
            SlotEffect::Learn(info) => {
                self.jobs.insert(info.job, info);
            }
            SlotEffect::Unlearn(job) => {
                self.jobs.remove(&job);
            }
            SlotEffect::Prepare { slot, lease, chunk } => return Ok(self.prepare(myself, slot, lease, chunk)),
            SlotEffect::CancelPrepare { slot } => {
                if let Some(slot) = self.slots.get_mut(slot) {
                    slot.inputs = None;
                    slot.preparing.take().inspect(AbortHandle::abort);
                }
            }
            SlotEffect::Start { slot, lease, gpus } => self.start(myself, slot, lease, gpus),
            SlotEffect::Stop { slot, grace, lease } => {
                if !self.speaker.is_heard() {
                    tracing::warn!(job = %lease.job, task = lease.no.0, "stopped: there was no head for too long");
                }
                if let Some(slot) = self.slots.get(slot) {
                    slot.stop.stop(grace);
                }
            }
            SlotEffect::Freeze { slot, frozen, .. } => {
                if let Some(slot) = self.slots.get(slot) {
                    slot.stop.freeze(frozen);
                }
            }
            SlotEffect::Fail { lease } => self.fail(lease),
            SlotEffect::Deliver(lease) => self.deliver(myself, lease)?,
            SlotEffect::Follow(follow) => {
                tokio::spawn(output_sender::send(follow, self.sights.clone(), self.port.clone(), self.pace.clone()));
            }
            SlotEffect::Forget(lease) => {
                failpoint::hit("worker.before_forget");
                self.outgoing.forget(&lease);
            }
            SlotEffect::KeepEpoch(epoch) => small_file::write(&self.epoch_file, &epoch.0.to_string())?,
            SlotEffect::EndSession(session) => self.speaker.end(session),
            SlotEffect::WakeAt(at) => {
                let wait = at.since(self.clock.now().mono) + Duration::from_millis(1);
                drop(myself.send_after(wait, || WorkerMsg::Tick));
            }
            SlotEffect::Rest(pause) => {
                tracing::error!("this machine has failed: it takes no task for {} s, then one to try", pause.as_secs())
            }
            SlotEffect::Leave => {
                tracing::info!("nothing is left to do: leaving");
                self.speaker.flush();
                self.leaves = true;
                if self.speaker.is_heard() {
                    // The head ends the session once it has heard the goodbye.
                    drop(myself.send_after(GOODBYE_WITHIN, || WorkerMsg::Left));
                } else {
                    self.left.cancel();
                }
            }
        }
        Ok(None)
    }

    /// Takes back what is offered, and takes in what has ended, with what was claimed then. Before anything else.
    fn take_ended(&mut self, myself: &ActorRef<WorkerMsg>) -> Result<VecDeque<Order>, ActorProcessingErr> {
        let (ended, offered) = self.handover.take();
        for EndedAttempt { slot, lease, ended, next } in ended {
            let kept = self.health(myself, lease, ended)?;
            let bytes = kept.packed.entries.iter().map(|entry| entry.packed_len).sum();
            self.outgoing.keep(&lease, kept);
            let next = next.map(|(next, stop)| {
                if let Some(slot) = self.slots.get_mut(slot) {
                    slot.stop = stop;
                }
                next
            });
            self.event(myself, SlotEvent::Ended { slot, lease, bytes, next })?;
        }
        Ok(offered)
    }

    /// Offers what comes next and has all that it needs here; of what was offered before, what is still the same.
    fn offer(&mut self, mut before: VecDeque<Order>) {
        if self.stopping.is_some() {
            return;
        }
        let mut orders = VecDeque::new();
        for offer in self.table.offers(self.clock.now()).take(OFFERS_PER_SLOT * self.slots.len()) {
            let Some(info) = self.jobs.get(&offer.lease.job) else { break };
            let is_it = |order: &Order| order.lease == offer.lease && Arc::ptr_eq(&order.info, info);
            if let Some(at) = before.iter().position(is_it) {
                orders.extend(before.drain(..=at).next_back());
                continue;
            }
            let Some(inputs) = self.stores.here(info, &offer.lease, offer.chunk.as_ref()) else { break };
            orders.push_back(Order { lease: offer.lease, info: info.clone(), inputs, gpus: offer.gpus, stop: Arc::default() });
        }
        self.handover.offer(orders, self.table.lease_until());
    }

    /// Notes what an attempt says of this machine; the result to keep of it.
    fn health(
        &mut self,
        myself: &ActorRef<WorkerMsg>,
        lease: Lease,
        ended: Result<Box<KeptResult>, String>,
    ) -> Result<KeptResult, ActorProcessingErr> {
        match ended {
            Ok(kept) => {
                if !matches!(kept.outcome, Outcome::Lost | Outcome::Revoked) {
                    self.event(myself, SlotEvent::Machine(Health::Sound))?;
                }
                Ok(*kept)
            }
            Err(fault) => {
                self.machine_failed(myself, lease, &fault)?;
                Ok(KeptResult::without_bytes(Outcome::Lost))
            }
        }
    }

    fn machine_failed(&mut self, myself: &ActorRef<WorkerMsg>, lease: Lease, fault: &str) -> Result<(), ActorProcessingErr> {
        tracing::error!(job = %lease.job, task = lease.no.0, fault, "this machine failed a task: it is given back");
        self.event(myself, SlotEvent::Machine(Health::Failed))
    }

    /// Fetches what a task needs; if all is here, it is ready at once.
    fn prepare(&mut self, myself: &ActorRef<WorkerMsg>, slot: usize, lease: Lease, chunk: Option<Chunk>) -> Option<SlotEvent> {
        let Some(info) = self.jobs.get(&lease.job).cloned() else {
            let error = Error::unavailable("the head sent a task before its job");
            let _ = myself.cast(WorkerMsg::Prepared(slot, lease, Err(error.into())));
            return None;
        };
        let here = self.stores.here(&info, &lease, chunk.as_ref());
        let is_here = here.is_some();
        let preparing = (!is_here).then(|| {
            let (stores, myself, others) = (self.stores.clone(), myself.clone(), self.table.chunks_wanted(lease.job));
            let get = async move {
                let prepared = stores.get(info, lease, chunk, others).await;
                let _ = myself.cast(WorkerMsg::Prepared(slot, lease, prepared));
            };
            tokio::spawn(get).abort_handle()
        });
        if let Some(slot) = self.slots.get_mut(slot) {
            (slot.inputs, slot.preparing) = (here, preparing);
        }
        is_here.then_some(SlotEvent::Prepared { slot, lease, how: Preparation::Ready })
    }

    fn prepared(
        &mut self,
        myself: &ActorRef<WorkerMsg>,
        at: usize,
        lease: Lease,
        prepared: Result<Inputs, TransferError>,
    ) -> Result<(), ActorProcessingErr> {
        let how = match prepared {
            Ok(inputs) => {
                if let Some(slot) = self.slots.get_mut(at).filter(|_| self.table.is_preparing(at, &lease)) {
                    slot.inputs = Some(inputs);
                }
                Preparation::Ready
            }
            Err(TransferError::Here(error)) => {
                self.machine_failed(myself, lease, &error.message)?;
                Preparation::Declined
            }
            Err(TransferError::Head(error)) => {
                tracing::warn!(job = %lease.job, task = lease.no.0, %error, "a task's input can't be had");
                let how = prepare::verdict(&error);
                if how == Preparation::Failed {
                    self.refusals.insert(key(&lease), error.message);
                }
                how
            }
        };
        self.event(myself, SlotEvent::Prepared { slot: at, lease, how })?;
        self.refusals.remove(&key(&lease));
        Ok(())
    }

    fn start(&mut self, myself: &ActorRef<WorkerMsg>, at: usize, lease: Lease, gpus: Option<Vec<u32>>) {
        let (Some(slot), Some(runner)) = (self.slots.get_mut(at), self.runners.get(at)) else { return };
        let Some(info) = self.jobs.get(&lease.job).cloned() else { return };
        slot.preparing = None;
        slot.stop = Arc::new(StopSwitch::default());
        if let Some(grace) = self.stopping {
            slot.stop.stop(grace);
        }
        let inputs = slot.inputs.take().unwrap_or_default();
        let order = Order { lease, info, inputs, gpus, stop: slot.stop.clone() };
        if runner.send(order).is_err() {
            self.handover.end(at, lease, Err("its slot's thread has ended".into()));
            let _ = myself.cast(WorkerMsg::Ended);
        }
    }

    fn stop_all(&mut self, grace: Duration) {
        self.stopping = Some(grace);
        self.slots.iter().for_each(|slot| slot.stop.stop(grace));
    }

    fn fail(&mut self, lease: Lease) {
        let reason = self.refusals.remove(&key(&lease)).unwrap_or_else(|| "its input can't be had".into());
        self.outgoing.keep(&lease, KeptResult::without_bytes(Outcome::SpawnFailed { reason }));
    }

    /// Sends a result, those that find no room in a message after their bytes.
    fn deliver(&mut self, myself: &ActorRef<WorkerMsg>, lease: Lease) -> Result<(), ActorProcessingErr> {
        if !self.speaker.is_heard() {
            return Ok(());
        }
        match self.outgoing.next(lease, self.worker) {
            None => {}
            Some(Delivery::Say(finished)) => self.speaker.say(FromWorker::Finished(finished)),
            Some(Delivery::Upload(header, from)) => {
                failpoint::hit("worker.before_upload");
                let (upload, myself) = (self.port.upload(*header, from), myself.clone());
                tokio::spawn(async move {
                    let _ = myself.cast(WorkerMsg::Uploaded(lease, upload.await));
                });
            }
            Some(Delivery::Unreadable(error)) => self.unreadable(myself, lease, &error)?,
        }
        Ok(())
    }

    /// A kept result can't be read again: the task is given back.
    fn unreadable(&mut self, myself: &ActorRef<WorkerMsg>, lease: Lease, error: &Error) -> Result<(), ActorProcessingErr> {
        if self.outgoing.lose(&lease) {
            self.machine_failed(myself, lease, &error.message)?;
            self.deliver(myself, lease)?;
        }
        Ok(())
    }

    fn not_uploaded(&mut self, myself: &ActorRef<WorkerMsg>, lease: Lease, error: &Error) -> Result<(), ActorProcessingErr> {
        match self.outgoing.refused(&lease, error) {
            None => {}
            Some(true) => self.deliver(myself, lease)?,
            Some(false) => {
                tracing::warn!(job = %lease.job, task = lease.no.0, %error, "a result could not be given to the head; trying again");
                myself.send_after(UPLOAD_AGAIN_AFTER, move || WorkerMsg::Deliver(lease));
            }
        }
        Ok(())
    }
}
