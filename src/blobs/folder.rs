//! Folders whose changes survive a loss of power.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;

use crate::domain::Error;

/// Makes `path`, with its parents, durably; fine if it is there.
pub(super) fn create(path: &Path) -> Result<(), Error> {
    match (fs::create_dir(path), path.parent()) {
        (Ok(()), _) => sync_parent(path),
        (Err(error), _) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        (Err(error), Some(parent)) if error.kind() == ErrorKind::NotFound && parent != Path::new("") && !parent.exists() => {
            create(parent)?;
            create(path)
        }
        (Err(error), _) => Err(Error::io(path, &error)),
    }
}

/// What lies in a folder, if it has a name that is text.
pub(super) fn names(folder: &Path) -> Result<Vec<String>, Error> {
    let io = |error| Error::io(folder, &error);
    let entries = fs::read_dir(folder).map_err(io)?;
    let names = entries.map(|entry| entry.map(|entry| entry.file_name().into_string()));
    Ok(names.collect::<Result<Vec<_>, _>>().map_err(io)?.into_iter().flatten().collect())
}

/// Makes what was created, renamed or removed in the folder of `path` durable.
pub(super) fn sync_parent(path: &Path) -> Result<(), Error> {
    let parent = path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
    File::open(parent).and_then(|folder| folder.sync_all()).map_err(|error| Error::io(parent, &error))
}

/// Gives a file its final name, durably. Its content must be synced before.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), Error> {
    fs::rename(from, to).map_err(|error| Error::io(to, &error))?;
    sync_parent(to)
}

/// Opens `path` to read and write, and makes it, durably, if it is not there.
pub(super) fn open_or_create(path: &Path) -> Result<File, Error> {
    let mut options = File::options();
    options.read(true).write(true);
    match options.open(path) {
        Ok(file) => return Ok(file),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(Error::io(path, &error)),
    }
    let file = options.create(true).truncate(false).open(path).map_err(|error| Error::io(path, &error))?;
    sync_parent(path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_made_with_their_parents() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b/c");
        create(&deep).unwrap();
        create(&deep).unwrap();
        assert!(deep.is_dir());
        open_or_create(&deep.join("file")).unwrap();
        open_or_create(&deep.join("file")).unwrap();
        assert!(create(&deep.join("file")).is_err());
        assert!(create(&deep.join("file/below")).is_err());
    }
}
