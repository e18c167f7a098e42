//! A running head is backed up, and another head goes on from there.

use millpond::rpc::client::Client;
use millpond::rpc::pb;

use super::cluster::Cluster;
use super::ground::Answer;

fn backup(cluster: &Cluster, url: &str, dir: &str) -> Answer {
    let mut command = cluster.command(env!("CARGO_BIN_EXE_millpond-head"));
    command.envs(cluster.credentials.iter().map(|file| ("MILLPOND_CREDENTIALS", file)));
    command.args(["backup", dir, "--head", url]).output().unwrap().into()
}

fn is_whole(cluster: &Cluster, dir: &str) {
    let answer = cluster.command(env!("CARGO_BIN_EXE_millpond-head")).args(["doctor", "--data-dir", dir]).output().unwrap();
    let answer = Answer::from(answer);
    assert_eq!(answer.code, 0, "{answer:?}");
}

/// Each task says that it runs, and ends once the file `go` is there.
fn waiting_tasks(cluster: &Cluster) -> String {
    let (log, go) = (cluster.text_path("log"), cluster.text_path("go"));
    let shell = format!("echo $MILLPOND_INDEX >> {log}; until [ -e {go} ]; do sleep 0.05; done; echo out-$MILLPOND_INDEX");
    let job = cluster.submit_array("0-5", &[], &shell);
    cluster.has_lines("log", 2);
    job
}

#[test]
fn a_head_goes_on_from_a_backup_of_a_running_one() {
    let mut cluster = Cluster::start_with(&[2], &["--reattach-window", "5"]);
    let input = cluster.write("in.txt", "a\nb\nc\nd\n");
    let done = cluster.submit(&[&input, "--split", "lines:1", "--", "sh", "-c", "cat {input}; [ $MILLPOND_INDEX != 2 ]"]);
    cluster.ends(&done, 10);
    let before = cluster.bundle(&done);
    let live = waiting_tasks(&cluster);
    let held = cluster.submit_array("0-2", &["--hold", "--request-id", "5b1c2b6e-8c4f-4f3a-9b0a-0d9a4c6f1a11"], "true");

    let answer = backup(&cluster, &cluster.url, "backup");
    assert_eq!((answer.code, answer.out.lines().count()), (0, 1), "{answer:?}");
    assert!(answer.out.starts_with("backup: 3 jobs, 4 results, 1 data set; "), "{answer:?}");
    is_whole(&cluster, "backup");
    assert!(!cluster.path("backup.unfinished").exists());

    // The head's machine is lost at once: the same worker comes to a head on the backup, and goes on with what it runs.
    cluster.head_dies();
    cluster.data_dir = cluster.path("backup");
    cluster.head_starts_again();
    cluster.write("go", "");
    cluster.ends(&live, 0);
    let mut ran = cluster.lines("log");
    ran.sort();
    assert_eq!(ran, ["0", "1", "2", "3", "4", "5"], "none twice");
    let after = cluster.bundle(&done);
    for name in ["000000/stdout", "000003/stdout", "manifest.json"] {
        assert_eq!(after.text(name), before.text(name));
    }
    assert_eq!(cluster.show(&held)["held"], true);
    let again = cluster.submit_array("0-2", &["--hold", "--request-id", "5b1c2b6e-8c4f-4f3a-9b0a-0d9a4c6f1a11"], "true");
    assert_eq!(again, held, "the request is known");
    cluster.ok(&["resume", &held]);
    cluster.ends(&held, 0);

    // And so on, from a head on a backup.
    let answer = backup(&cluster, &cluster.url, "second");
    assert!(answer.out.starts_with("second: 3 jobs, 13 results, 1 data set; "), "{answer:?}");
    is_whole(&cluster, "second");
    cluster.head_dies();
    cluster.data_dir = cluster.path("second");
    cluster.head_starts_again();
    let job = cluster.submit_array("0-1", &[], "true");
    cluster.ends(&job, 0);
}

#[test]
fn the_audit_comes_along_and_its_chain_goes_on_from_there() {
    let mut cluster = Cluster::with_identity();
    let job = cluster.submit_array("0", &["--hold"], "true");
    // A place in the chain, as it is noted elsewhere.
    let place = |cluster: &Cluster| cluster.ok(&["audit", "--verify", "--format", "id"]);
    let noted = place(&cluster);
    cluster.ok(&["priority", &job, "3"]);
    let answer = backup(&cluster, &cluster.url, "backup");
    assert_eq!(answer.code, 0, "{answer:?}");
    let lines = |cluster: &Cluster| cluster.ok(&["audit", "--format", "jsonl"]).lines().map(str::to_owned).collect::<Vec<_>>();
    let of_the_first = lines(&cluster);
    assert!(of_the_first.last().unwrap().contains("CreateBackup"), "{of_the_first:?}");
    cluster.ok(&["priority", &job, "4"]);
    let later = place(&cluster);

    cluster.head_dies();
    cluster.data_dir = cluster.path("backup");
    cluster.head_starts_again();
    cluster.ok(&["audit", "--verify", "--since", &noted]);
    // The line about the backup itself was written after it.
    assert_eq!(lines(&cluster), of_the_first[..of_the_first.len() - 1]);
    cluster.ok(&["kill", &job]);
    cluster.ok(&["audit", "--verify", "--since", &noted]);
    let of_the_second = lines(&cluster);
    assert_eq!(of_the_second.len(), of_the_first.len(), "one more");
    assert!(of_the_second.last().unwrap().contains("KillJob"), "{of_the_second:?}");
    // What was noted after the backup is on the lost disk, and that is said.
    let lost = cluster.millpond(&["audit", "--verify", "--since", &later]);
    assert_eq!(lost.code, 1, "{lost:?}");
    assert!(lost.out.contains("was noted, and the audit ends with line"), "{lost:?}");
    // And so on.
    assert_eq!(backup(&cluster, &cluster.url, "second").code, 0);
    cluster.head_dies();
    cluster.data_dir = cluster.path("second");
    cluster.head_starts_again();
    cluster.ok(&["audit", "--verify", "--since", &noted]);
    assert_eq!(lines(&cluster), of_the_second);
}

#[test]
fn what_ended_since_the_backup_runs_again_and_a_kill_since_is_forgotten() {
    let mut cluster = Cluster::start_with(&[2], &["--reattach-window", "5"]);
    let live = waiting_tasks(&cluster);
    let other = cluster.submit_array("0-1", &["--hold"], "true");
    assert_eq!(backup(&cluster, &cluster.url, "backup").code, 0);
    cluster.ok(&["kill", &other]);
    cluster.write("go", "");
    cluster.ends(&live, 0);
    let bundle = cluster.bundle(&live);
    // Its epochs are below those of the backup, however often it starts.
    for _ in 0..2 {
        cluster.head_dies();
        cluster.head_starts_again();
    }
    cluster.worker_is_connected(1);
    cluster.head_dies();
    cluster.data_dir = cluster.path("backup");
    cluster.head_starts_again();
    cluster.ends(&live, 0);
    assert_eq!(cluster.lines("log").len(), 12);
    assert_eq!(cluster.bundle(&live).text("manifest.json"), bundle.text("manifest.json"));
    assert_eq!(cluster.show(&other)["held"], true);
}

#[test]
fn a_backup_that_can_not_be_is_refused_and_leaves_nothing() {
    let cluster = Cluster::start(&[]);
    cluster.write("there", "");
    backup(&cluster, &cluster.url, "there").refused(4, &["there is there already"]);
    backup(&cluster, &cluster.url, "no/where").refused(3, &["no/where.unfinished"]);
    backup(&cluster, "http://127.0.0.1:1", "new").refused(6, &["127.0.0.1:1"]);
    cluster.write("new.unfinished", "");
    backup(&cluster, &cluster.url, "new").refused(4, &["new.unfinished is there already", "remove it"]);
    assert!(!cluster.path("new").exists());
}

/// Whoever reaches the head must not have it write where he could not.
#[tokio::test]
async fn only_who_may_write_to_a_folder_may_have_a_backup_there() {
    let cluster = Cluster::start(&[]);
    let client = Client::connect(&cluster.url.parse().unwrap()).await.unwrap();
    let ask = async |directory: &str, key: &str| {
        let request = pb::CreateBackupRequest { directory: directory.into(), key: key.into() };
        client.cluster().create_backup(request).await.map(tonic::Response::into_inner).map_err(|status| client.error(&status).message)
    };
    let (key, folder) = ("k".repeat(36), cluster.path("folder"));
    std::fs::create_dir(&folder).unwrap();
    let folder = folder.to_str().unwrap();
    assert!(ask(folder, &key).await.unwrap_err().contains("the head does not find your key in "));
    assert!(ask("folder", &key).await.unwrap_err().contains("an absolute path"));
    cluster.write("folder/backup.key", &key);
    assert!(ask(folder, &"l".repeat(36)).await.unwrap_err().contains("the head does not find your key"));
    cluster.write("folder/notes", "");
    assert!(ask(folder, &key).await.unwrap_err().contains("the head does not find your key"), "the folder is not empty");
    std::fs::remove_file(cluster.path("folder/notes")).unwrap();
    cluster.write("folder/backup.key", "");
    assert!(ask(folder, "").await.unwrap_err().contains("with the key"));
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 1);
    cluster.write("folder/backup.key", &key);
    assert_eq!(ask(folder, &key).await.map(|made| made.jobs), Ok(0));
}
