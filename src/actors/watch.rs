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
        let reaches_back = topic.events.front().is_some_and(|first| first.cursor <= cursor + 1) && cursor > 0;
        // Whoever comes after the end is told it, also when it is the last thing that they know.
        let tells_the_end = !ended || missed.last().is_some_and(|last| last.kind == Kind::Ended);
        let sent = if reaches_back && tells_the_end {
            missed.into_iter().all(|event| out.try_send(event).is_ok())
        } else {
            self.last_cursor += 1;
            let kind = if ended { Kind::Ended } else { Kind::Snapshot };
            let text = format!("{id} {}", job.reason);
            out.try_send(JobEvent { cursor: self.last_cursor, at: wall_now(), kind, text, job }).is_ok()
        };
        if sent && !ended {
            topic.subscribers.push(out);
            self.tell_supervisor(id, true);
        }
    }

    /// Forgets topics that nobody watches when there are too many. Until then they go on: a history with a gap could not be resumed.
    fn make_room(&mut self) {
        if self.topics.len() < KEPT_JOBS {
            return;
        }
        for topic in self.topics.values_mut() {
            topic.subscribers.retain(|out| !out.is_closed());
        }
        let unwatched: Vec<JobId> = self.topics.iter().filter(|(_, topic)| topic.subscribers.is_empty()).map(|(id, _)| *id).collect();
        for id in unwatched {
            self.topics.remove(&id);
            self.tell_supervisor(id, false);
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
            self.tell_supervisor(id, false);
        }
    }
}

/// A queue to a subscriber.
pub fn queue() -> (mpsc::Sender<JobEvent>, mpsc::Receiver<JobEvent>) {
    mpsc::channel(WATCH_QUEUE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::testing::job_spec;
    use crate::domain::verb::{Counts, Hold};
    use crate::domain::{EtaScore, GrantId, JobState};
    use crate::engine::JobView;
    use crate::engine::eta::{InHands, Times};

    fn watch() -> WatchState {
        let args = WatchArgs { epoch: Epoch(1), supervisor: Arc::default() };
        WatchState { args, topics: BTreeMap::new(), last_cursor: 1 << 40 }
    }

    fn job(state: JobState) -> JobStatus {
        let spec = Arc::new(job_spec());
        let view = JobView {
            id: JobId(1),
            spec: spec.clone(),
            first_spec: spec,
            state,
            held: false,
            killed: false,
            note: String::new(),
            priority: 0,
            max_running: None,
            counts: Counts::default(),
            wanted: 0,
            out: 0,
            limbo: 0,
            hold: Hold::default(),
            delayed: 0,
            round: 1,
            last_grant: GrantId(0),
            times: Times::default(),
            in_hands: InHands::default(),
            since: None,
            eta_score: EtaScore::default(),
            said: Arc::default(),
            created: WallTime(0),
            began: None,
            ended: None,
        };
        JobStatus { view, reason: format!("is {state}"), past_finish_line: false, eta: None, expires: None }
    }

    fn kinds(events: &mut mpsc::Receiver<JobEvent>) -> Vec<Kind> {
        std::iter::from_fn(|| events.try_recv().ok()).map(|event| event.kind).collect()
    }

    #[test]
    fn who_comes_back_misses_nothing_that_happened_while_nobody_watched() {
        let mut watch = watch();
        let (out, mut events) = queue();
        watch.subscribe(0, job(JobState::Waiting), out);
        watch.changed(job(JobState::Running));
        let last = events.try_recv().ok().and_then(|_| events.try_recv().ok()).unwrap().cursor;
        drop(events);
        watch.changed(job(JobState::Waiting));
        watch.changed(job(JobState::Waiting));
        watch.changed(job(JobState::Succeeded));
        let (out, mut events) = queue();
        watch.subscribe(last, job(JobState::Succeeded), out);
        assert_eq!(kinds(&mut events), [Kind::Control, Kind::Progress, Kind::Ended]);
    }

    #[test]
    fn who_has_seen_the_end_is_told_it_again() {
        let mut watch = watch();
        let (out, mut events) = queue();
        watch.subscribe(0, job(JobState::Running), out);
        watch.changed(job(JobState::Succeeded));
        assert_eq!(kinds(&mut events), [Kind::Snapshot, Kind::Ended]);
        let (out, mut events) = queue();
        watch.subscribe(watch.last_cursor, job(JobState::Succeeded), out);
        assert_eq!(kinds(&mut events), [Kind::Ended]);
    }

    #[test]
    fn an_end_that_is_not_in_the_history_yet_is_told_all_the_same() {
        let mut watch = watch();
        let (out, _events) = queue();
        watch.subscribe(0, job(JobState::Waiting), out);
        watch.changed(job(JobState::Running));
        let (out, mut events) = queue();
        watch.subscribe(watch.last_cursor, job(JobState::Succeeded), out);
        assert_eq!(kinds(&mut events), [Kind::Ended]);
    }
}
