//! Writes a chunk index, chunk by chunk; it appears under its name only when it is whole and durable.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::chunk_index::{ChunkIndex, HEAD_BYTES, Head, Mark};
use super::folder;
use crate::domain::{Chunk, Error};
use crate::limits;

/// For temporary names: jobs over the same data set may be split at once.
static WRITERS: AtomicU64 = AtomicU64::new(0);

/// An index being written, beside its final place. Dropping it removes it.
#[derive(Debug)]
pub struct ChunkIndexWriter {
    file: BufWriter<File>,
    temporary: PathBuf,
    path: PathBuf,
    hasher: crc32fast::Hasher,
    count: u32,
    header: Option<u64>,
    ends: Mark,
}

impl ChunkIndexWriter {
    /// Begins the index that will lie at `path`, in a folder that is made if it is not there. Of two writers for one path the last to finish
    /// counts; they don't meet.
    pub fn create(path: &Path) -> Result<Self, Error> {
        path.parent().map_or(Ok(()), folder::create)?;
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(format!(".{}.tmp", WRITERS.fetch_add(1, Ordering::Relaxed)));
        let temporary = PathBuf::from(temporary);
        let file = File::create(&temporary).map_err(|error| Error::io(&temporary, &error))?;
        let mut writer = Self {
            file: BufWriter::with_capacity(64 * 1024, file),
            temporary,
            path: path.to_owned(),
            hasher: crc32fast::Hasher::new(),
            count: 0,
            header: None,
            ends: Mark::default(),
        };
        writer.write(&[0; HEAD_BYTES])?;
        Ok(writer)
    }

    /// Adds the next chunk. `Exhausted` above [`limits::JOB_TASKS_MAX`]; `Internal` for one that does not begin where the last ended, or whose
    /// header differs from the others' (the first chunk holds the header itself).
    pub fn push(&mut self, chunk: &Chunk) -> Result<(), Error> {
        if self.count >= limits::JOB_TASKS_MAX {
            return Err(Error::exhausted(format!("a job has at most {} tasks: choose larger chunks", limits::JOB_TASKS_MAX)));
        }
        let start = Mark { offset: chunk.offset, record: chunk.first_record };
        let ends = chunk.offset.checked_add(chunk.len).zip(chunk.first_record.checked_add(chunk.records));
        let header_fits = if self.count == 0 { chunk.header == 0 } else { *self.header.get_or_insert(chunk.header) == chunk.header };
        let Some((offset, record)) = ends.filter(|_| header_fits && (self.count == 0 || start == self.ends)) else {
            return Err(Error::internal(format!("chunk {} does not follow the one before it", self.count)));
        };
        self.write_mark(start)?;
        self.ends = Mark { offset, record };
        self.count += 1;
        Ok(())
    }

    /// Completes the index, gives it its name, durably, and opens it.
    pub fn finish(mut self) -> Result<ChunkIndex, Error> {
        self.write_mark(self.ends)?;
        let head = Head { count: self.count, records_crc32: self.hasher.clone().finalize(), header: self.header.unwrap_or(0) };
        let io = |error| Error::io(&self.temporary, &error);
        self.file.flush().map_err(io)?;
        self.file.get_ref().write_all_at(&head.to_bytes(), 0).map_err(io)?;
        self.file.get_ref().sync_all().map_err(io)?;
        folder::rename(&self.temporary, &self.path)?;
        ChunkIndex::open(&self.path)
    }

    fn write_mark(&mut self, mark: Mark) -> Result<(), Error> {
        let bytes = mark.to_bytes();
        self.hasher.update(&bytes);
        self.write(&bytes)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_all(bytes).map_err(|error| Error::io(&self.temporary, &error))
    }
}

impl Drop for ChunkIndexWriter {
    fn drop(&mut self) {
        // Gone already if it was renamed; what a crash leaves is overwritten by the next writer.
        let _ = fs::remove_file(&self.temporary);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{Digest, ErrorKind, TaskNo};

    fn chunks(lengths: &[(u64, u64)], header: u64) -> Vec<Chunk> {
        let mut next = Chunk { offset: 0, len: 0, header: 0, first_record: 0, records: 0 };
        let follow = |&(len, records): &(u64, u64)| {
            let chunk = Chunk { len, records, ..next };
            next = Chunk { offset: chunk.offset + len, header, first_record: chunk.first_record + records, ..chunk };
            chunk
        };
        lengths.iter().map(follow).collect()
    }

    fn written(path: &Path, chunks: &[Chunk]) -> ChunkIndex {
        let mut writer = ChunkIndexWriter::create(path).unwrap();
        chunks.iter().for_each(|chunk| writer.push(chunk).unwrap());
        assert!(!path.exists());
        writer.finish().unwrap()
    }

    /// Two jobs over the same data set by the same rule.
    #[test]
    fn two_writers_of_one_index_do_not_meet() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index");
        let chunks = chunks(&[(3, 1); 9000], 0);
        let mut writers = [&path, &path].map(|path| ChunkIndexWriter::create(path).unwrap());
        for chunk in &chunks {
            writers.iter_mut().for_each(|writer| writer.push(chunk).unwrap());
        }
        for writer in writers {
            let index = writer.finish().unwrap();
            index.verify().unwrap();
            assert_eq!(index.get(TaskNo(8999)).unwrap(), chunks[8999]);
        }
    }

    #[test]
    fn an_unfinished_index_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = ChunkIndexWriter::create(&folder.path().join("index")).unwrap();
        writer.push(&chunks(&[(5, 1)], 0)[0]).unwrap();
        drop(writer);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_chunk_that_leaves_a_gap_or_changes_the_header_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = ChunkIndexWriter::create(&folder.path().join("index")).unwrap();
        let [first, second, third] = chunks(&[(10, 2), (20, 3), (5, 1)], 7).try_into().unwrap();
        assert!(writer.push(&Chunk { header: 1, ..first }).is_err());
        assert!(writer.push(&Chunk { records: u64::MAX, first_record: 1, ..first }).is_err());
        writer.push(&first).unwrap();
        assert!(writer.push(&Chunk { offset: 11, ..second }).is_err());
        assert!(writer.push(&Chunk { first_record: 1, ..second }).is_err());
        assert!(writer.push(&third).is_err());
        writer.push(&second).unwrap();
        assert!(writer.push(&Chunk { header: 8, ..third }).is_err());
        writer.push(&third).unwrap();
        assert_eq!(writer.finish().unwrap().get(TaskNo(2)).unwrap(), third);
    }

    #[test]
    fn damage_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index");
        written(&path, &chunks(&[(10, 2), (20, 3), (5, 1)], 7));
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x41;
            fs::write(&path, &bad).unwrap();
            let read = ChunkIndex::open(&path).and_then(|index| {
                (0..3).for_each(|no| drop(index.get(TaskNo(no))));
                index.verify()
            });
            assert_eq!(read.unwrap_err().kind, ErrorKind::Corrupt, "{at}");
            fs::write(&path, &good[..at]).unwrap();
            assert_eq!(ChunkIndex::open(&path).unwrap_err().kind, ErrorKind::Corrupt);
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(ChunkIndex::open(&path).unwrap_err().kind, ErrorKind::NotFound);
    }

    #[test]
    fn a_file_name_is_one_path_component() {
        let name = |rule: &str| ChunkIndex::file_name(Digest([1; 32]), &rule.parse().unwrap());
        assert!(name("fasta/chunks:8").ends_with(".fasta-chunks-8"));
        let names =
            ["a/b:c", "a-b-c", "a/b:d", &"x".repeat(200)].map(|pattern| name(&format!("records/bytes:{}/start={pattern}", u64::MAX)));
        assert!(names.iter().all(|name| !name.contains(['/', ':']) && name.len() < 200), "{names:?}");
        assert!(names.iter().enumerate().all(|(i, name)| !names[..i].contains(name)), "a name for each pattern");
    }

    proptest! {
        #[test]
        fn chunks_come_back(lengths in proptest::collection::vec((0..1u64 << 40, 0..1u64 << 30), 0..200), header in 0..3u64) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("deep/index");
            let chunks = chunks(&lengths, header);
            written(&path, &chunks);
            let index = ChunkIndex::open(&path).unwrap();
            index.verify().unwrap();
            prop_assert_eq!(index.len() as usize, chunks.len());
            prop_assert_eq!(index.records(), lengths.iter().map(|(_, records)| records).sum::<u64>());
            for (no, chunk) in (0..).zip(&chunks) {
                prop_assert_eq!(index.get(TaskNo(no)).unwrap(), *chunk);
            }
            prop_assert_eq!(index.get(TaskNo(index.len())).unwrap_err().kind, ErrorKind::NotFound);
        }
    }
}
