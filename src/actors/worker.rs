//! The WorkerActor: the slots. It takes no more tasks than it has announced room for, starts each on a free one, and offers again what it
//! holds when it reconnects. Child of the WorkerRoot.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use crate::domain::wire::{Dial, FromWorker, Hello, JobInfo, Lease, ResultBytes, ToWorker};
use crate::domain::{Attempt, Chunk, Confines, Error, Instant, JobId, Outcome, ResultRef, SessionId, TaskNo, WorkerId};
use crate::engine::slot_table::{Health, Preparation};
use crate::engine::{Outbox, SlotEffect, SlotEvent, SlotTable};
use crate::failpoint;
use crate::limits;

use super::clock::Clock;
use super::data_port::{DataPort, TransferError};
use super::handover::{EndedAttempt, Handover};
use super::prepare::{self, Inputs, Stores};
use super::reminder::Reminder;
use super::result_box::{KeptBytes, KeptResult};
use super::runner::{Order, StopSwitch};
use super::small_file;

/// Between two tries to give a large result to the head.
const UPLOAD_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What is said to the head gathers for so long, as long as there are tasks that were sent ahead: then no slot waits for the answer.
const GATHER_FOR: Duration = Duration::from_millis(8);
/// How many of the tasks that were sent ahead may start without a word from here: so many end at most before this actor hears of the first.
const OFFERS_PER_SLOT: usize = 2;
/// How long a goodbye may take to the head.
const GOODBYE_WITHIN: Duration = Duration::from_millis(500);

/// The way to the head, in one session.
#[derive(Clone)]
pub struct SessionOut {
    /// Messages for the head.
    pub messages: tokio::sync::mpsc::Sender<Vec<FromWorker>>,
    /// Ends the session.
    pub end: CancellationToken,
}

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
    /// Made once, kept in the folder.
    pub key: String,
    /// This machine's name.
    pub host: String,
    /// What its tasks are confined by.
    pub confines: Confines,
    /// How many times this worker has been started.
    pub start: u64,
    /// The machine.
    pub table: SlotTable,
    /// Its slots' threads.
    pub make_runners: MakeRunners,
    /// Chunks and shared files.
    pub stores: Stores,
    /// Where attempts end.
    pub handover: Arc<Handover>,
    /// The head's stores.
    pub port: Arc<dyn DataPort>,
    /// The highest epoch obeyed is kept here.
    pub epoch_file: PathBuf,
    /// The process's clocks.
    pub clock: Clock,
    /// Told when the worker has drained.
    pub left: CancellationToken,
}

type Key = (JobId, TaskNo, Attempt);

fn key(lease: &Lease) -> Key {
    (lease.job, lease.no, lease.attempt)
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
    results: BTreeMap<Key, KeptResult>,
    /// The sum of theirs that ride.
    riding_bytes: usize,
    /// Why a task can't be started, until its failed result is made.
    refusals: BTreeMap<Key, String>,
    out: Option<(SessionId, SessionOut)>,
    outbox: Outbox,
    /// Of [`WorkerMsg::Flush`].
    flush_due: Reminder,
    stores: Stores,
    handover: Arc<Handover>,
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
        let slots = runners.len() as u32;
        let hello = Hello {
            key: args.key,
            host: args.host,
            slots,
            total: args.table.equipment().total().clone(),
            confines: Some(args.confines),
            epoch_seen: args.table.epoch(),
            dial: Dial { start: args.start, number: 0 },
            stamp: Instant(0),
            held: Vec::new(),
        };
        myself.send_interval(limits::HEARTBEAT_EVERY, || WorkerMsg::Beat);
        Ok(WorkerState {
            hello,
            worker: WorkerId::default(),
            table: args.table,
            slots: runners.iter().map(|_| Slot::default()).collect(),
            runners,
            jobs: BTreeMap::new(),
            results: BTreeMap::new(),
            riding_bytes: 0,
            refusals: BTreeMap::new(),
            out: None,
            outbox: Outbox::default(),
            flush_due: Reminder::default(),
            stores: args.stores,
            handover: args.handover,
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
                if let ToWorker::Welcome { worker, epoch, .. } = &welcome {
                    state.worker = *worker;
                    if !epoch.is_of_same_files(state.table.epoch()) {
                        // A head on a backup: what the other head had stored of ours may not be there.
                        state.results.values_mut().for_each(|kept| kept.receipt = None);
                    }
                }
                // What rode in the last session is offered again in this one.
                state.results.values_mut().for_each(|kept| kept.riding_bytes = 0);
                state.riding_bytes = 0;
                // The head of this session introduces its jobs anew.
                state.jobs.clear();
                state.out = Some((session, out));
                state.outbox = Outbox::default();
                state.event(&myself, SlotEvent::Said(session, welcome))?;
            }
            WorkerMsg::Said(session, message) => state.event(&myself, SlotEvent::Said(session, message))?,
            WorkerMsg::Disconnected(session) => {
                state.out.take_if(|(present, _)| *present == session);
                state.event(&myself, SlotEvent::Disconnected(session))?;
                if state.leaves && state.out.is_none() {
                    state.left.cancel();
                }
            }
            WorkerMsg::Left => state.left.cancel(),
            WorkerMsg::Prepared(slot, lease, prepared) => state.prepared(&myself, slot, lease, prepared)?,
            // That is done.
            WorkerMsg::Ended => {}
            WorkerMsg::Uploaded(lease, Ok(receipt)) => state.uploaded(&myself, lease, receipt)?,
            WorkerMsg::Uploaded(lease, Err(TransferError::Head(error))) => state.not_uploaded(&myself, lease, &error)?,
            WorkerMsg::Uploaded(lease, Err(TransferError::Here(error))) => state.unreadable(&myself, lease, &error)?,
            WorkerMsg::Deliver(lease) => state.deliver(&myself, lease)?,
            WorkerMsg::Drain => state.event(&myself, SlotEvent::Drain(true))?,
            WorkerMsg::Stop(grace) => {
                state.stopping = Some(grace);
                state.slots.iter().for_each(|slot| slot.stop.stop(grace));
                state.event(&myself, SlotEvent::Drain(true))?;
            }
            WorkerMsg::Shutdown => {
                state.stopping = Some(Duration::ZERO);
                state.slots.iter().for_each(|slot| slot.stop.stop(Duration::ZERO));
                myself.stop(None);
            }
            WorkerMsg::Beat => {
                state.outbox.push(FromWorker::Heartbeat(state.clock.now().mono));
                state.event(&myself, SlotEvent::Tick)?;
            }
            WorkerMsg::Tick => state.event(&myself, SlotEvent::Tick)?,
            WorkerMsg::Flush => {
                state.flush_due.came();
                state.flush();
            }
        }
        state.flush_in_time(&myself);
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
            SlotEffect::Say(message) => self.outbox.push(message),
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
                if self.out.is_none() {
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
            SlotEffect::Forget(lease) => {
                failpoint::hit("worker.before_forget");
                self.rides_no_more(&lease);
                self.results.remove(&key(&lease));
            }
            SlotEffect::KeepEpoch(epoch) => small_file::write(&self.epoch_file, &epoch.0.to_string())?,
            SlotEffect::EndSession(session) => {
                if let Some((_, out)) = self.out.take_if(|(present, _)| *present == session) {
                    out.end.cancel();
                }
            }
            SlotEffect::WakeAt(at) => {
                let wait = at.since(self.clock.now().mono) + Duration::from_millis(1);
                drop(myself.send_after(wait, || WorkerMsg::Tick));
            }
            SlotEffect::Rest(pause) => {
                tracing::error!("this machine has failed: it takes no task for {} s, then one to try", pause.as_secs())
            }
            SlotEffect::Leave => {
                tracing::info!("nothing is left to do: leaving");
                self.flush();
                self.leaves = true;
                match self.out {
                    // The head ends the session once it has heard the goodbye.
                    Some(_) => drop(myself.send_after(GOODBYE_WITHIN, || WorkerMsg::Left)),
                    None => self.left.cancel(),
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
            self.results.insert(key(&lease), kept);
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

    /// At once, if somebody waits for it: a slot that could be given a task, or whoever has asked something.
    fn flush_in_time(&mut self, myself: &ActorRef<WorkerMsg>) {
        if self.outbox.is_due() || self.table.ahead() == 0 {
            self.flush();
        } else if !self.outbox.is_empty() {
            self.flush_due.ask(myself, GATHER_FOR, || WorkerMsg::Flush);
        }
    }

    /// Says what has gathered to the head. A stream that does not take it is over: nothing is ever skipped.
    fn flush(&mut self) {
        let messages = self.outbox.take();
        let Some((_, out)) = self.out.as_ref().filter(|_| !messages.is_empty()) else { return };
        let end = messages.iter().any(|message| matches!(message, FromWorker::Finished(_)));
        if end {
            failpoint::hit("worker.before_finished");
        }
        if out.messages.try_send(messages).is_err() {
            out.end.cancel();
        }
        if end {
            failpoint::hit("worker.after_finished");
        }
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

    fn fail(&mut self, lease: Lease) {
        let reason = self.refusals.remove(&key(&lease)).unwrap_or_else(|| "its input can't be had".into());
        self.results.insert(key(&lease), KeptResult::without_bytes(Outcome::SpawnFailed { reason }));
    }

    /// Sends a result, those that find no room in a message after their bytes.
    fn deliver(&mut self, myself: &ActorRef<WorkerMsg>, lease: Lease) -> Result<(), ActorProcessingErr> {
        self.rides_no_more(&lease);
        let Some(kept) = self.results.get_mut(&key(&lease)).filter(|_| self.out.is_some()) else { return Ok(()) };
        // Such a file was written a moment ago; and at a reconnection the room for what rides bounds what is read before a heartbeat.
        match kept.finished(lease, limits::RESULTS_RIDING_MAX_BYTES - self.riding_bytes) {
            Ok(Some(finished)) => {
                if let (KeptBytes::Disk(_), ResultBytes::Inline(bytes)) = (&kept.bytes, &finished.bytes) {
                    kept.riding_bytes = bytes.len();
                    self.riding_bytes += bytes.len();
                }
                self.outbox.push(FromWorker::Finished(Box::new(finished)));
            }
            Ok(None) => self.upload(myself, lease),
            Err(error) => self.unreadable(myself, lease, &error)?,
        }
        Ok(())
    }

    fn rides_no_more(&mut self, lease: &Lease) {
        if let Some(kept) = self.results.get_mut(&key(lease)) {
            self.riding_bytes -= std::mem::take(&mut kept.riding_bytes);
        }
    }

    fn upload(&self, myself: &ActorRef<WorkerMsg>, lease: Lease) {
        let Some(kept) = self.results.get(&key(&lease)) else { return };
        if let KeptBytes::Disk(file) = &kept.bytes {
            failpoint::hit("worker.before_upload");
            let (upload, myself) = (self.port.upload(kept.header(lease, self.worker), file.path().to_owned()), myself.clone());
            tokio::spawn(async move {
                let _ = myself.cast(WorkerMsg::Uploaded(lease, upload.await));
            });
        }
    }

    fn uploaded(&mut self, myself: &ActorRef<WorkerMsg>, lease: Lease, receipt: ResultRef) -> Result<(), ActorProcessingErr> {
        let Some(kept) = self.results.get_mut(&key(&lease)) else { return Ok(()) };
        kept.receipt = Some(receipt);
        self.deliver(myself, lease)
    }

    /// A kept result can't be read again: the task is given back, unless the head wants nothing of it any more and the file is gone for that.
    fn unreadable(&mut self, myself: &ActorRef<WorkerMsg>, lease: Lease, error: &Error) -> Result<(), ActorProcessingErr> {
        self.rides_no_more(&lease);
        if let Some(kept) = self.results.get_mut(&key(&lease)) {
            *kept = KeptResult::without_bytes(Outcome::Lost);
            self.machine_failed(myself, lease, &error.message)?;
            self.deliver(myself, lease)?;
        }
        Ok(())
    }

    fn not_uploaded(&mut self, myself: &ActorRef<WorkerMsg>, lease: Lease, error: &Error) -> Result<(), ActorProcessingErr> {
        self.rides_no_more(&lease);
        let Some(kept) = self.results.get_mut(&key(&lease)) else { return Ok(()) };
        if kept.refused(error) {
            return self.deliver(myself, lease);
        }
        tracing::warn!(job = %lease.job, task = lease.no.0, %error, "a result could not be given to the head; trying again");
        myself.send_after(UPLOAD_AGAIN_AFTER, move || WorkerMsg::Deliver(lease));
        Ok(())
    }
}
