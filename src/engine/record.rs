//! The durable part of one job: what its journal entries add up to.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain::entry::{JobEntry, Submitted};
use crate::domain::verb::{Hold, KillMode, Said, Verb};
use crate::domain::{Attempt, EtaScore, IndexSet, JobId, JobSpec, JobState, Policy, TaskNo, WallTime, WorkerId};
use crate::limits;

/// Tasks that may go out before the first mark is journalled.
pub const FIRST_MARK: u32 = 256;

/// What failed attempts a task has behind it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failures {
    /// How many.
    pub count: u32,
    /// The last of them.
    pub last: Attempt,
}

/// What came of `retry`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rounds {
    /// How often the failed tasks were let run again.
    pub retried: u32,
    /// The wish that did it last.
    pub request: u128,
    /// The highest attempt that was handed out of a task that failed for good, ever.
    pub last_failed: Attempt,
    /// How many tasks the last one let run again.
    pub last_freed: u32,
    /// Tasks that were let run again: their attempts up to this one are of earlier rounds. No task is in two.
    pub freed: Vec<(IndexSet, Attempt)>,
}

impl Rounds {
    /// The attempts of a task up to this one are of earlier rounds.
    pub fn floor(&self, no: TaskNo) -> Attempt {
        self.freed.iter().find(|(tasks, _)| tasks.contains(no)).map_or(Attempt(0), |(_, floor)| *floor)
    }

    /// These may run again.
    fn free(&mut self, tasks: IndexSet, request: u128) {
        self.retried += 1;
        self.request = request;
        self.last_freed = tasks.len();
        self.freed.iter_mut().for_each(|(earlier, _)| earlier.subtract(&tasks));
        self.freed.retain(|(earlier, _)| !earlier.is_empty());
        self.put_freed(&tasks, self.last_failed);
    }

    /// Notes tasks whose attempts up to `floor` are of earlier rounds.
    pub(super) fn put_freed(&mut self, tasks: &IndexSet, floor: Attempt) {
        match self.freed.iter_mut().find(|(_, of)| *of == floor) {
            Some((earlier, _)) => earlier.extend(tasks),
            None => self.freed.push((tasks.clone(), floor)),
        }
    }
}

/// The workers that went away while they ran a task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Losses {
    /// How many attempts were lost so.
    pub count: u32,
    /// The last attempt that was lost.
    pub last: Attempt,
    /// Where it ran.
    pub last_worker: WorkerId,
}

impl Losses {
    /// Whether the task is to be taken for the cause.
    pub fn are_too_many(&self) -> bool {
        self.count >= limits::POISON_LOSSES
    }
}

/// What of a job's state is beyond the bytes of version 1 and small: a part of a snapshot of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Of its specification.
    pub policy: Policy,
    /// How it is paused, if it is.
    pub hold: Hold,
    /// Commands of earlier rounds, the first one first.
    pub earlier_commands: Vec<Vec<String>>,
    /// It is removed as soon as it has ended.
    pub doomed: bool,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Final.
    pub state: JobState,
    /// For a person; empty if the state speaks for itself.
    pub reason: String,
    /// When.
    pub at: WallTime,
}

/// A job as the journal knows it. Changes only by [`JobRecord::apply`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRecord {
    /// Its number.
    pub id: JobId,
    /// As submitted, but for what a retry has changed.
    pub spec: Arc<JobSpec>,
    /// The client's; empty if it sent none.
    pub request_id: String,
    /// Higher goes sooner.
    pub priority: i32,
    /// Most tasks out at once.
    pub max_running: Option<u32>,
    /// Paused.
    pub held: bool,
    /// Of the last verb.
    pub control_version: u64,
    /// Told to end, and what becomes of running tasks.
    pub killing: Option<KillMode>,
    /// What the person who last paused or killed it gave as the reason.
    pub control_reason: String,
    /// How many tasks it has; none before it is split.
    pub total: Option<u32>,
    /// Tasks from here on were never handed out.
    pub mark: u32,
    /// Done.
    pub succeeded: IndexSet,
    /// Failed for good.
    pub failed: IndexSet,
    /// Failed attempts of tasks that are not final.
    pub failures: BTreeMap<TaskNo, Failures>,
    /// Beyond the bytes of version 1, so it lies in a part of a snapshot of its own.
    #[serde(skip)]
    pub rounds: Rounds,
    /// How it is paused, where `held` says that it is; beyond the bytes of version 1, too.
    #[serde(skip)]
    pub hold: Hold,
    /// Commands of earlier rounds, by which some of its tasks may be done; beyond the bytes of version 1, too.
    #[serde(skip)]
    pub earlier_commands: Vec<Vec<String>>,
    /// Of tasks that are not final; beyond the bytes of version 1, too.
    #[serde(skip)]
    pub losses: BTreeMap<TaskNo, Losses>,
    /// It is removed as soon as it has ended; in its terms.
    #[serde(skip)]
    pub doomed: bool,
    /// What was asked for, where a retry has changed that since; beyond the bytes of version 1, too.
    #[serde(skip)]
    pub first_spec: Option<Arc<JobSpec>>,
    /// What it was told last, the latest at the end; beyond the bytes of version 1, too.
    #[serde(skip)]
    pub said: Arc<Vec<Said>>,
    /// How often its ETA was right, in the rounds that have ended; beyond the bytes of version 1, too.
    #[serde(skip)]
    pub eta_score: EtaScore,
    /// When it was accepted.
    pub created: WallTime,
    /// When its first task started.
    pub began: Option<WallTime>,
    /// Its end.
    pub ended: Option<Ended>,
}

impl JobRecord {
    /// A job just accepted.
    pub fn new(submitted: Submitted) -> Self {
        Self {
            id: submitted.job,
            spec: Arc::new(submitted.spec),
            request_id: submitted.request_id,
            priority: submitted.priority,
            max_running: submitted.max_running,
            held: submitted.held,
            control_version: 0,
            killing: None,
            control_reason: String::new(),
            total: None,
            mark: 0,
            succeeded: IndexSet::default(),
            failed: IndexSet::default(),
            failures: BTreeMap::new(),
            rounds: Rounds::default(),
            hold: Hold::default(),
            earlier_commands: Vec::new(),
            losses: BTreeMap::new(),
            doomed: false,
            first_spec: None,
            said: Arc::default(),
            eta_score: EtaScore::default(),
            created: submitted.at,
            began: None,
            ended: None,
        }
    }

    /// Takes one fact in. Entries come from our own journal, in order; one that can't be (an older verb, a second end) changes nothing.
    pub fn apply(&mut self, entry: &JobEntry) {
        match entry {
            JobEntry::Split { total } => {
                self.total = Some(*total);
                self.mark = FIRST_MARK.min(*total);
            }
            JobEntry::Controlled { version, verb, reason, at } => self.apply_verb(*version, *verb, reason, *at),
            JobEntry::RetriedWith { version, request, change, reason, at } => {
                if *version > self.control_version {
                    self.first_spec.get_or_insert_with(|| self.spec.clone());
                    if change.command.as_ref().is_some_and(|command| *command != self.spec.command) {
                        self.note_command();
                    }
                    change.apply(Arc::make_mut(&mut self.spec));
                }
                self.apply_verb(*version, Verb::Retry { request: *request }, reason, *at);
            }
            JobEntry::Marked { mark } => self.mark = self.mark.max(*mark),
            JobEntry::AttemptFailed { no, attempt } => {
                let failures = self.failures.entry(*no).or_default();
                failures.count += 1;
                failures.last = failures.last.max(*attempt);
            }
            JobEntry::TaskEnded(end) => {
                if !self.is_final(end.no) {
                    self.failures.remove(&end.no);
                    self.losses.remove(&end.no);
                    if end.success {
                        self.succeeded.insert(end.no)
                    } else {
                        self.rounds.last_failed = self.rounds.last_failed.max(end.attempt);
                        self.failed.insert(end.no)
                    };
                }
            }
            JobEntry::AttemptLost { no, attempt, worker } => {
                let losses = self.losses.entry(*no).or_default();
                *losses = Losses { count: losses.count.saturating_add(1), last: losses.last.max(*attempt), last_worker: *worker };
            }
            JobEntry::AttemptsUsed { up_to } => self.rounds.last_failed = self.rounds.last_failed.max(*up_to),
            JobEntry::Doomed => self.doomed = true,
            JobEntry::EtaScored(score) => self.eta_score.add(*score),
            JobEntry::SaidBy { version, by } => {
                if *version == self.control_version
                    && let Some(last) = Arc::make_mut(&mut self.said).last_mut()
                {
                    last.by.clone_from(by);
                }
            }
            JobEntry::Began { at } => self.began = self.began.or(Some(*at)),
            JobEntry::Ended { state, reason, at } => {
                if self.ended.is_none() {
                    self.ended = Some(Ended { state: *state, reason: reason.clone(), at: *at });
                    self.failures.clear();
                    self.losses.clear();
                }
            }
        }
    }

    fn apply_verb(&mut self, version: u64, verb: Verb, reason: &str, at: WallTime) {
        if version <= self.control_version {
            return;
        }
        self.control_version = version;
        let said = Arc::make_mut(&mut self.said);
        let excess = (said.len() + 1).saturating_sub(limits::SAID_KEPT_MAX);
        said.drain(..excess);
        said.push(Said { at, verb, by: String::new(), reason: reason.to_owned() });
        match verb {
            Verb::Pause | Verb::PauseWith(_) => {
                self.held = true;
                self.hold = verb.hold().unwrap_or_default();
                self.control_reason = reason.to_owned();
            }
            Verb::Resume => {
                self.held = false;
                self.hold = Hold::default();
                self.control_reason.clear();
            }
            Verb::Kill(mode) => {
                self.killing = Some(mode);
                self.held = false;
                self.hold = Hold::default();
                self.control_reason = reason.to_owned();
            }
            Verb::SetPriority(priority) => self.priority = priority,
            Verb::SetLimit(max_running) => self.max_running = max_running,
            Verb::Retry { request } => {
                let freed = self.to_be_freed();
                self.failed = IndexSet::default();
                self.rounds.free(freed, request);
                self.ended = None;
            }
        }
    }

    /// Takes back the end of tasks whose results are lost, so that they run again: a job that had ended goes on, unless it was told to end.
    pub fn take_back(&mut self, lost: &IndexSet) {
        if lost.is_empty() {
            return;
        }
        self.succeeded.subtract(lost);
        self.failed.subtract(lost);
        if self.killing.is_none() {
            self.ended = None;
        }
    }

    /// Entries about this job may be lost: any task may have been handed out.
    pub fn doubt_mark(&mut self) {
        self.mark = self.total.unwrap_or(self.mark);
    }

    /// What a retry lets run again: what has failed, and what was dropped when the job gave up.
    pub fn to_be_freed(&self) -> IndexSet {
        if self.ended.is_none() {
            return self.failed.clone();
        }
        let mut open = IndexSet::range(0, self.total.unwrap_or(0));
        open.subtract(&self.succeeded);
        open
    }

    /// The present command is about to be another. Of too many, the oldest are forgotten.
    fn note_command(&mut self) {
        self.earlier_commands.retain(|earlier| *earlier != self.spec.command);
        let excess = (self.earlier_commands.len() + 1).saturating_sub(limits::EARLIER_COMMANDS_MAX);
        self.earlier_commands.drain(..excess);
        self.earlier_commands.push(self.spec.command.clone());
    }

    /// Whether an attempt is of an earlier round, and may have run another command than the job has now.
    pub fn is_outdated(&self, no: TaskNo, attempt: Attempt) -> bool {
        !self.earlier_commands.is_empty() && attempt <= self.rounds.floor(no)
    }

    /// Whether more of its tasks have failed than may.
    pub fn gives_up(&self) -> bool {
        let total = self.total.unwrap_or(0);
        self.spec.policy.max_failed.is_some_and(|max| max.is_exceeded(self.failed.len(), total))
    }

    /// Whether it is to end, by a person's word or because too much has failed, and what becomes of running tasks.
    pub fn stopping(&self) -> Option<KillMode> {
        self.killing.or_else(|| self.gives_up().then_some(KillMode::Stop))
    }

    /// What of it lies in a part of its own.
    pub fn terms(&self) -> Terms {
        Terms { policy: self.spec.policy.clone(), hold: self.hold, earlier_commands: self.earlier_commands.clone(), doomed: self.doomed }
    }

    /// Takes that part in.
    pub fn put_terms(&mut self, terms: Terms) {
        Arc::make_mut(&mut self.spec).policy = terms.policy;
        self.hold = terms.hold;
        self.earlier_commands = terms.earlier_commands;
        self.doomed = terms.doomed;
    }

    /// What was asked for by the request that made it.
    pub fn as_submitted(&self) -> &Arc<JobSpec> {
        self.first_spec.as_ref().unwrap_or(&self.spec)
    }

    /// Whether the task has its end in this round.
    pub fn is_final(&self, no: TaskNo) -> bool {
        self.succeeded.contains(no) || self.failed.contains(no)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::testing::submitted;

    /// A job of four tasks, of which two succeeded and one failed, and which ended.
    fn ended() -> JobRecord {
        let at = WallTime::default();
        let mut job = JobRecord::new(submitted(1));
        job.total = Some(4);
        job.mark = 3;
        job.succeeded = IndexSet::range(0, 2);
        job.failed = IndexSet::range(2, 3);
        job.ended = Some(Ended { state: JobState::Failed, reason: String::new(), at });
        job
    }

    #[test]
    fn a_task_whose_result_is_lost_is_open_again_and_so_is_its_job() {
        let mut job = ended();
        job.take_back(&IndexSet::default());
        assert_eq!(job, ended());
        job.take_back(&IndexSet::range(1, 3));
        assert!(job.is_final(TaskNo(0)) && !job.is_final(TaskNo(1)) && !job.is_final(TaskNo(2)));
        assert_eq!(job.ended, None);
        job.doubt_mark();
        assert_eq!(job.mark, 4);
    }

    #[test]
    fn the_last_verbs_are_remembered_with_who_said_them() {
        let mut job = JobRecord::new(submitted(1));
        for version in 1..=30 {
            let (verb, at) = (Verb::SetPriority(version as i32), WallTime(version as i64));
            job.apply(&JobEntry::Controlled { version, verb, reason: "why".into(), at });
            job.apply(&JobEntry::SaidBy { version, by: format!("ada {version}") });
        }
        // What comes too late, or of a verb that came too late, changes nothing.
        job.apply(&JobEntry::Controlled { version: 30, verb: Verb::Pause, reason: String::new(), at: WallTime(31) });
        job.apply(&JobEntry::SaidBy { version: 29, by: "bob".into() });
        let (first, last) = (job.said.first().unwrap(), job.said.last().unwrap());
        assert_eq!((job.said.len(), first.what().as_str(), first.by.as_str()), (limits::SAID_KEPT_MAX, "priority 11", "ada 11"));
        assert_eq!((last.at, last.by.as_str(), last.reason.as_str()), (WallTime(30), "ada 30", "why"));
    }

    #[test]
    fn a_job_that_was_told_to_end_stays_ended() {
        let mut job = JobRecord { killing: Some(KillMode::Stop), ..ended() };
        job.take_back(&IndexSet::range(1, 2));
        assert!(job.ended.is_some() && !job.is_final(TaskNo(1)));
    }
}
