//! The head's ends of its connections: what workers say, who is let in, and who is lost.

use std::sync::Arc;

use millpond::domain::entry::Entry;
use millpond::domain::wire::{FromWorker, Hello, JobInfo, ToWorker};
use millpond::domain::{Instant, JobSpec, Resources, ResultRef, SessionId, WorkerId, WorkerInfo};
use millpond::engine::{JobEvent, RosterEvent, Session, SessionEffect, SessionEvent};

use crate::head::HeadMail;
use crate::world::{Addr, Conn, World};

impl World {
    pub fn tell_session(&mut self, from: Addr, session: SessionId, event: SessionEvent) {
        self.inside(from, Addr::Proxy(session), HeadMail::Session(Box::new(event)));
    }

    pub fn head_hears(&mut self, conn: Conn, message: FromWorker) -> Result<(), String> {
        let Some(head) = self.head.as_mut().filter(|head| head.epoch == conn.epoch) else { return Ok(()) };
        self.oracle.heard(conn.session, self.now);
        match message {
            FromWorker::Hello(hello) => {
                let id = WorkerId(conn.worker as u32 + 1);
                if head.arrivals.admit(id, hello.dial).is_err() {
                    self.cut(conn);
                    return Ok(());
                }
                head.last_attach += 1;
                let seq = head.last_attach;
                let info = WorkerInfo { id, key: hello.key.clone(), host: String::new(), slots: hello.slots, total: hello.total.clone() };
                head.attaching.insert(seq, (conn, Box::new(hello), id));
                self.write(Entry::WorkerAttached(info), Addr::Supervisor, seq);
                Ok(())
            }
            FromWorker::Finished(finished) => {
                let Some((session, _)) = head.sessions.get(&conn.session) else { return Ok(()) };
                let worker = session.worker();
                let (lease, outcome, timing) = (finished.lease, finished.outcome.clone(), finished.timing);
                let session = conn.session;
                self.session_event(session, SessionEvent::Said(FromWorker::Finished(finished)))?;
                let event = JobEvent::Finished { session, worker, lease, outcome, timing, result: ResultRef { offset: 0, len: 0 } };
                self.inside(Addr::Proxy(session), Addr::Job(lease.job), HeadMail::Job(event));
                Ok(())
            }
            message => self.session_event(conn.session, SessionEvent::Said(message)),
        }
    }

    /// Lets a worker in: an older session of it ends first; then every job hears what it holds, and that this is all.
    pub fn attach(&mut self, conn: Conn, hello: Hello, worker: WorkerId) -> Result<(), String> {
        let Some(head) = &mut self.head else { return Ok(()) };
        let old = head.sessions.iter().find(|(_, (session, _))| session.worker() == worker).map(|(_, (_, conn))| *conn);
        if let Some(old) = old {
            self.head_loses(old)?;
            self.cut(old);
            let now = Instant(self.now);
            self.closed(old.session, now)?;
        }
        let now = self.clock();
        let mut session = Session::new(conn.session, worker, hello.slots, hello.total.clone(), now);
        session.plant(self.fault);
        // What it runs takes its place before any room is told.
        for held in &hello.held {
            let needs = if held.finished { Resources::default() } else { self.needs_of(held.lease.job) };
            session.on_event(SessionEvent::Adopted(held.lease, needs), now);
        }
        let Some(head) = &mut self.head else { return Ok(()) };
        head.sessions.insert(conn.session, (session, conn));
        let epoch = head.epoch;
        self.tell(conn, ToWorker::Welcome { worker, epoch, session: conn.session, stamp: hello.stamp });
        for held in hello.held {
            let event = JobEvent::Claimed { session: conn.session, worker, lease: held.lease, finished: held.finished };
            self.inside(Addr::Supervisor, Addr::Job(held.lease.job), HeadMail::Job(event));
        }
        self.each_job(|_| JobEvent::WorkerReported(worker, conn.session));
        self.roster_event(RosterEvent::Opened { session: conn.session, worker, slots: hello.slots, total: hello.total })
    }

    pub fn head_loses(&mut self, conn: Conn) -> Result<(), String> {
        let Some(head) = self.head.as_mut().filter(|head| head.epoch == conn.epoch) else { return Ok(()) };
        if let Some((session, _)) = head.sessions.remove(&conn.session) {
            self.inside(Addr::Proxy(conn.session), Addr::Supervisor, HeadMail::Closed(conn.session, session.heard()));
        }
        Ok(())
    }

    /// A session is over, for the supervisor.
    pub fn closed(&mut self, session: SessionId, heard: Instant) -> Result<(), String> {
        self.each_job(|_| JobEvent::SessionLost(session, heard));
        self.roster_event(RosterEvent::Closed(session))
    }

    /// A worker left in order; unless it is already on its way back in, nobody has to wait for it any more.
    fn left(&mut self, conn: Conn) {
        let Some(head) = &self.head else { return };
        let back = head.attaching.values().any(|(other, _, _)| other.worker == conn.worker);
        if !back && let Some((session, _)) = head.sessions.get(&conn.session) {
            self.write(Entry::WorkerLeft(session.worker()), Addr::Supervisor, 0);
        }
    }

    pub fn drain(&mut self, at: usize, drain: bool) {
        let sessions = self.head.iter().flat_map(|head| head.sessions.iter());
        let ids: Vec<SessionId> = sessions.filter(|(_, (_, conn))| conn.worker == at).map(|(id, _)| *id).collect();
        ids.into_iter().for_each(|id| self.tell_session(Addr::Supervisor, id, SessionEvent::Drain(drain)));
    }

    pub fn session_event(&mut self, id: SessionId, event: SessionEvent) -> Result<(), String> {
        let now = self.clock();
        let Some((session, conn)) = self.head.as_mut().and_then(|head| head.sessions.get_mut(&id)) else { return Ok(()) };
        let conn = *conn;
        let ticks = matches!(event, SessionEvent::Tick);
        let effects = session.on_event(event, now);
        if self.looks {
            session.check(conn.epoch).and_then(|()| session.check_used())?;
        }
        let me = Addr::Proxy(id);
        for effect in effects {
            match effect {
                SessionEffect::Send(message) => self.tell(conn, message),
                SessionEffect::Introduce(job) => {
                    if let Some(job) = self.disk.ledger.jobs.get(&job) {
                        let info = JobInfo { job: job.id, spec: JobSpec::clone(&job.spec), total: job.total.unwrap_or(0) };
                        self.tell(conn, ToWorker::Job(Arc::new(info)));
                    }
                }
                SessionEffect::Returned(job, leases) => self.inside(me, Addr::Job(job), HeadMail::Job(JobEvent::Returned(id, leases))),
                SessionEffect::Started(job, leases) => self.inside(me, Addr::Job(job), HeadMail::Job(JobEvent::Started(id, leases))),
                SessionEffect::Fenced { job, fence, started, dropped } => {
                    let event = JobEvent::Fenced { fence, session: id, started, dropped };
                    self.inside(me, Addr::Job(job), HeadMail::Job(event));
                }
                SessionEffect::Room { room, free, settled, trust } => {
                    let event = RosterEvent::Room { session: id, room, free, settled, trust };
                    self.inside(me, Addr::Supervisor, HeadMail::Roster(Box::new(event)));
                }
                SessionEffect::Suspicion(why) => self.story.suspicions += u64::from(why.is_some()),
                SessionEffect::Over { goodbye } => {
                    if goodbye {
                        self.left(conn);
                    } else {
                        if ticks {
                            self.oracle.given_up(id, self.now)?;
                        }
                        self.oracle.disturbed(conn.worker, self.now);
                    }
                    self.head_loses(conn)?;
                    self.cut(conn);
                }
            }
        }
        Ok(())
    }
}
