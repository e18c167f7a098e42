//! Files that people keep: written whole or not at all.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::domain::Error;

/// Puts `text` in the place of a file, or makes it, with its folder, for its owner alone: others' eyes are for him to let in. Behind a link
/// it is the file there that changes.
pub(crate) fn replace(path: &Path, text: &str) -> Result<(), Error> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(|error| Error::io(folder, &error))?;
    let mut beside = path.clone().into_os_string();
    beside.push(format!(".{}.new", std::process::id()));
    let beside = PathBuf::from(beside);
    let written = write(&beside, &path, text).and_then(|()| fs::rename(&beside, &path)).and_then(|()| File::open(folder)?.sync_all());
    written.map_err(|error| {
        // It may not be there; the error that counts is the one at hand.
        fs::remove_file(&beside).ok();
        Error::io(&path, &error)
    })
}

fn write(beside: &Path, path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(beside)?;
    if let Ok(before) = fs::metadata(path) {
        file.set_permissions(fs::Permissions::from_mode(before.permissions().mode()))?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_where_it_really_lies_and_keeps_its_mode() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().join("real.toml");
        fs::write(&real, "old").unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
        let link = dir.path().join("link.toml");
        std::os::unix::fs::symlink(&real, &link).unwrap();
        replace(&link, "new").unwrap();
        assert!(link.is_symlink());
        assert_eq!(
            (fs::read_to_string(&real).unwrap().as_str(), fs::metadata(&real).unwrap().permissions().mode() & 0o777),
            ("new", 0o640)
        );
        let fresh = dir.path().join("a/b/fresh.toml");
        replace(&fresh, "x").unwrap();
        assert_eq!(fs::metadata(&fresh).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3, "nothing else is left");
        assert!(replace(&real.join("x"), "x").is_err());
    }
}
