//! What is packed, and what is not.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::Command;

use flate2::read::DeflateDecoder;
use rustix::fs::{CWD, FileType, Mode};

use super::super::check::check_packed;
use super::*;
use crate::domain::result::FINAL_BLOCK;

/// A slot's folder with an empty output folder.
struct Slot(tempfile::TempDir);

impl Slot {
    fn new() -> Self {
        let slot = Self(tempfile::tempdir().unwrap());
        fs::create_dir(slot.output()).unwrap();
        slot
    }

    fn output(&self) -> PathBuf {
        self.0.path().join("output")
    }

    fn leaves(&self, name: impl AsRef<OsStr>, content: impl AsRef<[u8]>) -> &Self {
        let path = self.output().join(name.as_ref());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    fn prints(&self, stream: &str, content: impl AsRef<[u8]>) -> &Self {
        fs::write(self.0.path().join(stream), content).unwrap();
        self
    }

    fn packed(&self) -> Result<(Packed, Vec<u8>), PackError> {
        self.packed_with(&mut Press::default())
    }

    fn packed_with(&self, press: &mut Press) -> Result<(Packed, Vec<u8>), PackError> {
        let (stdout, stderr, output) = (self.0.path().join("stdout"), self.0.path().join("stderr"), self.output());
        let left = Left { stdout: Some(&stdout), stderr: Some(&stderr), output: Some(&output), owner: None };
        let mut bytes = Vec::new();
        let packed = pack(&left, press, &mut bytes)?;
        assert_eq!(packed.packed_len(), Some(bytes.len() as u64));
        check_packed(&packed).unwrap();
        Ok((packed, bytes))
    }

    /// Names and contents, read back.
    fn result(&self) -> Vec<(String, Vec<u8>)> {
        let (packed, bytes) = self.packed().unwrap();
        let mut rest = bytes.as_slice();
        let mut contents = Vec::new();
        for entry in &packed.entries {
            let (piece, after) = rest.split_at(entry.packed_len as usize);
            rest = after;
            let mut content = Vec::new();
            DeflateDecoder::new([piece, &FINAL_BLOCK].concat().as_slice()).read_to_end(&mut content).unwrap();
            assert_eq!((entry.len, entry.crc32), (content.len() as u64, crc32fast::hash(&content)));
            contents.push((label(&entry.kind).to_owned(), content));
        }
        contents
    }

    fn names(&self) -> Vec<String> {
        self.result().into_iter().map(|(name, _)| name).collect()
    }

    fn refusal(&self) -> String {
        match self.packed().unwrap_err() {
            PackError::Bad { reason } => reason,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn streams_come_first_then_files_by_name() {
    let slot = Slot::new();
    slot.prints("stdout", "out").prints("stderr", "err").leaves("b", "B").leaves("a/x", "X").leaves("a.txt", "").leaves("stdout", "mine");
    let named = |name: &str, content: &str| (name.to_owned(), content.as_bytes().to_vec());
    let expected =
        [named("standard output", "out"), named("standard error", "err"), named("a.txt", ""), named("a/x", "X"), named("b", "B")];
    assert_eq!(slot.result()[..5], expected);
}

#[test]
fn nothing_left_is_a_result_too() {
    assert_eq!(Slot::new().names(), [""; 0]);
    let silent = Slot::new();
    silent.prints("stdout", "").prints("stderr", "");
    assert_eq!(silent.packed().unwrap(), Slot::new().packed().unwrap());
    assert!(silent.packed().unwrap().0.digest.is_some());
    let unnamed = pack(&Left::default(), &mut Press::default(), &mut Vec::new()).unwrap();
    assert_eq!(silent.packed().unwrap().0, unnamed, "what is empty need not be looked at");
}

#[test]
fn what_was_packed_before_does_not_show() {
    let mut press = Press::default();
    let slots = [("", "x"), ("a", ""), ("out", "file"), ("a", "")].map(|(printed, content)| {
        let slot = Slot::new();
        slot.prints("stdout", printed.repeat(70_000)).prints("stderr", printed).leaves("f", content.repeat(40_000));
        slot
    });
    for slot in &slots {
        // One that fails in the midst of a content, with half of it in the press.
        let path = slot.leaves("long", "x".repeat(200_000)).output().join("long");
        let mut to = Vec::new();
        let mut packer = Packer::new(&mut press, &mut to);
        assert!(packer.content(EntryKind::File("long".into()), File::open(&path).unwrap(), 300_000).is_err());
        assert_eq!(slot.packed_with(&mut press).unwrap(), slot.packed().unwrap());
    }
}

#[test]
fn only_the_end_of_standard_error_is_kept() {
    let slot = Slot::new();
    slot.prints("stderr", [vec![b'a'; 100_000], vec![b'z'; limits::STDERR_KEPT_BYTES]].concat());
    assert_eq!(slot.result()[0].1, vec![b'z'; limits::STDERR_KEPT_BYTES]);
}

#[test]
fn the_digest_stands_for_output_and_files_alone() {
    let digest = |stdout: &str, stderr: &str, name: &str, content: &str| {
        let slot = Slot::new();
        slot.prints("stdout", stdout).prints("stderr", stderr).leaves(name, content).packed().unwrap().0.digest
    };
    assert_eq!(digest("out", "one", "f", "x"), digest("out", "another", "f", "x"));
    assert_ne!(digest("out", "", "f", "x"), digest("outf", "", "f", "x"));
    assert_ne!(digest("out", "", "f", "x"), digest("out", "", "g", "x"));
    let slot = Slot::new();
    let by_hand = [&[0; 4][..], &2u64.to_le_bytes(), b"hi", &1u32.to_le_bytes(), b"f", &1u64.to_le_bytes(), b"x"].concat();
    let digest = slot.prints("stdout", "hi").leaves("f", "x").packed().unwrap().0.digest;
    assert_eq!(digest, Some(Digest(Sha256::digest(by_hand).into())));
}

#[test]
fn the_same_contents_give_the_same_bytes() {
    let names = ["z", "a/b/c", "a/d", "m:n", "m\\n"];
    let (forth, back) = (Slot::new(), Slot::new());
    for (name, from_behind) in names.iter().zip(names.iter().rev()) {
        forth.leaves(name, name.repeat(50_000));
        back.leaves(from_behind, from_behind.repeat(50_000));
    }
    assert_eq!(forth.packed().unwrap(), back.packed().unwrap());
}

#[test]
fn links_out_of_the_folder_and_what_is_no_file_are_left_out_and_named() {
    let slot = Slot::new();
    let output = slot.leaves("real", "1").output();
    fs::write(slot.0.path().join("secret"), "s").unwrap();
    symlink("../secret", output.join("up")).unwrap();
    symlink("/etc/passwd", output.join("far")).unwrap();
    symlink("/etc", output.join("folder")).unwrap();
    symlink("real", output.join("near")).unwrap();
    symlink("loop", output.join("loop")).unwrap();
    symlink("nowhere", output.join("dangling")).unwrap();
    rustix::fs::mknodat(CWD, output.join("pipe"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    let _socket = UnixListener::bind(output.join("socket")).unwrap();
    let result = slot.result();
    assert_eq!(result.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["standard error", "near", "real"]);
    assert_eq!(result[1].1, b"1", "a link to a file of the folder stands for its content");
    let said = String::from_utf8(result[0].1.clone()).unwrap();
    let said: Vec<&str> = said.lines().map(|line| line.strip_prefix("millpond: left out of the result: ").unwrap()).collect();
    let outside = "points out of the output folder";
    assert_eq!(
        said,
        [
            "dangling points to nothing",
            &format!("far {outside}"),
            &format!("folder {outside}"),
            "loop leads in a circle",
            "pipe is no file",
            "socket is no file",
            &format!("up {outside}"),
        ]
    );
}

#[test]
fn links_are_followed_within_the_folder_and_never_out_of_it() {
    let slot = Slot::new();
    let output = slot.leaves("d/real", "1").prints("stderr", "err\n").output();
    fs::write(slot.0.path().join("secret"), "s").unwrap();
    // There and back, which is out of it for a moment; a way through a link to a folder; one by the folder's absolute path; a chain.
    symlink("../output/d/real", output.join("detour")).unwrap();
    symlink("d", output.join("e")).unwrap();
    symlink("e/real", output.join("through")).unwrap();
    symlink(output.join("d/real"), output.join("absolute")).unwrap();
    symlink(output.join("../secret"), output.join("above")).unwrap();
    symlink("../through", output.join("d/chain")).unwrap();
    symlink("/proc/self/exe", output.join("magic")).unwrap();
    let result = slot.result();
    assert_eq!(
        result.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        ["standard error", "absolute", "d/chain", "d/real", "through"]
    );
    assert!(result[1..].iter().all(|(_, content)| content == b"1"));
    let said = String::from_utf8_lossy(&result[0].1).into_owned();
    assert!(said.starts_with("err\nmillpond: left out of the result: above points out of"), "{said}");
    assert!(said.contains("detour points out of") && said.contains("e points to a folder") && said.contains("magic points out of"));
}

#[test]
fn where_the_task_has_a_user_of_its_own_what_is_another_s_is_refused() {
    let slot = Slot::new();
    let output = slot.leaves("d/mine", "1").output();
    let (stdout, own) = (slot.0.path().join("stdout"), rustix::process::geteuid().as_raw());
    let pack_for = |owner| {
        let left = Left { stdout: Some(&stdout), stderr: None, output: Some(&output), owner: Some(owner) };
        pack(&left, &mut Press::default(), &mut Vec::new()).map_err(|error| error.to_string())
    };
    assert_eq!(pack_for(own).unwrap().entries.len(), 1);
    assert_eq!(pack_for(own + 1).unwrap_err(), "the output folder belongs to another user than the task's: let it copy that");
    if own != 0 {
        return println!("only root can give files away");
    }
    let give = |path: &Path, owner| std::os::unix::fs::chown(path, Some(owner), Some(owner)).unwrap();
    fs::write(&stdout, "out").unwrap();
    for path in [&output, &output.join("d"), &stdout] {
        give(path, 70_000);
    }
    // A hard link to a file of root's, a link to it, a folder.
    symlink("d/mine", output.join("link")).unwrap();
    let refused = |name: &str| format!("{name} belongs to another user than the task's: let it copy that");
    assert_eq!(pack_for(70_000).unwrap_err(), refused("d/mine"));
    give(&output.join("d/mine"), 70_000);
    assert_eq!(pack_for(70_000).unwrap().entries.len(), 3);
    fs::create_dir(output.join("theirs")).unwrap();
    assert_eq!(pack_for(70_000).unwrap_err(), refused("theirs"));
    fs::remove_dir(output.join("theirs")).unwrap();
    give(&stdout, 0);
    assert_eq!(pack_for(70_000).unwrap_err(), refused("standard output"));
}

#[test]
fn a_link_that_is_turned_after_the_look_leads_nowhere() {
    let slot = Slot::new();
    let output = slot.leaves("real", "1").output();
    symlink("real", output.join("link")).unwrap();
    let folder = Folder::list(&output, None).unwrap();
    fs::remove_file(output.join("link")).unwrap();
    symlink("/etc/passwd", output.join("link")).unwrap();
    assert!(matches!(folder.open(&folder.files[0]), Err(PackError::Bad { .. })));
}

#[test]
fn an_output_folder_or_stream_that_is_a_link_is_refused() {
    let slot = Slot::new();
    fs::remove_dir(slot.output()).unwrap();
    symlink("/etc", slot.output()).unwrap();
    assert_eq!(slot.refusal(), "the output folder is a link or something else that is not read");
    fs::remove_file(slot.output()).unwrap();
    assert_eq!(slot.refusal(), "the output folder is missing, or vanished while it was read");
    fs::create_dir(slot.output()).unwrap();
    symlink("/etc/passwd", slot.0.path().join("stdout")).unwrap();
    assert_eq!(slot.refusal(), "standard output is a link or something else that is not read");
    fs::remove_file(slot.0.path().join("stdout")).unwrap();
    rustix::fs::mknodat(CWD, slot.0.path().join("stderr"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    assert_eq!(slot.refusal(), "standard error is no regular file");
}

#[test]
fn a_link_put_in_place_after_the_look_leads_nowhere() {
    let slot = Slot::new();
    let output = slot.leaves("d/f", "1").leaves("g", "2").output();
    let folder = Folder::list(&output, None).unwrap();
    fs::rename(output.join("d"), slot.0.path().join("d")).unwrap();
    symlink("../d", output.join("d")).unwrap();
    fs::remove_file(output.join("g")).unwrap();
    symlink("/etc/passwd", output.join("g")).unwrap();
    assert!(folder.files.iter().all(|found| matches!(folder.open(found), Err(PackError::Bad { .. }))));
}

#[test]
fn odd_names_become_plain_ones() {
    let slot = Slot::new();
    for name in [&b"a:b"[..], b"a_b", b"bad\xff", b"new\nline", b"d\\/x", b"d_/x", "ü ~".as_bytes(), b"..."] {
        slot.leaves(OsStr::from_bytes(name), "");
    }
    assert_eq!(slot.names(), ["...", "a_b", "a_b~2", "bad_", "d_/x", "d_~2/x", "new_line", "ü ~"]);
}

#[test]
fn deep_folders_long_names_and_many_files_have_limits() {
    let nested = |depth: usize, part: &str| format!("{}f", format!("{part}/").repeat(depth));
    let deep = Slot::new();
    assert_eq!(deep.leaves(nested(64, "d"), "").names().len(), 1);
    assert_eq!(deep.leaves(nested(65, "d"), "").refusal(), "its folders are nested deeper than 64");
    let long = Slot::new();
    long.leaves(nested(11, &"n".repeat(100)), "");
    assert!(long.refusal().ends_with("… is longer than 1024 bytes"), "{}", long.refusal());
    let many = Slot::new();
    for number in 0..limits::OUTPUT_FILES_MAX {
        fs::write(many.output().join(number.to_string()), "").unwrap();
    }
    assert_eq!(many.packed().unwrap().0.entries.len(), limits::OUTPUT_FILES_MAX);
    assert_eq!(many.leaves("more", "").refusal(), "it left more than 10000 files: let it put them into an archive (tar, zip)");
}

#[test]
fn a_sparse_file_that_claims_too_much_is_refused() {
    let slot = Slot::new();
    slot.leaves("sparse", "");
    File::options().write(true).open(slot.output().join("sparse")).unwrap().set_len(OUTPUT_MAX_BYTES + 1).unwrap();
    assert_eq!(slot.refusal(), "it left more than 68719476736 bytes");
}

#[test]
fn a_file_counts_with_the_length_it_had_when_opened() {
    let slot = Slot::new();
    let path = slot.leaves("f", "12345").output().join("f");
    let mut to = Vec::new();
    let mut press = Press::default();
    let mut packer = Packer::new(&mut press, &mut to);
    packer.content(EntryKind::File("f".into()), File::open(&path).unwrap(), 3).unwrap();
    let shrunk = packer.content(EntryKind::File("f".into()), File::open(&path).unwrap(), 9).unwrap_err();
    assert_eq!(packer.finish().entries[0].len, 3);
    assert_eq!(shrunk.to_string(), "f shrank while it was read");
}

#[test]
fn a_writer_that_fails_says_nothing_about_the_task() {
    let slot = Slot::new();
    slot.prints("stdout", "text");
    let full = &mut &mut [0u8; 3][..];
    let (stdout, output) = (slot.0.path().join("stdout"), slot.output());
    let left = Left { stdout: Some(&stdout), stderr: Some(Path::new("/none")), output: Some(&output), owner: None };
    let error = pack(&left, &mut Press::default(), full).unwrap_err();
    assert!(matches!(error, PackError::Io(_)));
}

/// Set for the second start of the test below.
const AGAIN: &str = "MILLPOND_TEST_WITHOUT_CAPABILITIES";

/// Permissions bind root only without the capability to ignore them, so root asks `setpriv` to start this test again without.
#[test]
fn what_its_owner_may_not_read_is_made_readable() {
    let slot = Slot::new();
    slot.leaves("locked", "1").leaves("d/e/f", "2").leaves("listable/g", "3");
    for (name, mode) in [("locked", 0), ("d/e", 0), ("d", 0), ("listable", 0o400), ("", 0)] {
        fs::set_permissions(slot.output().join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    let is_bound = File::open(slot.output().join("locked")).is_err();
    if is_bound {
        assert_eq!(slot.names(), ["d/e/f", "listable/g", "locked"]);
        return;
    }
    assert!(std::env::var_os(AGAIN).is_none(), "permissions still bind nobody");
    let caps = "-dac_override,-dac_read_search";
    let name = "what_its_owner_may_not_read_is_made_readable";
    let test = Command::new("setpriv")
        .args(["--bounding-set", caps, "--inh-caps", caps])
        .arg(std::env::current_exe().unwrap())
        .env(AGAIN, "1")
        .args([&format!("{}::{name}", module_path!().split_once("::").unwrap().1), "--exact"])
        .output();
    match test {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && said.contains("1 passed"), "{output:?}");
        }
        Err(error) => eprintln!("can't be tried here: setpriv: {error}"),
    }
}
