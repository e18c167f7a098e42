//! Uploads that have begun and not ended: a file each, so that the next stream of the same id goes on there.
//!
//! ```text
//! <folder>/<id>.<about>            of what was said of it, a digest: it has to be the same
//! <folder>/<id>.<about>.<digest>   where the uploader has stated the digest of what is to be stored
//! ```
//! Invariant: what is open now is never given up.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::folder;
use crate::domain::{Digest, Error};
use crate::limits::{PARTIAL_UPLOAD_IDLE_AFTER, PARTIAL_UPLOAD_KEPT, PARTIAL_UPLOADS_MAX};

/// An upload that can be gone on with; its text is its file's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UploadKey {
    /// The client's id of it.
    pub id: u128,
    /// Of all that the client says of it, a digest.
    pub about: Digest,
    /// What is to be stored, if the client knows it.
    pub digest: Option<Digest>,
}

impl fmt::Display for UploadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}.{}", self.id, self.about)?;
        self.digest.map_or(Ok(()), |digest| write!(f, ".{digest}"))
    }
}

impl FromStr for UploadKey {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let parts: Vec<&str> = name.split('.').collect();
        let (id, about, digest) = match parts[..] {
            [id, about] => (id, about, None),
            [id, about, digest] => (id, about, Some(digest)),
            _ => return Err(Error::invalid("not an upload's name")),
        };
        let id = u128::from_str_radix(id, 16).map_err(|_| Error::invalid("not an upload's id"))?;
        Ok(Self { id, about: about.parse()?, digest: digest.map(str::parse).transpose()? })
    }
}

/// All of them.
#[derive(Debug)]
pub(super) struct Partials {
    folder: PathBuf,
    open: Arc<Mutex<BTreeSet<UploadKey>>>,
}

/// One that is open: nobody gives it up until this is dropped.
#[derive(Debug)]
pub(super) struct OpenPartial {
    pub(super) key: UploadKey,
    pub(super) path: PathBuf,
    open: Arc<Mutex<BTreeSet<UploadKey>>>,
}

impl Drop for OpenPartial {
    fn drop(&mut self) {
        locked(&self.open).remove(&self.key);
    }
}

/// One that is not open.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Idle {
    key: UploadKey,
    len: u64,
    /// Since its last byte has come.
    silent_for: Duration,
}

impl Partials {
    pub(super) fn open_folder(folder: PathBuf) -> Result<Self, Error> {
        folder::create(&folder)?;
        Ok(Self { folder, open: Arc::default() })
    }

    /// Opens one, which may be there or not. One at a time for each id: that is the caller's business.
    pub(super) fn open(&self, key: UploadKey) -> Result<OpenPartial, Error> {
        let mut open = locked(&self.open);
        let there = self.keys()?;
        let key = match there.iter().find(|there| there.id == key.id) {
            Some(there) if there.about != key.about => {
                return Err(Error::conflict(
                    "another upload has begun by this upload_id, with another digest, length or form: choose a new one",
                ));
            }
            Some(there) => *there,
            None if there.len() >= PARTIAL_UPLOADS_MAX && !self.makes_room(&open)? => {
                return Err(Error::exhausted(format!(
                    "{} uploads have begun and not ended, no more are taken (PARTIAL_UPLOADS_MAX): try again in a minute, one that is silent for so long makes room",
                    there.len()
                )));
            }
            None => key,
        };
        open.insert(key);
        drop(open);
        Ok(OpenPartial { key, path: self.path(&key), open: self.open.clone() })
    }

    /// How many bytes have come of one, if any have.
    pub(super) fn len(&self, id: u128) -> Result<Option<u64>, Error> {
        let found = self.keys()?.into_iter().find(|key| key.id == id);
        Ok(found.and_then(|key| fs::metadata(self.path(&key)).ok()).map(|data| data.len()).filter(|len| *len > 0))
    }

    /// Takes a file in as the content of one, unless that is there.
    pub(super) fn take_in(&self, key: UploadKey, content: &Path) -> Result<(), Error> {
        if self.keys()?.iter().any(|there| there.id == key.id) || !content.is_file() {
            return Ok(());
        }
        folder::rename(content, &self.path(&key))
    }

    /// Gives up those to which nothing has come for a day; and, if so many bytes are lacking, of those that were silent for a time as many, the
    /// longest first.
    pub(super) fn give_up_old(&self, lacking: u64, idle_after: Duration) -> Result<(), Error> {
        let open = locked(&self.open);
        for idle in chosen(self.idle(&open)?, lacking, idle_after) {
            self.give_up(
                &idle.key,
                if idle.silent_for > PARTIAL_UPLOAD_KEPT { "nothing has come for a day" } else { "the disk lacks room" },
            );
        }
        Ok(())
    }

    /// Gives up those whose content is known by now: another client was faster.
    pub(super) fn give_up_known(&self, is_known: impl Fn(Digest) -> bool) -> Result<(), Error> {
        let open = locked(&self.open);
        let known = self.keys()?.into_iter().filter(|key| !open.contains(key) && key.digest.is_some_and(&is_known));
        known.for_each(|key| self.give_up(&key, "its content is stored"));
        Ok(())
    }

    /// Gives up the one that was silent for longest, and for a time; whether there was one.
    fn makes_room(&self, open: &BTreeSet<UploadKey>) -> Result<bool, Error> {
        let longest = self.idle(open)?.into_iter().max_by_key(|idle| idle.silent_for);
        let longest = longest.filter(|idle| idle.silent_for >= PARTIAL_UPLOAD_IDLE_AFTER);
        longest.iter().for_each(|idle| self.give_up(&idle.key, "so many have begun that the next one needs its place"));
        Ok(longest.is_some())
    }

    fn give_up(&self, key: &UploadKey, why: &str) {
        let path = self.path(key);
        match fs::remove_file(&path) {
            Ok(()) => tracing::info!(path = %path.display(), "removed: an upload that has not ended, {why}"),
            Err(error) => tracing::warn!(path = %path.display(), %error, "an upload that nobody goes on with can't be removed"),
        }
    }

    fn idle(&self, open: &BTreeSet<UploadKey>) -> Result<Vec<Idle>, Error> {
        let closed = self.keys()?.into_iter().filter(|key| !open.contains(key));
        let idle = closed.filter_map(|key| {
            let data = fs::metadata(self.path(&key)).ok()?;
            Some(Idle { key, len: data.len(), silent_for: data.modified().ok()?.elapsed().unwrap_or_default() })
        });
        Ok(idle.collect())
    }

    /// What else lies there is passed over.
    fn keys(&self) -> Result<Vec<UploadKey>, Error> {
        Ok(folder::names(&self.folder)?.iter().filter_map(|name| name.parse().ok()).collect())
    }

    fn path(&self, key: &UploadKey) -> PathBuf {
        self.folder.join(key.to_string())
    }
}

/// Which are given up.
fn chosen(mut idle: Vec<Idle>, lacking: u64, idle_after: Duration) -> Vec<Idle> {
    idle.sort_by_key(|idle| std::cmp::Reverse(idle.silent_for));
    let mut left = lacking;
    idle.retain(|idle| {
        let is_wanted = left > 0 && idle.len > 0 && idle.silent_for >= idle_after;
        let goes = is_wanted || idle.silent_for > PARTIAL_UPLOAD_KEPT;
        left = if goes { left.saturating_sub(idle.len) } else { left };
        goes
    });
    idle
}

fn locked(open: &Mutex<BTreeSet<UploadKey>>) -> MutexGuard<'_, BTreeSet<UploadKey>> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::domain::ErrorKind;

    const MINUTE: Duration = Duration::from_secs(60);
    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn key(id: u128) -> UploadKey {
        UploadKey { id, about: Digest([7; 32]), digest: Some(Digest([9; 32])) }
    }

    fn opened() -> (tempfile::TempDir, Partials) {
        let folder = tempfile::tempdir().unwrap();
        let partials = Partials::open_folder(folder.path().join("partial")).unwrap();
        (folder, partials)
    }

    /// One to which something came so long ago.
    fn partial(partials: &Partials, id: u128, silent_for: Duration) {
        fs::write(partials.path(&key(id)), "text").unwrap();
        let file = fs::File::options().write(true).open(partials.path(&key(id))).unwrap();
        file.set_modified(SystemTime::now() - silent_for).unwrap();
    }

    fn there(partials: &Partials) -> Vec<u128> {
        let mut there: Vec<u128> = partials.keys().unwrap().iter().map(|key| key.id).collect();
        there.sort_unstable();
        there
    }

    #[test]
    fn a_name_is_read_as_it_is_written() {
        for key in [key(0), key(u128::MAX), UploadKey { digest: None, ..key(5) }] {
            assert_eq!(key.to_string().parse::<UploadKey>().unwrap(), key);
        }
        for nonsense in ["", "17", "x.y", "17.ab", &format!("{}.", key(1))] {
            assert!(nonsense.parse::<UploadKey>().is_err(), "{nonsense}");
        }
    }

    #[test]
    fn what_has_been_silent_for_longest_makes_room_and_no_more_than_is_lacking() {
        let idle = |id, len, silent_for| Idle { key: key(id), len, silent_for };
        let all = || {
            vec![idle(1, 10, 2 * MINUTE), idle(2, 10, 9 * MINUTE), idle(3, 0, 8 * MINUTE), idle(4, 10, MINUTE / 2), idle(5, 10, 5 * MINUTE)]
        };
        let goes = |lacking, after| chosen(all(), lacking, after).iter().map(|idle| idle.key.id).collect::<Vec<_>>();
        assert_eq!(goes(0, MINUTE), [0; 0]);
        assert_eq!(goes(1, MINUTE), [2]);
        assert_eq!(goes(11, MINUTE), [2, 5]);
        assert_eq!(goes(1000, MINUTE), [2, 5, 1], "what has just come stays");
        assert_eq!(goes(1000, Duration::ZERO), [2, 5, 1, 4]);
        // What goes after a day makes room as well.
        let with_old = chosen([all(), vec![idle(6, 10, DAY + MINUTE)]].concat(), 1, MINUTE);
        assert_eq!(with_old, [idle(6, 10, DAY + MINUTE)]);
    }

    #[test]
    fn one_that_is_open_is_not_given_up_however_old_and_full_the_disk() {
        let (_folder, partials) = opened();
        (1..=4).for_each(|id| partial(&partials, id, if id == 4 { MINUTE } else { 3 * DAY }));
        let open = (partials.open(key(1)).unwrap(), partials.open(key(2)).unwrap());
        partials.give_up_old(u64::MAX, Duration::ZERO).unwrap();
        assert_eq!(there(&partials), [1, 2]);
        partials.give_up_known(|_| true).unwrap();
        assert_eq!(there(&partials), [1, 2]);
        drop(open.0);
        partials.give_up_old(0, Duration::ZERO).unwrap();
        assert_eq!(there(&partials), [2]);
        drop(open.1);
        partials.give_up_known(|digest| digest != Digest([9; 32])).unwrap();
        assert_eq!(there(&partials), [2]);
        partials.give_up_known(|digest| digest == Digest([9; 32])).unwrap();
        assert_eq!(there(&partials), [0; 0]);
    }

    #[test]
    fn of_too_many_the_one_that_was_silent_for_longest_makes_room_and_none_that_has_just_come() {
        let (_folder, partials) = opened();
        (0..PARTIAL_UPLOADS_MAX as u128)
            .for_each(|id| partial(&partials, id, if id == 7 || id == 8 { id as u32 * MINUTE } else { MINUTE / 2 }));
        let open = partials.open(key(8)).unwrap();
        let new = partials.open(key(5000)).unwrap();
        fs::write(&new.path, "text").unwrap();
        assert!(!there(&partials).contains(&7), "it was silent for seven minutes");
        let error = partials.open(key(5001)).unwrap_err();
        assert!(error.kind == ErrorKind::Exhausted && error.message.contains("try again in a minute"), "{error}");
        drop(open);
        partials.open(key(5001)).unwrap();
        assert!(!there(&partials).contains(&8), "nobody goes on with it any more");
    }

    #[test]
    fn one_that_an_earlier_version_has_begun_is_gone_on_with_and_another_is_a_conflict() {
        let (_folder, partials) = opened();
        let old = UploadKey { digest: None, ..key(1) };
        fs::write(partials.path(&old), "text").unwrap();
        assert_eq!(partials.open(key(1)).unwrap().path, partials.path(&old));
        assert_eq!((partials.len(1).unwrap(), partials.len(2).unwrap()), (Some(4), None));
        let other = UploadKey { about: Digest([8; 32]), ..key(1) };
        assert_eq!(partials.open(other).unwrap_err().kind, ErrorKind::Conflict);
    }
}
