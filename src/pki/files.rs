//! Files of keys: for their owner alone, whole or not at all, and there after a loss of power.

use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::domain::Error;
use crate::limits::CERTIFICATE_FILE_MAX_BYTES;

/// Makes a folder, with its parents, that only its owner can look into; fine if it is there.
pub(super) fn create_folder(path: &Path) -> Result<(), Error> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| Error::io(path, &error))
}

/// Puts `text` in the place of a file, or makes it, readable for its owner alone.
pub(super) fn write(path: &Path, text: &str) -> Result<(), Error> {
    let failed = |error: std::io::Error| Error::io(path, &error);
    let mut beside = path.to_owned().into_os_string();
    beside.push(format!(".{}.new", std::process::id()));
    let beside = PathBuf::from(beside);
    let written = write_new(&beside, text).and_then(|()| fs::rename(&beside, path));
    written.map_err(|error| {
        // It may not be there; the error that counts is the one at hand.
        fs::remove_file(&beside).ok();
        failed(error)
    })?;
    sync_folder_of(path)
}

fn write_new(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    // Also where it was left there by a process that was killed.
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Makes what was made, renamed or removed beside `path` durable.
pub(super) fn sync_folder_of(path: &Path) -> Result<(), Error> {
    let folder = path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| Error::io(folder, &error))
}

/// What is in a file with a key.
///
/// # Errors
/// `Denied` if all the machine can read it: then it is no secret.
pub(super) fn read_secret(path: &Path) -> Result<String, Error> {
    let failed = |error: std::io::Error| Error::io(path, &error);
    let file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode();
    // A group may: that is how a container is given its secrets.
    if mode & 0o007 != 0 {
        return Err(Error::denied(format!(
            "{}: everybody on this machine can read this key: chmod 600 it, and if others may have, make a new one",
            path.display()
        )));
    }
    read_all(path, file)
}

/// What is in a file without one.
pub(super) fn read(path: &Path) -> Result<String, Error> {
    let file = File::open(path).map_err(|error| Error::io(path, &error))?;
    read_all(path, file)
}

fn read_all(path: &Path, file: File) -> Result<String, Error> {
    let mut text = String::new();
    let read = file.take(CERTIFICATE_FILE_MAX_BYTES as u64 + 1).read_to_string(&mut text);
    read.map_err(|error| Error::io(path, &error))?;
    if text.len() > CERTIFICATE_FILE_MAX_BYTES {
        return Err(Error::invalid(format!(
            "{}: longer than {CERTIFICATE_FILE_MAX_BYTES} bytes: this is no file of certificates of ours",
            path.display()
        )));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ErrorKind;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_key_is_written_whole_for_its_owner_alone_and_is_not_read_where_all_can() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a/b");
        create_folder(&folder).unwrap();
        create_folder(&folder).unwrap();
        let key = folder.join("key");
        write(&key, "old").unwrap();
        write(&key, "new").unwrap();
        assert_eq!((read_secret(&key).unwrap().as_str(), mode(&key), mode(&folder)), ("new", 0o600, 0o700));
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing else is left");
        for (open, is_read) in [(0o640, true), (0o644, false), (0o602, false)] {
            fs::set_permissions(&key, Permissions::from_mode(open)).unwrap();
            let read = read_secret(&key);
            assert_eq!(read.as_ref().err().map(|error| error.kind), (!is_read).then_some(ErrorKind::Denied), "{open:o}");
        }
        assert_eq!(read(&folder.join("none")).unwrap_err().kind, ErrorKind::NotFound);
        write(&key, &"x".repeat(CERTIFICATE_FILE_MAX_BYTES + 1)).unwrap();
        assert_eq!(read(&key).unwrap_err().kind, ErrorKind::Invalid);
    }
}
