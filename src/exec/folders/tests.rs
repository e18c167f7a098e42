//! What a slot's folders are after what tasks do to them.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::Command;

use super::*;

struct Place {
    root: tempfile::TempDir,
    folders: SlotFolders,
}

impl Place {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let folders = SlotFolders::new(&root.path().join("slots"), 3, None).unwrap();
        Self { root, folders }
    }

    /// Does what a task could do, in its working folder; then resets, and all must be as new.
    fn after(mut self, script: &str) -> Self {
        self.does(script);
        assert_eq!(self.folders.look() == Found::NOTHING, script == ":", "{script}");
        self.folders.reset().unwrap();
        self.is_as_new();
        self
    }

    fn does(&self, script: &str) {
        let status = Command::new("/bin/sh").args(["-ec", script]).current_dir(self.folders.work()).status().unwrap();
        assert!(status.success(), "{script}");
    }

    fn is_as_new(&mut self) {
        let mut names: Vec<_> = fs::read_dir(self.folders.slot()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.retain(|name| name != "stdout" && name != "stderr");
        names.sort();
        assert_eq!(names, ["in", "out", "work"]);
        for folder in [self.folders.work(), self.folders.out(), &self.folders.slot().join("in")] {
            let meta = fs::symlink_metadata(folder).unwrap();
            assert!(meta.is_dir() && meta.permissions().mode() & 0o7777 == 0o700);
            assert_eq!(fs::read_dir(folder).unwrap().count(), 0);
        }
        for file in [self.folders.stdout(), self.folders.stderr()] {
            assert!(fs::symlink_metadata(file).map_or(true, |meta| meta.is_file() && meta.len() == 0 && meta.nlink() == 1));
        }
        assert_eq!(self.folders.look(), Found::NOTHING);
    }
}

#[test]
fn folders_that_were_not_used_stay_the_same() {
    let place = Place::new();
    let inode = |path: &Path| fs::metadata(path).unwrap().ino();
    let before = [inode(place.folders.work()), inode(place.folders.out())];
    let place = place.after(":");
    assert_eq!(before, [inode(place.folders.work()), inode(place.folders.out())]);
}

#[test]
fn files_folders_and_outputs_are_removed() {
    Place::new()
        .after("mkdir -p a/b/c ../out/d; echo > a/b/c/f; echo > ../out/d/g; echo > .hidden; mkfifo p; echo > ../stdout; mkdir ../stderr")
        .after("i=0; while [ $i -lt 500 ]; do : > f$i; mkdir d$i; : > d$i/f; i=$((i+1)); done")
        .after("ln -s loop loop; ln -s / root; echo x > ../junk; mkdir -p ../more/junk")
        .after("mkdir -p ../trash/0/1 ../trash/18446744073709551615/2; : > ../trash/1");
}

#[test]
fn locked_folders_are_removed() {
    Place::new().after("mkdir -p a/b/c ../out/d/e; : > a/b/c/f; chmod 000 a/b/c a/b a ../out/d/e ../out/d ../out $PWD ${PWD%/work}");
}

#[test]
fn what_links_point_to_is_left_alone() {
    let place = Place::new();
    let precious = place.root.path().join("precious");
    fs::create_dir(&precious).unwrap();
    fs::write(precious.join("file"), "x").unwrap();
    fs::set_permissions(&precious, fs::Permissions::from_mode(0o755)).unwrap();
    let mut place = place
        .after("ln -s ../../../precious a; mkdir b; ln -s ../../../../precious/file b/c")
        .after("rmdir ../work; ln -s ../../precious ../work; rmdir ../out; ln -s ../../precious ../out")
        .after("ln -sf ../../precious/file ../stdout; ln -sfn ../../precious ../trash")
        .after("ln -f ../../../precious/file ../stdout");
    fs::remove_dir_all(place.folders.slot()).unwrap();
    symlink(&precious, place.folders.slot()).unwrap();
    place.folders.reset().unwrap();
    place.is_as_new();
    assert_eq!(fs::read_to_string(precious.join("file")).unwrap(), "x");
    assert_eq!(fs::metadata(&precious).unwrap().permissions().mode() & 0o777, 0o755);
}

#[test]
fn folders_that_were_removed_or_replaced_come_back() {
    Place::new()
        .after("rmdir ../work ../out")
        .after("rmdir ../work ../out; : > ../work; mkfifo ../out; mkfifo ../stdout")
        .after("rm -rf ../../slot-3")
        .after("rm -rf ../../slot-3; : > ../../slot-3")
        .after("rm -rf ../../../slots");
}

#[test]
fn what_was_printed_is_cut_where_it_is() {
    let mut place = Place::new();
    place.does("umask 077; echo out > ../stdout; : > ../stderr");
    let inode = fs::metadata(place.folders.stdout()).unwrap().ino();
    for (script, printed) in [(":", (true, false)), ("echo err > ../stderr", (false, true)), ("echo out > ../stdout", (true, false))] {
        place.does(script);
        let found = place.folders.look();
        assert_eq!(found, Found::Printed { stdout: printed.0, stderr: printed.1 });
        place.folders.clean(found).unwrap();
        place.is_as_new();
    }
    place.does("echo out > ../stdout");
    place.folders.reset().unwrap();
    place.is_as_new();
    assert_eq!(fs::metadata(place.folders.stdout()).unwrap().ino(), inode);
}

#[test]
fn an_output_that_became_something_else_since_the_look_is_made_anew() {
    let mut place = Place::new();
    place.does("umask 077; echo out > ../stdout; echo precious > ../../precious");
    let found = place.folders.look();
    place.does("ln -sf ../precious ../stdout");
    place.folders.clean(found).unwrap();
    place.is_as_new();
    assert_eq!(fs::read_to_string(place.root.path().join("slots/precious")).unwrap(), "precious\n");
}

#[test]
fn an_output_that_is_linked_elsewhere_is_not_used_again() {
    let place = Place::new().after(": > ../stdout; chmod 600 ../stdout; ln ../stdout ../../kept");
    assert!(!place.folders.stdout().exists());
}

#[test]
fn where_a_slot_has_a_user_of_its_own_all_of_it_is_that_user_s_and_nothing_of_others_is_used_or_removed() {
    if !rustix::process::geteuid().is_root() {
        return println!("only root can give files away");
    }
    const OWNER: u32 = 70_123;
    let root = tempfile::tempdir().unwrap();
    let slots = root.path().join("slots");
    // Of a start without a sandbox.
    let before = SlotFolders::new(&slots, 3, None).unwrap();
    fs::write(before.work().join("left"), "x").unwrap();
    let mut folders = SlotFolders::new(&slots, 3, Some(OWNER)).unwrap();
    let input = folders.put_input(JobId(7), "a.txt", b"chunk").unwrap();
    let all = [folders.slot(), folders.work(), folders.out(), &folders.slot().join("in"), &input].map(|path| fs::metadata(path).unwrap());
    assert!(all.iter().all(|meta| (meta.uid(), meta.gid()) == (OWNER, OWNER)));
    assert!(!folders.work().join("left").exists());
    let give = |path: &Path| std::os::unix::fs::chown(path, Some(OWNER), Some(OWNER)).unwrap();
    // An output and a folder that are root's, as if a task had found some and moved them here.
    fs::write(folders.stdout(), "").unwrap();
    fs::set_permissions(folders.stdout(), fs::Permissions::from_mode(FILE_MODE)).unwrap();
    assert_eq!(folders.look(), Found::More);
    give(folders.stdout());
    assert_eq!(folders.look(), Found::NOTHING);
    let theirs = folders.work().join("mine/theirs");
    fs::create_dir_all(&theirs).unwrap();
    fs::write(theirs.join("precious"), "x").unwrap();
    give(&folders.work().join("mine"));
    folders.reset().unwrap();
    assert_eq!(fs::read_dir(folders.work()).unwrap().count(), 0);
    let kept =
        || -> Vec<_> { fs::read_dir(slots.join("trash-70123")).unwrap().map(|entry| entry.unwrap().path().join("precious")).collect() };
    assert!(kept().len() == 1 && kept()[0].exists(), "{:?}", kept());
    assert_eq!(folders.look(), Found::NOTHING);
    // Nor is it, if it is put where the trash of other slots is.
    fs::create_dir(folders.slot().join("trash")).unwrap();
    fs::write(folders.slot().join("trash/precious"), "x").unwrap();
    folders.reset().unwrap();
    assert!(kept().len() == 2 && kept().iter().all(|precious| precious.exists()), "{:?}", kept());
    // The next job's chunk does not go through a link that stands where the folder was.
    fs::rename(folders.slot().join("in"), folders.slot().join("old")).unwrap();
    symlink(root.path(), folders.slot().join("in")).unwrap();
    folders.abandon_input();
    assert!(folders.put_input(JobId(8), "b.txt", b"chunk").is_err() && !root.path().join("b.txt").exists());
}

/// A slot's folders, with a user of its own, as a worker's end in the middle of clearing them away left them: in the trash, which is the
/// worker's, a folder of the task.
fn ended_while_clearing_away(slots: &Path, owner: u32) {
    drop(SlotFolders::new(slots, 3, Some(owner)).unwrap());
    let half_gone = slots.join(format!("trash-{owner}/0"));
    fs::create_dir_all(&half_gone).unwrap();
    fs::write(half_gone.join("left"), "x").unwrap();
    std::os::unix::fs::chown(&half_gone, Some(owner), Some(owner)).unwrap();
}

#[test]
fn a_slot_whose_worker_ended_while_it_cleared_away_starts_with_another_user() {
    if !rustix::process::geteuid().is_root() {
        return println!("only root can give files away");
    }
    let root = tempfile::tempdir().unwrap();
    let slots = root.path().join("slots");
    ended_while_clearing_away(&slots, 70_123);
    let mut folders = SlotFolders::new(&slots, 3, Some(70_124)).unwrap();
    assert_eq!(folders.look(), Found::NOTHING);
    assert_eq!(fs::read_dir(&slots).unwrap().count(), 1, "nothing is left of the earlier user's");
}

#[test]
fn what_can_t_be_removed_of_an_earlier_user_keeps_no_slot_from_starting() {
    if !rustix::process::geteuid().is_root() {
        return println!("only root can give files away");
    }
    let root = tempfile::tempdir().unwrap();
    let slots = root.path().join("slots");
    // A folder of somebody else's, as if a task had found it and moved it here.
    let theirs = SlotFolders::new(&slots, 3, Some(70_123)).unwrap().work().join("theirs");
    fs::create_dir(&theirs).unwrap();
    fs::write(theirs.join("precious"), "x").unwrap();
    for owner in [Some(70_124), Some(70_125), None] {
        let mut folders = SlotFolders::new(&slots, 3, owner).unwrap();
        assert_eq!(folders.look(), Found::NOTHING);
    }
    let kept = fs::read_dir(slots.join("trash-70123")).unwrap().map(|entry| entry.unwrap().path().join("precious"));
    assert_eq!(kept.filter(|precious| precious.exists()).count(), 1);
    // Of the users after that one nothing is left.
    assert_eq!(fs::read_dir(&slots).unwrap().count(), 2);
}

#[test]
fn a_tree_deeper_than_any_path_is_removed() {
    let mut place = Place::new();
    let mut at = openat(CWD, place.folders.work(), OFlags::PATH, Mode::empty()).unwrap();
    for _ in 0..2000 {
        rustix::fs::mkdirat(&at, "d", Mode::RWXU).unwrap();
        at = openat(&at, "d", OFlags::PATH, Mode::empty()).unwrap();
    }
    place.folders.reset().unwrap();
    place.is_as_new();
}
