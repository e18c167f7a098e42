//! The Journal: makes facts durable, many in one sync, and keeps what they add up to. Child of the HeadRoot, which stops the head if it fails.
//!
//! While one batch is on its way to the disk the next one gathers; ends of tasks, for which nobody waits, a little longer. A batch's order on
//! disk: first the result bytes that its entries refer to, then the batch; only then is anybody told. So an acknowledged result is there after
//! any crash.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ractor::{Actor, ActorProcessingErr, ActorRef};

use crate::codec;
use crate::domain::entry::{ENTRY_VERSION, Entry, JobEntry};
use crate::domain::{Epoch, Error, JobId, TaskEnd};
use crate::engine::ledger::LedgerPart;
use crate::engine::{Ledger, Meters};
use crate::failpoint;
use crate::limits;
use crate::store::{Appended, BATCH_MAX_BYTES, Store};

use super::job_store::JobStore;
use super::reminder::Reminder;

/// Told once an entry is durable.
pub type Done = Box<dyn FnOnce() + Send>;

/// A batch stays below this, so that it surely fits a store's.
const BATCH_TARGET_BYTES: usize = BATCH_MAX_BYTES / 2;

/// Ends of tasks gather for so long since the last batch: a worker keeps a result a moment longer, and the disk syncs many at once.
const GATHER_FOR: Duration = Duration::from_millis(32);

/// What the journal is told.
pub enum JournalMsg {
    /// Make these durable, then tell.
    Append {
        /// The facts, in order.
        entries: Vec<Entry>,
        /// Files that must be synced before them.
        files: Option<Arc<JobStore>>,
        /// Whom to tell.
        done: Option<Done>,
    },
    /// Look at what is durable.
    Read(Box<dyn FnOnce(&Ledger) + Send>),
    /// What has gathered goes to the disk.
    Due,
    /// A batch is on disk, or not.
    Committed(Box<Committed>),
    /// A file that entries refer to could not be synced.
    SyncFailed(Error),
}

/// The store comes back from the disk thread.
pub struct Committed {
    store: Box<dyn Store>,
    outcome: Result<Appended, Error>,
    batch: Vec<Pending>,
}

struct Pending {
    entry: Entry,
    files: Option<Arc<JobStore>>,
    done: Option<Done>,
}

/// What the journal starts from.
pub struct JournalArgs {
    /// The store, with the epoch acquired.
    pub store: Box<dyn Store>,
    /// Ours.
    pub epoch: Epoch,
    /// The number of the last batch.
    pub last_seq: u64,
    /// What is in the store.
    pub ledger: Ledger,
    /// Where batches are counted.
    pub meters: Arc<Meters>,
}

/// The journal's state.
pub struct JournalState {
    store: Option<Box<dyn Store>>,
    epoch: Epoch,
    last_seq: u64,
    last_snapshot: u64,
    /// Entries in the batches behind the last snapshot.
    entries_since: usize,
    ledger: Ledger,
    pending: Vec<Pending>,
    /// Somebody waits for some of these.
    urgent: bool,
    /// When the last batch went out.
    last_batch: Option<Instant>,
    /// Of [`JournalMsg::Due`].
    due: Reminder,
    /// Jobs whose result index must be synced before the next snapshot.
    unsynced: BTreeMap<JobId, Arc<JobStore>>,
    meters: Arc<Meters>,
}

/// See the module.
pub struct Journal;

/// What a store adds up to.
pub struct Replayed {
    /// All durable state.
    pub ledger: Ledger,
    /// The number of the last batch.
    pub last_seq: u64,
    /// The task ends behind the snapshot: where their results lie must be noted again.
    pub ends: Vec<(JobId, TaskEnd)>,
}

/// Reads a store: the snapshot and what came after it.
pub fn load(store: &mut dyn Store) -> Result<Replayed, Error> {
    let loaded = store.load()?;
    let mut ledger = Ledger::default();
    let mut last_seq = 0;
    if let Some((seq, parts)) = loaded.snapshot {
        last_seq = seq;
        for (no, part) in parts.iter().enumerate() {
            ledger.put(decode::<LedgerPart>(part).map_err(|error| error.context(format!("part {no} of the snapshot up to batch {seq}")))?);
        }
    }
    let mut ends = Vec::new();
    for (seq, batch) in loaded.tail {
        last_seq = seq;
        for entry in decode::<Vec<Entry>>(&batch).map_err(|error| error.context(format!("journal batch {seq}")))? {
            if let Entry::Job(job, JobEntry::TaskEnded(end)) = &entry {
                ends.push((*job, end.clone()));
            }
            ledger.apply(&entry);
        }
    }
    Ok(Replayed { ledger, last_seq, ends })
}

/// Reads a value of the journal.
pub(super) fn decode<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    let (version, value) = codec::decode(bytes, BATCH_MAX_BYTES)?;
    if version != ENTRY_VERSION {
        return Err(Error::corrupt(format!(
            "the journal is of version {version}, this head reads {ENTRY_VERSION}: use the head that wrote it"
        )));
    }
    Ok(value)
}

/// Writes a snapshot of the ledger and drops the batches that it covers.
pub fn snapshot(store: &mut dyn Store, epoch: Epoch, seq: u64, ledger: &Ledger) -> Result<(), Error> {
    failpoint::hit("snapshot.before_write");
    // All of it before the first goes out: a snapshot that lacks a part would take the place of a whole one.
    let parts: Vec<Vec<u8>> = ledger.parts().map(|part| codec::encode(ENTRY_VERSION, &part)).collect::<Result<_, Error>>()?;
    fenced(store.snapshot(epoch, seq, &mut parts.into_iter())?)?;
    failpoint::hit("snapshot.before_truncate");
    fenced(store.truncate(epoch, seq)?)
}

fn fenced(appended: Appended) -> Result<(), Error> {
    match appended {
        Appended::Durable => Ok(()),
        Appended::Fenced => Err(Error::conflict("another head has taken over this journal: this one stops")),
    }
}

impl Actor for Journal {
    type Msg = JournalMsg;
    type State = JournalState;
    type Arguments = JournalArgs;

    async fn pre_start(&self, _: ActorRef<JournalMsg>, args: JournalArgs) -> Result<JournalState, ActorProcessingErr> {
        Ok(JournalState {
            store: Some(args.store),
            epoch: args.epoch,
            last_seq: args.last_seq,
            last_snapshot: args.last_seq,
            entries_since: 0,
            ledger: args.ledger,
            pending: Vec::new(),
            urgent: false,
            last_batch: None,
            due: Reminder::default(),
            unsynced: BTreeMap::new(),
            meters: args.meters,
        })
    }

    async fn handle(&self, myself: ActorRef<JournalMsg>, message: JournalMsg, state: &mut JournalState) -> Result<(), ActorProcessingErr> {
        match message {
            JournalMsg::Append { entries, files, done } => {
                state.urgent |= entries.iter().any(|entry| !matches!(entry, Entry::Job(_, JobEntry::TaskEnded(_))));
                state.pending.extend(entries.into_iter().map(|entry| Pending { entry, files: files.clone(), done: None }));
                if let Some(last) = state.pending.last_mut() {
                    last.done = done;
                }
            }
            JournalMsg::Due => state.due.came(),
            JournalMsg::Read(look) => look(&state.ledger),
            JournalMsg::Committed(committed) => state.committed(*committed)?,
            JournalMsg::SyncFailed(error) => return Err(error.into()),
        }
        state.commit(&myself);
        Ok(())
    }
}

impl JournalState {
    /// Sends what has gathered to the disk, if it is free.
    fn commit(&mut self, myself: &ActorRef<JournalMsg>) {
        if self.pending.is_empty() || self.store.is_none() {
            return;
        }
        let gathers = self.last_batch.map(|last| GATHER_FOR.saturating_sub(last.elapsed())).filter(|wait| !self.urgent && !wait.is_zero());
        if let Some(wait) = gathers {
            return self.due.ask(myself, wait, || JournalMsg::Due);
        }
        let Some(mut store) = self.store.take() else { return };
        let batch = self.take_batch();
        self.last_batch = Some(Instant::now());
        // What is left of it goes with the next batch, at once.
        self.urgent &= !self.pending.is_empty();
        let (epoch, seq) = (self.epoch, self.last_seq + 1);
        let is_long = seq - self.last_snapshot > limits::SNAPSHOT_EVERY_BATCHES || self.entries_since >= limits::SNAPSHOT_EVERY_ENTRIES;
        let parts = is_long.then(|| self.ledger.clone());
        let indexes = if parts.is_some() { std::mem::take(&mut self.unsynced) } else { BTreeMap::new() };
        if parts.is_some() {
            self.last_snapshot = seq - 1;
            self.entries_since = 0;
        }
        self.entries_since += batch.len();
        let (myself, meters) = (myself.clone(), self.meters.clone());
        tokio::task::spawn_blocking(move || {
            let began = Instant::now();
            let outcome = write(store.as_mut(), epoch, seq, &batch, parts, indexes, &meters);
            meters.journal_sync.took(began.elapsed());
            // Fails only when the journal is gone, and then nobody waits.
            let _ = myself.cast(JournalMsg::Committed(Box::new(Committed { store, outcome, batch })));
        });
    }

    fn take_batch(&mut self) -> Vec<Pending> {
        let mut bytes = 0;
        let size = |pending: &Pending| match &pending.entry {
            Entry::JobSubmitted(_) | Entry::JobAccepted(..) | Entry::Job(_, JobEntry::RetriedWith { .. }) => 4 * limits::COMMAND_MAX_BYTES,
            Entry::Deleted(_) => 4096,
            _ => 1024,
        };
        let fits = self.pending.iter().take(limits::COMMIT_ENTRIES_MAX).take_while(|pending| {
            bytes += size(pending);
            bytes <= BATCH_TARGET_BYTES
        });
        let count = fits.count().max(1);
        let rest = self.pending.split_off(count);
        std::mem::replace(&mut self.pending, rest)
    }

    fn committed(&mut self, committed: Committed) -> Result<(), ActorProcessingErr> {
        let Committed { store, outcome, batch } = committed;
        fenced(outcome?)?;
        self.store = Some(store);
        self.last_seq += 1;
        self.count(&batch);
        for pending in batch {
            self.ledger.apply(&pending.entry);
            if let Some(files) = pending.files {
                self.unsynced.insert(files.job, files);
            }
            if let Some(done) = pending.done {
                done();
            }
        }
        Ok(())
    }

    fn count(&self, batch: &[Pending]) {
        let ends = |success: bool| {
            let is_one = |pending: &&Pending| matches!(&pending.entry, Entry::Job(_, JobEntry::TaskEnded(end)) if end.success == success);
            batch.iter().filter(is_one).count() as u64
        };
        self.meters.succeeded.add(ends(true));
        self.meters.failed.add(ends(false));
        self.meters.journal_batch.observe(batch.len() as u64);
    }
}

fn write(
    store: &mut dyn Store,
    epoch: Epoch,
    seq: u64,
    batch: &[Pending],
    before: Option<Ledger>,
    indexes: BTreeMap<JobId, Arc<JobStore>>,
    meters: &Meters,
) -> Result<Appended, Error> {
    if let Some(ledger) = before {
        indexes.values().try_for_each(|files| files.index.sync())?;
        snapshot(store, epoch, seq - 1, &ledger)?;
    }
    failpoint::hit("segment.before_sync");
    let files: BTreeMap<JobId, &Arc<JobStore>> =
        batch.iter().filter_map(|pending| pending.files.as_ref()).map(|files| (files.job, files)).collect();
    files.values().try_for_each(|files| files.segment.sync().and_then(|()| files.attempts.sync()))?;
    let entries: Vec<&Entry> = batch.iter().map(|pending| &pending.entry).collect();
    failpoint::hit("journal.before_append");
    let bytes = codec::encode(ENTRY_VERSION, &entries)?;
    let appended = store.append(epoch, seq, &bytes);
    meters.journal_written_bytes.add(bytes.len() as u64);
    failpoint::hit("journal.before_acknowledge");
    appended
}

/// The journal as the other actors use it.
#[derive(Clone)]
pub struct JournalRef {
    actor: ActorRef<JournalMsg>,
    /// For log lines of entries that came too late.
    data_dir: Arc<PathBuf>,
}

impl JournalRef {
    /// Of a running journal.
    pub fn new(actor: ActorRef<JournalMsg>, data_dir: Arc<PathBuf>) -> Self {
        Self { actor, data_dir }
    }

    /// The data folder that the journal lies in.
    pub fn data_dir(&self) -> &std::path::Path {
        &self.data_dir
    }

    /// Makes an entry durable, then calls `done`. If the journal has failed `done` is never called: nothing is acknowledged.
    pub fn append(&self, entry: Entry, files: Option<Arc<JobStore>>, done: impl FnOnce() + Send + 'static) {
        self.append_all(vec![entry], files, done);
    }

    /// The same for some entries, in order; at least one.
    pub fn append_all(&self, entries: Vec<Entry>, files: Option<Arc<JobStore>>, done: impl FnOnce() + Send + 'static) {
        let _ = self.actor.cast(JournalMsg::Append { entries, files, done: Some(Box::new(done)) });
    }

    /// A file that entries refer to, or would, could not be synced, which is for good: the journal fails, and the head stops.
    pub fn sync_failed(&self, error: Error) {
        let _ = self.actor.cast(JournalMsg::SyncFailed(error));
    }

    /// Looks at what is durable.
    pub async fn read<T: Send + 'static>(&self, look: impl FnOnce(&Ledger) -> T + Send + 'static) -> Result<T, Error> {
        super::ask::ask(&self.actor, |port| {
            JournalMsg::Read(Box::new(move |ledger| {
                let _ = port.send(look(ledger));
            }))
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ErrorKind;
    use crate::store::MemoryStore;

    #[test]
    fn what_can_not_be_read_is_named_by_its_place() {
        let mut store = MemoryStore::default();
        let epoch = store.acquire("test").unwrap();
        let good = codec::encode(ENTRY_VERSION, &Vec::<Entry>::new()).unwrap();
        assert_eq!(store.append(epoch, 1, &good).unwrap(), Appended::Durable);
        assert_eq!(load(&mut store).map(|replayed| replayed.last_seq), Ok(1));
        assert_eq!(store.append(epoch, 2, b"nonsense").unwrap(), Appended::Durable);
        let error = load(&mut store).map(|_| ()).unwrap_err();
        assert!(error.kind == ErrorKind::Corrupt && error.message.starts_with("journal batch 2: "), "{error}");
        let worker = LedgerPart::Worker(
            crate::domain::WorkerInfo {
                id: Default::default(),
                key: String::new(),
                host: String::new(),
                slots: 1,
                total: Default::default(),
            },
            true,
        );
        let parts = [codec::encode(ENTRY_VERSION, &worker).unwrap(), b"nonsense".to_vec()];
        assert_eq!(store.snapshot(epoch, 2, &mut parts.into_iter()).unwrap(), Appended::Durable);
        let error = load(&mut store).map(|_| ()).unwrap_err();
        assert!(error.kind == ErrorKind::Corrupt && error.message.starts_with("part 1 of the snapshot up to batch 2: "), "{error}");
    }
}
