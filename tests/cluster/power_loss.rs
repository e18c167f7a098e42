//! Loss of power: a head on a disk of its own, whose content is copied at a random moment as it is, without what the kernel still holds in
//! memory. A head that is started on the copy knows everything that was acknowledged. The control, with syncs that do nothing, must not.
//!
//! The disk is a file behind a loop device: the copy has what the file system had written by then. Needs root; without it, it says so.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::cluster::Cluster;
use super::is_full;
use super::process::until;
use super::rng::Rng;

const DISK_BYTES: u64 = 64 << 20;

/// What a client was told.
struct Acknowledged {
    /// Jobs, by id.
    jobs: Vec<String>,
    /// Data sets, by digest.
    data: Vec<String>,
    /// Ended tasks of the main job.
    ended: u64,
}

/// A file system on a loop device; gone with this.
struct Disk {
    mounted_at: PathBuf,
}

impl Disk {
    fn run(program: &str, args: &[&str]) -> Result<(), String> {
        let output = Command::new(program).args(args).output().map_err(|error| format!("{program}: {error}"))?;
        let why = || format!("{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
        if output.status.success() { Ok(()) } else { Err(why()) }
    }

    fn new(image: &Path, at: PathBuf) -> Result<Self, String> {
        File::create(image).and_then(|file| file.set_len(DISK_BYTES)).map_err(|error| error.to_string())?;
        Self::run("mkfs.ext4", &["-q", "-F", image.to_str().unwrap()])?;
        Self::mount(image, at)
    }

    /// Nothing is written by the kernel of its own accord as long as a round lasts.
    fn mount(image: &Path, at: PathBuf) -> Result<Self, String> {
        std::fs::create_dir_all(&at).map_err(|error| error.to_string())?;
        Self::run("mount", &["-o", "loop,commit=300", image.to_str().unwrap(), at.to_str().unwrap()])?;
        Ok(Self { mounted_at: at })
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let at = self.mounted_at.to_str().unwrap();
        if Self::run("umount", &[at]).is_err() {
            // Something still runs there, after a failure: the test says what.
            let _ = Self::run("umount", &["--lazy", at]);
        }
    }
}

/// The control's library, or why there can't be one.
fn no_sync(folder: &Path) -> Result<String, String> {
    let library = folder.join("no_sync.so").to_str().unwrap().to_owned();
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster/no_sync.c");
    Disk::run("cc", &["-shared", "-fPIC", "-o", &library, source])?;
    Ok(library)
}

/// Works at a head until the moment comes; what was acknowledged until then.
fn works(cluster: &Cluster, rng: &mut Rng) -> (String, Acknowledged) {
    let main = cluster.submit_array("0-9999", &[], "echo $MILLPOND_INDEX");
    let mut done = Acknowledged { jobs: vec![main.clone()], data: Vec::new(), ended: 0 };
    for round in 0..rng.between(2, 6) {
        done.jobs.push(cluster.submit_array("0-9", &["--hold"], "true"));
        let file = cluster.write(&format!("data-{round}"), format!("data {round}\n").repeat(1 + rng.below(20_000) as usize));
        done.data.push(cluster.ok(&["data", "add", &file]));
        done.ended = cluster.count(&main, "succeeded");
        // A count may be a moment ahead of the disk; what is acknowledged after it is behind it in the journal.
        cluster.ok(&["priority", &main, &round.to_string()]);
        std::thread::sleep(Duration::from_millis(rng.below(100)));
    }
    (main, done)
}

/// What a head on the copied disk lacks of what was acknowledged; why it does not start, if it does not.
fn is_missing(cluster: &mut Cluster, main: &str, done: &Acknowledged) -> Vec<String> {
    if let Err(why) = cluster.head_tries_to_start() {
        return vec![format!("the head does not start: {}", why.lines().last().unwrap_or_default())];
    }
    let names = |listing: &Value, what: &str, field: &str| -> Vec<String> {
        listing[what].as_array().unwrap().iter().map(|item| item[field].as_str().unwrap().to_owned()).collect()
    };
    let jobs = names(&cluster.json(&["list"]), "jobs", "id");
    let data = names(&cluster.json(&["data", "list"]), "datasets", "digest");
    let mut missing: Vec<String> = done.jobs.iter().filter(|id| !jobs.contains(id)).cloned().collect();
    missing.extend(done.data.iter().filter(|digest| !data.contains(digest)).cloned());
    if jobs.iter().any(|id| id == main) {
        let ended = cluster.count(main, "succeeded");
        if ended < done.ended {
            missing.push(format!("{} of {} ended tasks", done.ended - ended, done.ended));
        }
        // Each result is there, with its checksum right.
        let file = cluster.text_path("partial.zip");
        let answer = cluster.millpond(&["results", main, "-o", &file]);
        let whole = answer.code == 0 && std::panic::catch_unwind(|| super::bundle::Bundle::of(std::fs::read(&file).unwrap())).is_ok();
        if !whole {
            missing.push(format!("the bundle is damaged: {}", answer.err.trim_end()));
        }
    }
    missing
}

/// One round; what was missing afterwards, or why there can be none.
fn loses_power(rng: &mut Rng, syncs: bool) -> Result<Vec<String>, String> {
    let mut cluster = Cluster::without_head(&[]);
    let (image, copy) = (cluster.path("disk"), cluster.path("copy"));
    let disk = Disk::new(&image, cluster.path("mounted"))?;
    cluster.data_dir = cluster.path("mounted/head");
    if !syncs {
        cluster.head_env = vec![("LD_PRELOAD".to_owned(), no_sync(&cluster.path(""))?)];
    }
    cluster.head_starts_at("127.0.0.1:0");
    cluster.add_worker(4, &[]);
    let (main, done) = works(&cluster, rng);
    cluster.head_stops();
    std::fs::copy(&image, &copy).map_err(|error| error.to_string())?;
    cluster.worker(1).dies();
    cluster.head_dies();
    drop(disk);
    let restored = Disk::mount(&copy, cluster.path("restored"))?;
    cluster.data_dir = cluster.path("restored/head");
    cluster.head_env.clear();
    let missing = is_missing(&mut cluster, &main, &done);
    if cluster.head_is_alive() {
        cluster.head_dies();
    }
    until("nothing runs there", || cluster.processes().is_empty());
    drop(restored);
    println!("{} jobs, {} data sets, {} ended tasks acknowledged; missing: {missing:?}", done.jobs.len(), done.data.len(), done.ended);
    Ok(missing)
}

#[test]
fn a_loss_of_power_takes_nothing_that_was_acknowledged() {
    let (rounds, control_rounds) = if is_full() { (20, 5) } else { (2, 1) };
    let mut rng = Rng::new(std::process::id().into());
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can mount a disk image");
        return;
    }
    for round in 0..rounds {
        match loses_power(&mut rng, true) {
            Ok(missing) => assert!(missing.is_empty(), "round {round}: {missing:?}"),
            Err(why) => return println!("skipped: no disk of its own: {why}"),
        }
    }
    let mut bad = 0;
    for _ in 0..control_rounds {
        match loses_power(&mut rng, false) {
            Ok(missing) => bad += usize::from(!missing.is_empty()),
            Err(why) => return println!("the control was skipped: {why}"),
        }
    }
    assert_eq!(bad, control_rounds, "without syncs acknowledged things survive as well: this test shows nothing");
}
