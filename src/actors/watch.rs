//! Watch: job events to subscribers. Child of the HeadRoot. A slow subscriber is cut, not buffered; it can come back with its cursor.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::mpsc;

use crate::domain::{Epoch, JobId, Outcome, WallTime};
use crate::limits::WATCH_QUEUE_MAX;

use super::clock::wall_now;
use super::supervisor::{JobStatus, SupervisorMsg};

/// Events kept per watched job, for those who come back.
const KEPT_EVENTS: usize = 256;
/// Watched jobs whose events are kept.
const KEPT_JOBS: usize = 1024;

/// Something that happened to a job.
#[derive(Clone, Debug)]
pub struct JobEvent {
    /// Grows, also over restarts of the head.
    pub cursor: u64,
    /// When.
    pub at: WallTime,
    /// What.
    pub kind: Kind,
    /// For people; may be empty.
    pub text: String,
    /// The job as it was then.
    pub job: Arc<JobStatus>,
}

/// What kind of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// How the job is, for one who has just come.
    Snapshot,
    /// Tasks started or ended.
    Progress,
    /// It was steered, or its state changed.
    Control,
    /// A task failed for good.
    TaskFailed,
    /// The job has ended: the last event.
    Ended,
}

impl Kind {
    /// As on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot",
            Self::Progress => "progress",
            Self::Control => "control",
            Self::TaskFailed => "task_failed",
            Self::Ended => "ended",
        }
    }
}

/// What Watch is told.
pub enum WatchMsg {
    /// Somebody watches a job from a cursor on.
    Subscribe {
        /// The last event seen; 0 for none.
        cursor: u64,
        /// The job as it is.
        job: Box<JobStatus>,
        /// To the subscriber.
        out: mpsc::Sender<JobEvent>,
    },
    /// A watched job has changed.
    Changed(Box<JobStatus>),
    /// A task failed for good.
    TaskFailed {
        /// Whose.
        job: JobId,
        /// As users count.
        index: u64,
        /// How.
        outcome: Outcome,
    },
    /// Something to say about a job.
    Note {
        /// Which.
        job: JobId,
        /// What.
        text: String,
    },
}

/// What Watch starts from.
pub struct WatchArgs {
    /// Of this start of the head.
    pub epoch: Epoch,
    /// Told which jobs are watched; comes once it exists.
    pub supervisor: Arc<std::sync::OnceLock<ActorRef<SupervisorMsg>>>,
}

#[derive(Default)]
struct Topic {
    last: Option<Arc<JobStatus>>,
    events: VecDeque<JobEvent>,
    subscribers: Vec<mpsc::Sender<JobEvent>>,
}

/// Its state.
pub struct WatchState {
    args: WatchArgs,
    topics: BTreeMap<JobId, Topic>,
    last_cursor: u64,
}

/// See the module.
pub struct Watch;

impl Actor for Watch {
    type Msg = WatchMsg;
    type State = WatchState;
    type Arguments = WatchArgs;

    async fn pre_start(&self, _: ActorRef<WatchMsg>, args: WatchArgs) -> Result<WatchState, ActorProcessingErr> {
        // Room for 2^40 events in each epoch.
        let last_cursor = args.epoch.0 << 40;
        Ok(WatchState { args, topics: BTreeMap::new(), last_cursor })
    }

    async fn handle(&self, _: ActorRef<WatchMsg>, message: WatchMsg, state: &mut WatchState) -> Result<(), ActorProcessingErr> {
        match message {
            WatchMsg::Subscribe { cursor, job, out } => state.subscribe(cursor, *job, out),
            WatchMsg::Changed(job) => state.changed(*job),
            WatchMsg::TaskFailed { job, index, outcome } => {
                state.tell(job, Kind::TaskFailed, format!("{job}.{index} failed: {}", outcome.describe()));
            }
            WatchMsg::Note { job, text } => state.tell(job, Kind::Control, text),
        }
        Ok(())
    }
}

impl WatchState {
    fn subscribe(&mut self, cursor: u64, job: JobStatus, out: mpsc::Sender<JobEvent>) {
        let id = job.view.id;
        self.make_room();
        let topic = self.topics.entry(id).or_default();
        let job = Arc::new(job);
        topic.last = Some(job.clone());
        let ended = job.view.state.is_final();
        let missed: Vec<JobEvent> = topic.events.iter().filter(|event| event.cursor > cursor).cloned().collect();
        let whole = topic.events.front().is_some_and(|first| first.cursor <= cursor + 1) && cursor > 0;
        let sent = if whole {
            missed.into_iter().all(|event| out.try_send(event).is_ok())
        } else {
            self.last_cursor += 1;
            let kind = if ended { Kind::Ended } else { Kind::Snapshot };
            let event = JobEvent { cursor: self.last_cursor, at: wall_now(), kind, text: job.reason.clone(), job };
            out.try_send(event).is_ok()
        };
        if sent && !ended {
            topic.subscribers.push(out);
            self.tell_supervisor(id, true);
        }
    }

    /// Forgets topics that nobody watches when there are too many.
    fn make_room(&mut self) {
        if self.topics.len() >= KEPT_JOBS {
            self.topics.retain(|_, topic| !topic.subscribers.is_empty());
        }
    }

    fn tell_supervisor(&self, job: JobId, watched: bool) {
        if let Some(supervisor) = self.args.supervisor.get() {
            let _ = supervisor.cast(SupervisorMsg::Watched(job, watched));
        }
    }

    fn changed(&mut self, job: JobStatus) {
        let Some(topic) = self.topics.get_mut(&job.view.id) else { return };
        let before = topic.last.as_ref().map(|last| (last.view.state, last.view.held, last.view.priority, last.view.max_running));
        let view = &job.view;
        let kind = if view.state.is_final() {
            Kind::Ended
        } else if before != Some((view.state, view.held, view.priority, view.max_running)) {
            Kind::Control
        } else {
            Kind::Progress
        };
        let (id, text) = (view.id, format!("{} {}", view.id, job.reason));
        topic.last = Some(Arc::new(job));
        self.tell(id, kind, text);
    }

    fn tell(&mut self, id: JobId, kind: Kind, text: String) {
        let Some(topic) = self.topics.get_mut(&id) else { return };
        let Some(job) = topic.last.clone() else { return };
        self.last_cursor += 1;
        let event = JobEvent { cursor: self.last_cursor, at: wall_now(), kind, text, job };
        topic.events.push_back(event.clone());
        if topic.events.len() > KEPT_EVENTS {
            topic.events.pop_front();
        }
        topic.subscribers.retain(|out| out.try_send(event.clone()).is_ok());
        if kind == Kind::Ended {
            topic.subscribers.clear();
        }
        if topic.subscribers.is_empty() {
            self.tell_supervisor(id, false);
        }
    }
}

/// A queue to a subscriber.
pub fn queue() -> (mpsc::Sender<JobEvent>, mpsc::Receiver<JobEvent>) {
    mpsc::channel(WATCH_QUEUE_MAX)
}
