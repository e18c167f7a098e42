//! The actor: its state, and who handles which message.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent};
use tokio::sync::{RwLock, watch};

use crate::actors::bundler::BundlerMsg;
use crate::actors::chronicle::ChronicleMsg;
use crate::actors::clock::Clock;
use crate::actors::disk::Disk;
use crate::actors::ingest::IngestMsg;
use crate::actors::job::JobMsg;
use crate::actors::job_store::JobStore;
use crate::actors::journal::JournalRef;
use crate::actors::proxy::ProxyMsg;
use crate::actors::room_report::RoomReport;
use crate::actors::tracer::Tracer;
use crate::actors::watch::WatchMsg;
use crate::blobs::Segment;
use crate::domain::{Confines, Epoch, Error, Instant, JobId, Keep, SessionId, WallTime, WorkerId, WorkerInfo};
use crate::engine::pulse::Pulse;
use crate::engine::session::SessionEvent;
use crate::engine::{
    Admission, Arrivals, Census, Foresight, JobEvent, JobRecord, JobView, Ledger, Meters, Retention, Roster, RosterEffect, RosterEvent,
    Strays,
};
use crate::limits;

use super::deletion::Deleting;
use super::msg::SupervisorMsg;
use super::status::JobStatus;

/// How long changes of watched jobs gather before they are told.
const FLUSH_AFTER: Duration = Duration::from_millis(100);

/// For the roster's reservations, which count in minutes.
const TICK_EVERY: Duration = Duration::from_secs(1);

/// What the supervisor starts from.
pub struct SupervisorArgs {
    /// Of this start of the head.
    pub epoch: Epoch,
    /// What is durable.
    pub ledger: Ledger,
    /// The head's folder.
    pub data_dir: PathBuf,
    /// Where facts become durable.
    pub journal: JournalRef,
    /// Splits data sets.
    pub ingest: ActorRef<IngestMsg>,
    /// Lays out bundles, and keeps some.
    pub bundler: ActorRef<BundlerMsg>,
    /// How long a job is kept that does not say so itself.
    pub keep: Keep,
    /// Held by a backup while it is made: what it copies must stay.
    pub backups: Arc<RwLock<()>>,
    /// Tells watchers.
    pub watch: ActorRef<WatchMsg>,
    /// Remembers who has worked for whom.
    pub chronicle: ActorRef<ChronicleMsg>,
    /// Tells whoever shows jobs and workers that something has changed.
    pub changes: watch::Sender<()>,
    /// The process's clocks.
    pub clock: Clock,
    /// How long known workers may take to report.
    pub reattach: Duration,
    /// How long a job waits for room before a worker is kept free for it.
    pub reserve_after: Duration,
    /// Whether there is room for more.
    pub disk: Disk,
    /// What proxies count in.
    pub meters: Arc<Meters>,
    /// Follows tasks, where somebody wants that.
    pub tracer: Option<Tracer>,
}

/// A connected worker.
#[derive(Clone)]
pub(super) struct Seat {
    pub worker: WorkerId,
    pub proxy: ActorRef<ProxyMsg>,
    pub attached: WallTime,
    pub confines: Option<Confines>,
    /// Whether it can send what its tasks print.
    pub follows: bool,
    /// The latest of its room.
    pub reported: Option<RoomReport>,
}

/// A job that has ended.
pub(super) struct EndedJob {
    pub record: JobRecord,
    pub view: JobView,
    pub strays: Strays,
    pub pulse: Box<Pulse>,
}

/// The supervisor's state.
pub struct SupervisorState {
    pub(super) epoch: Epoch,
    pub(super) data_dir: PathBuf,
    pub(super) journal: JournalRef,
    pub(super) ingest: ActorRef<IngestMsg>,
    pub(super) watch: ActorRef<WatchMsg>,
    pub(super) chronicle: ActorRef<ChronicleMsg>,
    changes: watch::Sender<()>,
    pub(super) clock: Clock,
    pub(super) roster: Roster,
    pub(super) live: BTreeMap<JobId, ActorRef<JobMsg>>,
    pub(super) views: BTreeMap<JobId, JobView>,
    pub(super) ended: BTreeMap<JobId, EndedJob>,
    pub(super) admission: Admission,
    /// Jobs on their way to the disk.
    pub(super) submitting: BTreeMap<JobId, (JobRecord, Arc<JobStore>)>,
    /// Who waits for a job to be durable, by ticket.
    pub(super) submitters: BTreeMap<u64, RpcReplyPort<Result<JobStatus, Error>>>,
    pub(super) last_ticket: u64,
    /// Of jobs that were started: an upload may hold it longer than the job does.
    pub(super) segments: BTreeMap<JobId, Weak<Segment>>,
    /// Jobs whose deletion is on its way to the disk.
    pub(super) deleting: BTreeMap<JobId, Deleting>,
    /// When jobs that have ended are removed.
    pub(super) retention: Retention,
    pub(super) bundler: ActorRef<BundlerMsg>,
    /// Held while files are removed; a backup that is being made holds it as well.
    pub(super) backups: Arc<RwLock<()>>,
    /// Of jobs whose actor has failed since the start: from above what its attempts are numbered.
    pub(super) attempt_floors: BTreeMap<JobId, u32>,
    pub(super) sessions: BTreeMap<SessionId, Seat>,
    pub(super) last_session: u64,
    pub(super) workers: BTreeMap<WorkerId, WorkerInfo>,
    /// Their attachment is on its way to the disk.
    pub(super) attaching: BTreeSet<WorkerId>,
    /// Those that have said goodbye, and have not come back.
    pub(super) left: BTreeSet<WorkerId>,
    pub(super) arrivals: Arrivals,
    pub(super) datasets: BTreeSet<crate::domain::Digest>,
    pub(super) watched: BTreeSet<JobId>,
    dirty: BTreeSet<JobId>,
    /// When the head started.
    pub(super) began: Instant,
    pub(super) reattach: Duration,
    pub(super) disk: Disk,
    pub(super) meters: Arc<Meters>,
    pub(super) tracer: Option<Tracer>,
    /// When the worker's room was known that is taken in next.
    known: Option<std::time::Instant>,
    /// What was said of when jobs end.
    pub(super) foresight: Foresight,
    /// When workers went away, since this start.
    pub(super) away_since: BTreeMap<WorkerId, WallTime>,
}

/// See the module.
pub struct JobSupervisor;

impl Actor for JobSupervisor {
    type Msg = SupervisorMsg;
    type State = SupervisorState;
    type Arguments = SupervisorArgs;

    async fn pre_start(&self, myself: ActorRef<SupervisorMsg>, args: SupervisorArgs) -> Result<SupervisorState, ActorProcessingErr> {
        let mut state = SupervisorState {
            epoch: args.epoch,
            data_dir: args.data_dir,
            journal: args.journal,
            ingest: args.ingest,
            watch: args.watch,
            chronicle: args.chronicle,
            changes: args.changes,
            clock: args.clock,
            roster: Roster::reserving_after(args.reserve_after),
            live: BTreeMap::new(),
            views: BTreeMap::new(),
            ended: BTreeMap::new(),
            admission: Admission::new(&args.ledger),
            submitting: BTreeMap::new(),
            submitters: BTreeMap::new(),
            last_ticket: 0,
            segments: BTreeMap::new(),
            attempt_floors: BTreeMap::new(),
            deleting: BTreeMap::new(),
            retention: Retention::new(args.keep, &args.ledger),
            bundler: args.bundler,
            backups: args.backups,
            sessions: BTreeMap::new(),
            last_session: 0,
            workers: args.ledger.workers.clone(),
            attaching: BTreeSet::new(),
            left: args.ledger.workers.keys().filter(|id| !args.ledger.attached.contains(id)).copied().collect(),
            arrivals: Arrivals::default(),
            datasets: args.ledger.datasets.keys().copied().collect(),
            watched: BTreeSet::new(),
            dirty: BTreeSet::new(),
            began: args.clock.now().mono,
            reattach: args.reattach,
            disk: args.disk,
            meters: args.meters,
            tracer: args.tracer,
            known: None,
            foresight: Foresight::default(),
            away_since: BTreeMap::new(),
        };
        state.look_at_disk();
        state.roster_event(RosterEvent::Quotas(Box::new(args.ledger.quotas)));
        for record in args.ledger.jobs.into_values() {
            state.restore(&myself, record, args.ledger.attached.clone()).await?;
        }
        myself.send_interval(TICK_EVERY, || SupervisorMsg::Tick);
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<SupervisorMsg>,
        message: SupervisorMsg,
        state: &mut SupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        if message.changes_what_is_shown() {
            // Whoever hears it asks, and is answered after this message.
            state.changes.send_replace(());
        }
        match message {
            SupervisorMsg::Submit(submission, reply) => state.submit(&myself, *submission, reply),
            SupervisorMsg::Submitted(job) => state.submitted(&myself, job).await?,
            SupervisorMsg::JobChanged(who, view) => state.job_changed(&myself, who, *view),
            SupervisorMsg::JobEnded(who, snapshot) => state.job_ended(&myself, who, *snapshot),
            SupervisorMsg::Attach(attaching) => state.attach(&myself, *attaching),
            SupervisorMsg::Attached(worker, attaching) => state.attached(&myself, worker, *attaching).await?,
            SupervisorMsg::Room(report) => {
                if let Some(seat) = state.sessions.get_mut(&report.session) {
                    let told = report.told;
                    let RoomReport { session, room, free, settled, trust, .. } = report.brought_up_to_date(&mut seat.reported);
                    state.known = Some(told);
                    state.roster_event(RosterEvent::Room { session, room, free, settled, trust });
                }
            }
            SupervisorMsg::SessionClosed { session, goodbye, heard } => state.session_closed(session, goodbye, heard),
            SupervisorMsg::LateResult(session, worker, finished) => state.late_result(session, worker, finished),
            SupervisorMsg::Verb { job, wish, reply } => state.verb(&myself, job, wish, reply).await?,
            SupervisorMsg::Delete(job, request, reply) => state.delete(&myself, job, request, Some(reply)),
            SupervisorMsg::Deleted(job) => state.deleted(&myself, job),
            SupervisorMsg::Doom(job, reply) => state.doom(&myself, job, reply),
            SupervisorMsg::Doomed(job, reply) => state.is_doomed(&myself, job, reply),
            SupervisorMsg::RemoveFiles(record, no_backup) => state.remove_files(&record, no_backup),
            SupervisorMsg::DeleteDataset { digest, unused, entry, reply } => {
                state.delete_dataset(&myself, digest, unused, entry, reply);
            }
            SupervisorMsg::DatasetUsers(of, reply) => {
                let _ = reply.send(state.users(of));
            }
            SupervisorMsg::Get(job, reply) => {
                let _ = reply.send(state.status_of(job));
            }
            SupervisorMsg::Preview(job, wish, reply) => state.preview(job, wish, reply),
            SupervisorMsg::List { filter, before, limit, reply } => {
                let _ = reply.send(state.list(&filter, before, limit));
            }
            SupervisorMsg::Snapshot(job, reply) => state.snapshot(job, reply),
            SupervisorMsg::Explain(job, reply) => {
                let _ = reply.send(state.explain(job));
            }
            SupervisorMsg::ExplainWorker(status, reply) => {
                let _ = reply.send(state.explain_worker(&status));
            }
            SupervisorMsg::Whereabouts(job, no, reply) => state.whereabouts(job, no, reply),
            SupervisorMsg::Order { limit, what_if, reply } => {
                let _ = reply.send(state.order(limit, what_if));
            }
            SupervisorMsg::EtaScore(reply) => {
                let _ = reply.send(state.eta_score());
            }
            SupervisorMsg::Workers(reply) => state.list_workers(reply),
            SupervisorMsg::Drain(worker, drain, reply) => {
                let _ = reply.send(state.drain(worker, drain));
            }
            SupervisorMsg::Follow(worker, follow, reply) => {
                let _ = reply.send(state.follow(worker, follow));
            }
            SupervisorMsg::DatasetGone(digest) => {
                state.datasets.remove(&digest);
            }
            SupervisorMsg::DatasetAdded(digest) => {
                state.datasets.insert(digest);
            }
            SupervisorMsg::Loads(reply) => {
                let _ = reply.send(state.roster.loads());
            }
            SupervisorMsg::Census(reply) => {
                let _ = reply.send(Census::of(state.views.values()));
            }
            SupervisorMsg::SetQuota { owner, quota, reply } => state.set_quota(owner, quota, reply),
            SupervisorMsg::TaskRoom(job, reply) => {
                let _ = reply.send(state.task_room(job));
            }
            SupervisorMsg::Usage(reply) => {
                let _ = reply.send((state.roster.quotas().clone(), state.usage()));
            }
            SupervisorMsg::Slots(reply) => {
                let _ = reply.send((state.sessions.len() as u32, state.roster.slots()));
            }
            SupervisorMsg::Watched(job, true) => {
                state.watched.insert(job);
                state.mark(&myself, job);
            }
            SupervisorMsg::Watched(job, false) => {
                state.watched.remove(&job);
            }
            SupervisorMsg::Flush => state.flush(),
            SupervisorMsg::Tick => {
                state.look_at_disk();
                state.remove_expired(&myself);
                let now = state.clock.now().mono;
                state.roster_event(RosterEvent::Tick(now));
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<SupervisorMsg>,
        event: SupervisionEvent,
        state: &mut SupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorFailed(who, error) = event {
            state.child_failed(&myself, who.get_id(), &error.to_string()).await?;
        }
        Ok(())
    }
}

impl SupervisorState {
    /// Tells every live job.
    pub(super) fn each_job(&self, event: &JobEvent) {
        for job in self.live.values() {
            let _ = job.cast(JobMsg::Event(event.clone()));
        }
    }

    /// Lets the roster know whether the disk has room for what tasks leave behind.
    fn look_at_disk(&mut self) {
        let full = self.disk.gauge().stops_tasks();
        if full != self.roster.disk_full() {
            self.roster_event(RosterEvent::DiskFull(full));
        }
    }

    /// Lets the roster decide, and hands its grants to the jobs.
    pub(super) fn roster_event(&mut self, event: RosterEvent) {
        let mut known = self.known.take();
        for effect in self.roster.on_event(event) {
            match effect {
                RosterEffect::Grant { job, grant, session, worker, slots } => {
                    let (Some(actor), Some(seat)) = (self.live.get(&job), self.sessions.get(&session)) else { continue };
                    let event = JobEvent::Granted { grant, session, worker, slots };
                    let known = *known.get_or_insert_with(std::time::Instant::now);
                    let _ = actor.cast(JobMsg::Granted(session, event, seat.proxy.clone(), known));
                }
                RosterEffect::Recall(session) => {
                    let Some(seat) = self.sessions.get(&session) else { continue };
                    let _ = seat.proxy.cast(ProxyMsg::Event(SessionEvent::Recall));
                }
            }
        }
    }

    /// Notes that a watched job has changed.
    pub(super) fn mark(&mut self, myself: &ActorRef<SupervisorMsg>, job: JobId) {
        if self.watched.contains(&job) {
            if self.dirty.is_empty() {
                myself.send_after(FLUSH_AFTER, || SupervisorMsg::Flush);
            }
            self.dirty.insert(job);
        }
    }

    fn flush(&mut self) {
        std::mem::take(&mut self.dirty).into_iter().for_each(|job| self.tell_watchers(job));
    }

    /// Tells how a job is now, if anybody watches it.
    pub(super) fn tell_watchers(&mut self, job: JobId) {
        self.dirty.remove(&job);
        if self.watched.contains(&job)
            && let Ok(status) = self.status_of(job)
        {
            let _ = self.watch.cast(WatchMsg::Changed(Box::new(status)));
        }
    }

    /// Whether one more job may come in.
    pub(super) fn has_room_for_a_job(&self) -> bool {
        self.live.len() + self.admission.waiting() < limits::LIVE_JOBS_MAX
    }
}
