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
    doctor(&cluster, &[]).refused(4, &["is in use by process "]);
    cluster.head_ends();

    let answer = doctor(&cluster, &[]);
    assert_eq!((answer.code, answer.out.lines().count()), (0, 1), "{answer:?}");
    assert!(answer.out.contains("nothing is damaged: 2 jobs, 9 results and 1 data set are whole"), "{answer:?}");

    // A byte of the last record, then one of the data set.
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
    // Where it was written first: all that came later is gone with it.
    let at = bytes.windows(6).position(|bytes| bytes == b"{input").expect("the second job's command");
    flip(&db, bytes.len() - at);
    let answer = doctor(&cluster, &[]);
    assert!(answer.code == 1 && answer.out.contains("journal batch "), "{answer:?}");
    let refused = cluster.head_tries_to_start().unwrap_err();
    for words in ["journal batch ", " is missing", "millpond-head doctor --data-dir "] {
        assert!(refused.contains(words), "{refused}");
    }
    let again = cluster.head_tries_to_start().unwrap_err();
    assert!(again.contains(" is missing"), "{again}");

    let answer = doctor(&cluster, &["--salvage", &cluster.text_path("new")]);
    assert!(answer.out.contains("j2: it has results, but the journal does not know it"), "{answer:?}");
    cluster.data_dir = cluster.path("new");
    cluster.head_starts_again();
    cluster.ends("j1", 10);
    assert_eq!(cluster.bundle("j1").text("000004/stdout"), "out-4\n");
    let job = cluster.submit_array("0-1", &[], "true");
    cluster.ends(&job, 0);
}

/// Flips a byte of a stored piece of the journal behind the store's back, where sled itself sees nothing wrong.
fn flip_in_batch(cluster: &Cluster, words: &[u8]) {
    let db = sled::open(cluster.data_dir.join("store")).unwrap();
    let holds = |value: &[u8]| value.windows(words.len()).any(|bytes| bytes == words);
    let (key, value) = db.iter().map(Result::unwrap).find(|(key, value)| key.starts_with(b"j") && holds(value)).expect("a batch");
    let mut value = value.to_vec();
    *value.last_mut().unwrap() ^= 1;
    db.insert(key, value).unwrap();
    db.flush().unwrap();
}

#[test]
fn a_head_goes_on_in_a_new_folder_with_all_that_could_be_read() {
    let mut cluster = two_jobs();
    let lost = cluster.submit_array("0-2", &["--name", "gone-job"], "true");
    cluster.ends(&lost, 0);
    let held = cluster.submit_array("0-2", &["--hold"], "true");
    cluster.head_ends();
    assert_eq!(cluster.lines("log").len(), 5);

    flip(&cluster.data_dir.join("jobs/j1/segment"), 3);
    flip_in_batch(&cluster, b"gone-job");
    let refused = cluster.head_tries_to_start().unwrap_err();
    assert!(refused.contains("journal batch ") && refused.contains("stored record is damaged"), "{refused}");

    let before = content(&cluster.data_dir);
    doctor(&cluster, &["--salvage", &cluster.text_path("head")]).refused(4, &["is there already"]);
    let answer = doctor(&cluster, &["--salvage", &cluster.text_path("new")]);
    println!("{}", answer.out);
    assert_eq!(answer.code, 1, "{answer:?}");
    for words in
        ["j1: the results of 1 tasks are lost: they run again", "j3: it has results, but the journal does not know it", "journal batch "]
    {
        assert!(answer.out.contains(words), "{answer:?}");
    }
    assert!(content(&cluster.data_dir) == before, "the old folder was changed");

    cluster.data_dir = cluster.path("new");
    cluster.head_starts_again();
    cluster.ends("j1", 10);
    assert_eq!(cluster.lines("log").len(), 6, "one task ran again, and no other");
    let bundle = cluster.bundle("j1");
    (0..5).filter(|index| *index != 2).for_each(|index| assert_eq!(bundle.text(&format!("{index:06}/stdout")), format!("out-{index}\n")));
    cluster.ends("j2", 0);
    assert_eq!(cluster.bundle("j2").text("000003/stdout"), "d\n");
    cluster.millpond(&["show", &lost]).refused(3, &["j3"]);
    cluster.ok(&["resume", &held]);
    cluster.ends(&held, 0);
    cluster.head_ends();
    let answer = doctor(&cluster, &[]);
    assert_eq!(answer.code, 0, "{answer:?}");
}
