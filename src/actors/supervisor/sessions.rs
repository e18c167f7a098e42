//! Workers: let in, listed, drained, gone.

use std::collections::BTreeSet;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};

use crate::actors::job::JobMsg;
use crate::actors::proxy::{Description, ProxyArgs, ProxyMsg, WorkerProxy};
use crate::domain::entry::Entry;
use crate::domain::wire::{Follow, Held, Hello, ToWorker, Verdict};
use crate::domain::{Error, Instant, Resources, SessionId, WallTime, WorkerId, WorkerInfo};
use crate::engine::session::SessionEvent;
use crate::engine::{JobEvent, RosterEvent, Session, WorkerPhase};
use crate::limits;

use super::actor::{Seat, SupervisorState};
use super::msg::{Attaching, SupervisorMsg};
use super::status::WorkerStatus;

impl SupervisorState {
    /// A worker wants in. It is known durably before it gets a task, so that a restarted head knows whom to wait for.
    pub(super) fn attach(&mut self, myself: &ActorRef<SupervisorMsg>, attaching: Attaching) {
        let hello = &attaching.hello;
        let known = self.workers.values().find(|info| info.key == hello.key).map(|info| info.id);
        let id = known.unwrap_or_else(|| WorkerId(self.workers.last_key_value().map_or(0, |(id, _)| id.0) + 1));
        if let Err(error) = self.admits(hello).and_then(|()| self.arrivals.admit(id, hello.dial)) {
            let _ = attaching.reply.send(Err(error));
            return;
        }
        let info = WorkerInfo { id, key: hello.key.clone(), host: hello.host.clone(), slots: hello.slots, total: hello.total.clone() };
        self.workers.insert(id, info.clone());
        if let Some(tracer) = &self.tracer {
            tracer.hosts().learn(id, &info.host);
        }
        self.attaching.insert(id);
        self.left.remove(&id);
        let myself = myself.clone();
        self.journal.append(Entry::WorkerAttached(info), None, move || {
            let _ = myself.cast(SupervisorMsg::Attached(id, Box::new(attaching)));
        });
    }

    /// What something held takes: nothing once it has ended.
    fn needs_of(&self, held: &Held) -> Resources {
        let view = self.views.get(&held.lease.job).filter(|_| !held.finished);
        view.map(|view| view.spec.needs.clone()).unwrap_or_default()
    }

    fn admits(&self, hello: &Hello) -> Result<(), Error> {
        if hello.epoch_seen > self.epoch {
            return Err(Error::conflict(format!(
                "this worker has obeyed a head of epoch {}, and this one is {}: it is an older copy, or another cluster's; give the worker a new --dir",
                hello.epoch_seen.0, self.epoch.0
            )));
        }
        if self.sessions.len() >= limits::WORKERS_MAX {
            return Err(Error::exhausted(format!("{} workers are connected, and no more are taken", limits::WORKERS_MAX)));
        }
        Ok(())
    }

    pub(super) async fn attached(
        &mut self,
        myself: &ActorRef<SupervisorMsg>,
        worker: WorkerId,
        attaching: Attaching,
    ) -> Result<(), ActorProcessingErr> {
        let Attaching { hello, out, reply } = attaching;
        self.attaching.remove(&worker);
        self.close_older(worker);
        self.last_session += 1;
        let session = SessionId(self.last_session);
        let now = self.clock.now();
        let args = ProxyArgs {
            session: Session::new(session, worker, hello.slots, hello.total.clone(), now),
            welcome: ToWorker::Welcome { worker, epoch: self.epoch, session, stamp: hello.stamp },
            held: hello.held.iter().map(|held| (held.lease, self.needs_of(held))).collect(),
            out,
            supervisor: myself.clone(),
            clock: self.clock,
            meters: self.meters.clone(),
        };
        let (proxy, _) = WorkerProxy::spawn_linked(None, WorkerProxy, args, myself.get_cell()).await?;
        tracing::info!(%worker, host = %hello.host, slots = hello.slots, held = hello.held.len(), "worker attached");
        self.claim(&hello, session, worker, &proxy);
        let (confines, follows) = (hello.confines, hello.follows);
        self.sessions.insert(session, Seat { worker, proxy: proxy.clone(), attached: now.wall, confines, follows, reported: None });
        self.roster_event(RosterEvent::Opened { session, worker, slots: hello.slots, total: hello.total });
        let _ = reply.send(Ok(proxy));
        Ok(())
    }

    /// Tells the jobs what the worker holds of them, and that this is all.
    fn claim(&self, hello: &Hello, session: SessionId, worker: WorkerId, proxy: &ActorRef<ProxyMsg>) {
        for held in &hello.held {
            let lease = held.lease;
            match self.live.get(&lease.job) {
                Some(job) => {
                    let event = JobEvent::Claimed { session, worker, lease, finished: held.finished };
                    let _ = job.cast(JobMsg::FromSession(event, proxy.clone()));
                }
                None => {
                    let _ = proxy.cast(ProxyMsg::Event(SessionEvent::Pass(ToWorker::Verdict(lease, Verdict::Stop))));
                }
            }
        }
        self.each_job(&JobEvent::WorkerReported(worker, session));
    }

    /// A worker has one session: an older one ends before the new one begins.
    fn close_older(&mut self, worker: WorkerId) {
        let older: Vec<SessionId> = self.sessions.iter().filter(|(_, seat)| seat.worker == worker).map(|(id, _)| *id).collect();
        for session in older {
            if let Some(seat) = self.sessions.get(&session) {
                let _ = seat.proxy.cast(ProxyMsg::Replaced);
            }
            self.session_closed(session, false, self.clock.now().mono);
        }
    }

    pub(super) fn session_closed(&mut self, session: SessionId, goodbye: bool, heard: Instant) {
        let Some(seat) = self.sessions.remove(&session) else { return };
        tracing::info!(worker = %seat.worker, goodbye, "worker gone");
        self.away_since.insert(seat.worker, self.clock.now().wall);
        self.each_job(&JobEvent::SessionLost(session, heard));
        self.roster_event(RosterEvent::Closed(session));
        // Unless it is already on its way back in, nobody has to wait for it any more.
        if goodbye && !self.attaching.contains(&seat.worker) {
            self.left.insert(seat.worker);
            self.journal.append(Entry::WorkerLeft(seat.worker), None, || {});
        }
    }

    pub(super) fn drain(&mut self, worker: WorkerId, drain: bool) -> Result<(), Error> {
        if !self.workers.contains_key(&worker) {
            return Err(Error::not_found(format!("there is no worker {worker}")));
        }
        match self.sessions.values().find(|seat| seat.worker == worker) {
            Some(seat) => {
                let _ = seat.proxy.cast(ProxyMsg::Event(SessionEvent::Drain(drain)));
                Ok(())
            }
            None => Err(Error::conflict(format!("{worker} is not connected"))),
        }
    }

    /// Has a worker send what a task prints.
    pub(super) fn follow(&self, worker: WorkerId, follow: Follow) -> Result<(), Error> {
        let seat = self.sessions.values().find(|seat| seat.worker == worker);
        let seat = seat.ok_or_else(|| Error::unavailable(format!("{worker} is not connected")))?;
        if !seat.follows {
            return Err(Error::conflict(format!(
                "{worker} is of a version that does not send what its tasks print while they run: install the same millpond there, or wait for \
                 the task's end"
            )));
        }
        let _ = seat.proxy.cast(ProxyMsg::Event(SessionEvent::Pass(ToWorker::Follow(follow))));
        Ok(())
    }

    /// Asks every proxy at once; the supervisor goes on meanwhile.
    pub(super) fn list_workers(&self, reply: RpcReplyPort<Vec<WorkerStatus>>) {
        let connected: BTreeSet<WorkerId> = self.sessions.values().map(|seat| seat.worker).collect();
        let not_connected = self.workers.values().filter(|info| !connected.contains(&info.id));
        let gone = |info: &WorkerInfo| (self.left.contains(&info.id), self.away_since.get(&info.id).copied());
        let not_connected = not_connected.map(|info| (info.clone(), gone(info)));
        let mut statuses: Vec<WorkerStatus> =
            not_connected.map(|(info, (left, since))| WorkerStatus { left, since, ..away(info) }).collect();
        let asked = self.sessions.values().filter_map(|seat| Some((self.workers.get(&seat.worker)?.clone(), seat.clone())));
        let asked: Vec<_> = asked.collect();
        let now = self.clock.now().wall;
        let kept = self.roster.reservation().map(|kept| (kept.worker, (kept.job, now.before(kept.lasts))));
        tokio::spawn(async move {
            for (info, Seat { proxy, attached, confines, .. }) in asked {
                let status = match crate::actors::ask::ask(&proxy, ProxyMsg::Describe).await {
                    Ok(description) => {
                        let kept_for = kept.filter(|(worker, _)| *worker == info.id).map(|(_, kept_for)| kept_for);
                        WorkerStatus { kept_for, confines, ..present(info, description, attached) }
                    }
                    Err(_) => away(info),
                };
                statuses.push(status);
            }
            statuses.sort_by_key(|status| status.info.id);
            let _ = reply.send(statuses);
        });
    }
}

/// What a worker's rest means.
const RESTING_NOTE: &str =
    "its machine has failed a task, which went back at no cost: its log says why; it takes none for a while, then one to try";

fn away(info: WorkerInfo) -> WorkerStatus {
    WorkerStatus {
        info,
        phase: WorkerPhase::Away,
        since: None,
        note: String::new(),
        drained: false,
        free: 0,
        leases: Vec::new(),
        used: Resources::default(),
        kept_for: None,
        confines: None,
        attached: None,
        left: false,
    }
}

fn present(info: WorkerInfo, description: Description, attached: WallTime) -> WorkerStatus {
    let Description { phase: (phase, since), suspicion, leases, used, free, drained } = description;
    let suspicion = suspicion.filter(|_| phase != WorkerPhase::Draining);
    let resting = || (phase == WorkerPhase::Resting).then(|| RESTING_NOTE.to_owned());
    let note = suspicion.or_else(resting).unwrap_or_default();
    let (free, since, attached) = (free.unwrap_or(0), Some(since), Some(attached));
    WorkerStatus { info, phase, since, note, drained, free, leases, used, kept_for: None, confines: None, attached, left: false }
}
