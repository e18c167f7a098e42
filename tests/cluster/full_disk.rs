//! A head on a small disk of its own that fills up: what it takes in less and less, what goes on, and that all of it comes back with the room.
//!
//! The disk is a tmpfs. Needs root; without it, it says so.

use std::io::Write;

use super::cluster::Cluster;
use super::process::until;
use super::small_disk::{MIB, SmallDisk};

/// A head on a disk of 96 MiB, yellow at 24 and red at 8. The disk goes before the cluster, whose folder it is mounted in.
struct Ground {
    disk: SmallDisk,
    cluster: Cluster,
}

impl Ground {
    fn new(slots: u32) -> Option<Self> {
        let mut cluster = Cluster::without_head(&["--disk-yellow", "24M", "--disk-red", "8M"]);
        let disk = SmallDisk::mount(cluster.path("mounted"), 96 * MIB)?;
        cluster.data_dir = cluster.path("mounted/head");
        cluster.head_starts_at("127.0.0.1:0");
        cluster.add_worker(slots, &[]);
        Some(Self { disk, cluster })
    }

    /// Ends all that runs before the disk goes.
    fn ends(mut self) {
        self.cluster.worker(1).dies();
        if self.cluster.head_is_alive() {
            assert!(self.cluster.head_ends().success());
        }
        until("nothing runs there", || self.cluster.processes().is_empty());
    }

    fn reserve_is_there(&self) -> bool {
        self.cluster.data_dir.join("reserve").exists()
    }

    fn job_says(&self, job: &str, words: &str) -> bool {
        self.cluster.show(job)["reason"].as_str().unwrap().contains(words)
    }

    /// Waits until uploads are taken, or refused. What is stored already would not be uploaded: each is a new one.
    fn uploads_have_code(&self, code: i32) {
        let mut tries = 0;
        until("uploads are taken or refused", || {
            tries += 1;
            let file = self.cluster.write("probe.txt", format!("probe {code} {tries}\n"));
            self.cluster.millpond(&["data", "add", &file]).code == code
        });
    }
}

#[test]
fn a_disk_that_fills_up_stops_uploads_then_tasks_and_everything_goes_on_with_room() {
    let Some(ground) = Ground::new(2) else { return };
    let (cluster, disk) = (&ground.cluster, &ground.disk);
    until("the reserve is there", || ground.reserve_is_there());
    let data = cluster.write("in.txt", "a\nb\n");
    cluster.ok(&["data", "add", &data]);

    disk.has_left(20 * MIB);
    ground.uploads_have_code(1);
    cluster
        .millpond(&["data", "add", &cluster.write("more.txt", "c\n")])
        .refused(1, &["no new uploads", "almost full", "free of 96.0 MiB", "24.0 MiB", "free some space"]);
    let split = cluster.submit(&[&data, "--split", "lines:1", "--", "cat"]);
    cluster.ends(&split, 0);

    let shell = format!("echo {{index}}; until [ -e {} ]; do sleep 0.02; done", cluster.text_path("gate"));
    let job = cluster.submit_array("0-9", &[], &shell);
    let other = cluster.submit_array("0-9", &[], "true");
    until("two run", || cluster.count(&job, "running") == 2);
    disk.has_left(4 * MIB);
    until("it is red", || ground.job_says(&job, "no new tasks: the head's disk is almost full"));
    until("the reserve is gone", || !ground.reserve_is_there());
    cluster.millpond(&["submit", "--array", "0", "--", "true"]).refused(1, &["no new jobs", "almost full", "8.0 MiB"]);
    cluster.write("gate", "");
    until("what ran has ended", || cluster.count(&job, "succeeded") == 2 && cluster.count(&job, "running") == 0);
    assert!(cluster.ok(&["explain", &job]).contains("8 not started; no new tasks"));

    cluster.ok(&["kill", &other]);
    cluster.ends(&other, 11);
    cluster.ok(&["pause", &job]);
    cluster.ok(&["resume", &job]);
    assert_eq!(cluster.json(&["list"])["jobs"].as_array().unwrap().len(), 3);
    assert_eq!((cluster.count(&job, "succeeded"), cluster.count(&job, "undispatched")), (2, 8));

    disk.is_cleared();
    cluster.ends(&job, 0);
    let bundle = cluster.bundle(&job);
    assert!((0..10).all(|index| bundle.text(&format!("{index:06}/stdout")) == format!("{index}\n")));
    until("the reserve is back", || ground.reserve_is_there());
    cluster.ok(&["data", "add", &cluster.text_path("more.txt")]);
    ground.ends();
}

#[test]
fn a_result_that_the_disk_has_no_room_for_waits_at_the_worker() {
    let Some(ground) = Ground::new(1) else { return };
    let (cluster, disk) = (&ground.cluster, &ground.disk);
    let shell = format!(
        "until [ -e {} ]; do sleep 0.02; done; head -c 6000000 /dev/urandom | tee {{output}}/copy | cksum",
        cluster.text_path("gate")
    );
    let job = cluster.submit_array("0", &[], &shell);
    until("it runs", || cluster.count(&job, "running") == 1);
    disk.has_left(3 * MIB);
    until("it is red", || !ground.reserve_is_there());
    cluster.write("gate", "");
    until("the result is refused", || cluster.tail("worker-1.log").contains("no room for"));
    assert_eq!((cluster.count(&job, "running"), cluster.count(&job, "succeeded")), (1, 0));
    disk.is_cleared();
    cluster.ends(&job, 0);
    assert_eq!(cluster.bundle(&job).entries["000000/copy"].len(), 6_000_000);
    ground.ends();
}

#[test]
fn a_small_result_that_finds_no_room_is_stored_once_there_is_some() {
    let Some(ground) = Ground::new(1) else { return };
    let (cluster, disk) = (&ground.cluster, &ground.disk);
    let gate = cluster.text_path("gate");
    let shell = format!("echo x >> {}; until [ -e {gate} ]; do sleep 0.02; done; head -c 7000 /dev/urandom", cluster.text_path("runs"));
    let job = cluster.submit_array("0", &[], &shell);
    until("it runs", || cluster.count(&job, "running") == 1);
    disk.has_left(0);
    until("the reserve is left", || !ground.reserve_is_there());
    disk.has_left(0);
    cluster.write("gate", "");
    until("it is said", || cluster.tail("head.log").contains("a result could not be stored; trying again"));
    assert_eq!((cluster.count(&job, "running"), cluster.count(&job, "succeeded")), (1, 0));
    disk.is_cleared();
    cluster.ends(&job, 0);
    assert_eq!(cluster.bundle(&job).entries["000000/stdout"].len(), 7000);
    assert_eq!(cluster.lines("runs").len(), 1, "it ran once");
    ground.ends();
}

#[test]
fn an_upload_larger_than_the_disk_fails_in_one_line_and_leaves_nothing() {
    let Some(ground) = Ground::new(1) else { return };
    let (cluster, disk) = (&ground.cluster, &ground.disk);
    let large = cluster.write("large.bin", vec![7; 100 << 20]);
    let before = disk.free();
    cluster.millpond(&["data", "add", &large]).refused(1, &["large.bin"]);
    assert_eq!(cluster.json(&["data", "list"])["datasets"], serde_json::json!([]));
    until("its bytes are gone", || disk.free() + 2 * MIB > before);
    ground.uploads_have_code(0);
    let job = cluster.submit_array("0-9", &[], "true");
    cluster.ends(&job, 0);
    ground.ends();
}

#[test]
fn a_compressed_upload_that_is_small_only_on_the_way_fails_like_a_large_one() {
    let Some(ground) = Ground::new(1) else { return };
    let (cluster, disk) = (&ground.cluster, &ground.disk);
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    bomb.write_all(&vec![7; 100 << 20]).unwrap();
    let bomb = cluster.write("bomb.gz", bomb.finish().unwrap());
    let before = disk.free();
    cluster.millpond(&["data", "add", &bomb]).refused(1, &["bomb.gz"]);
    assert_eq!(cluster.json(&["data", "list"])["datasets"], serde_json::json!([]));
    until("its bytes are gone", || disk.free() + 2 * MIB > before);
    ground.uploads_have_code(0);
    ground.ends();
}

#[test]
fn a_journal_without_room_stops_the_head_in_one_line_and_nothing_acknowledged_is_lost() {
    let Some(mut ground) = Ground::new(1) else { return };
    let job = ground.cluster.submit_array("0-99", &["--hold"], "echo {index}");
    ground.disk.has_left(0);
    until("the reserve is left", || !ground.reserve_is_there());
    // With the reserve it goes on.
    ground.cluster.ok(&["priority", &job, "1"]);
    ground.disk.has_left(0);
    let mut acknowledged = 1;
    until("the journal has no room", || {
        let answer = ground.cluster.millpond(&["priority", &job, &(acknowledged + 1).to_string()]);
        acknowledged += i64::from(answer.code == 0);
        answer.code != 0
    });
    assert_eq!(ground.cluster.head_fails().code(), Some(1));
    let log = ground.cluster.tail("head.log");
    let last = log.lines().last().unwrap();
    assert!(last.starts_with("millpond-head: the head had to stop: ") && last.contains("No space left on device"), "{log}");
    println!("{last}");
    ground.disk.is_cleared();
    ground.cluster.head_starts_again();
    let priority = ground.cluster.show(&job)["priority"].as_i64().unwrap();
    // The last one was not acknowledged: it may be there or not.
    assert!(priority == acknowledged || priority == acknowledged + 1, "{priority}, {acknowledged} was acknowledged");
    ground.cluster.ok(&["resume", &job]);
    ground.cluster.ends(&job, 0);
    ground.ends();
}

#[test]
fn a_head_that_dies_on_a_full_disk_starts_again_there() {
    let Some(mut ground) = Ground::new(1) else { return };
    let job = ground.cluster.submit_array("0-99", &["--hold"], "echo {index}");
    ground.cluster.head_dies();
    ground.disk.has_left(0);
    ground.cluster.head_starts_again();
    assert!(!ground.reserve_is_there(), "it went to the journal");
    ground.cluster.ok(&["resume", &job]);
    until("it is red", || ground.job_says(&job, "almost full"));
    ground.disk.is_cleared();
    ground.cluster.ends(&job, 0);
    ground.ends();
}
