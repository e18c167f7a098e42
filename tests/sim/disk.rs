//! The head's disk: entries that are written, synced, or forgotten in a crash.

use millpond::domain::entry::{Entry, JobEntry};
use millpond::domain::{DiskRoom, Epoch, JobId};
use millpond::engine::{JobEvent, Ledger, RosterEvent};

use crate::head::HeadMail;
use crate::world::{Addr, Mail, World};

/// What survives a crash of the head: what was synced, and perhaps some of what was being written.
#[derive(Default)]
pub struct Disk {
    pub epoch: u64,
    pub ledger: Ledger,
    /// Written, not synced: entries with whom to tell.
    pub unsynced: Vec<(Entry, Addr, u64)>,
    /// Until then it has no room for what tasks leave behind.
    pub full_until: u64,
}

impl World {
    /// As the supervisor does with every tick: lets the roster know whether the disk has room.
    pub fn look_at_disk(&mut self) -> Result<(), String> {
        let full = (self.now < self.disk.full_until).then_some(DiskRoom { free: 0, total: 1 });
        match &self.head {
            Some(head) if head.roster.disk_full() != full => {
                self.story.full_disks += u64::from(full.is_some());
                self.roster_event(RosterEvent::DiskFull(full))
            }
            _ => Ok(()),
        }
    }

    /// Entries gather until the disk is free; then all of them go in one sync.
    pub fn write(&mut self, entry: Entry, from: Addr, seq: u64) {
        self.disk.unsynced.push((entry, from, seq));
        let Some(head) = &mut self.head else { return };
        if !head.syncing {
            head.syncing = true;
            let slow = self.rng.between(1, 30);
            let epoch = Epoch(self.disk.epoch);
            self.at(self.now + slow, Addr::Journal, Mail::Head(epoch, HeadMail::Synced));
        }
    }

    pub fn synced(&mut self) -> Result<(), String> {
        let written = std::mem::take(&mut self.disk.unsynced);
        if let Some(head) = &mut self.head {
            // What is written because of these goes in a sync of its own.
            head.syncing = false;
        }
        for (entry, from, seq) in written {
            self.oracle.journalled(&entry, &self.disk.ledger);
            let gone = match &entry {
                Entry::JobDeleted { job, at } => self.disk.ledger.jobs.get(job).map(|record| (*job, record.request_id.clone(), *at)),
                _ => None,
            };
            self.disk.ledger.apply(&entry);
            if let Some((job, request_id, at)) = gone {
                self.deleted(job, &request_id, at);
            }
            if let Entry::Job(id, JobEntry::Doomed) = &entry {
                self.is_doomed(*id);
            }
            if let Entry::Job(id, JobEntry::Ended { .. }) = &entry {
                self.oracle.job_ended(&self.disk.ledger.jobs[id], self.now)?;
            }
            match from {
                Addr::World => self.submitted(JobId(seq))?,
                Addr::Job(_) => self.inside(Addr::Journal, from, HeadMail::Job(JobEvent::Durable(seq))),
                _ => {
                    let attaching = self.head.as_mut().and_then(|head| head.attaching.remove(&seq));
                    if let Some((conn, hello, worker)) = attaching {
                        self.inside(Addr::Journal, Addr::Supervisor, HeadMail::Attach(conn, hello, worker));
                    }
                }
            }
        }
        Ok(())
    }

    /// Some of what was written but not synced may have reached the disk, in order.
    pub fn crash_disk(&mut self) {
        let unsynced = std::mem::take(&mut self.disk.unsynced);
        let kept = self.rng.below(unsynced.len() as u64 + 1) as usize;
        for (entry, _, _) in unsynced.into_iter().take(kept) {
            if let Entry::JobDeleted { job, .. } = &entry {
                self.oracle.deleted(*job);
            }
            self.oracle.journalled(&entry, &self.disk.ledger);
            self.disk.ledger.apply(&entry);
        }
    }
}
