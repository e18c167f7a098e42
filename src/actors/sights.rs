//! What the slots' tasks print, for those who follow it: shared by the slots' threads, which say which attempt is where, and by whoever reads.
//!
//! The files of a slot are used by one task after the other, and emptied between. So a piece is read under the slot's lock, and only while the
//! attempt is there; its thread takes it out, with what is left for those who follow, before it empties the files.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::domain::wire::{Follow, Lease, OutputPiece, Over, Printed};
use crate::engine::Reading;
use crate::engine::reading::Stretch;
use crate::exec;
use crate::limits::{FOLLOW_PIECE_MAX_BYTES, WORKER_FOLLOWS_MAX};

/// Where a slot's tasks print.
#[derive(Clone, Debug, Default)]
pub struct Sight {
    /// Their standard output.
    pub stdout: PathBuf,
    /// Their standard error.
    pub stderr: PathBuf,
    /// To whom the files belong; none: to the worker's own user.
    pub owner: Option<u32>,
}

/// See the module.
pub struct Sights {
    slots: Vec<Mutex<Slot>>,
    taken: AtomicUsize,
}

#[derive(Default)]
struct Slot {
    sight: Sight,
    lease: Option<Lease>,
    watched: BTreeMap<u64, Watched>,
}

struct Watched {
    lease: Lease,
    printed: Printed,
    reading: Reading,
    file: Option<File>,
    /// Of an attempt that has ended: how long the output was, and what of it is still to be given.
    ended: Option<(u64, VecDeque<OutputPiece>)>,
}

/// One who follows an output, until this is dropped.
pub struct Watcher {
    sights: Arc<Sights>,
    slot: usize,
    id: u64,
}

impl Sights {
    /// Of so many slots, in which nothing runs.
    pub fn new(slots: u32) -> Self {
        Self { slots: (0..slots).map(|_| Mutex::default()).collect(), taken: AtomicUsize::new(0) }
    }

    fn slot(&self, at: usize) -> Option<MutexGuard<'_, Slot>> {
        self.slots.get(at).map(|slot| slot.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Before the first attempt in a slot.
    pub fn is_at(&self, at: usize, sight: Sight) {
        if let Some(mut slot) = self.slot(at) {
            slot.sight = sight;
        }
    }

    /// An attempt begins in a slot, whose files are empty.
    pub fn begins(&self, at: usize, lease: Lease) {
        if let Some(mut slot) = self.slot(at) {
            slot.lease = Some(lease);
        }
    }

    /// It has ended, and the files will be emptied: takes what those who follow have not had, or the end of it.
    pub fn ends(&self, at: usize) {
        let Some(mut slot) = self.slot(at) else { return };
        slot.lease = None;
        let Slot { sight, watched, .. } = &mut *slot;
        watched.iter_mut().for_each(|(id, watched)| watched.ends(*id, sight));
    }

    /// Somebody follows a running attempt; none if that is not here.
    ///
    /// # Errors
    /// `TooMany`.
    pub fn watch(self: &Arc<Self>, follow: &Follow) -> Result<Option<Watcher>, Over> {
        for at in 0..self.slots.len() {
            let Some(mut slot) = self.slot(at) else { continue };
            if !slot.lease.is_some_and(|lease| lease.same_attempt(&follow.lease)) {
                continue;
            }
            if self.taken.load(Ordering::Relaxed) >= WORKER_FOLLOWS_MAX {
                return Err(Over::TooMany);
            }
            let watched =
                Watched { lease: follow.lease, printed: follow.printed, reading: Reading::new(follow.from), file: None, ended: None };
            if slot.watched.insert(follow.id, watched).is_none() {
                self.taken.fetch_add(1, Ordering::Relaxed);
            }
            return Ok(Some(Watcher { sights: self.clone(), slot: at, id: follow.id }));
        }
        Ok(None)
    }
}

impl Watcher {
    /// What comes next; none if there is nothing new. Reads the disk, [`FOLLOW_PIECE_MAX_BYTES`] at most.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn look(&self) -> io::Result<Option<OutputPiece>> {
        let Some(mut slot) = self.sights.slot(self.slot) else { return Ok(None) };
        let Slot { sight, watched, .. } = &mut *slot;
        let Some(watched) = watched.get_mut(&self.id) else { return Ok(None) };
        match &mut watched.ended {
            Some((len, rest)) => {
                let at = watched.reading.at(*len);
                let end = || OutputPiece { over: Some(Over::Ended(*len)), ..empty(self.id, watched.lease, at) };
                Ok(Some(rest.pop_front().unwrap_or_else(end)))
            }
            None => watched.look(self.id, sight),
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if self.sights.slot(self.slot).is_some_and(|mut slot| slot.watched.remove(&self.id).is_some()) {
            self.sights.taken.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// A piece without data.
pub(super) fn empty(follow: u64, lease: Lease, offset: u64) -> OutputPiece {
    OutputPiece { follow, lease, offset, left_out: 0, data: Bytes::new(), over: None }
}

impl Watched {
    fn len(&mut self, sight: &Sight) -> io::Result<u64> {
        if self.file.is_none() {
            let path = if self.printed == Printed::Stdout { &sight.stdout } else { &sight.stderr };
            self.file = exec::open_printed(path, sight.owner)?;
        }
        self.file.as_ref().map_or(Ok(0), |file| file.metadata().map(|meta| meta.len()))
    }

    fn look(&mut self, id: u64, sight: &Sight) -> io::Result<Option<OutputPiece>> {
        let len = self.len(sight)?;
        let stretch = self.reading.next(len);
        stretch.map(|stretch| self.read(id, stretch)).transpose()
    }

    fn read(&mut self, id: u64, stretch: Stretch) -> io::Result<OutputPiece> {
        let mut data = vec![0; stretch.len];
        let mut read = 0;
        while let (Some(file), Some(room)) = (&self.file, data.get_mut(read..).filter(|room| !room.is_empty())) {
            match file.read_at(room, stretch.offset + read as u64) {
                Ok(0) => break,
                Ok(more) => read += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        data.truncate(read);
        self.reading.took(stretch, read);
        Ok(OutputPiece { left_out: stretch.left_out, data: data.into(), ..empty(id, self.lease, stretch.offset) })
    }

    fn ends(&mut self, id: u64, sight: &Sight) {
        if self.ended.is_some() {
            return;
        }
        // What can't be read is as what was not printed: the result says what was.
        let len = self.len(sight).unwrap_or(0);
        let mut rest = VecDeque::new();
        // All of a standard output is in the result, if that is kept: the head goes on there where this is too much.
        let is_given = |stretch: &Stretch| self.printed == Printed::Stderr || stretch.left_out == 0;
        if let Some(stretch) = self.reading.clone().rest(len).filter(is_given)
            && let Ok(piece) = self.read(id, stretch)
        {
            let mut from = 0;
            while from < piece.data.len() {
                let to = piece.data.len().min(from + FOLLOW_PIECE_MAX_BYTES);
                let left_out = if from == 0 { piece.left_out } else { 0 };
                rest.push_back(OutputPiece {
                    offset: piece.offset + from as u64,
                    left_out,
                    data: piece.data.slice(from..to),
                    ..piece.clone()
                });
                from = to;
            }
        }
        // The file is another task's from now on.
        self.file = None;
        self.ended = Some((len, rest));
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::domain::wire::FromWhere;
    use crate::domain::{Attempt, Epoch, JobId, TaskNo};

    fn lease(no: u32) -> Lease {
        Lease { job: JobId(7), no: TaskNo(no), attempt: Attempt(1), epoch: Epoch(1) }
    }

    struct Ground {
        dir: tempfile::TempDir,
        sights: Arc<Sights>,
    }

    impl Ground {
        fn new() -> Self {
            let (dir, sights) = (tempfile::tempdir().unwrap(), Arc::new(Sights::new(2)));
            sights.is_at(1, Sight { stdout: dir.path().join("stdout"), stderr: dir.path().join("stderr"), owner: None });
            Self { dir, sights }
        }

        fn prints(&self, name: &str, bytes: &[u8]) {
            let mut file = std::fs::OpenOptions::new().create(true).append(true).open(self.dir.path().join(name)).unwrap();
            file.write_all(bytes).unwrap();
        }

        fn is_emptied(&self) {
            ["stdout", "stderr"].iter().for_each(|name| std::fs::write(self.dir.path().join(name), "").unwrap());
        }

        fn watch(&self, id: u64, no: u32, printed: Printed) -> Option<Watcher> {
            self.sights.watch(&Follow { id, lease: lease(no), printed, from: FromWhere::Offset(0) }).unwrap()
        }
    }

    fn text(piece: Option<OutputPiece>) -> (u64, u64, String) {
        let piece = piece.expect("a piece");
        (piece.offset, piece.left_out, String::from_utf8(piece.data.to_vec()).unwrap())
    }

    #[test]
    fn what_is_printed_is_seen_as_it_comes_and_the_rest_after_the_end() {
        let ground = Ground::new();
        assert!(ground.watch(1, 3, Printed::Stdout).is_none(), "it has not begun");
        ground.sights.begins(1, lease(3));
        let watcher = ground.watch(1, 3, Printed::Stdout).unwrap();
        assert_eq!(watcher.look().unwrap(), None, "there is no file yet");
        ground.prints("stdout", b"ab");
        assert_eq!(text(watcher.look().unwrap()), (0, 0, "ab".into()));
        assert_eq!(watcher.look().unwrap(), None);
        ground.prints("stdout", b"cd");
        ground.sights.ends(1);
        ground.is_emptied();
        ground.sights.begins(1, lease(4));
        ground.prints("stdout", b"of the next one, and longer");
        assert_eq!(text(watcher.look().unwrap()), (2, 0, "cd".into()));
        assert_eq!(watcher.look().unwrap().unwrap().over, Some(Over::Ended(4)));
        let next = ground.watch(2, 4, Printed::Stdout).unwrap();
        assert_eq!(text(next.look().unwrap()).2, "of the next one, and longer");
    }

    #[test]
    fn what_is_kept_after_the_end_is_bounded() {
        let ground = Ground::new();
        ground.sights.begins(1, lease(3));
        let (out, err) = (ground.watch(1, 3, Printed::Stdout).unwrap(), ground.watch(2, 3, Printed::Stderr).unwrap());
        for name in ["stdout", "stderr"] {
            ground.prints(name, &[b'x'; 100_000]);
        }
        ground.sights.ends(1);
        ground.is_emptied();
        let end = out.look().unwrap().unwrap();
        assert_eq!((end.offset, end.data.len(), end.over), (0, 0, Some(Over::Ended(100_000))), "it is in the result");
        let pieces: Vec<OutputPiece> = (0..3).map(|_| err.look().unwrap().unwrap()).collect();
        assert_eq!((pieces[0].offset, pieces[0].left_out, pieces[0].data.len()), (34_464, 34_464, FOLLOW_PIECE_MAX_BYTES));
        assert_eq!((pieces[1].offset, pieces[1].left_out, pieces[1].data.len()), (67_232, 0, FOLLOW_PIECE_MAX_BYTES));
        assert_eq!(pieces[2].over, Some(Over::Ended(100_000)));
    }

    #[test]
    fn places_are_bounded_and_come_free() {
        let ground = Ground::new();
        ground.sights.begins(1, lease(3));
        let mut watchers: Vec<Watcher> = (0..WORKER_FOLLOWS_MAX as u64).map(|id| ground.watch(id, 3, Printed::Stdout).unwrap()).collect();
        let one_more = Follow { id: 1 << 40, lease: lease(3), printed: Printed::Stdout, from: FromWhere::Offset(0) };
        assert_eq!(ground.sights.watch(&one_more).err(), Some(Over::TooMany));
        watchers.pop();
        assert!(ground.sights.watch(&one_more).unwrap().is_some());
    }
}
