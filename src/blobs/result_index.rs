//! Where each task's result lies: one small record per task, at a place that follows from its number.
//!
//! ```text
//! record n, 24 bytes at 24·n: offset u64 │ length u64 │ version u8 │ success u8 │ 0 u16 │ CRC-32 of the bytes before u32
//! ```
//! Little-endian. A record of zeros, or beyond the end of the file, is none: the file is sparse, and grows as results come.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::folder;
use super::sync_mark::SyncMark;
use crate::domain::{Error, ResultRef, TaskNo};
use crate::limits;

const RECORD_BYTES: usize = 24;
const VERSION: u8 = 1;
/// Records in one read.
const READ_MAX_RECORDS: u32 = 4096;

/// A task's result, as the index has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexedResult {
    /// Its record in the segment file.
    pub result: ResultRef,
    /// Whether the task succeeded.
    pub success: bool,
}

/// A job's result index. Shared by threads; two that put the same task at once must agree on who is last.
#[derive(Debug)]
pub struct ResultIndex {
    file: File,
    path: PathBuf,
    mark: SyncMark,
}

impl ResultIndex {
    /// Opens the file, or makes it, durably.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Ok(Self::of(folder::open_or_create(path)?, path))
    }

    /// Opens a file that is there, only to read it.
    pub fn open_to_read(path: &Path) -> Result<Self, Error> {
        Ok(Self::of(File::open(path).map_err(|error| Error::io(path, &error))?, path))
    }

    fn of(file: File, path: &Path) -> Self {
        Self { file, path: path.to_owned(), mark: SyncMark::default() }
    }

    /// Sets a task's result, in place of an earlier round's; durable after the next [`Self::sync`]. `Invalid` above [`limits::JOB_TASKS_MAX`].
    pub fn put(&self, no: TaskNo, indexed: IndexedResult) -> Result<(), Error> {
        check_no(no)?;
        self.file.write_all_at(&to_bytes(indexed), position(no)).map_err(|error| Error::io(&self.path, &error))?;
        self.mark.written();
        Ok(())
    }

    /// The same for some tasks, in any order: neighbours in one write.
    pub fn put_some(&self, mut results: Vec<(TaskNo, IndexedResult)>) -> Result<(), Error> {
        results.iter().try_for_each(|(no, _)| check_no(*no))?;
        results.sort_by_key(|(no, _)| *no);
        for run in results.chunk_by(|(one, _), (next, _)| one.0 + 1 == next.0) {
            let Some((first, _)) = run.first() else { continue };
            let records: Vec<[u8; RECORD_BYTES]> = run.iter().map(|(_, indexed)| to_bytes(*indexed)).collect();
            self.file.write_all_at(records.as_flattened(), position(*first)).map_err(|error| Error::io(&self.path, &error))?;
        }
        if !results.is_empty() {
            self.mark.written();
        }
        Ok(())
    }

    /// The same for many tasks, in any order, a later one in place of an earlier; in few writes. Nobody else may put anything meanwhile.
    pub fn put_all(&self, mut results: Vec<(TaskNo, IndexedResult)>) -> Result<(), Error> {
        results.iter().try_for_each(|(no, _)| check_no(*no))?;
        results.sort_by_key(|(no, _)| *no);
        for block in results.chunk_by(|(one, _), (other, _)| one.0 / READ_MAX_RECORDS == other.0 / READ_MAX_RECORDS) {
            let (Some((first, _)), Some((last, _))) = (block.first(), block.last()) else { continue };
            let mut records = vec![[0; RECORD_BYTES]; (last.0 - first.0) as usize + 1];
            self.fill(records.as_flattened_mut(), position(*first))?;
            for (no, indexed) in block {
                records.get_mut((no.0 - first.0) as usize).into_iter().for_each(|record| *record = to_bytes(*indexed));
            }
            self.file.write_all_at(records.as_flattened(), position(*first)).map_err(|error| Error::io(&self.path, &error))?;
        }
        self.mark.written();
        Ok(())
    }

    /// A task's result, if it has one. `Corrupt` if its record is damaged, as it may be after a crash without [`Self::sync`]: put it again.
    pub fn get(&self, no: TaskNo) -> Result<Option<IndexedResult>, Error> {
        self.read(no, 1)?.pop().unwrap_or(Ok(None))
    }

    /// The results of up to `count` tasks from `first` on, in one read; never more than 4096. Each as from [`Self::get`].
    pub fn read(&self, first: TaskNo, count: u32) -> Result<Vec<Result<Option<IndexedResult>, Error>>, Error> {
        let mut records = vec![[0; RECORD_BYTES]; count.min(READ_MAX_RECORDS) as usize];
        self.fill(records.as_flattened_mut(), position(first))?;
        let parse = |(no, bytes): (u64, &[u8; RECORD_BYTES])| from_bytes(bytes).ok_or_else(|| self.damaged(no));
        Ok((u64::from(first.0)..).zip(&records).map(parse).collect())
    }

    /// Makes everything that was put before this call durable. A failure is for good.
    pub fn sync(&self) -> Result<(), Error> {
        self.mark.sync(&self.file, &self.path)
    }

    /// Reads what there is; the rest of `buf` stays as it is.
    fn fill(&self, buf: &mut [u8], offset: u64) -> Result<(), Error> {
        let mut filled = 0;
        while let Some(rest) = buf.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io(&self.path, &error)),
            }
        }
        Ok(())
    }

    fn damaged(&self, no: u64) -> Error {
        Error::corrupt(format!("{}: the record of task {no} is damaged", self.path.display()))
    }
}

fn check_no(no: TaskNo) -> Result<(), Error> {
    if no.0 < limits::JOB_TASKS_MAX {
        return Ok(());
    }
    Err(Error::invalid(format!("no task {}: a job has at most {} tasks", no.0, limits::JOB_TASKS_MAX)))
}

fn position(no: TaskNo) -> u64 {
    u64::from(no.0) * RECORD_BYTES as u64
}

fn to_bytes(indexed: IndexedResult) -> [u8; RECORD_BYTES] {
    let ResultRef { offset, len } = indexed.result;
    let mut bytes = [0; RECORD_BYTES];
    let fields = [&offset.to_le_bytes()[..], &len.to_le_bytes(), &[VERSION, u8::from(indexed.success), 0, 0]].concat();
    let crc32 = crc32fast::hash(&fields).to_le_bytes();
    bytes.iter_mut().zip(fields.into_iter().chain(crc32)).for_each(|(to, from)| *to = from);
    bytes
}

/// None if the bytes are no record; `Some(None)` if they say that there is none.
fn from_bytes(bytes: &[u8; RECORD_BYTES]) -> Option<Option<IndexedResult>> {
    if bytes == &[0; RECORD_BYTES] {
        return Some(None);
    }
    let (offset, rest) = bytes.split_first_chunk()?;
    let (len, rest) = rest.split_first_chunk()?;
    let result = ResultRef { offset: u64::from_le_bytes(*offset), len: u64::from_le_bytes(*len) };
    let indexed = IndexedResult { result, success: rest.get(1) == Some(&1) };
    (to_bytes(indexed) == *bytes).then_some(Some(indexed))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;
    use crate::domain;

    fn indexed(offset: u64, success: bool) -> IndexedResult {
        IndexedResult { result: ResultRef { offset, len: offset / 3 + 1 }, success }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn many_at_once_are_as_one_after_another(
            before in prop::collection::vec((0u32..9000, 1u64..99), 0..20),
            puts in prop::collection::vec((0u32..9000, 1u64..99, any::<bool>()), 0..60),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let [one, all] = ["one", "all"].map(|name| ResultIndex::open(&folder.path().join(name)).unwrap());
            for (no, offset) in before {
                for index in [&one, &all] {
                    index.put(TaskNo(no), indexed(offset, true)).unwrap();
                }
            }
            let puts: Vec<_> = puts.into_iter().map(|(no, offset, success)| (TaskNo(no), indexed(offset, success))).collect();
            puts.iter().for_each(|(no, indexed)| one.put(*no, *indexed).unwrap());
            all.put_all(puts).unwrap();
            let bytes = ["one", "all"].map(|name| fs::read(folder.path().join(name)).unwrap());
            prop_assert!(bytes[0] == bytes[1]);
        }
    }

    #[test]
    fn a_file_with_few_results_takes_little_room() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir().unwrap();
        let index = ResultIndex::open(&folder.path().join("index")).unwrap();
        let last = TaskNo(limits::JOB_TASKS_MAX - 1);
        index.put(last, indexed(7, true)).unwrap();
        index.sync().unwrap();
        assert_eq!(index.get(last).unwrap(), Some(indexed(7, true)));
        assert_eq!(index.get(TaskNo(1_000_000)).unwrap(), None);
        assert_eq!(index.get(TaskNo(u32::MAX)).unwrap(), None);
        assert!(index.put(TaskNo(limits::JOB_TASKS_MAX), indexed(7, true)).is_err());
        assert!(index.file.metadata().unwrap().blocks() * 512 < 1 << 20);
    }

    #[test]
    fn a_damaged_record_harms_no_other_and_can_be_put_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index");
        let index = ResultIndex::open(&path).unwrap();
        (0..3).for_each(|no| index.put(TaskNo(no), indexed(no.into(), true)).unwrap());
        let mut bytes = fs::read(&path).unwrap();
        for at in 24..48 {
            bytes[at] ^= 0x55;
            fs::write(&path, &bytes).unwrap();
            assert_eq!(index.get(TaskNo(1)).unwrap_err().kind, domain::ErrorKind::Corrupt);
            let found: Vec<_> = index.read(TaskNo(0), 9).unwrap().into_iter().map(|result| result.ok().flatten()).collect();
            assert_eq!(found[..3], [Some(indexed(0, true)), None, Some(indexed(2, true))]);
            bytes[at] ^= 0x55;
        }
        index.put(TaskNo(1), indexed(9, false)).unwrap();
        assert_eq!(index.get(TaskNo(1)).unwrap(), Some(indexed(9, false)));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn the_last_result_put_comes_back(puts in proptest::collection::vec((0..200u32, any::<u64>(), any::<bool>()), 0..200)) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("index");
            let mut model = vec![None; 200];
            let index = ResultIndex::open(&path).unwrap();
            for (no, offset, success) in puts {
                index.put(TaskNo(no), indexed(offset, success)).unwrap();
                model[no as usize] = Some(indexed(offset, success));
            }
            let index = ResultIndex::open(&path).unwrap();
            let found: Vec<_> = index.read(TaskNo(0), 200).unwrap().into_iter().map(Result::unwrap).collect();
            prop_assert_eq!(&found, &model);
            prop_assert_eq!(index.get(TaskNo(199)).unwrap(), model[199]);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("index");
            fs::write(&path, bytes).unwrap();
            let _ = ResultIndex::open(&path).unwrap().read(TaskNo(0), 10).unwrap();
        }
    }
}
