//! What `notify` knows between two of its lives, in a folder: what of the jobs it has told, what is still to be delivered, and how far each has come.
//!
//! ```text
//! notices.json      jobs and letters; written before anything of a look is delivered
//! delivered.json    how far each has come since; small, written after each delivery
//! lock              held by the one that runs
//! ```

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::new_file;
use crate::domain::Error;
use crate::engine::notices::{Lookout, Post};

const VERSION: u32 = 1;

/// See the module.
pub(crate) struct Notified {
    folder: PathBuf,
    /// Whose jobs they are.
    head: String,
    _lock: File,
}

#[derive(Serialize, Deserialize)]
struct Notices {
    version: u32,
    head: String,
    lookout: Lookout,
    post: Post,
}

#[derive(Serialize, Deserialize)]
struct Delivered {
    version: u32,
    /// Of each: its name, the number of the next letter, and how many are lost to it.
    places: Vec<(String, u64, u64)>,
}

impl Notified {
    /// Opens the folder, or makes it, and reads what is in it; `names` are those who get letters now.
    ///
    /// `Conflict` if another one runs on it, or it is of another head; `Corrupt` for what can't be read.
    pub(crate) fn open(folder: &Path, head: &str, names: &[String]) -> Result<(Self, Lookout, Post), Error> {
        std::fs::create_dir_all(folder).map_err(|error| Error::io(folder, &error))?;
        let path = folder.join("lock");
        let lock = File::create(&path).map_err(|error| Error::io(&path, &error))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => {
                Error::conflict(format!("another `millpond notify` runs on {}: name another folder with --state", folder.display()))
            }
            TryLockError::Error(error) => Error::io(&path, &error),
        })?;
        let this = Self { folder: folder.to_owned(), head: head.to_owned(), _lock: lock };
        let (lookout, mut post) = match read::<Notices>(&this.notices())? {
            Some(kept) if kept.head != head => {
                let folder = folder.display();
                let was = kept.head;
                return Err(Error::conflict(format!(
                    "{folder} has notices of {was}, and this is {head}: name another folder with --state"
                )));
            }
            Some(kept) => (kept.lookout, kept.post),
            None => (Lookout::default(), Post::default()),
        };
        post.serves(names.iter().cloned());
        if let Some(delivered) = read::<Delivered>(&this.delivered())? {
            for (name, next, lost) in delivered.places {
                post.has_come_to(&name, next, lost);
            }
        }
        Ok((this, lookout, post))
    }

    /// What is to be delivered from now on is on the disk.
    pub(crate) fn keep(&self, lookout: &Lookout, post: &Post) -> Result<(), Error> {
        let kept = Notices { version: VERSION, head: self.head.clone(), lookout: lookout.clone(), post: post.clone() };
        write(&self.notices(), &kept)
    }

    /// How far each has come.
    pub(crate) fn keep_places(&self, post: &Post) -> Result<(), Error> {
        let places = post.places().map(|(name, next, lost)| (name.to_owned(), next, lost)).collect();
        write(&self.delivered(), &Delivered { version: VERSION, places })
    }

    fn notices(&self) -> PathBuf {
        self.folder.join("notices.json")
    }

    fn delivered(&self) -> PathBuf {
        self.folder.join("delivered.json")
    }
}

fn write(path: &Path, kept: &impl Serialize) -> Result<(), Error> {
    let text = serde_json::to_string(kept).map_err(|error| Error::internal(format!("can't write JSON: {error}")))?;
    new_file::replace(path, &text)
}

fn read<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<Option<T>, Error> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io(path, &error)),
    };
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let bad = |why: String| {
        let path = path.display();
        Error::corrupt(format!("{path} is not what `millpond notify` keeps ({why}): remove it, and what was not delivered yet is lost"))
    };
    let Version { version } = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
    if version != VERSION {
        return Err(bad(format!("version {version}; this program knows {VERSION}")));
    }
    serde_json::from_str(&text).map(Some).map_err(|error| bad(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ErrorKind;
    use crate::engine::notices::Letter;

    fn letter(body: &str) -> Letter {
        Letter { event: "failed".into(), job: "j1".into(), text: String::new(), body: body.into() }
    }

    #[test]
    fn what_is_kept_is_there_again_and_what_was_delivered_since_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let names = ["a".to_owned()];
        let (kept, lookout, mut post) = Notified::open(dir.path(), "http://lab", &names).unwrap();
        let busy = Notified::open(dir.path(), "http://lab", &names).err().unwrap();
        assert!(busy.message.contains("--state"), "{busy}");
        post.add(letter("1"));
        post.add(letter("2"));
        kept.keep(&lookout, &post).unwrap();
        post.due(crate::domain::Instant(0));
        post.delivered("a");
        kept.keep_places(&post).unwrap();
        drop(kept);
        let (_, again, mut post) = Notified::open(dir.path(), "http://lab", &names).unwrap();
        assert_eq!(again, lookout);
        assert_eq!(post.due(crate::domain::Instant(0)), [("a".to_owned(), 1, letter("2"))]);
    }

    #[test]
    fn what_is_of_another_head_or_can_not_be_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (kept, lookout, post) = Notified::open(dir.path(), "http://lab", &[]).unwrap();
        kept.keep(&lookout, &post).unwrap();
        drop(kept);
        assert_eq!(Notified::open(dir.path(), "http://other", &[]).err().unwrap().kind, ErrorKind::Conflict);
        for bad in ["", "{}", "{\"version\":9}", "{\"version\":1}"] {
            std::fs::write(dir.path().join("notices.json"), bad).unwrap();
            assert_eq!(Notified::open(dir.path(), "http://lab", &[]).err().unwrap().kind, ErrorKind::Corrupt, "{bad}");
        }
    }
}
