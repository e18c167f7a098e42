//! Simulated workers, many in one process: real sessions with the head, and real slot tables, so that fences, stops and verdicts are obeyed
//! as everywhere; only that a task that is started has, at once, succeeded.

use std::collections::{BTreeSet, VecDeque};
use std::io::Write;

use anyhow::{Context, Result};
use millpond::actors::clock::{Clock, wall_now};
use millpond::actors::worker::{SessionOut, WorkerMsg};
use millpond::domain::wire::{Dial, Finished, FromWorker, Hello, Lease, ResultBytes};
use millpond::domain::{Epoch, Instant, Outcome, Packed, Resources, SessionId, Timing};
use millpond::engine::slot_table::{Allowance, Equipment, Preparation};
use millpond::engine::{Outbox, SlotEffect, SlotEvent, SlotTable};
use millpond::limits::HEARTBEAT_EVERY;
use millpond::pki::JoinToken;
use millpond::rpc::address::HeadAddress;
use millpond::rpc::tls::Keys;
use millpond::rpc::{enroll, link};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Which head, and how many.
#[derive(clap::Args, Debug)]
pub struct Args {
    url: String,
    workers: u32,
    slots: u32,
    /// A token, for a head with an identity
    #[arg(long)]
    join: Option<String>,
}

/// Runs them until the process is ended. Says `ready` once all are attached.
pub fn run(args: &Args) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    // They go with whom they were started by, however that ends.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))?;
    runtime.block_on(async {
        let address = match &args.join {
            None => args.url.parse()?,
            Some(token) => {
                let token: JoinToken = token.parse()?;
                let credentials = enroll::join(&HeadAddress::pinned(&args.url, token.fingerprint)?, &token).await?;
                HeadAddress::new(&args.url, Some(Keys::of(&credentials)?))?
            }
        };
        let (attached, mut welcomes) = mpsc::unbounded_channel();
        for _ in 0..args.workers {
            let (worker, _) = Actor::spawn(None, SimulatedWorker, (args.slots, attached.clone())).await?;
            tokio::spawn(link::keep_connected(address.clone(), worker, CancellationToken::new()));
        }
        for _ in 0..args.workers {
            welcomes.recv().await.context("a simulated worker has ended")?;
        }
        let mut out = std::io::stdout();
        writeln!(out, "ready").and_then(|()| out.flush())?;
        std::future::pending().await
    })
}

/// See the module. Hears what a WorkerActor hears.
struct SimulatedWorker;

struct State {
    hello: Hello,
    table: SlotTable,
    out: Option<(SessionId, SessionOut)>,
    outbox: Outbox,
    clock: Clock,
    attached: mpsc::UnboundedSender<()>,
}

impl Actor for SimulatedWorker {
    type Msg = WorkerMsg;
    type State = State;
    type Arguments = (u32, mpsc::UnboundedSender<()>);

    async fn pre_start(&self, myself: ActorRef<WorkerMsg>, (slots, attached): Self::Arguments) -> Result<State, ActorProcessingErr> {
        myself.send_interval(HEARTBEAT_EVERY, || WorkerMsg::Beat);
        let equipment = Equipment::new(Resources { cpus: slots, ..Resources::default() }, BTreeSet::new());
        let hello = Hello {
            key: uuid::Uuid::new_v4().to_string(),
            host: "simulated".into(),
            slots,
            total: equipment.total().clone(),
            confines: None,
            follows: false,
            epoch_seen: Epoch(0),
            dial: Dial { start: 1, number: 0 },
            stamp: Instant(0),
            held: Vec::new(),
        };
        let table = SlotTable::new(slots, equipment, Allowance::default(), Epoch(0));
        Ok(State { hello, table, out: None, outbox: Outbox::default(), clock: Clock::start(), attached })
    }

    async fn handle(&self, _: ActorRef<WorkerMsg>, message: WorkerMsg, state: &mut State) -> Result<(), ActorProcessingErr> {
        match message {
            WorkerMsg::Hello(reply) => {
                state.hello.dial.number += 1;
                let (held, epoch_seen, stamp) = (state.table.held(), state.table.epoch(), state.clock.now().mono);
                let _ = reply.send(Hello { held, epoch_seen, stamp, ..state.hello.clone() });
            }
            WorkerMsg::Welcomed { session, welcome, out } => {
                state.out = Some((session, out));
                state.outbox = Outbox::default();
                state.event(SlotEvent::Said(session, welcome));
                let _ = state.attached.send(());
            }
            WorkerMsg::Said(session, message) => state.event(SlotEvent::Said(session, message)),
            WorkerMsg::Disconnected(session) => {
                state.out.take_if(|(present, _)| *present == session);
                state.event(SlotEvent::Disconnected(session));
            }
            WorkerMsg::Beat => {
                state.outbox.push(FromWorker::Heartbeat(state.clock.now().mono));
                state.event(SlotEvent::Tick);
            }
            // Of runners, uploads and people, of which there are none here.
            _ => {}
        }
        state.flush();
        Ok(())
    }
}

impl State {
    /// Takes an event in, and what follows from it: inputs are there and tasks succeed the moment they are asked for.
    fn event(&mut self, event: SlotEvent) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            for effect in self.table.on_event(event, self.clock.now()) {
                match effect {
                    SlotEffect::Say(message) => self.outbox.push(message),
                    SlotEffect::Prepare { slot, lease, .. } => {
                        events.push_back(SlotEvent::Prepared { slot, lease, how: Preparation::Ready });
                    }
                    SlotEffect::Start { slot, lease, .. } => events.push_back(SlotEvent::Ended { slot, lease, bytes: 0, next: None }),
                    SlotEffect::Deliver(lease) => self.outbox.push(succeeded(lease)),
                    SlotEffect::EndSession(session) => {
                        if let Some((_, out)) = self.out.take_if(|(present, _)| *present == session) {
                            out.end.cancel();
                        }
                    }
                    // There is nothing to fetch, to stop, to keep.
                    _ => {}
                }
            }
        }
    }

    /// Nothing is left to start or to end by now, so nothing is waited for. A stream that does not take it is over, as at a real worker.
    fn flush(&mut self) {
        let messages = self.outbox.take();
        if let Some((_, out)) = self.out.as_ref().filter(|_| !messages.is_empty())
            && out.messages.try_send(messages).is_err()
        {
            out.end.cancel();
        }
    }
}

fn succeeded(lease: Lease) -> FromWorker {
    let now = wall_now();
    FromWorker::Finished(Box::new(Finished {
        lease,
        outcome: Outcome::Exited { code: 0 },
        timing: Timing { started: now, ended: now },
        packed: Packed::default(),
        bytes: ResultBytes::Inline(Vec::new()),
    }))
}
