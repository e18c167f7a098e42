//! Jobs: taken in, started, steered, shown, ended.

use std::collections::BTreeSet;
use std::sync::Arc;

use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, RpcReplyPort};

use crate::actors::ingest::IngestMsg;
use crate::actors::job::{JobActor, JobArgs, JobMsg, JobSnapshot, News, VerbAnswer};
use crate::actors::job_store::JobStore;
use crate::actors::proxy::ProxyMsg;
use crate::actors::watch::WatchMsg;
use crate::blobs::JobFiles;
use crate::domain::entry::{Entry, Submitted};
use crate::domain::verb::Wish;
use crate::domain::wire::{Finished, ToWorker};
use crate::domain::{Error, ErrorKind, Input, JobId, JobState, SessionId, WorkerId};
use crate::engine::session::SessionEvent;
use crate::engine::usage::tasks_of;
use crate::engine::{JobEffect, JobEvent, JobFilter, JobMachine, JobRecord, JobView, Repeated, RosterEvent, Strays};
use crate::limits;

use super::actor::{EndedJob, SupervisorState};
use super::deletion::was_deleted;
use super::msg::{Submission, SupervisorMsg};
use super::status::JobStatus;

impl SupervisorState {
    pub(super) fn submit(
        &mut self,
        myself: &ActorRef<SupervisorMsg>,
        submission: Submission,
        reply: RpcReplyPort<Result<JobStatus, Error>>,
    ) {
        self.last_ticket += 1;
        let ticket = self.last_ticket;
        let spec_of = |job: JobId| self.views.get(&job).map(|view| view.first_spec.clone());
        match self.admission.repeated(ticket, &submission.request_id, &submission.spec, spec_of) {
            None => {}
            Some(Repeated::Waits) => {
                self.submitters.insert(ticket, reply);
                return;
            }
            Some(Repeated::Made(job)) => {
                let _ = reply.send(self.status_of(job));
                return;
            }
            Some(Repeated::Gone(job)) => {
                let _ = reply.send(Err(was_deleted(&submission.request_id, job)));
                return;
            }
            Some(Repeated::Differs(job)) => {
                let id = &submission.request_id;
                let problem = format!("request id {id} has made {job} of something else: use a new id for a new job");
                let _ = reply.send(Err(Error::conflict(problem)));
                return;
            }
        }
        if let Err(error) = self.check(&submission) {
            let _ = reply.send(Err(error));
            return;
        }
        let job = self.admission.next_job();
        // Before anything is promised: a disk without room for them refuses the job, instead of stopping the head.
        let files = match self.make_files(job) {
            Ok(files) => files,
            Err(error) => {
                let _ = reply.send(Err(error));
                return;
            }
        };
        let Submission { spec, request_id, priority, max_running, held } = submission;
        let submitted = Submitted { job, spec, request_id, priority, max_running, held, at: self.clock.now().wall };
        let record = JobRecord::new(submitted.clone());
        self.admission.admit(ticket, &record.request_id, record.spec.clone());
        self.submitting.insert(job, (record, files));
        self.submitters.insert(ticket, reply);
        let myself = myself.clone();
        self.journal.append(Entry::accepted(submitted), None, move || {
            let _ = myself.cast(SupervisorMsg::Submitted(job));
        });
    }

    /// The files of a new job. On a full disk nothing of them is left; any other failure may be of a sync, and then what was made can't be
    /// trusted: the head stops.
    fn make_files(&self, job: JobId) -> Result<Arc<JobStore>, Error> {
        self.disk.noting(JobStore::open(&self.data_dir, job)).map_err(|error| {
            let removed = match error.kind {
                ErrorKind::Exhausted => JobFiles::new(&self.data_dir, job).remove(),
                _ => Err(error.clone()),
            };
            removed.unwrap_or_else(|error| self.journal.sync_failed(error));
            error.context("the job's files can't be made")
        })
    }

    fn takes_a_job(&self) -> Result<(), Error> {
        if !self.has_room_for_a_job() {
            let max = limits::LIVE_JOBS_MAX;
            return Err(Error::exhausted(format!("{max} jobs are waiting or running, and no more are taken: wait for some to end")));
        }
        self.disk.gauge().takes_jobs()
    }

    fn check(&self, submission: &Submission) -> Result<(), Error> {
        self.takes_a_job()?;
        self.has_quota_for(&submission.spec.owner, tasks_of(&submission.spec))?;
        let missing = |digest| !self.datasets.contains(digest);
        if let Input::Dataset { digest, name, .. } = &submission.spec.input
            && missing(digest)
        {
            return Err(Error::not_found(format!("data set {name} ({digest}) is not stored here: upload it first")));
        }
        match submission.spec.with.iter().find(|file| missing(&file.digest)) {
            Some(file) => Err(Error::not_found(format!("shared file {} ({}) is not stored here: upload it first", file.name, file.digest))),
            None => Ok(()),
        }
    }

    pub(super) async fn submitted(&mut self, myself: &ActorRef<SupervisorMsg>, job: JobId) -> Result<(), ActorProcessingErr> {
        let Some((record, files)) = self.submitting.remove(&job) else { return Ok(()) };
        let machine = JobMachine::new(record, self.epoch, BTreeSet::new());
        self.start_job(myself, machine, files).await?;
        for ticket in self.admission.durable(job) {
            if let Some(reply) = self.submitters.remove(&ticket) {
                let _ = reply.send(self.status_of(job));
            }
        }
        Ok(())
    }

    /// Starts a job's actor, and gives it its tasks.
    pub(super) async fn start_job(
        &mut self,
        myself: &ActorRef<SupervisorMsg>,
        machine: JobMachine,
        files: Arc<JobStore>,
    ) -> Result<(), ActorProcessingErr> {
        let (id, spec) = (machine.record().id, machine.record().spec.clone());
        self.segments.insert(id, Arc::downgrade(&files.segment));
        // The job itself says what it wants, once it is ready.
        let view = JobView { wanted: 0, ..machine.view() };
        let args = JobArgs {
            epoch: self.epoch,
            files,
            machine,
            journal: self.journal.clone(),
            supervisor: myself.clone(),
            watch: self.watch.clone(),
            chronicle: self.chronicle.clone(),
            clock: self.clock,
            tracer: self.tracer.clone(),
        };
        let (actor, _) = JobActor::spawn_linked(None, JobActor, args, myself.get_cell()).await?;
        match &spec.input {
            Input::Array(array) => {
                let _ = actor.cast(JobMsg::Event(JobEvent::SplitDone(u32::try_from(array.count()).unwrap_or(u32::MAX))));
            }
            Input::Dataset { digest, rule, .. } => {
                // Of a job that was split before nothing is taken back.
                let room = (view.state == JobState::Ingesting).then(|| (id, myself.clone()));
                let _ = self.ingest.cast(IngestMsg::Split { digest: *digest, rule: rule.clone(), room, job: actor.clone() });
            }
        }
        self.views.insert(id, view.clone());
        self.live.insert(id, actor);
        self.foresee(&view);
        self.roster_event(RosterEvent::Job(Box::new(view)));
        Ok(())
    }

    pub(super) fn job_changed(&mut self, myself: &ActorRef<SupervisorMsg>, who: ActorId, view: JobView) {
        let id = view.id;
        if self.is_present(id, who) {
            self.roster_event(RosterEvent::Job(Box::new(view.clone())));
            self.foresee(&view);
            self.views.insert(id, view);
            self.mark(myself, id);
        }
    }

    /// Whether this is the job's actor, and not one that has failed since: supervision overtakes messages.
    fn is_present(&self, job: JobId, who: ActorId) -> bool {
        self.live.get(&job).is_some_and(|actor| actor.get_id() == who)
    }

    pub(super) fn job_ended(&mut self, myself: &ActorRef<SupervisorMsg>, who: ActorId, snapshot: JobSnapshot) {
        let JobSnapshot { mut record, mut view, strays, pulse, .. } = snapshot;
        let id = record.id;
        if !self.is_present(id, who) {
            return;
        }
        self.look_back(&mut record, &mut view);
        self.views.insert(id, view.clone());
        self.roster_event(RosterEvent::JobGone(id));
        self.ended.insert(id, EndedJob { record, view, strays, pulse });
        if let Some(actor) = self.live.remove(&id) {
            // Behind every verb that was on its way to it.
            let _ = actor.cast(JobMsg::Retire);
        }
        self.tell_sessions_of_end(id);
        // Who watches it may wait for this.
        self.tell_watchers(id);
        if let Some(view) = self.views.get(&id).cloned() {
            self.retain(myself, &view);
        }
    }

    /// A result of a job that is not known to the session that brought it: of an earlier session, or of a job that has ended.
    pub(super) fn late_result(&mut self, session: SessionId, worker: WorkerId, finished: Box<Finished>) {
        let Some(seat) = self.sessions.get(&session) else { return };
        let lease = finished.lease;
        match self.live.get(&lease.job) {
            Some(job) => {
                let _ = job.cast(JobMsg::News(session, worker, vec![News::Finished(finished)], None));
            }
            None => {
                let _ = seat.proxy.cast(ProxyMsg::Event(SessionEvent::Pass(ToWorker::Ack(vec![lease]))));
            }
        }
    }

    pub(super) async fn verb(
        &mut self,
        myself: &ActorRef<SupervisorMsg>,
        job: JobId,
        wish: Wish,
        reply: RpcReplyPort<VerbAnswer>,
    ) -> Result<(), ActorProcessingErr> {
        if let Some(ended) = self.ended.get(&job) {
            let answer = self.verb_of_ended(ended, wish.clone());
            let begun = match answer {
                Some(answer) => Err(answer),
                None => self.begin_again(myself, job).await?.map_err(Err),
            };
            if let Err(answer) = begun {
                let _ = reply.send(answer);
                return Ok(());
            }
        }
        match self.live.get(&job) {
            Some(actor) => {
                let _ = actor.cast(JobMsg::Verb { wish, reply });
            }
            None => {
                let _ = reply.send(Err(unknown(job)));
            }
        }
        Ok(())
    }

    /// What a verb would come to. A job that has ended answers as its machine would.
    pub(super) fn preview(&self, job: JobId, wish: Wish, reply: RpcReplyPort<VerbAnswer>) {
        match (self.live.get(&job), self.ended.get(&job)) {
            (Some(actor), _) => {
                let _ = actor.cast(JobMsg::Preview(wish, reply));
            }
            (None, Some(ended)) => {
                let machine = self.machine_of(ended);
                let answer = machine.preview(wish, self.clock.now());
                let _ = reply.send(answer.map_err(|refused| refused.error(job)));
            }
            (None, None) => {
                let _ = reply.send(Err(unknown(job)));
            }
        }
    }

    fn machine_of(&self, ended: &EndedJob) -> JobMachine {
        JobMachine::new(ended.record.clone(), self.epoch, BTreeSet::new()).with_strays(ended.strays.clone())
    }

    /// A job that has ended answers as its machine would: there is one place that knows what is refused. None if the verb begins it again.
    fn verb_of_ended(&self, ended: &EndedJob, wish: Wish) -> Option<VerbAnswer> {
        let mut machine = self.machine_of(ended);
        let effects = machine.on_event(JobEvent::Verb { ticket: 0, wish }, self.clock.now());
        let reply = effects.into_iter().find_map(|effect| match effect {
            JobEffect::Reply(_, reply) => Some(reply),
            _ => None,
        });
        reply.map(|reply| match reply {
            Ok(reply) => Ok((reply, ended.view.clone())),
            Err(refused) => Err(refused.error(ended.record.id)),
        })
    }

    /// Gives a job that has ended its actor back. The inner error: there is no room for it.
    async fn begin_again(&mut self, myself: &ActorRef<SupervisorMsg>, job: JobId) -> Result<Result<(), Error>, ActorProcessingErr> {
        let spec = self.ended.get(&job).map(|ended| ended.record.spec.clone());
        let failed = self.ended.get(&job).map_or(0, |ended| ended.view.counts.failed);
        let has_data = spec.as_ref().map_or(Ok(()), |spec| self.has_data_of(spec).map_err(|error| error.context(job)));
        let has_quota = || spec.as_ref().map_or(Ok(()), |spec| self.has_quota_for(&spec.owner, failed.into()));
        let files =
            has_data.and_then(|()| has_quota()).and_then(|()| self.takes_a_job()).and_then(|()| self.disk.noting(self.open_files(job)));
        let files = match files {
            Ok(files) => files,
            Err(error) => return Ok(Err(error)),
        };
        // What is left of the round before, in a worker's hands, is known only there.
        let just_started = self.clock.now().mono.since(self.began) < self.reattach;
        let known = if just_started {
            self.journal.read(|ledger| ledger.attached.clone()).await?
        } else {
            self.sessions.values().map(|seat| seat.worker).collect()
        };
        if let Some(EndedJob { record, strays, view, .. }) = self.ended.remove(&job) {
            self.retention.forget(&view);
            let machine = JobMachine::new(record, self.epoch, known).with_strays(strays);
            self.start_again(myself, machine, files).await?;
        }
        Ok(Ok(()))
    }

    pub(super) fn list(&self, filter: &JobFilter, before: Option<JobId>, limit: usize) -> Vec<JobStatus> {
        let older = self.views.range(..before.unwrap_or(JobId(u64::MAX))).rev();
        older.map(|(_, view)| view).filter(|view| filter.matches(view)).take(limit).map(|view| self.status(view)).collect()
    }

    pub(super) fn snapshot(&self, job: JobId, reply: RpcReplyPort<Result<JobSnapshot, Error>>) {
        match (self.live.get(&job), self.ended.get(&job)) {
            (Some(actor), _) => {
                // The job answers a port of its own; ours passes it on.
                let actor = actor.clone();
                tokio::spawn(async move {
                    let _ = reply.send(crate::actors::ask::ask(&actor, JobMsg::Snapshot).await);
                });
            }
            (None, Some(ended)) => {
                let (record, view, pulse) = (ended.record.clone(), ended.view.clone(), ended.pulse.clone());
                let strays = Strays::default();
                let _ = reply.send(Ok(JobSnapshot { record, view, out: Vec::new(), chunks: None, files: None, strays, pulse }));
            }
            (None, None) => {
                let _ = reply.send(Err(unknown(job)));
            }
        }
    }

    /// Notes a job that had ended before this start.
    pub(super) fn note_ended(&mut self, myself: &ActorRef<SupervisorMsg>, record: JobRecord) {
        let view = JobMachine::new(record.clone(), self.epoch, BTreeSet::new()).view();
        self.views.insert(record.id, view.clone());
        self.ended.insert(record.id, EndedJob { record, strays: Strays::default(), view: view.clone(), pulse: Box::default() });
        self.retain(myself, &view);
    }

    pub(super) fn tell_sessions_of_end(&self, job: JobId) {
        for seat in self.sessions.values() {
            let _ = seat.proxy.cast(ProxyMsg::JobGone(job));
        }
    }

    pub(super) fn tell_watch_of_restart(&self, job: JobId) {
        let _ = self.watch.cast(WatchMsg::Note { job, text: "a part of the head was restarted for this job".into() });
    }
}

pub(super) fn unknown(job: JobId) -> Error {
    Error::not_found(format!("there is no job {job}: `millpond list` shows the jobs"))
}
