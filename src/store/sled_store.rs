//! The default store: sled, in the data folder.
//!
//! A batch lies in pieces ([`super::parts`]) under its number. A batch that was being written when the head died has no last piece: it was
//! acknowledged to nobody and is cut off at the next open. A snapshot lies under an id of its own; the record `current` names the valid one,
//! so that writing that record is the moment when a new snapshot takes the old one's place.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::contract::{Appended, Loaded, Store};
use super::disk_sync::create_folder;
use super::folder_lock::FolderLock;
use super::high_water::{HighWater, HighWaterFile};
use super::keys;
use super::ledger::{Ledger, admit_len};
use super::parts::{Assembly, Series, Whole, pieces};
use super::sled_file::SledFile;
use crate::codec;
use crate::domain::{Epoch, Error};
use crate::failpoint;
use crate::limits;

const VERSION: u8 = 1;
/// A record other than a piece.
const RECORD_MAX_BYTES: usize = 1024;

/// Which snapshot is valid.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Current {
    /// Its id; only grows.
    pub id: u64,
    /// The last batch that it stands for.
    pub seq: u64,
    /// How many parts it has.
    pub parts: u32,
}

/// A [`Store`] in `<data folder>/store`. One process at a time.
pub struct SledStore {
    file: SledFile,
    ledger: Ledger,
    current: Option<Current>,
    mark: HighWaterFile,
    _lock: FolderLock,
}

impl SledStore {
    /// Opens or makes the store of a data folder, and cuts off a batch or a snapshot whose writing was cut short.
    ///
    /// `Conflict` while another head uses the folder, `Corrupt` where sled or a record of ours is damaged. Removes nothing then.
    pub fn open(data_folder: &Path) -> Result<Self, Error> {
        create_folder(data_folder)?;
        let lock = FolderLock::take(data_folder)?;
        let mut file = SledFile::open(&data_folder.join("store"))?;
        let epoch = read_epoch(&mut file)?;
        let current = read_current(&mut file)?;
        let covered = current.map_or(0, |current| current.seq);
        let written = HighWater::read(data_folder);
        let mark = HighWaterFile::open(data_folder)?;
        let mut store = Self { file, ledger: Ledger { epoch, last: covered, covered }, current, mark, _lock: lock };
        store.find_last_batch(written)?;
        store.drop_other_snapshots()?;
        store.file.commit()?;
        Ok(store)
    }

    /// As [`Store::acquire`], in a store that takes the place of one that had come to epoch `before`.
    pub fn acquire_after(&mut self, before: Epoch, holder: &str) -> Result<Epoch, Error> {
        self.ledger.epoch = self.ledger.epoch.max(before);
        self.acquire(holder)
    }

    /// Finds the last batch, and cuts it off if it is torn; `Corrupt` if it was acknowledged, or later ones were.
    fn find_last_batch(&mut self, written: HighWater) -> Result<(), Error> {
        let epoch = self.ledger.epoch;
        let Some(key) = self.file.last_key(keys::batches_above(self.ledger.covered))? else {
            return written.admit(epoch, self.ledger.last);
        };
        let (seq, _) = parse(keys::parse_batch(&key))?;
        let mut assembly = Assembly::default();
        self.file
            .scan(keys::batches_above(seq - 1), |key, piece| assembly.push(parse(keys::parse_batch(key))?.1, piece))
            .map_err(|error| error.context(format!("journal batch {seq}")))?;
        let torn = assembly.finish() == Whole::Cut;
        if torn && seq <= written.last {
            return Err(Error::corrupt(format!("journal batch {seq} is incomplete")));
        }
        self.ledger.last = seq - u64::from(torn);
        written.admit(epoch, self.ledger.last)?;
        if torn {
            let torn = self.file.keys(keys::batches_above(seq - 1))?;
            tracing::warn!(batch = seq, "the last journal batch was never finished: cut off");
            self.file.remove(torn)?;
        }
        Ok(())
    }

    fn drop_other_snapshots(&mut self) -> Result<(), Error> {
        // Ids begin at 1.
        for others in keys::other_snapshots(self.current.map_or(0, |current| current.id)) {
            let others = self.file.keys(others)?;
            self.file.remove(others)?;
        }
        Ok(())
    }

    fn load_snapshot(&mut self, current: Current) -> Result<Vec<Vec<u8>>, Error> {
        let mut parts = Series::new("part", 0);
        self.file
            .scan(keys::snapshot_pieces(current.id), |key, piece| {
                let (_, part, no) = parse(keys::parse_snapshot(key))?;
                parts.push(u64::from(part), no, piece)
            })
            .and_then(|()| parts.finish(u64::from(current.parts)))
            .map(|parts| parts.into_iter().map(|(_, part)| part).collect())
            .map_err(|error| error.context(format!("the snapshot up to batch {}", current.seq)))
    }

    fn load_tail(&mut self) -> Result<Vec<(u64, Vec<u8>)>, Error> {
        let Ledger { covered, last, .. } = self.ledger;
        let mut batches = Series::new("journal batch", covered.saturating_add(1));
        self.file.scan(keys::batches_above(covered), |key, piece| {
            let (seq, no) = parse(keys::parse_batch(key))?;
            batches.push(seq, no, piece)
        })?;
        batches.finish(last.saturating_add(1))
    }

    fn write_snapshot(&mut self, id: u64, parts: &mut dyn Iterator<Item = Vec<u8>>) -> Result<u32, Error> {
        let mut count = 0u32;
        for part in parts {
            admit_len(part.len())?;
            for (no, piece) in (0..).zip(pieces(&part)) {
                self.file.insert(&keys::snapshot(id, count, no), piece)?;
            }
            count = count.checked_add(1).ok_or_else(|| Error::exhausted(format!("a snapshot has at most {} parts", u32::MAX)))?;
        }
        Ok(count)
    }
}

impl Store for SledStore {
    fn acquire(&mut self, holder: &str) -> Result<Epoch, Error> {
        let epoch = self.ledger.next_epoch(holder)?;
        self.file.insert(keys::EPOCH, codec::encode(VERSION, &(epoch, holder))?)?;
        self.file.commit()?;
        self.ledger.epoch = epoch;
        self.mark.put(HighWater { epoch, last: self.ledger.last })?;
        Ok(epoch)
    }

    fn load(&mut self) -> Result<Loaded, Error> {
        let snapshot = match self.current {
            Some(current) => Some((current.seq, self.load_snapshot(current)?)),
            None => None,
        };
        Ok(Loaded { snapshot, tail: self.load_tail()? })
    }

    fn append(&mut self, epoch: Epoch, seq: u64, batch: &[u8]) -> Result<Appended, Error> {
        if self.ledger.admit_append(epoch, seq, batch.len())? == Appended::Fenced {
            return Ok(Appended::Fenced);
        }
        for (no, piece) in (0..).zip(pieces(batch)) {
            self.file.insert(&keys::batch(seq, no), piece)?;
        }
        self.file.commit()?;
        self.ledger.last = seq;
        self.mark.put(HighWater { epoch, last: seq })?;
        Ok(Appended::Durable)
    }

    fn snapshot(&mut self, epoch: Epoch, seq: u64, parts: &mut dyn Iterator<Item = Vec<u8>>) -> Result<Appended, Error> {
        if self.ledger.admit_snapshot(epoch, seq)? == Appended::Fenced {
            return Ok(Appended::Fenced);
        }
        // What a refused snapshot left behind would mix with this one.
        self.drop_other_snapshots()?;
        let id = self.current.map_or(1, |current| current.id.saturating_add(1));
        let parts = self.write_snapshot(id, parts)?;
        self.file.commit()?;
        failpoint::hit("snapshot.before_switch");
        let current = Current { id, seq, parts };
        self.file.insert(keys::CURRENT, codec::encode(VERSION, &current)?)?;
        self.file.commit()?;
        self.current = Some(current);
        self.ledger.covered = seq;
        self.drop_other_snapshots()?;
        Ok(Appended::Durable)
    }

    fn truncate(&mut self, epoch: Epoch, up_to_seq: u64) -> Result<Appended, Error> {
        if self.ledger.admit_truncate(epoch, up_to_seq)? == Appended::Fenced {
            return Ok(Appended::Fenced);
        }
        let covered = self.file.keys(keys::batches_up_to(up_to_seq))?;
        self.file.remove(covered)?;
        self.file.commit()?;
        Ok(Appended::Durable)
    }
}

/// The last epoch; 0 in a new store. `Corrupt` if only its record is gone: an epoch used twice would fence nobody.
pub(super) fn read_epoch(file: &mut SledFile) -> Result<Epoch, Error> {
    let what = "the record of the epoch";
    match read::<(Epoch, String)>(file, keys::EPOCH).map_err(|error| error.context(what))? {
        Some((epoch, _)) => Ok(epoch),
        None if file.last_key(keys::ALL)?.is_none() => Ok(Epoch::default()),
        None => Err(Error::corrupt(format!("{what} is missing"))),
    }
}

/// Which snapshot is valid. `Corrupt` if its record is gone: without it a snapshot would pass for one whose writing was cut short.
pub(super) fn read_current(file: &mut SledFile) -> Result<Option<Current>, Error> {
    let what = "the record of the current snapshot";
    let current = read::<Current>(file, keys::CURRENT).map_err(|error| error.context(what))?;
    if current.is_none()
        && let Some(key) = file.last_key(keys::snapshots())?
    {
        // The first snapshot, cut short, lies beside all batches.
        let first_batch = file.keys(keys::batches_up_to(1))?;
        if parse(keys::parse_snapshot(&key))?.0 > 1 || first_batch.is_empty() {
            return Err(Error::corrupt(format!("{what} is missing")));
        }
    }
    Ok(current)
}

/// A record of ours, if it is there.
fn read<T: serde::de::DeserializeOwned>(file: &mut SledFile, key: &[u8]) -> Result<Option<T>, Error> {
    let Some(bytes) = file.get(key)? else { return Ok(None) };
    let (version, body) = codec::open(&bytes)?;
    if version != VERSION {
        return Err(Error::conflict(format!(
            "the store was written in version {version}, newer than {VERSION}: use a newer millpond-head"
        )));
    }
    codec::decode_body(body, RECORD_MAX_BYTES + limits::NAME_MAX_BYTES).map(Some)
}

pub(super) fn parse<T>(key: Option<T>) -> Result<T, Error> {
    key.ok_or_else(|| Error::corrupt("the store holds a key that is none of its own"))
}

#[cfg(test)]
mod tests;
