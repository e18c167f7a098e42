//! A worker whose disk is full: its tasks go back at no cost and run elsewhere, it says so, and it does not take one after the other.
//!
//! The disk is a tmpfs. Needs root; without it, it says so.

use super::cluster::Cluster;
use super::process::until;
use super::small_disk::{MIB, SmallDisk};

/// A head on the common disk, and a worker of one slot on a small one. The disk goes before the cluster, whose folder it is mounted in.
struct Ground {
    disk: SmallDisk,
    cluster: Cluster,
}

impl Ground {
    fn new(options: &str) -> Option<Self> {
        let mut cluster = Cluster::start(&[]);
        let disk = SmallDisk::mount_with(cluster.path("worker-1"), options)?;
        cluster.add_worker(1, &[]);
        Some(Self { disk, cluster })
    }

    /// A task that notes that it runs, waits for a gate, and does something.
    fn submit(&self, shell: &str) -> String {
        let (runs, gate) = (self.cluster.text_path("runs"), self.cluster.text_path("gate"));
        self.cluster.submit_array("0", &[], &format!("echo $PWD >> {runs}; until [ -e {gate} ]; do sleep 0.02; done; {shell}"))
    }

    fn log_says(&self, words: &str) -> usize {
        std::fs::read_to_string(self.cluster.path("worker-1.log")).unwrap().matches(words).count()
    }

    /// Waits until the worker has given a task back and says why, and that it takes no more for now; nothing failed by it.
    fn gives_back(&self, job: &str, why: &str) {
        until("the task is given back", || self.log_says("it is given back") > 0 && self.log_says("takes no task for") > 0);
        let log = self.cluster.tail("worker-1.log");
        assert!(log.contains(why), "{log}");
        assert_eq!(self.cluster.count(job, "failed"), 0);
        until("the head knows", || self.cluster.worker_state(1) == "resting");
        assert!(self.cluster.millpond(&["worker", "list"]).err.contains("its log says why"));
    }

    /// The job ends well at another worker, and the first one did not try it again and again.
    fn ends_elsewhere(&mut self, job: &str) {
        self.cluster.add_worker(1, &[]);
        self.cluster.ends(job, 0);
        assert_eq!(self.cluster.tasks(job)[0]["worker"], "w2");
        let rests = self.log_says("takes no task for");
        let runs = self.cluster.lines("runs");
        let here = runs.iter().filter(|folder| folder.contains("worker-1")).count();
        assert!(here <= rests, "it ran {here} times there, and {rests} times it rested: {}", self.cluster.logs());
    }

    fn ends(mut self) {
        self.cluster.worker(1).dies();
        until("nothing runs there", || self.cluster.worker(1).descendants().is_empty());
    }
}

/// Leaves three million bytes that can't be made smaller.
const LEAVES_MUCH: &str = "head -c 3000000 /dev/urandom > {output}/copy";

#[test]
fn a_result_that_a_workers_disk_has_no_room_for_is_made_elsewhere_at_no_cost() {
    let Some(mut ground) = Ground::new("size=16m") else { return };
    let job = ground.submit(LEAVES_MUCH);
    until("it runs", || ground.cluster.count(&job, "running") == 1);
    ground.disk.has_left(4 * MIB);
    ground.cluster.write("gate", "");
    ground.gives_back(&job, "No space left on device");
    ground.ends_elsewhere(&job);
    assert_eq!(ground.cluster.bundle(&job).entries["000000/copy"].len(), 3_000_000);
    ground.ends();
}

#[test]
fn a_worker_alone_tries_again_when_its_disk_has_room() {
    let Some(ground) = Ground::new("size=16m") else { return };
    let job = ground.submit(LEAVES_MUCH);
    until("it runs", || ground.cluster.count(&job, "running") == 1);
    ground.disk.has_left(4 * MIB);
    ground.cluster.write("gate", "");
    ground.gives_back(&job, "No space left on device");
    ground.disk.is_cleared();
    ground.cluster.ends(&job, 0);
    let more = ground.cluster.submit_array("0-9", &[], "true");
    ground.cluster.ends(&more, 0);
    ground.ends();
}

#[test]
fn a_task_whose_output_files_cannot_be_made_is_not_its_failure() {
    let Some(mut ground) = Ground::new("size=16m,nr_inodes=200") else { return };
    ground.disk.has_no_inode_left();
    ground.cluster.write("gate", "");
    let job = ground.submit("echo done");
    ground.gives_back(&job, "no space left on device");
    ground.ends_elsewhere(&job);
    ground.disk.has_inodes_again();
    ground.ends();
}

#[test]
fn a_task_that_fails_on_a_disk_that_others_have_filled_is_not_its_failure() {
    let Some(mut ground) = Ground::new("size=16m") else { return };
    let job = ground.submit("head -c 3000000 /dev/urandom");
    until("it runs", || ground.cluster.count(&job, "running") == 1);
    ground.disk.has_left(0);
    ground.cluster.write("gate", "");
    ground.gives_back(&job, "disk is full");
    ground.ends_elsewhere(&job);
    ground.ends();
}

#[test]
fn a_task_that_fills_the_disk_by_itself_has_failed() {
    let Some(ground) = Ground::new("size=16m") else { return };
    ground.cluster.write("gate", "");
    let job = ground.submit("head -c 100000000 /dev/zero > {output}/large");
    ground.cluster.ends(&job, 10);
    let said = ground.cluster.millpond(&["logs", &format!("{job}.0"), "--stderr"]).err;
    assert!(said.contains("left out of the result: all files: the disk of its worker is full"), "{said}");
    assert_eq!(ground.log_says("it is given back"), 0);
    ground.ends();
}

#[test]
fn a_chunk_that_a_workers_disk_has_no_room_for_is_fetched_elsewhere() {
    let Some(mut ground) = Ground::new("size=16m") else { return };
    let data = ground.cluster.write("in.txt", "line\n".repeat(1_000_000));
    ground.disk.has_left(MIB);
    let job = ground.cluster.submit(&[&data, "--split", "lines:1000000", "--", "wc", "-l"]);
    ground.gives_back(&job, "No space left on device");
    ground.cluster.write("runs", "");
    ground.ends_elsewhere(&job);
    ground.ends();
}
