//! A data folder is damaged: the head does not start on it, the doctor says where, and a new folder holds all the rest.

use std::fs;
use std::path::Path;

use super::cluster::Cluster;
use super::ground::Answer;

fn doctor(cluster: &Cluster, options: &[&str]) -> Answer {
    let mut command = cluster.command(env!("CARGO_BIN_EXE_millpond-head"));
    command.arg("doctor").arg("--data-dir").arg(&cluster.data_dir).args(options).output().unwrap().into()
}

/// Every file below a folder, with its bytes.
fn content(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(content(&path));
        } else {
            files.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
    files.sort();
    files
}

/// Flips a bit of the byte `back` bytes before the end of a file.
fn flip(path: &Path, back: usize) {
    let mut bytes = fs::read(path).unwrap();
    let at = bytes.len() - back;
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// Jobs j1 and j2, an array and a data set's, each with tasks that fail; the head has ended.
fn two_jobs() -> Cluster {
    let cluster = Cluster::start(&[2]);
    let input = cluster.write("in.txt", "a\nb\nc\nd\n");
    let shell = format!("echo $MILLPOND_INDEX >> {}; echo out-$MILLPOND_INDEX; [ $MILLPOND_INDEX != 2 ]", cluster.text_path("log"));
    let job = cluster.submit_array("0-4", &[], &shell);
    cluster.ends(&job, 10);
    let job = cluster.submit(&[&input, "--split", "lines:1", "--", "sh", "-c", "cat {input}"]);
    cluster.ends(&job, 0);
    cluster
}

#[test]
fn the_doctor_names_each_damage_and_changes_nothing() {
    let mut cluster = two_jobs();
    doctor(&cluster, &[]).refused(4, &["is in use by another head"]);
    cluster.head_ends();

    let answer = doctor(&cluster, &[]);
    assert_eq!((answer.code, answer.out.lines().count()), (0, 1), "{answer:?}");
    assert!(answer.out.contains("nothing is damaged: 2 jobs, 9 results and 1 data sets are whole"), "{answer:?}");

    // The last byte of the last record; a byte of the data set; a byte in the middle of the journal.
    flip(&cluster.data_dir.join("jobs/j2/segment"), 3);
    let before = content(&cluster.data_dir);
    let answer = doctor(&cluster, &[]);
    assert_eq!((answer.code, answer.out.lines().count()), (1, 2), "{answer:?}");
    assert!(answer.out.starts_with("j2.") && answer.out.contains("Stdout at byte"), "{answer:?}");
    assert!(content(&cluster.data_dir) == before, "something was changed");

    let (dataset, _) = before.iter().find(|(path, _)| path.contains("/datasets/")).unwrap();
    flip(Path::new(dataset), 1);
    let answer = doctor(&cluster, &[]);
    assert!(answer.code == 1 && answer.out.contains("data set in.txt ("), "{answer:?}");

    let nowhere = cluster.command(env!("CARGO_BIN_EXE_millpond-head")).args(["doctor", "--data-dir", "nowhere"]).output().unwrap();
    Answer::from(nowhere).refused(3, &["nowhere is not the data folder of a head"]);
}

#[test]
fn a_head_does_not_start_on_a_journal_that_lost_a_byte_and_says_the_way_out() {
    let mut cluster = two_jobs();
    cluster.head_ends();
    let db = cluster.data_dir.join("store/db");
    let bytes = fs::read(&db).unwrap();
    let at = bytes.windows(6).rposition(|bytes| bytes == b"{input").expect("the second job's command");
    flip(&db, bytes.len() - at);
    let answer = doctor(&cluster, &[]);
    assert!(answer.code == 1 && answer.out.contains("journal batch "), "{answer:?}");
    let refused = cluster.head_tries_to_start().unwrap_err();
    for words in ["journal batch ", " is missing", "millpond-head doctor --data-dir "] {
        assert!(refused.contains(words), "{refused}");
    }
    let again = cluster.head_tries_to_start().unwrap_err();
    assert!(again.contains(" is missing"), "{again}");
}
