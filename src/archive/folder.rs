//! A folder's files: all that are in it and below.
//!
//! A link to a file in the folder stands for that file. Anything else is refused with its name, since a file that is silently missing is worse
//! than none: a link that leads out of the folder, to a folder, or nowhere, a socket, a pipe, a device, what can't be read.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use super::canonical::{Member, Sink, sorted, tar_len, write_end, write_file};
use crate::domain::Error;
use crate::limits::{ARCHIVE_FILES_MAX, PIECE_BYTES};
use crate::split::member::{MemberPath, shown};

/// The files of a folder, by name.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    files: Vec<Member<()>>,
}

impl Folder {
    /// Looks through a folder.
    pub(super) fn scan(root: &Path) -> Result<Self, Error> {
        let real_root = fs::canonicalize(root).map_err(|error| Error::io(root, &error))?;
        let (mut files, mut folders) = (Vec::new(), vec![Vec::new()]);
        while let Some(folder) = folders.pop() {
            let path = below(root, &folder);
            for entry in fs::read_dir(&path).map_err(|error| unreadable(&path, &error))? {
                let entry = entry.map_err(|error| unreadable(&path, &error))?;
                let name = entry.file_name();
                let name = if folder.is_empty() { name.as_bytes().to_vec() } else { [&folder, &b"/"[..], name.as_bytes()].concat() };
                let refuse = |fault: &str| Error::invalid(format!("`{}` {fault}", shown(&name)));
                let member = MemberPath::new(&name).map_err(|fault| refuse(&fault))?;
                let kind = entry.file_type().map_err(|error| unreadable(&entry.path(), &error))?;
                if kind.is_dir() {
                    folders.push(name);
                    continue;
                }
                let path = entry.path();
                if kind.is_symlink() {
                    lead_inside(&real_root, &path).map_err(|fault| refuse(&fault))?;
                } else if !kind.is_file() {
                    return Err(refuse(&format!("is {}, and only files and folders are taken: move it away", what_it_is(kind))));
                }
                if files.len() == ARCHIVE_FILES_MAX {
                    return Err(Error::exhausted(format!(
                        "there are more than {ARCHIVE_FILES_MAX} files in it (ARCHIVE_FILES_MAX): make several data sets"
                    )));
                }
                // Whether it can be read is known before anything is sent.
                let len = File::open(&path).and_then(|file| file.metadata()).map_err(|error| unreadable(&path, &error))?.len();
                files.push(Member { path: member, len, from: () });
            }
        }
        Ok(Self { root: root.to_owned(), files: sorted(files)? })
    }

    pub(super) fn tar_len(&self) -> u64 {
        tar_len(&self.files)
    }

    pub(super) fn write(&self, sink: Sink<'_>) -> Result<(), Error> {
        let mut buffer = vec![0; PIECE_BYTES];
        for member in &self.files {
            let path = below(&self.root, member.path.as_bytes());
            write_file(member, "changes while it is read: wait until it is complete", sink, |sink| {
                let mut file = File::open(&path).map_err(|error| unreadable(&path, &error))?;
                loop {
                    let len = file.read(&mut buffer).map_err(|error| unreadable(&path, &error))?;
                    if len == 0 {
                        return Ok(());
                    }
                    sink(&buffer[..len])?;
                }
            })?;
        }
        write_end(sink)
    }
}

fn below(root: &Path, path: &[u8]) -> PathBuf {
    root.join(std::ffi::OsStr::from_bytes(path))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    Error { message: format!("`{}` can't be read: {error}", shown(path.as_os_str().as_bytes())), ..Error::io(path, error) }
}

/// Whether a link leads to a file in the folder. The error completes "`NAME` …".
fn lead_inside(root: &Path, link: &Path) -> Result<(), String> {
    let to = fs::canonicalize(link).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "is a link that leads nowhere: remove it".to_owned(),
        _ if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            "is a link that leads back to itself: remove it".into()
        }
        _ => format!("is a link that can't be followed: {error}"),
    })?;
    if !to.starts_with(root) {
        return Err("is a link that leads out of the folder: copy the file there, or give a tar made with `tar -h`".into());
    }
    let kind = fs::symlink_metadata(&to).map_err(|error| format!("is a link that can't be followed: {error}"))?.file_type();
    match kind.is_file() {
        true => Ok(()),
        false => Err(format!("is a link to {}, and only files are taken: remove it", what_it_is(kind))),
    }
}

fn what_it_is(kind: fs::FileType) -> &'static str {
    match () {
        () if kind.is_dir() => "a folder",
        () if kind.is_socket() => "a socket",
        () if kind.is_fifo() => "a named pipe",
        () if kind.is_char_device() => "a character device",
        () if kind.is_block_device() => "a block device",
        () => "something unknown",
    }
}
