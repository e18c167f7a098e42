//! A head of today goes on with a data folder that a head of an earlier version left when it was killed.
//!
//! `tests/golden/v1/data.zip` holds such a folder. It is never made again: when the persisted version goes up, one of the new version comes to
//! lie beside it. `MILLPOND_WRITE_GOLDEN=1` makes the folder of today's version if there is none.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

use super::cluster::Cluster;
use super::ground::Answer;

const REQUEST: &str = "0b5f2a9e-51c5-4a0e-9d53-2f6f3c1f7a10";

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1/data.zip")
}

/// What was there when the head was killed: j1 has ended, with a failed task, in the snapshot; of j2, paused, two of six tasks are done; j3 is
/// killed; j4 has not begun.
fn make(to: &Path) {
    let mut cluster = Cluster::start(&[2]);
    let input = cluster.write("in.txt", "a\nb\nc\nd\n");
    let j1 = cluster.submit(&[&input, "--split", "lines:1", "--name", "ended", "--", "sh", "-c", "cat {input}; [ $MILLPOND_INDEX != 2 ]"]);
    cluster.ends(&j1, 10);
    cluster.head_ends();
    cluster.head_starts_again();
    cluster.worker_is_connected(1);
    let j2 = cluster.submit_array("0-5", &["--name", "paused", "--max-running", "1"], "sleep 0.2; echo out-$MILLPOND_INDEX");
    super::process::until("a task is done", || cluster.count(&j2, "succeeded") == 1);
    cluster.ok(&["pause", &j2, "--reason", "lunch"]);
    super::process::until("what runs has ended", || cluster.count(&j2, "succeeded") == 2);
    let j3 = cluster.submit_array("0-2", &["--name", "killed", "--hold"], "true");
    cluster.ok(&["kill", &j3]);
    cluster.submit(&["--name", "to come", "--hold", "--request-id", REQUEST, &input, "--split", "lines:2", "--", "cat"]);
    cluster.head_dies();
    let mut zip = ZipWriter::new(File::create(to).unwrap());
    pack(&cluster.data_dir, &cluster.data_dir, &mut zip);
    zip.finish().unwrap();
}

fn pack(root: &Path, folder: &Path, zip: &mut ZipWriter<File>) {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        let name = path.strip_prefix(root).unwrap().to_str().unwrap();
        if path.is_dir() {
            pack(root, &path, zip);
        } else if name != "reserve" {
            zip.start_file(name, SimpleFileOptions::default()).unwrap();
            zip.write_all(&fs::read(&path).unwrap()).unwrap();
        }
    }
}

fn unpack(from: &Path, to: &Path) {
    let mut zip = ZipArchive::new(File::open(from).unwrap()).unwrap();
    for at in 0..zip.len() {
        let mut entry = zip.by_index(at).unwrap();
        let path = to.join(entry.enclosed_name().unwrap());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

#[test]
fn a_head_goes_on_from_the_folder_of_an_earlier_version() {
    if std::env::var("MILLPOND_WRITE_GOLDEN").is_ok_and(|value| value == "1") && !golden().exists() {
        make(&golden());
    }
    let mut cluster = Cluster::without_head(&["--reattach-window", "1"]);
    unpack(&golden(), &cluster.data_dir);
    cluster.head_starts_at("127.0.0.1:0");
    let states = ["j1", "j2", "j3", "j4"].map(|id| {
        let job = cluster.show(id);
        (job["name"].as_str().unwrap().to_owned(), job["state"].as_str().unwrap().to_owned(), job["held"].as_bool().unwrap())
    });
    let expected = [("ended", "failed", false), ("paused", "waiting", true), ("killed", "killed", false), ("to come", "waiting", true)];
    assert_eq!(states, expected.map(|(name, state, held)| (name.to_owned(), state.to_owned(), held)));
    assert!(cluster.show("j2")["reason"].as_str().unwrap().contains("(lunch)"));
    let bundle = cluster.bundle("j1");
    assert_eq!((bundle.text("000000/stdout"), bundle.text("000003/stdout")), ("a\n", "d\n"));
    cluster.ok(&["data", "list"]);

    cluster.worker_joins(2);
    cluster.ok(&["resume", "j2", "j4"]);
    cluster.ends("j2", 0);
    cluster.ends("j4", 0);
    let of_old = cluster.tasks("j2").iter().filter(|task| task["worker"] == "w1").count();
    assert_eq!(of_old, 2, "what was done is not done again");
    (0..6).for_each(|index| assert_eq!(cluster.bundle("j2").text(&format!("{index:06}/stdout")), format!("out-{index}\n")));
    let input = cluster.write("in.txt", "a\nb\nc\nd\n");
    let again = cluster.submit(&["--name", "to come", "--hold", "--request-id", REQUEST, &input, "--split", "lines:2", "--", "cat"]);
    assert_eq!(again, "j4", "the request is known");

    cluster.head_ends();
    let doctor = cluster.command(env!("CARGO_BIN_EXE_millpond-head")).args(["doctor", "--data-dir"]).arg(&cluster.data_dir).output();
    let doctor = Answer::from(doctor.unwrap());
    assert!(doctor.code == 0 && doctor.out.contains(": 4 jobs, "), "{doctor:?}");
}
