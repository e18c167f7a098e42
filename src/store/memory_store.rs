//! A store for tests: nothing reaches a disk, but it outlives its handles as a disk would.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::contract::{Appended, Loaded, Store};
use super::ledger::{Ledger, admit_len};
use crate::domain::{Epoch, Error};

/// A [`Store`] in memory. A clone is another handle to the same store: a head that starts again, or an earlier one that should be fenced.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore(Arc<Mutex<Contents>>);

#[derive(Debug, Default)]
struct Contents {
    ledger: Ledger,
    snapshot: Option<(u64, Vec<Vec<u8>>)>,
    batches: BTreeMap<u64, Vec<u8>>,
    broken: bool,
}

impl MemoryStore {
    /// From now on every change fails, as on a broken disk.
    pub fn break_down(&self) {
        self.lock().broken = true;
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn working(&self) -> Result<MutexGuard<'_, Contents>, Error> {
        let contents = self.lock();
        if contents.broken { Err(Error::internal("the store failed and takes nothing more")) } else { Ok(contents) }
    }
}

impl Store for MemoryStore {
    fn acquire(&mut self, holder: &str) -> Result<Epoch, Error> {
        let mut contents = self.working()?;
        contents.ledger.epoch = contents.ledger.next_epoch(holder)?;
        Ok(contents.ledger.epoch)
    }

    fn load(&mut self) -> Result<Loaded, Error> {
        let contents = self.working()?;
        let above = contents.ledger.covered.saturating_add(1);
        let tail = contents.batches.range(above..).map(|(seq, batch)| (*seq, batch.clone())).collect();
        Ok(Loaded { snapshot: contents.snapshot.clone(), tail })
    }

    fn append(&mut self, epoch: Epoch, seq: u64, batch: &[u8]) -> Result<Appended, Error> {
        let mut contents = self.working()?;
        let admitted = contents.ledger.admit_append(epoch, seq, batch.len())?;
        if admitted == Appended::Durable {
            contents.batches.insert(seq, batch.to_vec());
            contents.ledger.last = seq;
        }
        Ok(admitted)
    }

    fn snapshot(&mut self, epoch: Epoch, seq: u64, parts: &mut dyn Iterator<Item = Vec<u8>>) -> Result<Appended, Error> {
        let mut contents = self.working()?;
        let admitted = contents.ledger.admit_snapshot(epoch, seq)?;
        if admitted == Appended::Durable {
            let parts = parts.map(|part| admit_len(part.len()).map(|()| part)).collect::<Result<_, _>>()?;
            contents.snapshot = Some((seq, parts));
            contents.ledger.covered = seq;
        }
        Ok(admitted)
    }

    fn truncate(&mut self, epoch: Epoch, up_to_seq: u64) -> Result<Appended, Error> {
        let mut contents = self.working()?;
        let admitted = contents.ledger.admit_truncate(epoch, up_to_seq)?;
        if admitted == Appended::Durable {
            contents.batches.retain(|seq, _| *seq > up_to_seq);
        }
        Ok(admitted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance;

    #[test]
    fn it_is_a_store() {
        conformance::run(|| {
            let store = MemoryStore::default();
            move || Box::new(store.clone()) as Box<dyn Store>
        });
    }

    #[test]
    fn another_handle_fences_the_first() {
        let mut old = MemoryStore::default();
        let mut new = old.clone();
        let old_epoch = old.acquire("old").unwrap();
        let new_epoch = new.acquire("new").unwrap();
        conformance::durable(new.append(new_epoch, 1, b"new"));
        assert_eq!(old.append(old_epoch, 2, b"old").unwrap(), Appended::Fenced);
        assert_eq!(old.load().unwrap().tail, [(1, b"new".to_vec())]);
    }

    #[test]
    fn a_broken_one_refuses() {
        let mut store = MemoryStore::default();
        let epoch = store.acquire("head").unwrap();
        store.break_down();
        assert!(store.append(epoch, 1, b"one").is_err() && store.load().is_err());
    }
}
