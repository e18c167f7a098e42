//! What a person may tell a job, and what the job answers.

use serde::{Deserialize, Serialize};

use std::time::Duration;

use super::job::{JobSpec, JobState};
use super::time::WallTime;

/// What happens to running tasks when their job is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KillMode {
    /// They run to their end, and their results count.
    Finish,
    /// TERM, grace, KILL of the whole process tree.
    Stop,
}

/// How a job is paused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Its running tasks stand still as well, and so do their time limits.
    pub freeze: bool,
    /// It goes on by itself then.
    pub until: Option<WallTime>,
}

/// A control verb. Persisted: a new one comes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verb {
    /// No task starts until Resume. Running tasks go on.
    Pause,
    /// Tasks may start again.
    Resume,
    /// No task starts any more.
    Kill(KillMode),
    /// Its place in the order, from the next hand-out on.
    SetPriority(i32),
    /// How many of its tasks may be out at once; none: no limit.
    SetLimit(Option<u32>),
    /// The failed tasks run again, as a new round. `request` names this wish, so that one that is repeated acts once.
    Retry {
        /// Of the client's request id.
        request: u128,
    },
    /// A pause that is more than [`Verb::Pause`].
    PauseWith(Hold),
}

impl Verb {
    /// A pause.
    pub fn pause(hold: Hold) -> Self {
        if hold == Hold::default() { Self::Pause } else { Self::PauseWith(hold) }
    }

    /// How it pauses, if it does.
    pub fn hold(&self) -> Option<Hold> {
        match self {
            Self::Pause => Some(Hold::default()),
            Self::PauseWith(hold) => Some(*hold),
            Self::Resume | Self::Kill(_) | Self::SetPriority(_) | Self::SetLimit(_) | Self::Retry { .. } => None,
        }
    }

    /// Whether no task starts after it.
    pub fn stops(&self) -> bool {
        matches!(self, Self::Pause | Self::PauseWith(_) | Self::Kill(_))
    }

    /// As on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Pause | Self::PauseWith(_) => "pause",
            Self::Resume => "resume",
            Self::Kill(_) => "kill",
            Self::SetPriority(_) => "priority",
            Self::SetLimit(_) => "limit",
            Self::Retry { .. } => "retry",
        }
    }
}

/// A verb as it is remembered: who said what to a job, and why. Persisted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// When.
    pub at: WallTime,
    /// What.
    pub verb: Verb,
    /// Who, as he calls himself; empty if nobody said.
    pub by: String,
    /// Why, in his words.
    pub reason: String,
}

impl Said {
    /// `kill`, `priority 5`, `limit 4`.
    pub fn what(&self) -> String {
        let what = self.verb.name();
        match self.verb {
            Verb::SetPriority(priority) => format!("{what} {priority}"),
            Verb::SetLimit(Some(max)) => format!("{what} {max}"),
            Verb::SetLimit(None) => format!("{what} none"),
            Verb::Kill(KillMode::Stop) => format!("{what} --running stop"),
            Verb::PauseWith(Hold { freeze: true, .. }) => format!("{what} --running freeze"),
            Verb::Pause | Verb::PauseWith(_) | Verb::Resume | Verb::Kill(KillMode::Finish) | Verb::Retry { .. } => what.to_owned(),
        }
    }
}

/// What is different when the tasks that are not done run again. None: as before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The argument vector.
    pub command: Option<Vec<String>>,
    /// Processors that a task needs.
    pub cpus: Option<u32>,
    /// Memory that a task needs.
    pub mem_bytes: Option<u64>,
    /// Graphics processors that a task needs.
    pub gpus: Option<u32>,
    /// The longest an attempt may run.
    pub timeout: Option<Duration>,
}

impl Change {
    /// Makes a job's specification what it is from now on.
    pub fn apply(&self, spec: &mut JobSpec) {
        if let Some(command) = &self.command {
            spec.command.clone_from(command);
        }
        spec.needs.cpus = self.cpus.unwrap_or(spec.needs.cpus);
        spec.needs.mem_bytes = self.mem_bytes.unwrap_or(spec.needs.mem_bytes);
        spec.needs.gpus = self.gpus.unwrap_or(spec.needs.gpus);
        spec.timeout = self.timeout.or(spec.timeout);
    }
}

/// A verb as a person states it.
#[derive(Clone, Debug, PartialEq)]
pub struct Wish {
    /// What.
    pub verb: Verb,
    /// Why, in the person's words.
    pub reason: String,
    /// Who says it, as he calls himself; empty if he does not say.
    pub by: String,
    /// With [`Verb::Retry`]: what is different this time.
    pub change: Option<Box<Change>>,
}

impl Wish {
    /// A verb that changes nothing of the job's specification.
    pub fn new(verb: Verb, reason: String) -> Self {
        Self { verb, reason, by: String::new(), change: None }
    }
}

/// A job's tasks by where they are. They add up to `total`, always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// All.
    pub total: u32,
    /// Not started.
    pub undispatched: u32,
    /// Started, or sent to a worker that did not answer a fence.
    pub running: u32,
    /// Done.
    pub succeeded: u32,
    /// Failed for good.
    pub failed: u32,
    /// Will never run, or were stopped.
    pub killed: u32,
}

impl Counts {
    /// Whether they add up.
    pub fn add_up(&self) -> bool {
        self.total == self.undispatched + self.running + self.succeeded + self.failed + self.killed
    }
}

/// What came of a verb: the state it met or made, and the counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerbReply {
    /// The job's state after it.
    pub state: JobState,
    /// Whether it is paused.
    pub held: bool,
    /// Whether the verb changed anything.
    pub changed: bool,
    /// Tasks that will never start.
    pub dropped: u32,
    /// Tasks that a retry lets run again; 0 for other verbs.
    pub retried: u32,
    /// All tasks, after the verb.
    pub counts: Counts,
    /// Workers that did not answer in time: their Sent leases count as running.
    pub unconfirmed: Vec<super::ids::WorkerId>,
    /// The later verb that took over before this one was settled.
    pub superseded_by: Option<&'static str>,
}
