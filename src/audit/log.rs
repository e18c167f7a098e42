//! The thread that writes the audit: many lines with one sync, and nobody is told before it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{FallocateFlags, fallocate};

use crate::domain::{Error, ErrorKind, PrincipalId, WallTime};
use crate::limits::{AUDIT_AHEAD_BYTES, AUDIT_FILE_MAX_BYTES, AUDIT_REFUSALS_PER_SECOND_MAX};

use super::chain::{Link, numbers};
use super::line::{Outcome, Record};
use super::mark::Mark;
use super::reader::{file_name, files, lines_of};

/// Told once a line is durable, or why it is not.
pub type Done = Box<dyn FnOnce(Result<(), Error>) + Send>;

/// Lines with one sync.
const GROUP_MAX: usize = 1_024;

/// An open audit. Cheap to clone; the thread ends with the last clone.
#[derive(Clone)]
pub struct AuditLog {
    queue: Sender<(Record, Done)>,
    shared: Arc<Mutex<Shared>>,
    dir: Arc<PathBuf>,
}

struct Shared {
    /// The last line that is durable.
    last: Link,
    refusals: Refusals,
}

/// How many refused calls are noted in this second, of each caller: a flood of one does not hide what is refused to another.
#[derive(Default)]
struct Refusals {
    second: Option<Instant>,
    noted: BTreeMap<Option<PrincipalId>, u32>,
    omitted: u64,
}

/// Callers that are counted one by one, in a second.
const CALLERS_MAX: usize = 1_000;

impl Refusals {
    /// Whether one more of this caller is noted at this moment.
    fn admits(&mut self, who: Option<PrincipalId>, now: Instant) -> bool {
        if self.second.is_none_or(|second| now.duration_since(second) >= Duration::from_secs(1)) {
            self.second = Some(now);
            self.noted.clear();
        }
        let is_one_too_many = self.noted.len() >= CALLERS_MAX && !self.noted.contains_key(&who);
        let noted = self.noted.entry(who).or_default();
        if is_one_too_many || *noted >= AUDIT_REFUSALS_PER_SECOND_MAX {
            self.omitted += 1;
            return false;
        }
        *noted += 1;
        true
    }
}

impl AuditLog {
    /// Opens the audit of a folder, which is made if it is not there, and goes on behind its last line. Where lines are missing that had been
    /// durable the next one says so, and so does every check from then on.
    ///
    /// # Errors
    /// That of the disk.
    pub fn open(dir: &Path, now: WallTime) -> Result<Self, Error> {
        Self::open_with(dir, now, AUDIT_FILE_MAX_BYTES)
    }

    pub(super) fn open_with(dir: &Path, now: WallTime, file_max_bytes: u64) -> Result<Self, Error> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|error| Error::io(dir, &error))?;
        let (mut writer, damage) = Writer::open(dir, file_max_bytes)?;
        if let Some(why) = damage {
            tracing::error!(folder = %dir.display(), why, "the audit is not whole: see `millpond audit --verify`");
            let outcome = Outcome::Damaged(why);
            let text = String::new;
            let (method, what) = ("head/audit".into(), text());
            let record = Record { at: now, who: None, from: text(), method, what, outcome, reason: text(), request_id: text(), omitted: 0 };
            writer.write(&[record])?;
        }
        let shared = Arc::new(Mutex::new(Shared { last: writer.last, refusals: Refusals::default() }));
        let (queue, lines) = channel();
        let for_thread = shared.clone();
        let run = move || run(writer, &lines, &for_thread);
        std::thread::Builder::new().name("audit".into()).spawn(run).map_err(|error| Error::internal(format!("a thread: {error}")))?;
        Ok(Self { queue, shared, dir: Arc::new(dir.to_owned()) })
    }

    /// Notes something; `done` hears when that is durable. Of refused calls only so many a second have a line of their own: `done` hears at
    /// once of one that has none, and the next line says how many there were.
    pub fn note(&self, mut record: Record, done: Done) {
        {
            let refusals = &mut self.shared().refusals;
            let is_refused = matches!(record.outcome, Outcome::Refused(_));
            if is_refused && !refusals.admits(record.who.as_ref().map(|who| who.id), Instant::now()) {
                return done(Ok(()));
            }
            record.omitted = std::mem::take(&mut refusals.omitted);
        }
        if let Err(back) = self.queue.send((record, done)) {
            let (_, done) = back.0;
            done(Err(Error::internal("the audit has ended")));
        }
    }

    /// The last line that is durable.
    pub fn last(&self) -> Link {
        self.shared().last
    }

    /// Where its files are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn shared(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn run(mut writer: Writer, lines: &Receiver<(Record, Done)>, shared: &Mutex<Shared>) {
    while let Ok(first) = lines.recv() {
        let (records, dones): (Vec<Record>, Vec<Done>) = std::iter::once(first).chain(lines.try_iter().take(GROUP_MAX - 1)).unzip();
        let written = writer.write(&records);
        shared.lock().unwrap_or_else(PoisonError::into_inner).last = writer.last;
        if let Err(error) = &written {
            tracing::error!(%error, "the audit can't be written");
        }
        dones.into_iter().for_each(|done| done(written.clone()));
    }
}

/// The open file, and the end of the chain.
struct Writer {
    dir: PathBuf,
    file: File,
    /// Of the file: what is in lines.
    len: u64,
    /// The disk has room for the file up to here.
    ahead: u64,
    file_max_bytes: u64,
    mark: Mark,
    last: Link,
    /// After a failed sync nobody knows what is on the disk.
    broken: Option<Error>,
}

impl Writer {
    /// Goes on behind the last line; also what is missing.
    fn open(dir: &Path, file_max_bytes: u64) -> Result<(Self, Option<String>), Error> {
        let marked = Mark::read(dir);
        let files = files(dir)?;
        // The newest may be empty: begun just before a crash, or emptied.
        let mut last = Link::START;
        let mut len = 0;
        for (at, (_, path)) in files.iter().enumerate().rev() {
            let end = end_of(path)?;
            len = if at + 1 == files.len() { end.map_or(0, |(_, len)| len) } else { len };
            if let Some((link, _)) = end {
                last = link;
                break;
            }
        }
        let path = files.last().map_or_else(|| dir.join(file_name(marked.map_or(1, |mark| mark.seq + 1))), |(_, path)| path.clone());
        let file = open_file(&path)?;
        // A line that was being written when the head ended, and of which nobody was told.
        file.set_len(len).and_then(|()| file.sync_all()).map_err(|error| Error::io(&path, &error))?;
        let missing = |mark: Link| {
            let lost = if last.seq + 1 == mark.seq {
                format!("line {} is", mark.seq)
            } else {
                format!("lines {} to {} are", last.seq + 1, mark.seq)
            };
            format!("{lost} missing: the end was cut off while no head was running")
        };
        let (last, damage) = match marked {
            Some(mark) if last.seq < mark.seq => (mark, Some(missing(mark))),
            Some(mark) if last.seq == mark.seq && last.hash != mark.hash => {
                (mark, Some(format!("line {} was changed while no head was running", mark.seq)))
            }
            None if last.seq > 0 => (last, Some("the file `mark` was missing or damaged: whether lines are missing can't be known".into())),
            _ => (last, None),
        };
        let mark = Mark::open(dir)?;
        mark.put(last)?;
        let writer = Self { dir: dir.to_owned(), file, len, ahead: len, file_max_bytes, mark, last, broken: None };
        Ok((writer, damage))
    }

    /// Writes these lines durably, all or none.
    fn write(&mut self, records: &[Record]) -> Result<(), Error> {
        if let Some(error) = &self.broken {
            return Err(error.clone());
        }
        if self.len >= self.file_max_bytes {
            self.begin_file()?;
        }
        let (mut text, mut last) = (Vec::new(), self.last);
        for record in records {
            let line = record.line(&last)?;
            last = Link::of(last.seq + 1, &line);
            text.extend(line);
            text.push(b'\n');
        }
        self.reach_ahead(self.len + text.len() as u64);
        let failed = |error: std::io::Error| Error::io(&self.dir, &error).context("the audit");
        if let Err(error) = self.file.write_all(&text) {
            // Nothing of it stays; the next try begins where this one did.
            if let Err(error) = self.file.set_len(self.len) {
                self.broken = Some(failed(error));
            }
            return Err(failed(error));
        }
        if let Err(error) = self.file.sync_data() {
            let error = Error { kind: ErrorKind::Internal, ..failed(error) };
            self.broken = Some(error.clone());
            return Err(error);
        }
        (self.len, self.last) = (self.len + text.len() as u64, last);
        // What it says too little is noticed by nobody but a head that has lost its disk as well.
        if let Err(error) = self.mark.put(last) {
            tracing::warn!(%error, "the mark of the audit can't be written");
        }
        Ok(())
    }

    /// Keeps room on the disk for the next lines, where it can.
    fn reach_ahead(&mut self, to: u64) {
        if to + AUDIT_AHEAD_BYTES / 2 > self.ahead {
            let want = to + AUDIT_AHEAD_BYTES - self.len;
            if fallocate(&self.file, FallocateFlags::KEEP_SIZE, self.len, want).is_ok() {
                self.ahead = self.len + want;
            }
        }
    }

    fn begin_file(&mut self) -> Result<(), Error> {
        let file = open_file(&self.dir.join(file_name(self.last.seq + 1)))?;
        // What was kept ahead of the old one is given back.
        self.file.set_len(self.len).ok();
        (self.file, self.len, self.ahead) = (file, 0, 0);
        Ok(())
    }
}

/// To add to; made, durably, if it is not there.
fn open_file(path: &Path) -> Result<File, Error> {
    let failed = |error: std::io::Error| Error::io(path, &error);
    let file = File::options().create(true).append(true).mode(0o600).open(path).map_err(failed)?;
    let dir = path.parent().unwrap_or(Path::new("."));
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed)?;
    Ok(file)
}

/// The last line of a file, and how long the file is up to its end; none for a file without one.
fn end_of(path: &Path) -> Result<Option<(Link, u64)>, Error> {
    let (mut end, mut at): (Option<(Link, u64)>, u64) = (None, 0);
    let size = fs::metadata(path).map_err(|error| Error::io(path, &error))?.len();
    lines_of(path, &mut |line| {
        at += line.len() as u64 + 1;
        // Without its line end it is no line.
        if at <= size {
            let next = end.map_or(1, |(last, _)| last.seq + 1);
            let seq = numbers(line).map_or(next, |(seq, _)| seq);
            end = Some((Link::of(seq, line), at));
        }
        true
    })?;
    Ok(end)
}

#[cfg(test)]
mod tests;
