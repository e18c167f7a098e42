//! What a store holds, damaged or not: all that can be read, and a word about all that can't.

use std::fmt;
use std::fs;
use std::path::Path;

use super::high_water::HighWater;
use super::keys;
use super::parts::{Assembly, Whole};
use super::sled_file::SledFile;
use super::sled_store::{parse, read_current, read_epoch};
use crate::domain::{Epoch, Error};

/// Where a value lies in a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A part of the snapshot.
    Part(u32),
    /// A batch.
    Batch(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Part(no) => write!(f, "snapshot part {no}"),
            Self::Batch(seq) => write!(f, "journal batch {seq}"),
        }
    }
}

/// What was found.
#[derive(Debug, Default)]
pub struct Survey {
    /// The last epoch that is known of.
    pub epoch: Epoch,
    /// The parts of the snapshot, then the batches after it, without those that can't be read.
    pub values: Vec<(Place, Vec<u8>)>,
    /// What can't be read, each with its place.
    pub findings: Vec<Error>,
}

impl Survey {
    /// Looks at the store of a data folder and leaves it as it is: sled tidies up what it opens, so it is given a copy, in the new folder
    /// `scratch`. The caller holds the data folder's lock, and removes `scratch`.
    pub fn of(data_folder: &Path, scratch: &Path) -> Result<Self, Error> {
        copy_folder(&data_folder.join("store"), scratch)?;
        let mut survey = Self::default();
        // From here on every error is a finding: the rest of the data folder can be looked at all the same.
        match SledFile::open(scratch) {
            Ok(mut file) => survey.read(&mut file, HighWater::read(data_folder)),
            Err(error) => survey.findings.push(error),
        }
        Ok(survey)
    }

    fn read(&mut self, file: &mut SledFile, written: HighWater) {
        let epoch = self.noted(read_epoch(file));
        let current = self.noted(read_current(file));
        // Without the record: the newest snapshot, and all batches.
        let newest = |file: &mut SledFile| Some(keys::parse_snapshot(&file.last_key(keys::snapshots()).ok()??)?.0);
        let id = current.map_or_else(|| newest(file), |current| current.map(|current| current.id));
        if let Some(id) = id {
            let parts = self
                .values_of(file, keys::snapshot_pieces(id), |key| keys::parse_snapshot(key).map(|(_, part, no)| (Place::Part(part), no)));
            let count = current.flatten().map_or(0, |current| current.parts);
            self.missing(0..u64::from(count), &parts, |no| Place::Part(no as u32));
            self.keep(parts, None);
        }
        let covered = current.flatten().map_or(0, |current| current.seq);
        let batches =
            self.values_of(file, keys::batches_above(covered), |key| keys::parse_batch(key).map(|(seq, no)| (Place::Batch(seq), no)));
        let last = match batches.last() {
            Some((Place::Batch(seq), _)) => *seq,
            _ => covered,
        };
        // Without the record nobody knows which batch is the first.
        if current.is_some() {
            self.missing(covered + 1..last.saturating_add(1), &batches, Place::Batch);
        }
        // A last one that is cut short is no damage if it was acknowledged to nobody.
        self.keep(batches, Some(Place::Batch(last)).filter(|_| last > written.last));
        self.noted(written.admit(epoch.unwrap_or(written.epoch), last));
        self.epoch = epoch.unwrap_or_default().max(written.epoch);
    }

    /// The values of a range, whole or not, in order.
    fn values_of(
        &mut self,
        file: &mut SledFile,
        range: std::ops::Range<Vec<u8>>,
        place_of: impl Fn(&[u8]) -> Option<(Place, u32)>,
    ) -> Vec<(Place, Result<Assembly, Error>)> {
        let mut values: Vec<(Place, Result<Assembly, Error>)> = Vec::new();
        let scanned = file.scan(range, |key, piece| {
            let (place, no) = parse(place_of(key))?;
            if values.last().is_none_or(|(last, _)| *last != place) {
                values.push((place, Ok(Assembly::default())));
            }
            if let Some((_, value)) = values.last_mut()
                && let Ok(assembly) = value
                && let Err(error) = assembly.push(no, piece)
            {
                *value = Err(error);
            }
            Ok(())
        });
        self.noted(scanned);
        values
    }

    fn missing<T>(&mut self, expected: std::ops::Range<u64>, found: &[(Place, T)], place: impl Fn(u64) -> Place) {
        let mut found = found.iter().map(|(place, _)| *place).peekable();
        for place in expected.map(place) {
            if found.next_if_eq(&place).is_none() {
                self.findings.push(Error::corrupt(format!("{place} is missing")));
            }
        }
    }

    /// Keeps what is whole. Only `torn` may be cut short.
    fn keep(&mut self, values: Vec<(Place, Result<Assembly, Error>)>, torn: Option<Place>) {
        for (place, value) in values {
            match value.map(Assembly::finish) {
                Ok(Whole::Yes(bytes)) => self.values.push((place, bytes)),
                Ok(Whole::Cut) if torn == Some(place) => {}
                Ok(Whole::Cut | Whole::Hole) => self.findings.push(Error::corrupt(format!("{place} is incomplete"))),
                Err(error) => self.findings.push(error.context(place)),
            }
        }
    }

    fn noted<T>(&mut self, result: Result<T, Error>) -> Option<T> {
        result.map_err(|error| self.findings.push(error)).ok()
    }
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), Error> {
    fs::create_dir(to).map_err(|error| Error::io(to, &error))?;
    for entry in fs::read_dir(from).map_err(|error| Error::io(from, &error))? {
        let entry = entry.map_err(|error| Error::io(from, &error))?;
        let (path, copy) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy_folder(&path, &copy)?;
        } else {
            fs::copy(&path, &copy).map_err(|error| Error::io(&path, &error))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;
    use crate::store::conformance::durable;
    use crate::store::{SledStore, Store};

    /// A snapshot of two parts up to batch 1, and batches 2 to 4, in which something was done behind the store's back.
    fn surveyed(tamper: impl FnOnce(&mut SledFile)) -> (Vec<String>, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let mut store = SledStore::open(folder.path()).unwrap();
        let epoch = store.acquire("test").unwrap();
        durable(store.append(epoch, 1, b"one"));
        durable(store.snapshot(epoch, 1, &mut [vec![1; 10], vec![2; 20_000]].into_iter()));
        durable(store.truncate(epoch, 1));
        (2..=4).for_each(|seq| durable(store.append(epoch, seq, &[seq as u8; 20_000])));
        drop(store);
        let mut file = SledFile::open(&folder.path().join("store")).unwrap();
        tamper(&mut file);
        file.commit().unwrap();
        drop(file);
        let survey = Survey::of(folder.path(), &folder.path().join("scratch")).unwrap();
        let places = survey.values.iter().map(|(place, _)| place.to_string()).collect();
        (places, survey.findings.iter().map(ToString::to_string).collect())
    }

    const PLACES: [&str; 5] = ["snapshot part 0", "snapshot part 1", "journal batch 2", "journal batch 3", "journal batch 4"];

    #[test]
    fn a_whole_store_is_read_whole() {
        assert_eq!(surveyed(|_| {}), (PLACES.map(str::to_owned).to_vec(), vec![]));
    }

    #[test]
    fn around_damage_all_the_rest_is_read() {
        let (kept, said) = surveyed(|file| {
            file.remove([keys::batch(3, 1), keys::snapshot(1, 0, 0)]).unwrap();
            file.insert(&keys::batch(2, 0), vec![1, 2, 3, 4, 5, 6]).unwrap();
        });
        assert_eq!(kept, [PLACES[1], PLACES[4]]);
        assert_eq!(said[..1], ["snapshot part 0 is missing"]);
        assert!(said[1].starts_with("journal batch 2: stored record is damaged"), "{said:?}");
        assert_eq!(said[2..], ["journal batch 3 is incomplete"]);
    }

    #[test]
    fn a_torn_tail_is_no_damage_unless_it_was_acknowledged_and_a_lost_record_hides_nothing() {
        let (kept, said) = surveyed(|file| file.insert(&keys::batch(5, 0), codec::seal(1, b"\0begun")).unwrap());
        assert_eq!((kept.as_slice(), said.len()), (&PLACES.map(str::to_owned)[..], 0));
        let (_, said) = surveyed(|file| file.remove([keys::batch(4, 3)]).unwrap());
        assert_eq!(said, ["journal batch 4 is incomplete"], "it was acknowledged");
        let (_, said) = surveyed(|file| file.remove((0..4).flat_map(|no| [keys::batch(3, no), keys::batch(4, no)])).unwrap());
        assert_eq!(said, ["journal batch 3 is missing, and so are all up to batch 4, the last that was written"]);
        let (kept, said) = surveyed(|file| file.remove([keys::CURRENT.to_vec(), keys::EPOCH.to_vec()]).unwrap());
        assert_eq!(kept, PLACES);
        assert_eq!(said, ["the record of the epoch is missing", "the record of the current snapshot is missing"]);
    }
}
