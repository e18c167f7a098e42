//! After a restart of the head, or of one job's actor.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};

use ractor::{ActorId, ActorProcessingErr, ActorRef};

use crate::actors::job::JobMsg;
use crate::actors::job_store::JobStore;
use crate::actors::proxy::ProxyMsg;
use crate::domain::entry::{Entry, JobEntry};
use crate::domain::{Error, JobId, WorkerId};
use crate::engine::{JobEvent, JobMachine, JobRecord, RosterEvent};

use super::actor::SupervisorState;
use super::msg::SupervisorMsg;

impl SupervisorState {
    /// Brings a job of the journal back, of which the workers may hold tasks.
    pub(super) async fn restore(
        &mut self,
        myself: &ActorRef<SupervisorMsg>,
        record: JobRecord,
        workers: BTreeSet<WorkerId>,
    ) -> Result<(), ActorProcessingErr> {
        if record.ended.is_some() {
            self.note_ended(myself, record);
            return Ok(());
        }
        let files = JobStore::open(&self.data_dir, record.id)?;
        let machine = JobMachine::new(record, self.epoch, workers);
        self.start_again(myself, machine, files).await
    }

    /// Starts an actor for a job of which workers may hold tasks: every session is asked, and for the workers that are not here it waits so
    /// long. Each job has a window of its own: what was sent just before its actor failed must not go out again because the head's start is
    /// long enough ago.
    pub(super) async fn start_again(
        &mut self,
        myself: &ActorRef<SupervisorMsg>,
        machine: JobMachine,
        files: Arc<JobStore>,
    ) -> Result<(), ActorProcessingErr> {
        let job = machine.record().id;
        self.start_job(myself, machine, files).await?;
        if let Some(actor) = self.live.get(&job) {
            actor.send_after(self.reattach, || JobMsg::Event(JobEvent::RecoveryOver));
            for seat in self.sessions.values() {
                let _ = seat.proxy.cast(ProxyMsg::Reclaim(job, actor.clone()));
            }
        }
        Ok(())
    }

    /// A job's actor, or a proxy, has failed. A proxy's worker is lost, and reconnects. A job is begun again from the journal, and asks
    /// every session what it holds of it; the other jobs never notice.
    pub(super) async fn child_failed(
        &mut self,
        myself: &ActorRef<SupervisorMsg>,
        who: ActorId,
        why: &str,
    ) -> Result<(), ActorProcessingErr> {
        let session = self.sessions.iter().find(|(_, seat)| seat.proxy.get_id() == who).map(|(id, _)| *id);
        if let Some(session) = session {
            tracing::error!(%session, why, "a worker's proxy failed: the worker has to connect again");
            self.session_closed(session, false, self.clock.now().mono);
            return Ok(());
        }
        let Some(job) = self.live.iter().find(|(_, actor)| actor.get_id() == who).map(|(id, _)| *id) else { return Ok(()) };
        tracing::error!(%job, why, "a job's actor failed: it is begun again from the journal");
        self.live.remove(&job);
        self.foresight.forget(job);
        self.roster_event(RosterEvent::JobGone(job));
        // Behind all that the failed actor wrote; the entry itself changes nothing.
        let (written, all_written) = tokio::sync::oneshot::channel();
        self.journal.append(Entry::Job(job, JobEntry::Marked { mark: 0 }), None, move || {
            let _ = written.send(());
        });
        all_written.await?;
        let read = self.journal.read(move |ledger| (ledger.jobs.get(&job).cloned(), ledger.attached.clone())).await?;
        let (Some(record), known) = read else { return Ok(()) };
        if record.ended.is_some() {
            self.tell_sessions_of_end(job);
            self.note_ended(myself, record);
            return Ok(());
        }
        let files = self.open_files(job)?;
        let floor = self.attempt_floors.get(&job).copied().unwrap_or(0);
        let machine = JobMachine::new(record, self.epoch, known).after_failure(floor);
        self.attempt_floors.insert(job, machine.attempt_floor());
        self.start_again(myself, machine, files).await?;
        self.tell_watch_of_restart(job);
        Ok(())
    }

    /// The files of a job that was started before.
    pub(super) fn open_files(&self, job: JobId) -> Result<Arc<JobStore>, Error> {
        JobStore::open_again(&self.data_dir, job, self.segments.get(&job).and_then(Weak::upgrade))
    }
}
