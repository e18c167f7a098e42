//! What a task prints, opened by another than the task while it runs. Its name stands in a folder that the task can write to.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, fstat, open};

/// Opens an output for reading; none if there is none yet, or something else than a file of the slot's user alone.
///
/// # Errors
/// Those of the file system.
pub fn open_printed(path: &Path, owner: Option<u32>) -> io::Result<Option<File>> {
    // Not through a link, and not waiting for who writes to a pipe.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = match open(path, flags, Mode::empty()) {
        Ok(opened) => opened,
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::LOOP | rustix::io::Errno::NXIO) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    let stat = fstat(&opened)?;
    let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_nlink == 1;
    Ok((is_file && owner.is_none_or(|owner| owner == stat.st_uid)).then(|| File::from(opened)))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_a_file_of_its_own_is_an_output() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("file"), "x").unwrap();
        fs::write(at("second"), "x").unwrap();
        fs::hard_link(at("second"), at("third")).unwrap();
        symlink(at("file"), at("link")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        let is = |name: &str| open_printed(&at(name), None).unwrap().is_some();
        assert!(is("file") && !is("missing") && !is("link") && !is("second") && !is("pipe") && !is("."));
        let own = rustix::process::geteuid().as_raw();
        assert!(open_printed(&at("file"), Some(own)).unwrap().is_some() && open_printed(&at("file"), Some(own + 1)).unwrap().is_none());
    }
}
