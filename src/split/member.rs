//! The names of files in an archive: checked before anything is done by them.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use crate::limits::{ARCHIVE_FILES_MAX, MEMBER_DEPTH_MAX_FOLDERS, MEMBER_NAME_MAX_BYTES, MEMBER_PATH_MAX_BYTES};

/// Characters of a name that stand in a message.
const SHOWN_CHARS: usize = 120;

/// A file's path below the folder of its archive, as bytes. It leads nowhere else: it is relative, has no `.` and `..`, and no NUL.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemberPath(Vec<u8>);

impl MemberPath {
    /// Checks a name as it stands in an archive; `.` and doubled slashes go. The error completes "`NAME` …".
    pub fn new(name: &[u8]) -> Result<Self, String> {
        if name.starts_with(b"/") {
            return Err("is an absolute name: make the archive from inside the folder".into());
        }
        if name.contains(&0) {
            return Err("has a NUL byte in its name".into());
        }
        let parts: Vec<&[u8]> = name.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".").collect();
        if parts.contains(&&b".."[..]) {
            return Err("leads out of its folder by `..`: make the archive from inside the folder".into());
        }
        if parts.is_empty() {
            return Err("is no name of a file".into());
        }
        if parts.iter().any(|part| part.len() > MEMBER_NAME_MAX_BYTES) {
            return Err(format!("has a part of more than {MEMBER_NAME_MAX_BYTES} bytes (MEMBER_NAME_MAX_BYTES): shorten it"));
        }
        let path = parts.join(&b'/');
        if path.len() > MEMBER_PATH_MAX_BYTES {
            return Err(format!("is longer than {MEMBER_PATH_MAX_BYTES} bytes (MEMBER_PATH_MAX_BYTES): shorten it"));
        }
        if parts.len() > MEMBER_DEPTH_MAX_FOLDERS {
            return Err(format!("lies in more than {MEMBER_DEPTH_MAX_FOLDERS} folders (MEMBER_DEPTH_MAX_FOLDERS): move it up"));
        }
        Ok(Self(path))
    }

    /// With slashes, below the archive's folder.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Its last part.
    pub fn base_name(&self) -> &[u8] {
        self.0.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
    }

    /// The folder it lies in; empty for the archive's own.
    fn folder(&self) -> &[u8] {
        self.0.iter().rposition(|byte| *byte == b'/').map_or(b"", |slash| &self.0[..slash])
    }
}

/// A name for a message: on one line, whatever it holds.
pub fn shown(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    let mut shown = String::new();
    for c in text.chars().take(SHOWN_CHARS) {
        if c.is_control() { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    if text.chars().nth(SHOWN_CHARS).is_some() {
        shown.push('…');
    }
    shown
}

/// All names of an archive: no two files, and no file and folder, have the same. It keeps 128 bits of a digest of each, not the names.
#[derive(Debug, Default)]
pub struct Names {
    /// Whether it is a folder.
    known: BTreeMap<[u8; 16], bool>,
    last_folder: Vec<u8>,
    files: usize,
}

impl Names {
    /// Adds a file. The error completes "`NAME` …".
    pub fn add(&mut self, path: &MemberPath) -> Result<(), String> {
        self.files += 1;
        if self.files > ARCHIVE_FILES_MAX {
            return Err(format!(
                "is one more than the {ARCHIVE_FILES_MAX} files that an archive may have (ARCHIVE_FILES_MAX): make several"
            ));
        }
        if self.known.len() > 2 * ARCHIVE_FILES_MAX {
            let max = 2 * ARCHIVE_FILES_MAX;
            return Err(format!("is one more than the {max} files and folders that an archive may have: make several"));
        }
        match self.known.insert(key(path.as_bytes()), false) {
            None => {}
            Some(false) => return Err("is there twice: which of them is meant?".into()),
            Some(true) => return Err("is a file and a folder at once".into()),
        }
        let folder = path.folder();
        if folder != self.last_folder {
            // Those above it, too: `a` and `a/b` for `a/b/c`.
            let ends = folder.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at).chain([folder.len()]);
            for end in ends {
                if self.known.insert(key(&folder[..end]), true) == Some(false) {
                    return Err(format!("lies in `{}`, which is a file", shown(&folder[..end])));
                }
            }
            self.last_folder = folder.to_owned();
        }
        Ok(())
    }
}

fn key(path: &[u8]) -> [u8; 16] {
    let digest: [u8; 32] = Sha256::digest(path).into();
    digest.first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_leads_elsewhere_is_refused() {
        for (name, says) in [
            (&b"/etc/passwd"[..], "absolute"),
            (b"../x", "`..`"),
            (b"a/../../x", "`..`"),
            (b"a/..", "`..`"),
            (b"a\0b", "NUL"),
            (b"", "no name"),
            (b"./.", "no name"),
            (&[b'a'; 256], "255 bytes"),
            (&b"abcdefgh/".repeat(300), "MEMBER_PATH_MAX_BYTES"),
            (&b"a/".repeat(70), "MEMBER_DEPTH_MAX_FOLDERS"),
        ] {
            let fault = MemberPath::new(name).unwrap_err();
            assert!(fault.contains(says), "{}: {fault}", shown(name));
        }
        for (name, path) in [
            (&b"a/b"[..], &b"a/b"[..]),
            (b"./a//b/./c", b"a/b/c"),
            (b"..a/b..", b"..a/b.."),
            (b"a\nb\xff", b"a\nb\xff"),
            (&[b'a'; 255], &[b'a'; 255]),
            ("🦀".as_bytes(), "🦀".as_bytes()),
        ] {
            assert_eq!(MemberPath::new(name).unwrap().as_bytes(), path);
        }
        assert_eq!(MemberPath::new(b"a/b/c.x").unwrap().base_name(), b"c.x");
        assert_eq!(MemberPath::new(b"c.x").unwrap().base_name(), b"c.x");
    }

    #[test]
    fn a_name_is_there_once() {
        let refused = |names: &[&str]| {
            let mut all = Names::default();
            names.iter().map(|name| all.add(&MemberPath::new(name.as_bytes()).unwrap())).find_map(Result::err)
        };
        assert_eq!(refused(&["a", "A", "b/a", "b/A", "b/c/d", "b/e", "c"]), None, "a name in capitals is another one");
        assert!(refused(&["a", "b", "./a"]).unwrap().contains("twice"));
        assert!(refused(&["a/b", "a"]).unwrap().contains("a file and a folder"));
        assert!(refused(&["a/b/c", "a/b"]).unwrap().contains("a file and a folder"));
        assert!(refused(&["a", "x/y", "a/b/c"]).unwrap().contains("lies in `a`"));
    }

    #[test]
    fn a_name_in_a_message_is_one_line() {
        assert_eq!(shown(b"a\nb\xff\x1b"), "a\\nb\u{fffd}\\u{1b}");
        assert_eq!(shown(&[b'a'; 500]).chars().count(), SHOWN_CHARS + 1);
    }
}
