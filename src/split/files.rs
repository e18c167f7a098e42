//! Files: a record is a file of a tar archive, with what stands before it: its long name, its attributes, folders. What follows the last
//! file stays with that.
//!
//! Nothing is repeated: attributes that hold for all files must not change what the files are (see `tar`), and a part of a tar from one
//! header to another is a tar.

use super::cutter::Cutter;
use super::member::{MemberPath, Names};
use super::scanner::Scanner;
use super::tar::{Fault, TarReader, Visitor};
use crate::domain::Error;

/// Finds the ends of files.
#[derive(Debug, Default)]
pub(super) struct FilesScanner {
    tar: TarReader,
    names: Names,
}

struct Visit<'a> {
    cutter: &'a mut Cutter,
    names: &'a mut Names,
}

impl Visitor for Visit<'_> {
    fn file(&mut self, path: MemberPath, _: u64) -> Result<(), Fault> {
        self.names.add(&path)
    }

    fn data(&mut self, _: &[u8]) -> Result<(), Error> {
        Ok(())
    }

    fn end(&mut self, offset: u64) -> Result<(), Error> {
        self.cutter.record_ends(offset)
    }

    fn refuse(&self, offset: u64, fault: Fault) -> Error {
        self.cutter.refuse(offset, fault)
    }
}

impl Scanner for FilesScanner {
    fn scan(&mut self, block: &[u8], _: u64, cutter: &mut Cutter) -> Result<(), Error> {
        self.tar.feed(block, &mut Visit { cutter, names: &mut self.names })
    }

    fn finish(&mut self, _: u64, cutter: &mut Cutter) -> Result<(), Error> {
        self.tar.finish(&Visit { cutter, names: &mut self.names })
    }

    fn nothing_found(&self) -> String {
        "no file in the archive: there is nothing to run on".into()
    }
}

#[cfg(test)]
mod tests {
    use crate::split::member::MemberPath;
    use crate::split::properties::{pieces, refusal, spans};
    use crate::split::tar::header_of;

    fn file(name: &[u8], data: &[u8]) -> Vec<u8> {
        let mut entry = header_of(&MemberPath::new(name).unwrap(), data.len() as u64);
        entry.extend(data);
        entry.resize(entry.len().next_multiple_of(512), 0);
        entry
    }

    /// An entry with something else in its header.
    fn other(name: &[u8], change: impl FnOnce(&mut tar::Header)) -> Vec<u8> {
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name);
        header.set_size(0);
        change(&mut header);
        header.set_cksum();
        header.as_bytes().to_vec()
    }

    #[test]
    fn a_file_goes_with_what_stands_before_it() {
        let long = [&b"a/".repeat(60)[..], b"b"].concat();
        let folder = other(b"d/", |header| header.set_entry_type(tar::EntryType::Directory));
        let archive = [folder, file(b"d/x", b"1"), file(&long, b""), file("ä\n".as_bytes(), &[7; 513]), vec![0; 1024]].concat();
        assert_eq!(spans("files:1", &archive), [(0, 1536), (1536, 1536), (3072, 2560)]);
        assert_eq!(pieces("files:2", &archive).len(), 2);
        assert_eq!(pieces("files/chunks:9", &archive).len(), 3);
    }

    #[test]
    fn sizes_may_be_binary() {
        let entry = other(b"x", |header| header.as_mut_bytes()[124..136].copy_from_slice(b"\x80\0\0\0\0\0\0\0\0\0\x02\0"));
        assert_eq!(spans("files:1", &[entry, vec![1; 512]].concat()), [(0, 1024)]);
        let huge = other(b"x", |header| header.as_mut_bytes()[124..136].copy_from_slice(&[0xff; 12]));
        assert!(refusal("files:1", &huge).contains("`x` (byte 0) has no size, or one over 1 TiB"));
    }

    #[test]
    fn what_is_no_file_is_refused_with_its_name() {
        use tar::EntryType as Type;
        for (kind, says) in [
            (Type::Symlink, "is a symbolic link, and only files and folders are taken: make the archive with `tar -h`"),
            (Type::Link, "is a hard link"),
            (Type::Char, "is a character device"),
            (Type::Block, "is a block device"),
            (Type::Fifo, "is a named pipe"),
            (Type::GNUSparse, "is a sparse file"),
            (Type::new(b'?'), "is of the unknown type `?`"),
        ] {
            let archive = [file(b"a", b""), other(b"here", |header| header.set_entry_type(kind))].concat();
            let message = refusal("files:1", &archive);
            assert!(message.starts_with("`here` (byte 512) ") && message.contains(says), "{message}");
        }
        for (name, says) in
            [(&b"/etc/passwd"[..], "is an absolute name"), (b"a/../../b", "leads out of its folder"), (b"../b", "leads out")]
        {
            let message = refusal("files:1", &other(name, |_| {}));
            assert!(message.contains(says) && message.contains("(byte 0)"), "{message}");
        }
        let twice = [file(b"a", b""), file(b"b", b""), file(b"./a", b"")].concat();
        assert!(refusal("files:1", &twice).starts_with("`a` (byte 1024) is there twice"));
    }

    #[test]
    fn attributes_that_would_change_the_files_are_refused() {
        let with = |kind, text: &str| {
            let before = other(b"p", |header| {
                header.set_entry_type(kind);
                header.set_size(text.len() as u64);
            });
            let mut text = text.as_bytes().to_vec();
            text.resize(512, 0);
            refusal("files:1", &[before, text, file(b"a", b"")].concat())
        };
        use tar::EntryType::{XGlobalHeader, XHeader};
        assert!(with(XGlobalHeader, "9 path=b\n").contains("one `path` for all files, before byte 1024"));
        assert!(with(XHeader, "22 GNU.sparse.major=1\n").contains("a sparse file"));
        assert!(with(XHeader, "11 size=-1\n").contains("`-1` is no size"));
        assert!(with(XHeader, "12 path=b\n").contains("are not in order"));
        assert!(with(XHeader, "13 path=../b\n").contains("leads out of its folder"));
        assert!(with(XHeader, "12 path=a\0b\n").contains("has a NUL byte"));
    }

    #[test]
    fn what_breaks_off_or_goes_on_is_refused_with_its_place() {
        let archive = file(b"a", &[1; 600]);
        for (end, says) in [(0, "is empty"), (100, "no tar archive"), (512, "byte 512, inside `a`"), (1535, "byte 1535, inside `a`")] {
            let message = refusal("files:1", &archive[..end]);
            assert!(message.contains(says), "{end}: {message}");
        }
        assert!(refusal("files:1", b"not a tar".repeat(100).as_slice()).contains("no tar archive"));
        let damaged = [archive.clone(), vec![1; 512]].concat();
        assert!(refusal("files:1", &damaged).contains("no header of a file at byte 1536"));
        let two = [archive.clone(), vec![0; 1024], archive].concat();
        assert!(refusal("files:1", &two).contains("something follows the end of the tar archive, at byte 2560"));
        assert!(refusal("files:1", &[0; 1024]).contains("no file in the archive"));
    }

    #[test]
    fn an_archive_is_not_cut_by_lines() {
        let archive = file(b"a", b"x\n");
        let refused = |rule: &str| crate::split::refuse_other_kind(&archive, &rule.parse().unwrap()).unwrap_err().message;
        assert_eq!(refused("csv:7"), "the data set is an archive of files, which `csv:7` can't cut: split it by files:N");
        assert!(crate::split::refuse_other_kind(&archive, &"files:7".parse().unwrap()).is_ok());
    }
}
