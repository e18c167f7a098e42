//! Believes only what was promised and what really happened: replies to people, processes that started, results acknowledged, bytes synced.

use std::collections::{BTreeMap, BTreeSet};

use millpond::domain::entry::{Entry, JobEntry};
use millpond::domain::verb::{Verb, VerbReply};
use millpond::domain::wire::Lease;
use millpond::domain::{Attempt, Epoch, JobId, SessionId, TaskNo, WallTime, WorkerId};
use millpond::engine::record::Losses;
use millpond::engine::{JobRecord, Ledger};
use millpond::limits;

use crate::client::change_of;

#[derive(Default)]
pub struct Oracle {
    /// Jobs told to stop, by a reply: from when, and at which workers it is not sure.
    killed: BTreeMap<JobId, BTreeSet<WorkerId>>,
    paused: BTreeMap<JobId, BTreeSet<WorkerId>>,
    started: BTreeMap<(JobId, TaskNo, Epoch, Attempt), usize>,
    running: BTreeMap<(JobId, TaskNo), BTreeMap<usize, u64>>,
    disturbed: BTreeMap<usize, u64>,
    cuts: BTreeMap<usize, Vec<u64>>,
    /// When what a worker says was held up.
    silences: BTreeMap<usize, Vec<(u64, u64)>>,
    ended: BTreeMap<(JobId, TaskNo), u32>,
    starts: BTreeMap<JobId, BTreeSet<TaskNo>>,
    names: BTreeMap<usize, WorkerId>,
    /// When each worker was let in.
    welcomes: BTreeMap<usize, Vec<u64>>,
    /// When each session last said something that arrived.
    heard: BTreeMap<SessionId, u64>,
    /// Attempts that a machine that failed gave back.
    given_back: BTreeSet<(JobId, TaskNo, Attempt)>,
    /// Of these, one that cost its task something.
    blamed: Option<String>,
    /// Which job each request was told it has made.
    made: BTreeMap<usize, JobId>,
    /// Jobs whose deletion was acknowledged.
    deleted: BTreeSet<JobId>,
    /// Jobs of which a person was told that they will be, at their end.
    doomed: BTreeSet<JobId>,
}

impl Oracle {
    /// A worker is let in.
    pub fn welcomed(&mut self, worker: usize, id: WorkerId, now: u64) {
        self.names.insert(worker, id);
        self.welcomes.entry(worker).or_default().push(now);
    }

    /// The job has heard of a resume: from now on tasks may start, even before the reply.
    pub fn resumed(&mut self, job: JobId) {
        self.paused.remove(&job);
    }

    /// A client is told which job its request has made.
    pub fn submitted(&mut self, request: usize, job: JobId, durable: &Ledger) -> Result<(), String> {
        if !durable.jobs.contains_key(&job) {
            return Err(format!("request {request} is told of {job}, which is not durable"));
        }
        match self.made.insert(request, job) {
            Some(before) if before != job => Err(format!("request {request} has made {before} and {job}")),
            _ => Ok(()),
        }
    }

    /// A person is told that a job is deleted.
    pub fn deleted(&mut self, job: JobId) {
        self.deleted.insert(job);
    }

    /// A person is told that a job will be deleted at its end.
    pub fn doomed(&mut self, job: JobId) {
        self.doomed.insert(job);
    }

    /// The head removes a job, since its time is over.
    pub fn expires(&self, job: &JobRecord, wall: WallTime) -> Result<(), String> {
        let due = job.ended.as_ref().and_then(|ended| job.spec.policy.keep.unwrap_or_default().expires(ended.at));
        match due {
            Some(due) if due <= wall => Ok(()),
            due => Err(format!("{} is removed at {wall:?}, and is to be kept until {due:?}", job.id)),
        }
    }

    /// A client is told that its request has made a job that was deleted.
    pub fn gone(&mut self, request: usize, job: JobId) -> Result<(), String> {
        match self.made.insert(request, job) {
            Some(before) if before != job => Err(format!("request {request} has made {before} and, as is said, {job}, which is gone")),
            _ => Ok(()),
        }
    }

    /// A person has an answer; `durable` is the job as the disk has it.
    pub fn replied(&mut self, durable: &JobRecord, verb: Verb, reply: &VerbReply) -> Result<(), String> {
        let job = durable.id;
        if !reply.counts.add_up() {
            return Err(format!("{job}: the counts of a reply do not add up: {reply:?}"));
        }
        if reply.superseded_by.is_some() {
            return Ok(());
        }
        let kept = match verb {
            Verb::Kill(_) => durable.killing.is_some(),
            Verb::Pause | Verb::PauseWith(_) => durable.held || !reply.held,
            Verb::Resume => !durable.held || reply.held,
            Verb::Retry { request } if reply.changed && durable.rounds.request == request => {
                change_of(verb).is_none_or(|change| Some(&durable.spec.command) == change.command.as_ref())
            }
            Verb::SetPriority(_) | Verb::SetLimit(_) | Verb::Retry { .. } => true,
        };
        if !kept {
            return Err(format!("{job}: {verb:?} is answered before it is durable: {reply:?}"));
        }
        let unsure: BTreeSet<WorkerId> = reply.unconfirmed.iter().copied().collect();
        match verb {
            Verb::Kill(_) => {
                // A later reply may be surer than an earlier one, never less binding.
                let known = self.killed.entry(job).or_insert_with(|| unsure.clone());
                *known = known.intersection(&unsure).copied().collect();
                // What started at a worker that was lost since went back, and may be dropped.
                let undisturbed = self.disturbed.is_empty() && self.cuts.is_empty() && self.silences.is_empty();
                let started = self.starts.get(&job).map_or(0, BTreeSet::len) as u32;
                if undisturbed && started > reply.counts.total - reply.dropped {
                    return Err(format!("{job}: {started} tasks had started, but the reply says dropped: {reply:?}"));
                }
            }
            Verb::Pause | Verb::PauseWith(_) if reply.held => {
                self.paused.insert(job, unsure);
            }
            _ => {}
        }
        Ok(())
    }

    /// A process starts.
    pub fn starts(&mut self, at: usize, lease: Lease, now: u64) -> Result<(), String> {
        let name = self.names.get(&at).copied().unwrap_or_default();
        for (what, told) in [("killed", &self.killed), ("paused", &self.paused)] {
            if told.get(&lease.job).is_some_and(|unsure| !unsure.contains(&name)) {
                return Err(format!("{lease:?} starts at {name} although its job was {what}, at {now} ms"));
            }
        }
        // What was sent before the job ended, to a worker that is cut off, may still start there.
        let cut_off = self.cuts.contains_key(&at) || self.disturbed.contains_key(&at) || self.silences.contains_key(&at);
        if self.deleted.contains(&lease.job) && !cut_off {
            return Err(format!("{lease:?} starts at {name} although its job was deleted, at {now} ms"));
        }
        if let Some(before) = self.started.insert((lease.job, lease.no, lease.epoch, lease.attempt), at) {
            return Err(format!("{lease:?} starts at worker {at} and at {before}"));
        }
        // A later start of the head may give the number of an attempt again.
        self.given_back.remove(&(lease.job, lease.no, lease.attempt));
        self.starts.entry(lease.job).or_default().insert(lease.no);
        for (other, since) in self.running.get(&(lease.job, lease.no)).into_iter().flatten() {
            if !self.excused(*other, *since, now) {
                return Err(format!("{lease:?} starts at worker {at} while it runs, undisturbed, at {other} since {since}, at {now} ms"));
            }
        }
        self.running.entry((lease.job, lease.no)).or_default().insert(at, now);
        Ok(())
    }

    pub fn stops(&mut self, at: usize, lease: Lease, success: bool) {
        if !success && let Some(starts) = self.starts.get_mut(&lease.job) {
            // It may be tried again, or dropped before that.
            starts.remove(&lease.no);
        }
        if let Some(running) = self.running.get_mut(&(lease.job, lease.no)) {
            running.remove(&at);
        }
    }

    pub fn worker_died(&mut self, at: usize, now: u64) {
        self.disturbed(at, now);
        self.running.values_mut().for_each(|running| {
            running.remove(&at);
        });
    }

    /// A job's end is durable. A second attempt of a task that is done is being stopped, and may run on for a moment.
    pub fn job_ended(&self, job: &JobRecord, now: u64) -> Result<(), String> {
        let id = job.id;
        let of_job = self.running.range((id, TaskNo(0))..=(id, TaskNo(u32::MAX)));
        for ((_, no), running) in of_job.filter(|((_, no), _)| !job.is_final(*no)) {
            if let Some((at, since)) = running.iter().find(|(at, since)| !self.excused(**at, **since, now)) {
                return Err(format!("{id} has ended at {now} ms while {no} runs, undisturbed, at worker {at} since {since}"));
            }
        }
        Ok(())
    }

    /// Nothing that a worker says arrives from `from` until `to`: its line is clogged, or it stands still.
    pub fn unheard(&mut self, at: usize, from: u64, to: u64) {
        let spans = self.silences.entry(at).or_default();
        match spans.last_mut() {
            Some(last) if from <= last.1 => last.1 = to.max(last.1),
            _ => spans.push((from, to)),
        }
    }

    /// Whether a task that runs at a worker may be given to another: the worker stood still, or its connection was cut, and it did not come
    /// back in time. Its last heartbeat may have come shortly before the cut.
    fn excused(&self, at: usize, since: u64, now: u64) -> bool {
        let away = (limits::STARTED_GONE_AFTER - limits::HEARTBEAT_EVERY).as_millis() as u64;
        let given_up = (limits::WORKER_SILENT_AFTER - limits::HEARTBEAT_EVERY).as_millis() as u64;
        let silences = || self.silences.get(&at).into_iter().flatten();
        let unheard =
            |cut: u64| silences().filter(|(from, to)| *from <= cut && cut <= to + 1_000).map(|(from, _)| cut - from).max().unwrap_or(0);
        let cuts = || self.cuts.get(&at).into_iter().flatten().copied();
        let cut = cuts().any(|cut| cut >= since && now + unheard(cut) >= cut + away);
        // Or it was started, within the lease, on a connection that was gone already: what is known here as sent goes to others later.
        let let_in = |from: u64| self.welcomes.get(&at).into_iter().flatten().any(|time| (from..=since).contains(time));
        let gone = (limits::SENT_GONE_AFTER - limits::HEARTBEAT_EVERY).as_millis() as u64;
        let cut = cut || cuts().any(|cut| cut < since && !let_in(cut) && now + unheard(cut) >= cut + gone);
        let silent = silences().any(|(from, to)| *to >= since && now >= from + given_up);
        self.disturbed.get(&at).is_some_and(|at| *at >= since) || cut || silent
    }

    pub fn cut(&mut self, at: usize, now: u64) {
        self.cuts.entry(at).or_default().push(now);
    }

    pub fn disturbed(&mut self, at: usize, now: u64) {
        let last = self.disturbed.entry(at).or_default();
        *last = now.max(*last);
    }

    /// A run reached a worker that has no free slot, and never said that it had.
    pub fn declined(&self, at: usize, lease: Lease) -> Result<(), String> {
        Err(format!("{lease:?} was sent to worker {at}, which has no free slot"))
    }

    /// Something arrives from a worker.
    pub fn heard(&mut self, session: SessionId, now: u64) {
        self.heard.insert(session, now);
    }

    /// The head gives a worker up for its silence.
    pub fn given_up(&self, session: SessionId, now: u64) -> Result<(), String> {
        let heard = self.heard.get(&session).copied().unwrap_or(0);
        let silent = limits::WORKER_SILENT_AFTER.as_millis() as u64;
        if now < heard + silent {
            return Err(format!("{session} is given up for its silence at {now} ms, and was heard at {heard} ms"));
        }
        Ok(())
    }

    /// A task comes back from a machine that failed: that is no failure of its own. Where two starts of the head have given the same number
    /// to an attempt, the journal does not say which of them failed.
    pub fn given_back(&mut self, lease: Lease) {
        let Lease { job, no, attempt, .. } = lease;
        let starts = self.started.range((job, no, Epoch(0), Attempt(0))..=(job, no, Epoch(u64::MAX), Attempt(u32::MAX)));
        if starts.filter(|((.., of), _)| *of == attempt).count() == 1 {
            self.given_back.insert((job, no, attempt));
        }
    }

    /// An attempt has failed before it could be started.
    pub fn not_started(&mut self, lease: Lease) {
        self.given_back.remove(&(lease.job, lease.no, lease.attempt));
    }

    pub fn journalled(&mut self, entry: &Entry, before: &Ledger) {
        let counted = match entry {
            Entry::Job(job, JobEntry::TaskEnded(end)) if !end.success => Some((*job, end.no, end.attempt)),
            Entry::Job(job, JobEntry::AttemptFailed { no, attempt }) => Some((*job, *no, *attempt)),
            _ => None,
        };
        if let Entry::JobSubmitted(submitted) | Entry::JobAccepted(submitted, _) = entry
            && self.deleted.contains(&submitted.job)
        {
            self.blamed = Some(format!("{} was deleted, and its number is given out again", submitted.job));
        }
        // But for a task that too many could not take through.
        let is_poison = |(job, no, _): &(JobId, TaskNo, Attempt)| {
            before.jobs.get(job).and_then(|job| job.losses.get(no)).is_some_and(Losses::are_too_many)
        };
        if counted.is_some_and(|counted| self.given_back.contains(&counted) && !is_poison(&counted)) {
            self.blamed = Some(format!("its machine failed, and that counts against the task: {entry:?}"));
        }
        if let Entry::Job(job, JobEntry::Controlled { verb: Verb::Retry { .. }, .. } | JobEntry::RetriedWith { .. }) = entry {
            // A new round: what failed may end once more.
            let failed = before.jobs.get(job).map(|job| job.to_be_freed()).unwrap_or_default();
            self.ended.retain(|(of, no), _| of != job || !failed.contains(*no));
        }
        if let Entry::Job(job, JobEntry::TaskEnded(end)) = entry {
            let ended_job = before.jobs.get(job).is_some_and(|job| job.ended.is_some());
            *self.ended.entry((*job, end.no)).or_default() += 1 + u32::from(ended_job) * 100;
        }
    }

    /// The head lets a worker forget a result.
    pub fn acknowledged(&self, lease: Lease, success: bool, durable: &Ledger) -> Result<(), String> {
        let Some(job) = durable.jobs.get(&lease.job) else { return Ok(()) };
        if success && job.ended.is_none() && !job.is_final(lease.no) {
            return Err(format!("{lease:?} succeeded and was acknowledged before it was durable"));
        }
        Ok(())
    }

    pub fn check_end(&self, ledger: &Ledger, wall: WallTime) -> Result<(), String> {
        if let Some(job) = self.doomed.iter().find(|job| ledger.jobs.contains_key(job)) {
            return Err(format!("{job} was to be deleted at its end, and is there"));
        }
        let late = |job: &&JobRecord| self.expires(job, WallTime(wall.0 - 5_000_000)).is_ok();
        if let Some(job) = ledger.jobs.values().find(late) {
            return Err(format!("{} is there at {wall:?}, though its time was over: {:?}", job.id, job.ended));
        }
        self.blamed.clone().map_or(Ok(()), Err)?;
        if let Some((request, job)) = self.made.iter().find(|(_, job)| !ledger.jobs.contains_key(job) && !self.deleted.contains(job)) {
            return Err(format!("request {request} was told of {job}, and there is none"));
        }
        if let Some(job) = self.deleted.iter().find(|job| ledger.jobs.contains_key(job)) {
            return Err(format!("{job} was deleted, and is there"));
        }
        let asked: Vec<&str> = ledger.jobs.values().map(|job| job.request_id.as_str()).filter(|id| !id.is_empty()).collect();
        if asked.iter().collect::<BTreeSet<_>>().len() != asked.len() {
            return Err(format!("one request has made two jobs: {asked:?}"));
        }
        if let Some(((job, no), times)) = self.ended.iter().find(|(_, times)| **times != 1) {
            return Err(format!("{job} {no} has {times} ends in the journal"));
        }
        for job in ledger.jobs.values() {
            let done = job.succeeded.len() + job.failed.len();
            let whole = job.stopping().is_some() || Some(done) == job.total;
            if !whole {
                return Err(format!("{} ended with {done} of {:?} tasks", job.id, job.total));
            }
        }
        Ok(())
    }
}
