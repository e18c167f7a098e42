//! One file per job that holds what its tasks left behind, record after record.
//!
//! ```text
//! magic "mpR1" │ length of the description u32, little-endian │ description: a frame of `codec/` │ packed bytes
//! ```
//! The frame carries the checksum of the description; each entry in it has that of its unpacked bytes. Ranges are given out under way, so
//! records of several threads may be written at once. A range whose writing was cut short stays as a hole that nothing refers to.

use std::fs::File;
use std::io::IoSlice;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::pwritev;

use super::folder;
use super::reservation::Reservation;
use super::sync_mark::SyncMark;
use crate::codec;
use crate::domain::{Error, ResultMeta, ResultRef};
use crate::limits::{self, RESULT_DATA_MAX_BYTES};

const MAGIC: [u8; 4] = *b"mpR1";
const HEAD_BYTES: usize = 8;
const VERSION: u8 = 1;
/// What is read at first of a record: the whole description of nearly all.
const FIRST_READ_BYTES: u64 = 1024;
/// As many as Linux takes in one call (`UIO_MAXIOV`).
const PIECES_PER_WRITE_MAX: usize = 1024;

/// A job's segment file, append-only. Shared by threads.
#[derive(Debug)]
pub struct Segment {
    file: File,
    path: PathBuf,
    end: AtomicU64,
    mark: SyncMark,
}

impl Segment {
    /// Opens the file, or makes it, durably. New records go behind all that is there. One `Segment` per file at a time.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::of(folder::open_or_create(path)?, path)
    }

    /// Opens a file that is there, only to read it.
    pub fn open_to_read(path: &Path) -> Result<Self, Error> {
        Self::of(File::open(path).map_err(|error| Error::io(path, &error))?, path)
    }

    fn of(file: File, path: &Path) -> Result<Self, Error> {
        let end = file.metadata().map_err(|error| Error::io(path, &error))?.len();
        Ok(Self { file, path: path.to_owned(), end: AtomicU64::new(end), mark: SyncMark::default() })
    }

    /// Writes a record at once; durable after the next [`Self::sync`]. `Invalid` if `data` is not as long as `meta` says.
    pub fn append(self: &Arc<Self>, meta: &ResultMeta, data: &[u8]) -> Result<ResultRef, Error> {
        let mut reservation = self.reserve(meta)?;
        reservation.write(data)?;
        reservation.finish()
    }

    /// The same for many, in one write if all of them can be written; where each lies, or why not.
    pub fn append_all(self: &Arc<Self>, records: &[(ResultMeta, &[u8])]) -> Vec<Result<ResultRef, Error>> {
        let whole = if records.len() > 1 { self.append_as_one(records) } else { None };
        whole
            .map_or_else(|| records.iter().map(|(meta, data)| self.append(meta, data)).collect(), |refs| refs.into_iter().map(Ok).collect())
    }

    /// None if any of them can't be, as it is: each is tried alone then.
    fn append_as_one(&self, records: &[(ResultMeta, &[u8])]) -> Option<Vec<ResultRef>> {
        let mut heads = Vec::with_capacity(records.len());
        let mut lens = Vec::with_capacity(records.len());
        for (meta, data) in records {
            let (head, data_len) = head_of(meta).ok()?;
            if data_len != data.len() as u64 {
                return None;
            }
            lens.push(head.len() as u64 + data_len);
            heads.push(head);
        }
        let range = self.take_range(lens.iter().sum()).ok()?;
        let pieces = heads.iter().zip(records).flat_map(|(head, (_, data))| [IoSlice::new(head), IoSlice::new(data)]);
        if self.write_all_at(range.offset, pieces.collect()).is_err() {
            self.give_back(range);
            return None;
        }
        self.finished();
        let mut offset = range.offset;
        let place = |len| {
            let at = ResultRef { offset, len };
            offset += len;
            at
        };
        Some(lens.into_iter().map(place).collect())
    }

    /// Takes room for a record whose packed bytes come in pieces, as many as `meta` says.
    ///
    /// `Exhausted` if its description is longer than [`limits::RESULT_HEADER_MAX_BYTES`] or its bytes more than [`RESULT_DATA_MAX_BYTES`].
    pub fn reserve(self: &Arc<Self>, meta: &ResultMeta) -> Result<Reservation, Error> {
        let (head, data_len) = head_of(meta)?;
        let range = self.take_range(head.len() as u64 + data_len)?;
        Ok(Reservation::new(self.clone(), range, head))
    }

    fn take_range(&self, len: u64) -> Result<ResultRef, Error> {
        let grown =
            self.end.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |end| end.checked_add(len).filter(|end| *end <= i64::MAX as u64));
        let offset = grown.map_err(|_| Error::exhausted(format!("{}: the file can't grow any more", self.path.display())))?;
        Ok(ResultRef { offset, len })
    }

    /// The description of a record, and where its packed bytes begin in the file. `Corrupt` if there is no such record.
    pub fn read_meta(&self, result: ResultRef) -> Result<(ResultMeta, u64), Error> {
        let nonsense = || self.nonsense(result);
        let fits = result.offset.checked_add(result.len).is_some_and(|end| end <= self.end.load(Ordering::SeqCst));
        if !fits {
            return Err(nonsense());
        }
        let mut bytes = vec![0; result.len.min(FIRST_READ_BYTES) as usize];
        self.read_exact_at(result.offset, &mut bytes)?;
        let head_len = head_len(&bytes).filter(|len| *len as u64 <= result.len).ok_or_else(nonsense)?;
        if head_len > bytes.len() {
            bytes.resize(head_len, 0);
            self.read_exact_at(result.offset, &mut bytes)?;
        }
        let frame = bytes.get(HEAD_BYTES..head_len).ok_or_else(nonsense)?;
        let meta = self.parse(frame).map_err(|error| error.context(nonsense()))?;
        if meta.packed.packed_len().and_then(|len| len.checked_add(head_len as u64)) != Some(result.len) {
            return Err(nonsense());
        }
        Ok((meta, result.offset + head_len as u64))
    }

    /// Fills `buf` from `offset` on. `Corrupt` if the file ends before.
    pub fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), Error> {
        self.file.read_exact_at(buf, offset).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::InvalidInput => {
                Error::corrupt(format!("{} ends before byte {}", self.path.display(), offset.saturating_add(buf.len() as u64)))
            }
            _ => Error::io(&self.path, &error),
        })
    }

    /// Makes every record that was finished before this call durable. A failure is for good: nothing may be acknowledged any more.
    pub fn sync(&self) -> Result<(), Error> {
        self.mark.sync(&self.file, &self.path)
    }

    /// The file, for `sendfile`.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Where the next record goes: the file's length in bytes, with what is reserved.
    pub fn end(&self) -> u64 {
        self.end.load(Ordering::SeqCst)
    }

    /// Writes within a reserved range.
    pub(super) fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_all_at(bytes, offset).map_err(|error| Error::io(&self.path, &error))
    }

    /// The same for many pieces, one behind the other.
    fn write_all_at(&self, mut offset: u64, mut pieces: Vec<IoSlice<'_>>) -> Result<(), Error> {
        let mut left = pieces.as_mut_slice();
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            let now = left.len().min(PIECES_PER_WRITE_MAX);
            match pwritev(&self.file, left.get(..now).unwrap_or_default(), offset) {
                Ok(0) => return Err(Error::io(&self.path, &std::io::ErrorKind::WriteZero.into())),
                Ok(written) => {
                    offset += written as u64;
                    IoSlice::advance_slices(&mut left, written);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(Error::io(&self.path, &error.into())),
            }
        }
        Ok(())
    }

    /// Says that a record is whole.
    pub(super) fn finished(&self) {
        self.mark.written();
    }

    /// Takes an unfinished range back if nothing was reserved behind it. What was written of it takes no room on the disk any more, where the
    /// file system can do that.
    pub(super) fn give_back(&self, range: ResultRef) {
        // Before somebody else may get the range.
        let _ = fallocate(&self.file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, range.offset, range.len);
        let _ = self.end.compare_exchange(range.offset + range.len, range.offset, Ordering::SeqCst, Ordering::SeqCst);
    }

    fn parse(&self, frame: &[u8]) -> Result<ResultMeta, Error> {
        match codec::open(frame)? {
            (VERSION, body) => codec::decode_body(body, limits::RESULT_HEADER_MAX_BYTES),
            (version, _) => Err(Error::corrupt(format!("version {version} of the description is unknown"))),
        }
    }

    fn nonsense(&self, result: ResultRef) -> Error {
        Error::corrupt(format!("{}: no result of {} bytes at byte {}", self.path.display(), result.len, result.offset))
    }
}

/// What stands before the packed bytes of a record, and how many of those there are.
fn head_of(meta: &ResultMeta) -> Result<(Vec<u8>, u64), Error> {
    let frame = codec::encode(VERSION, meta)?;
    if frame.len() > limits::RESULT_HEADER_MAX_BYTES {
        let limit = limits::RESULT_HEADER_MAX_BYTES;
        return Err(Error::exhausted(format!(
            "the description of a result takes {} bytes, at most {limit} are allowed: leave fewer files",
            frame.len()
        )));
    }
    let data_len = meta.packed.packed_len().filter(|len| *len <= RESULT_DATA_MAX_BYTES);
    let data_len = data_len.ok_or_else(|| Error::exhausted(format!("a result has at most {RESULT_DATA_MAX_BYTES} packed bytes")))?;
    Ok(([&MAGIC[..], &(frame.len() as u32).to_le_bytes(), &frame].concat(), data_len))
}

/// How long the record that begins with `bytes` is before its packed bytes; none if it is no record.
fn head_len(bytes: &[u8]) -> Option<usize> {
    let (len, _) = bytes.strip_prefix(&MAGIC)?.split_first_chunk()?;
    let len = usize::try_from(u32::from_le_bytes(*len)).ok()?;
    (len <= limits::RESULT_HEADER_MAX_BYTES).then_some(HEAD_BYTES + len)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;
    use crate::domain::{Attempt, EntryKind, ErrorKind, Outcome, Packed, ResultEntry, TaskNo, Timing, WorkerId};

    fn opened() -> (TempDir, Arc<Segment>) {
        let folder = tempfile::tempdir().unwrap();
        let segment = reopened(&folder);
        (folder, segment)
    }

    fn reopened(folder: &TempDir) -> Arc<Segment> {
        Arc::new(Segment::open(&folder.path().join("segment")).unwrap())
    }

    /// A description of `names` entries that hold `data_len` bytes together.
    fn meta(no: u32, names: usize, data_len: usize) -> ResultMeta {
        let entry = |at: usize| ResultEntry {
            kind: EntryKind::File(format!("folder/file-{at}")),
            len: 2 * data_len as u64,
            packed_len: if at == 0 { data_len as u64 } else { 0 },
            crc32: no,
        };
        ResultMeta {
            no: TaskNo(no),
            attempt: Attempt(1),
            worker: WorkerId(3),
            outcome: Outcome::Exited { code: 0 },
            timing: Timing::default(),
            packed: Packed { entries: (0..names).map(entry).collect(), digest: None },
        }
    }

    fn data(no: u32, len: usize) -> Vec<u8> {
        (0..len).map(|at| (at as u32 * 7 + no) as u8).collect()
    }

    fn assert_holds(segment: &Segment, result: ResultRef, expected: &ResultMeta, bytes: &[u8]) {
        let (meta, offset) = segment.read_meta(result).unwrap();
        assert_eq!(meta, *expected);
        assert_eq!(offset + bytes.len() as u64, result.offset + result.len);
        let mut found = vec![0; bytes.len()];
        segment.read_exact_at(offset, &mut found).unwrap();
        assert_eq!(found, bytes);
    }

    #[test]
    fn results_of_every_size_come_back_after_a_restart() {
        let (folder, segment) = opened();
        let sizes = [(1, 0), (1, 1), (3, 8_192), (1_000, 100), (1, 3_000_000), (0, 0)];
        let results: Vec<_> =
            (0..).zip(sizes).map(|(no, (names, len))| segment.append(&meta(no, names, len), &data(no, len)).unwrap()).collect();
        segment.sync().unwrap();
        drop(segment);
        let segment = reopened(&folder);
        for ((no, (names, len)), result) in (0..).zip(sizes).zip(results) {
            assert_holds(&segment, result, &meta(no, names, len), &data(no, len));
        }
        assert_eq!(segment.end(), segment.file().metadata().unwrap().len());
    }

    #[test]
    fn threads_write_side_by_side() {
        let (_folder, segment) = opened();
        let write = |first: u32| {
            let segment = segment.clone();
            std::thread::spawn(move || {
                let numbers = first..first + 100;
                let results: Vec<_> =
                    numbers.map(|no| (no, segment.append(&meta(no, 2, no as usize), &data(no, no as usize)).unwrap())).collect();
                segment.sync().unwrap();
                results
            })
        };
        let threads: Vec<_> = (0..4).map(|no| write(no * 100)).collect();
        for (no, result) in threads.into_iter().flat_map(|thread| thread.join().unwrap()) {
            assert_holds(&segment, result, &meta(no, 2, no as usize), &data(no, no as usize));
        }
    }

    #[test]
    fn more_or_fewer_bytes_than_promised_are_refused() {
        let (_folder, segment) = opened();
        assert_eq!(segment.append(&meta(1, 1, 10), &data(1, 9)).unwrap_err().kind, ErrorKind::Invalid);
        assert_eq!(segment.append(&meta(1, 1, 10), &data(1, 11)).unwrap_err().kind, ErrorKind::Invalid);
        let mut reservation = segment.reserve(&meta(1, 1, 10)).unwrap();
        reservation.write(&data(1, 6)).unwrap();
        assert_eq!(reservation.write(&data(1, 6)).unwrap_err().kind, ErrorKind::Invalid);
        assert_eq!(reservation.missing(), 4);
        drop(reservation);
        assert_eq!(segment.end(), 0);
    }

    #[test]
    fn an_unfinished_range_takes_no_room_on_the_disk() {
        use std::os::unix::fs::MetadataExt;
        let (_folder, segment) = opened();
        let kept = segment.append(&meta(1, 1, 5_000), &data(1, 5_000)).unwrap();
        let mut unfinished = segment.reserve(&meta(2, 1, 3_000_000)).unwrap();
        let behind = segment.append(&meta(3, 1, 5_000), &data(3, 5_000)).unwrap();
        unfinished.write(&data(2, 2_000_000)).unwrap();
        drop(unfinished);
        let disk_bytes = segment.file().metadata().unwrap().blocks() * 512;
        assert!(disk_bytes < 100_000, "{disk_bytes}");
        assert_holds(&segment, kept, &meta(1, 1, 5_000), &data(1, 5_000));
        assert_holds(&segment, behind, &meta(3, 1, 5_000), &data(3, 5_000));
    }

    #[test]
    fn a_length_that_can_not_be_takes_no_room() {
        let (_folder, segment) = opened();
        for packed_len in [u64::MAX, RESULT_DATA_MAX_BYTES + 1] {
            let mut meta = meta(1, 2, 0);
            meta.packed.entries.iter_mut().for_each(|entry| entry.packed_len = packed_len);
            assert_eq!(segment.reserve(&meta).unwrap_err().kind, ErrorKind::Exhausted);
        }
        assert_eq!(segment.reserve(&meta(1, 300_000, 0)).unwrap_err().kind, ErrorKind::Exhausted);
        assert_eq!(segment.end(), 0);
    }

    #[test]
    fn a_reference_to_nonsense_is_corrupt() {
        let (_folder, segment) = opened();
        let result = segment.append(&meta(1, 1, 100), &data(1, 100)).unwrap();
        segment.append(&meta(2, 1, 100), &data(2, 100)).unwrap();
        let unfinished = segment.reserve(&meta(3, 1, 100)).unwrap();
        let refs = [
            ResultRef { offset: result.offset + 1, ..result },
            ResultRef { len: result.len + 1, ..result },
            ResultRef { len: result.len - 1, ..result },
            ResultRef { len: 0, ..result },
            ResultRef { len: 9, ..result },
            ResultRef { offset: u64::MAX, len: 5 },
            ResultRef { offset: 1 << 50, len: 5 },
            ResultRef { offset: 2 * result.len, len: result.len },
        ];
        for bad in refs {
            assert_eq!(segment.read_meta(bad).unwrap_err().kind, ErrorKind::Corrupt, "{bad:?}");
        }
        assert_eq!(segment.read_exact_at(u64::MAX - 1, &mut [0; 9]).unwrap_err().kind, ErrorKind::Corrupt);
        drop(unfinished);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Append { names: usize, len: usize },
        Reserve { names: usize, len: usize },
        Write { which: prop::sample::Index, len: usize },
        Finish { which: prop::sample::Index },
        Abandon { which: prop::sample::Index },
        Reopen,
    }

    fn step() -> impl Strategy<Value = Step> {
        let size = || (0..60usize, 0..5_000usize);
        let which = || any::<prop::sample::Index>();
        prop_oneof![
            4 => size().prop_map(|(names, len)| Step::Append { names: names + 1, len }),
            3 => size().prop_map(|(names, len)| Step::Reserve { names: names + 1, len }),
            6 => (which(), 0..3_000usize).prop_map(|(which, len)| Step::Write { which, len }),
            3 => which().prop_map(|which| Step::Finish { which }),
            1 => which().prop_map(|which| Step::Abandon { which }),
            1 => Just(Step::Reopen),
        ]
    }

    /// What was promised to be in the segment, and what is being written.
    #[derive(Default)]
    struct Model {
        done: BTreeMap<u32, (ResultRef, ResultMeta, usize)>,
        open: Vec<(u32, Reservation, ResultMeta, usize, usize)>,
    }

    impl Model {
        fn follow(&mut self, no: u32, step: Step, segment: &Arc<Segment>) {
            match step {
                Step::Append { names, len } => {
                    let meta = meta(no, names, len);
                    self.done.insert(no, (segment.append(&meta, &data(no, len)).unwrap(), meta, len));
                }
                Step::Reserve { names, len } => {
                    let meta = meta(no, names, len);
                    self.open.push((no, segment.reserve(&meta).unwrap(), meta, len, 0));
                }
                Step::Write { which, len } if !self.open.is_empty() => {
                    let (no, reservation, _, total, written) = which.get_mut(&mut self.open);
                    let end = (*written + len).min(*total);
                    reservation.write(&data(*no, *total)[*written..end]).unwrap();
                    *written = end;
                }
                Step::Finish { which } if !self.open.is_empty() => {
                    let (no, reservation, meta, total, written) = self.open.swap_remove(which.index(self.open.len()));
                    match reservation.finish() {
                        Ok(result) => drop(self.done.insert(no, (result, meta, total))),
                        Err(error) => assert!(written < total && error.kind == ErrorKind::Invalid),
                    }
                }
                Step::Abandon { which } if !self.open.is_empty() => drop(self.open.swap_remove(which.index(self.open.len()))),
                Step::Write { .. } | Step::Finish { .. } | Step::Abandon { .. } | Step::Reopen => {}
            }
        }

        fn check(&self, segment: &Segment) {
            for (no, (result, meta, len)) in &self.done {
                assert_holds(segment, *result, meta, &data(*no, *len));
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn any_interleaving_comes_back(steps in proptest::collection::vec(step(), 1..60)) {
            let (folder, mut segment) = opened();
            let mut model = Model::default();
            for (no, step) in (0..).zip(steps) {
                if matches!(step, Step::Reopen) {
                    model.open.clear();
                    segment.sync().unwrap();
                    drop(segment);
                    segment = reopened(&folder);
                } else {
                    model.follow(no, step, &segment);
                }
            }
            model.check(&segment);
            model.check(&reopened(&folder));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), offset in 0..200u64, len in 0..300u64) {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("segment"), [&MAGIC[..], &bytes].concat()).unwrap();
            let segment = reopened(&folder);
            for offset in [0, offset] {
                let found = segment.read_meta(ResultRef { offset, len });
                prop_assert!(found.is_err());
            }
        }
    }
}
