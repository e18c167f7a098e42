//! What goes wrong: crashes, cuts, clogs, partitions, and workers that stand still.

use millpond::domain::JobId;

use crate::world::{Addr, Conn, Mail, World};

/// One thing that goes wrong.
#[derive(Clone, Copy, Debug)]
pub enum FaultKind {
    CrashHead,
    /// One job's actor only.
    CrashJob(JobId),
    CrashWorker(usize),
    /// A person drains a worker; or, false, takes it back.
    Drain(usize, bool),
    Cut(usize),
    /// Nothing arrives for so many ms, in one direction (up is to the head); nothing is lost.
    Clog(usize, bool, u64),
    /// Several workers, by the bits of the first number, can't reach the head for so many ms.
    Partition(u64, u64),
    Stall(usize, u64),
    /// The head's disk has no room for what tasks leave behind, for so many ms.
    DiskFull(u64),
    /// The wall clock, everywhere, jumps by so many ms.
    WallJump(i64),
}

impl World {
    pub fn strike(&mut self, kind: FaultKind) -> Result<(), String> {
        match kind {
            FaultKind::CrashHead => {
                if self.head.take().is_some() {
                    self.story.head_crashes += 1;
                    self.crash_disk();
                    let all: Vec<Conn> = self.alive.keys().copied().collect();
                    all.into_iter().for_each(|conn| self.cut(conn));
                    let pause = self.rng.between(10, 3_000);
                    self.at(self.now + pause, Addr::World, Mail::HeadStarts);
                }
            }
            FaultKind::CrashJob(job) => self.crash_job(job)?,
            FaultKind::Drain(at, drain) => self.drain(at, drain),
            FaultKind::CrashWorker(at) => {
                if self.workers[at].up {
                    self.story.worker_crashes += 1;
                    self.workers[at].crash();
                    self.oracle.worker_died(at, self.now);
                    let pause = self.rng.between(10, 20_000);
                    self.at(self.now + pause, Addr::World, Mail::WorkerStarts(at));
                    self.cut_worker(at);
                }
            }
            FaultKind::Cut(at) => {
                self.story.cuts += 1;
                self.oracle.cut(at, self.now);
                self.cut_worker(at);
            }
            FaultKind::Clog(at, up, span) => {
                self.story.clogs += 1;
                if up {
                    self.oracle.unheard(at, self.now, self.now + span);
                }
                self.clog(at, up, self.now + span);
            }
            FaultKind::Partition(who, span) => {
                self.story.partitions += 1;
                for at in (0..self.workers.len()).filter(|at| who >> at & 1 == 1) {
                    self.oracle.cut(at, self.now);
                    self.workers[at].unreachable_until = self.now + span;
                    self.cut_worker(at);
                }
            }
            FaultKind::DiskFull(span) => self.disk.full_until = self.disk.full_until.max(self.now + span),
            FaultKind::WallJump(by) => {
                self.story.wall_jumps += 1;
                self.wall_ahead += by;
            }
            FaultKind::Stall(at, span) => {
                let worker = &mut self.workers[at];
                if worker.up {
                    worker.stalled_until = worker.stalled_until.max(self.now + span);
                    let until = worker.stalled_until;
                    self.story.stalls += 1;
                    self.oracle.disturbed(at, self.now);
                    self.oracle.disturbed(at, until);
                    self.oracle.unheard(at, self.now, until);
                    self.at(until, Addr::World, Mail::WorkerWakes(at));
                }
            }
        }
        Ok(())
    }

    /// A worker reads what came while it stood still, unless it stands still again.
    pub fn wake(&mut self, at: usize) -> Result<(), String> {
        if self.workers[at].stalled_until > self.now {
            return Ok(());
        }
        let unread = std::mem::take(&mut self.workers[at].unread);
        unread.into_iter().try_for_each(|mail| self.deliver(Addr::Worker(at), mail))
    }

    /// Holds up what is sent from now on over a worker's connections.
    fn clog(&mut self, at: usize, up: bool, until: u64) {
        for conn in self.alive.keys().filter(|conn| conn.worker == at) {
            let (worker, proxy) = (Addr::Worker(at), Addr::Proxy(conn.session));
            let lane = if up { (worker, proxy, conn.epoch.0) } else { (proxy, worker, conn.session.0) };
            let last = self.lanes.entry(lane).or_default();
            *last = until.max(*last);
        }
    }

    pub fn cut_worker(&mut self, at: usize) {
        let conns: Vec<Conn> = self.alive.keys().filter(|conn| conn.worker == at).copied().collect();
        conns.into_iter().for_each(|conn| self.cut(conn));
    }
}
