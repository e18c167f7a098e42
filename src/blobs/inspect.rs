//! Reads a head's bulk bytes to see whether they are what they were, and copies them. Changes nothing that it reads.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use flate2::read::DeflateDecoder;
use sha2::{Digest as _, Sha256};

use super::datasets::path_of;
use super::folder;
use super::job_files::JobFiles;
use super::result_index::{IndexedResult, ResultIndex};
use super::segment::Segment;
use crate::domain::result::FINAL_BLOCK;
use crate::domain::{Digest, Error, JobId, ResultEntry, ResultRef, TaskNo};

const READ_BYTES: usize = 1 << 20;

/// A job's results, open to read.
#[derive(Debug)]
pub struct StoredResults {
    segment: Segment,
    index: ResultIndex,
}

impl StoredResults {
    /// Opens them; `NotFound` if a file is not there.
    pub fn open(data_folder: &Path, job: JobId) -> Result<Self, Error> {
        let files = JobFiles::new(data_folder, job);
        Ok(Self { segment: Segment::open_to_read(&files.segment())?, index: ResultIndex::open_to_read(&files.result_index())? })
    }

    /// Where the result of a task lies, as the index has it.
    pub fn find(&self, no: TaskNo) -> Result<Option<IndexedResult>, Error> {
        self.index.get(no)
    }

    /// Reads a whole record: `Corrupt` if its description is damaged, is another task's, or does not fit its bytes.
    pub fn check(&self, no: TaskNo, result: ResultRef) -> Result<(), Error> {
        let (meta, mut offset) = self.segment.read_meta(result)?;
        if meta.no != no {
            return Err(Error::corrupt(format!("the record at byte {} of the segment is that of task {}", result.offset, meta.no.0)));
        }
        for entry in &meta.packed.entries {
            check_entry(self.segment.file(), offset, entry)
                .map_err(|what| Error::corrupt(format!("{:?} at byte {offset} of the segment is damaged: {what}", entry.kind)))?;
            offset += entry.packed_len;
        }
        Ok(())
    }
}

fn check_entry(file: &File, offset: u64, entry: &ResultEntry) -> Result<(), String> {
    let packed = At { file, offset }.take(entry.packed_len).chain(&FINAL_BLOCK[..]);
    let mut content = DeflateDecoder::new(packed);
    let (mut crc, mut len) = (crc32fast::Hasher::new(), 0);
    let mut buffer = vec![0; READ_BYTES.min(entry.len.saturating_add(1) as usize)];
    while len <= entry.len {
        match content.read(&mut buffer).map_err(|error| error.to_string())? {
            0 => break,
            read => {
                len += read as u64;
                crc.update(buffer.get(..read).unwrap_or_default());
            }
        }
    }
    if len != entry.len {
        return Err(format!("it has not the {} bytes that it had", entry.len));
    }
    // A last block too early would end a stream that more is joined to.
    if content.total_in() != entry.packed_len + FINAL_BLOCK.len() as u64 {
        return Err(format!("its packed bytes end after {} of {}", content.total_in(), entry.packed_len));
    }
    match crc.finalize() {
        crc if crc == entry.crc32 => Ok(()),
        crc => Err(format!("its checksum is {crc:08x} instead of {:08x}", entry.crc32)),
    }
}

/// A file read by position: the cursor is shared with others.
struct At<'a> {
    file: &'a File,
    offset: u64,
}

impl Read for At<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buf, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}

/// Reads a whole data set below `root`: `Corrupt` if it is not what its name says, `NotFound` if it is not there.
pub fn check_dataset(root: &Path, digest: Digest) -> Result<(), Error> {
    let path = path_of(root, digest);
    let mut file = File::open(&path).map_err(|error| Error::io(&path, &error))?;
    let (mut hasher, mut buffer) = (Sha256::new(), vec![0; READ_BYTES]);
    loop {
        match file.read(&mut buffer).map_err(|error| Error::io(&path, &error))? {
            0 => break,
            read => hasher.update(buffer.get(..read).unwrap_or_default()),
        }
    }
    let found = Digest(hasher.finalize().into());
    if found != digest {
        return Err(Error::corrupt(format!("{} is damaged: its digest is {found}", path.display())));
    }
    Ok(())
}

/// Copies a data set from one root to another, durably.
pub fn copy_dataset(from: &Path, to: &Path, digest: Digest) -> Result<(), Error> {
    copy(&path_of(from, digest), &path_of(to, digest))
}

/// Copies a file, durably, into a folder that is made if it is not there.
pub fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    copy_first(from, to, u64::MAX)
}

/// The same, of its first bytes: for a file that grows.
pub fn copy_first(from: &Path, to: &Path, len: u64) -> Result<(), Error> {
    to.parent().map_or(Ok(()), folder::create)?;
    let source = File::open(from).map_err(|error| Error::io(from, &error))?;
    // Never over anything that is there.
    let mut copy = File::create_new(to).map_err(|error| Error::io(to, &error))?;
    io::copy(&mut source.take(len), &mut copy).and_then(|_| copy.sync_all()).map_err(|error| Error::io(to, &error))?;
    folder::sync_parent(to)
}

/// Whether two folders lie on the same file system.
pub fn same_disk(one: &Path, other: &Path) -> Result<bool, Error> {
    let disk = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev()).map_err(|error| Error::io(path, &error));
    Ok(disk(one)? == disk(other)?)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use flate2::Compression;
    use flate2::write::DeflateEncoder;
    use proptest::prelude::*;

    use super::super::datasets::DatasetStore;
    use super::*;
    use crate::domain::{Attempt, EntryKind, ErrorKind, Outcome, Packed, ResultMeta, Timing, WorkerId};

    /// Packed as a worker does: full flushes, no final block.
    fn packed(content: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.flush().unwrap();
        encoder.get_ref().clone()
    }

    /// Task 4 of job 1, with two files; where its record lies.
    fn stored(folder: &Path, contents: [&[u8]; 2]) -> ResultRef {
        let files = JobFiles::new(folder, JobId(1));
        files.create().unwrap();
        let packs = contents.map(packed);
        let entry = |no: usize| ResultEntry {
            kind: EntryKind::File(no.to_string()),
            len: contents[no].len() as u64,
            packed_len: packs[no].len() as u64,
            crc32: crc32fast::hash(contents[no]),
        };
        let meta = ResultMeta {
            no: TaskNo(4),
            attempt: Attempt(1),
            worker: WorkerId(1),
            outcome: Outcome::Exited { code: 0 },
            timing: Timing::default(),
            packed: Packed { entries: vec![entry(0), entry(1)], digest: None },
        };
        let segment = Arc::new(Segment::open(&files.segment()).unwrap());
        let result = segment.append(&meta, &packs.concat()).unwrap();
        ResultIndex::open(&files.result_index()).unwrap().put(TaskNo(4), IndexedResult { result, success: true }).unwrap();
        result
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_flipped_bit_or_a_cut_of_a_record_is_noticed(
            contents in prop::array::uniform2(prop::collection::vec(any::<u8>(), 0..300)),
            at: prop::sample::Index,
            cut: bool,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let result = stored(folder.path(), [&contents[0], &contents[1]]);
            let results = StoredResults::open(folder.path(), JobId(1)).unwrap();
            prop_assert_eq!(results.find(TaskNo(4)).unwrap().unwrap().result, result);
            results.check(TaskNo(4), result).unwrap();
            prop_assert_eq!(results.check(TaskNo(5), result).unwrap_err().kind, ErrorKind::Corrupt);

            let path = JobFiles::new(folder.path(), JobId(1)).segment();
            let mut bytes = fs::read(&path).unwrap();
            let bit = at.index(8 * bytes.len());
            if cut {
                bytes.truncate(bit / 8);
            } else {
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            fs::write(&path, &bytes).unwrap();
            match StoredResults::open(folder.path(), JobId(1)).unwrap().check(TaskNo(4), result) {
                Err(error) => prop_assert_eq!((error.kind, error.message.lines().count()), (ErrorKind::Corrupt, 1)),
                // The bits that fill up a byte before an empty block say nothing to anybody.
                Ok(()) => prop_assert!(!cut),
            }
        }
    }

    #[test]
    fn a_data_set_is_what_its_name_says() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        let mut upload = DatasetStore::open(&from).unwrap().begin_upload().unwrap();
        upload.write(b"abc").unwrap();
        let digest = upload.finish().unwrap().digest;
        check_dataset(&from, digest).unwrap();
        copy_dataset(&from, &to, digest).unwrap();
        check_dataset(&to, digest).unwrap();
        fs::write(path_of(&from, digest), b"abd").unwrap();
        assert_eq!(check_dataset(&from, digest).unwrap_err().kind, ErrorKind::Corrupt);
        assert_eq!(check_dataset(&to, Digest([0; 32])).unwrap_err().kind, ErrorKind::NotFound);
    }
}
