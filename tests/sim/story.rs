//! What a run of the simulator added up to.

/// See the module; also shows that faults did happen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Story {
    pub events: u64,
    pub head_crashes: u64,
    pub worker_crashes: u64,
    pub cuts: u64,
    pub clogs: u64,
    pub partitions: u64,
    pub stalls: u64,
    pub kills: u64,
    pub pauses: u64,
    pub retries: u64,
    pub timed_pauses: u64,
    pub poisoned: u64,
    pub gave_up: u64,
    pub unconfirmed: u64,
    pub adopted: u64,
    pub started: u64,
    pub ended_jobs: u64,
    pub job_crashes: u64,
    pub drains: u64,
    pub submitted: u64,
    pub suspicions: u64,
    /// Tasks that came back from a machine that failed.
    pub given_back: u64,
    /// How often the head found its disk full.
    pub full_disks: u64,
    pub wall_jumps: u64,
    /// Leases that a rebuilt job took over as sent.
    pub kept: u64,
    pub late_hellos: u64,
    pub deleted: u64,
    /// Requests that were told that their job was deleted.
    pub asked_of_gone: u64,
    /// Jobs that went as soon as they had ended, or since their time was over.
    pub doomed: u64,
    pub expired: u64,
    /// Jobs that are kept for a time that they say.
    pub keeps: u64,
    /// Retries with another command and other needs.
    pub changed: u64,
    /// Messages in which a job sent runs to a session.
    pub deliveries: u64,
    /// The most tasks that waited for a slot at a worker.
    pub most_ahead: u64,
    /// Tasks that a slot started without a word from its worker's actor.
    pub passed_on: u64,
    /// How often they were recalled for a job that goes before theirs.
    pub recalls: u64,
}

impl Story {
    pub fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.head_crashes += other.head_crashes;
        self.worker_crashes += other.worker_crashes;
        self.cuts += other.cuts;
        self.clogs += other.clogs;
        self.partitions += other.partitions;
        self.stalls += other.stalls;
        self.kills += other.kills;
        self.pauses += other.pauses;
        self.retries += other.retries;
        self.timed_pauses += other.timed_pauses;
        self.poisoned += other.poisoned;
        self.gave_up += other.gave_up;
        self.unconfirmed += other.unconfirmed;
        self.adopted += other.adopted;
        self.started += other.started;
        self.ended_jobs += other.ended_jobs;
        self.job_crashes += other.job_crashes;
        self.drains += other.drains;
        self.submitted += other.submitted;
        self.suspicions += other.suspicions;
        self.given_back += other.given_back;
        self.full_disks += other.full_disks;
        self.wall_jumps += other.wall_jumps;
        self.kept += other.kept;
        self.late_hellos += other.late_hellos;
        self.deleted += other.deleted;
        self.asked_of_gone += other.asked_of_gone;
        self.doomed += other.doomed;
        self.expired += other.expired;
        self.keeps += other.keeps;
        self.changed += other.changed;
        self.deliveries += other.deliveries;
        self.most_ahead = self.most_ahead.max(other.most_ahead);
        self.passed_on += other.passed_on;
        self.recalls += other.recalls;
    }
}
