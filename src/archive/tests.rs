//! Folders and zip archives become the same tar; what is odd in them is refused with its name.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;

use tempfile::TempDir;
use zip::write::{SimpleFileOptions, ZipWriter};

use super::{Archive, Layout, tar_name, unpack_files};
use crate::domain::{Chunk, Error, ErrorKind, SplitRule};
use crate::split::Splitter;

/// Names and contents that file systems allow, and programs trip over.
fn odd_files() -> Vec<(Vec<u8>, Vec<u8>)> {
    let files: [(&[u8], &[u8]); 9] = [
        (b"plain.txt", b"a\n"),
        (b"empty", b""),
        (b"sub/deeper/x.txt", &[7; 1000]),
        (b"sub-x", b"between `sub` and `sub/`"),
        (b"new\nline", b"1"),
        (b"not\xffutf-8\xfe", b"2"),
        ("emoji 🦀 é".as_bytes(), b"3"),
        (&[b'l'; 255], b"4"),
        (b"Plain.txt", b"another"),
    ];
    files.map(|(name, data)| (name.to_vec(), data.to_vec())).to_vec()
}

fn folder_of(files: &[(Vec<u8>, Vec<u8>)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, data) in files {
        let path = folder.path().join(OsStr::from_bytes(name));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, data).unwrap();
    }
    folder
}

/// A zip; `zip` writes names that are text, so others are put in afterwards, in place of others of their length.
fn zip_of(files: &[(Vec<u8>, Vec<u8>)]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut writer = ZipWriter::new(file.reopen().unwrap());
    let stand_in =
        |name: &[u8]| name.utf8_chunks().map(|part| part.valid().to_owned() + &"@".repeat(part.invalid().len())).collect::<String>();
    for (no, (name, data)) in files.iter().rev().enumerate() {
        let how = if no % 2 == 0 { zip::CompressionMethod::Stored } else { zip::CompressionMethod::Deflated };
        writer.start_file(stand_in(name), SimpleFileOptions::default().compression_method(how)).unwrap();
        writer.write_all(data).unwrap();
    }
    writer.add_directory("a folder", SimpleFileOptions::default()).unwrap();
    writer.finish().unwrap();
    let mut bytes = fs::read(file.path()).unwrap();
    for (name, _) in files {
        let found = memchr::memmem::find_iter(&bytes.clone(), stand_in(name).as_bytes()).collect::<Vec<_>>();
        found.into_iter().for_each(|at| bytes[at..at + name.len()].copy_from_slice(name));
    }
    fs::write(file.path(), bytes).unwrap();
    file
}

fn tar_of(path: &Path) -> Result<Vec<u8>, Error> {
    let mut archive = Archive::open(path)?.expect("an archive");
    let mut tar = Vec::new();
    archive.write(&mut |bytes| {
        tar.extend_from_slice(bytes);
        Ok(())
    })?;
    assert_eq!(tar.len() as u64, archive.tar_len());
    Ok(tar)
}

fn chunks(tar: &[u8], rule: &str) -> Vec<Chunk> {
    let rule: SplitRule = rule.parse().unwrap();
    let (mut splitter, mut chunks) = (Splitter::new(rule, tar.len() as u64), Vec::new());
    splitter.feed(tar, &mut chunks).unwrap();
    splitter.finish(&mut chunks).unwrap();
    chunks
}

/// What a task would get of a chunk: its files, by their path in the folder.
fn unpacked(tar: &[u8], chunk: &Chunk, layout: Layout) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let part = folder.path().join("part");
    fs::write(&part, &tar[chunk.offset as usize..][..chunk.len as usize]).unwrap();
    let to = folder.path().join("to");
    fs::create_dir(&to).unwrap();
    unpack_files(&part, &to, layout).unwrap();
    files_below(&to, &to)
}

fn files_below(root: &Path, folder: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let below = paths.flat_map(|path| match path.is_dir() {
        true => files_below(root, &path),
        false => BTreeMap::from([(path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec(), fs::read(&path).unwrap())]),
    });
    below.collect()
}

#[test]
fn a_folder_and_a_zip_of_the_same_files_are_the_same_tar() {
    let files = odd_files();
    let (folder, zip) = (folder_of(&files), zip_of(&files));
    let tar = tar_of(folder.path()).unwrap();
    assert!(tar == tar_of(zip.path()).unwrap());
    // By another library: all files, sorted.
    let mut archive = tar::Archive::new(&tar[..]);
    let names: Vec<Vec<u8>> = archive.entries().unwrap().map(|entry| entry.unwrap().path_bytes().into_owned()).collect();
    assert!(names.is_sorted() && names.len() == files.len(), "{names:?}");
    let all = chunks(&tar, "files/chunks:1");
    assert_eq!(unpacked(&tar, &all[0], Layout::Tree), files.iter().cloned().collect());
}

#[test]
fn each_chunk_gives_its_files_and_no_others() {
    let files = odd_files();
    let tar = tar_of(folder_of(&files).path()).unwrap();
    let mut together = BTreeMap::new();
    for chunk in chunks(&tar, "files:2") {
        together.extend(unpacked(&tar, &chunk, Layout::Tree));
    }
    assert_eq!(together, files.iter().cloned().collect());
    let single = chunks(&tar, "files:1").iter().flat_map(|chunk| unpacked(&tar, chunk, Layout::OneFile)).collect::<Vec<_>>();
    assert_eq!(single.len(), files.len());
    let names: Vec<_> = single.iter().map(|(name, _)| String::from_utf8(name.clone()).unwrap()).collect();
    for name in ["x.txt", "new\nline", "emoji 🦀 é", "not_utf-8_", &"l".repeat(255)] {
        assert!(names.iter().any(|other| other == name), "{name}: {names:?}");
    }
}

#[test]
fn what_a_program_makes_of_a_folder_is_taken_too() {
    let files = odd_files();
    let folder = folder_of(&files);
    for format in ["gnu", "pax", "posix"] {
        let output =
            std::process::Command::new("tar").args(["--format", format, "-cf", "-", "."]).current_dir(folder.path()).output().unwrap();
        assert!(output.status.success());
        let all = chunks(&output.stdout, "files/chunks:1");
        assert_eq!(unpacked(&output.stdout, &all[0], Layout::Tree), files.iter().cloned().collect(), "{format}");
    }
}

#[test]
fn links_inside_the_folder_stand_for_their_files() {
    let folder = folder_of(&[(b"a/real".to_vec(), b"text".to_vec())]);
    symlink("a/real", folder.path().join("b")).unwrap();
    symlink("../b", folder.path().join("a/c")).unwrap();
    let tar = tar_of(folder.path()).unwrap();
    let got = unpacked(&tar, &chunks(&tar, "files/chunks:1")[0], Layout::Tree);
    assert_eq!(got, ["a/c", "a/real", "b"].map(|name| (name.as_bytes().to_vec(), b"text".to_vec())).into());
}

#[test]
fn what_is_no_file_in_a_folder_is_refused_with_its_name() {
    let refused = |says: &str, make: &dyn Fn(&Path)| {
        let folder = folder_of(&[(b"a/real".to_vec(), b"text".to_vec())]);
        make(folder.path());
        let error = Archive::open(folder.path()).unwrap_err();
        assert!(error.kind == ErrorKind::Invalid && error.message.contains(says), "{error}");
    };
    let outside = tempfile::NamedTempFile::new().unwrap();
    refused("`a/sock` is a socket", &|root| drop(std::os::unix::net::UnixListener::bind(root.join("a/sock")).unwrap()));
    refused("`pipe` is a named pipe", &|root| {
        rustix::fs::mknodat(rustix::fs::CWD, root.join("pipe"), rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    });
    refused("`loop` is a link that leads back to itself", &|root| symlink("loop", root.join("loop")).unwrap());
    refused("`a/up` is a link to a folder", &|root| symlink("..", root.join("a/up")).unwrap());
    refused("`gone` is a link that leads nowhere", &|root| symlink("nothing", root.join("gone")).unwrap());
    refused("`out` is a link that leads out of the folder", &|root| symlink(outside.path(), root.join("out")).unwrap());
    refused("`null` is a link that leads out", &|root| symlink("/dev/null", root.join("null")).unwrap());
    refused("no file in it", &|root| fs::remove_dir_all(root.join("a")).unwrap());
}

#[test]
fn a_file_that_changes_is_noticed() {
    let folder = folder_of(&[(b"a".to_vec(), b"text".to_vec())]);
    let mut archive = Archive::open(folder.path()).unwrap().unwrap();
    for text in ["longer text", "t"] {
        fs::write(folder.path().join("a"), text).unwrap();
        let error = archive.write(&mut |_| Ok(())).unwrap_err();
        assert!(error.message.contains("`a` has not the 4 bytes that it should have, it changes while it is read"), "{error}");
    }
}

/// A zip whose entries have these names, whatever the library thinks of them.
fn zip_with(names: &[&str], change: impl Fn(&mut Vec<u8>)) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut writer = ZipWriter::new(file.reopen().unwrap());
    for name in names {
        writer.start_file(*name, SimpleFileOptions::default()).unwrap();
        writer.write_all(&[b'x'; 10_000]).unwrap();
    }
    writer.finish().unwrap();
    let mut bytes = fs::read(file.path()).unwrap();
    change(&mut bytes);
    fs::write(file.path(), bytes).unwrap();
    file
}

fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    let found = memchr::memmem::find_iter(bytes, from).collect::<Vec<_>>();
    assert!(!found.is_empty());
    found.into_iter().for_each(|at| bytes[at..at + to.len()].copy_from_slice(to));
}

#[test]
fn a_zip_with_names_that_lead_elsewhere_is_refused() {
    for (name, says) in [
        ("../../x", "`../../x` leads out of its folder"),
        ("/etc/pw", "`/etc/pw` is an absolute name"),
        ("a/../..", "leads out of its folder"),
        ("nul\0abc", "has a NUL byte"),
    ] {
        let zip = zip_with(&["fine", "1234567"], |bytes| replace(bytes, b"1234567", name.as_bytes()));
        let error = Archive::open(zip.path()).unwrap_err();
        assert!(error.kind == ErrorKind::Invalid && error.message.contains(says), "{name}: {error}");
    }
    let twice = zip_with(&["same1", "other", "same2"], |bytes| replace(bytes, b"same2", b"same1"));
    assert!(Archive::open(twice.path()).unwrap_err().message.starts_with("`same1` is there twice"));
    let both = zip_with(&["a/b", "a"], |_| {});
    assert!(Archive::open(both.path()).unwrap_err().message.contains("`a/b` lies in `a`, which is a file"));
}

#[test]
fn links_and_what_can_not_be_read_in_a_zip_are_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut writer = ZipWriter::new(file.reopen().unwrap());
    writer.add_symlink("here", "/etc/passwd", SimpleFileOptions::default()).unwrap();
    writer.finish().unwrap();
    let error = Archive::open(file.path()).unwrap_err();
    assert!(error.message.contains("`here` is a symbolic link") && error.message.contains("-y"), "{error}");
    let encrypted = zip_with(&["secret"], |bytes| {
        let central = memchr::memmem::find(bytes, b"PK\x01\x02").unwrap();
        (bytes[6], bytes[central + 8]) = (bytes[6] | 1, bytes[central + 8] | 1);
    });
    assert!(Archive::open(encrypted.path()).unwrap_err().message.contains("`secret` is encrypted"));
    let lzma = zip_with(&["odd"], |bytes| {
        let central = memchr::memmem::find(bytes, b"PK\x01\x02").unwrap();
        (bytes[8], bytes[central + 10]) = (14, 14);
    });
    let error = Archive::open(lzma.path()).unwrap_err();
    assert!(error.message.contains("`odd` is compressed by") && error.message.contains("only deflate"), "{error}");
    let cut = zip_with(&["a"], |bytes| bytes.truncate(60));
    assert!(Archive::open(cut.path()).unwrap_err().message.starts_with("the zip archive is damaged"));
    let damaged = zip_with(&["a"], |bytes| bytes[40] ^= 0x55);
    let error = tar_of(damaged.path()).unwrap_err();
    assert!(error.kind == ErrorKind::Invalid && error.message.contains("`a`") && error.message.contains("damaged"), "{error}");
}

/// A bomb that says what it makes is as large as it says; one that does not ends where it lies.
#[test]
fn a_zip_that_makes_more_than_it_says_is_refused_at_once() {
    let liar = zip_with(&["bomb"], |bytes| {
        let central = memchr::memmem::find(bytes, b"PK\x01\x02").unwrap();
        bytes[22..26].copy_from_slice(&10u32.to_le_bytes());
        bytes[central + 24..central + 28].copy_from_slice(&10u32.to_le_bytes());
    });
    let mut archive = Archive::open(liar.path()).unwrap().unwrap();
    let mut made = 0;
    let error = archive.write(&mut |bytes| {
        made += bytes.len();
        Ok(())
    });
    let message = error.unwrap_err().message;
    assert!(message.contains("`bomb`") && message.contains("damaged in the zip archive") && made <= 512, "{message}: {made}");
}

#[test]
fn a_directory_that_is_too_large_is_refused_before_it_is_held() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut out = std::io::BufWriter::new(file.reopen().unwrap());
    // Nothing but a directory: a header of 46 bytes and a name for each.
    out.write_all(b"PK\x03\x04").unwrap();
    let count: u32 = 65_535;
    for no in 0..count {
        let mut header = [0; 46];
        header[..4].copy_from_slice(b"PK\x01\x02");
        header[28] = 200;
        out.write_all(&header).unwrap();
        write!(out, "{no:0200}").unwrap();
    }
    let mut end = [0; 22];
    end[..4].copy_from_slice(b"PK\x05\x06");
    end[8..10].copy_from_slice(&u16::MAX.to_le_bytes());
    end[10..12].copy_from_slice(&u16::MAX.to_le_bytes());
    end[12..16].copy_from_slice(&(count * 246).to_le_bytes());
    end[16..20].copy_from_slice(&4u32.to_le_bytes());
    out.write_all(&end).unwrap();
    out.flush().unwrap();
    let error = Archive::open(file.path()).map(|archive| archive.is_some()).unwrap_err();
    assert!(error.kind == ErrorKind::Exhausted && error.message.contains("ZIP_DIRECTORY_MAX_BYTES"), "{error}");
}

#[test]
fn other_files_are_no_archives() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for content in [&b""[..], b"PK", b"text", b"\x1f\x8b\x08"] {
        File::create(file.path()).unwrap().write_all(content).unwrap();
        assert!(Archive::open(file.path()).unwrap().is_none());
    }
    assert_eq!(["x.zip", "x", "x.d", ".zip"].map(tar_name), ["x.tar", "x.tar", "x.d.tar", ".zip.tar"]);
}
